/* rest_namespaces.c - REST handlers of the namespaces themselves. What writes runs on the job pool. */
#include "kv/rest.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- in and out ---- */

static void write_namespace(struct buf *b, const struct kv_namespace_info *info)
{
    buf_printf(b, "{\"id\":\"%s\",\"title\":", info->id);
    json_write_cstr(b, info->title);
    buf_append_cstr(b, ",\"supports_url_encoding\":true");
    if (info->min_ttl_s != KV_TTL_MIN_S)
        buf_printf(b, ",\"minimum_ttl\":%d", info->min_ttl_s);
    buf_append_char(b, '}');
}

static enum status malformed(struct error *err, const char *text)
{
    return error_set(err, STATUS_INVALID, 0, "The request is malformed: %s", text);
}

/* Absent members leave *info as it is. */
static enum status take_body(const struct json *body, struct kv_namespace_info *info, struct error *err)
{
    const struct json *title = json_get(body, "title"), *min_ttl = json_get(body, "minimum_ttl");
    int64_t seconds;

    if (title &&
        (title->type != JSON_STRING || title->text.len > KV_TITLE_MAX || memchr(title->text.ptr, 0, title->text.len)))
        return malformed(err, "title must be a string of at most 512 bytes");
    if (title)
        snprintf(info->title, sizeof(info->title), "%.*s", SLICE_FMT(title->text));
    if (!min_ttl || min_ttl->type == JSON_NULL)
        return STATUS_OK;
    if (!json_i64(min_ttl, &seconds) || seconds < 1 || seconds > KV_TTL_MIN_S)
        return malformed(err, "minimum_ttl must be a whole number of seconds from 1 to 60");
    info->min_ttl_s = (int)seconds;
    return STATUS_OK;
}

/* A configuration may know the id already: what is made for it is then found by it. */
static enum status take_id(const struct json *body, struct kv_namespace_info *info, struct error *err)
{
    const struct json *v = json_get(body, "id");

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    if (v->type != JSON_STRING || v->text.len != KV_ID_LEN)
        return malformed(err, "id must be 32 hex digits in lower case");
    for (size_t i = 0; i < v->text.len; i++)
        if (!v->text.ptr[i] || !strchr("0123456789abcdef", v->text.ptr[i]))
            return malformed(err, "id must be 32 hex digits in lower case");
    memcpy(info->id, v->text.ptr, KV_ID_LEN);
    return STATUS_OK;
}

/* ---- all ---- */

static enum status work_create(struct blocking_call *work)
{
    struct kv_namespace_info info = { .min_ttl_s = KV_TTL_MIN_S };
    const struct json *body = work->arg;
    enum status st = json_get(body, "title") ? take_body(body, &info, &work->err)
                                             : malformed(&work->err, "title is missing");

    if (st == STATUS_OK)
        st = take_id(body, &info, &work->err);
    if (st == STATUS_OK)
        st = kv_create(api_of(work->req)->kv, &info, &work->err);
    if (st == STATUS_OK)
        write_namespace(&work->result, &info);
    return st;
}

void kv_rest_create(struct http_request *req)
{
    const struct json *body;

    if (api_account(req, API_WRITE) && api_keep_body(req, &body))
        blocking_call(req, store_job_pool(api_of(req)->store), work_create, NULL, (void *)body);
}

static bool take_list_options(struct http_request *req, size_t *ret_page, struct kv_list_options *ret)
{
    struct slice order = http_query(req, "order"), direction = http_query(req, "direction");
    const struct token_grant *grant = req->auth;

    if (!envelope_page(req, 20, 1000, ret_page, &ret->limit))
        return false;
    if ((order.len && !slice_eq(order, SLICE_LIT("id")) && !slice_eq(order, SLICE_LIT("title"))) ||
        (direction.len && !slice_eq(direction, SLICE_LIT("asc")) && !slice_eq(direction, SLICE_LIT("desc")))) {
        api_fail(req, STATUS_INVALID, "The request is malformed: order is id or title, direction is asc or desc");
        return false;
    }
    ret->order = !order.len ? KV_BY_AGE : order.ptr[0] == 'i' ? KV_BY_ID : KV_BY_TITLE;
    ret->descending = slice_eq(direction, SLICE_LIT("desc"));
    ret->offset = (*ret_page - 1) * ret->limit;
    /* A token for one namespace sees that one. */
    ret->only_id = grant_allows(grant, NULL, false) ? NULL : grant->database;
    return true;
}

