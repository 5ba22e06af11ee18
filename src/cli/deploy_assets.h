/* deploy_assets.h - static assets to the server: what it has already stays, the rest is uploaded. */
#ifndef DIONE_CLI_DEPLOY_ASSETS_H
#define DIONE_CLI_DEPLOY_ASSETS_H

#include "cli/asset_folder.h"
#include "cli/project.h"
#include "cli/remote_worker.h"

/* The largest file that Cloudflare takes as an asset. */
enum { ASSET_MAX_BYTES = 25 * 1024 * 1024 };

/* Uploads what the server asks for. *ret_jwt is what the Worker's metadata names them by; the caller frees it. */
enum status deploy_upload_assets(struct session *s, const struct remote_worker *w, const struct asset_folder *files,
                                 char **ret_jwt, struct error *err) MUST_CHECK;
/* Appends the `config` object of the metadata: how paths are matched, _headers, _redirects. */
void deploy_add_assets_config(const struct project *p, const struct asset_folder *files, struct buf *out);

#endif
