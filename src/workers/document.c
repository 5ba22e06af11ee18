/* document.c - see document.h. */
#include "workers/document.h"

#include <stdio.h>

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, 0, "out of memory");
}

/* ---- modules ---- */

bool module_kind_of(struct slice content_type, enum module_kind *ret)
{
    static const struct {
        struct slice type;
        enum module_kind kind;
    } rows[] = {
        { { "application/javascript+module", 29 }, MODULE_ES },
        { { "text/javascript+module", 22 }, MODULE_ES },
        { { "application/javascript", 22 }, MODULE_COMMON_JS },
        { { "text/javascript", 15 }, MODULE_COMMON_JS },
        { { "application/wasm", 16 }, MODULE_WASM },
        { { "text/plain", 10 }, MODULE_TEXT },
        { { "application/octet-stream", 24 }, MODULE_DATA },
        { { "application/json", 16 }, MODULE_JSON },
    };
    struct slice type = slice_trim(slice_cut(&content_type, ';'));

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_eq_nocase(type, rows[i].type))
            continue;
        *ret = rows[i].kind;
        return true;
    }
    return false;
}

static struct slice file_path(struct arena *a, const char *dir, struct slice file)
{
    struct slice path = arena_join(a, slice_cstr(dir), SLICE_LIT("/"));

    return path.ptr ? arena_join(a, path, file) : path;
}

static enum status take_modules(const struct json *document, const char *dir, struct arena *a, struct worker_spec *spec,
                                struct error *err)
{
    const struct json *list = json_get(document, "modules");
    size_t n = list ? list->n : 0;
    struct worker_module *modules = arena_zalloc(a, (n ? n : 1) * sizeof(*modules));

    if (!modules)
        return no_memory(err);
    for (const struct json *m = list ? list->child : NULL; m; m = m->next) {
        struct worker_module *to = &modules[spec->n_modules++];
        to->name = json_get_text(m, "name");
        to->path = file_path(a, dir, json_get_text(m, "file"));
        if (!to->path.ptr)
            return no_memory(err);
        if (!module_kind_of(json_get_text(m, "type"), &to->kind))
            return error_set(err, STATUS_CORRUPT, 0, "the stored type of the module %.*s is unknown",
                             SLICE_FMT(to->name));
    }
    spec->modules = modules;
    spec->is_service_worker = slice_eq(json_get_text(document, "format"), SLICE_LIT("service-worker"));
    /* Such a script is uploaded as application/javascript, which would make a module of it. */
    if (spec->is_service_worker && spec->n_modules)
        modules[0].kind = MODULE_ES;
    return STATUS_OK;
}

/* ---- bindings ---- */

struct binding_row {
    const char *type;
    enum binding_kind kind;
    const char *value; /* member that holds it */
};

static const struct binding_row binding_rows[] = {
    { "plain_text", BINDING_TEXT, "text" },
    { "secret_text", BINDING_TEXT, "sealed" },
    { "json", BINDING_JSON, "json" },
    { "d1", BINDING_D1, "id" },
    { "kv_namespace", BINDING_KV, "namespace_id" },
    { "service", BINDING_SERVICE, "service" },
    { "assets", BINDING_ASSETS, NULL },
    { "version_metadata", BINDING_VERSION_METADATA, NULL },
    { "wasm_module", BINDING_WASM, "file" },
    { "text_blob", BINDING_TEXT_FILE, "file" },
    { "data_blob", BINDING_DATA, "file" },
};

static const struct binding_row *row_of(struct slice type)
{
    for (size_t i = 0; i < ARRAY_LEN(binding_rows); i++)
        if (slice_eq(type, slice_cstr(binding_rows[i].type)))
            return &binding_rows[i];
    return NULL;
}

bool document_is_secret(const struct json *binding)
{
    return slice_eq(json_get_text(binding, "type"), SLICE_LIT("secret_text"));
}

struct slice secret_context(struct arena *a, struct slice worker, struct slice name)
{
    struct slice text = arena_join(a, SLICE_LIT("secret/"), worker);

