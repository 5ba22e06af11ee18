/* upkeep.c - see upkeep.h. A round that takes longer than a minute makes the timer skip one. */
#include "control/upkeep.h"

#include "base/log.h"
#include "store/transfers.h"
#include "workers/workers.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { EVERY_MS = 60 * 1000 };

struct upkeep {
    struct api *api;
    struct loop *loop;
    struct loop_msg start, stop;
    uv_sem_t stopped;
    uv_timer_t timer;
    struct job job;
    _Atomic bool running;
};

/* What could not be written stays in memory for the next round. */
static void write_down(struct api *api)
{
    struct error err;

    if (metrics_flush(api->metrics, &err) != STATUS_OK)
        log_line(LOG_WARN, "metrics not written, will try again: %s", err.msg);
    if (tokens_flush(api->tokens, &err) != STATUS_OK)
        log_line(LOG_WARN, "last use of tokens not written, will try again: %s", err.msg);
}

static void run(struct job *job)
{
    struct upkeep *u = CONTAINER_OF(job, struct upkeep, job);

    write_down(u->api);
    transfers_sweep(u->api->transfers);
    workers_sweep(u->api->workers);
    atomic_store(&u->running, false);
}

static void on_timer(uv_timer_t *timer)
{
    struct upkeep *u = timer->data;
    struct pool *pool = store_job_pool(u->api->store);

    if (pool && !atomic_exchange(&u->running, true))
        pool_submit(pool, &u->job);
}

static void start_timer(struct loop_msg *msg)
{
    struct upkeep *u = CONTAINER_OF(msg, struct upkeep, start);

    uv_timer_init(&u->loop->uv, &u->timer);
    u->timer.data = u;
    uv_timer_start(&u->timer, on_timer, EVERY_MS, EVERY_MS);
}

static void stop_timer(struct loop_msg *msg)
{
    struct upkeep *u = CONTAINER_OF(msg, struct upkeep, stop);

    uv_timer_stop(&u->timer);
    uv_sem_post(&u->stopped);
}

void upkeep_stop(struct upkeep *u)
{
    if (!u)
        return;
    u->stop.deliver = stop_timer;
    uv_sem_init(&u->stopped, 0);
    loop_post(u->loop, &u->stop);
    uv_sem_wait(&u->stopped);
    uv_sem_destroy(&u->stopped);
}

struct upkeep *upkeep_start(struct api *api, struct loop *loop)
{
    struct upkeep *u = calloc(1, sizeof(*u));

    if (!u)
        abort();
    u->api = api;
    u->loop = loop;
    u->job.run = run;
    u->start.deliver = start_timer;
    loop_post(loop, &u->start);
    return u;
}

void upkeep_finish(struct upkeep *u)
{
    if (!u)
        return;
    write_down(u->api);
    free(u);
}
