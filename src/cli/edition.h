/*
 * edition.h - a project at one moment, ready to run: what the configuration said, its bundle, and the spec made of both.
 *
 * `dione dev` makes one after each change. Two with the same digest run the same.
 */
#ifndef DIONE_CLI_EDITION_H
#define DIONE_CLI_EDITION_H

#include "cli/bundle.h"
#include "cli/session.h"

struct edition_options {
    const struct project_options *project;
    const char *name;             /* of the Worker, whatever the project says */
    const char *root;             /* absolute; the bundle's folder is made in it */
    const char *newest_date;      /* that workerd knows; NULL: not known */
    struct slice assets_id;       /* names the project's static assets; absent: assets are not served */
    const struct edition *before; /* that runs; NULL: none */
    bool color;                   /* of esbuild's messages */
    bool run_command;             /* the project's build.command comes first */
};

struct edition {
    struct project project;
    struct bundle bundle;
    struct worker_spec spec; /* points into this struct and its arena */
    struct arena arena;
    char *folder; /* of the bundle; removed with the edition */
    char **bound; /* a line for each binding: what it is on this machine */
    size_t n_bound;
    uint64_t digest;
};

/*
 * Reads the project, finds or makes the databases and namespaces that it binds, bundles. What there is to say on the way
 * is appended to *messages. *ret is the caller's to free, with edition_free. Main thread.
 * Errors  those of project_load and bundle_build; of the API.
 */
enum status edition_make(const struct edition_options *opt, struct session *s, struct edition **ret,
                         struct buf *messages, struct error *err) MUST_CHECK;
/* Whether a change of this file may lead to another edition: it went into this one, or is of a kind that could. */
bool edition_is_made_of(const struct edition *e, struct slice path);
/* NULL is fine. */
void edition_free(struct edition *e);

#endif
