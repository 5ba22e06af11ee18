/* call.c - see call.h. Shapes: Cloudflare's API reference, "Workers". */
#include "workers/call.h"

#include "base/clock.h"
#include "workers/document.h"

static void call_on(struct http_request *req, enum api_right right, bool waits,
                    enum status (*work)(struct blocking_call *call), void (*then)(struct blocking_call *call))
{
    if (!api_account(req, right))
        return;
    if (!api_of(req)->workers) {
        api_fail(req, STATUS_NOTIMPL, "Workers run on a server only: this is a command's own");
        return;
    }
    blocking_call(req, workers_pool(api_of(req)->workers, waits), work, then, NULL);
}

void worker_call_then(struct http_request *req, enum api_right right, enum status (*work)(struct blocking_call *call),
                      void (*then)(struct blocking_call *call))
{
    call_on(req, right, false, work, then);
}

void worker_call_waiting(struct http_request *req, enum api_right right,
                         enum status (*work)(struct blocking_call *call))
{
    call_on(req, right, true, work, NULL);
}

void worker_call(struct http_request *req, enum api_right right, enum status (*work)(struct blocking_call *call))
{
    worker_call_then(req, right, work, NULL);
}

enum status call_locked(struct blocking_call *call, enum status (*fn)(struct blocking_call *call))
{
    struct workers *w = workers_of(call);

    workers_lock(w, call->req->params[1]);
    enum status st = fn(call);
    workers_unlock(w, call->req->params[1]);
    return st;
}

enum status call_worker(struct blocking_call *call, struct worker **ret)
{
    return catalog_find(api_of(call->req)->store, call->req->params[1], call->req->arena, ret, &call->err);
}

enum status call_invalid(struct blocking_call *call, const char *what)
{
    return error_set(&call->err, STATUS_INVALID, 0, "The request is malformed: %s", what);
}

enum status call_body(struct blocking_call *call, enum json_type want, const struct json **ret)
{
    struct json *v;
    enum status st = json_parse(call->req->body, JSON_STRICT, call->req->arena, &v, &call->err);

    if (st == STATUS_INVALID)
        return error_prefix(&call->err, "The request is malformed: the body is not valid JSON");
    if (st != STATUS_OK)
        return st;
    if (v->type != want)
        return call_invalid(call,
                            want == JSON_ARRAY ? "the body must be a JSON array" : "the body must be a JSON object");
    *ret = v;
    return STATUS_OK;
}

/* wrangler asks its user before it overwrites what something else has uploaded; `dione deploy` is no such thing. */
struct slice call_source(struct blocking_call *call)
{
    struct slice agent = http_header(call->req, "user-agent");

    return slice_starts(agent, SLICE_LIT("wrangler/")) || slice_starts(agent, SLICE_LIT("dione"))
               ? SLICE_LIT("wrangler")
               : SLICE_LIT("api");
}

/* ---- objects ---- */

void write_time(struct buf *b, const char *key, int64_t ms)
{
    char text[CLOCK_ISO_LEN + 1];

    clock_iso(ms, text);
    buf_printf(b, ",\"%s\":\"%s\"", key, text);
}

static void write_resources(struct buf *b, const struct version *v)
{
    const struct json *d = v->document;

    buf_append_cstr(b, ",\"resources\":{\"bindings\":");
    document_write_bindings(b, d);
    buf_append_cstr(b, ",\"script\":{\"etag\":");
    document_write_member(b, d, "etag", "\"\"");
    buf_append_cstr(b, ",\"handlers\":");
    document_write_member(b, d, "handlers", "[]");
    buf_append_cstr(b, ",\"last_deployed_from\":");
    json_write_text(b, v->source);
    buf_append_cstr(b, "},\"script_runtime\":{\"compatibility_date\":");
    document_write_member(b, d, "compatibility_date", "null");
    buf_append_cstr(b, ",\"compatibility_flags\":");
    document_write_member(b, d, "compatibility_flags", "[]");
    buf_append_cstr(b, ",\"usage_model\":");
    document_write_member(b, d, "usage_model", "\"standard\"");
    if (json_get(d, "limits")) {
        buf_append_cstr(b, ",\"limits\":");
        document_write_member(b, d, "limits", "{}");
    }
    buf_append_cstr(b, "}}");
}

void write_version(struct buf *b, const struct version *v, bool full)
{
    buf_append_cstr(b, "{\"id\":");
    json_write_text(b, v->id);
    buf_printf(b, ",\"number\":%lld,\"metadata\":{\"author_email\":\"dione@localhost\",\"author_id\":\"local\"",
               (long long)v->number);
    write_time(b, "created_on", v->created_ms);
    write_time(b, "modified_on", v->created_ms);
    buf_append_cstr(b, ",\"source\":");
    json_write_text(b, v->source);
    buf_append_cstr(b, ",\"has_preview\":false,\"hasPreview\":false},\"annotations\":");
    document_write_member(b, v->document, "annotations", "{}");
    if (full) {
        buf_append_cstr(b, ",\"startup_time_ms\":");
        document_write_member(b, v->document, "startup_ms", "0");
        write_resources(b, v);
    }
    buf_append_char(b, '}');
}

void write_deployment(struct buf *b, const struct deployment *d)
{
    buf_append_cstr(b, "{\"id\":");
    json_write_text(b, d->id);
    buf_append_cstr(b, ",\"source\":");
    json_write_text(b, d->source);
    buf_append_cstr(b, ",\"strategy\":\"percentage\",\"author_email\":\"dione@localhost\"");
    write_time(b, "created_on", d->created_ms);
    buf_append_cstr(b, ",\"annotations\":");
    buf_append_slice(b, d->annotations);
    buf_append_cstr(b, ",\"versions\":[{\"version_id\":");
    json_write_text(b, d->version_id);
    buf_append_cstr(b, ",\"percentage\":100}]}");
}

void write_script(struct buf *b, const struct worker *w, const struct version *v)
{
    const struct json *d = v ? v->document : NULL;
    const struct json *modules = json_get(d, "modules");

    buf_append_cstr(b, "{\"id\":");
    json_write_text(b, w->name);
    buf_append_cstr(b, ",\"tag\":");
    json_write_text(b, w->tag);
    buf_append_cstr(b, ",\"tags\":");
    document_write_member(b, w->settings, "tags", "[]");
    buf_append_cstr(b, ",\"etag\":");
    document_write_member(b, d, "etag", "\"\"");
    buf_append_cstr(b, ",\"handlers\":");
    document_write_member(b, d, "handlers", "[]");
    buf_append_cstr(b, ",\"compatibility_date\":");
    document_write_member(b, d, "compatibility_date", "null");
    buf_append_cstr(b, ",\"compatibility_flags\":");
    document_write_member(b, d, "compatibility_flags", "[]");
    buf_append_cstr(b, ",\"usage_model\":");
    document_write_member(b, d, "usage_model", "\"standard\"");
    write_time(b, "created_on", w->created_ms);
    write_time(b, "modified_on", w->modified_ms);
    buf_printf(b, ",\"has_assets\":%s,\"has_modules\":%s,\"logpush\":false,\"tail_consumers\":null",
               json_get(d, "assets") ? "true" : "false", modules && modules->n ? "true" : "false");
    buf_append_cstr(b, ",\"last_deployed_from\":");
    json_write_text(b, v ? v->source : SLICE_LIT("api"));
}
