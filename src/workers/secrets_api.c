/*
 * secrets_api.c - a Worker's secrets: each change makes a version and deploys it, as Cloudflare does; `versions secret` makes
 * the version only. See handlers.h. No answer ever holds a secret's text.
 */
#include "workers/change.h"
#include "workers/handlers.h"

enum { SECRETS_MAX = 1000 };

#define BY_SECRET SLICE_LIT("{\"workers/triggered_by\":\"secret\"}")

/* ---- list ---- */

static void write_secret(struct buf *b, struct slice name)
{
    buf_append_cstr(b, "{\"name\":");
    json_write_text(b, name);
    buf_append_cstr(b, ",\"type\":\"secret_text\"}");
}

static enum status work_list(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    const struct json *list = json_get(worker_latest(w)->document, "bindings");
    buf_append_char(&call->result, '[');
    for (const struct json *b = list ? list->child : NULL; b; b = b->next) {
        if (!document_is_secret(b))
            continue;
        if (call->result.len > 1)
            buf_append_char(&call->result, ',');
        write_secret(&call->result, json_get_text(b, "name"));
    }
    buf_append_char(&call->result, ']');
    return STATUS_OK;
}

void secrets_list(struct http_request *req)
{
    worker_call(req, API_READ, work_list);
}

static enum status no_secret(struct blocking_call *call, struct slice name)
{
    return error_set(&call->err, STATUS_SECRET, 0, "Binding '%.*s' not found: the Worker has no such secret",
                     SLICE_FMT(name));
}

static enum status work_get(struct blocking_call *call)
{
    struct worker *w;
    struct slice name = call->req->params[2];
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    const struct json *b = document_binding(worker_latest(w)->document, name);
    if (!b || !document_is_secret(b))
        return no_secret(call, name);
    write_secret(&call->result, name);
    return STATUS_OK;
}

void secrets_get(struct http_request *req)
{
    worker_call(req, API_READ, work_get);
}

/* ---- changes ---- */

static enum status check_removed(struct blocking_call *call, const struct worker *w, const struct secret_change *list,
                                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct json *b = document_binding(worker_latest(w)->document, list[i].name);
        if (!list[i].text.ptr && !(b && document_is_secret(b)))
            return no_secret(call, list[i].name);
    }
    return STATUS_OK;
}

static enum status changed_bindings(struct blocking_call *call, const struct worker *w,
                                    const struct secret_change *list, size_t n, struct slice *ret)
{
    struct binding_rules rules = change_rules(call, w);
    struct buf bindings CLEANUP(buf_release) = { 0 };
    enum status st = bindings_with_secrets(&rules, list, n, &bindings, &call->err);

    if (st != STATUS_OK)
        return st;
    *ret = arena_copy(call->req->arena, buf_slice(&bindings));
    return ret->ptr ? STATUS_OK : error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
}

static enum status apply(struct blocking_call *call, const struct secret_change *list, size_t n, bool must_exist,
                         bool deploy, struct slice annotations, struct worker **ret)
{
    struct worker *w;
    struct slice bindings = SLICE_NONE;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK && deploy)
        st = change_needs_deployed(call, w);
    if (st == STATUS_OK && must_exist)
        st = check_removed(call, w, list, n);
    if (st == STATUS_OK && !n) { /* nothing to change */
        *ret = w;
        return STATUS_OK;
    }
    if (st == STATUS_OK)
        st = changed_bindings(call, w, list, n, &bindings);
    if (st != STATUS_OK)
        return st;
    struct member members[] = { { "bindings", bindings }, { "annotations", annotations } };
    return change_apply(call, w, members, ARRAY_LEN(members), deploy, ret);
}

static enum status check_secret(struct blocking_call *call, const struct json *v, struct slice name,
                                struct secret_change *ret)
{
    struct slice type = json_get_text(v, "type");

    if (!name.len)
        return call_invalid(call, "a secret has a `name`");
    if (type.len && !slice_eq(type, SLICE_LIT("secret_text")))
        return error_set(&call->err, STATUS_INVALID, 0,
                         "The request is malformed: the secret %.*s is of type %.*s; Dione has secret_text",
                         SLICE_FMT(name), SLICE_FMT(type));
    if (!json_is(json_get(v, "text"), JSON_STRING))
        return call_invalid(call, "a secret has a `text`");
    *ret = (struct secret_change){ name, json_get_text(v, "text") };
    return STATUS_OK;
}

