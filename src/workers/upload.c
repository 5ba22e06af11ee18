/*
 * upload.c - see upload.h.
 *
 * Module names never become file names: a file is named by the SHA-256 of its bytes, so that one which a later version
 * takes over meets no other of its name. Source maps are dropped: nothing reads them here.
 */
#include "workers/upload.h"

#include "base/digest.h"
#include "workers/asset_store.h"
#include "workers/bindings.h"
#include "workers/document.h"

#include <stdio.h>
#include <stdlib.h>

static const char default_date[] = "2021-11-02"; /* what Cloudflare takes for a Worker that names none */

struct module {
    const struct multipart_part *part;
    struct slice type; /* without parameters */
    struct slice file;
};

/* Being made: the list of modules, the main one first. */
struct maker {
    struct workers *w;
    struct upload *u;
    struct module *modules;
    size_t n;
    uint64_t bytes;
    struct slice main;
    bool is_service_worker;
};

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, 0, "out of memory");
}

/* ---- modules ---- */

static struct slice bare_type(struct slice content_type)
{
    return slice_trim(slice_cut(&content_type, ';'));
}

static bool is_source_map(struct slice type)
{
    return slice_eq_nocase(type, SLICE_LIT("application/source-map"));
}

static bool is_blob_of(const struct json *metadata, struct slice part)
{
    const struct json *list = json_get(metadata, "bindings");

    for (const struct json *b = list ? list->child : NULL; b; b = b->next)
        if (slice_eq(json_get_text(b, "part"), part))
            return true;
    return false;
}

static enum status add_module(struct maker *m, const struct multipart_part *part, struct error *err)
{
    struct slice type = bare_type(part->content_type);
    enum module_kind kind;
    char hash[SHA256_HEX_LEN + 1];

    if (slice_starts_nocase(type, SLICE_LIT("text/x-python")))
        return error_set(err, STATUS_SCRIPT, 0,
                         "the module %.*s is Python, which the stock workerd that Dione runs does not have",
                         SLICE_FMT(part->name));
    if (!module_kind_of(type, &kind))
        return error_set(err, STATUS_SCRIPT, 0, "the module %.*s is of an unknown type: '%.*s'", SLICE_FMT(part->name),
                         SLICE_FMT(type));
    if (m->n == UPLOAD_MODULES_MAX)
        return error_set(err, STATUS_SCRIPT, 0, "a Worker may have %d modules", UPLOAD_MODULES_MAX);
    for (size_t i = 0; i < m->n; i++)
        if (slice_eq(m->modules[i].part->name, part->name))
            return error_set(err, STATUS_SCRIPT, 0, "There are two modules called '%.*s'", SLICE_FMT(part->name));
    m->bytes += part->body.len;
    if (m->bytes > UPLOAD_MODULES_MAX_BYTES)
        return error_set(
            err, STATUS_SCRIPTSIZE, 0,
            "Your Worker exceeded the size limit of %d MiB. Refer to the Workers documentation "
            "(https://developers.cloudflare.com/workers/observability/errors/#errors-on-worker-upload) for "
            "more details.",
            UPLOAD_MODULES_MAX_BYTES >> 20);
    struct module *to = &m->modules[m->n];
    *to = (struct module){ .part = part, .type = type };
    sha256_hex(part->body, hash);
    to->file = arena_copy(m->u->arena, slice_cstr(hash));
    m->n++;
    return to->file.ptr ? STATUS_OK : no_memory(err);
}

/* The main one first, as the runtime wants it; its name is said by the metadata. */
static enum status put_main_first(struct maker *m, struct error *err)
{
    for (size_t i = 0; i < m->n; i++) {
        if (!slice_eq(m->modules[i].part->name, m->main))
            continue;
        struct module found = m->modules[i];
        memmove(&m->modules[1], &m->modules[0], i * sizeof(found));
        m->modules[0] = found;
        return STATUS_OK;
    }
    return error_set(err, STATUS_SCRIPT, 0, "Uncaught TypeError: Main module name is not present in bundle: '%.*s'",
                     SLICE_FMT(m->main));
}

static enum status find_main(struct maker *m, struct error *err)
{
    const struct json *meta = m->u->metadata;
    struct slice main_module = json_get_text(meta, "main_module"), body_part = json_get_text(meta, "body_part");

    m->is_service_worker = !main_module.len && body_part.len;
    m->main = main_module.len ? main_module : body_part;
    if (!m->main.len && !json_get(meta, "assets") && !json_is(json_get(meta, "keep_assets"), JSON_TRUE))
        return error_set(err, STATUS_SCRIPT, 0,
                         "the metadata names no `main_module` (or `body_part`, for a script in service-worker format)");
    return STATUS_OK;
}

static enum status gather_modules(struct maker *m, struct error *err)
{
    const struct multipart *form = &m->u->form;
    enum status st = find_main(m, err);

