/* remote_worker.c - see remote_worker.h. */
#include "cli/remote_worker.h"

#include <stdlib.h>

enum status remote_worker_session(struct common *common, struct session *s, struct error *err)
{
    bool local = common->local || common->data;

    if (!local || common->url || common->token)
        common->remote = true;
    enum status st = session_open(common, false, NULL, s, err);
    if (st == STATUS_OK && api_is_in_process(s->api))
        st = error_set(err, STATUS_INVALID, 0,
                       "no server runs on the data directory (%s), and Workers need one: start "
                       "`dione serve`",
                       api_place(s->api));
    return st;
}

static char *copy_text(struct slice s)
{
    char *copy = strndup(s.ptr, s.len);

    if (!copy)
        abort();
    return copy;
}

enum status remote_worker_open(struct worker_options *o, const char *name, struct session *s, struct remote_worker *ret,
                               struct error *err)
{
    enum status st = remote_worker_session(&o->common, s, err);
    struct buf path = { 0 };

    if (st != STATUS_OK)
        return st;
    struct slice found = name ? slice_cstr(name) : o->name ? slice_cstr(o->name) : config_worker_name(&s->config);
    if (!found.len)
        return error_set(err, STATUS_INVALID, 0,
                         "which Worker? Say --name NAME, or have a wrangler.jsonc or wrangler.toml with its name here");
    buf_append_cstr(&path, API_ACCOUNT "/workers/scripts/");
    api_append_encoded(&path, found);
    *ret = (struct remote_worker){ .name = copy_text(found), .path = path.ptr };
    return STATUS_OK;
}

void remote_worker_release(struct remote_worker *w)
{
    free(w->name);
    free(w->path);
    *w = (struct remote_worker){ 0 };
}

char *remote_worker_path(const struct remote_worker *w, const char *action)
{
    struct buf path = { 0 };

    buf_printf(&path, "%s%s", w->path, action);
    return path.ptr;
}

enum status remote_worker_call(struct session *s, const struct remote_worker *w, const char *method, const char *action,
                               struct slice body, struct api_answer *ret, struct error *err)
{
    char *path = remote_worker_path(w, action);
    enum status st = api_call(s->api, method, path, body, ret, err);

    free(path);
    if (st == STATUS_NOTFOUND && err->native == API_NO_SUCH_WORKER)
        return error_set(err, st, API_NO_SUCH_WORKER, "there is no Worker '%s' on %s", w->name, api_place(s->api));
    return st;
}

struct slice remote_worker_active_version(const struct api_answer *deployments)
{
    const struct json *list = json_get(deployments->result, "deployments");
    const struct json *versions = json_is(list, JSON_ARRAY) ? json_get(list->child, "versions") : NULL;

    return json_is(versions, JSON_ARRAY) ? json_get_text(versions->child, "version_id") : SLICE_NONE;
}

enum status remote_worker_activate(struct session *s, const struct remote_worker *w, struct slice version_id,
                                   const char *message, const char *triggered_by, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    buf_append_cstr(&body, "{\"strategy\":\"percentage\",\"versions\":[{\"version_id\":");
    json_write_text(&body, version_id);
    buf_append_cstr(&body, ",\"percentage\":100}],\"annotations\":{\"workers/triggered_by\":");
    json_write_cstr(&body, triggered_by);
    if (message) {
        buf_append_cstr(&body, ",\"workers/message\":");
        json_write_cstr(&body, message);
    }
    buf_append_cstr(&body, "}}");
    enum status st = remote_worker_call(s, w, "POST", "/deployments", buf_slice(&body), &answer, err);
    buf_release(&body);
    api_answer_release(&answer);
    return st;
}
