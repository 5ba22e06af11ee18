/*
 * tail.c - `dione tail`: what a Worker does, as it happens, until Ctrl-C.
 *
 * The server hands out an address for a WebSocket and sends one message for each event. A lost connection is made again, with
 * a new tail.
 */
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/remote_worker.h"
#include "cli/tail_print.h"
#include "cli/ws_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL "trace-v1"

enum { PING_EVERY_MS = 10000, TRIES_MAX = 6 };

struct tail_options {
    struct worker_options worker;
    const char *format, *header, *sampling_rate, *search, *version_id;
    struct option_list status, method, ip;
};

#define FIELD(name) offsetof(struct tail_options, name)

static const struct option_row options[] = {
    { "format", 0, OPT_TEXT, FIELD(format), "FORMAT", "pretty (default at a terminal) or json: one line an event", 0,
      0 },
    { "status", 0, OPT_LIST, FIELD(status), "STATUS", "only ok, error or canceled; may be repeated", 0, 0 },
    { "method", 0, OPT_LIST, FIELD(method), "METHOD", "only requests by this method; may be repeated", 0, 0 },
    { "header", 0, OPT_TEXT, FIELD(header), "NAME[:TEXT]", "only requests with this header", 0, 0 },
    { "search", 0, OPT_TEXT, FIELD(search), "TEXT", "only events that logged this text", 0, 0 },
    { "sampling-rate", 0, OPT_TEXT, FIELD(sampling_rate), "RATE", "only a share of the events: 0.1 is a tenth", 0, 0 },
    { "ip", 0, OPT_LIST, FIELD(ip), "ADDRESS", "only requests from there; may be repeated", 0, 0 },
    { "version-id", 0, OPT_TEXT, FIELD(version_id), "ID", "only events of this version", 0, 0 },
    { "json", 0, OPT_FLAG, COMMON_FIELD(json), NULL, "the same as --format json", 0, 0 },
    OPTIONS_WORKER,
    { 0 },
};

/* ---- filters ---- */

static void open_filter(struct buf *out, const char *key)
{
    buf_printf(out, "%s{\"%s\":", out->ptr[out->len - 1] == '[' ? "" : ",", key);
}

static void add_text_filter(struct buf *out, const char *key, const char *text)
{
    if (!text)
        return;
    open_filter(out, key);
    json_write_cstr(out, text);
    buf_append_char(out, '}');
}

static void add_list_filter(struct buf *out, const char *key, const struct option_list *list)
{
    if (!list->n)
        return;
    open_filter(out, key);
    for (size_t i = 0; i < list->n; i++) {
        buf_append_char(out, i ? ',' : '[');
        json_write_cstr(out, list->items[i]);
    }
    buf_append_cstr(out, "]}");
}

static enum status add_outcome_filter(struct buf *out, const struct option_list *statuses, struct error *err)
{
    static const struct {
        const char *status, *outcomes;
    } known[] = {
        { "ok", "\"ok\"" },
        { "canceled", "\"canceled\"" },
        { "error", "\"exception\",\"exceededCpu\",\"exceededMemory\",\"unknown\"" },
    };

    if (!statuses->n)
        return STATUS_OK;
    open_filter(out, "outcome");
    for (size_t i = 0; i < statuses->n; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(known) && strcmp(known[k].status, statuses->items[i]) != 0)
            k++;
        if (k == ARRAY_LEN(known))
            return error_set(err, STATUS_INVALID, 0, "--status is ok, error or canceled, not '%s'", statuses->items[i]);
        buf_printf(out, "%c%s", i ? ',' : '[', known[k].outcomes);
    }
    buf_append_cstr(out, "]}");
    return STATUS_OK;
}

static void add_header_filter(struct buf *out, const char *header)
{
    struct slice value = slice_cstr(header ? header : ""), key = slice_trim(slice_cut(&value, ':'));

    if (!header)
        return;
    open_filter(out, "header");
    buf_append_cstr(out, "{\"key\":");
    json_write_text(out, key);
    if (value.ptr) {
        buf_append_cstr(out, ",\"query\":");
        json_write_text(out, slice_trim(value));
    }
    buf_append_cstr(out, "}}");
}

static enum status add_sampling_filter(struct buf *out, const char *rate, struct error *err)
{
    char *end;

    if (!rate)
        return STATUS_OK;
    double v = strtod(rate, &end);
    if (*end || end == rate || !(v > 0 && v < 1))
        return error_set(err, STATUS_INVALID, 0, "--sampling-rate is a number between 0 and 1, such as 0.25, not '%s'",
                         rate);
    open_filter(out, "sampling_rate");
    json_write_double(out, v);
    buf_append_char(out, '}');
    return STATUS_OK;
}

static enum status make_filters(const struct tail_options *o, struct buf *out, struct error *err)
{
    buf_append_cstr(out, "{\"filters\":[");
    enum status st = add_sampling_filter(out, o->sampling_rate, err);
    if (st == STATUS_OK)
        st = add_outcome_filter(out, &o->status, err);
    add_list_filter(out, "method", &o->method);
    add_header_filter(out, o->header);
    add_list_filter(out, "client_ip", &o->ip);
    add_text_filter(out, "query", o->search);
    add_text_filter(out, "scriptVersion", o->version_id);
    buf_append_cstr(out, "]}");
    return st;
}

/* ---- the tail ---- */

struct tail {
    struct session session;
    struct remote_worker worker;
    struct buf filters;
    bool pretty;
    char *action; /* "/tails/<id>" of the one that is open; NULL: none is */
    struct ws_client *ws;
};

static void say_connected(const struct tail *t, bool again)
{
    if (t->pretty)
        print_note("Connected to '%s'%s", t->worker.name, again ? " again." : ", waiting for events...");
}

