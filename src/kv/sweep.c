/*
 * sweep.c - expired keys go in the background. No read ever sees one; this only gives their space back.
 *
 * Every second a timer looks which namespaces have keys that are past their time, and gives each a small turn in its
 * queue; a namespace that has more gets the next turn when that one is over, so writes in between are never held up for
 * long, not by large values either. What a namespace holds is not known after a start: those are asked one at a time, a second apart.
 */
#include "kv/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum { SWEEP_EVERY_MS = 1000, SWEEP_KEYS = 256 };

struct sweeper {
    struct kv *kv;
    struct loop *loop;
    uv_timer_t timer;
    struct loop_msg start, stop;
    uv_sem_t stopped;
    bool stopping; /* owned by: the loop */
};

struct sweep {
    struct sql_request run;
    struct error err;
    struct kv_namespace *ns;
    int n_deleted;
    int64_t now_ms, next_ms;
};

void kv_expiry_noted(struct kv_namespace *ns, int64_t expires_ms)
{
    int64_t known = atomic_load(&ns->next_expiry_ms);

    while (known != EXPIRY_UNKNOWN && (known == EXPIRY_NONE || expires_ms < known))
        if (atomic_compare_exchange_weak(&ns->next_expiry_ms, &known, expires_ms))
            return;
}

static enum status sweep_keys(struct sql_conn *c, struct sql_request *run)
{
    struct sweep *s = CONTAINER_OF(run, struct sweep, run);
    enum status st;

    s->now_ms = clock_wall_ms();
    st = table_sweep(c, &s->ns->parts, s->now_ms, SWEEP_KEYS, &s->n_deleted, &s->next_ms, run->err);
    run->wrote = st == STATUS_OK && s->n_deleted > 0;
    /* Here, since writes that come later in the queue note theirs after this. */
    if (st == STATUS_OK)
        atomic_store(&s->ns->next_expiry_ms, s->next_ms);
    return st;
}

static void sweep_done(struct sql_request *run);

static void begin_sweep(struct sweep *s)
{
    if (store_run(&s->run))
        sweep_done(&s->run);
}

static void sweep_done(struct sql_request *run)
{
    struct sweep *s = CONTAINER_OF(run, struct sweep, run);
    struct kv_namespace *ns = s->ns;

    bool more = s->n_deleted > 0 && s->next_ms && s->next_ms <= s->now_ms;

    if (run->status == STATUS_OK && more && !ns->kv->sweeper->stopping) {
        begin_sweep(s);
        return;
    }
    if (run->status != STATUS_OK)
        atomic_store(&ns->next_expiry_ms, EXPIRY_UNKNOWN); /* what it found out may be undone */
    if (run->status != STATUS_OK && run->status != STATUS_NODB)
        log_line(LOG_WARN, "namespace %s: expired keys stay for now: %s", ns->info.id, s->err.msg);
    atomic_store(&ns->sweeping, false);
    kv_namespace_unref(ns);
    free(s);
}

/* Takes the reference. False: no memory, so the next tick tries again. */
static bool start_sweep(struct kv_namespace *ns, struct loop *loop)
{
    struct sweep *s = calloc(1, sizeof(*s));

    if (!s) {
        kv_namespace_unref(ns);
        return false;
    }
    atomic_store(&ns->sweeping, true);
    s->ns = ns;
    s->run = (struct sql_request){ .db = ns->db,
                                   .fn = sweep_keys,
                                   .fn_writes = true,
                                   .alone = true, /* a put must not wait for its end */
                                   .loop = loop,
                                   .err = &s->err,
                                   .done = sweep_done };
    begin_sweep(s);
    return true;
}

static bool is_due(const struct kv_namespace *ns, int64_t now_ms)
{
    int64_t next = atomic_load(&ns->next_expiry_ms);

    return next > 0 && next <= now_ms && !atomic_load(&ns->sweeping);
}

/* The next one that is due, or one that is unknown while *asks. Adds a reference. */
static struct kv_namespace *next_due(struct kv *kv, int64_t now_ms, bool *asks)
{
    struct kv_namespace *ns;

    pthread_rwlock_rdlock(&kv->lock);
    for (ns = kv->first; ns; ns = ns->next) {
        bool unknown = *asks && atomic_load(&ns->next_expiry_ms) == EXPIRY_UNKNOWN && !atomic_load(&ns->sweeping);
        if (!unknown && !is_due(ns, now_ms))
            continue;
        if (unknown)
            *asks = false;
        kv_namespace_ref(ns);
        break;
    }
    pthread_rwlock_unlock(&kv->lock);
    return ns;
}

static void on_timer(uv_timer_t *timer)
{
    struct sweeper *sw = timer->data;
    int64_t now_ms = clock_wall_ms();
    struct kv_namespace *ns;
    bool asks = true, started = true;

    while (started && (ns = next_due(sw->kv, now_ms, &asks)))
        started = start_sweep(ns, sw->loop);
}

static void deliver_start(struct loop_msg *msg)
{
    struct sweeper *sw = CONTAINER_OF(msg, struct sweeper, start);

    uv_timer_init(&sw->loop->uv, &sw->timer);
    sw->timer.data = sw;
    uv_timer_start(&sw->timer, on_timer, SWEEP_EVERY_MS, SWEEP_EVERY_MS);
}

static void deliver_stop(struct loop_msg *msg)
{
    struct sweeper *sw = CONTAINER_OF(msg, struct sweeper, stop);

    sw->stopping = true;
    uv_timer_stop(&sw->timer);
    uv_sem_post(&sw->stopped);
}

void kv_start_sweeping(struct kv *kv, struct loop *loop)
{
    struct sweeper *sw = calloc(1, sizeof(*sw));

    if (!sw)
        abort();
    sw->kv = kv;
    sw->loop = loop;
    sw->start.deliver = deliver_start;
    kv->sweeper = sw;
    loop_post(loop, &sw->start);
}

void kv_stop_sweeping(struct kv *kv)
{
    struct sweeper *sw = kv ? kv->sweeper : NULL;

    if (!sw)
        return;
    sw->stop.deliver = deliver_stop;
    uv_sem_init(&sw->stopped, 0);
    loop_post(sw->loop, &sw->stop);
    uv_sem_wait(&sw->stopped);
    uv_sem_destroy(&sw->stopped);
}
