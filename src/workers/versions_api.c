/* versions_api.c - versions and deployments of a Worker. See handlers.h. */
#include "workers/bindings.h"
#include "workers/call.h"
#include "workers/document.h"
#include "workers/handlers.h"
#include "workers/upload.h"

/* ---- versions ---- */

static enum status work_list(struct blocking_call *call)
{
    struct worker *w;
    size_t page = 1;
    uint64_t number;
    struct slice text = http_query(call->req, "page");
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    if (text.ptr && slice_to_u64(text, UINT32_MAX, &number))
        page = number;
    buf_append_cstr(&call->result, "{\"items\":[");
    for (size_t i = 0; page <= 1 && i < w->n_versions; i++) { /* all are on the first page */
        if (i)
            buf_append_char(&call->result, ',');
        write_version(&call->result, &w->versions[i], true);
    }
    buf_append_cstr(&call->result, "]}");
    envelope_page_info(&call->info, page, CATALOG_VERSIONS_KEPT + 1, page <= 1 ? w->n_versions : 0, w->n_versions);
    return STATUS_OK;
}

void versions_list(struct http_request *req)
{
    worker_call(req, API_READ, work_list);
}

static enum status no_version(struct blocking_call *call)
{
    return error_set(&call->err, STATUS_VERSION, 0, "The version %.*s of the Worker %.*s does not exist",
                     SLICE_FMT(call->req->params[2]), SLICE_FMT(call->req->params[1]));
}

static enum status work_get(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    const struct version *v = slice_eq(call->req->params[2], SLICE_LIT("latest"))
                                  ? worker_latest(w)
                                  : worker_version(w, call->req->params[2]);
    if (!v)
        return no_version(call);
    write_version(&call->result, v, true);
    return STATUS_OK;
}

void versions_get(struct http_request *req)
{
    worker_call(req, API_READ, work_get);
}

static enum status upload_locked(struct blocking_call *call)
{
    struct http_request *req = call->req;
    struct worker *before, *after;
    struct upload u = { .worker = req->params[1],
                        .content_type = http_header(req, "content-type"),
                        .body = req->body,
                        .arena = req->arena };
    enum status st = call_worker(call, &before);

    u.before = before;
    if (st == STATUS_OK)
        st = upload_read(workers_of(call), &u, &call->err);
    if (st != STATUS_OK)
        return st;
    struct new_version_request r = { .worker = u.worker,
                                     .document = u.document,
                                     .files = u.files,
                                     .n_files = u.n_files,
                                     .source = call_source(call),
                                     .arena = u.arena };
    st = workers_add_version(workers_of(call), &r, &after, &call->err);
    if (st == STATUS_OK)
        write_version(&call->result, worker_latest(after), true);
    return st;
}

static enum status work_upload(struct blocking_call *call)
{
    return call_locked(call, upload_locked);
}

void versions_upload(struct http_request *req)
{
    worker_call(req, API_WRITE, work_upload);
}

/* ---- deployments ---- */

static enum status work_deployments(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    buf_append_cstr(&call->result, "{\"deployments\":[");
    for (size_t i = 0; i < w->n_deployments && i < 10; i++) {
        if (i)
            buf_append_char(&call->result, ',');
        write_deployment(&call->result, &w->deployments[i]);
    }
    buf_append_cstr(&call->result, "]}");
    return STATUS_OK;
}

void deployments_list(struct http_request *req)
{
    worker_call(req, API_READ, work_deployments);
}

static enum status no_deployment(struct blocking_call *call)
{
    return error_set(&call->err, STATUS_VERSION, 0, "The deployment %.*s does not exist",
                     SLICE_FMT(call->req->params[2]));
}

static enum status work_deployment(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    for (size_t i = 0; i < w->n_deployments; i++)
        if (slice_eq(w->deployments[i].id, call->req->params[2])) {
            write_deployment(&call->result, &w->deployments[i]);
            return STATUS_OK;
        }
    return no_deployment(call);
}

void deployments_get(struct http_request *req)
{
    worker_call(req, API_READ, work_deployment);
}

static enum status delete_locked(struct blocking_call *call)
{
    struct worker *w;
    struct slice id = call->req->params[2];
    size_t i = 0;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    while (i < w->n_deployments && !slice_eq(w->deployments[i].id, id))
        i++;
    if (i == w->n_deployments)
        return no_deployment(call);
    if (i == 0)
        return error_set(&call->err, STATUS_INVALID, 0,
                         "The latest deployment cannot be deleted: it is the active one");
    return catalog_drop_deployment(api_of(call->req)->store, id, &call->err);
}

static enum status work_delete(struct blocking_call *call)
{
    return call_locked(call, delete_locked);
}

void deployments_delete(struct http_request *req)
{
    worker_call(req, API_WRITE, work_delete);
}

/* The one version that gets all traffic. A version at 0 % is as good as absent. */
static enum status take_split(struct blocking_call *call, const struct json *body, struct slice *ret)
{
    const struct json *list = json_get(body, "versions");
    const struct json *whole = NULL;

    if (!json_is(list, JSON_ARRAY) || !list->n)
        return call_invalid(call, "`versions` must be an array of {\"version_id\",\"percentage\"}");
    for (const struct json *v = list->child; v; v = v->next) {
        double percentage = json_double(json_get(v, "percentage"));
        if (!json_get_text(v, "version_id").len || percentage < 0 || percentage > 100)
            return call_invalid(call, "each of `versions` has a version_id and a percentage of 0 to 100");
        if (percentage >= 100 && !whole)
            whole = v;
        else if (percentage > 0)
            return error_set(&call->err, STATUS_INVALID, 0,
                             "Dione deploys one version at 100 %%; it does not split requests between versions");
    }
    if (!whole)
        return call_invalid(call, "the percentages must add up to 100, which one version gets");
    *ret = json_get_text(whole, "version_id");
    return STATUS_OK;
}

static enum status create_locked(struct blocking_call *call)
{
    const struct json *body, *annotations;
    struct slice version;
    struct buf text CLEANUP(buf_release) = { 0 };
    char id[UUID_LEN + 1];
    struct worker *w;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st == STATUS_OK)
        st = take_split(call, body, &version);
    if (st != STATUS_OK)
        return st;
    annotations = json_get(body, "annotations");
    if (json_is(annotations, JSON_OBJECT))
        json_write_value(&text, annotations);
    st = workers_deploy(workers_of(call), call->req->params[1], version, call_source(call),
                        text.len ? buf_slice(&text) : SLICE_NONE, call->req->arena, id, &call->err);
    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st == STATUS_OK)
        write_deployment(&call->result, &w->deployments[0]);
    return st;
}

static enum status work_create(struct blocking_call *call)
{
    return call_locked(call, create_locked);
}

void deployments_create(struct http_request *req)
{
    worker_call(req, API_WRITE, work_create);
}
