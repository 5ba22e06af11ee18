/* rest.c - what REST handlers share, and those that read. */
#include "kv/rest.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- shared ---- */

static bool is_about_a_key(enum status st)
{
    return st == STATUS_KVNOKEY || st == STATUS_KVKEY || st == STATUS_KVVALUE || st == STATUS_KVINVALID ||
           st == STATUS_CHANGED;
}

void rest_fail(struct http_request *req, const char *op, const struct error *err)
{
    if (err->status == STATUS_KVNONAMESPACE)
        api_fail(req, err->status, "get namespace: '%s'", err->msg);
    else if (is_about_a_key(err->status))
        api_fail(req, err->status, "%s: '%s'", op, err->msg);
    else
        envelope_error(req, err);
}

void rest_end(struct kv_call *call, const char *op)
{
    call_end(call);
    rest_fail(call->req, op, &call->err);
}

struct kv_call *rest_call(struct http_request *req, enum api_right right)
{
    struct kv_namespace *ns;
    struct error err;

    if (call_namespace(req, req->params[1], right, &ns, &err) != STATUS_OK) {
        rest_fail(req, NULL, &err);
        return NULL;
    }
    struct kv_call *call = call_new(req, ns);
    if (!call)
        api_fail(req, STATUS_NOMEM, "out of memory");
    return call;
}

/* ---- large bodies ---- */

static void spool_failed(struct http_request *req, const struct error *err)
{
    envelope_error(req, err);
}

/* The namespace is looked for anew when the body is whole: it may be gone by then. */
void rest_spool(struct http_request *req, uint64_t keep_bytes, void (*whole)(struct http_request *req, struct spool *s))
{
    struct kv_namespace *ns;
    struct error err;

    if (!spool_wants(req))
        return;
    if (call_namespace(req, req->params[1], API_WRITE, &ns, &err) != STATUS_OK) {
        rest_fail(req, NULL, &err);
        return;
    }
    call_spool(req, keep_bytes, whole, spool_failed);
}

struct kv_call *rest_call_spooled(struct http_request *req, struct spool *s)
{
    struct kv_call *call = rest_call(req, API_WRITE);

    if (call)
        call_take_spool(call, s);
    else
        spool_free(s);
    return call;
}

/* ---- one key ---- */

void rest_respond_version(struct http_request *req, uint64_t version)
{
    char text[24];
    size_t at = sizeof(text);

    text[--at] = '"';
    do {
        text[--at] = (char)('0' + version % 10);
        version /= 10;
    } while (version);
    text[--at] = '"';
    http_respond_header(req, "ETag", slice_of(text + at, sizeof(text) - at));
}

static void respond_expiration(struct http_request *req, const struct kv_value *v)
{
    char text[32];

    if (!v->expires_ms)
        return;
    snprintf(text, sizeof(text), "%" PRId64, kv_expiration_s(v->expires_ms));
    http_respond_header(req, "expiration", slice_cstr(text));
}

static void key_not_found(struct http_request *req)
{
    api_fail(req, STATUS_KVNOKEY, "get: 'key not found'");
}

static void send_found(struct http_request *req, struct kv_value *v)
{
    rest_respond_version(req, v->version);
    respond_expiration(req, v);
    http_respond_bytes(req, 200, "application/octet-stream", kv_value_bytes(v));
}

static void get_done(struct kv_call *call)
{
    struct http_request *req = call->req;

    if (call->status != STATUS_OK) {
        rest_end(call, "get");
        return;
    }
    if (call->read.value->absent) {
        kv_value_unref(call->read.value);
        call_end(call);
        key_not_found(req);
        return;
    }
    rest_respond_version(req, call->read.value->version);
    respond_expiration(req, call->read.value);
    call_send_value(call, "application/octet-stream");
}

/* The path's namespace and key for a read; false: it has answered. */
static bool take_key(struct http_request *req, struct kv_namespace **ret)
{
    struct error err;
    enum status st = call_namespace(req, req->params[1], API_READ, ret, &err);

    if (st == STATUS_OK)
        st = kv_check_key(req->params[2], &err);
    if (st != STATUS_OK)
        rest_fail(req, "get", &err);
    return st == STATUS_OK;
}

static void read_further(struct http_request *req, struct kv_namespace *ns, struct kv_place *place, bool want_bytes,
                         void (*done)(struct kv_call *call))
{
    struct kv_call *call = call_new(req, ns);

    place->key = call ? arena_copy(req->arena, place->key) : SLICE_NONE;
    if (!place->key.ptr) {
        if (call)
            call_end(call);
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    call_read(call, place, want_bytes, done);
}

void kv_rest_get(struct http_request *req)
{
    struct kv_namespace *ns;
    struct kv_place place;

    if (!take_key(req, &ns))
        return;
    struct kv_value *v = kv_peek(ns, req->params[2], &place);
    if (!v) {
        read_further(req, ns, &place, true, get_done);
        return;
    }
    if (v->absent)
        key_not_found(req);
    else
        send_found(req, v);
    kv_value_unref(v);
}

/* ---- metadata ---- */

static void answer_metadata(struct http_request *req, const struct kv_value *v)
{
    if (v->absent)
        key_not_found(req);
    else
        envelope_ok(req, kv_value_metadata(v), SLICE_NONE);
}

static void metadata_done(struct kv_call *call)
{
    if (call->status != STATUS_OK) {
        rest_end(call, "get");
        return;
    }
    call_end(call);
    answer_metadata(call->req, call->read.value);
    kv_value_unref(call->read.value);
}

void kv_rest_metadata(struct http_request *req)
{
    struct kv_namespace *ns;
    struct kv_place place;

    if (!take_key(req, &ns))
        return;
    struct kv_value *v = kv_peek(ns, req->params[2], &place);
    if (!v) {
        read_further(req, ns, &place, false, metadata_done);
        return;
    }
    answer_metadata(req, v);
    kv_value_unref(v);
}

/* ---- keys ---- */

static void write_key(struct buf *b, const struct kv_listed *key)
{
    buf_append_cstr(b, "{\"name\":");
    json_write_text(b, key->key);
    if (key->expires_ms)
        buf_printf(b, ",\"expiration\":%" PRId64, kv_expiration_s(key->expires_ms));
    if (key->metadata.len) {
        buf_append_cstr(b, ",\"metadata\":");
        buf_append_slice(b, key->metadata);
    }
    buf_append_char(b, '}');
}

static void keys_done(struct kv_call *call)
{
    struct buf out = buf_take(&call->list.run.out);

    if (call->status != STATUS_OK) {
        buf_release(&out);
        buf_release(&call->list.last);
        rest_end(call, "list");
        return;
    }
    out.limit = 0;
    buf_printf(&out, "],\"result_info\":{\"count\":%zu,\"cursor\":\"", call->list.n);
    if (call->list.more)
        cursor_write(&out, buf_slice(&call->list.last));
    buf_append_cstr(&out, "\"}}");
    buf_release(&call->list.last);
    call_end(call);
    envelope_send(call->req, &out);
}

void kv_rest_keys(struct http_request *req)
{
    struct kv_call *call = rest_call(req, API_READ);

    if (!call)
        return;
    buf_append_slice(&call->list.run.out, ENVELOPE_OPEN);
    buf_append_char(&call->list.run.out, '[');
    call->list.write_key = write_key;
    call_list(call, http_query(req, "limit"), keys_done);
}
