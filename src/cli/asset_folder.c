/* asset_folder.c - see asset_folder.h. */
#include "cli/asset_folder.h"

#include "cli/files.h"

#include <errno.h>
#include <fnmatch.h>
#include <fts.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SPECIAL_MAX_BYTES = 1024 * 1024, PATTERN_MAX = 512 };

/* ---- .assetsignore ---- */

/* fnmatch, with "**" as whole parts of the path. NUL-terminated. */
static bool fits(const char *pattern, const char *path)
{
    const char *stars = strncmp(pattern, "**/", 3) == 0 ? pattern : strstr(pattern, "/**");
    char head[PATTERN_MAX];

    if (!stars)
        return fnmatch(pattern, path, FNM_PATHNAME) == 0;
    if (stars == pattern) {
        for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
            if (fits(pattern + 3, p))
                return true;
        return false;
    }
    snprintf(head, sizeof(head), "%.*s", (int)(stars - pattern), pattern);
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        char front[PATTERN_MAX * 4];
        snprintf(front, sizeof(front), "%.*s", (int)(slash - path), path);
        if (fits(head, front) && (!stars[3] || fits(stars + 1, slash + 1)))
            return true;
    }
    return false;
}

/* One pattern against one path, which is a folder or not. */
static bool line_fits(struct slice line, const char *path, bool is_folder)
{
    char pattern[PATTERN_MAX];
    bool folders_only = line.len && line.ptr[line.len - 1] == '/';

    if (folders_only)
        line.len--;
    if (!line.len || line.len >= sizeof(pattern) - 3 || (folders_only && !is_folder))
        return false;
    bool tied = memchr(line.ptr, '/', line.len) != NULL;
    if (line.ptr[0] == '/')
        line = slice_from(line, 1);
    snprintf(pattern, sizeof(pattern), "%s%.*s", tied ? "" : "**/", SLICE_FMT(line));
    return fits(pattern, path);
}

/* The last pattern that fits decides. */
static bool is_named(struct slice patterns, const char *path, bool is_folder)
{
    bool ignored = false;

    while (patterns.ptr) {
        struct slice line = slice_trim(slice_cut(&patterns, '\n'));
        bool back = slice_starts(line, SLICE_LIT("!"));
        if (slice_starts(line, SLICE_LIT("#")))
            continue;
        if (back || slice_starts(line, SLICE_LIT("\\")))
            line = slice_from(line, 1);
        if (line_fits(line, path, is_folder))
            ignored = !back;
    }
    return ignored;
}

static bool is_ignored(struct slice patterns, struct slice path, bool is_folder)
{
    char *copy = strndup(path.ptr, path.len);
    bool ignored = false;

    if (!copy)
        abort();
    for (char *slash = strchr(copy, '/'); slash && !ignored; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        ignored = is_named(patterns, copy, true); /* nothing below such a folder can be taken back */
        *slash = '/';
    }
    ignored = ignored || is_named(patterns, copy, is_folder);
    free(copy);
    return ignored;
}

bool asset_folder_ignores(struct slice patterns, struct slice path)
{
    return is_ignored(patterns, path, false);
}

/* ---- the folder ---- */

struct walk {
    struct asset_folder *found;
    size_t cap, root_len;
    struct slice patterns;
    uint64_t max_file_bytes;
};

static struct slice keep(struct asset_folder *a, struct slice s)
{
    struct slice kept = arena_copy(&a->arena, s);

    if (!kept.ptr)
        abort();
    return kept;
}

/* A file at the top of the folder that says something about the others; not there is fine. */
static enum status read_special(struct asset_folder *a, const char *folder, const char *name, struct slice *ret,
                                struct error *err)
{
    struct buf text = { .limit = SPECIAL_MAX_BYTES };
    struct error why;
    char *path;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        abort();
    enum status st = file_read(path, &text, &why);
    free(path);
    if (st == STATUS_OK)
        *ret = keep(a, text.ptr ? buf_slice(&text) : SLICE_LIT(""));
    buf_release(&text);
    if (st == STATUS_OK || why.native == ENOENT)
        return STATUS_OK;
    return error_set(err, st, why.native, "%s", why.msg);
}

static enum status take_file(struct walk *w, const FTSENT *e, struct error *err)
{
    static const char *const special[] = { "/.assetsignore", "/_headers", "/_redirects" };
    struct slice path = slice_cstr(e->fts_path + w->root_len);
    uint64_t size = (uint64_t)e->fts_statp->st_size;

    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (slice_eq(path, slice_cstr(special[i])))
            return STATUS_OK;
    if (asset_folder_ignores(w->patterns, slice_from(path, 1)))
        return STATUS_OK;
    if (size > w->max_file_bytes)
        return error_set(err, STATUS_LIMIT, 0, "%s has %" PRIu64 " bytes; a static asset may have %" PRIu64,
                         e->fts_path, size, w->max_file_bytes);
    if (w->found->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        w->found->items = reallocarray(w->found->items, w->cap, sizeof(*w->found->items));
        if (!w->found->items)
            abort();
    }
    w->found->items[w->found->n++] = (struct folder_asset){
        .path = keep(w->found, path),
        .file = keep(w->found, slice_cstr(e->fts_path)),
        .size = size,
    };
    return STATUS_OK;
}

static int by_path(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static enum status walk_folder(struct walk *w, char *folder, struct error *err)
{
    char *roots[] = { folder, NULL };
    enum status st = STATUS_OK;
    FTS *fts = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_path);

    if (!fts)
        return error_errno(err, errno, "cannot read %s", folder);
    for (FTSENT *e; st == STATUS_OK && (errno = 0, e = fts_read(fts));) {
        if (e->fts_info == FTS_F)
            st = take_file(w, e, err);
        else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
            st = error_errno(err, e->fts_errno, "cannot read %s", e->fts_path);
        else if (e->fts_info == FTS_D && e->fts_level > 0 &&
                 is_ignored(w->patterns, slice_cstr(e->fts_path + w->root_len + 1), true))
            (void)fts_set(fts, e, FTS_SKIP); /* valid arguments, so it cannot fail */
    }
    if (st == STATUS_OK && errno)
        st = error_errno(err, errno, "cannot read %s", folder);
    (void)fts_close(fts); /* was only read */
    return st;
}

enum status asset_folder_read(const char *folder, uint64_t max_file_bytes, struct asset_folder *ret, struct error *err)
{
    struct asset_folder found = { 0 };
    struct walk w = { .found = &found, .max_file_bytes = max_file_bytes };
    char *root = strdup(folder);

    if (!root)
        abort();
    for (size_t n = strlen(root); n > 1 && root[n - 1] == '/'; n--)
        root[n - 1] = '\0';
    w.root_len = strlen(root);
    arena_init(&found.arena, SIZE_MAX);
    enum status st = read_special(&found, root, ".assetsignore", &w.patterns, err);
    if (st == STATUS_OK)
        st = read_special(&found, root, "_headers", &found.headers, err);
    if (st == STATUS_OK)
        st = read_special(&found, root, "_redirects", &found.redirects, err);
    if (st == STATUS_OK)
        st = walk_folder(&w, root, err);
    free(root);
    if (st != STATUS_OK) {
        asset_folder_release(&found);
        return st;
    }
    *ret = found;
    return STATUS_OK;
}

void asset_folder_release(struct asset_folder *a)
{
    free(a->items);
    arena_release(&a->arena);
    *a = (struct asset_folder){ 0 };
}
