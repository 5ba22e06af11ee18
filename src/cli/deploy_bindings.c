/*
 * deploy_bindings.c - see deploy_bindings.h.
 *
 * A D1 or KV binding without an id: what a binding of that name has in the deployed Worker stays ("inherit"); else the
 * database of its name, or of the name that wrangler provisions, is taken or made.
 */
#include "cli/deploy_bindings.h"

#include "cli/files.h"
#include "cli/kv.h"
#include "cli/print.h"

#include <stdio.h>
#include <stdlib.h>

enum { BLOB_MAX_BYTES = 64 * 1024 * 1024 };

enum status deploy_check_bindings(const struct project *p, struct error *err)
{
    for (size_t i = 0; i < p->n_bindings; i++)
        if (p->bindings[i].kind == PROJECT_FOREIGN)
            return error_set(err, STATUS_NOTIMPL, 0, "the binding %.*s is of a kind that Dione does not have: %s",
                             SLICE_FMT(p->bindings[i].name), project_binding_label(&p->bindings[i]));
    return STATUS_OK;
}

void deploy_open_binding(struct buf *list, struct slice name, const char *type)
{
    buf_append_cstr(list, list->len ? ",{\"name\":" : "{\"name\":");
    json_write_text(list, name);
    buf_printf(list, ",\"type\":\"%s\"", type);
}

static void add_member(struct buf *list, const char *key, struct slice text)
{
    if (!text.ptr)
        return;
    buf_printf(list, ",\"%s\":", key);
    json_write_text(list, text);
}

static void add_text_binding(struct buf *list, struct slice name, const char *type, const char *key, struct slice text)
{
    deploy_open_binding(list, name, type);
    add_member(list, key, text);
    buf_append_char(list, '}');
}

/* ---- what has no id yet ---- */

struct provision {
    struct project *project;
    struct session *session;
    const struct remote_worker *worker;
    bool asked;                 /* whether `settings` was asked for */
    struct api_answer settings; /* of the deployed Worker; no result: there is none */
};

static enum status ask_settings(struct provision *v, struct error *err)
{
    if (v->asked)
        return STATUS_OK;
    enum status st = remote_worker_call(v->session, v->worker, "GET", "/settings", SLICE_NONE, &v->settings, err);
    v->asked = true;
    return st == STATUS_NOTFOUND ? STATUS_OK : st;
}

/* Whether the deployed Worker has a binding of that name and kind. */
static bool is_deployed(const struct provision *v, struct slice name, const char *type)
{
    const struct json *list = json_get(v->settings.result, "bindings");

    for (const struct json *b = json_is(list, JSON_ARRAY) ? list->child : NULL; b; b = b->next)
        if (slice_eq(json_get_text(b, "name"), name) && slice_eq(json_get_text(b, "type"), slice_cstr(type)))
            return true;
    return false;
}

/* POST {key: name}, then the member `id_key` of the result, copied into the project's arena. */
static enum status make(struct provision *v, const char *path, const char *key, struct slice name, const char *id_key,
                        struct slice *ret_id, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    buf_printf(&body, "{\"%s\":", key);
    json_write_text(&body, name);
    buf_append_char(&body, '}');
    enum status st = api_call(v->session->api, "POST", path, buf_slice(&body), &answer, err);
    if (st == STATUS_OK)
        *ret_id = arena_copy(&v->project->config.arena, json_get_text(answer.result, id_key));
    buf_release(&body);
    api_answer_release(&answer);
    return st;
}

static enum status provision_database(struct provision *v, const struct project_binding *b, struct slice *ret_id,
                                      struct error *err)
{
    struct slice name = b->target.len ? b->target : config_provisioned_name(&v->project->config, b->name);
    struct api_answer answer = { 0 };
    struct buf path = { 0 };

    buf_append_cstr(&path, API_ACCOUNT "/d1/database/");
    api_append_encoded(&path, name);
    enum status st = api_call(v->session->api, "GET", path.ptr, SLICE_NONE, &answer, err);
    if (st == STATUS_OK)
        *ret_id = arena_copy(&v->project->config.arena, json_get_text(answer.result, "uuid"));
    if (st == STATUS_NOTFOUND) {
        st = make(v, API_ACCOUNT "/d1/database", "name", name, "uuid", ret_id, err);
        if (st == STATUS_OK)
            print_note("Created the database '%.*s' for env.%.*s.", SLICE_FMT(name), SLICE_FMT(b->name));
    }
    buf_release(&path);
    api_answer_release(&answer);
    return st;
}

static enum status provision_namespace(struct provision *v, const struct project_binding *b, struct slice *ret_id,
                                       struct error *err)
{
    struct slice title = config_provisioned_name(&v->project->config, b->name);
    struct kv_target found = { 0 };
    enum status st = kv_target_find_title(v->session, title, &found, err);

    if (st == STATUS_OK)
        *ret_id = arena_copy(&v->project->config.arena, slice_cstr(found.id));
    kv_target_release(&found);
    if (st == STATUS_NOTFOUND) {
        st = make(v, KV_NAMESPACES_PATH, "title", title, "id", ret_id, err);
        if (st == STATUS_OK)
            print_note("Created the KV namespace '%.*s' for env.%.*s.", SLICE_FMT(title), SLICE_FMT(b->name));
    }
    return st;
}

