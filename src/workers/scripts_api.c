/* scripts_api.c - Workers as a whole: upload and deploy in one, read back, list, delete. See handlers.h. */
#include "workers/call.h"
#include "workers/document.h"
#include "workers/handlers.h"
#include "workers/upload.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- PUT W ---- */

/* The Worker before, NULL when it is new. */
static enum status find_before(struct blocking_call *call, const struct worker **ret)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    *ret = st == STATUS_OK ? w : NULL;
    return st == STATUS_WORKER ? STATUS_OK : st;
}

static void write_put_result(struct buf *b, const struct worker *w)
{
    const struct version *v = worker_latest(w);

    write_script(b, w, v);
    buf_append_cstr(b, ",\"deployment_id\":\"");
    for (size_t i = 0; i < v->id.len; i++)
        if (v->id.ptr[i] != '-')
            buf_append_char(b, v->id.ptr[i]);
    buf_append_cstr(b, "\",\"startup_time_ms\":");
    document_write_member(b, v->document, "startup_ms", "0");
    buf_append_char(b, '}');
}

static enum status put_version(struct blocking_call *call, const struct new_version_request *r)
{
    struct worker *worker;
    enum status st = workers_add_and_deploy(workers_of(call), r, &worker, &call->err);

    if (st == STATUS_OK)
        write_put_result(&call->result, worker);
    return st;
}

static enum status put_locked(struct blocking_call *call)
{
    struct http_request *req = call->req;
    struct upload u = { .worker = req->params[1],
                        .content_type = http_header(req, "content-type"),
                        .body = req->body,
                        .arena = req->arena };
    enum status st = find_before(call, &u.before);

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
    return put_version(call, &r);
}

static enum status work_put(struct blocking_call *call)
{
    return call_locked(call, put_locked);
}

void scripts_put(struct http_request *req)
{
    worker_call(req, API_WRITE, work_put);
}

/* ---- PUT W/content: new code, everything else as it is ---- */

static enum status content_locked(struct blocking_call *call)
{
    struct http_request *req = call->req;
    struct upload u = { .worker = req->params[1],
                        .content_type = http_header(req, "content-type"),
                        .body = req->body,
                        .arena = req->arena };
    struct buf document CLEANUP(buf_release) = { 0 };
    struct json *fresh;
    enum status st = find_before(call, &u.before);

    if (st == STATUS_OK && !u.before)
        st = error_set(&call->err, STATUS_WORKER, 0, "This Worker does not exist on your account: %.*s",
                       SLICE_FMT(u.worker));
    if (st == STATUS_OK)
        st = upload_read(workers_of(call), &u, &call->err);
    if (st == STATUS_OK)
        st = json_parse(u.document, JSON_STRICT, u.arena, &fresh, &call->err);
    if (st != STATUS_OK)
        return st;
    static const char *const code[] = { "format", "main", "modules", "etag" };
    struct member members[ARRAY_LEN(code)];
    struct buf texts[ARRAY_LEN(code)] = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(code); i++) {
        document_write_member(&texts[i], fresh, code[i], "null");
        members[i] = (struct member){ code[i], buf_slice(&texts[i]) };
    }
    document_copy(&document, worker_latest(u.before)->document, members, ARRAY_LEN(members));
    for (size_t i = 0; i < ARRAY_LEN(code); i++)
        buf_release(&texts[i]);
    struct new_version_request r = { .worker = u.worker,
                                     .document = buf_slice(&document),
                                     .files = u.files,
                                     .n_files = u.n_files,
                                     .like = &worker_latest(u.before)->id, /* its assets come along */
                                     .source = call_source(call),
                                     .arena = u.arena };
    return put_version(call, &r);
}

static enum status work_content(struct blocking_call *call)
{
    return call_locked(call, content_locked);
}

void scripts_content(struct http_request *req)
{
    worker_call(req, API_WRITE, work_content);
}

/* ---- GET W: the modules as they were uploaded ---- */

/* The answer is no envelope: its Content-Type is in call->info. `boundary` NULL: there is one part, which is the answer. */
static enum status add_part(struct blocking_call *call, struct slice version, const struct json *module,
                            const char *boundary)
{
    struct buf path CLEANUP(buf_release) = { 0 };
    char *bytes;
    size_t len;
    struct slice name = json_get_text(module, "name"), type = json_get_text(module, "type"),
                 file = json_get_text(module, "file");

    enum status st = worker_file_read(workers_path(workers_of(call), &path, call->req->params[1], version, file),
                                      &bytes, &len, &call->err);
    if (st != STATUS_OK)
        return st;
    if (boundary) {
        buf_printf(&call->result, "--%s\r\nContent-Disposition: form-data; name=", boundary);
        json_write_text(&call->result, name);
        buf_append_cstr(&call->result, "; filename=");
        json_write_text(&call->result, name);
        buf_printf(&call->result, "\r\nContent-Type: %.*s\r\n\r\n", SLICE_FMT(type));
    }
    buf_append(&call->result, bytes, len);
    if (boundary)
        buf_append_cstr(&call->result, "\r\n");
    free(bytes);
    return STATUS_OK;
}

