/* deploy_internal.h - one run of `dione deploy`, as its parts share it. */
#ifndef DIONE_CLI_DEPLOY_INTERNAL_H
#define DIONE_CLI_DEPLOY_INTERNAL_H

#include "base/clock.h"
#include "cli/asset_folder.h"
#include "cli/bundle.h"
#include "cli/project.h"
#include "cli/remote_worker.h"

struct deploy_options {
    struct worker_options worker;
    struct project_options project; /* what the rows below fill of it */
    const char *message, *tag, *outdir, *secrets_file;
    struct option_list triggers, routes;
    bool dry_run, keep_vars, latest, ignored;
    char today[CLOCK_ISO_LEN + 1]; /* the day alone */
};

struct deploy {
    const struct deploy_options *options;
    struct project project;
    struct session session;
    struct remote_worker worker;
    struct bundle bundle;
    struct asset_folder assets; /* when the project has a folder of them */
    char *folder;               /* of the bundle; a temporary one unless --outdir */
    char *assets_jwt;
    struct api_answer version; /* what the upload gave */
};

/*
 * Sends the version: bindings are looked up or made, then all goes in one form. Fills d->version. `activate`: it answers
 * requests afterwards.
 */
enum status deploy_send(struct deploy *d, bool activate, struct error *err) MUST_CHECK;
/* What leads requests to the version that was sent: its own address, routes, crons. */
enum status deploy_set_triggers(struct deploy *d, struct error *err) MUST_CHECK;

#endif
