/* rest_write.c - REST handlers that write one key. */
#include "kv/rest.h"

#include "base/clock.h"
#include "http/multipart.h"

#include <inttypes.h>
#include <stdio.h>

enum { FORM_BYTES = KV_VALUE_MAX + 64 * 1024 /* what a form puts round a value, and the metadata */ };

/* ---- conditions ---- */

static bool take_version(struct slice text, uint64_t *ret)
{
    text = slice_trim(text);
    return text.len > 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"' &&
           slice_to_u64(slice_of(text.ptr + 1, text.len - 2), INT64_MAX, ret);
}

static enum status take_condition(struct http_request *req, struct kv_write *w, struct error *err)
{
    struct slice match = http_header(req, "If-Match"), none = http_header(req, "If-None-Match");

    if (match.ptr && none.ptr)
        return error_set(err, STATUS_KVINVALID, 0, "give either If-Match or If-None-Match, not both");
    if (none.ptr && !slice_eq(slice_trim(none), SLICE_LIT("*")))
        return error_set(err, STATUS_KVINVALID, 0, "If-None-Match can only be * here: the key must not exist");
    if (none.ptr)
        w->condition = KV_IF_ABSENT;
    else if (match.ptr && slice_eq(slice_trim(match), SLICE_LIT("*")))
        w->condition = KV_IF_PRESENT;
    else if (match.ptr && take_version(match, &w->if_version))
        w->condition = KV_IF_VERSION;
    else if (match.ptr)
        return error_set(err, STATUS_KVINVALID, 0,
                         "If-Match must be the ETag of an earlier answer, such as \"1024\", or *");
    return STATUS_OK;
}

/* ---- the end of a write ---- */

static void send_nothing(struct http_request *req)
{
    http_respond_bytes(req, 200, "application/json",
                       SLICE_LIT("{\"success\":true,\"errors\":[],\"messages\":[],\"result\":null}"));
}

static void put_done(struct kv_call *call)
{
    if (call->status != STATUS_OK) {
        rest_end(call, "put");
        return;
    }
    call_end(call);
    rest_respond_version(call->req, call->write.version);
    send_nothing(call->req);
}

static void delete_done(struct kv_call *call)
{
    if (call->status != STATUS_OK) {
        rest_end(call, "delete");
        return;
    }
    call_end(call);
    send_nothing(call->req);
}

/* ---- metadata in a form ---- */

static enum status take_metadata(struct slice text, struct arena *a, struct slice *ret, struct error *err)
{
    struct buf compact = { 0 };
    struct json *v;
    enum status st = json_parse(text, JSON_STRICT, a, &v, NULL);

    if (st == STATUS_NOMEM)
        return error_set(err, st, 0, "out of memory");
    if (st != STATUS_OK)
        return error_set(err, STATUS_KVINVALID, 0, "metadata must be valid JSON");
    if (v->type != JSON_NULL)
        json_write_value(&compact, v);
    st = kv_check_metadata(compact.len, err);
    if (st == STATUS_OK && compact.len)
        *ret = arena_copy(a, buf_slice(&compact));
    if (st == STATUS_OK && compact.len && !ret->ptr)
        st = error_set(err, STATUS_NOMEM, 0, "out of memory");
    buf_release(&compact);
    return st;
}

/* The member `key` of the object or, for "[]", a new element of the array; made when it is missing. */
static struct json *descend(struct json *at, struct slice key, struct arena *a)
{
    enum json_type type = key.len ? JSON_OBJECT : JSON_ARRAY;
    struct json **link = &at->child;

    if (at->type == JSON_NULL)
        at->type = type;
    if (at->type != type)
        return NULL;
    while (*link && (!key.len || !slice_eq((*link)->key, key)))
        link = &(*link)->next;
    if (!*link) {
        *link = ARENA_NEW(a, struct json);
        if (!*link)
            return NULL;
        (*link)->key = key;
        at->n++;
    }
    return *link;
}

/* metadata[a][b]: where the SDK puts what is in an object. */
static bool set_member(struct json *root, struct slice path, struct slice text, struct arena *a)
{
    struct json *at = root;

    for (int depth = 0; path.len && at && depth < JSON_MAX_DEPTH / 2; depth++) {
        const char *end = path.ptr[0] == '[' ? memchr(path.ptr, ']', path.len) : NULL;
        if (!end)
            return false;
        at = descend(at, slice_of(path.ptr + 1, (size_t)(end - path.ptr) - 1), a);
        path = slice_from(path, (size_t)(end - path.ptr) + 1);
    }
    if (!at || path.len || at->child)
        return false;
    at->type = JSON_STRING;
    at->text = text;
    return true;
}

static enum status take_flat_metadata(const struct multipart *form, struct arena *a, struct slice *ret,
                                      struct error *err)
{
    struct slice name = SLICE_LIT("metadata");
    struct json root = { .type = JSON_NULL };
    struct buf text = { 0 };
    enum status st = STATUS_OK;

    for (size_t i = 0; i < form->n && st == STATUS_OK; i++) {
        const struct multipart_part *part = &form->parts[i];
        if (!slice_starts(part->name, name) || part->name.len == name.len)
            continue;
        if (!set_member(&root, slice_from(part->name, name.len), part->body, a))
            st = error_set(err, STATUS_KVINVALID, 0, "the form's part %.*s is no member of metadata",
                           (int)(part->name.len > 64 ? 64 : part->name.len), part->name.ptr);
    }
    if (st != STATUS_OK || root.type == JSON_NULL)
        return st;
    json_write_value(&text, &root);
    st = take_metadata(buf_slice(&text), a, ret, err);
    buf_release(&text);
    return st;
}