static enum status work_get(struct blocking_call *call)
{
    struct worker *w;
    char boundary[UUID_LEN + 1];
    enum status st = call_worker(call, &w);
    struct slice wanted = http_query(call->req, "version");

    if (st != STATUS_OK)
        return st;
    const struct version *v = wanted.ptr ? worker_version(w, wanted) : worker_active(w);
    if (wanted.ptr && !v)
        return error_set(&call->err, STATUS_VERSION, 0, "The version %.*s of the Worker %.*s does not exist",
                         SLICE_FMT(wanted), SLICE_FMT(w->name));
    if (!v)
        v = worker_latest(w);
    const struct json *modules = json_get(v->document, "modules");
    struct slice format = json_get_text(v->document, "format");
    bool alone = slice_eq(format, SLICE_LIT("service-worker"));
    uuid_new(boundary); /* no module can hold it */
    for (const struct json *m = modules ? modules->child : NULL; m && st == STATUS_OK; m = m->next)
        st = add_part(call, v->id, m, alone ? NULL : boundary);
    if (st != STATUS_OK)
        return st;
    if (alone) {
        buf_append_cstr(&call->info, "application/javascript");
    } else {
        buf_printf(&call->info, "multipart/form-data; boundary=%s", boundary);
        buf_printf(&call->result, "--%s--\r\n", boundary);
    }
    call->arg = (void *)v;
    return STATUS_OK;
}

static void then_get(struct blocking_call *call)
{
    const struct version *v = call->arg;

    if (call->status != STATUS_OK) {
        envelope_error(call->req, &call->err);
        return;
    }
    struct slice etag = json_get_text(v->document, "etag"), entry = json_get_text(v->document, "main");
    http_respond_header(call->req, "etag", etag);
    http_respond_header(call->req, "cf-entrypoint", entry);
    http_respond(call->req, 200, call->info.ptr, &call->result);
}

void scripts_get(struct http_request *req)
{
    worker_call_then(req, API_READ, work_get, then_get);
}

/* ---- lists ---- */

static enum status work_list(struct blocking_call *call)
{
    struct slice *names;
    size_t n;
    struct worker *w;
    enum status st = catalog_names(api_of(call->req)->store, call->req->arena, &names, &n, &call->err);

    if (st != STATUS_OK)
        return st;
    buf_append_char(&call->result, '[');
    for (size_t i = 0; i < n; i++) {
        st = catalog_find(api_of(call->req)->store, names[i], call->req->arena, &w, &call->err);
        if (st == STATUS_WORKER)
            continue; /* deleted meanwhile */
        if (st != STATUS_OK)
            return st;
        const struct version *v = worker_active(w);
        if (call->result.len > 1)
            buf_append_char(&call->result, ',');
        write_script(&call->result, w, v ? v : worker_latest(w));
        buf_append_char(&call->result, '}');
    }
    buf_append_char(&call->result, ']');
    return STATUS_OK;
}

void scripts_list(struct http_request *req)
{
    worker_call(req, API_READ, work_list);
}

/* ---- the same Worker as "service" and as "worker" ---- */

/* Older clients know an absent one by this code alone. */
static enum status work_service(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_WORKER)
        return error_set(&call->err, STATUS_NOSERVICE, 0, "This Worker does not exist on your account: %.*s",
                         SLICE_FMT(call->req->params[1]));
    if (st != STATUS_OK)
        return st;
    struct buf *b = &call->result;
    buf_append_cstr(b, "{\"id\":");
    json_write_text(b, w->name);
    buf_append_cstr(b, ",\"default_environment\":{\"environment\":\"production\",\"script\":");
    write_script(b, w, worker_latest(w));
    buf_append_cstr(b, "}");
    write_time(b, "created_on", w->created_ms);
    write_time(b, "modified_on", w->modified_ms);
    buf_append_cstr(b, "},\"environments\":[{\"environment\":\"production\"");
    write_time(b, "created_on", w->created_ms);
    write_time(b, "modified_on", w->modified_ms);
    buf_append_cstr(b, "}]");
    write_time(b, "created_on", w->created_ms);
    write_time(b, "modified_on", w->modified_ms);
    buf_append_char(b, '}');
    return STATUS_OK;
}

void services_get(struct http_request *req)
{
    worker_call(req, API_READ, work_service);
}

