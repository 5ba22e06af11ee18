/*
 * asset_site.c - a site's index and configuration, and which file a path means.
 *
 * The three ways of html_handling differ in which path of a page is the right one; each other path of it redirects there. A
 * redirect is given only when its target would serve the very same file.
 */
#include "workers/asset_site.h"

#include <stdlib.h>

enum { SITE_BYTES = 512 << 20, PATTERNS_MAX = 1000 };

/* ---- making one ---- */

static int by_path(const void *a, const void *b)
{
    const struct asset_file *x = a, *y = b;
    size_t least = x->path.len < y->path.len ? x->path.len : y->path.len;
    int order = least ? memcmp(x->path.ptr, y->path.ptr, least) : 0;

    return order ? order : (x->path.len > y->path.len) - (x->path.len < y->path.len);
}

static bool copy_files(struct asset_site *s, const struct asset_site_options *opt)
{
    s->files = arena_zalloc(&s->arena, (opt->n_files + 1) * sizeof(*s->files));
    for (size_t i = 0; s->files && i < opt->n_files; i++) {
        const struct asset_file *from = &opt->files[i];
        struct asset_file *to = &s->files[s->n_files++];
        *to = (struct asset_file){ arena_copy(&s->arena, from->path), arena_copy(&s->arena, from->file),
                                   arena_copy(&s->arena, from->etag), arena_copy(&s->arena, from->type), from->size };
        if (!to->path.ptr || !to->file.ptr || !to->etag.ptr || !to->type.ptr)
            return false;
    }
    if (s->n_files)
        qsort(s->files, s->n_files, sizeof(*s->files), by_path);
    return s->files != NULL;
}

static enum status bad_config(struct error *err, const char *key, struct slice value)
{
    return error_set(err, STATUS_INVALID, 0, "assets: '%.*s' is no value of `%s`", SLICE_FMT(value), key);
}

static enum status take_word(const struct json *config, const char *key, const char *const *words, size_t n, int *ret,
                             struct error *err)
{
    const struct json *v = json_get(config, key);

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    for (size_t i = 0; i < n; i++)
        if (slice_eq(v->text, slice_cstr(words[i]))) {
            *ret = (int)i;
            return STATUS_OK;
        }
    return bad_config(err, key, v->text);
}

/* true, false, or patterns; those that begin with '!' are for the assets. */
static enum status take_worker_first(struct asset_site *s, const struct json *v, struct error *err)
{
    if (!v || v->type == JSON_NULL || v->type == JSON_FALSE)
        return STATUS_OK;
    s->worker_first = v->type == JSON_TRUE;
    if (s->worker_first)
        return STATUS_OK;
    if (v->type != JSON_ARRAY || v->n > PATTERNS_MAX)
        return bad_config(err, "run_worker_first", v->text);
    s->worker_paths = arena_zalloc(&s->arena, 2 * (v->n + 1) * sizeof(*s->worker_paths));
    if (!s->worker_paths)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    s->asset_paths = s->worker_paths + v->n + 1;
    for (const struct json *p = v->child; p; p = p->next) {
        bool negative = p->text.len && p->text.ptr[0] == '!';
        struct slice pattern = arena_copy(&s->arena, negative ? slice_from(p->text, 1) : p->text);
        if (p->type != JSON_STRING || !pattern.len || pattern.ptr[0] != '/')
            return bad_config(err, "run_worker_first", p->text);
        if (negative)
            s->asset_paths[s->n_asset_paths++] = pattern;
        else
            s->worker_paths[s->n_worker_paths++] = pattern;
    }
    return STATUS_OK;
}

static enum status take_rules(struct asset_site *s, const struct json *config, struct error *err)
{
    struct slice headers = arena_copy(&s->arena, json_get_text(config, "_headers"));
    struct slice redirects = arena_copy(&s->arena, json_get_text(config, "_redirects"));

    if (!headers.ptr || !redirects.ptr || !asset_rules_read(headers, redirects, &s->arena, &s->rules))
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    return STATUS_OK;
}

static enum status take_config(struct asset_site *s, const struct json *config, struct error *err)
{
    static const char *const html[] = { "auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none" };
    static const char *const not_found[] = { "none", "404-page", "single-page-application" };
    struct slice base = json_get_text(config, "base_path");
    int h = HTML_AUTO, n = NOT_FOUND_NONE;
    enum status st = take_word(config, "html_handling", html, ARRAY_LEN(html), &h, err);

    if (st == STATUS_OK)
        st = take_word(config, "not_found_handling", not_found, ARRAY_LEN(not_found), &n, err);
    if (st == STATUS_OK && base.len && !slice_eq(base, SLICE_LIT("/")))
        st = error_set(err, STATUS_INVALID, 0, "assets: `base_path` is not available");
    if (st == STATUS_OK)
        st = take_worker_first(s, json_get(config, "run_worker_first"), err);
    s->html = (enum html_handling)h;
    s->not_found = (enum not_found_handling)n;
    return st == STATUS_OK ? take_rules(s, config, err) : st;
}

