/* folders.c - see folders.h. */
#include "cli/folders.h"

#include "cli/migrations.h"

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>

void folders_add(struct folders *f, struct slice path)
{
    for (size_t i = f->n; i > 0; i--) /* files of one folder follow each other as a rule */
        if (slice_eq(f->items[i - 1], path))
            return;
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 64;
        f->items = realloc(f->items, f->cap * sizeof(*f->items));
        if (!f->items)
            abort();
    }
    char *copy = strndup(path.ptr, path.len);
    if (!copy)
        abort();
    f->items[f->n++] = slice_of(copy, path.len);
}

void folders_release(struct folders *f)
{
    for (size_t i = 0; i < f->n; i++)
        free((char *)f->items[i].ptr);
    free(f->items);
    *f = (struct folders){ 0 };
}

static bool is_passed_over(const FTSENT *e)
{
    return e->fts_level > 0 && (e->fts_name[0] == '.' || strcmp(e->fts_name, "node_modules") == 0);
}

void folders_add_tree(struct folders *f, struct slice path)
{
    char *root = strndup(path.ptr, path.len);
    char *const roots[] = { root, NULL };
    FTS *walk = root ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;

    if (!walk)
        abort();
    for (FTSENT *e; (e = fts_read(walk));) {
        if (e->fts_info != FTS_D)
            continue;
        if (is_passed_over(e))
            (void)fts_set(walk, e, FTS_SKIP); /* fails on bad arguments only */
        else
            folders_add(f, slice_of(e->fts_path, e->fts_pathlen));
    }
    (void)fts_close(walk); /* only read */
    free(root);
}

static struct slice folder_of(struct slice path)
{
    while (path.len && path.ptr[path.len - 1] != '/')
        path.len--;
    return slice_of(path.ptr, path.len > 1 ? path.len - 1 : path.len);
}

static void add_migrations(struct folders *f, const struct config *config, struct slice binding)
{
    char name[256], *path = NULL;

    snprintf(name, sizeof(name), "%.*s", SLICE_FMT(binding));
    if (migrations_folder(config, name, &path, NULL) != STATUS_OK)
        return; /* whoever counts the pending ones says why */
    char *full = realpath(path, NULL);
    if (full)
        folders_add(f, slice_cstr(full));
    free(full);
    free(path);
}

void folders_add_project(struct folders *f, const struct project *p)
{
    folders_add(f, p->folder);
    if (p->main.len)
        folders_add(f, folder_of(p->main));
    if (p->secrets_file.len)
        folders_add(f, folder_of(p->secrets_file));
    for (size_t i = 0; i < p->n_bindings; i++)
        if (p->bindings[i].kind == PROJECT_D1)
            add_migrations(f, &p->config, p->bindings[i].name);
}

void folders_add_inputs(struct folders *f, const struct bundle *b)
{
    for (size_t i = 0; i < b->n_inputs; i++)
        folders_add(f, folder_of(b->inputs[i]));
}

void folders_add_build_sources(struct folders *f, const struct project *p)
{
    if (!p->build_command.len)
        return;
    for (size_t i = 0; i < p->n_build_watch; i++)
        folders_add_tree(f, p->build_watch[i]);
}
