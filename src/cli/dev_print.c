/* dev_print.c - see dev_print.h. */
#include "cli/dev_print.h"

#include "cli/source_map.h"

#include <ctype.h>
#include <llhttp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The line and its end with one write, and at once: whoever reads along sees it when it happens. */
static void write_line(FILE *out, struct slice line)
{
    flockfile(out);
    fwrite(line.ptr, 1, line.len, out);
    putc_unlocked('\n', out);
    fflush(out);
    funlockfile(out);
}

void dev_say(const char *fmt, ...)
{
    va_list args;
    char *line;

    va_start(args, fmt);
    if (vasprintf(&line, fmt, args) < 0)
        abort();
    va_end(args);
    write_line(stdout, slice_cstr(line));
    free(line);
}

void dev_complain(struct slice text, const struct source_map *map)
{
    struct buf told = { 0 };

    while (text.len && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (!text.len)
        return;
    for (struct slice rest = text; rest.ptr;) {
        if (told.len)
            buf_append_char(&told, '\n');
        source_map_append_translated(map, slice_cut(&rest, '\n'), &told);
    }
    write_line(stderr, buf_slice(&told));
    buf_release(&told);
}

bool dev_has_color(void)
{
    const char *no = getenv("NO_COLOR");

    return !(no && *no) && isatty(STDERR_FILENO);
}

void dev_print_init(struct dev_print *p)
{
    *p = (struct dev_print){ 0 };
    if (pthread_mutex_init(&p->lock, NULL) != 0)
        abort();
}

void dev_print_release(struct dev_print *p)
{
    source_map_free(p->map);
    (void)pthread_mutex_destroy(&p->lock); /* nobody holds it */
}

void dev_print_use_map(struct dev_print *p, const struct bundle *b)
{
    struct source_map *map = b->source_map.len ? source_map_read(b->source_map.ptr) : NULL;

    pthread_mutex_lock(&p->lock);
    struct source_map *old = p->map;
    p->map = map;
    pthread_mutex_unlock(&p->lock);
    source_map_free(old);
}

static const char *status_name(int status)
{
    switch (status) {
#define X(number, name, text) \
    case number: \
        return #name;
        HTTP_STATUS_MAP(X)
#undef X
    default:
        return "";
    }
}

/* llhttp's NOT_FOUND is HTTP's "Not Found". */
static void append_phrase(struct buf *out, int status)
{
    bool first = true;

    for (const char *c = status_name(status); *c; c++) {
        bool keep = first || status == 200;
        buf_append_char(out, *c == '_' ? ' ' : keep ? *c : (char)tolower((unsigned char)*c));
        first = *c == '_';
    }
}

void dev_print_access(void *arg, const struct runtime_access *access)
{
    struct buf line = { 0 };

    (void)arg;
    buf_printf(&line, "[dione] %.*s %.*s ", SLICE_FMT(access->method), SLICE_FMT(access->target));
    if (access->status) {
        buf_printf(&line, "%d ", access->status);
        append_phrase(&line, access->status);
    } else {
        buf_append_cstr(&line, "- the client left");
    }
    buf_printf(&line, " (%dms)", (int)(access->duration_ns / 1000000));
    write_line(stdout, buf_slice(&line));
    buf_release(&line);
}

/* ---- what the Worker says ---- */

void dev_print_starting(struct dev_print *p, bool starting)
{
    pthread_mutex_lock(&p->lock);
    p->starting = starting;
    p->in_failure = false;
    pthread_mutex_unlock(&p->lock);
}

static bool has_part(struct slice s, const char *part)
{
    return memmem(s.ptr, s.len, part, strlen(part)) != NULL;
}

/*
 * workerd's own words for what is told better elsewhere: why it does not start (the deployment fails with that), and that a
 * handler threw (an event, with the stack).
 */
static bool is_told_elsewhere(struct dev_print *p, struct slice line)
{
    if (p->starting && slice_starts(line, SLICE_LIT("service "))) {
        p->in_failure = true;
        return true;
    }
    p->in_failure &= slice_starts(line, SLICE_LIT("  at "));
    return p->in_failure || (slice_starts(line, SLICE_LIT("workerd/")) && has_part(line, ": Uncaught exception: "));
}

void dev_print_output(void *arg, struct slice worker, bool is_error, struct slice line)
{
    struct dev_print *p = arg;
    struct buf told = { 0 };

    (void)worker;
    pthread_mutex_lock(&p->lock);
    bool dropped = is_error && is_told_elsewhere(p, line);
    if (!dropped)
        source_map_append_translated(p->map, line, &told);
    pthread_mutex_unlock(&p->lock);
    if (!dropped)
        write_line(is_error ? stderr : stdout, buf_slice(&told));
    buf_release(&told);
}

/* ---- events ---- */

static void print_exception(struct dev_print *p, const struct json *e)
{
    struct slice name = json_get_text(e, "name"), message = json_get_text(e, "message");
    struct slice stack = json_get_text(e, "stack");
    struct buf text = { 0 };

    buf_printf(&text, "Uncaught %.*s: %.*s\n", SLICE_FMT(name), SLICE_FMT(message));
    if (!slice_starts(slice_trim(stack), SLICE_LIT("at "))) /* it has name and message itself */
        buf_clear(&text);
    buf_append_slice(&text, stack);
    pthread_mutex_lock(&p->lock);
    dev_complain(buf_slice(&text), p->map);
    pthread_mutex_unlock(&p->lock);
    buf_release(&text);
}

void dev_print_event(void *arg, struct slice text)
{
    struct dev_print *p = arg;
    struct json *event = NULL;
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    if (json_parse(text, JSON_STRICT, &arena, &event, NULL) == STATUS_OK) {
        const struct json *exceptions = json_get(event, "exceptions");
        struct slice cron = json_get_text(json_get(event, "event"), "cron");
        for (const struct json *e = exceptions ? exceptions->child : NULL; e; e = e->next)
            print_exception(p, e);
        if (cron.ptr)
            dev_say("[dione] cron \"%.*s\" %.*s", SLICE_FMT(cron), SLICE_FMT(json_get_text(event, "outcome")));
    }
    arena_release(&arena);
}
