/*
 * spec.h - one Worker version to run, in full: what a deploy stores, what `dione dev` builds, what the runtime starts.
 *
 * A spec is plain data. Its slices belong to whoever made it (an arena as a rule) and need to live only as long as the
 * call they are given to: the runtime copies what it keeps. The module files are read again whenever the Worker's
 * process is started anew, so they stay in place for as long as the version is deployed.
 */
#ifndef DIONE_WORKERS_SPEC_H
#define DIONE_WORKERS_SPEC_H

#include "base/arena.h"
#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum module_kind { MODULE_ES, MODULE_COMMON_JS, MODULE_TEXT, MODULE_DATA, MODULE_WASM, MODULE_JSON };

struct worker_module {
    struct slice name; /* as imported; may contain '/' */
    enum module_kind kind;
    struct slice path; /* absolute path of the file with its content */
};

enum binding_kind {
    BINDING_TEXT,             /* value: the text; vars and secrets */
    BINDING_JSON,             /* value: JSON text */
    BINDING_D1,               /* value: the database's id */
    BINDING_KV,               /* value: the namespace's id */
    BINDING_SERVICE,          /* value: the other Worker's name; entrypoint, props */
    BINDING_ASSETS,           /* the Worker's own static assets (worker_spec.assets_id) */
    BINDING_VERSION_METADATA, /* {id, tag, timestamp} of this version */
    BINDING_WASM,             /* value: absolute path; service-worker format only */
    BINDING_DATA,             /* value: absolute path */
    BINDING_TEXT_FILE,        /* value: absolute path */
};

struct worker_binding {
    struct slice name;
    enum binding_kind kind;
    struct slice value;
    struct slice entrypoint; /* SERVICE: a named export of the other Worker; absent: the default one */
    struct slice props;      /* SERVICE: JSON for ctx.props; absent: none */
};

struct worker_limits {
    int64_t memory_bytes; /* of the whole process; 0: the runtime's default */
    int64_t cpu_ms;       /* without a sign of life; 0: the runtime's default */
};

struct worker_spec {
    struct slice name;       /* [a-z0-9_-]; part of its host name */
    struct slice version_id; /* UUID */
    struct slice version_tag;
    int64_t version_created_ms;
    /* The first module is the main one. A service-worker script is the only module, of kind ES. None at all: a Worker
     * of static assets only, for which no process runs. */
    const struct worker_module *modules;
    size_t n_modules;
    bool is_service_worker;
    struct slice compatibility_date; /* "2026-01-31" */
    const struct slice *compatibility_flags;
    size_t n_compatibility_flags;
    const struct worker_binding *bindings;
    size_t n_bindings;
    const struct slice *crons; /* as cron.h reads them */
    size_t n_crons;
    const struct slice *routes; /* patterns such as "example.com/api" and then a star */
    size_t n_routes;
    struct slice assets_id; /* the value of x-dione-assets for its files; absent: it has none */
    struct worker_limits limits;
};

/* Whether a Worker may have this name: 1 to 63 of [a-z0-9_-], no dash or underscore at either end. */
bool worker_name_is_valid(struct slice name);
/*
 * What can be told without starting it: names, module names (relative, no "..", unique), dates, crons, routes, bindings.
 * INVALID says what is wrong and with which part.
 */
enum status worker_spec_check(const struct worker_spec *spec, struct error *err) MUST_CHECK;

/* Everything of `spec`, copied into the arena; NULL: it does not fit. */
struct worker_spec *worker_spec_copy(const struct worker_spec *spec, struct arena *a) MUST_CHECK;

#endif