static void write_worker(struct buf *b, struct blocking_call *call, const struct worker *w)
{
    const char *url = runtime_url(workers_runtime(workers_of(call)));
    const char *port = url ? strrchr(url, ':') : "";

    buf_append_cstr(b, "{\"id\":");
    json_write_text(b, w->tag);
    buf_append_cstr(b, ",\"name\":");
    json_write_text(b, w->name);
    write_time(b, "created_on", w->created_ms);
    write_time(b, "updated_on", w->modified_ms);
    buf_printf(b, ",\"subdomain\":{\"enabled\":%s,\"previews_enabled\":%s", w->host_enabled ? "true" : "false",
               w->previews_enabled ? "true" : "false");
    if (url)
        buf_printf(b, ",\"url\":\"http://%.*s.localhost%s\"", SLICE_FMT(w->name), port);
    buf_append_cstr(b, "},\"logpush\":false,\"observability\":{\"enabled\":false},\"tags\":[],\"tail_consumers\":[]}");
}

static enum status work_worker(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        write_worker(&call->result, call, w);
    return st;
}

void workers_get(struct http_request *req)
{
    worker_call(req, API_READ, work_worker);
}

static enum status work_workers(struct blocking_call *call)
{
    struct slice *names;
    size_t n, shown = 0;
    struct worker *w;
    struct slice page = http_query(call->req, "page");
    enum status st = catalog_names(api_of(call->req)->store, call->req->arena, &names, &n, &call->err);

    if (page.ptr && !slice_eq(page, SLICE_LIT("1")))
        n = 0; /* all are on the first page */
    buf_append_char(&call->result, '[');
    for (size_t i = 0; st == STATUS_OK && i < n; i++) {
        st = catalog_find(api_of(call->req)->store, names[i], call->req->arena, &w, &call->err);
        if (st == STATUS_OK) {
            buf_append_cstr(&call->result, shown++ ? "," : "");
            write_worker(&call->result, call, w);
        } else if (st == STATUS_WORKER) {
            st = STATUS_OK; /* deleted meanwhile */
        }
    }
    buf_append_char(&call->result, ']');
    envelope_page_info(&call->info, 1, shown ? shown : 1, shown, shown);
    return st;
}

void workers_list(struct http_request *req)
{
    worker_call(req, API_READ, work_workers);
}

/* What Dione has none of. */
static enum status work_nothing(struct blocking_call *call)
{
    buf_append_cstr(&call->result, "[]");
    return STATUS_OK;
}

void workers_nothing(struct http_request *req)
{
    worker_call(req, API_READ, work_nothing);
}

/* ---- delete ---- */

static enum status users_of(struct blocking_call *call, struct slice **ret, size_t *ret_n)
{
    return catalog_users_of(api_of(call->req)->store, call->req->params[1], call->req->arena, ret, ret_n, &call->err);
}

static enum status work_references(struct blocking_call *call)
{
    struct worker *w;
    struct slice *names;
    size_t n = 0;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        st = users_of(call, &names, &n);
    if (st != STATUS_OK)
        return st;
    buf_append_cstr(&call->result, "{\"services\":{\"incoming\":[");
    for (size_t i = 0; i < n; i++) {
        buf_append_cstr(&call->result, i ? ",{\"service\":" : "{\"service\":");
        json_write_text(&call->result, names[i]);
        buf_append_cstr(&call->result, ",\"environment\":\"production\",\"name\":");
        json_write_text(&call->result, names[i]);
        buf_append_char(&call->result, '}');
    }
    buf_append_cstr(&call->result, "],\"outgoing\":[],\"pages_function\":false},\"durable_objects\":[],"
                                   "\"dispatch_outbounds\":[]}");
    return STATUS_OK;
}

void scripts_references(struct http_request *req)
{
    worker_call(req, API_READ, work_references);
}

static enum status delete_locked(struct blocking_call *call)
{
    struct worker *w;
    struct slice *names;
    size_t n = 0;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        st = users_of(call, &names, &n);
    if (st == STATUS_OK && n && !slice_eq(http_query(call->req, "force"), SLICE_LIT("true")))
        return error_set(&call->err, STATUS_INUSE, 0,
                         "The Worker %.*s is bound by %.*s%s; delete it with force, or unbind it first",
                         SLICE_FMT(w->name), SLICE_FMT(names[0]), n > 1 ? " and others" : "");
    if (st == STATUS_OK)
        st = workers_delete(workers_of(call), call->req->params[1], &call->err);
    return st;
}

static enum status work_delete(struct blocking_call *call)
{
    return call_locked(call, delete_locked);
}

void scripts_delete(struct http_request *req)
{
    worker_call(req, API_WRITE, work_delete);
}