static enum status put_locked(struct blocking_call *call)
{
    const struct json *body;
    struct secret_change change;
    struct worker *after;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st == STATUS_OK)
        st = check_secret(call, body, json_get_text(body, "name"), &change);
    if (st == STATUS_OK)
        st = apply(call, &change, 1, false, true, BY_SECRET, &after);
    if (st == STATUS_OK)
        write_secret(&call->result, change.name);
    return st;
}

static enum status work_put(struct blocking_call *call)
{
    return call_locked(call, put_locked);
}

void secrets_put(struct http_request *req)
{
    worker_call(req, API_WRITE, work_put);
}

static enum status delete_locked(struct blocking_call *call)
{
    struct secret_change change = { .name = call->req->params[2] };
    struct worker *after;

    return apply(call, &change, 1, true, true, BY_SECRET, &after);
}

static enum status work_delete(struct blocking_call *call)
{
    return call_locked(call, delete_locked);
}

void secrets_delete(struct http_request *req)
{
    worker_call(req, API_WRITE, work_delete);
}

/* {"NAME":{"text":"x","type":"secret_text"},"OLD":null} */
static enum status take_map(struct blocking_call *call, const struct json *map, struct secret_change **ret,
                            size_t *ret_n)
{
    struct secret_change *list;
    size_t n = 0;
    enum status st = STATUS_OK;

    if (!json_is(map, JSON_OBJECT))
        return call_invalid(call, "the secrets must be an object, by name");
    if (map->n > SECRETS_MAX)
        return call_invalid(call, "at most 1000 secrets at once");
    list = arena_zalloc(call->req->arena, (map->n + 1) * sizeof(*list));
    if (!list)
        return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    for (const struct json *v = map->child; v && st == STATUS_OK; v = v->next) {
        if (v->type == JSON_NULL)
            list[n++] = (struct secret_change){ .name = v->key };
        else
            st = check_secret(call, v, v->key, &list[n++]);
    }
    *ret = list;
    *ret_n = n;
    return st;
}

static enum status bulk_locked(struct blocking_call *call)
{
    const struct json *body;
    struct secret_change *list;
    size_t n;
    struct worker *after;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st == STATUS_OK)
        st = take_map(call, json_get(body, "secrets"), &list, &n);
    if (st == STATUS_OK)
        st = apply(call, list, n, false, true, BY_SECRET, &after);
    if (st != STATUS_OK)
        return st;
    buf_append_cstr(&call->result, "{\"secrets\":[");
    for (size_t i = 0, shown = 0; i < n; i++) {
        if (!list[i].text.ptr)
            continue;
        buf_append_cstr(&call->result, shown++ ? "," : "");
        write_secret(&call->result, list[i].name);
    }
    buf_append_cstr(&call->result, "]}");
    return STATUS_OK;
}

static enum status work_bulk(struct blocking_call *call)
{
    return call_locked(call, bulk_locked);
}

void secrets_bulk(struct http_request *req)
{
    worker_call(req, API_WRITE, work_bulk);
}

/* ---- `versions secret`: PATCH A/workers/workers/:name/versions/latest {"env":{...},"annotations":{...}} ---- */

static enum status patch_locked(struct blocking_call *call)
{
    const struct json *body;
    struct buf annotations CLEANUP(buf_release) = { 0 };
    struct secret_change *list;
    size_t n;
    struct worker *after;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st == STATUS_OK)
        st = take_map(call, json_get(body, "env"), &list, &n);
    if (st != STATUS_OK)
        return st;
    document_write_member(&annotations, body, "annotations", "{}");
    st = apply(call, list, n, true, false, buf_slice(&annotations), &after);
    if (st == STATUS_OK)
        write_version(&call->result, worker_latest(after), true);
    return st;
}

static enum status work_patch(struct blocking_call *call)
{
    return call_locked(call, patch_locked);
}

void versions_patch(struct http_request *req)
{
    worker_call(req, API_WRITE, work_patch);
}
