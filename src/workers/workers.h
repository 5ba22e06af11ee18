/*
 * workers.h - the Workers of a data directory: what is stored of them (catalog.h, files.h) and what runs (runtime.h), kept
 * in step.
 *
 * A version is written and tried aside before its row is made; a deployment switches the runtime first and is recorded
 * then, so a crash in between leaves the version before as the active one. Changes of one Worker follow each other.
 *
 * Threads: every function blocks and belongs on workers_pool or the main thread, unless it says otherwise.
 */
#ifndef DIONE_WORKERS_WORKERS_H
#define DIONE_WORKERS_WORKERS_H

#include "api/api.h"
#include "workers/catalog.h"
#include "workers/files.h"
#include "workers/runtime.h"
#include "workers/vault.h"

struct workers;
struct tails;

/* Makes tables and folder, removes what a crash has left. `rt` must outlive it. */
enum status workers_open(struct api *api, struct runtime *rt, struct workers **ret, struct error *err) MUST_CHECK;
/* Starts every Worker with an active deployment. One that does not start is logged; the others go on. */
void workers_start(struct workers *w);
/* Ends what clients follow. Before the runtime and the loops stop. NULL is fine. */
void workers_stop(struct workers *w);
/* Waits for the calls that are under way; no more may come. After the runtime has stopped. NULL is fine. */
void workers_drain(struct workers *w);
/* What is to be done once a minute. */
void workers_sweep(struct workers *w);
/* Nobody may call any more. NULL is fine. */
void workers_close(struct workers *w);

/* Any thread, without blocking. */
struct store *workers_store(const struct workers *w);
struct runtime *workers_runtime(const struct workers *w);
struct vault *workers_vault(const struct workers *w);
struct api *workers_api(const struct workers *w);
/* For calls, which may take long: the databases have their own. `waits`: for those that wait for a Worker's own work. */
struct pool *workers_pool(const struct workers *w, bool waits);
struct tails *workers_tails(const struct workers *w);
/* Where it lies, absolute: <root>/<worker>[/<folder>[/<file>]], in *to (replaced), up to the first absent one. `folder` is a version's
 * id or "assets". Returns to->ptr. */
const char *workers_path(const struct workers *w, struct buf *to, struct slice worker, struct slice folder,
                         struct slice file);

/* One change of a Worker at a time. */
void workers_lock(struct workers *w, struct slice name);
void workers_unlock(struct workers *w, struct slice name);

/* A version to be. */
struct new_version_request {
    struct slice worker;
    struct slice document; /* JSON, without handlers and startup_ms */
    const struct version_file *files;
    size_t n_files;
    const struct slice *like; /* version whose files come along; NULL: none */
    struct slice source;
    struct arena *arena;
};

/*
 * Stores it, unless it would not run. SCRIPT: what is wrong with the script or its settings. Under the Worker's lock.
 * *ret_worker is loaded anew, and its latest version is the one just made.
 */
enum status workers_add_version(struct workers *w, const struct new_version_request *v, struct worker **ret_worker,
                                struct error *err) MUST_CHECK;
/*
 * Makes the version active: requests go to it when this returns. Under the Worker's lock. annotations: JSON object or absent.
 * *ret_id is the deployment's.
 */
enum status workers_deploy(struct workers *w, struct slice name, struct slice version_id, struct slice source,
                           struct slice annotations, struct arena *a, char ret_id[UUID_LEN + 1],
                           struct error *err) MUST_CHECK;
/* Both, one behind the other; a version that cannot be deployed is not kept. */
enum status workers_add_and_deploy(struct workers *w, const struct new_version_request *v, struct worker **ret_worker,
                                   struct error *err) MUST_CHECK;
/* Stops it and removes everything of it. Under the Worker's lock. */
enum status workers_delete(struct workers *w, struct slice name, struct error *err) MUST_CHECK;

#endif
