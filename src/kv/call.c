/* call.c - see call.h. */
#include "kv/call.h"

#include "base/base64.h"

#include <stdatomic.h>

enum {
    BULK_BYTES_MAX = 25 * 1024 * 1024,
    BULK_ANSWER_MAX = 64 * 1024 * 1024, /* in JSON a byte may become six */
    FORMAT_ON_LOOP_BYTES = 256 * 1024,
    LIST_BYTES_MAX = 16 * 1024 * 1024,
};

/* ---- the call ---- */

enum status call_namespace(struct http_request *req, struct slice id, enum api_right right, struct kv_namespace **ret,
                           struct error *err)
{
    struct kv_namespace *ns = kv_find_on_loop(api_of(req)->kv, req->loop->index, id);

    /* A token for one namespace learns nothing of the others, not even which there are. */
    if (ns ? !grant_allows(req->auth, kv_namespace_id(ns), right == API_WRITE)
           : !grant_allows(req->auth, NULL, false)) {
        return error_set(err, STATUS_FORBIDDEN, 0, "Authentication error: this token may not %s this namespace",
                         right == API_WRITE ? "write to" : "read");
    }
    if (!ns)
        return error_set(err, STATUS_KVNONAMESPACE, 0, "namespace not found");
    *ret = ns;
    return STATUS_OK;
}

struct kv_call *call_new(struct http_request *req, struct kv_namespace *ns)
{
    struct kv_call *call = ARENA_NEW(req->arena, struct kv_call);

    if (!call)
        return NULL;
    call->req = req;
    call->ns = kv_namespace_ref(ns);
    call->body = req->body;
    call->body_total = req->body.len;
    return call;
}

void call_end(struct kv_call *call)
{
    spool_free(TAKE_PTR(call->spool));
    kv_namespace_unref(TAKE_PTR(call->ns));
}

enum status call_keep_body(struct kv_call *call)
{
    if (call->spool || call->body.len <= KV_SMALL_MAX)
        return STATUS_OK;
    if (!http_request_keep_body(call->req))
        return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    call->body = call->req->body;
    return STATUS_OK;
}

void call_spool(struct http_request *req, uint64_t keep_bytes, void (*whole)(struct http_request *req, struct spool *s),
                void (*failed)(struct http_request *req, const struct error *err))
{
    struct store *store = api_of(req)->store;

    spool_begin(req, &(struct spool_options){ .data_dir = store_dir(store),
                                              .pool = store_job_pool(store),
                                              .keep_bytes = keep_bytes,
                                              .whole = whole,
                                              .failed = failed });
}

void call_take_spool(struct kv_call *call, struct spool *s)
{
    call->spool = s;
    call->body = spool_bytes(s);
    call->body_total = spool_total(s);
}

/* D1's words for what happens to a database, in those for a namespace. */
static void translate(struct error *err)
{
    if (err->status == STATUS_NODB)
        IGNORE_RESULT(error_set(err, STATUS_KVNONAMESPACE, 0, "namespace not found")); /* fills err */
    else if (err->status == STATUS_BUSY)
        IGNORE_RESULT(error_set(err, STATUS_BUSY, 0, "Too many writes wait for this namespace")); /* fills err */
    else if (err->status == STATUS_FULL)
        err->status = STATUS_NOSPACE; /* D1 blames the request, and clients of KV would not try again */
}

/* ---- cursors ---- */

void cursor_write(struct buf *b, struct slice key)
{
    base64url_encode(b, key);
}

enum status cursor_read(struct slice cursor, struct arena *a, struct slice *ret_key, struct error *err)
{
    struct buf key = { .limit = KV_KEY_MAX + 1 };
    struct error ignored;

    *ret_key = SLICE_NONE;
    if (!cursor.len)
        return STATUS_OK;
    bool ok = base64_decode(&key, cursor) && !key.overflowed && kv_check_key(buf_slice(&key), &ignored) == STATUS_OK;
    if (ok)
        *ret_key = arena_copy(a, buf_slice(&key));
    buf_release(&key);
    if (!ok)
        return error_set(err, STATUS_KVINVALID, 0, "Invalid cursor");
    return ret_key->ptr ? STATUS_OK : error_set(err, STATUS_NOMEM, 0, "out of memory");
}

/* ---- starting ---- */

static void on_gone(struct http_request *req)
{
    struct sql_request *run = req->user;

    atomic_store(&run->cancelled, true);
}

static void prepare(struct kv_call *call, struct sql_request *run, void (*done)(struct kv_call *call))
{
    run->loop = call->req->loop;
    run->err = &call->err;
    call->req->user = run;
    call->req->on_gone = on_gone;
    call->done = done;
}

static void finish(struct kv_call *call, const struct sql_request *run)
{
    call->status = run->status;
    if (call->status != STATUS_OK)
        translate(&call->err);
    call->done(call);
}

static void read_done(struct kv_read *r)
{
    finish(CONTAINER_OF(r, struct kv_call, read), &r->run);
}

