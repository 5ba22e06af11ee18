/*
 * rest_bulk.c - REST handlers for many keys. A bulk write is all or nothing: one entry that is not right refuses it, and what is
 * accepted is one transaction. Large bodies are read from disk on a pool thread.
 */
#include "kv/rest.h"

#include "base/base64.h"
#include "base/clock.h"

enum { BULK_BODY_MAX = 100 * 1024 * 1024 };

/* ---- the entries of a write ---- */

static enum status entry_invalid(struct error *err, size_t i, const char *what)
{
    return error_set(err, STATUS_KVINVALID, 0, "entry %zu: %s", i, what);
}

/* Numbers and digits in a string; absent when there is none. False: something else. */
static bool take_number_text(const struct json *entry, const char *name, struct slice *ret)
{
    const struct json *v = json_get(entry, name);

    *ret = SLICE_NONE;
    if (!v || v->type == JSON_NULL)
        return true;
    *ret = v->text;
    return v->type == JSON_NUMBER || v->type == JSON_STRING;
}

static enum status take_entry_expiry(struct kv_call *call, const struct json *entry, size_t i, struct kv_put *put)
{
    struct slice expiration, ttl;

    if (!take_number_text(entry, "expiration", &expiration) || !take_number_text(entry, "expiration_ttl", &ttl))
        return entry_invalid(&call->err, i, "expiration and expiration_ttl must be numbers");
    return kv_take_expiry(expiration, ttl, kv_namespace_min_ttl_s(call->ns), clock_wall_ms(), &put->expires_ms,
                          &call->err);
}

static enum status take_entry_value(struct kv_call *call, const struct json *entry, size_t i, struct kv_put *put)
{
    const struct json *value = json_get(entry, "value");
    struct buf bytes = { 0 };

    if (!json_is(value, JSON_STRING))
        return entry_invalid(&call->err, i, "value must be a string");
    put->value = value->text;
    if (!json_is(json_get(entry, "base64"), JSON_TRUE))
        return kv_check_value(put->value.len, &call->err);
    bool ok = base64_decode(&bytes, value->text);
    put->value = ok ? arena_copy(call->req->arena, buf_slice(&bytes)) : SLICE_NONE;
    buf_release(&bytes);
    if (!ok)
        return entry_invalid(&call->err, i, "value is not base64");
    if (!put->value.ptr)
        return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    return kv_check_value(put->value.len, &call->err);
}

static enum status take_entry_metadata(struct kv_call *call, const struct json *entry, struct kv_put *put)
{
    const struct json *metadata = json_get(entry, "metadata");
    struct buf text = { 0 };

    if (!metadata || metadata->type == JSON_NULL)
        return STATUS_OK;
    json_write_value(&text, metadata);
    enum status st = kv_check_metadata(text.len, &call->err);
    if (st == STATUS_OK)
        put->metadata = arena_copy(call->req->arena, buf_slice(&text));
    if (st == STATUS_OK && !put->metadata.ptr)
        st = error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    buf_release(&text);
    return st;
}

static enum status take_put(struct kv_call *call, const struct json *entry, size_t i, struct kv_put *put)
{
    const struct json *key = json_get(entry, "key");

    if (!json_is(entry, JSON_OBJECT) || !json_is(key, JSON_STRING))
        return entry_invalid(&call->err, i, "must be an object with key and value");
    put->key = key->text;
    enum status st = kv_check_key(put->key, &call->err);
    if (st == STATUS_OK)
        st = take_entry_value(call, entry, i, put);
    if (st == STATUS_OK)
        st = take_entry_expiry(call, entry, i, put);
    return st == STATUS_OK ? take_entry_metadata(call, entry, put) : st;
}

static enum status take_deleted(struct kv_call *call, const struct json *entry, size_t i, struct kv_put *put)
{
    const struct json *key = json_is(entry, JSON_OBJECT) ? json_get(entry, "name") : entry;

    if (!json_is(key, JSON_STRING))
        return entry_invalid(&call->err, i, "must be a key");
    put->key = key->text;
    return kv_check_key(put->key, &call->err);
}

/* Any thread that has the request. */
static enum status take_entries(struct kv_call *call)
{
    struct kv_bulk_write *w = &call->bulk_write;
    struct json *list;

