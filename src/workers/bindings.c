/* bindings.c - see bindings.h. Texts and codes follow Cloudflare's where they are known. */
#include "workers/bindings.h"

#include "kv/kv.h"
#include "workers/document.h"

/* Being written: the array, and which names are in it. */
struct writer {
    const struct binding_rules *rules;
    struct buf *to;
    const struct json *list; /* what the client names */
    size_t n;
};

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, 0, "out of memory");
}

static enum status invalid(struct error *err, struct slice name, const char *what)
{
    return error_set(err, STATUS_SCRIPT, 0, "binding %.*s %s", SLICE_FMT(name), what);
}

/* ---- one binding, by its type ---- */

static void open_object(struct writer *w, struct slice name, const char *type)
{
    buf_append_cstr(w->to, w->n++ ? ",{\"name\":" : "{\"name\":");
    json_write_text(w->to, name);
    buf_printf(w->to, ",\"type\":\"%s\"", type);
}

static void put_text(struct writer *w, const char *key, struct slice text)
{
    buf_printf(w->to, ",\"%s\":", key);
    json_write_text(w->to, text);
}

static enum status put_plain_text(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    if (!json_is(json_get(b, "text"), JSON_STRING))
        return invalid(err, name, "of type plain_text must have a `text`");
    open_object(w, name, "plain_text");
    put_text(w, "text", json_get_text(b, "text"));
    buf_append_char(w->to, '}');
    return STATUS_OK;
}

static enum status put_json(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    const struct json *v = json_get(b, "json");

    if (!v)
        return invalid(err, name, "of type json must have a `json` value");
    open_object(w, name, "json");
    buf_append_cstr(w->to, ",\"json\":");
    json_write_value(w->to, v);
    buf_append_char(w->to, '}');
    return STATUS_OK;
}

static enum status put_sealed(struct writer *w, struct slice name, struct slice text, struct error *err)
{
    struct buf sealed CLEANUP(buf_release) = { 0 };
    struct slice context = secret_context(w->rules->arena, w->rules->worker, name);

    if (!context.ptr)
        return no_memory(err);
    enum status st = vault_seal(w->rules->vault, context, text, &sealed, err);
    if (st != STATUS_OK)
        return st;
    open_object(w, name, "secret_text");
    put_text(w, "sealed", buf_slice(&sealed));
    buf_append_char(w->to, '}');
    return STATUS_OK;
}

/* As it was stored. */
static void put_stored(struct writer *w, struct slice name, const struct json *stored)
{
    struct buf *to = w->to;

    buf_append_cstr(to, w->n++ ? ",{\"name\":" : "{\"name\":");
    json_write_text(to, name);
    for (const struct json *m = stored->child; m; m = m->next) {
        if (slice_eq(m->key, SLICE_LIT("name")))
            continue;
        buf_append_char(to, ',');
        json_write_text(to, m->key);
        buf_append_char(to, ':');
        json_write_value(to, m);
    }
    buf_append_char(to, '}');
}

static enum status put_secret(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    if (!json_is(json_get(b, "text"), JSON_STRING))
        return invalid(err, name, "of type secret_text must have a `text`");
    return put_sealed(w, name, json_get_text(b, "text"), err);
}

static enum status put_d1(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    struct slice id = json_get_text(b, "id");

    if (!id.len)
        id = json_get_text(b, "database_id");
    struct database *db = uuid_is_valid(id) ? store_find(w->rules->api->store, id) : NULL;
    if (!db)
        return invalid(err, name, "of type d1 must have a valid `id` specified");
    open_object(w, name, "d1");
    put_text(w, "id", slice_cstr(database_uuid(db)));
    put_text(w, "database_id", slice_cstr(database_uuid(db)));
    buf_append_char(w->to, '}');
    database_unref(db);
    return STATUS_OK;
}

static enum status put_kv(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    struct slice id = json_get_text(b, "namespace_id");

    if (!id.len)
        return invalid(err, name, "of type kv_namespace must have a `namespace_id`");
    struct kv_namespace *ns = kv_find(w->rules->api->kv, id);
    if (!ns)
        return error_set(err, STATUS_KVBINDING, 0, "KV namespace '%.*s' not found.", SLICE_FMT(id));
    kv_namespace_unref(ns);
    open_object(w, name, "kv_namespace");
    put_text(w, "namespace_id", id);
    buf_append_char(w->to, '}');
    return STATUS_OK;
}

static enum status check_service(struct writer *w, struct slice name, struct slice service, struct error *err)
{
    struct worker *other;
    struct error lookup;