    text = text.ptr ? arena_join(a, text, SLICE_LIT("/")) : text;
    return text.ptr ? arena_join(a, text, name) : text;
}

static enum status json_to_arena(struct arena *a, const struct json *v, struct slice *ret, struct error *err)
{
    struct buf text CLEANUP(buf_release) = { 0 };

    json_write_value(&text, v);
    *ret = arena_copy(a, buf_slice(&text));
    return ret->ptr && !text.overflowed ? STATUS_OK : no_memory(err);
}

static enum status unseal(struct slice worker, struct slice name, struct slice sealed, struct vault *vault,
                          struct arena *a, struct slice *ret, struct error *err)
{
    struct buf plain CLEANUP(buf_release) = { 0 };
    struct slice context = secret_context(a, worker, name);

    if (!context.ptr)
        return no_memory(err);
    enum status st = vault_unseal(vault, context, sealed, &plain, err);
    if (st != STATUS_OK)
        return error_prefix(err, "the secret %.*s cannot be read", SLICE_FMT(name));
    *ret = arena_copy(a, buf_slice(&plain));
    return ret->ptr ? STATUS_OK : no_memory(err);
}

static enum status take_binding(const struct worker *w, const struct json *from, const char *dir, struct vault *vault,
                                struct arena *a, struct worker_binding *to, struct error *err)
{
    const struct binding_row *row = row_of(json_get_text(from, "type"));
    const struct json *props = json_get(from, "props");
    enum status st = STATUS_OK;

    to->name = json_get_text(from, "name");
    if (!row)
        return error_set(err, STATUS_CORRUPT, 0, "the stored type of the binding %.*s is unknown", SLICE_FMT(to->name));
    to->kind = row->kind;
    if (row->value)
        to->value = json_get_text(from, row->value);
    if (row->kind == BINDING_JSON)
        st = json_to_arena(a, json_get(from, "json"), &to->value, err);
    else if (document_is_secret(from))
        st = unseal(w->name, to->name, to->value, vault, a, &to->value, err);
    else if (row->kind == BINDING_WASM || row->kind == BINDING_TEXT_FILE || row->kind == BINDING_DATA)
        to->value = file_path(a, dir, to->value);
    to->entrypoint = json_get_text(from, "entrypoint");
    if (st == STATUS_OK && props && props->type == JSON_OBJECT)
        st = json_to_arena(a, props, &to->props, err);
    return st;
}

static enum status take_bindings(const struct worker *w, const struct version *v, const char *dir, struct vault *vault,
                                 struct arena *a, struct worker_spec *spec, struct error *err)
{
    const struct json *list = json_get(v->document, "bindings");
    size_t n = list ? list->n : 0;
    struct worker_binding *bindings = arena_zalloc(a, (n ? n : 1) * sizeof(*bindings));
    enum status st = bindings ? STATUS_OK : no_memory(err);

    for (const struct json *b = list ? list->child : NULL; b && st == STATUS_OK; b = b->next)
        st = take_binding(w, b, dir, vault, a, &bindings[spec->n_bindings++], err);
    spec->bindings = bindings;
    return st;
}

/* ---- the rest of the spec ---- */

static enum status take_flags(const struct json *document, struct arena *a, struct worker_spec *spec, struct error *err)
{
    const struct json *list = json_get(document, "compatibility_flags");
    size_t n = list ? list->n : 0;
    struct slice *flags = arena_zalloc(a, (n ? n : 1) * sizeof(*flags));

    if (!flags)
        return no_memory(err);
    for (const struct json *f = list ? list->child : NULL; f; f = f->next)
        flags[spec->n_compatibility_flags++] = f->text;
    spec->compatibility_flags = flags;
    return STATUS_OK;
}

static enum status take_triggers(const struct worker *w, struct arena *a, struct worker_spec *spec, struct error *err)
{
    struct slice *texts = arena_zalloc(a, (w->n_routes + w->n_crons + 1) * sizeof(*texts));

