/*
 * settings_api.c - settings of a version (bindings, compatibility date, limits ...), which changing makes a new version,
 * and those of the script as a whole (observability, tags ...), which are kept and shown. See handlers.h.
 */
#include "http/multipart.h"
#include "workers/change.h"
#include "workers/handlers.h"

/* Of the script as a whole. */
static const char *const script_settings[] = { "tags", "logpush", "observability", "tail_consumers" };
enum { TAGS };

/* ---- of the version ---- */

static void write_settings(struct buf *b, const struct worker *w)
{
    static const char *const kept[][2] = {
        { "compatibility_date", "null" },
        { "compatibility_flags", "[]" },
        { "usage_model", "\"standard\"" },
        { "limits", "{}" },
        { "placement", "{}" },
        { "annotations", "{}" },
    };
    const struct json *d = worker_latest(w)->document;

    buf_append_cstr(b, "{\"bindings\":");
    document_write_bindings(b, d);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        buf_printf(b, ",\"%s\":", kept[i][0]);
        document_write_member(b, d, kept[i][0], kept[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(script_settings); i++) {
        buf_printf(b, ",\"%s\":", script_settings[i]);
        document_write_member(b, w->settings, script_settings[i], i == TAGS ? "[]" : "null");
    }
    buf_append_char(b, '}');
}

static enum status work_get(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        write_settings(&call->result, w);
    return st;
}

void settings_get(struct http_request *req)
{
    worker_call(req, API_READ, work_get);
}

/* The settings are the part `settings` of a form, or the body itself. */
static enum status take_settings(struct blocking_call *call, const struct json **ret)
{
    struct multipart form;
    struct json *v;
    struct slice type = http_header(call->req, "content-type");

    if (!multipart_is_form(type))
        return call_body(call, JSON_OBJECT, ret);
    enum status st = multipart_parse(type, call->req->body, call->req->arena, &form, &call->err);
    const struct multipart_part *part = st == STATUS_OK ? multipart_find(&form, "settings") : NULL;
    if (st == STATUS_OK && !part)
        return error_set(&call->err, STATUS_FORM, 0, "Could not parse request body: the form has no part `settings`");
    if (st == STATUS_OK)
        st = json_parse(part->body, JSON_STRICT, call->req->arena, &v, &call->err);
    if (st == STATUS_INVALID) {
        IGNORE_RESULT(error_prefix(&call->err, "Could not parse request body")); /* changes err */
        call->err.status = STATUS_FORM;
        return STATUS_FORM;
    }
    if (st == STATUS_OK && v->type != JSON_OBJECT)
        return error_set(&call->err, STATUS_FORM, 0, "Could not parse request body: `settings` is not a JSON object");
    *ret = v;
    return st;
}

static enum status resolve_bindings(struct blocking_call *call, const struct worker *w, const struct json *settings,
                                    struct slice *ret)
{
    struct buf bindings CLEANUP(buf_release) = { 0 };
    struct binding_rules rules = change_rules(call, w);

    rules.bare_stays = true;
    rules.keep = json_get(settings, "keep_bindings");
    enum status st = bindings_resolve(&rules, json_get(settings, "bindings"), &bindings, &call->err);
    if (st != STATUS_OK)
        return st;
    *ret = arena_copy(call->req->arena, buf_slice(&bindings));
    return ret->ptr ? STATUS_OK : error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
}

static enum status check_types(struct blocking_call *call, const struct json *settings)
{
    static const struct {
        const char *key;
        enum json_type type;
    } rows[] = {
        { "compatibility_date", JSON_STRING }, { "compatibility_flags", JSON_ARRAY },
        { "usage_model", JSON_STRING },        { "limits", JSON_OBJECT },
        { "placement", JSON_OBJECT },          { "annotations", JSON_OBJECT },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct json *v = json_get(settings, rows[i].key);
        if (v && v->type != JSON_NULL && v->type != rows[i].type)
            return error_set(&call->err, STATUS_SCRIPT, 0, "`%s` is of the wrong type", rows[i].key);
    }
    return STATUS_OK;
}

/* Members of the settings that a version has, as JSON texts in the arena. */
static enum status take_members(struct blocking_call *call, const struct worker *w, const struct json *settings,
                                struct member members[8], size_t *ret_n)
{
    static const char *const plain[] = { "compatibility_date", "compatibility_flags", "usage_model", "limits",
                                         "placement",          "annotations" };
    size_t n = 0;
    enum status st = check_types(call, settings);

    if (st == STATUS_OK && json_get(settings, "bindings")) {
        members[n].key = "bindings";
        st = resolve_bindings(call, w, settings, &members[n++].json);
    }
    for (size_t i = 0; st == STATUS_OK && i < ARRAY_LEN(plain); i++) {
        struct buf text CLEANUP(buf_release) = { 0 };
        const struct json *v = json_get(settings, plain[i]);
        if (!v || v->type == JSON_NULL)
            continue;
        json_write_value(&text, v);
        members[n] = (struct member){ plain[i], arena_copy(call->req->arena, buf_slice(&text)) };
        if (!members[n++].json.ptr)
            st = error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    }
    *ret_n = n;
    return st;
}

/* Those that Dione keeps; others are ignored, as the API does. A member that is null goes. */
static enum status merge_script_settings(struct blocking_call *call, const struct worker *w, const struct json *with)
{
    struct member members[ARRAY_LEN(script_settings)];
    struct buf texts[ARRAY_LEN(script_settings)] = { 0 };
    struct buf merged CLEANUP(buf_release) = { 0 };
    size_t n = 0;
    enum status st = STATUS_OK;

    for (size_t i = 0; i < ARRAY_LEN(script_settings); i++) {
        const struct json *v = json_get(with, script_settings[i]);
        if (!v)
            continue;
        if (v->type != JSON_NULL)
            json_write_value(&texts[n], v);
        members[n] = (struct member){ script_settings[i], v->type == JSON_NULL ? SLICE_NONE : buf_slice(&texts[n]) };
        n++;
    }
    document_copy(&merged, w->settings, members, n);
    for (size_t i = 0; i < n; i++)
        buf_release(&texts[i]);
    if (n)
        st = catalog_set_settings(api_of(call->req)->store, w->name, buf_slice(&merged), &call->err);
    return st;
}

static enum status patch_locked(struct blocking_call *call)
{
    const struct json *settings;
    struct member members[8];
    struct worker *w;
    size_t n;
    enum status st = take_settings(call, &settings);

    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st == STATUS_OK)
        st = take_members(call, w, settings, members, &n);
    if (st == STATUS_OK && n)
        st = change_needs_deployed(call, w);
    if (st == STATUS_OK && n)
        st = change_apply(call, w, members, n, true, &w);
    if (st == STATUS_OK)
        st = merge_script_settings(call, w, settings);
    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st == STATUS_OK)
        write_settings(&call->result, w);
    return st;
}

static enum status work_patch(struct blocking_call *call)
{
    return call_locked(call, patch_locked);
}

void settings_patch(struct http_request *req)
{
    worker_call(req, API_WRITE, work_patch);
}

/* ---- of the script ---- */

static enum status work_script_get(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        json_write_value(&call->result, w->settings);
    return st;
}

void script_settings_get(struct http_request *req)
{
    worker_call(req, API_READ, work_script_get);
}

static enum status script_patch_locked(struct blocking_call *call)
{
    const struct json *body;
    struct worker *w;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st == STATUS_OK)
        st = merge_script_settings(call, w, body);
    return st == STATUS_OK ? work_script_get(call) : st;
}

static enum status work_script_patch(struct blocking_call *call)
{
    return call_locked(call, script_patch_locked);
}

void script_settings_patch(struct http_request *req)
{
    worker_call(req, API_WRITE, work_script_patch);
}
