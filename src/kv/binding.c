/* binding.c - see binding.h. Texts are those of Cloudflare's local runtime. */
#include "kv/binding.h"

#include "base/clock.h"
#include "kv/call.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- answers ---- */

void kv_binding_error(struct http_request *req, const struct error *err)
{
    /* A 404 would read as "no such key". */
    int status = status_http(err->status) == 404 ? 400 : status_http(err->status);
    struct buf body = { 0 };

    buf_append_cstr(&body, err->msg);
    http_respond_reason(req, slice_cstr(err->msg));
    http_respond(req, status, "text/plain; charset=utf-8", &body);
}

static void end(struct kv_call *call)
{
    call_end(call);
    kv_binding_error(call->req, &call->err);
}

static void no_memory(struct http_request *req)
{
    struct error err;

    IGNORE_RESULT(error_set(&err, STATUS_NOMEM, 0, "out of memory")); /* fills err */
    kv_binding_error(req, &err);
}

static void not_found(struct http_request *req)
{
    http_respond_bytes(req, 404, NULL, SLICE_NONE);
}

/* ---- the request ---- */

static enum status take_namespace(struct http_request *req, enum api_right right, struct kv_namespace **ret,
                                  struct error *err)
{
    return call_namespace(req, http_header(req, KV_BINDING_HEADER), right, ret, err);
}

/* The call on the header's namespace. NULL: it has answered. */
static struct kv_call *begin(struct http_request *req, enum api_right right)
{
    struct kv_namespace *ns;
    struct error err;

    if (take_namespace(req, right, &ns, &err) != STATUS_OK) {
        kv_binding_error(req, &err);
        return NULL;
    }
    struct kv_call *call = call_new(req, ns);
    if (!call)
        no_memory(req);
    return call;
}

/* The path is the key. */
static enum status take_key(struct http_request *req, struct slice *ret, struct error *err)
{
    struct slice key = slice_from(req->path, 1);

    if (slice_eq_nocase(http_query(req, "urlencoded"), SLICE_LIT("true")) && memchr(key.ptr, '%', key.len)) {
        key = http_percent_decode(req->arena, key, false);
        if (!key.ptr)
            return error_set(err, STATUS_KVINVALID, 0, "Could not URL-decode key name");
    }
    *ret = key;
    return kv_check_key(key, err);
}

/* ---- get ---- */

static void respond_headers(struct http_request *req, const struct kv_value *v)
{
    char text[32];

    if (v->expires_ms) {
        snprintf(text, sizeof(text), "%" PRId64, kv_expiration_s(v->expires_ms));
        http_respond_header(req, "CF-Expiration", slice_cstr(text));
    }
    if (v->has_metadata)
        http_respond_header(req, "CF-KV-Metadata", kv_value_metadata(v));
}

static void get_done(struct kv_call *call)
{
    struct http_request *req = call->req;

    if (call->status != STATUS_OK) {
        end(call);
        return;
    }
    if (call->read.value->absent) {
        kv_value_unref(call->read.value);
        call_end(call);
        not_found(req);
        return;
    }
    respond_headers(req, call->read.value);
    call_send_value(call, NULL);
}

static void send_known(struct http_request *req, struct kv_value *v)
{
    respond_headers(req, v);
    http_respond_bytes(req, 200, NULL, kv_value_bytes(v));
}

static void read_further(struct http_request *req, struct kv_namespace *ns, struct kv_place *place)
{
    struct kv_call *call = call_new(req, ns);

    place->key = call ? arena_copy(req->arena, place->key) : SLICE_NONE;
    if (place->key.ptr) {
        call_read(call, place, true, get_done);
        return;
    }
    if (call)
        call_end(call);
    no_memory(req);
}

static void get(struct http_request *req)
{
    struct kv_namespace *ns;
    struct kv_place place;
    struct slice key;
    struct error err;
    enum status st = take_namespace(req, API_READ, &ns, &err);

    if (st == STATUS_OK) {
        st = take_key(req, &key, &err);
        if (st == STATUS_OK)
            st = kv_check_cache_ttl(http_query(req, "cache_ttl"), &err);
    }
    if (st != STATUS_OK) {
        kv_binding_error(req, &err);
        return;
    }
    struct kv_value *v = kv_peek(ns, key, &place);
    if (!v) {
        read_further(req, ns, &place);
        return;
    }
    if (v->absent)
        not_found(req);
    else
        send_known(req, v);
    kv_value_unref(v);
}

/* ---- put and delete ---- */

static void written(struct kv_call *call)
{
    if (call->status != STATUS_OK) {
        end(call);
        return;
    }
    call_end(call);
    http_respond_bytes(call->req, 200, NULL, SLICE_NONE);
}

/* Kept as it came, since that is what a Worker gets back; but lists have it inside their own JSON. */
static enum status check_metadata(struct slice metadata, struct error *err)
{
    enum status st = kv_check_metadata(metadata.len, err);

    if (st == STATUS_OK && metadata.len && !json_is_valid(metadata))
        st = error_set(err, STATUS_KVINVALID, 0, "Metadata must be valid JSON");
    return st;
}