/* It would end by itself some time later. */
static void forget(struct tail *t)
{
    struct api_answer answer = { 0 };
    struct error ignored;

    ws_client_free(t->ws);
    t->ws = NULL;
    if (!t->action)
        return;
    IGNORE_RESULT(remote_worker_call(&t->session, &t->worker, "DELETE", t->action, SLICE_NONE, &answer, &ignored));
    api_answer_release(&answer);
    free(t->action);
    t->action = NULL;
}

static enum status open_tail(struct tail *t, struct error *err)
{
    struct api_answer answer = { 0 };
    char *url = NULL;

    enum status st = remote_worker_call(&t->session, &t->worker, "POST", "/tails", buf_slice(&t->filters), &answer,
                                        err);
    struct slice id = st == STATUS_OK ? json_get_text(answer.result, "id") : SLICE_NONE;
    struct slice address = st == STATUS_OK ? json_get_text(answer.result, "url") : SLICE_NONE;
    if (st == STATUS_OK && (!id.len || !address.len))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no address for the tail");
    if (st == STATUS_OK) {
        if (asprintf(&t->action, "/tails/%.*s", SLICE_FMT(id)) < 0 || asprintf(&url, "%.*s", SLICE_FMT(address)) < 0)
            abort();
        st = ws_client_open(url, PROTOCOL, &t->ws, err);
    }
    free(url);
    api_answer_release(&answer);
    return st == STATUS_OK ? ws_client_send_text(t->ws, SLICE_LIT("{\"debug\":false}"), err) : st;
}

/* False: what came is no event. */
static bool print_event(const struct tail *t, struct slice text)
{
    struct buf out = { 0 };
    struct json *event = NULL;
    struct arena arena;
    struct error ignored;

    arena_init(&arena, SIZE_MAX);
    bool good = json_parse(text, JSON_STRICT, &arena, &event, &ignored) == STATUS_OK && event->type == JSON_OBJECT;
    if (good && t->pretty)
        tail_append_event(&out, event);
    else if (good)
        json_write_value(&out, event);
    if (good && !t->pretty)
        buf_append_char(&out, '\n');
    print_text(buf_slice(&out));
    buf_release(&out);
    arena_release(&arena);
    return good;
}

/* Until it ends. OK: the server is done, or nobody reads any more. */
static enum status follow(struct tail *t, struct error *err)
{
    bool waiting = false; /* for the answer to a ping */
    struct slice text;

    while (!ferror(stdout)) {
        switch (ws_client_next(t->ws, PING_EVERY_MS, &text, err)) {
        case WS_EVENT_TEXT:
            if (!print_event(t, text))
                print_note("The server sent something that is no event: %.*s", SLICE_FMT(text));
            break;
        case WS_EVENT_PONG:
            waiting = false;
            break;
        case WS_EVENT_IDLE:
            if (waiting)
                return error_set(err, STATUS_IO, 0, "the server does not answer any more");
            waiting = true;
            if (ws_client_ping(t->ws, err) != STATUS_OK)
                return STATUS_IO;
            break;
        case WS_EVENT_CLOSED:
            return STATUS_OK;
        case WS_EVENT_LOST:
            return STATUS_IO;
        }
    }
    return STATUS_OK;
}

static void pause_before(int try)
{
    const struct timespec wait = { .tv_sec = 1L << (try - 1) };

    (void)nanosleep(&wait, NULL); /* Ctrl-C ends it */
}

/* What was lost may come back: a server that restarts, a network that changes. The first time nothing is tried again. */
static enum status run_tail(struct tail *t, struct error *err)
{
    bool was_open = false;

    for (int try = 0;; try++) {
        if (try > 0)
            pause_before(try);
        enum status st = interrupt_requested() ? interrupt_error(err) : open_tail(t, err);
        if (st == STATUS_OK) {
            say_connected(t, was_open);
            was_open = true;
            try = 0;
            st = follow(t, err);
        }
        if (st == STATUS_OK || interrupt_requested() || !was_open || try == TRIES_MAX || st == STATUS_NOTFOUND)
            return st;
        forget(t);
        print_note("%s; trying again...", err->msg);
    }
}

static enum status choose_format(const struct tail_options *o, bool *ret_pretty, struct error *err)
{
    const char *format = o->worker.common.json ? "json" : o->format;

    *ret_pretty = format ? strcmp(format, "pretty") == 0 : isatty(STDOUT_FILENO);
    if (format && !*ret_pretty && strcmp(format, "json") != 0)
        return error_set(err, STATUS_INVALID, 0, "--format is pretty or json, not '%s'", format);
    return STATUS_OK;
}

static enum status run(struct invocation *in, struct error *err)
{
    struct tail_options *o = in->options;
    struct tail t = { 0 };

    enum status st = choose_format(o, &t.pretty, err);
    if (st == STATUS_OK)
        st = make_filters(o, &t.filters, err);
    if (st == STATUS_OK)
        st = remote_worker_open(&o->worker, in->args[0], &t.session, &t.worker, err);
    if (st == STATUS_OK)
        st = run_tail(&t, err);
    if (interrupt_requested()) {
        interrupt_clear(); /* the way a tail ends: no failure, and the server may still be told */
        st = STATUS_OK;
    }
    forget(&t);
    buf_release(&t.filters);
    remote_worker_release(&t.worker);
    session_close(&t.session);
    return st;
}

const struct command tail_command = {
    .name = "tail",
    .summary = "Show what a Worker logs and throws, as it happens",
    .args = "[NAME]",
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct tail_options),
    .run = run,
    .notes = "Ctrl-C ends it.",
};
