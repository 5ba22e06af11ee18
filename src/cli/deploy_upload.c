/* deploy_upload.c - the form that carries a version: its metadata, its modules, the files that bindings name. */
#include "cli/deploy_assets.h"
#include "cli/deploy_bindings.h"
#include "cli/deploy_internal.h"
#include "cli/files.h"
#include "cli/secrets_file.h"

#include <stdlib.h>

/* ---- metadata ---- */

static void add_text(struct buf *out, const char *key, struct slice text)
{
    if (!text.len)
        return;
    buf_printf(out, ",\"%s\":", key);
    json_write_text(out, text);
}

static void add_annotations(const struct deploy_options *o, struct buf *out)
{
    if (!o->message && !o->tag)
        return;
    buf_append_cstr(out, ",\"annotations\":{");
    if (o->message) {
        buf_append_cstr(out, "\"workers/message\":");
        json_write_cstr(out, o->message);
    }
    if (o->tag) {
        buf_append_cstr(out, o->message ? ",\"workers/tag\":" : "\"workers/tag\":");
        json_write_cstr(out, o->tag);
    }
    buf_append_char(out, '}');
}

static void add_flags(const struct deploy *d, struct buf *out)
{
    const struct project *p = &d->project;

    buf_append_cstr(out, ",\"compatibility_flags\":[");
    for (size_t i = 0; i < p->n_compatibility_flags; i++) {
        buf_append_cstr(out, i ? "," : "");
        json_write_text(out, p->compatibility_flags[i]);
    }
    for (size_t i = 0; i < d->bundle.n_flags; i++) {
        buf_append_cstr(out, i || p->n_compatibility_flags ? "," : "");
        json_write_text(out, d->bundle.flags[i]);
    }
    buf_append_char(out, ']');
}

/* What the configuration says and the server keeps as it is. */
static void add_from_config(const struct project *p, struct buf *out)
{
    static const char *const keys[] = { "limits", "observability", "placement" };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct json *v = config_get(&p->config, keys[i]);
        if (!v)
            continue;
        buf_printf(out, ",\"%s\":", keys[i]);
        json_write_value(out, v);
    }
}

static void add_assets(const struct deploy *d, struct buf *out)
{
    if (!d->assets_jwt)
        return;
    buf_append_cstr(out, ",\"assets\":{\"jwt\":");
    json_write_cstr(out, d->assets_jwt);
    buf_append_cstr(out, ",\"config\":");
    deploy_add_assets_config(&d->project, &d->assets, out);
    buf_append_char(out, '}');
}

static void write_metadata(const struct deploy *d, struct slice bindings, struct buf *out)
{
    buf_append_cstr(out, "{\"bindings\":[");
    buf_append_slice(out, bindings);
    buf_append_char(out, ']');
    if (d->bundle.n_modules)
        add_text(out, d->bundle.is_service_worker ? "body_part" : "main_module", d->bundle.modules[0].name);
    add_text(out, "compatibility_date", d->project.compatibility_date);
    add_flags(d, out);
    buf_printf(out, ",\"keep_bindings\":[%s\"secret_text\",\"secret_key\"]",
               d->options->keep_vars ? "\"plain_text\",\"json\"," : "");
    add_annotations(d->options, out);
    add_from_config(&d->project, out);
    add_assets(d, out);
    buf_append_char(out, '}');
}

/* ---- the form ---- */

static const char *type_of(const struct bundle *b, const struct worker_module *m)
{
    switch (m->kind) {
    case MODULE_ES:
        return b->is_service_worker ? "application/javascript" : "application/javascript+module";
    case MODULE_COMMON_JS:
        return "application/javascript";
    case MODULE_TEXT:
        return "text/plain";
    case MODULE_DATA:
        return "application/octet-stream";
    case MODULE_WASM:
        return "application/wasm";
    case MODULE_JSON:
        return "application/json";
    }
    return "application/octet-stream";
}

static enum status add_modules(const struct deploy *d, struct form *form, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < d->bundle.n_modules && st == STATUS_OK; i++) {
        const struct worker_module *m = &d->bundle.modules[i];
        struct buf content = { 0 };
        st = file_read(m->path.ptr, &content, err); /* terminated: an arena's copy */
        if (st == STATUS_OK)
            form_add(form, m->name, m->name, slice_cstr(type_of(&d->bundle, m)), buf_slice(&content));
        buf_release(&content);
    }
    return st;
}

static enum status add_secrets(const struct deploy *d, struct buf *bindings, struct error *err)
{
    const char *file = d->options->secrets_file;
    struct secrets secrets = { 0 };
    enum status st = file ? secrets_read(file, &secrets, err) : STATUS_OK;

    for (size_t i = 0; i < secrets.n && st == STATUS_OK; i++) {
        if (!secrets.items[i].value.ptr)
            st = error_set(err, STATUS_INVALID, 0, "%s: %.*s has no value; `dione secret delete` deletes one", file,
                           SLICE_FMT(secrets.items[i].name));
        deploy_open_binding(bindings, secrets.items[i].name, "secret_text");
        buf_append_cstr(bindings, ",\"text\":");
        json_write_text(bindings, secrets.items[i].value);
        buf_append_char(bindings, '}');
    }
    secrets_release(&secrets);
    return st;
}

static enum status make_form(struct deploy *d, struct form *form, struct error *err)
{
    struct buf bindings = { 0 }, metadata = { 0 };

    enum status st = deploy_add_bindings(&d->project, &d->session, &d->worker, &bindings, form, err);
    if (st == STATUS_OK)
        st = add_secrets(d, &bindings, err);
    if (st == STATUS_OK) {
        write_metadata(d, buf_slice(&bindings), &metadata);
        form_add(form, SLICE_LIT("metadata"), SLICE_NONE, SLICE_NONE, buf_slice(&metadata));
        st = add_modules(d, form, err);
    }
    form_end(form);
    buf_release(&metadata);
    buf_release(&bindings);
    return st;
}

enum status deploy_send(struct deploy *d, bool activate, struct error *err)
{
    char *path = remote_worker_path(&d->worker, activate ? "?excludeScript=true&bindings_inherit=strict"
                                                         : "/versions?bindings_inherit=strict");
    struct form form;

    form_init(&form);
    enum status st = make_form(d, &form, err);
    const struct api_request r = {
        .method = activate ? "PUT" : "POST",
        .path = path,
        .content_type = form.content_type,
        .body = buf_slice(&form.body),
    };
    if (st == STATUS_OK)
        st = api_send(d->session.api, &r, &d->version, err);
    form_release(&form);
    free(path);
    return st;
}
