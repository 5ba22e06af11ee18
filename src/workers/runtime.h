/*
 * runtime.h - runs Workers: one workerd process for the active version of each, and the public listener before them.
 *
 * The runtime has a thread of its own (the supervisor) that starts and watches processes, keeps the clock of the crons,
 * and collects logs. Requests are carried on the server's loops. A deployed Worker answers at http://NAME.localhost:PORT/
 * and under its routes.
 *
 * Every function may be called on any thread unless it says that it blocks: those belong in a pool or on the main
 * thread, never on a loop.
 */
#ifndef DIONE_WORKERS_RUNTIME_H
#define DIONE_WORKERS_RUNTIME_H

#include "base/arena.h"
#include "base/buf.h"
#include "event/loop.h"
#include "workers/spec.h"

struct runtime;

enum asset_choice {
    ASSET_NONE,  /* to the Worker */
    ASSET_SERVE, /* to the asset server */
};

/* A request of a Worker that has assets. */
struct asset_question {
    struct slice assets_id, method, path;
    bool navigates; /* Sec-Fetch-Mode: navigate */
};

/* One request that the listener carried, when it is over. For `dione dev`, which prints them. */
struct runtime_access {
    struct slice worker, method, target; /* target: path and query */
    int status;                          /* 0: the client left before there was one */
    int64_t duration_ns;
};

/* Zero means the default; strings must live as long as the runtime. */
struct runtime_options {
    struct loop *loops; /* of the server; must outlive the runtime */
    int n_loops;
    const char *run_dir;        /* a private folder with a short path, for sockets */
    const char *workerd;        /* the program; NULL: $DIONE_WORKERD, beside dione, deps/, PATH */
    const char *listen;         /* "HOST:PORT"; NULL: 127.0.0.1:8787 once there is a Worker, or any free port */
    const char *listen_option;  /* the option to name when that cannot be had; NULL: --workers-listen */
    const char *binding_socket; /* Unix socket path of the server that bindings reach */
    const char *binding_key;    /* what its tokens are made from: api/binding_token.h */
    /* "HOST:PORT" of another server that has the databases and namespaces, and its token (dione dev --remote). */
    const char *remote_address, *remote_token;
    int64_t memory_limit_bytes; /* of a Worker's process; 512 MiB */
    int64_t cpu_limit_ms;       /* of busy time without a sign of life; 30 000 */
    int64_t start_timeout_ms;   /* until a new process answers; 30 000 */
    int64_t linger_ms;  /* that a process replaced by a deploy lives after its last request, for waitUntil; 30 000 */
    int64_t drain_ms;   /* that requests and WebSockets of a replaced process may go on; 300 000 */
    bool allow_private; /* fetch() may reach private and loopback addresses (dione dev) */
    bool always_tail; /* each event is kept and told (dione dev), at a cost for each request; else only while tailed */
    const char *only_worker; /* name of the Worker that answers on every host (dione dev); NULL: by host and route */
    bool test_scheduled;     /* GET /__scheduled and /cdn-cgi/handler/scheduled run a cron (dione dev) */
    void *arg;               /* of the hooks below */
    /* Who serves this path of a Worker with assets. Any loop; NULL: always the Worker. */
    enum asset_choice (*choose_asset)(void *arg, const struct asset_question *q);
    void (*on_access)(void *arg, const struct runtime_access *access);                   /* any loop */
    void (*on_output)(void *arg, struct slice worker, bool is_error, struct slice line); /* supervisor */
};

/* Starts the supervisor, and the listener when `listen` is given. workerd may be missing: then deploys fail and say so. */
enum status runtime_open(const struct runtime_options *opt, struct runtime **ret, struct error *err) MUST_CHECK;
/* Stops listening, lets running requests end for at most `grace_ms`. Blocks. Before the loops stop. */
void runtime_drain(struct runtime *rt, int64_t grace_ms);
/* Ends all processes and frees. Blocks. After the loops have stopped. NULL is fine. */
void runtime_close(struct runtime *rt);

/* "http://127.0.0.1:8787" once it listens, or NULL. Lives as long as the runtime. */
const char *runtime_url(struct runtime *rt);
/* The version of workerd ("2026-11-17") or NULL when there is none: a message for people is in *err. */
const char *runtime_workerd_version(struct runtime *rt, struct error *err);

/*
 * Makes `spec` the active version of its Worker: starts its process, waits until it answers, sends new requests there,
 * and ends the process of the version before once its requests are done. Blocks until the new version answers.
 * On failure the version before goes on as if nothing had happened. INVALID: the script or its settings; the text is
 * workerd's, made readable (an exception has file:line). NOTIMPL: there is no workerd. Deploys of one Worker
 * follow each other.
 */
enum status runtime_deploy(struct runtime *rt, const struct worker_spec *spec, struct error *err) MUST_CHECK;
/*
 * Starts the spec aside and stops it again: whether it would deploy, and which handlers it has. Blocks. *ret_handlers
 * (NULL allowed) is JSON such as ["fetch","scheduled"], in the arena.
 */
enum status runtime_check(struct runtime *rt, const struct worker_spec *spec, struct arena *a,
                          struct slice *ret_handlers, struct error *err) MUST_CHECK;
/* Its requests end, then its process. NOTFOUND. Blocks until it gets no more requests. */
enum status runtime_remove(struct runtime *rt, struct slice name, struct error *err) MUST_CHECK;

/* Replace what the spec said, without a restart. NOTFOUND, INVALID. */
enum status runtime_set_routes(struct runtime *rt, struct slice name, const struct slice *routes, size_t n,
                               struct error *err) MUST_CHECK;
enum status runtime_set_crons(struct runtime *rt, struct slice name, const struct slice *crons, size_t n,
                              struct error *err) MUST_CHECK;
/* Whether the Worker answers at its own host name as well (default) or under its routes only. */
enum status runtime_set_host_enabled(struct runtime *rt, struct slice name, bool enabled, struct error *err) MUST_CHECK;

/* Appends a JSON array: one object a Worker with name, version, pid, state, restarts, requests. */
void runtime_list(struct runtime *rt, struct buf *ret_json);

/*
 * Calls the Worker's `scheduled` handler and waits for its end. *ret_outcome: "ok", "exception", ... (static text).
 * NOTFOUND: no such Worker. Blocks.
 */
enum status runtime_run_cron(struct runtime *rt, struct slice name, struct slice cron, int64_t scheduled_ms,
                             const char **ret_outcome, struct error *err) MUST_CHECK;

/* ---- tails ---- */

struct runtime_tail;

/*
 * From now on `on_event` gets each event of the Worker that passes the filters, as JSON text in the form that wrangler
 * tail reads; on the supervisor's thread, which it must not hold up. `filters`: the array of the tail API, such as
 * [{"outcome":["exception"]},{"sampling_rate":0.5}], or absent. NOTFOUND, INVALID. The first one blocks while the
 * Worker's process is replaced by one that reports its events.
 */
enum status runtime_tail_subscribe(struct runtime *rt, struct slice name, struct slice filters,
                                   void (*on_event)(void *arg, struct slice json), void *arg, struct runtime_tail **ret,
                                   struct error *err) MUST_CHECK;
/* No call of on_event is under way or comes once this returns. Not from within on_event. NULL is fine. */
void runtime_tail_unsubscribe(struct runtime_tail *t);
/*
 * Appends a JSON array of the last events, oldest first (at most 100 a Worker): requests while it is tailed; crons, crashes
 * and limits always. NOTFOUND.
 */
enum status runtime_tail_recent(struct runtime *rt, struct slice name, struct buf *ret_json,
                                struct error *err) MUST_CHECK;

#endif
