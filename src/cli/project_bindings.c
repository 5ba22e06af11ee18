/*
 * project_bindings.c - what a Worker's `env` holds, from the many keys of the configuration.
 *
 * One table says which key holds bindings of which kind, in what shape, and under which member stands the name. Kinds
 * that Dione has no counterpart for are in it too, so that they are named instead of being missing at run time.
 */
#include "cli/project_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum shape {
    LIST,   /* "kv_namespaces": [{ "binding": "X" }] */
    OBJECT, /* "ai": { "binding": "X" } */
    FILES,  /* "text_blobs": { "X": "file" } */
};

static const struct source {
    const char *key, *inner; /* inner: the member of `key` that holds the list; NULL: `key` does */
    enum shape shape;
    enum project_binding_kind kind;
    const char *name_key, *label;
} sources[] = {
    { "d1_databases", NULL, LIST, PROJECT_D1, "binding", "D1 database" },
    { "kv_namespaces", NULL, LIST, PROJECT_KV, "binding", "KV namespace" },
    { "services", NULL, LIST, PROJECT_SERVICE, "binding", "service" },
    { "version_metadata", NULL, OBJECT, PROJECT_VERSION_METADATA, "binding", "version metadata" },
    { "wasm_modules", NULL, FILES, PROJECT_WASM, NULL, "WebAssembly module" },
    { "text_blobs", NULL, FILES, PROJECT_TEXT_FILE, NULL, "text file" },
    { "data_blobs", NULL, FILES, PROJECT_DATA_FILE, NULL, "data file" },
    { "r2_buckets", NULL, LIST, PROJECT_FOREIGN, "binding", "R2 bucket" },
    { "durable_objects", "bindings", LIST, PROJECT_FOREIGN, "name", "Durable Object" },
    { "queues", "producers", LIST, PROJECT_FOREIGN, "binding", "queue" },
    { "workflows", NULL, LIST, PROJECT_FOREIGN, "binding", "Workflow" },
    { "hyperdrive", NULL, LIST, PROJECT_FOREIGN, "binding", "Hyperdrive configuration" },
    { "vectorize", NULL, LIST, PROJECT_FOREIGN, "binding", "Vectorize index" },
    { "ai", NULL, OBJECT, PROJECT_FOREIGN, "binding", "Workers AI" },
    { "ai_search", NULL, LIST, PROJECT_FOREIGN, "binding", "AI Search instance" },
    { "ai_search_namespaces", NULL, LIST, PROJECT_FOREIGN, "binding", "AI Search namespace" },
    { "agent_memory", NULL, LIST, PROJECT_FOREIGN, "binding", "Agent Memory" },
    { "browser", NULL, OBJECT, PROJECT_FOREIGN, "binding", "Browser Rendering" },
    { "images", NULL, OBJECT, PROJECT_FOREIGN, "binding", "Images" },
    { "stream", NULL, OBJECT, PROJECT_FOREIGN, "binding", "Stream" },
    { "media", NULL, OBJECT, PROJECT_FOREIGN, "binding", "Media Transformations" },
    { "analytics_engine_datasets", NULL, LIST, PROJECT_FOREIGN, "binding", "Analytics Engine dataset" },
    { "dispatch_namespaces", NULL, LIST, PROJECT_FOREIGN, "binding", "dispatch namespace" },
    { "mtls_certificates", NULL, LIST, PROJECT_FOREIGN, "binding", "mTLS certificate" },
    { "send_email", NULL, LIST, PROJECT_FOREIGN, "name", "e-mail sender" },
    { "secrets_store_secrets", NULL, LIST, PROJECT_FOREIGN, "binding", "Secrets Store secret" },
    { "pipelines", NULL, LIST, PROJECT_FOREIGN, "binding", "Pipeline" },
    { "worker_loaders", NULL, LIST, PROJECT_FOREIGN, "binding", "Worker loader" },
    { "ratelimits", NULL, LIST, PROJECT_FOREIGN, "name", "rate limit" },
    { "vpc_services", NULL, LIST, PROJECT_FOREIGN, "binding", "VPC service" },
    { "vpc_networks", NULL, LIST, PROJECT_FOREIGN, "binding", "VPC network" },
    { "artifacts", NULL, LIST, PROJECT_FOREIGN, "binding", "Artifacts" },
    { "logfwdr", "bindings", LIST, PROJECT_FOREIGN, "name", "log forwarder" },
    { "unsafe", "bindings", LIST, PROJECT_FOREIGN, "name", "unsafe binding" },
};

/* ---- adding ---- */

