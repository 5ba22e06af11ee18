/*
 * assets_api.c - the three steps of an asset upload.
 *
 *     POST W/assets-upload-session                    assets_session   {"manifest":{path:{hash,size}}} -> jwt, buckets
 *     POST A/workers/assets/upload?base64=true        assets_upload    a form, one part a hash; the session's jwt as bearer
 *     POST A/workers/assets/upload/:hash              assets_upload_one
 */
#include "base/base64.h"
#include "http/multipart.h"
#include "workers/asset_store.h"
#include "workers/call.h"
#include "workers/handlers.h"

static enum status work_session(struct blocking_call *call)
{
    const struct json *body;
    struct slice name = call->req->params[1];
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st == STATUS_OK && !worker_name_is_valid(name))
        st = error_set(&call->err, STATUS_SCRIPTNAME, 0, "Invalid Worker name");
    if (st == STATUS_OK)
        st = asset_session_begin(workers_of(call), name, json_get(body, "manifest"), call->req->arena, &call->result,
                                 &call->err);
    return st;
}

void assets_session(struct http_request *req)
{
    worker_call(req, API_WRITE, work_session);
}

static struct slice bearer(const struct http_request *req)
{
    struct slice text = http_header(req, "authorization"), scheme = SLICE_LIT("Bearer ");

    return slice_starts_nocase(text, scheme) ? slice_trim(slice_from(text, scheme.len)) : SLICE_NONE;
}

/* What a part holds, decoded into the arena. */
static enum status take_part(struct blocking_call *call, const struct multipart_part *part, bool is_base64,
                             struct asset_upload *ret)
{
    struct buf bytes CLEANUP(buf_release) = { 0 };

    *ret = (struct asset_upload){ part->name, part->content_type.ptr ? part->content_type : SLICE_LIT(""), part->body };
    if (!is_base64)
        return STATUS_OK;
    if (!base64_decode(&bytes, part->body))
        return error_set(&call->err, STATUS_INVALID, 0, "The request is malformed: the part '%.*s' is not base64",
                         SLICE_FMT(part->name));
    ret->bytes = arena_copy(call->req->arena, buf_slice(&bytes));
    return ret->bytes.ptr ? STATUS_OK : error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
}

static enum status add_parts(struct blocking_call *call, const struct asset_session *s)
{
    struct multipart form;
    struct asset_upload *files = NULL;
    bool is_base64 = slice_eq(http_query(call->req, "base64"), SLICE_LIT("true"));
    enum status st = multipart_parse(http_header(call->req, "content-type"), call->req->body, call->req->arena, &form,
                                     &call->err);

    if (st == STATUS_OK && !(files = arena_zalloc(call->req->arena, (form.n + 1) * sizeof(*files))))
        st = error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    for (size_t i = 0; st == STATUS_OK && i < form.n; i++)
        st = take_part(call, &form.parts[i], is_base64, &files[i]);
    return st == STATUS_OK ? asset_session_add(workers_of(call), s, files, form.n, &call->err) : st;
}

static enum status add_one(struct blocking_call *call, const struct asset_session *s)
{
    struct slice type = http_header(call->req, "content-type");
    struct asset_upload file = { call->req->params[1], type.ptr ? type : SLICE_LIT(""), call->req->body };

    return asset_session_add(workers_of(call), s, &file, 1, &call->err);
}

static enum status receive(struct blocking_call *call,
                           enum status (*add)(struct blocking_call *call, const struct asset_session *s))
{
    struct asset_session s;
    bool complete;
    enum status st = asset_session_find(workers_of(call), bearer(call->req), call->req->arena, &s, &call->err);

    if (st != STATUS_OK)
        return st;
    workers_lock(workers_of(call), s.worker); /* nobody collects what has just come in */
    st = add(call, &s);
    workers_unlock(workers_of(call), s.worker);
    if (st == STATUS_OK)
        st = asset_session_finish(workers_of(call), &s, &call->result, &complete, &call->err);
    return st;
}

static enum status work_upload(struct blocking_call *call)
{
    return receive(call, add_parts);
}

static enum status work_upload_one(struct blocking_call *call)
{
    return receive(call, add_one);
}

/* The token of the session is what admits to these routes. */
bool assets_admit(struct http_request *req)
{
    struct workers *w = api_of(req)->workers;

    if (!w)
        api_fail(req, STATUS_NOTIMPL, "Workers run on a server only: this is a command's own");
    else if (asset_token_is_good(w, bearer(req), req->arena))
        return true;
    else
        api_fail(req, STATUS_UNAUTH, "Authentication error: the asset upload token is not valid, or has expired");
    return false;
}

void assets_upload(struct http_request *req)
{
    blocking_call(req, store_job_pool(api_of(req)->store), work_upload, NULL, NULL);
}

void assets_upload_one(struct http_request *req)
{
    blocking_call(req, store_job_pool(api_of(req)->store), work_upload_one, NULL, NULL);
}

/* ---- serving ---- */

static void serve(struct http_request *req)
{
    asset_serve(api_of(req)->assets, req);
}

const struct http_route assets_routes[] = {
    { HTTP_M_GET, "*", serve, 0, 0, NULL },    { HTTP_M_POST, "*", serve, 0, 0, NULL },
    { HTTP_M_PUT, "*", serve, 0, 0, NULL },    { HTTP_M_PATCH, "*", serve, 0, 0, NULL },
    { HTTP_M_DELETE, "*", serve, 0, 0, NULL }, { HTTP_M_OTHER, "*", serve, 0, 0, NULL },
    { HTTP_M_GET, NULL, NULL, 0, 0, NULL },
};
