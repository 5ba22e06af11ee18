/*
 * bundle_as_is.c - no_bundle: the entry file goes as it is, and so do the files around it that the rules pick. With
 * find_additional_modules those go beside a bundle, too, for imports whose text is known at run time only.
 *
 * Modules are named by their path from the entry's folder (or base_dir), so relative imports find each other. Folders
 * that hold no code of the project's own are passed over: node_modules, and those whose name starts with a dot.
 */
#include "cli/bundle_internal.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>

static struct slice folder_of(struct slice path)
{
    while (path.len && path.ptr[path.len - 1] != '/')
        path.len--;
    path.len -= path.len > 1;
    return path;
}

/* Where names start. */
static struct slice module_root(struct bundle_work *w)
{
    const struct project *p = w->project;
    const struct json *base = config_get(&p->config, "base_dir");

    if (!json_is(base, JSON_STRING) || !base->text.len)
        return bundle_keep(&w->out, folder_of(p->main));
    if (base->text.ptr[0] == '/')
        return bundle_keep(&w->out, base->text);
    struct slice path = base->text;
    while (slice_starts(path, SLICE_LIT("./")))
        path = slice_from(path, 2);
    while (path.len && path.ptr[path.len - 1] == '/')
        path.len--;
    if (!path.len || slice_eq(path, SLICE_LIT(".")))
        return bundle_keep(&w->out, p->folder);
    return bundle_join(&w->out, p->folder, path);
}

static bool is_passed_over(const FTSENT *e)
{
    return e->fts_level > 0 && (e->fts_name[0] == '.' || strcmp(e->fts_name, "node_modules") == 0);
}

static void consider(struct bundle_work *w, struct slice root, const FTSENT *e)
{
    const struct project *p = w->project;
    struct slice path = slice_of(e->fts_path, e->fts_pathlen), name = slice_from(path, root.len + 1);

    if (slice_eq(path, p->main) || bundle_has_module(&w->out, name))
        return;
    for (size_t i = 0; i < p->n_rules; i++)
        if (glob_fits(p->rules[i].glob, name)) {
            path = bundle_keep(&w->out, path);
            bundle_add_module(&w->out, bundle_keep(&w->out, name), p->rules[i].kind, path);
            bundle_add_input(&w->out, path);
            return;
        }
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static enum status add_around(struct bundle_work *w, struct slice root, struct error *err)
{
    char *const roots[] = { (char *)root.ptr, NULL }; /* fts only reads it */
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    enum status st = STATUS_OK;

    if (!walk)
        return error_errno(err, errno, "cannot look into %s", root.ptr);
    for (FTSENT *e; st == STATUS_OK && (e = fts_read(walk));) {
        if (e->fts_info == FTS_D && is_passed_over(e))
            (void)fts_set(walk, e, FTS_SKIP); /* fails on bad arguments only */
        else if (e->fts_info == FTS_F)
            consider(w, root, e);
        else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
            st = error_errno(err, e->fts_errno, "cannot look into %s", e->fts_path);
    }
    (void)fts_close(walk); /* only read */
    return st;
}

enum status bundle_find_modules(struct bundle_work *w, struct error *err)
{
    return w->project->find_modules && !w->out.is_service_worker ? add_around(w, module_root(w), err) : STATUS_OK;
}

enum status bundle_as_is(struct bundle_work *w, struct error *err)
{
    const struct project *p = w->project;
    struct slice root = module_root(w), main = bundle_keep(&w->out, p->main);
    enum status st = bundle_guess_format(w, &w->out.is_service_worker, err);

    if (st != STATUS_OK)
        return st;
    if (!slice_starts(main, root) || main.len <= root.len || main.ptr[root.len] != '/')
        return error_set(err, STATUS_INVALID, 0, "the entry file %.*s is not below base_dir %.*s", SLICE_FMT(main),
                         SLICE_FMT(root));
    bundle_add_module(&w->out, bundle_keep(&w->out, slice_from(main, root.len + 1)), MODULE_ES, main);
    bundle_add_input(&w->out, main);
    return bundle_find_modules(w, err);
}