    if (call->body_total > BULK_BODY_MAX)
        return error_set(&call->err, STATUS_KVVALUE, 0, "Total size of request exceeds the limit of %dMB",
                         BULK_BODY_MAX >> 20);
    enum status st = json_parse(call->body, JSON_STRICT, call->req->arena, &list, &call->err);
    if (st != STATUS_OK)
        return st == STATUS_INVALID ? error_prefix(&call->err, "The request is malformed: the body is not valid JSON")
                                    : st;
    if (list->type != JSON_ARRAY)
        return error_set(&call->err, STATUS_INVALID, 0, "The request is malformed: the body must be a JSON array");
    if (list->n > KV_BULK_MAX)
        return error_set(&call->err, STATUS_KVINVALID, 0, "You can write or delete a maximum of %d keys at once",
                         KV_BULK_MAX);
    w->puts = arena_zalloc(call->req->arena, (list->n + 1) * sizeof(*w->puts));
    if (!w->puts)
        return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    for (const struct json *entry = list->child; entry && st == STATUS_OK; entry = entry->next, w->n++)
        st = w->deletes ? take_deleted(call, entry, w->n, &w->puts[w->n]) : take_put(call, entry, w->n, &w->puts[w->n]);
    return st;
}

/* ---- writes ---- */

static const char *op_of(const struct kv_call *call)
{
    return call->bulk_write.deletes ? "bulk delete" : "bulk put";
}

static void bulk_written(struct kv_call *call)
{
    struct buf result = { 0 };

    if (call->status != STATUS_OK) {
        rest_end(call, op_of(call));
        return;
    }
    call_end(call);
    buf_printf(&result, "{\"successful_key_count\":%zu,\"unsuccessful_keys\":[]}", call->bulk_write.n);
    envelope_ok(call->req, buf_slice(&result), SLICE_NONE);
    buf_release(&result);
}

static void write_entries(struct kv_call *call, enum status st)
{
    if (st != STATUS_OK)
        rest_end(call, op_of(call));
    else
        call_bulk_write(call, bulk_written);
}

static enum status work_take_entries(struct blocking_call *work)
{
    return take_entries(work->arg);
}

static void entries_taken(struct blocking_call *work)
{
    write_entries(work->arg, work->status);
}

static void write_spooled(struct http_request *req, struct spool *s, bool deletes)
{
    struct kv_call *call = rest_call_spooled(req, s);

    if (!call)
        return;
    call->bulk_write.deletes = deletes;
    blocking_call(req, store_job_pool(api_of(req)->store), work_take_entries, entries_taken, call);
}

static void put_whole(struct http_request *req, struct spool *s)
{
    write_spooled(req, s, false);
}

static void delete_whole(struct http_request *req, struct spool *s)
{
    write_spooled(req, s, true);
}

void kv_rest_bulk_put_begin(struct http_request *req)
{
    rest_spool(req, BULK_BODY_MAX, put_whole);
}

void kv_rest_bulk_delete_begin(struct http_request *req)
{
    rest_spool(req, BULK_BODY_MAX, delete_whole);
}

static void write_small(struct http_request *req, bool deletes)
{
    struct kv_call *call = rest_call(req, API_WRITE);

    if (!call)
        return;
    call->bulk_write.deletes = deletes;
    if (!http_request_keep_body(req)) {
        call_end(call);
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    call->body = req->body;
    write_entries(call, take_entries(call));
}

void kv_rest_bulk_put(struct http_request *req)
{
    write_small(req, false);
}

void kv_rest_bulk_delete(struct http_request *req)
{
    write_small(req, true);
}

/* ---- reads ---- */

static void answer_values(struct kv_call *call)
{
    struct buf out = buf_take(&call->bulk_read.run.out);

    if (call->status != STATUS_OK) {
        buf_release(&out);
        rest_end(call, "bulk get");
        return;
    }
    out.limit = 0;
    buf_append_cstr(&out, "}}");
    call_end(call);
    envelope_send(call->req, &out);
}

void kv_rest_bulk_get(struct http_request *req)
{
    const struct json *body;

    if (!http_request_keep_body(req)) {
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    if (!envelope_body(req, &body))
        return;
    struct kv_call *call = rest_call(req, API_READ);
    if (!call)
        return;
    if (bulk_take_request(call, body) != STATUS_OK) {
        rest_end(call, "bulk get");
        return;
    }
    call->format.with_expiration = call->format.with_metadata;
    buf_append_slice(&call->bulk_read.run.out, ENVELOPE_OPEN);
    buf_append_cstr(&call->bulk_read.run.out, "{\"values\":");
    call_bulk_read(call, answer_values);
}
