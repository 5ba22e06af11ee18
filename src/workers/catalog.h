/*
 * catalog.h - which Workers there are, in control.db: their versions, deployments, routes, crons and settings.
 *
 * A version never changes. Its `document` is JSON that says everything about it but its module files, which lie in
 * data/workers/<name>/<version id>/; secrets in it are sealed (vault.h). A deployment makes one version the active one; the
 * newest deployment is the one that counts. The last CATALOG_VERSIONS_KEPT versions are kept, and the active one.
 *
 * What is loaded lives in the arena it was loaded into and is a copy: it does not change. Every function blocks.
 */
#ifndef DIONE_WORKERS_CATALOG_H
#define DIONE_WORKERS_CATALOG_H

#include "base/arena.h"
#include "base/ids.h"
#include "base/json.h"
#include "store/store.h"

enum { CATALOG_VERSIONS_KEPT = 20, CATALOG_DEPLOYMENTS_KEPT = 100 };

struct version {
    struct slice id;     /* UUID */
    struct slice source; /* what made it: "wrangler", "api" */
    int64_t number;      /* from 1 */
    int64_t created_ms;
    const struct json *document;
};

struct deployment {
    struct slice id; /* UUID */
    struct slice version_id;
    struct slice source;
    struct slice annotations; /* JSON object */
    int64_t created_ms;
};

struct route {
    struct slice id; /* 32 hex digits */
    struct slice worker;
    struct slice pattern; /* a custom domain is its host with all paths */
    struct slice zone;    /* as it was given; empty: none */
    bool is_domain;
};

struct cron_row {
    struct slice cron;
    int64_t created_ms, modified_ms;
};

struct worker {
    struct slice name;
    struct slice tag; /* 32 hex digits: the Worker's own id */
    int64_t created_ms, modified_ms;
    bool host_enabled, previews_enabled;
    const struct json *settings;    /* object: logpush, observability, tags, tail_consumers */
    const struct version *versions; /* newest first */
    size_t n_versions;
    const struct deployment *deployments; /* newest first */
    size_t n_deployments;
    const struct route *routes;
    size_t n_routes;
    const struct cron_row *crons;
    size_t n_crons;
};

/* Makes the tables. */
enum status catalog_open(struct store *s, struct error *err) MUST_CHECK;

/* WORKER: there is none of that name. */
enum status catalog_find(struct store *s, struct slice name, struct arena *a, struct worker **ret,
                         struct error *err) MUST_CHECK;
/* The names of all, in order. */
enum status catalog_names(struct store *s, struct arena *a, struct slice **ret, size_t *ret_n,
                          struct error *err) MUST_CHECK;
/* All routes of the account. */
enum status catalog_routes(struct store *s, struct arena *a, struct route **ret, size_t *ret_n,
                           struct error *err) MUST_CHECK;
/* Whether any version has a secret. */
enum status catalog_has_secrets(struct store *s, bool *ret, struct error *err) MUST_CHECK;
/* Names of the Workers whose active version has a service binding to this one. */
enum status catalog_users_of(struct store *s, struct slice name, struct arena *a, struct slice **ret, size_t *ret_n,
                             struct error *err) MUST_CHECK;

/* The version that is deployed, or NULL. */
const struct version *worker_active(const struct worker *w);
/* The version that was uploaded last, or NULL. */
const struct version *worker_latest(const struct worker *w);
const struct version *worker_version(const struct worker *w, struct slice id);

/* The Worker is made when it is new. *ret_number is the version's. `document` is JSON text. */
enum status catalog_add_version(struct store *s, struct slice name, struct slice id, struct slice source,
                                struct slice document, int64_t now_ms, int64_t *ret_number,
                                struct error *err) MUST_CHECK;
/* Undoes it: the version goes, and the Worker when it has no other. */
enum status catalog_drop_version(struct store *s, struct slice name, struct slice id, struct error *err) MUST_CHECK;
enum status catalog_deploy(struct store *s, struct slice name, const struct deployment *d,
                           struct error *err) MUST_CHECK;
enum status catalog_drop_deployment(struct store *s, struct slice id, struct error *err) MUST_CHECK;
/* Forgets versions beyond those that are kept, with their deployments; their ids, for the files, are in *ret. */
enum status catalog_prune(struct store *s, struct slice name, struct arena *a, struct slice **ret, size_t *ret_n,
                          struct error *err) MUST_CHECK;
/* Everything of the Worker. For a function that store_control runs. */
enum status catalog_delete(struct sqlite3 *db, struct slice name, struct error *err) MUST_CHECK;

enum status catalog_set_settings(struct store *s, struct slice name, struct slice json, struct error *err) MUST_CHECK;
enum status catalog_set_host(struct store *s, struct slice name, bool enabled, bool previews,
                             struct error *err) MUST_CHECK;
enum status catalog_set_crons(struct store *s, struct slice name, const struct slice *crons, size_t n,
                              struct error *err) MUST_CHECK;
/*
 * Replaces the Worker's routes (or its custom domains). ROUTE: a pattern belongs to another Worker, which is named; with
 * `take_over` it is taken from it.
 */
enum status catalog_set_routes(struct store *s, struct slice name, bool domains, bool take_over,
                               const struct route *routes, size_t n, struct error *err) MUST_CHECK;

/* The account's workers.dev subdomain: "local" until it is set. Into the arena. */
enum status catalog_subdomain(struct store *s, struct arena *a, struct slice *ret, struct error *err) MUST_CHECK;
enum status catalog_set_subdomain(struct store *s, struct slice name, struct error *err) MUST_CHECK;

#endif