void call_read(struct kv_call *call, struct kv_place *place, bool want_bytes, void (*done)(struct kv_call *call))
{
    prepare(call, &call->read.run, done);
    call->read.ns = call->ns;
    call->read.place = *place;
    call->read.want_bytes = want_bytes;
    call->read.done = read_done;
    if (kv_read_start(&call->read))
        finish(call, &call->read.run);
}

static void write_done(struct kv_write *w)
{
    finish(CONTAINER_OF(w, struct kv_call, write), &w->run);
}

void call_write(struct kv_call *call, void (*done)(struct kv_call *call))
{
    prepare(call, &call->write.run, done);
    call->write.ns = call->ns;
    call->write.done = write_done;
    kv_write_start(&call->write);
}

static void list_done(struct kv_list *l)
{
    finish(CONTAINER_OF(l, struct kv_call, list), &l->run);
}

static enum status take_list_options(struct kv_call *call, struct slice limit)
{
    struct kv_list *l = &call->list;
    struct slice prefix = http_query(call->req, "prefix");
    enum status st = kv_take_limit(limit, &l->limit, &call->err);

    l->prefix = prefix.ptr ? prefix : SLICE_LIT("");
    if (st == STATUS_OK)
        st = kv_check_prefix(l->prefix, &call->err);
    if (st == STATUS_OK)
        st = cursor_read(http_query(call->req, "cursor"), call->req->arena, &l->after, &call->err);
    return st;
}

void call_list(struct kv_call *call, struct slice limit, void (*done)(struct kv_call *call))
{
    prepare(call, &call->list.run, done);
    call->status = take_list_options(call, limit);
    if (call->status != STATUS_OK) {
        done(call);
        return;
    }
    call->list.ns = call->ns;
    call->list.run.out.limit = LIST_BYTES_MAX;
    call->list.done = list_done;
    if (kv_list_start(&call->list))
        finish(call, &call->list.run);
}

static void bulk_write_done(struct kv_bulk_write *w)
{
    finish(CONTAINER_OF(w, struct kv_call, bulk_write), &w->run);
}

void call_bulk_write(struct kv_call *call, void (*done)(struct kv_call *call))
{
    prepare(call, &call->bulk_write.run, done);
    call->bulk_write.ns = call->ns;
    call->bulk_write.done = bulk_write_done;
    kv_bulk_write_start(&call->bulk_write);
}

/* ---- answers ---- */

void call_send_value(struct kv_call *call, const char *content_type)
{
    struct http_request *req = call->req;
    struct kv_value *v = call->read.value;
    int fd = call->read.fd;
    struct buf body = { 0 };

    call_end(call);
    if (fd >= 0) {
        http_respond_file(req, 200, content_type, fd, v->size);
        kv_value_unref(v);
        return;
    }
    buf_append_slice(&body, kv_value_bytes(v));
    kv_value_unref(v);
    http_respond(req, 200, content_type, &body);
}

/* ---- bulk reads ---- */

/* As it is: a tree of it could be ten times its size. */
static enum status write_json_value(struct buf *b, struct slice text, struct error *err)
{
    if (!json_is_valid(text))
        return error_set(err, STATUS_KVINVALID, 0,
                         "At least one of the requested keys corresponds to a non-json value");
    buf_append_slice(b, text);
    return STATUS_OK;
}

static enum status write_value(struct buf *b, const struct kv_value *v, struct bulk_format how, struct error *err)
{
    enum status st = STATUS_OK;

    if (how.with_metadata)
        buf_append_cstr(b, "{\"value\":");
    if (how.as_json)
        st = write_json_value(b, kv_value_bytes(v), err);
    else
        json_write_text(b, kv_value_bytes(v));
    if (st != STATUS_OK || !how.with_metadata)
        return st;
    buf_append_cstr(b, ",\"metadata\":");
    buf_append_slice(b, v->has_metadata ? kv_value_metadata(v) : SLICE_LIT("null"));
    if (how.with_expiration && v->expires_ms)
        buf_printf(b, ",\"expiration\":%lld", (long long)kv_expiration_s(v->expires_ms));
    buf_append_char(b, '}');
    return STATUS_OK;
}

static bool came_before(const struct kv_bulk_read *r, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (slice_eq(r->keys[k], r->keys[i]))
            return true;
    return false;
}

/* Any thread that has the call. */
static enum status write_values(struct kv_call *call)
{
    const struct kv_bulk_read *r = &call->bulk_read;
    struct buf *b = &call->bulk_read.run.out;
    enum status st = STATUS_OK;
    bool any = false;

