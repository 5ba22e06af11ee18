/* progress.c - see progress.h. */
#include "cli/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { FIRST_DRAW_MS = 300, REDRAW_MS = 100 };

#define ERASE_LINE "\r\033[K"

static int64_t ms_to_ns(int64_t ms)
{
    return ms * 1000000;
}

void progress_start(struct progress *p, const char *label)
{
    progress_end(p);
    *p = (struct progress){
        .label = label,
        .next_ns = clock_mono_ns() + ms_to_ns(FIRST_DRAW_MS),
        .enabled = isatty(STDERR_FILENO),
    };
}

static bool is_due(struct progress *p)
{
    int64_t now = clock_mono_ns();

    if (!p->enabled || now < p->next_ns)
        return false;
    p->next_ns = now + ms_to_ns(REDRAW_MS);
    p->drawn = true;
    return true;
}

void progress_bytes(struct progress *p, uint64_t done, uint64_t total)
{
    char done_text[SIZE_TEXT_MAX], total_text[SIZE_TEXT_MAX];

    if (!is_due(p))
        return;
    size_text(done, done_text);
    size_text(total, total_text);
    if (total)
        fprintf(stderr, ERASE_LINE "%s %3.0f %% (%s of %s)", p->label, (double)done * 100 / (double)total, done_text,
                total_text);
    else
        fprintf(stderr, ERASE_LINE "%s %s", p->label, done_text);
    fflush(stderr);
}

void progress_text(struct progress *p, struct slice text)
{
    /* Longer text would wrap, and then the line could not be wiped. */
    if (!is_due(p))
        return;
    fprintf(stderr, ERASE_LINE "%s %.*s", p->label, text.len > 60 ? 60 : (int)text.len, text.len ? text.ptr : "");
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->drawn) {
        fputs(ERASE_LINE, stderr);
        fflush(stderr);
    }
    *p = (struct progress){ 0 };
}

void size_text(uint64_t bytes, char ret[SIZE_TEXT_MAX])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
    double v = (double)bytes;
    size_t unit = 0;

    for (; v >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        v /= 1000;
    /* Three digits that count. */
    snprintf(ret, SIZE_TEXT_MAX, "%.*f %s", unit == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, v, units[unit]);
}