enum status asset_site_new(const struct asset_site_options *opt, struct asset_site **ret, struct error *err)
{
    struct asset_site *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    arena_init(&s->arena, SITE_BYTES);
    atomic_init(&s->refs, 1);
    s->has_worker = opt->has_worker;
    s->navigation_first = opt->navigation_first;
    enum status st = copy_files(s, opt) ? STATUS_OK : error_set(err, STATUS_NOMEM, 0, "out of memory");
    if (st == STATUS_OK)
        st = take_config(s, opt->config, err);
    if (st != STATUS_OK) {
        asset_site_unref(s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

void asset_site_unref(struct asset_site *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    arena_release(&s->arena);
    free(s);
}

/* ---- which file a path means ---- */

const struct asset_file *asset_site_find(const struct asset_site *s, struct slice path)
{
    struct asset_file wanted = { .path = path };

    return s->n_files ? bsearch(&wanted, s->files, s->n_files, sizeof(*s->files), by_path) : NULL;
}

/* A question about one path; out of memory counts as "no such file". */
struct ask {
    const struct asset_site *site;
    struct arena *a;
    enum asset_fallback fallback;
    bool no_redirects; /* is asked on behalf of a redirect */
};

static struct asset_intent intent_of(const struct ask *q, struct slice path);

static bool ends_with(struct slice s, struct slice end)
{
    return s.len >= end.len && memcmp(s.ptr + s.len - end.len, end.ptr, end.len) == 0;
}

static struct slice without_end(struct slice s, size_t n)
{
    return slice_of(s.ptr, s.len - n);
}

/* A copy each time, since arena_join could grow what somebody still holds. */
static struct slice joined(const struct ask *q, struct slice s, const char *end)
{
    struct slice copy = arena_copy(q->a, s);

    return copy.ptr ? arena_join(q->a, copy, slice_cstr(end)) : copy;
}

static const struct asset_file *find_with(const struct ask *q, struct slice s, const char *end)
{
    return asset_site_find(q->site, joined(q, s, end));
}

static struct asset_intent serve(const struct asset_file *file)
{
    return (struct asset_intent){ .file = file, .status = 200 };
}

/* To `to`, if `file` is there and is what `to` would serve. */
static bool redirects(const struct ask *q, struct slice file, struct slice to, struct asset_intent *ret)
{
    const struct asset_file *wanted = asset_site_find(q->site, file);

    if (q->no_redirects || !wanted || asset_site_find(q->site, to))
        return false;
    struct ask again = { q->site, q->a, q->fallback, true };
    struct asset_intent there = intent_of(&again, to);
    if (!there.file || !slice_eq(there.file->etag, wanted->etag))
        return false;
    *ret = (struct asset_intent){ .redirect = to };
    return true;
}

static struct asset_intent not_found(const struct ask *q, struct slice path)
{
    struct asset_intent none = { 0 };
    const struct asset_file *file;

    if (q->fallback == FALLBACK_NONE || q->site->not_found == NOT_FOUND_NONE)
        return none;
    if (q->site->not_found == NOT_FOUND_SPA) {
        file = asset_site_find(q->site, SLICE_LIT("/index.html"));
        return file ? serve(file) : none;
    }
    while (path.len) {
        while (path.len && path.ptr[--path.len] != '/')
            ;
        file = find_with(q, path, "/404.html");
        if (file)
            return (struct asset_intent){ .file = file, .status = 404 };
    }
    return none;
}

/* /foo and /foo/ as the file is: foo.html or foo/index.html. */
static struct asset_intent intent_auto(const struct ask *q, struct slice path)
{
    const struct asset_file *exact = asset_site_find(q->site, path), *file;
    struct asset_intent to;

    if (ends_with(path, SLICE_LIT("/index"))) {
        struct slice folder = without_end(path, 5), bare = without_end(path, 6);
        if (exact)
            return serve(exact);
        if (redirects(q, joined(q, path, ".html"), folder, &to) || redirects(q, joined(q, bare, ".html"), bare, &to))
            return to;
    } else if (ends_with(path, SLICE_LIT("/index.html"))) {
        struct slice bare = without_end(path, 11);
        if (redirects(q, path, without_end(path, 10), &to) || redirects(q, joined(q, bare, ".html"), bare, &to))
            return to;
    } else if (ends_with(path, SLICE_LIT("/"))) {
        struct slice bare = without_end(path, 1);
        if ((file = find_with(q, path, "index.html")))
            return serve(file);
        if (redirects(q, joined(q, bare, ".html"), bare, &to))
            return to;
    } else if (ends_with(path, SLICE_LIT(".html"))) {
        struct slice bare = without_end(path, 5);
        if (redirects(q, path, bare, &to) || redirects(q, joined(q, bare, "/index.html"), joined(q, bare, "/"), &to))
            return to;
    }
    if (exact)
        return serve(exact);
    if ((file = find_with(q, path, ".html")))
        return serve(file);
    if (redirects(q, joined(q, path, "/index.html"), joined(q, path, "/"), &to))
        return to;
    return not_found(q, path);
}

/* Pages are at /foo/. */
static struct asset_intent intent_force(const struct ask *q, struct slice path)
{
    const struct asset_file *exact = asset_site_find(q->site, path), *file;
    struct asset_intent to;

    if (ends_with(path, SLICE_LIT("/index"))) {
        struct slice folder = without_end(path, 5);
        if (exact)
            return serve(exact);
        if (redirects(q, joined(q, path, ".html"), folder, &to) ||
            redirects(q, joined(q, without_end(path, 6), ".html"), folder, &to))
            return to;
    } else if (ends_with(path, SLICE_LIT("/index.html"))) {
        struct slice folder = without_end(path, 10);
        if (redirects(q, path, folder, &to) || redirects(q, joined(q, without_end(path, 11), ".html"), folder, &to))
            return to;
    } else if (ends_with(path, SLICE_LIT("/"))) {
        if ((file = find_with(q, path, "index.html")) || (file = find_with(q, without_end(path, 1), ".html")))
            return serve(file);
    } else if (ends_with(path, SLICE_LIT(".html"))) {
        struct slice bare = without_end(path, 5);
        if (redirects(q, path, joined(q, bare, "/"), &to))
            return to;
        if (exact)
            return serve(exact);
        if (redirects(q, joined(q, bare, "/index.html"), joined(q, bare, "/"), &to))
            return to;
    }
    if (exact)
        return serve(exact);
    if (redirects(q, joined(q, path, ".html"), joined(q, path, "/"), &to) ||
        redirects(q, joined(q, path, "/index.html"), joined(q, path, "/"), &to))
        return to;
    return not_found(q, path);
}

/* Pages are at /foo. */
static struct asset_intent intent_drop(const struct ask *q, struct slice path)
{
    const struct asset_file *exact = asset_site_find(q->site, path), *file;
    struct slice root_page = SLICE_LIT("/index.html"), root = SLICE_LIT("/");
    struct asset_intent to;

    if (ends_with(path, SLICE_LIT("/index"))) {
        struct slice bare = without_end(path, 6);
        if (exact)
            return serve(exact);
        if (!bare.len ? redirects(q, root_page, root, &to)
                      : redirects(q, joined(q, bare, ".html"), bare, &to) ||
                            redirects(q, joined(q, path, ".html"), bare, &to))
            return to;
    } else if (ends_with(path, root_page)) {
        struct slice bare = without_end(path, 11);
        if (!bare.len ? redirects(q, root_page, root, &to) : redirects(q, path, bare, &to))
            return to;
        if (exact)
            return serve(exact);
        if (redirects(q, joined(q, bare, ".html"), bare, &to))
            return to;
    } else if (ends_with(path, root)) {
        struct slice bare = without_end(path, 1);
        if (!bare.len && (file = asset_site_find(q->site, root_page)))
            return serve(file);
        if (bare.len && (redirects(q, joined(q, bare, ".html"), bare, &to) ||
                         redirects(q, joined(q, bare, "/index.html"), bare, &to)))
            return to;
    } else if (ends_with(path, SLICE_LIT(".html"))) {
        struct slice bare = without_end(path, 5);
        if (redirects(q, path, bare, &to) || redirects(q, joined(q, bare, "/index.html"), bare, &to))
            return to;
    }
    if (exact)
        return serve(exact);
    if ((file = find_with(q, path, ".html")) || (file = find_with(q, path, "/index.html")))
        return serve(file);
    return not_found(q, path);
}

static struct asset_intent intent_of(const struct ask *q, struct slice path)
{
    const struct asset_file *exact;

    switch (q->site->html) {
    case HTML_AUTO:
        return intent_auto(q, path);
    case HTML_FORCE_SLASH:
        return intent_force(q, path);
    case HTML_DROP_SLASH:
        return intent_drop(q, path);
    case HTML_NONE:
        break;
    }
    exact = asset_site_find(q->site, path);
    return exact ? serve(exact) : not_found(q, path);
}

struct asset_intent asset_site_intent(const struct asset_site *site, struct slice path, enum asset_fallback fallback,
                                      struct arena *a)
{
    struct ask q = { site, a, fallback, false };

    return intent_of(&q, path);
}