    if (!texts)
        return no_memory(err);
    spec->routes = texts;
    spec->n_routes = w->n_routes;
    for (size_t i = 0; i < w->n_routes; i++)
        *texts++ = w->routes[i].pattern;
    spec->crons = texts;
    spec->n_crons = w->n_crons;
    for (size_t i = 0; i < w->n_crons; i++)
        *texts++ = w->crons[i].cron;
    return STATUS_OK;
}

enum status document_spec(const struct worker *w, const struct version *v, const char *dir, struct vault *vault,
                          struct arena *a, struct worker_spec *ret, struct error *err)
{
    const struct json *d = v->document;
    struct worker_spec spec = {
        .name = w->name,
        .version_id = v->id,
        .version_tag = json_get_text(json_get(d, "annotations"), "workers/tag"),
        .version_created_ms = v->created_ms,
        .compatibility_date = json_get_text(d, "compatibility_date"),
        .assets_id = json_get(d, "assets") ? v->id : SLICE_NONE,
    };
    enum status st = take_modules(d, dir, a, &spec, err);

    if (st == STATUS_OK)
        st = take_bindings(w, v, dir, vault, a, &spec, err);
    if (st == STATUS_OK)
        st = take_flags(d, a, &spec, err);
    if (st == STATUS_OK)
        st = take_triggers(w, a, &spec, err);
    if (st == STATUS_OK)
        *ret = spec;
    return st;
}

/* ---- as clients see it ---- */

/* Ours alone, or not for anybody's eyes. */
static bool is_private(struct slice key)
{
    return slice_eq(key, SLICE_LIT("sealed")) || slice_eq(key, SLICE_LIT("file"));
}

void document_write_binding(struct buf *b, const struct json *binding)
{
    bool first = true;

    buf_append_char(b, '{');
    for (const struct json *m = binding->child; m; m = m->next) {
        if (is_private(m->key))
            continue;
        if (!first)
            buf_append_char(b, ',');
        first = false;
        json_write_text(b, m->key);
        buf_append_char(b, ':');
        json_write_value(b, m);
    }
    buf_append_char(b, '}');
}

void document_write_bindings(struct buf *b, const struct json *document)
{
    const struct json *list = json_get(document, "bindings");

    buf_append_char(b, '[');
    for (const struct json *x = list ? list->child : NULL; x; x = x->next) {
        if (x != list->child)
            buf_append_char(b, ',');
        document_write_binding(b, x);
    }
    buf_append_char(b, ']');
}

void document_write_member(struct buf *b, const struct json *document, const char *key, const char *fallback)
{
    const struct json *v = json_get(document, key);

    if (v)
        json_write_value(b, v);
    else
        buf_append_cstr(b, fallback);
}

const struct json *document_binding(const struct json *document, struct slice name)
{
    const struct json *list = json_get(document, "bindings");

    for (const struct json *b = list ? list->child : NULL; b; b = b->next)
        if (slice_eq(json_get_text(b, "name"), name))
            return b;
    return NULL;
}

/* ---- a changed copy ---- */

static const struct member *find_member(const struct member *with, size_t n, struct slice key)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(key, slice_cstr(with[i].key)))
            return &with[i];
    return NULL;
}

void document_copy(struct buf *b, const struct json *document, const struct member *with, size_t n)
{
    bool first = true;

    buf_append_char(b, '{');
    for (const struct json *m = document ? document->child : NULL; m; m = m->next) {
        if (find_member(with, n, m->key))
            continue;
        buf_append_cstr(b, first ? "" : ",");
        first = false;
        json_write_text(b, m->key);
        buf_append_char(b, ':');
        json_write_value(b, m);
    }
    for (size_t i = 0; i < n; i++) {
        if (!with[i].json.ptr)
            continue;
        buf_append_cstr(b, first ? "" : ",");
        first = false;
        json_write_cstr(b, with[i].key);
        buf_append_char(b, ':');
        buf_append_slice(b, with[i].json);
    }
    buf_append_char(b, '}');
}