void kv_rest_list(struct http_request *req)
{
    struct kv_list_options opt;
    struct kv_namespace_info *list;
    struct buf result = { 0 }, info = { 0 };
    struct error err;
    size_t page, n, total;

    if (!take_list_options(req, &page, &opt))
        return;
    if (kv_list_namespaces(api_of(req)->kv, &opt, &list, &n, &total, &err) != STATUS_OK) {
        envelope_error(req, &err);
        return;
    }
    buf_append_char(&result, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_append_char(&result, ',');
        write_namespace(&result, &list[i]);
    }
    buf_append_char(&result, ']');
    free(list);
    envelope_page_info(&info, page, opt.limit, n, total);
    envelope_ok(req, buf_slice(&result), buf_slice(&info));
    buf_release(&result);
    buf_release(&info);
}

/* ---- one ---- */

/* A reference to the path's namespace; NULL: it has answered. */
static struct kv_namespace *take_namespace(struct http_request *req, enum api_right right)
{
    struct kv_namespace *ns;
    struct error err;

    if (call_namespace(req, req->params[1], right, &ns, &err) == STATUS_OK)
        return kv_namespace_ref(ns);
    rest_fail(req, NULL, &err);
    return NULL;
}

void kv_rest_namespace(struct http_request *req)
{
    struct kv_namespace *ns = take_namespace(req, API_READ);
    struct kv_namespace_info info;
    struct buf result = { 0 };

    if (!ns)
        return;
    kv_namespace_info(ns, &info);
    kv_namespace_unref(ns);
    write_namespace(&result, &info);
    envelope_ok(req, buf_slice(&result), SLICE_NONE);
    buf_release(&result);
}

static enum status work_update(struct blocking_call *work)
{
    struct kv_namespace *ns = work->arg;
    const struct json *body = work->req->user;
    struct kv_namespace_info info;

    kv_namespace_info(ns, &info);
    enum status st = json_get(body, "title") || json_get(body, "minimum_ttl")
                         ? take_body(body, &info, &work->err)
                         : malformed(&work->err, "give title or minimum_ttl");
    if (st == STATUS_OK)
        st = kv_update(api_of(work->req)->kv, ns, &info, &work->err);
    if (st == STATUS_OK)
        write_namespace(&work->result, &info);
    kv_namespace_unref(ns);
    return st;
}

void kv_rest_update(struct http_request *req)
{
    const struct json *body;

    if (!api_keep_body(req, &body))
        return;
    struct kv_namespace *ns = take_namespace(req, API_WRITE);
    req->user = (void *)body;
    if (ns)
        blocking_call(req, store_job_pool(api_of(req)->store), work_update, NULL, ns);
}

static enum status work_remove(struct blocking_call *work)
{
    struct kv_namespace *ns = work->arg;
    struct api *api = api_of(work->req);
    struct error why;
    enum status st = kv_delete(api->kv, ns, &work->err);

    /* The namespace is gone either way; what is left over of it is only bookkeeping. */
    if (st == STATUS_OK && tokens_revoke_database(api->tokens, kv_namespace_id(ns), &why) != STATUS_OK)
        log_line(LOG_WARN, "namespace %s is deleted, but its tokens are not: %s", kv_namespace_id(ns), why.msg);
    kv_namespace_unref(ns);
    return st == STATUS_NODB ? error_set(&work->err, STATUS_KVNONAMESPACE, 0, "get namespace: 'namespace not found'")
                             : st;
}

void kv_rest_remove(struct http_request *req)
{
    struct kv_namespace *ns = take_namespace(req, API_WRITE);

    if (ns)
        blocking_call(req, store_job_pool(api_of(req)->store), work_remove, NULL, ns);
}