    if (slice_eq(service, w->rules->worker))
        return STATUS_OK;
    enum status st = catalog_find(w->rules->api->store, service, w->rules->arena, &other, &lookup);
    if (st == STATUS_WORKER)
        return error_set(err, STATUS_SERVICE, 0,
                         "Could not resolve service binding '%.*s'. Target script '%.*s' not found.", SLICE_FMT(name),
                         SLICE_FMT(service));
    return st == STATUS_OK ? st : error_set(err, st, lookup.native, "%s", lookup.msg);
}

static enum status put_service(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    struct slice service = json_get_text(b, "service"), entrypoint = json_get_text(b, "entrypoint");
    const struct json *props = json_get(b, "props");

    if (!service.len)
        return invalid(err, name, "of type service must have a `service`");
    if (props && props->type != JSON_OBJECT && props->type != JSON_NULL)
        return invalid(err, name, "must have an object as `props`");
    enum status st = check_service(w, name, service, err);
    if (st != STATUS_OK)
        return st;
    open_object(w, name, "service");
    put_text(w, "service", service);
    put_text(w, "environment", SLICE_LIT("production"));
    if (entrypoint.len)
        put_text(w, "entrypoint", entrypoint);
    if (json_is(props, JSON_OBJECT)) {
        buf_append_cstr(w->to, ",\"props\":");
        json_write_value(w->to, props);
    }
    buf_append_char(w->to, '}');
    return STATUS_OK;
}

static enum status put_blob(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    struct slice part = json_get_text(b, "part"), type = json_get_text(b, "type"), file;

    if (!part.len)
        part = name;
    if (!w->rules->part_file || !w->rules->part_file(w->rules->arg, part, &file))
        return error_set(err, STATUS_SCRIPT, 0, "binding %.*s of type %.*s: there is no part `%.*s` in the upload",
                         SLICE_FMT(name), SLICE_FMT(type), SLICE_FMT(part));
    buf_append_cstr(w->to, w->n++ ? ",{\"name\":" : "{\"name\":");
    json_write_text(w->to, name);
    put_text(w, "type", type);
    put_text(w, "part", part);
    put_text(w, "file", file);
    buf_append_char(w->to, '}');
    return STATUS_OK;
}

static enum status put_bare(struct writer *w, struct slice name, const struct json *b, struct error *err UNUSED)
{
    buf_append_cstr(w->to, w->n++ ? ",{\"name\":" : "{\"name\":");
    json_write_text(w->to, name);
    put_text(w, "type", json_get_text(b, "type"));
    buf_append_char(w->to, '}');
    return STATUS_OK;
}

/* A secret is sealed for its name: under another one it is sealed again. */
static enum status put_inherited_secret(struct writer *w, struct slice name, struct slice old,
                                        const struct json *stored, struct error *err)
{
    struct buf plain CLEANUP(buf_release) = { 0 };
    struct slice context = secret_context(w->rules->arena, w->rules->worker, old);

    if (!context.ptr)
        return no_memory(err);
    enum status st = vault_unseal(w->rules->vault, context, json_get_text(stored, "sealed"), &plain, err);
    return st == STATUS_OK ? put_sealed(w, name, buf_slice(&plain), err) : st;
}

static enum status put_inherit(struct writer *w, struct slice name, const struct json *b, struct error *err)
{
    const struct json *from = w->rules->base;
    struct slice old = json_get_text(b, "old_name"), version = json_get_text(b, "version_id");

    if (!old.len)
        old = name;
    if (version.len && !slice_eq(version, SLICE_LIT("latest"))) {
        const struct version *v = w->rules->known ? worker_version(w->rules->known, version) : NULL;
        from = v ? v->document : NULL;
    }
    const struct json *stored = from ? document_binding(from, old) : NULL;
    if (!stored)
        return error_set(err, STATUS_INHERIT, 0,
                         "inherit binding '%.*s' is invalid: the previous version of the Worker has no binding '%.*s'",
                         SLICE_FMT(name), SLICE_FMT(old));
    if (document_is_secret(stored) && !slice_eq(old, name))
        return put_inherited_secret(w, name, old, stored, err);
    put_stored(w, name, stored);
    return STATUS_OK;
}

/* ---- the list ---- */

static const struct {
    const char *type;
    enum status (*put)(struct writer *w, struct slice name, const struct json *b, struct error *err);
} kinds[] = {
    { "plain_text", put_plain_text }, { "json", put_json },
    { "secret_text", put_secret },    { "d1", put_d1 },
    { "kv_namespace", put_kv },       { "service", put_service },
    { "assets", put_bare },           { "version_metadata", put_bare },
    { "wasm_module", put_blob },      { "text_blob", put_blob },
    { "data_blob", put_blob },        { "inherit", put_inherit },
};

