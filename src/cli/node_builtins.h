/*
 * node_builtins.h - the modules of Node that workerd has, and from when on it offers them.
 *
 * wrangler brings polyfills for those that a project's compatibility date does not offer yet. Dione brings none: it has
 * workerd's own switched on, by the flag that the date would imply.
 */
#ifndef DIONE_CLI_NODE_BUILTINS_H
#define DIONE_CLI_NODE_BUILTINS_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct node_builtin {
    const char *name;         /* without prefix and subpath: "fs" */
    const char *flag, *since; /* "enable_nodejs_..." and the date that implies it; NULL: part of nodejs_compat */
    bool needs_prefix;        /* without "node:" the name is a package's */
};

enum { NODE_BUILTINS = 43 };
extern const struct node_builtin node_builtins[NODE_BUILTINS];

/* For "node:fs/promises"; NULL: not one of them. */
const struct node_builtin *node_builtin_of(struct slice import);

#endif
