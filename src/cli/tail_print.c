/* tail_print.c - see tail_print.h. */
#include "cli/tail_print.h"

#include <time.h>

/* Tabs and line ends stay; wide C1 controls come as two bytes, 0xC2 0x80 to 0x9F. */
static void append_safe(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        unsigned char next = i + 1 < s.len ? (unsigned char)s.ptr[i + 1] : 0;
        if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
            buf_printf(out, "\\u%04x", next);
            i++;
        } else if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7F) {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_append_char(out, (char)c);
        }
    }
}

static void append_time(struct buf *out, double ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    char text[32] = "";

    if (localtime_r(&seconds, &parts))
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts); /* fits */
    buf_append_cstr(out, text);
}

static const char *outcome_of(const struct json *event)
{
    static const struct {
        const char *outcome, *words;
    } known[] = {
        { "ok", "Ok" },
        { "canceled", "Canceled" },
        { "exceededCpu", "Exceeded CPU Limit" },
        { "exceededMemory", "Exceeded Memory Limit" },
        { "exception", "Exception Thrown" },
    };
    struct slice outcome = json_get_text(event, "outcome");

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(outcome, slice_cstr(known[i].outcome)))
            return known[i].words;
    return "Unknown";
}

static void append_outcome(struct buf *out, const struct json *event, double ms)
{
    buf_printf(out, " - %s @ ", outcome_of(event));
    append_time(out, ms);
    buf_append_char(out, '\n');
}

/* The line that says what happened. */
static void append_head(struct buf *out, const struct json *event)
{
    const struct json *what = json_get(event, "event"), *request = json_get(what, "request");
    struct slice cron = json_get_text(what, "cron"), method = json_get_text(what, "rpcMethod");
    double at = json_double(json_get(event, "eventTimestamp"));

    if (cron.ptr) {
        buf_append_char(out, '"');
        append_safe(out, cron);
        buf_append_char(out, '"');
        at = json_double(json_get(what, "scheduledTime"));
    } else if (request) {
        append_safe(out, json_get_text(request, "method"));
        buf_append_char(out, ' ');
        append_safe(out, json_get_text(request, "url"));
    } else if (method.ptr) {
        append_safe(out, json_get_text(event, "entrypoint"));
        buf_append_char(out, '.');
        append_safe(out, method);
    } else {
        buf_append_cstr(out, "Unknown Event");
    }
    append_outcome(out, event, at);
}

static void append_value(struct buf *out, const struct json *v)
{
    struct buf text = { 0 };

    if (v->type == JSON_STRING) {
        append_safe(out, v->text);
        return;
    }
    json_write_value(&text, v);
    append_safe(out, buf_slice(&text));
    buf_release(&text);
}

static void append_log(struct buf *out, const struct json *log)
{
    const struct json *message = json_get(log, "message");

    buf_append_cstr(out, "  (");
    append_safe(out, json_get_text(log, "level"));
    buf_append_char(out, ')');
    if (json_is(message, JSON_ARRAY))
        for (const struct json *v = message->child; v; v = v->next) {
            buf_append_char(out, ' ');
            append_value(out, v);
        }
    buf_append_char(out, '\n');
}

static void append_exception(struct buf *out, const struct json *e)
{
    const struct json *message = json_get(e, "message");
    struct slice stack = json_get_text(e, "stack");

    buf_append_cstr(out, "  ");
    append_safe(out, json_get_text(e, "name"));
    buf_append_cstr(out, ": ");
    if (message)
        append_value(out, message);
    buf_append_char(out, '\n');
    while (stack.ptr) {
        struct slice line = slice_trim(slice_cut(&stack, '\n'));
        if (!line.len)
            continue;
        buf_append_cstr(out, "    ");
        append_safe(out, line);
        buf_append_char(out, '\n');
    }
}

void tail_append_event(struct buf *out, const struct json *event)
{
    const struct json *logs = json_get(event, "logs"), *exceptions = json_get(event, "exceptions");

    append_head(out, event);
    for (const struct json *log = json_is(logs, JSON_ARRAY) ? logs->child : NULL; log; log = log->next)
        append_log(out, log);
    for (const struct json *e = json_is(exceptions, JSON_ARRAY) ? exceptions->child : NULL; e; e = e->next)
        append_exception(out, e);
}
