/*
 * dev_loop.h - keeps what runs in step with a project's files, until Ctrl-C.
 */
#ifndef DIONE_CLI_DEV_LOOP_H
#define DIONE_CLI_DEV_LOOP_H

#include "cli/dev_print.h"
#include "cli/edition.h"
#include "workers/runtime.h"

struct asset_server;

struct dev_loop_options {
    const struct project_options *project;
    const struct common *common;
    struct session *session;
    struct runtime *runtime;
    struct asset_server *assets;
    struct dev_print *print;
    const char *name;        /* of the Worker */
    const char *root;        /* a private folder, for bundles */
    const char *newest_date; /* that workerd knows */
};

/*
 * Runs the project and reloads it after each change. `project`: as it was read first. Returns after SIGINT or SIGTERM; the
 * Worker still runs then. Main thread.
 * Errors  what no edit would mend, when nothing has run yet: no esbuild, a database that is not there.
 */
enum status dev_loop_run(const struct dev_loop_options *opt, const struct project *project,
                         struct error *err) MUST_CHECK;

#endif
