/* envelope.c - see envelope.h. */
#include "http/envelope.h"

#include <stdlib.h>

static const char open_text[] = "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":";
const struct slice ENVELOPE_OPEN = { open_text, sizeof(open_text) - 1 };
const struct slice ENVELOPE_CLOSE = { "}", 1 };

void envelope_send(struct http_request *req, struct buf *whole)
{
    http_respond(req, 200, "application/json", whole);
}

void envelope_ok(struct http_request *req, struct slice result, struct slice info)
{
    struct buf b = { 0 };

    buf_append_slice(&b, ENVELOPE_OPEN);
    buf_append_slice(&b, result.ptr ? result : SLICE_LIT("null"));
    if (info.ptr) {
        buf_append_cstr(&b, ",\"result_info\":");
        buf_append_slice(&b, info);
    }
    buf_append_slice(&b, ENVELOPE_CLOSE);
    envelope_send(req, &b);
}

void envelope_error(struct http_request *req, const struct error *err)
{
    struct buf b = { 0 };

    buf_printf(&b, "{\"success\":false,\"errors\":[{\"code\":%d,\"message\":", status_code(err->status));
    json_write_cstr(&b, err->msg);
    buf_append_cstr(&b, "}],\"messages\":[],\"result\":null}");
    /* Clients repeat what ended with 5xx; only what certainly did nothing may be repeated. */
    if (status_http(err->status) == 500)
        http_respond_header(req, "x-should-retry", SLICE_LIT("false"));
    if (err->status == STATUS_RATE || err->status == STATUS_BUSY)
        http_respond_header(req, "Retry-After", SLICE_LIT("1"));
    http_respond(req, status_http(err->status), "application/json", &b);
}

static void malformed(struct http_request *req, const char *what)
{
    struct error err;

    IGNORE_RESULT(error_set(&err, STATUS_INVALID, 0, "The request is malformed: %s", what)); /* fills err */
    envelope_error(req, &err);
}

enum status envelope_parse(struct http_request *req, const struct json **ret, struct error *err)
{
    static const struct json empty = { .type = JSON_OBJECT };
    struct json *v;

    if (slice_trim(req->body).len == 0) {
        *ret = &empty;
        return STATUS_OK;
    }
    enum status st = json_parse(req->body, JSON_STRICT, req->arena, &v, err);
    if (st == STATUS_INVALID)
        return error_prefix(err, "The request is malformed: the body is not valid JSON");
    if (st == STATUS_OK && v->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID, 0, "The request is malformed: the body must be a JSON object");
    if (st == STATUS_OK)
        *ret = v;
    return st;
}

bool envelope_body(struct http_request *req, const struct json **ret)
{
    struct error err;

    if (envelope_parse(req, ret, &err) == STATUS_OK)
        return true;
    envelope_error(req, &err);
    return false;
}

void envelope_page_info(struct buf *b, size_t page, size_t per_page, size_t count, size_t total)
{
    buf_printf(b, "{\"page\":%zu,\"per_page\":%zu,\"count\":%zu,\"total_count\":%zu,\"total_pages\":%zu}", page,
               per_page, count, total, (total + per_page - 1) / per_page);
}

static bool query_number(struct http_request *req, const char *name, size_t fallback, size_t max, size_t *ret)
{
    struct slice text = http_query(req, name);
    uint64_t v = fallback;

    if (text.ptr && (!slice_to_u64(text, UINT32_MAX, &v) || v == 0)) {
        malformed(req, "page and per_page must be whole numbers from 1");
        return false;
    }
    *ret = v > max ? max : v;
    return true;
}

bool envelope_page(struct http_request *req, size_t default_per_page, size_t max_per_page, size_t *ret_page,
                   size_t *ret_per_page)
{
    return query_number(req, "page", 1, UINT32_MAX, ret_page) &&
           query_number(req, "per_page", default_per_page, max_per_page, ret_per_page);
}

/* ---- blocking handlers ---- */

static void call_deliver(struct loop_msg *msg)
{
    struct blocking_call *call = CONTAINER_OF(msg, struct blocking_call, msg);

    if (call->then)
        call->then(call);
    else if (call->status != STATUS_OK)
        envelope_error(call->req, &call->err);
    else
        envelope_ok(call->req, buf_slice(&call->result), buf_slice(&call->info));
    buf_release(&call->result);
    buf_release(&call->info);
    free(call);
}

static void call_run(struct job *job)
{
    struct blocking_call *call = CONTAINER_OF(job, struct blocking_call, job);

    call->status = call->work(call);
    loop_post(call->req->loop, &call->msg);
}

void blocking_call(struct http_request *req, struct pool *pool, enum status (*work)(struct blocking_call *call),
                   void (*then)(struct blocking_call *call), void *arg)
{
    struct blocking_call *call = calloc(1, sizeof(*call));

    if (!call || !http_request_keep(req)) {
        struct error err;
        free(call);
        IGNORE_RESULT(error_set(&err, STATUS_NOMEM, 0, "out of memory")); /* fills err */
        envelope_error(req, &err);
        return;
    }
    call->req = req;
    call->work = work;
    call->then = then;
    call->arg = arg;
    call->job.run = call_run;
    call->msg.deliver = call_deliver;
    pool_submit(pool, &call->job);
}