/* ---- put ---- */

/* The body is the value, or a form with it. Any thread that has the request. */
static enum status take_value(struct kv_call *call)
{
    struct http_request *req = call->req;
    struct kv_put *put = &call->write.put;
    struct slice type = http_header(req, "Content-Type");
    struct multipart form;

    if (!multipart_is_form(type)) {
        put->value = call->body;
        return kv_check_value(call->body_total, &call->err);
    }
    if (call->body_total > call->body.len)
        return kv_check_value(call->body_total, &call->err);
    enum status st = multipart_parse(type, call->body, req->arena, &form, &call->err);
    if (st != STATUS_OK)
        return st;
    const struct multipart_part *value = multipart_find(&form, "value"), *metadata = multipart_find(&form, "metadata");
    if (!value)
        return error_set(&call->err, STATUS_KVINVALID, 0, "the form has no part called value");
    put->value = value->body;
    st = kv_check_value(value->body.len, &call->err);
    if (st == STATUS_OK && metadata && slice_trim(metadata->body).len)
        st = take_metadata(metadata->body, req->arena, &put->metadata, &call->err);
    else if (st == STATUS_OK)
        st = take_flat_metadata(&form, req->arena, &put->metadata, &call->err);
    return st;
}

static enum status take_options(struct kv_call *call)
{
    struct http_request *req = call->req;
    struct kv_write *w = &call->write;
    enum status st = kv_check_key(req->params[2], &call->err);

    w->put.key = arena_copy(req->arena, req->params[2]);
    if (st == STATUS_OK && !w->put.key.ptr)
        st = error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    if (st == STATUS_OK)
        st = take_condition(req, w, &call->err);
    if (st != STATUS_OK || !req->query.len)
        return st;
    struct slice expiration = http_query(req, "expiration"), ttl = http_query(req, "expiration_ttl");
    w->sets_expiry = expiration.ptr || ttl.ptr;
    return kv_take_expiry(expiration, ttl, kv_namespace_min_ttl_s(call->ns), clock_wall_ms(), &w->put.expires_ms,
                          &call->err);
}

void kv_rest_put(struct http_request *req)
{
    struct kv_call *call = rest_call(req, API_WRITE);

    if (!call)
        return;
    if (take_options(call) != STATUS_OK || call_keep_body(call) != STATUS_OK || take_value(call) != STATUS_OK) {
        rest_end(call, "put");
        return;
    }
    call_write(call, put_done);
}

/* Looking for the end of a part runs through all of a large body. */
static enum status work_take_value(struct blocking_call *work)
{
    return take_value(work->arg);
}

static void value_taken(struct blocking_call *work)
{
    struct kv_call *call = work->arg;

    if (work->status != STATUS_OK)
        rest_end(call, "put");
    else
        call_write(call, put_done);
}

static void put_whole(struct http_request *req, struct spool *s)
{
    struct kv_call *call = rest_call_spooled(req, s);

    if (!call)
        return;
    if (take_options(call) != STATUS_OK) {
        rest_end(call, "put");
        return;
    }
    if (!multipart_is_form(http_header(req, "Content-Type"))) {
        if (take_value(call) != STATUS_OK)
            rest_end(call, "put");
        else
            call_write(call, put_done);
        return;
    }
    blocking_call(req, store_job_pool(api_of(req)->store), work_take_value, value_taken, call);
}

void kv_rest_put_begin(struct http_request *req)
{
    rest_spool(req, FORM_BYTES, put_whole);
}

/* ---- delete ---- */

void kv_rest_delete(struct http_request *req)
{
    struct kv_call *call = rest_call(req, API_WRITE);

    if (!call)
        return;
    call->write.kind = KV_DELETE;
    if (take_options(call) != STATUS_OK) {
        rest_end(call, "delete");
        return;
    }
    call_write(call, delete_done);
}

/* ---- counters ---- */

static void increment_done(struct kv_call *call)
{
    struct buf result = { 0 };

    if (call->status != STATUS_OK) {
        rest_end(call, "increment");
        return;
    }
    call_end(call);
    rest_respond_version(call->req, call->write.version);
    /* As text: a JSON number of 64 bits would lose digits in JavaScript. */
    buf_printf(&result, "{\"value\":\"%" PRId64 "\"}", call->write.sum);
    envelope_ok(call->req, buf_slice(&result), SLICE_NONE);
    buf_release(&result);
}

static bool take_by(const struct json *body, int64_t *ret)
{
    const struct json *by = json_get(body, "by");

    *ret = 1;
    return !by || json_i64(by, ret) || (by->type == JSON_STRING && slice_to_i64(by->text, ret));
}

void kv_rest_increment(struct http_request *req)
{
    const struct json *body;

    if (!envelope_body(req, &body))
        return;
    struct kv_call *call = rest_call(req, API_WRITE);
    if (!call)
        return;
    call->write.kind = KV_ADD;
    enum status st = take_options(call);
    if (st == STATUS_OK && !take_by(body, &call->write.add))
        st = error_set(&call->err, STATUS_KVINVALID, 0, "by must be a whole number of 64 bits");
    if (st != STATUS_OK) {
        rest_end(call, "increment");
        return;
    }
    call_write(call, increment_done);
}