    m->modules = arena_zalloc(m->u->arena, (form->n + 1) * sizeof(*m->modules));
    if (!m->modules)
        return no_memory(err);
    for (size_t i = 0; i < form->n && st == STATUS_OK; i++) {
        const struct multipart_part *part = &form->parts[i];
        if (slice_eq(part->name, SLICE_LIT("metadata")) || is_source_map(bare_type(part->content_type)))
            continue;
        st = add_module(m, part, err);
    }
    return st == STATUS_OK && m->main.len ? put_main_first(m, err) : st;
}

static bool file_of_part(void *arg, struct slice part, struct slice *ret_file)
{
    const struct maker *m = arg;

    for (size_t i = 0; i < m->n; i++) {
        if (!slice_eq(m->modules[i].part->name, part))
            continue;
        *ret_file = m->modules[i].file;
        return true;
    }
    return false;
}

/* ---- the document ---- */

static enum status gather_files(struct maker *m, struct error *err)
{
    struct upload *u = m->u;

    u->files = arena_zalloc(u->arena, (m->n + 2) * sizeof(*u->files));
    if (!u->files)
        return no_memory(err);
    for (size_t i = 0; i < m->n; i++)
        u->files[u->n_files++] = (struct version_file){ .name = m->modules[i].file, .bytes = m->modules[i].part->body };
    return STATUS_OK;
}

static void write_modules(struct buf *b, const struct maker *m)
{
    bool first = true;

    buf_append_char(b, '[');
    for (size_t i = 0; i < m->n; i++) {
        const struct module *x = &m->modules[i];
        if (is_blob_of(m->u->metadata, x->part->name))
            continue;
        buf_append_cstr(b, first ? "{\"name\":" : ",{\"name\":");
        first = false;
        json_write_text(b, x->part->name);
        buf_append_cstr(b, ",\"type\":");
        json_write_text(b, x->type);
        buf_append_cstr(b, ",\"file\":");
        json_write_text(b, x->file);
        buf_printf(b, ",\"size\":%zu}", x->part->body.len);
    }
    buf_append_char(b, ']');
}

/* Of all modules, names included. */
static void write_etag(struct buf *b, const struct maker *m)
{
    struct buf digests CLEANUP(buf_release) = { 0 };
    char hex[SHA256_HEX_LEN + 1];

    for (size_t i = 0; i < m->n; i++) {
        buf_append_slice(&digests, m->modules[i].part->name);
        buf_append_slice(&digests, m->modules[i].file);
    }
    sha256_hex(buf_slice(&digests), hex);
    buf_printf(b, "\"%s\"", hex);
}

/* Members that are kept as they came, when they are of the type they must be. */
static enum status write_kept(struct buf *b, const struct json *meta, struct error *err)
{
    static const struct {
        const char *key;
        enum json_type type;
        const char *what;
    } rows[] = {
        { "usage_model", JSON_STRING, "a string" }, { "limits", JSON_OBJECT, "an object" },
        { "placement", JSON_OBJECT, "an object" },  { "annotations", JSON_OBJECT, "an object" },
        { "tags", JSON_ARRAY, "an array" },         { "package_dependencies", JSON_ARRAY, "an array" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct json *v = json_get(meta, rows[i].key);
        if (!v || v->type == JSON_NULL)
            continue;
        if (v->type != rows[i].type)
            return error_set(err, STATUS_SCRIPT, 0, "`%s` must be %s", rows[i].key, rows[i].what);
        buf_printf(b, ",\"%s\":", rows[i].key);
        json_write_value(b, v);
    }
    return STATUS_OK;
}

static enum status write_compatibility(struct buf *b, const struct json *meta, struct error *err)
{
    const struct json *date = json_get(meta, "compatibility_date"), *flags = json_get(meta, "compatibility_flags");

    if (date && date->type != JSON_STRING && date->type != JSON_NULL)
        return error_set(err, STATUS_SCRIPT, 0, "`compatibility_date` must be a string such as \"2026-01-31\"");
    buf_append_cstr(b, ",\"compatibility_date\":");
    json_write_text(b, json_is(date, JSON_STRING) && date->text.len ? date->text : slice_cstr(default_date));
    if (flags && flags->type != JSON_ARRAY && flags->type != JSON_NULL)
        return error_set(err, STATUS_SCRIPT, 0, "`compatibility_flags` must be an array of strings");
    for (const struct json *f = flags ? flags->child : NULL; f; f = f->next)
        if (f->type != JSON_STRING)
            return error_set(err, STATUS_SCRIPT, 0, "`compatibility_flags` must be an array of strings");
    buf_append_cstr(b, ",\"compatibility_flags\":");
    if (json_is(flags, JSON_ARRAY))
        json_write_value(b, flags);
    else
        buf_append_cstr(b, "[]");
    return STATUS_OK;
}

static enum status write_bindings(struct buf *b, struct maker *m, struct error *err)
{
    const struct version *base = m->u->before ? worker_latest(m->u->before) : NULL;
    struct binding_rules rules = {
        .api = workers_api(m->w),
        .vault = workers_vault(m->w),
        .arena = m->u->arena,
        .worker = m->u->worker,
        .base = base ? base->document : NULL,
        .known = m->u->before,
        .keep = json_get(m->u->metadata, "keep_bindings"),
        .keep_secrets = true,
        .part_file = file_of_part,
        .arg = m,
    };

