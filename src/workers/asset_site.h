/* asset_site.h - a site from the inside. Private to src/workers/asset_*.c. */
#ifndef DIONE_WORKERS_ASSET_SITE_H
#define DIONE_WORKERS_ASSET_SITE_H

#include "workers/asset_rules.h"
#include "workers/assets.h"

#include <stdatomic.h>

enum html_handling { HTML_AUTO, HTML_FORCE_SLASH, HTML_DROP_SLASH, HTML_NONE };
enum not_found_handling { NOT_FOUND_NONE, NOT_FOUND_PAGE, NOT_FOUND_SPA };

/* Never changes once it is made. */
struct asset_site {
    _Atomic int refs;
    struct arena arena;
    struct asset_file *files; /* by path */
    size_t n_files;
    enum html_handling html;
    enum not_found_handling not_found;
    bool has_worker, navigation_first;
    bool worker_first;          /* for all paths */
    struct slice *worker_paths; /* patterns of paths that go to the Worker ... */
    struct slice *asset_paths;  /* ... and those that do not, which win */
    size_t n_worker_paths, n_asset_paths;
    struct asset_rules rules;
};

const struct asset_file *asset_site_find(const struct asset_site *site, struct slice path);

#endif
