/*
 * upload_form.c - the forms in which an upload may come.
 *
 * wrangler and curl send a part `metadata` with JSON, and a part a module. Cloudflare's SDKs write nested fields instead,
 * "metadata[bindings][][name]", put files under "files[name]" or "files[]", and say application/javascript in the request's
 * Content-Type, so the boundary is taken from the body. A body that is no form at all is a script in service-worker format.
 */
#include "workers/upload.h"

enum { DEPTH_MAX = 16 /* of nested fields */ };

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, 0, "out of memory");
}

static enum status unreadable(enum status st, struct error *err, const char *what)
{
    if (st != STATUS_INVALID)
        return st;
    IGNORE_RESULT(error_prefix(err, "%s", what)); /* changes err */
    if (err)
        err->status = STATUS_FORM;
    return STATUS_FORM;
}

/* ---- "metadata[a][][b]" ---- */

static struct json *add_child(struct arena *a, struct json *parent, struct slice key, enum json_type type)
{
    struct json *v = ARENA_NEW(a, struct json), **link = &parent->child;

    if (!v)
        return NULL;
    v->type = type;
    v->key = key;
    while (*link)
        link = &(*link)->next;
    *link = v;
    parent->n++;
    return v;
}

static struct json *last_child(const struct json *parent)
{
    struct json *v = parent->child;

    while (v && v->next)
        v = v->next;
    return v;
}

/* The next "[word]" of a field's name; false: there is none. */
static bool next_word(struct slice *rest, struct slice *ret)
{
    const char *end = rest->len && rest->ptr[0] == '[' ? memchr(rest->ptr, ']', rest->len) : NULL;

    if (!end)
        return false;
    *ret = slice_of(rest->ptr + 1, (size_t)(end - rest->ptr) - 1);
    *rest = slice_from(*rest, ret->len + 2);
    return true;
}

static bool is_nested_name(struct slice rest)
{
    struct slice word;
    int depth = 0;

    while (next_word(&rest, &word))
        if (++depth > DEPTH_MAX)
            return false;
    return depth && !rest.len;
}

/* Objects of an array come field by field: one begins where a field comes again. */
static struct json *array_object(struct arena *a, struct json *array, struct slice rest)
{
    struct json *last = last_child(array);
    struct slice key;

    if (!last || last->type != JSON_OBJECT || !next_word(&rest, &key))
        return add_child(a, array, SLICE_NONE, JSON_OBJECT);
    for (struct json *m = last->child; m; m = m->next)
        if (slice_eq(m->key, key) && m->type != JSON_ARRAY && m->type != JSON_OBJECT)
            return add_child(a, array, SLICE_NONE, JSON_OBJECT);
    return last;
}

/* Where the value belongs: made on the way there. */
static struct json *place_of(struct arena *a, struct json *at, struct slice rest)
{
    struct slice word;

    while (at && next_word(&rest, &word)) {
        bool leaf = !rest.len, to_array = rest.len >= 2 && rest.ptr[1] == ']';
        enum json_type type = leaf ? JSON_STRING : to_array ? JSON_ARRAY : JSON_OBJECT;
        struct json *found = NULL;
        if (at->type == JSON_ARRAY) {
            at = leaf ? add_child(a, at, SLICE_NONE, JSON_STRING) : array_object(a, at, rest);
            continue;
        }
        for (struct json *m = at->child; m; m = m->next)
            if (slice_eq(m->key, word))
                found = m;
        at = found && found->type == type ? found : add_child(a, at, word, type);
    }
    return at;
}

/* Booleans are written as words: only those fields are read so that have no text to hold. */
static bool is_boolean(struct slice key)
{
    static const char *const keys[] = { "enabled", "invocation_logs",  "keep_assets",    "logpush",
                                        "persist", "run_worker_first", "serve_directly", "json" };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (slice_eq(key, slice_cstr(keys[i])))
            return true;
    return false;
}

static void set_value(struct json *v, struct slice text)
{
    v->text = text;
    if (!is_boolean(v->key))
        return;
    if (slice_eq(text, SLICE_LIT("true")))
        v->type = JSON_TRUE;
    else if (slice_eq(text, SLICE_LIT("false")))
        v->type = JSON_FALSE;
}

static enum status nested_metadata(struct upload *u, struct error *err)
{
    struct slice root = SLICE_LIT("metadata");
    struct json *tree = ARENA_NEW(u->arena, struct json);