static struct project_binding *find(struct project *p, struct slice name)
{
    for (size_t i = 0; i < p->n_bindings; i++)
        if (slice_eq(p->bindings[i].name, name))
            return &p->bindings[i];
    return NULL;
}

const struct project_binding *project_binding(const struct project *p, struct slice name)
{
    for (size_t i = 0; i < p->n_bindings; i++)
        if (slice_eq(p->bindings[i].name, name))
            return &p->bindings[i];
    return NULL;
}

static enum status add(struct project *p, const struct project_binding *b, struct error *err)
{
    const struct project_binding *other = find(p, b->name);

    if (other)
        return project_invalid(p, err, "two bindings are called '%.*s': a %s and a %s", SLICE_FMT(b->name),
                               project_binding_label(other), project_binding_label(b));
    p->bindings[p->n_bindings++] = *b;
    return STATUS_OK;
}

/* Vars and secrets: a later one takes the place of an earlier one. */
static enum status put_value(struct project *p, enum project_binding_kind kind, struct slice name, struct slice value,
                             struct error *err)
{
    const struct project_binding b = { .kind = kind, .name = name, .value = value };
    struct project_binding *old = find(p, name);

    if (!old || old->kind > PROJECT_SECRET)
        return add(p, &b, err);
    *old = b;
    return STATUS_OK;
}

/* ---- vars ---- */

/* TOML can say inf and nan, JSON cannot. */
static bool fits_json(const struct json *v)
{
    if (v->type == JSON_NUMBER)
        return isfinite(json_double(v));
    for (const struct json *c = v->child; c; c = c->next)
        if (!fits_json(c))
            return false;
    return true;
}

static enum status add_var(struct project *p, const struct json *v, struct error *err)
{
    struct buf text = { 0 };

    if (v->type == JSON_STRING)
        return put_value(p, PROJECT_TEXT, v->key, v->text, err);
    if (!fits_json(v))
        return project_invalid(p, err, "vars.%.*s: JSON has no such number", SLICE_FMT(v->key));
    json_write_value(&text, v);
    struct slice kept = project_keep(p, buf_slice(&text));
    buf_release(&text);
    return put_value(p, PROJECT_JSON, v->key, kept, err);
}

static enum status add_vars(struct project *p, struct error *err)
{
    const struct json *vars = json_get(p->config.scope, "vars");

