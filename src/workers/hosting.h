/*
 * hosting.h - the runtime's insides: the deployed Workers and the supervisor that runs them. Private to runtime.c,
 * hosting.c, schedule.c and listening.c.
 *
 * Lock order: hosted.deploy, runtime.lock. The supervisor takes runtime.lock alone, for moments.
 */
#ifndef DIONE_WORKERS_HOSTING_H
#define DIONE_WORKERS_HOSTING_H

#include "event/pool.h"
#include "workers/config.h"
#include "workers/cron.h"
#include "workers/directory.h"
#include "workers/entrypoints.h"
#include "workers/events.h"
#include "workers/instance.h"
#include "workers/program.h"
#include "workers/proxy.h"
#include "workers/runtime.h"

#include <pthread.h>
#include <semaphore.h>

struct hosted_cron {
    struct cron cron;
    char text[CRON_MAX_LEN + 1];
};

/* A deployed Worker. Counted references; removed from the list when it is removed from the runtime. */
struct hosted {
    struct runtime *rt;
    struct hosted *next; /* guarded by rt->lock */
    _Atomic int refs;
    char name[WORKER_NAME_MAX + 1];
    struct events *events;

    pthread_mutex_t deploy; /* held during a deploy; guards the next five */
    bool removed;
    struct arena arena; /* of spec */
    struct worker_spec *spec;
    struct instance *instance; /* the active one; NULL: none, or assets only */
    struct entrypoints served; /* that the active one has sockets for */

    bool tails;                /* the active one reports its events; written under both locks */
    struct hosted_cron *crons; /* guarded by rt->lock */
    size_t n_crons;
    struct target *target; /* the active one's; guarded by rt->lock */
    char cron_path[108];   /* the active one's; guarded by rt->lock */
    _Atomic int n_tails;
};

struct runtime {
    struct runtime_options opt;
    struct loop *supervisor;
    struct directory *directory;
    struct proxy *proxy;
    struct target *binding;
    char binding_address[128]; /* "unix:..." */
    struct pool *pool;         /* replaces processes on behalf of tails that ended */
    pthread_mutex_t program_lock;
    struct program program; /* found at first use; guarded by program_lock */
    bool has_program;
    struct worker_flags *flags;
    pthread_mutex_t lock; /* guards the lists, the crons and the URL */
    struct hosted *hosted;
    struct wish *wishes; /* guarded by lock */
    bool closing;        /* guarded by lock: the pool takes no more, nobody enters */
    size_t n_inside;     /* calls that use instances; guarded by lock */
    pthread_cond_t left; /* n_inside is 0 */
    char url[300];
    _Atomic uint64_t next_number;
    _Atomic bool stopping;

    /* supervisor */
    struct instance *instances;
    uv_timer_t watch, clock;
    int n_crons_running;
    int64_t last_minute_ms;
    sem_t quiet; /* posted when the last process has ended, while stopping */
};

/* ---- supervisor.c ---- */

void supervisor_start(struct runtime *rt);
/* Runs fn on the supervisor and waits for its end. Any other thread. */
void supervisor_call(struct runtime *rt, void (*fn)(struct runtime *rt, void *arg), void *arg);
/* From now on nothing is started, and what has not been up yet fails: STOPPING. */
void supervisor_stop_starting(struct runtime *rt);
/* Behind supervisor_stop_starting, when nobody uses an instance any more: ends all processes. Blocks. The thread stays until supervisor_free. */
void supervisor_stop(struct runtime *rt);
void supervisor_free(struct runtime *rt);
/* Starts it; blocks until it accepts, or has failed: then it is gone, and err has workerd's words. */
enum status supervisor_start_instance(struct runtime *rt, struct instance *in, struct error *err) MUST_CHECK;
/* The hooks of its instances. */
struct instance_hooks supervisor_hooks(struct runtime *rt);
void supervisor_retire(struct runtime *rt, struct instance *in);
/* After one of the things that supervisor_stop waits for has ended. Supervisor. */
void supervisor_check_quiet(struct runtime *rt);

/* ---- hosting.c ---- */

/* A reference, or NULL. */
struct hosted *hosted_find(struct runtime *rt, struct slice name);
void hosted_unref(struct hosted *h);
/* An array of all, with a reference each; free it. */
size_t hosting_take_all(struct runtime *rt, struct hosted ***ret);
/*
 * After its process was replaced: replaces those of the Workers that call it, and of their callers. They keep connections to
 * the old process, which may live on for a while. Blocks; no deploy lock is held.
 */
void hosting_refresh_callers(struct runtime *rt, const char *name);
/* What the runtime knows beside the spec, as options of a new instance and of its configuration. */
struct instance_options hosting_instance_options(struct runtime *rt, const struct worker_spec *spec);
struct config_options hosting_config_options(struct runtime *rt);
/* Replaces the process by one that is the same but for what tails and other Workers want of it now. Blocks. */
enum status hosted_replace(struct hosted *h, struct error *err) MUST_CHECK;
enum status hosted_find_program(struct runtime *rt, struct error *err) MUST_CHECK;
/* Removes all; at the end. */
void hosting_clear(struct runtime *rt);

/* ---- runtime.c ---- */

/* Around each call that starts or looks at instances: runtime_drain waits for it. STOPPING: they are about to go. */
enum status runtime_enter(struct runtime *rt, struct error *err) MUST_CHECK;
void runtime_leave(struct runtime *rt);

/* ---- schedule.c ---- */

void schedule_start_clock(struct runtime *rt);
/* On the supervisor. `done` comes once, there as well. */
void schedule_run(struct hosted *h, struct slice cron, int64_t scheduled_ms,
                  void (*done)(void *arg, const char *outcome, const struct error *err), void *arg);
/* For the proxy. */
void schedule_run_by_name(void *rt, struct slice worker, struct slice cron, int64_t scheduled_ms,
                          void (*done)(void *arg, const char *outcome, const struct error *err), void *arg);

/* ---- flags.c ---- */

/*
 * Refuses compatibility flags that workerd counts as experimental or does not know: a process without --experimental is
 * asked, once for each list of flags. Blocks.
 */
enum status flags_check(struct runtime *rt, const struct worker_spec *spec, struct error *err) MUST_CHECK;
void flags_forget(struct runtime *rt);

/* ---- listening.c ---- */

/* `err` is not NULL in these three. */
enum status listening_open(const struct runtime_options *opt, int *ret_fd, int *ret_port, struct error *err) MUST_CHECK;
/* Takes fd. */
void listening_begin_locked(struct runtime *rt, int fd, int port);
/* Opens the listener when there is none yet. */
enum status listening_ensure(struct runtime *rt, struct error *err) MUST_CHECK;

#endif
