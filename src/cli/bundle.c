/* bundle.c - see bundle.h: what both ways of bundling have in common. */
#include "cli/bundle.h"

#include "cli/bundle_internal.h"
#include "cli/files.h"
#include "cli/subprocess.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* A tree of esbuild's metafile for thousands of inputs stays far below. */
enum { ARENA_BYTES = 1024 * 1024 * 1024 };

struct slice bundle_keep(struct bundle *b, struct slice s)
{
    struct slice kept = arena_copy(&b->arena, s);

    if (!kept.ptr)
        abort();
    return kept;
}

struct slice bundle_join(struct bundle *b, struct slice folder, struct slice name)
{
    struct slice path = arena_copy(&b->arena, folder);

    path = arena_join(&b->arena, path, SLICE_LIT("/"));
    path = arena_join(&b->arena, path, name);
    if (!path.ptr)
        abort();
    return path;
}

/* Room for one more at items[n]: doubles at powers of two; the arena keeps the old one until the end. */
static void *grow(struct arena *a, void *items, size_t n, size_t size)
{
    void *grown;

    if (n & (n - 1))
        return items;
    grown = arena_zalloc(a, (n ? n * 2 : 1) * size);
    if (!grown)
        abort();
    if (n)
        memcpy(grown, items, n * size);
    return grown;
}

void bundle_add_module(struct bundle *b, struct slice name, enum module_kind kind, struct slice path)
{
    b->modules = grow(&b->arena, b->modules, b->n_modules, sizeof(*b->modules));
    b->modules[b->n_modules++] = (struct worker_module){ .name = name, .kind = kind, .path = path };
}

bool bundle_has_module(const struct bundle *b, struct slice name)
{
    for (size_t i = 0; i < b->n_modules; i++)
        if (slice_eq(b->modules[i].name, name))
            return true;
    return false;
}

void bundle_add_flag(struct bundle *b, struct slice flag)
{
    b->flags = grow(&b->arena, b->flags, b->n_flags, sizeof(*b->flags));
    b->flags[b->n_flags++] = flag;
}

void bundle_add_input(struct bundle *b, struct slice path)
{
    b->inputs = grow(&b->arena, b->inputs, b->n_inputs, sizeof(*b->inputs));
    b->inputs[b->n_inputs++] = path;
}

/* ---- globs ---- */

static bool fits(const char *glob, const char *end, const char *path, const char *path_end);

/* A star: tries what follows it at every place it may end. */
static bool star_fits(const char *rest, const char *end, bool crosses, const char *path, const char *path_end)
{
    for (;; path++) {
        if (fits(rest, end, path, path_end))
            return true;
        if (path == path_end || (!crosses && *path == '/'))
            return false;
    }
}

static bool fits(const char *glob, const char *end, const char *path, const char *path_end)
{
    for (; glob < end; glob++, path++) {
        if (end - glob >= 3 && memcmp(glob, "**/", 3) == 0) /* any folders, or none */
            return fits(glob + 3, end, path, path_end) || star_fits(glob + 2, end, true, path, path_end);
        if (end - glob >= 2 && memcmp(glob, "**", 2) == 0)
            return star_fits(glob + 2, end, true, path, path_end);
        if (*glob == '*')
            return star_fits(glob + 1, end, false, path, path_end);
        if (path == path_end || *path != *glob)
            return false;
    }
    return path == path_end;
}

bool glob_fits(struct slice glob, struct slice path)
{
    if (slice_starts(glob, SLICE_LIT("./")))
        glob = slice_from(glob, 2);
    return fits(glob.ptr, glob.ptr + glob.len, path.ptr, path.ptr + path.len);
}

/* ---- both ways ---- */

static enum status add_to_digest(XXH3_state_t *state, const struct worker_module *m, uint64_t *size_bytes,
                                 struct error *err)
{
    struct buf text = { 0 };
    enum status st = file_read(m->path.ptr, &text, err);

    if (st == STATUS_OK) {
        uint64_t lengths[3] = { m->name.len, text.len, m->kind };
        XXH3_64bits_update(state, lengths, sizeof(lengths));
        XXH3_64bits_update(state, m->name.ptr, m->name.len);
        XXH3_64bits_update(state, text.ptr, text.len);
        *size_bytes += text.len;
    }
    buf_release(&text);
    return st;
}

static enum status measure(struct bundle *b, struct error *err)
{
    XXH3_state_t *state = XXH3_createState();
    enum status st = STATUS_OK;

    if (!state)
        abort();
    XXH3_64bits_reset(state);
    for (size_t i = 0; i < b->n_modules && st == STATUS_OK; i++)
        st = add_to_digest(state, &b->modules[i], &b->size_bytes, err);
    b->digest = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return st;
}

enum status bundle_build(const struct project *p, const struct bundle_options *opt, struct bundle *ret,
                         struct buf *messages, struct error *err)
{
    struct bundle_work w = { .project = p, .opt = opt, .messages = messages };
    enum status st = STATUS_OK;

    arena_init(&w.out.arena, ARENA_BYTES);
    if (p->main.len)
        st = p->no_bundle ? bundle_as_is(&w, err) : bundle_with_esbuild(&w, err);
    if (st == STATUS_OK)
        st = measure(&w.out, err);
    if (st != STATUS_OK) {
        bundle_release(&w.out);
        return st;
    }
    *ret = w.out;
    return STATUS_OK;
}

void bundle_release(struct bundle *b)
{
    arena_release(&b->arena);
    *b = (struct bundle){ 0 };
}

enum status bundle_run_command(const struct project *p, struct error *err)
{
    struct arguments args = { 0 };
    int code;

    if (!p->build_command.len)
        return STATUS_OK;
    arguments_add(&args, "/bin/sh");
    arguments_add(&args, "-c");
    arguments_add(&args, "%.*s", SLICE_FMT(p->build_command));
    enum status st = subprocess_run(args.items, p->build_cwd.ptr, NULL, &code, err);
    arguments_release(&args);
    if (st == STATUS_OK && code != 0)
        st = error_set(err, STATUS_INVALID, 0, "the build command `%.*s` ended with exit code %d",
                       SLICE_FMT(p->build_command), code);
    return st;
}