    buf_append_char(b, '{');
    for (size_t i = 0; i < r->n && st == STATUS_OK; i++) {
        if (came_before(r, i))
            continue;
        if (any)
            buf_append_char(b, ',');
        any = true;
        json_write_text(b, r->keys[i]);
        buf_append_char(b, ':');
        if (r->values[i]->absent)
            buf_append_cstr(b, "null");
        else
            st = write_value(b, r->values[i], call->format, &call->err);
    }
    buf_append_char(b, '}');
    if (st == STATUS_OK && b->overflowed)
        st = error_set(&call->err, STATUS_TOOBIG, 0, "The values are too long for one answer: ask for fewer keys");
    return st;
}

static void values_written(struct kv_call *call)
{
    for (size_t i = 0; i < call->bulk_read.n; i++)
        kv_value_unref(TAKE_PTR(call->bulk_read.values[i]));
    call->done(call);
}

static void run_write_values(struct job *job)
{
    struct kv_call *call = CONTAINER_OF(job, struct kv_call, job);

    call->status = write_values(call);
    loop_post(call->req->loop, &call->msg);
}

static void deliver_values(struct loop_msg *msg)
{
    values_written(CONTAINER_OF(msg, struct kv_call, msg));
}

static void bulk_read_done(struct kv_bulk_read *r)
{
    struct kv_call *call = CONTAINER_OF(r, struct kv_call, bulk_read);
    size_t bytes = 0;

    if (r->run.status != STATUS_OK) {
        finish(call, &r->run);
        return;
    }
    for (size_t i = 0; i < r->n; i++)
        bytes += r->values[i]->bytes_len;
    if (bytes > FORMAT_ON_LOOP_BYTES) {
        call->job.run = run_write_values;
        call->msg.deliver = deliver_values;
        pool_submit(store_job_pool(api_of(call->req)->store), &call->job);
        return;
    }
    call->status = write_values(call);
    values_written(call);
}

void call_bulk_read(struct kv_call *call, void (*done)(struct kv_call *call))
{
    prepare(call, &call->bulk_read.run, done);
    call->bulk_read.ns = call->ns;
    call->bulk_read.max_bytes = BULK_BYTES_MAX;
    call->bulk_read.run.out.limit = BULK_ANSWER_MAX;
    call->bulk_read.done = bulk_read_done;
    if (kv_bulk_read_start(&call->bulk_read))
        bulk_read_done(&call->bulk_read);
}

static enum status take_type(const struct json *body, struct bulk_format *how, struct error *err)
{
    const struct json *type = json_get(body, "type");

    if (!type || type->type == JSON_NULL)
        return STATUS_OK;
    how->as_json = json_is(type, JSON_STRING) && slice_eq(type->text, SLICE_LIT("json"));
    if (how->as_json || (json_is(type, JSON_STRING) && slice_eq(type->text, SLICE_LIT("text"))))
        return STATUS_OK;
    return error_set(err, STATUS_KVINVALID, 0, "\"%.*s\" is not a valid type. Use \"json\" or \"text\"",
                     (int)(type->text.len > 64 ? 64 : type->text.len), type->text.ptr ? type->text.ptr : "");
}

static enum status take_keys(struct kv_call *call, const struct json *keys)
{
    struct kv_bulk_read *r = &call->bulk_read;
    struct slice *list = arena_zalloc(call->req->arena, (keys->n + 1) * sizeof(*list));
    enum status st = STATUS_OK;

    r->values = arena_zalloc(call->req->arena, (keys->n + 1) * sizeof(struct kv_value *));
    if (!list || !r->values)
        return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    r->keys = list;
    r->n = 0;
    for (const struct json *key = keys->child; key && st == STATUS_OK; key = key->next) {
        if (key->type != JSON_STRING)
            st = error_set(&call->err, STATUS_KVINVALID, 0, "keys must be strings");
        else
            st = kv_check_key(key->text, &call->err);
        list[r->n++] = key->text;
    }
    return st;
}

enum status bulk_take_request(struct kv_call *call, const struct json *body)
{
    const struct json *keys = json_get(body, "keys"), *ttl = json_get(body, "cacheTtl");
    const struct json *with_metadata = json_get(body, "withMetadata");
    struct bulk_format how = { .with_metadata = json_is(with_metadata, JSON_TRUE) };
    struct error *err = &call->err;
    enum status st = take_type(body, &how, err);

    if (st == STATUS_OK && !json_is(keys, JSON_ARRAY))
        st = error_set(err, STATUS_KVINVALID, 0, "keys must be an array of strings");
    if (st == STATUS_OK && keys->n > KV_BULK_GET_MAX)
        st = error_set(err, STATUS_KVINVALID, 0, "You can request a maximum of %d keys", KV_BULK_GET_MAX);
    if (st == STATUS_OK && keys->n == 0)
        st = error_set(err, STATUS_KVINVALID, 0, "You must request a minimum of 1 key");
    if (st == STATUS_OK && ttl && (ttl->type == JSON_STRING || ttl->type == JSON_NUMBER))
        st = kv_check_cache_ttl(ttl->text, err);
    if (st == STATUS_OK)
        st = take_keys(call, keys);
    if (st == STATUS_OK)
        call->format = how;
    return st;
}
