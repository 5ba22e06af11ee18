/*
 * bindings.h - from the bindings that a client asks for to those that a version stores.
 *
 * Checks each, refuses kinds that Dione does not have by name, looks up what they point to, copies what is inherited or kept
 * from the version before, and seals secrets. Blocks.
 */
#ifndef DIONE_WORKERS_BINDINGS_H
#define DIONE_WORKERS_BINDINGS_H

#include "api/api.h"
#include "workers/catalog.h"
#include "workers/vault.h"

struct binding_rules {
    struct api *api;
    struct vault *vault;
    struct arena *arena;
    struct slice worker;
    const struct json *base;    /* the document inherited from; NULL: none */
    const struct worker *known; /* for versions named by an inherit binding; NULL: a new Worker */
    const struct json *keep;    /* array of binding types that stay when they are not named; NULL: none */
    bool keep_secrets;          /* secrets stay when they are not named */
    bool bare_stays;            /* a binding that is only name and type stays as it is: so clients before 4.80 say it */
    /* The file that holds a form part, for wasm_module, text_blob and data_blob. False: there is no such part. */
    bool (*part_file)(void *arg, struct slice part, struct slice *ret_file);
    void *arg;
};

/*
 * Appends the JSON array to store. SCRIPT, TAKEN (two of one name), INHERIT, KVBINDING say what is wrong with which
 * binding. `list` NULL: no binding is named.
 */
enum status bindings_resolve(const struct binding_rules *rules, const struct json *list, struct buf *to,
                             struct error *err) MUST_CHECK;

/* A secret to set, or to remove (text absent). */
struct secret_change {
    struct slice name, text;
};
/*
 * The bindings of rules->base with these secrets changed; of two changes of one name the last counts. TAKEN: a binding of
 * another type has the name.
 */
enum status bindings_with_secrets(const struct binding_rules *rules, const struct secret_change *list, size_t n,
                                  struct buf *to, struct error *err) MUST_CHECK;

#endif
