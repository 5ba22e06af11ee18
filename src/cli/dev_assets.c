/* dev_assets.c - see dev_assets.h. */
#include "cli/dev_assets.h"

#include "base/mime.h"
#include "cli/asset_folder.h"
#include "cli/deploy_assets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A file's tag changes when it is written: its content is not read for that. */
static struct slice tag_of(const char *path, struct arena *a)
{
    struct stat info = { 0 };
    struct buf text = { 0 };

    (void)stat(path, &info); /* gone by now: then it is not found when it is asked for */
    buf_printf(&text, "%" PRIx64 "-%" PRIx64 "-%" PRIx64, (uint64_t)info.st_mtim.tv_sec, (uint64_t)info.st_mtim.tv_nsec,
               (uint64_t)info.st_size);
    struct slice kept = arena_copy(a, buf_slice(&text));
    buf_release(&text);
    if (!kept.ptr)
        abort();
    return kept;
}

static struct asset_file *list_files(const struct asset_folder *folder, struct arena *a)
{
    struct asset_file *files = arena_zalloc(a, (folder->n + 1) * sizeof(*files));

    if (!files)
        abort();
    for (size_t i = 0; i < folder->n; i++)
        files[i] = (struct asset_file){
            .path = folder->items[i].path,
            .file = folder->items[i].file,
            .etag = tag_of(folder->items[i].file.ptr, a),
            .type = mime_of(folder->items[i].path),
            .size = folder->items[i].size,
        };
    return files;
}

static bool navigation_first(const struct project *p)
{
    if (project_has_flag(p, "assets_navigation_prefers_asset_serving"))
        return true;
    return !project_has_flag(p, "assets_navigation_has_no_effect") && project_date_reaches(p, "2025-04-01");
}

static enum status make_site(const struct edition *e, const struct asset_folder *folder, struct arena *a,
                             struct asset_site **ret, struct error *err)
{
    struct asset_site_options opt = {
        .files = list_files(folder, a),
        .n_files = folder->n,
        .has_worker = e->bundle.n_modules > 0,
        .navigation_first = navigation_first(&e->project),
    };
    struct buf text = { 0 };
    struct json *config = NULL;

    deploy_add_assets_config(&e->project, folder, &text);
    enum status st = json_parse(buf_slice(&text), JSON_STRICT, a, &config, err);
    opt.config = config;
    if (st == STATUS_OK)
        st = asset_site_new(&opt, ret, err);
    buf_release(&text);
    return st;
}

enum status dev_assets_make(const struct edition *e, struct asset_site **ret, struct error *err)
{
    struct asset_folder folder = { 0 };
    struct arena arena;

    *ret = NULL;
    if (!e->project.assets_directory.len)
        return STATUS_OK;
    arena_init(&arena, SIZE_MAX);
    enum status st = asset_folder_read(e->project.assets_directory.ptr, ASSET_MAX_BYTES, &folder, err);
    if (st == STATUS_OK)
        st = make_site(e, &folder, &arena, ret, err);
    asset_folder_release(&folder);
    arena_release(&arena);
    return st;
}

enum status dev_assets_put(struct asset_server *s, struct asset_site *site, struct error *err)
{
    if (site)
        return asset_server_put(s, SLICE_LIT(DEV_ASSETS_ID), site, err);
    asset_server_drop(s, SLICE_LIT(DEV_ASSETS_ID));
    return STATUS_OK;
}
