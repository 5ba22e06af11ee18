/*
 * bundle.h - makes the modules of a Worker out of a project: esbuild with wrangler's settings, or the files as they are
 * (no_bundle).
 *
 * esbuild is the native program that deps/ pins; no Node takes part. `node:` modules stay imports, since workerd has
 * them; with nodejs_compat their names without the prefix mean the same, and those that the compatibility date does not
 * offer yet are switched on by flags (see node_builtins.h). Main thread.
 */
#ifndef DIONE_CLI_BUNDLE_H
#define DIONE_CLI_BUNDLE_H

#include "cli/project.h"

struct bundle_options {
    const char *folder; /* absolute; gets the files, under names that depend on nothing but the project. It exists */
    bool development;   /* NODE_ENV is "development" unless the environment has one; else "production" */
    bool color;         /* of esbuild's messages */
    /* Of the same project, a moment ago: what it took two passes to learn then is taken as known. NULL: none. */
    const struct bundle *before;
};

struct bundle {
    struct arena arena; /* holds everything below */
    /* The main one first. None: the project is static assets only. */
    struct worker_module *modules;
    size_t n_modules;
    bool is_service_worker;
    struct slice source_map; /* of the main module: the path of its file; absent: none */
    struct slice *required;  /* modules of Node that CommonJS code requires */
    size_t n_required;
    struct slice *flags; /* compatibility flags that it needs beside the project\'s own */
    size_t n_flags;
    struct slice *inputs; /* absolute paths of the files it was made from */
    size_t n_inputs;
    uint64_t size_bytes; /* of all modules */
    uint64_t digest;     /* of their names and content: the same for the same Worker */
};

/*
 * Bundles. What esbuild has to say (warnings; on failure its errors) is appended to *messages, as it would print it.
 * Errors  INVALID the project's code, see *messages; NOTFOUND no esbuild; IO.
 */
enum status bundle_build(const struct project *p, const struct bundle_options *opt, struct bundle *ret,
                         struct buf *messages, struct error *err) MUST_CHECK;
void bundle_release(struct bundle *b);

/* Runs the project's build.command, if it has one; its output goes to standard error. INVALID: it failed. */
enum status bundle_run_command(const struct project *p, struct error *err) MUST_CHECK;

/* Whether a rule's glob fits the path, which is relative and has '/' between folders. Pure; any thread. */
bool glob_fits(struct slice glob, struct slice path);

#endif
