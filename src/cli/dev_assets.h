/* dev_assets.h - the static assets of a project under `dione dev`: served from their folder, by the deployed ones' code. */
#ifndef DIONE_CLI_DEV_ASSETS_H
#define DIONE_CLI_DEV_ASSETS_H

#include "cli/edition.h"
#include "workers/assets.h"

/* The site's name in the asset server, which has no other. */
#define DEV_ASSETS_ID "dev"

/*
 * Looks at the folder again: a site of what is there now, as the project's configuration says; the files themselves are
 * read when they are asked for. NULL: the project has no assets. Main thread.
 * Errors  INVALID the configuration; LIMIT, IO the folder.
 */
enum status dev_assets_make(const struct edition *e, struct asset_site **ret, struct error *err) MUST_CHECK;
/* Serves it from now on; takes it. NULL: there are no assets. Any thread. */
enum status dev_assets_put(struct asset_server *s, struct asset_site *site, struct error *err) MUST_CHECK;

#endif
