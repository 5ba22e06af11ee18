/* cli.c - the top of the command tree, and --version. */
#include "cli/cli.h"

#include "cli/d1.h"
#include "cli/dev.h"
#include "cli/kv.h"
#include "cli/remote_worker.h"
#include "cli/serve.h"
#include "cli/shell.h"
#include "cli/token.h"
#include "cli/version.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static const struct command serve_command = {
    .name = "serve",
    .summary = "Serve databases, KV namespaces and Workers",
    .run_raw = serve_main,
};

static const struct command *const commands[] = {
    &serve_command,  &dev_command,  &deploy_command,        &versions_command, &deployments_command, &rollback_command,
    &secret_command, &tail_command, &worker_delete_command, &d1_command,       &kv_command,          &shell_command,
    &token_command,  NULL,
};

static const struct command root = {
    .name = "dione",
    .summary = "Dione: Cloudflare's D1, KV and Workers on your own machine",
    .subcommands = commands,
    .notes = "`dione --version` prints the versions of Dione and of the SQLite inside.",
};

int cli_main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "-v") == 0)) {
        printf("dione %s (SQLite %s)\n", DIONE_VERSION, sqlite3_libversion());
        return 0;
    }
    return command_main(&root, argc, argv);
}