    if (!tree)
        return no_memory(err);
    tree->type = JSON_OBJECT;
    for (size_t i = 0; i < u->form.n; i++) {
        const struct multipart_part *p = &u->form.parts[i];
        if (!slice_starts(p->name, SLICE_LIT("metadata[")))
            continue;
        struct slice rest = slice_from(p->name, root.len);
        if (!is_nested_name(rest))
            return error_set(err, STATUS_FORM, 0, "Could not parse request body: '%.*s' is no name of a field",
                             p->name.len > 200 ? 200 : (int)p->name.len, p->name.ptr);
        struct json *v = place_of(u->arena, tree, rest);
        if (!v)
            return no_memory(err);
        set_value(v, p->body);
    }
    if (!tree->n)
        return error_set(err, STATUS_FORM, 0, "Could not parse request body: the form has no part `metadata`");
    u->metadata = tree;
    return STATUS_OK;
}

/* Parts under the names of their modules. */
static enum status name_files(struct upload *u, struct error *err)
{
    struct multipart_part *parts = arena_zalloc(u->arena, (u->form.n + 1) * sizeof(*parts));
    size_t n = 0;

    if (!parts)
        return no_memory(err);
    for (size_t i = 0; i < u->form.n; i++) {
        struct multipart_part p = u->form.parts[i];
        struct slice rest = slice_starts(p.name, SLICE_LIT("files[")) ? slice_from(p.name, 5) : SLICE_NONE, word;
        if (next_word(&rest, &word))
            p.name = word.len ? word : p.filename;
        if (!slice_starts(p.name, SLICE_LIT("metadata[")))
            parts[n++] = p;
    }
    u->form = (struct multipart){ parts, n };
    return STATUS_OK;
}

/* ---- the form ---- */

static enum status take_metadata(struct upload *u, struct error *err)
{
    const struct multipart_part *part = multipart_find(&u->form, "metadata");
    struct json *v;

    if (!part)
        return nested_metadata(u, err);
    enum status st = json_parse(part->body, JSON_STRICT, u->arena, &v, err);
    if (st != STATUS_OK)
        return unreadable(st, err, "Could not parse request body: `metadata` is not valid JSON");
    if (v->type != JSON_OBJECT)
        return error_set(err, STATUS_FORM, 0, "Could not parse request body: `metadata` is not a JSON object");
    u->metadata = v;
    return STATUS_OK;
}

/* A Content-Type with the boundary that the body itself begins with; absent when it begins with none. */
static struct slice type_of_body(struct upload *u)
{
    struct slice rest = u->body, line = slice_cut(&rest, '\n');

    if (!slice_starts(line, SLICE_LIT("--")) || !rest.ptr)
        return SLICE_NONE;
    struct slice boundary = slice_trim(slice_from(line, 2));
    if (!boundary.len || boundary.len > 70)
        return SLICE_NONE;
    struct slice type = arena_join(u->arena, SLICE_LIT("multipart/form-data; boundary=\""), boundary);
    return type.ptr ? arena_join(u->arena, type, SLICE_LIT("\"")) : type;
}

/* A bare script. */
static enum status take_script(struct upload *u, struct error *err)
{
    struct multipart_part *part = ARENA_NEW(u->arena, struct multipart_part);
    static const char metadata[] = "{\"body_part\":\"script\"}";
    struct json *v;

    if (!part)
        return no_memory(err);
    *part = (struct multipart_part){ .name = SLICE_LIT("script"),
                                     .content_type = SLICE_LIT("application/javascript"),
                                     .body = u->body };
    u->form = (struct multipart){ part, 1 };
    enum status st = json_parse(slice_cstr(metadata), JSON_STRICT, u->arena, &v, err);
    if (st == STATUS_OK)
        u->metadata = v;
    return st;
}

enum status upload_form_read(struct upload *u, struct error *err)
{
    struct slice type = u->content_type;
    bool is_script = slice_starts_nocase(type, SLICE_LIT("application/javascript")) ||
                     slice_starts_nocase(type, SLICE_LIT("text/javascript"));

    if (is_script) {
        type = type_of_body(u);
        if (!type.ptr)
            return take_script(u, err);
    }
    enum status st = multipart_parse(type, u->body, u->arena, &u->form, err);
    if (st != STATUS_OK)
        return unreadable(st, err, "Could not parse request body");
    st = take_metadata(u, err);
    return st == STATUS_OK ? name_files(u, err) : st;
}
