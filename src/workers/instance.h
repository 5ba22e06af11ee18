/*
 * instance.h - one started version of a Worker: its sockets, which stay, and its process, which may come and go.
 *
 *     STARTING --accepts--> RUNNING --ended--> WAITING --back-off over--> STARTING ...
 *        \__ended the first time: FAILED       RUNNING, WAITING --retire--> RETIRED --idle, then ended--> gone
 *
 * Made on any thread; from instance_start on it belongs to the supervisor, the thread of `loop`, which alone calls the
 * other functions. It frees itself when it is gone.
 */
#ifndef DIONE_WORKERS_INSTANCE_H
#define DIONE_WORKERS_INSTANCE_H

#include "base/buf.h"
#include "workers/process.h"
#include "workers/spec.h"
#include "workers/target.h"

enum { INSTANCE_NAME_MAX = 63, INSTANCE_MARK_LEN = 43 };

struct instance;

/* On the supervisor. */
struct instance_hooks {
    void *arg;
    /* Once, after the first start. `text`: workerd's own words when ok is false; then the instance is gone. */
    void (*on_started)(struct instance *in, bool ok, struct slice text);
    void (*on_line)(struct instance *in, bool is_error, struct slice line);
    /* The process ended by itself or was ended for a limit: "crashed", "exceededCpu", "exceededMemory". */
    void (*on_death)(struct instance *in, const char *outcome, const char *text);
    void (*on_retire)(struct instance *in); /* its idle connections must close */
    void (*on_gone)(struct instance *in);   /* last call */
};

struct instance_options {
    struct loop *loop;
    int n_loops; /* of the proxy */
    const char *program;
    const char *run_dir;
    uint64_t number; /* unique in run_dir */
    struct slice name, version;
    size_t n_entrypoints; /* named exports with sockets of their own */
    bool stable_only;     /* without --experimental */
    int64_t memory_limit_bytes, cpu_limit_ms, start_timeout_ms;
    int64_t linger_ms; /* after the last request, for what it does behind its answers */
    int64_t drain_ms;  /* that requests of a retired instance may still take */
    struct instance_hooks hooks;
};

struct instance {
    struct instance_options opt;
    char name[INSTANCE_NAME_MAX + 1], version[64];
    struct target *target;            /* of its requests; a reference */
    struct buf config;                /* the maker fills it before the start */
    char mark[INSTANCE_MARK_LEN + 1]; /* begins a line of trace items; "": it has no tail Worker */
    char cron_path[108];
    char **entry_paths; /* n_entrypoints of them */
    void *owner;        /* the maker's own */
    _Atomic uint64_t n_events;
    _Atomic int n_restarts;
    _Atomic long pid; /* 0: none */

    /* supervisor */
    struct instance *prev, *next;
    enum { INSTANCE_STARTING, INSTANCE_RUNNING, INSTANCE_WAITING, INSTANCE_RETIRED, INSTANCE_GONE } state;
    struct process_socket sockets[PROCESS_MAX_SOCKETS];
    size_t n_sockets;
    struct run *run;
    uv_timer_t timer; /* start limit, back-off, the end */
    bool first_start_over;
    int64_t started_ms, backoff_ms, retired_ms, term_ms, kill_after_ms;
    int64_t seen_cpu_ms, busy_ms;
    uint64_t seen_signs;
    const char *death;     /* why the supervisor killed it: an outcome */
    struct buf last_words; /* what it wrote to standard error since its start */
};

/* Makes the sockets, listening. `config` and `mark` are still empty. */
enum status instance_new(const struct instance_options *opt, struct instance **ret, struct error *err) MUST_CHECK;
/* One that was never started. NULL is fine. */
void instance_free(struct instance *in);
void instance_start(struct instance *in);
/* After its first start. Gets no new requests from now on: ends when those under way have, and what they left to do. */
void instance_retire(struct instance *in);
/* Retired, and done with its requests; and the end of one that is. */
bool instance_is_lingering(const struct instance *in);
void instance_end(struct instance *in);
/* Ends within seconds, whatever it does. */
void instance_stop(struct instance *in);
/* Looks at memory and processor time; called a few times a second. */
void instance_watch(struct instance *in);

#endif
