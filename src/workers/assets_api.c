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

static enum status add_part(struct blocking_call *call, const struct asset_session *s,
                            const struct multipart_part *part, bool is_base64)
{
    struct buf bytes CLEANUP(buf_release) = { 0 };
    struct slice type = part->content_type, body = part->body;

    if (is_base64) {
        if (!base64_decode(&bytes, body))
            return error_set(&call->err, STATUS_INVALID, 0, "The request is malformed: the part '%.*s' is not base64",
                             SLICE_FMT(part->name));
        body = buf_slice(&bytes);
    }
    return asset_session_add(workers_of(call), s, part->name, type.ptr ? type : SLICE_LIT(""), body, &call->err);
}

static enum status add_parts(struct blocking_call *call, const struct asset_session *s)
{
    struct multipart form;
    bool is_base64 = slice_eq(http_query(call->req, "base64"), SLICE_LIT("true"));
    enum status st = multipart_parse(http_header(call->req, "content-type"), call->req->body, call->req->arena, &form,
                                     &call->err);

    for (size_t i = 0; st == STATUS_OK && i < form.n; i++)
        st = add_part(call, s, &form.parts[i], is_base64);
    return st;
}

static enum status add_one(struct blocking_call *call, const struct asset_session *s)
{
    struct slice type = http_header(call->req, "content-type");

    return asset_session_add(workers_of(call), s, call->req->params[1], type.ptr ? type : SLICE_LIT(""),
                             call->req->body, &call->err);
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
        st = asset_session_finish(workers_of(call), &s, call->req->arena, &call->result, &complete, &call->err);
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

/* These routes are public: the token of the session is what admits. */
static void upload(struct http_request *req, enum status (*work)(struct blocking_call *call))
{
    if (api_of(req)->workers)
        blocking_call(req, store_job_pool(api_of(req)->store), work, NULL, NULL);
    else
        api_fail(req, STATUS_NOTIMPL, "Workers run on a server only: this is a command's own");
}

void assets_upload(struct http_request *req)
{
    upload(req, work_upload);
}

void assets_upload_one(struct http_request *req)
{
    upload(req, work_upload_one);
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