static enum status take_put(struct kv_call *call)
{
    struct http_request *req = call->req;
    struct kv_put *put = &call->write.put;
    struct slice metadata = http_header(req, "CF-KV-Metadata");
    enum status st = take_key(req, &put->key, &call->err);

    if (st == STATUS_OK)
        st = kv_take_expiry(http_query(req, "expiration"), http_query(req, "expiration_ttl"),
                            kv_namespace_min_ttl_s(call->ns), clock_wall_ms(), &put->expires_ms, &call->err);
    if (st == STATUS_OK)
        st = check_metadata(metadata, &call->err);
    if (st == STATUS_OK)
        st = kv_check_value(call->body_total, &call->err);
    if (st != STATUS_OK)
        return st;
    put->key = arena_copy(req->arena, put->key);
    put->metadata = metadata.len ? arena_copy(req->arena, metadata) : SLICE_NONE;
    put->value = call->body;
    if (!put->key.ptr || (metadata.len && !put->metadata.ptr))
        return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    return STATUS_OK;
}

static void put(struct kv_call *call)
{
    if (call_keep_body(call) != STATUS_OK || take_put(call) != STATUS_OK)
        end(call);
    else
        call_write(call, written);
}

static void put_whole(struct http_request *req, struct spool *s)
{
    struct kv_call *call = begin(req, API_WRITE);

    if (!call) {
        spool_free(s);
        return;
    }
    call_take_spool(call, s);
    put(call);
}

static void put_small(struct http_request *req)
{
    struct kv_call *call = begin(req, API_WRITE);

    if (call)
        put(call);
}

void kv_binding_begin(struct http_request *req)
{
    struct kv_namespace *ns;
    struct error err;

    if (req->method != HTTP_M_PUT || !spool_wants(req))
        return;
    if (take_namespace(req, API_WRITE, &ns, &err) != STATUS_OK) {
        kv_binding_error(req, &err);
        return;
    }
    call_spool(req, KV_VALUE_MAX, put_whole, kv_binding_error);
}

static void delete (struct http_request *req)
{
    struct kv_call *call = begin(req, API_WRITE);
    struct slice key;

    if (!call)
        return;
    call->write.kind = KV_DELETE;
    enum status st = take_key(req, &key, &call->err);
    call->write.put.key = st == STATUS_OK ? arena_copy(req->arena, key) : SLICE_NONE;
    if (st == STATUS_OK && !call->write.put.key.ptr)
        st = error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    if (st != STATUS_OK)
        end(call);
    else
        call_write(call, written);
}

/* ---- list ---- */

/* workerd reads metadata from a string of JSON. */
static void write_key(struct buf *b, const struct kv_listed *key)
{
    buf_append_cstr(b, "{\"name\":");
    json_write_text(b, key->key);
    if (key->expires_ms)
        buf_printf(b, ",\"expiration\":%" PRId64, kv_expiration_s(key->expires_ms));
    if (key->metadata.len) {
        buf_append_cstr(b, ",\"metadata\":");
        json_write_text(b, key->metadata);
    }
    buf_append_char(b, '}');
}

static void listed(struct kv_call *call)
{
    struct buf out = buf_take(&call->list.run.out);

    if (call->status != STATUS_OK) {
        buf_release(&out);
        buf_release(&call->list.last);
        end(call);
        return;
    }
    out.limit = 0;
    buf_append_cstr(&out, "],\"list_complete\":");
    buf_append_cstr(&out, call->list.more ? "false,\"cursor\":\"" : "true");
    if (call->list.more) {
        cursor_write(&out, buf_slice(&call->list.last));
        buf_append_char(&out, '"');
    }
    buf_append_cstr(&out, ",\"cacheStatus\":null}");
    buf_release(&call->list.last);
    call_end(call);
    http_respond(call->req, 200, "application/json", &out);
}

static void list(struct http_request *req)
{
    struct kv_call *call = begin(req, API_READ);

    if (!call)
        return;
    buf_append_cstr(&call->list.run.out, "{\"keys\":[");
    call->list.write_key = write_key;
    call_list(call, http_query(req, "key_count_limit"), listed);
}

/* ---- bulk get ---- */

static void values_read(struct kv_call *call)
{
    struct buf out = buf_take(&call->bulk_read.run.out);

    if (call->status != STATUS_OK) {
        buf_release(&out);
        end(call);
        return;
    }
    call_end(call);
    http_respond(call->req, 200, "application/json", &out);
}

static void bulk_get(struct http_request *req)
{
    struct kv_call *call = begin(req, API_READ);
    struct json *body;

    if (!call)
        return;
    enum status st = http_request_keep_body(req) ? STATUS_OK : error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    if (st == STATUS_OK && (st = json_parse(req->body, JSON_STRICT, req->arena, &body, &call->err)) == STATUS_OK)
        st = bulk_take_request(call, body);
    if (st != STATUS_OK)
        end(call);
    else
        call_bulk_read(call, values_read);
}

/* ---- which ---- */

void kv_binding(struct http_request *req)
{
    if (req->method == HTTP_M_PUT)
        put_small(req);
    else if (req->method == HTTP_M_DELETE)
        delete (req);
    else if (req->method == HTTP_M_POST)
        bulk_get(req);
    else if (slice_eq(req->path, SLICE_LIT("/")))
        list(req);
    else
        get(req);
}
