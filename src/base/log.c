/* log.c - see log.h. */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static _Atomic int max_level = LOG_WARN;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    char line[4096], time[CLOCK_ISO_LEN + 1];
    va_list args;

    if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed))
        return;
    clock_iso(clock_wall_ms(), time);
    int n = snprintf(line, sizeof(line), "%s %s ", time, names[level]);
    va_start(args, fmt);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, args);
    va_end(args);
    if (m < 0)
        return;
    size_t len = (size_t)n + (size_t)m;
    if (len > sizeof(line) - 1)
        len = sizeof(line) - 1;
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* nowhere left to say it */
}
