/*
 * directory.h - which Worker answers a request: by host name or by route. Read by every request on every loop, changed
 * by deploys; one lock, held for moments. Any thread.
 */
#ifndef DIONE_WORKERS_DIRECTORY_H
#define DIONE_WORKERS_DIRECTORY_H

#include "base/buf.h"
#include "workers/spec.h"
#include "workers/target.h"

struct directory;

enum { WORKER_NAME_MAX = 63, ASSETS_ID_MAX = 127 };

/* What a request needs to know of its Worker. */
struct directory_hit {
    struct target *target; /* a reference is the caller's; NULL: a Worker of assets only */
    char name[WORKER_NAME_MAX + 1];
    char assets_id[ASSETS_ID_MAX + 1]; /* "": it has none */
};

struct directory *directory_new(void);
void directory_free(struct directory *d);

/* `only`: this Worker, whatever the host; NULL as a rule. False: nobody. */
bool directory_find(struct directory *d, const char *only, bool is_https, struct slice host, struct slice path,
                    struct directory_hit *ret);

/*
 * Points the Worker at `target` (may be NULL, takes a reference of its own) and makes it known when it was not. Its
 * routes are replaced. *ret_before: the target it had, with its reference, or NULL. NOMEM: nothing has changed.
 */
enum status directory_put(struct directory *d, const struct worker_spec *spec, struct target *target,
                          struct target **ret_before, struct error *err) MUST_CHECK;
/* Swaps the target alone. NOTFOUND. */
enum status directory_set_target(struct directory *d, struct slice name, struct target *target,
                                 struct target **ret_before, struct error *err) MUST_CHECK;
enum status directory_set_routes(struct directory *d, struct slice name, const struct slice *routes, size_t n,
                                 struct error *err) MUST_CHECK;
enum status directory_set_host_enabled(struct directory *d, struct slice name, bool enabled,
                                       struct error *err) MUST_CHECK;
/* *ret_before as above. */
enum status directory_remove(struct directory *d, struct slice name, struct target **ret_before,
                             struct error *err) MUST_CHECK;
/* Appends how each Worker is reached, a line each, for people who asked for an unknown one. */
void directory_describe(struct directory *d, const char *port, struct buf *ret);

#endif
