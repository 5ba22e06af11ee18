/* bundle_internal.h - what the parts of bundle.c share. */
#ifndef DIONE_CLI_BUNDLE_INTERNAL_H
#define DIONE_CLI_BUNDLE_INTERNAL_H

#include "cli/bundle.h"

struct bundle_work {
    const struct project *project;
    const struct bundle_options *opt;
    struct buf *messages;
    struct bundle out;
};

/* Fills w->out. Errors as bundle_build. */
enum status bundle_with_esbuild(struct bundle_work *w, struct error *err) MUST_CHECK;
/* The same for no_bundle: the entry file, and what the rules find around it. */
enum status bundle_as_is(struct bundle_work *w, struct error *err) MUST_CHECK;
/* Adds the files around the entry that the rules pick, if the project wants that and they are not there yet. */
enum status bundle_find_modules(struct bundle_work *w, struct error *err) MUST_CHECK;
/* Whether the entry file is a script without exports, which listens for events. */
enum status bundle_guess_format(struct bundle_work *w, bool *ret_service_worker, struct error *err) MUST_CHECK;

/* Copies into the bundle's arena; the path of a file below a folder. */
struct slice bundle_keep(struct bundle *b, struct slice s);
struct slice bundle_join(struct bundle *b, struct slice folder, struct slice name);
bool bundle_has_module(const struct bundle *b, struct slice name);
void bundle_add_module(struct bundle *b, struct slice name, enum module_kind kind, struct slice path);
void bundle_add_flag(struct bundle *b, struct slice flag);
void bundle_add_input(struct bundle *b, struct slice path);

#endif