    buf_append_cstr(b, ",\"bindings\":");
    return bindings_resolve(&rules, json_get(m->u->metadata, "bindings"), b, err);
}

/* ---- assets ---- */

/* The manifest of the version before, which keep_assets takes over. */
static enum status kept_manifest(struct maker *m, struct slice *ret, struct error *err)
{
    const struct version *base = m->u->before ? worker_latest(m->u->before) : NULL;
    struct buf path CLEANUP(buf_release) = { 0 };
    char *bytes;
    size_t len;

    if (!base || !json_get(base->document, "assets"))
        return error_set(err, STATUS_SCRIPT, 0, "`keep_assets`: the version before has no assets");
    enum status st = worker_file_read(workers_path(m->w, &path, m->u->worker, base->id, SLICE_LIT("assets.json")),
                                      &bytes, &len, err);
    if (st != STATUS_OK)
        return st;
    *ret = arena_copy(m->u->arena, slice_of(bytes, len));
    free(bytes);
    return ret->ptr ? STATUS_OK : no_memory(err);
}

static const struct json *kept_config(const struct maker *m)
{
    const struct version *base = m->u->before ? worker_latest(m->u->before) : NULL;

    return base ? json_get(json_get(base->document, "assets"), "config") : NULL;
}

static enum status write_assets(struct buf *b, struct maker *m, struct error *err)
{
    const struct json *assets = json_get(m->u->metadata, "assets"), *config = json_get(assets, "config");
    struct slice token = json_get_text(assets, "jwt"), manifest = SLICE_NONE;
    bool keep = json_is(json_get(m->u->metadata, "keep_assets"), JSON_TRUE);
    size_t count = 0;
    enum status st = STATUS_OK;

    if (!keep && !json_is(assets, JSON_OBJECT))
        return STATUS_OK;
    if (token.len)
        st = asset_manifest_from_token(m->w, m->u->worker, token, m->u->arena, &manifest, &count, err);
    else if (keep)
        st = kept_manifest(m, &manifest, err);
    else
        st = error_set(err, STATUS_SCRIPT, 0, "`assets` needs the `jwt` of a finished upload");
    if (st != STATUS_OK)
        return st;
    m->u->files[m->u->n_files++] = (struct version_file){ .name = SLICE_LIT("assets.json"), .bytes = manifest };
    if (!config && keep)
        config = kept_config(m);
    buf_append_cstr(b, ",\"assets\":{\"config\":");
    if (json_is(config, JSON_OBJECT))
        json_write_value(b, config);
    else
        buf_append_cstr(b, "{}");
    buf_append_char(b, '}');
    return STATUS_OK;
}

/* What Dione cannot run, said before anything is stored. */
static enum status refuse_others(const struct json *meta, struct error *err)
{
    static const char *const kinds[] = { "migrations", "containers" };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct json *v = json_get(meta, kinds[i]);
        if (v && v->type != JSON_NULL && v->n > 0)
            return error_set(err, STATUS_SCRIPT, 0, "`%s`: Dione has no Durable Objects and no containers", kinds[i]);
    }
    return STATUS_OK;
}

static enum status write_document(struct buf *b, struct maker *m, struct error *err)
{
    const char *format = !m->main.len ? "assets" : m->is_service_worker ? "service-worker" : "modules";
    enum status st = refuse_others(m->u->metadata, err);

    buf_printf(b, "{\"format\":\"%s\",\"main\":", format);
    json_write_text(b, m->main);
    buf_append_cstr(b, ",\"modules\":");
    write_modules(b, m);
    buf_append_cstr(b, ",\"etag\":");
    write_etag(b, m);
    if (st == STATUS_OK)
        st = write_compatibility(b, m->u->metadata, err);
    if (st == STATUS_OK)
        st = write_kept(b, m->u->metadata, err);
    if (st == STATUS_OK)
        st = write_bindings(b, m, err);
    if (st == STATUS_OK)
        st = write_assets(b, m, err);
    buf_append_char(b, '}');
    return st == STATUS_OK && b->overflowed ? no_memory(err) : st;
}

enum status upload_read(struct workers *w, struct upload *u, struct error *err)
{
    struct maker m = { .w = w, .u = u };
    struct buf document CLEANUP(buf_release) = { 0 };
    enum status st = upload_form_read(u, err);

    if (st == STATUS_OK)
        st = gather_modules(&m, err);
    if (st == STATUS_OK)
        st = gather_files(&m, err);
    if (st == STATUS_OK)
        st = write_document(&document, &m, err);
    if (st != STATUS_OK)
        return st;
    u->document = arena_copy(u->arena, buf_slice(&document));
    return u->document.ptr ? STATUS_OK : no_memory(err);
}