static enum status add_stored(struct provision *v, const struct project_binding *b, struct buf *list, struct error *err)
{
    bool is_d1 = b->kind == PROJECT_D1;
    const char *type = is_d1 ? "d1" : "kv_namespace";
    struct slice id = b->id;
    enum status st = id.len ? STATUS_OK : ask_settings(v, err);

    if (st == STATUS_OK && !id.len && is_deployed(v, b->name, type)) {
        deploy_open_binding(list, b->name, "inherit");
        buf_append_char(list, '}');
        return STATUS_OK;
    }
    if (st == STATUS_OK && !id.len)
        st = is_d1 ? provision_database(v, b, &id, err) : provision_namespace(v, b, &id, err);
    if (st == STATUS_OK)
        add_text_binding(list, b->name, type, is_d1 ? "id" : "namespace_id", id);
    return st;
}

/* ---- the others ---- */

static void add_service(const struct project_binding *b, struct buf *list)
{
    const struct json *props = json_get(b->entry, "props");

    deploy_open_binding(list, b->name, "service");
    add_member(list, "service", b->target);
    add_member(list, "entrypoint", b->entrypoint);
    if (props) {
        buf_append_cstr(list, ",\"props\":");
        json_write_value(list, props);
    }
    buf_append_char(list, '}');
}

/* The file becomes a part that has the binding's name. */
static enum status add_blob(const struct project_binding *b, const char *type, const char *content_type,
                            struct buf *list, struct form *form, struct error *err)
{
    struct buf content = { .limit = BLOB_MAX_BYTES };
    char *path = strndup(b->value.ptr, b->value.len);

    if (!path)
        abort();
    enum status st = file_read(path, &content, err);
    free(path);
    if (st == STATUS_OK) {
        form_add(form, b->name, b->name, slice_cstr(content_type), buf_slice(&content));
        add_text_binding(list, b->name, type, "part", b->name);
    }
    buf_release(&content);
    return st;
}

static enum status add_one(struct provision *v, const struct project_binding *b, struct buf *list, struct form *form,
                           struct error *err)
{
    switch (b->kind) {
    case PROJECT_TEXT:
        add_text_binding(list, b->name, "plain_text", "text", b->value);
        return STATUS_OK;
    case PROJECT_SECRET:
        add_text_binding(list, b->name, "secret_text", "text", b->value);
        return STATUS_OK;
    case PROJECT_JSON:
        deploy_open_binding(list, b->name, "json");
        buf_printf(list, ",\"json\":%.*s}", SLICE_FMT(b->value));
        return STATUS_OK;
    case PROJECT_D1:
    case PROJECT_KV:
        return add_stored(v, b, list, err);
    case PROJECT_SERVICE:
        add_service(b, list);
        return STATUS_OK;
    case PROJECT_ASSETS:
        add_text_binding(list, b->name, "assets", "", SLICE_NONE);
        return STATUS_OK;
    case PROJECT_VERSION_METADATA:
        add_text_binding(list, b->name, "version_metadata", "", SLICE_NONE);
        return STATUS_OK;
    case PROJECT_WASM:
        return add_blob(b, "wasm_module", "application/wasm", list, form, err);
    case PROJECT_TEXT_FILE:
        return add_blob(b, "text_blob", "text/plain", list, form, err);
    case PROJECT_DATA_FILE:
        return add_blob(b, "data_blob", "application/octet-stream", list, form, err);
    case PROJECT_FOREIGN:
        break; /* deploy_check_bindings has refused it */
    }
    return deploy_check_bindings(v->project, err);
}

enum status deploy_add_bindings(struct project *p, struct session *s, const struct remote_worker *w, struct buf *list,
                                struct form *form, struct error *err)
{
    struct provision v = { .project = p, .session = s, .worker = w };
    enum status st = STATUS_OK;

    for (size_t i = 0; i < p->n_bindings && st == STATUS_OK; i++)
        st = add_one(&v, &p->bindings[i], list, form, err);
    api_answer_release(&v.settings);
    return st;
}

/* ---- for people ---- */

static struct slice shown(struct project *p, const struct project_binding *b)
{
    switch (b->kind) {
    case PROJECT_TEXT:
    case PROJECT_JSON:
    case PROJECT_WASM:
    case PROJECT_TEXT_FILE:
    case PROJECT_DATA_FILE:
        return b->value;
    case PROJECT_D1:
        return b->target.len ? b->target : b->id.len ? b->id : config_provisioned_name(&p->config, b->name);
    case PROJECT_KV:
        return b->id.len ? b->id : config_provisioned_name(&p->config, b->name);
    case PROJECT_SERVICE:
    case PROJECT_FOREIGN:
        return b->target;
    case PROJECT_SECRET:
    case PROJECT_ASSETS:
    case PROJECT_VERSION_METADATA:
        break;
    }
    return SLICE_LIT("");
}

void deploy_print_bindings(struct project *p)
{
    for (size_t i = 0; i < p->n_bindings; i++) {
        const struct project_binding *b = &p->bindings[i];
        print_note("  env.%.*s (%s) %.*s", SLICE_FMT(b->name), project_binding_label(b), SLICE_FMT(shown(p, b)));
    }
}