    if (!vars || vars->type == JSON_NULL)
        return STATUS_OK;
    if (vars->type != JSON_OBJECT)
        return project_invalid(p, err, "'vars' must be an object");
    for (const struct json *v = vars->child; v; v = v->next) {
        enum status st = add_var(p, v, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static enum status add_given_vars(struct project *p, const struct option_list *vars, struct error *err)
{
    for (size_t i = 0; i < vars->n; i++) {
        struct slice value = slice_cstr(vars->items[i]), name = slice_cut(&value, ':');
        if (!name.len || !value.ptr)
            return error_set(err, STATUS_INVALID, 0, "--var takes NAME:VALUE, not '%s'", vars->items[i]);
        enum status st = put_value(p, PROJECT_TEXT, name, value, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* ---- the rest ---- */

static enum status check_members(const struct project *p, const struct source *s, const struct project_binding *b,
                                 struct error *err)
{
    if (s->kind == PROJECT_SERVICE && !b->target.len)
        return project_invalid(p, err, "services: the entry '%.*s' names no \"service\"", SLICE_FMT(b->name));
    return STATUS_OK;
}

static enum status add_entry(struct project *p, const struct source *s, const struct json *v, struct error *err)
{
    struct project_binding b = { .kind = s->kind, .name = json_get_text(v, s->name_key), .entry = v };

    if (!b.name.len)
        return project_invalid(p, err, "%s%s%s: an entry has no \"%s\"", s->key, s->inner ? "." : "",
                               s->inner ? s->inner : "", s->name_key);
    if (s->kind == PROJECT_D1) {
        b.id = json_get_text(v, "database_id");
        b.target = json_get_text(v, "database_name");
    } else if (s->kind == PROJECT_KV) {
        b.id = json_get_text(v, "id");
    } else if (s->kind == PROJECT_SERVICE) {
        b.target = json_get_text(v, "service");
        b.entrypoint = json_get_text(v, "entrypoint");
    } else if (s->kind == PROJECT_FOREIGN) {
        b.target = slice_cstr(s->label);
    }
    enum status st = check_members(p, s, &b, err);
    return st == STATUS_OK ? add(p, &b, err) : st;
}

static enum status add_file(struct project *p, const struct source *s, const struct json *v, struct error *err)
{
    if (v->type != JSON_STRING)
        return project_invalid(p, err, "%s.%.*s must be the path of a file", s->key, SLICE_FMT(v->key));
    const struct project_binding b = { .kind = s->kind, .name = v->key, .value = project_path(p, p->folder, v->text) };
    return add(p, &b, err);
}

/* What the environment says; the maps of files belong to the top level. */
static const struct json *source_value(const struct project *p, const struct source *s)
{
    const struct json *v = json_get(s->shape == FILES ? p->config.root : p->config.scope, s->key);

    v = s->inner ? json_get(v, s->inner) : v;
    return json_is(v, JSON_NULL) ? NULL : v;
}

static enum status add_source(struct project *p, const struct source *s, struct error *err)
{
    const struct json *v = source_value(p, s);
    enum status st = STATUS_OK;

    if (!v)
        return STATUS_OK;
    if (v->type != (s->shape == LIST ? JSON_ARRAY : JSON_OBJECT))
        return project_invalid(p, err, "'%s%s%s' must be %s", s->key, s->inner ? "." : "", s->inner ? s->inner : "",
                               s->shape == LIST ? "a list" : "an object");
    if (s->shape == OBJECT)
        return add_entry(p, s, v, err);
    for (const struct json *c = v->child; c && st == STATUS_OK; c = c->next)
        st = s->shape == FILES ? add_file(p, s, c, err) : add_entry(p, s, c, err);
    return st;
}

static enum status add_assets(struct project *p, struct error *err)
{
    const struct project_binding b = { .kind = PROJECT_ASSETS, .name = json_get_text(p->assets, "binding") };

    if (!b.name.len)
        return STATUS_OK;
    if (!p->assets_directory.len)
        return project_invalid(p, err, "'assets.binding' is there without 'assets.directory'");
    return add(p, &b, err);
}

static size_t count_entries(const struct project *p, const struct option_list *vars)
{
    size_t n = vars->n + 1; /* 1: the static assets */
    const struct json *own = json_get(p->config.scope, "vars");

    n += own ? own->n : 0;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        const struct json *v = source_value(p, &sources[i]);
        n += v ? v->n + 1 : 0;
    }
    return n;
}

enum status project_read_bindings(struct project *p, const struct option_list *vars, struct error *err)
{
    p->bindings = project_alloc(p, count_entries(p, vars), sizeof(*p->bindings));
    enum status st = add_vars(p, err);
    if (st == STATUS_OK)
        st = add_given_vars(p, vars, err);
    for (size_t i = 0; i < ARRAY_LEN(sources) && st == STATUS_OK; i++)
        st = add_source(p, &sources[i], err);
    return st == STATUS_OK ? add_assets(p, err) : st;
}

enum status project_add_secrets(struct project *p, const struct dotenv *secrets, struct error *err)
{
    struct project_binding *grown;
    size_t n = p->n_bindings;

    for (const struct dotenv_entry *e = secrets->first; e; e = e->next)
        n++;
    grown = project_alloc(p, n, sizeof(*grown));
    if (p->n_bindings)
        memcpy(grown, p->bindings, p->n_bindings * sizeof(*grown));
    p->bindings = grown;
    for (const struct dotenv_entry *e = secrets->first; e; e = e->next) {
        enum status st = put_value(p, PROJECT_SECRET, e->key, e->value, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* ---- questions ---- */

static void append_remark(const struct project *p, const char *key, struct buf *out)
{
    const struct json *top = json_get(p->config.root, key), *own = json_get(p->config.scope, key);

    if (top && top->type != JSON_NULL && !own)
        buf_printf(out, "%s: '%s' stands at the top level only; env.%s does not inherit it, so it has none\n",
                   p->config.path, key, p->config.env);
}

void project_append_remarks(const struct project *p, struct buf *out)
{
    if (!p->config.env)
        return;
    append_remark(p, "vars", out);
    append_remark(p, "define", out);
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (sources[i].shape != FILES)
            append_remark(p, sources[i].key, out);
}

const char *project_binding_label(const struct project_binding *b)
{
    switch (b->kind) {
    case PROJECT_TEXT:
    case PROJECT_JSON:
        return "variable";
    case PROJECT_SECRET:
        return "secret";
    case PROJECT_ASSETS:
        return "folder of static assets";
    case PROJECT_FOREIGN:
        return b->target.ptr; /* a label of the table */
    case PROJECT_D1:
    case PROJECT_KV:
    case PROJECT_SERVICE:
    case PROJECT_VERSION_METADATA:
    case PROJECT_WASM:
    case PROJECT_TEXT_FILE:
    case PROJECT_DATA_FILE:
        break;
    }
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (sources[i].kind == b->kind)
            return sources[i].label;
    return "binding";
}