static enum status put_binding(struct writer *w, const struct json *b, struct error *err)
{
    struct slice name = json_get_text(b, "name"), type = json_get_text(b, "type");

    if (b->type != JSON_OBJECT || !name.len)
        return error_set(err, STATUS_SCRIPT, 0, "a binding is an object with a `name` and a `type`");
    if (!type.len)
        return invalid(err, name, "must have a `type`");
    for (const struct json *other = w->list->child; other != b; other = other->next)
        if (slice_eq(json_get_text(other, "name"), name))
            return error_set(err, STATUS_TAKEN, 0,
                             "Binding name '%.*s' already in use. Please use a different name and try again.",
                             SLICE_FMT(name));
    const struct json *stored = w->rules->bare_stays && b->n == 2 ? document_binding(w->rules->base, name) : NULL;
    if (stored && slice_eq(json_get_text(stored, "type"), type)) {
        put_stored(w, name, stored);
        return STATUS_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (slice_eq(type, slice_cstr(kinds[i].type)))
            return kinds[i].put(w, name, b, err);
    return error_set(
        err, STATUS_SCRIPT, 0,
        "binding %.*s is of type %.*s, which Dione does not have. It has plain_text, json, secret_text, d1, "
        "kv_namespace, service, assets, version_metadata, wasm_module, text_blob and data_blob",
        SLICE_FMT(name), SLICE_FMT(type));
}

static bool is_named(const struct json *list, struct slice name)
{
    for (const struct json *b = list ? list->child : NULL; b; b = b->next)
        if (slice_eq(json_get_text(b, "name"), name))
            return true;
    return false;
}

static bool is_kept(const struct binding_rules *r, const struct json *stored)
{
    struct slice type = json_get_text(stored, "type");

    if (r->keep_secrets && document_is_secret(stored))
        return true;
    for (const struct json *t = json_is(r->keep, JSON_ARRAY) ? r->keep->child : NULL; t; t = t->next)
        if (t->type == JSON_STRING && slice_eq(t->text, type))
            return true;
    return false;
}

static void put_kept(struct writer *w)
{
    const struct json *stored = json_get(w->rules->base, "bindings");

    for (const struct json *b = stored ? stored->child : NULL; b; b = b->next)
        if (is_kept(w->rules, b) && !is_named(w->list, json_get_text(b, "name")))
            put_stored(w, json_get_text(b, "name"), b);
}

static enum status finish(struct buf *to, struct error *err)
{
    buf_append_char(to, ']');
    return to->overflowed ? no_memory(err) : STATUS_OK;
}

enum status bindings_resolve(const struct binding_rules *rules, const struct json *list, struct buf *to,
                             struct error *err)
{
    struct writer w = { .rules = rules, .to = to, .list = list };
    enum status st = STATUS_OK;

    if (list && list->type != JSON_ARRAY)
        return error_set(err, STATUS_SCRIPT, 0, "`bindings` must be an array");
    buf_append_char(to, '[');
    for (const struct json *b = list ? list->child : NULL; b && st == STATUS_OK; b = b->next)
        st = put_binding(&w, b, err);
    if (st != STATUS_OK)
        return st;
    put_kept(&w);
    return finish(to, err);
}

/* The last one of that name. */
static const struct secret_change *find_change(const struct secret_change *list, size_t n, struct slice name)
{
    while (n--)
        if (slice_eq(list[n].name, name))
            return &list[n];
    return NULL;
}

enum status bindings_with_secrets(const struct binding_rules *rules, const struct secret_change *list, size_t n,
                                  struct buf *to, struct error *err)
{
    const struct json *stored = json_get(rules->base, "bindings");
    struct writer w = { .rules = rules, .to = to };
    enum status st = STATUS_OK;

    buf_append_char(to, '[');
    for (const struct json *b = stored ? stored->child : NULL; b; b = b->next) {
        struct slice name = json_get_text(b, "name");
        if (!find_change(list, n, name))
            put_stored(&w, name, b);
        else if (!document_is_secret(b))
            return error_set(err, STATUS_TAKEN, 0,
                             "Binding name '%.*s' already in use. Please use a different name and try again.",
                             SLICE_FMT(name));
    }
    for (size_t i = 0; i < n && st == STATUS_OK; i++)
        if (list[i].text.ptr && find_change(list, n, list[i].name) == &list[i])
            st = put_sealed(&w, list[i].name, list[i].text, err);
    return st == STATUS_OK ? finish(to, err) : st;
}
