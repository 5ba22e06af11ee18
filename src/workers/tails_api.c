/* tails_api.c - tails over the API, and a Worker's last events for who comes late. See handlers.h. */
#include "workers/call.h"
#include "workers/handlers.h"
#include "workers/tails.h"

#include "base/clock.h"

/* The address is the one that the client has used to reach us. */
static void write_tail(struct blocking_call *call, const struct tail_info *info)
{
    struct buf *b = &call->result, url CLEANUP(buf_release) = { 0 };
    struct slice host = http_header(call->req, "host");
    bool is_https = slice_eq_nocase(http_header(call->req, "x-forwarded-proto"), SLICE_LIT("https"));

    buf_printf(&url, "%s://%.*s/dione/tails/%s", is_https ? "wss" : "ws", SLICE_FMT(host), info->id);
    buf_printf(b, "{\"id\":\"%s\",\"url\":", info->id);
    json_write_text(b, buf_slice(&url));
    write_time(b, "expires_at", info->expires_ms);
    buf_append_char(b, '}');
}

/* {"filters":[...]}, or the array alone, or nothing. */
static enum status take_filters(struct blocking_call *call, struct slice *ret)
{
    struct json *body;
    struct buf text CLEANUP(buf_release) = { 0 };

    *ret = SLICE_NONE;
    if (!slice_trim(call->req->body).len)
        return STATUS_OK;
    enum status st = json_parse(call->req->body, JSON_STRICT, call->req->arena, &body, &call->err);
    if (st == STATUS_INVALID)
        return error_prefix(&call->err, "The request is malformed: the body is not valid JSON");
    if (st != STATUS_OK)
        return st;
    const struct json *filters = body->type == JSON_ARRAY ? body : json_get(body, "filters");
    if (!filters || filters->type == JSON_NULL)
        return STATUS_OK;
    if (filters->type != JSON_ARRAY)
        return call_invalid(call, "`filters` must be an array");
    json_write_value(&text, filters);
    *ret = arena_copy(call->req->arena, buf_slice(&text));
    return ret->ptr ? STATUS_OK : error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
}

static enum status work_begin(struct blocking_call *call)
{
    struct worker *w;
    struct slice filters;
    struct tail_info info;
    enum status st = take_filters(call, &filters);

    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st == STATUS_OK)
        st = tails_begin(workers_tails(workers_of(call)), w->name, filters, &info, &call->err);
    if (st == STATUS_OK)
        write_tail(call, &info);
    return st;
}

void tails_create(struct http_request *req)
{
    worker_call(req, API_WRITE, work_begin); /* the Worker goes on in another process */
}

static enum status work_list(struct blocking_call *call)
{
    struct worker *w;
    struct tail_info info;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK && tails_newest(workers_tails(workers_of(call)), w->name, &info))
        write_tail(call, &info);
    return st;
}

void tails_list(struct http_request *req)
{
    worker_call(req, API_READ, work_list);
}

static enum status work_end(struct blocking_call *call)
{
    return tails_end(workers_tails(workers_of(call)), call->req->params[1], call->req->params[2], &call->err);
}

void tails_delete(struct http_request *req)
{
    worker_call(req, API_WRITE, work_end);
}

/* Public: the id in the path is the secret. */
void tails_follow(struct http_request *req)
{
    if (api_of(req)->workers)
        tails_connect(workers_tails(api_of(req)->workers), req);
    else
        api_fail(req, STATUS_NOTFOUND, "The tail does not exist, or has expired");
}

static enum status work_events(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        st = runtime_tail_recent(workers_runtime(workers_of(call)), w->name, &call->result, &call->err);
    return st;
}

void events_list(struct http_request *req)
{
    worker_call(req, API_READ, work_events);
}
