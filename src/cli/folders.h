/* folders.h - which folders hold what a project is made of: those that `dione dev` watches. */
#ifndef DIONE_CLI_FOLDERS_H
#define DIONE_CLI_FOLDERS_H

#include "cli/bundle.h"

/* Owned, absolute paths, each once. Zero it before use. */
struct folders {
    struct slice *items; /* each is NUL-terminated */
    size_t n, cap;
};

void folders_add(struct folders *f, struct slice path);
/* The folder itself and all below it but node_modules and those whose name starts with a dot. */
void folders_add_tree(struct folders *f, struct slice path);
/* Of the configuration, the secrets, the entry file, and the migrations. */
void folders_add_project(struct folders *f, const struct project *p);
/* Of everything that was bundled. */
void folders_add_inputs(struct folders *f, const struct bundle *b);
/* What build.watch_dir names, else src; none without a build command. */
void folders_add_build_sources(struct folders *f, const struct project *p);
void folders_release(struct folders *f);

#endif
