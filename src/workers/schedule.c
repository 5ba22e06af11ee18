/*
 * schedule.c - calls `scheduled` of the Workers on time, or by hand, and keeps what came of it.
 *
 * The clock looks once at the beginning of each minute. Minutes in which the machine slept are not made up for.
 */
#include "workers/hosting.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "workers/ask.h"

#include <stdio.h>
#include <stdlib.h>

enum { MINUTE_MS = 60 * 1000, CRON_LIMIT_MS = 15 * MINUTE_MS };

struct cron_run {
    struct hosted *hosted; /* a reference */
    struct target *target; /* a reference; it is in flight there */
    bool reported;         /* by the Worker's tail */
    char cron[CRON_MAX_LEN + 1];
    int64_t scheduled_ms, started_ms, started_ns;
    void (*done)(void *arg, const char *outcome, const struct error *err);
    void *arg;
};

/* workerd's word as a static text. */
static const char *known_outcome(struct slice word)
{
    static const char *const all[] = { "ok",
                                       "exception",
                                       "exceededCpu",
                                       "exceededMemory",
                                       "canceled",
                                       "killSwitch",
                                       "scriptNotFound",
                                       "daemonDown",
                                       "loadShed",
                                       "internalError",
                                       "aborted",
                                       "exceededWallTime",
                                       "responseStreamDisconnected" };

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (slice_eq(word, slice_cstr(all[i])))
            return all[i];
    return "unknown";
}

/* An event as a tail would have told it; the Worker itself is silent when nobody tails it. */
static void report(const struct cron_run *r, const char *outcome)
{
    struct buf json = { 0 };

    buf_append_cstr(&json, "{\"scriptName\":");
    json_write_cstr(&json, r->hosted->name);
    buf_printf(&json, ",\"outcome\":\"%s\",\"wallTime\":%lld,\"cpuTime\":0,\"truncated\":false", outcome,
               (long long)((clock_mono_ns() - r->started_ns) / 1000000));
    buf_printf(&json, ",\"exceptions\":[],\"logs\":[],\"diagnosticsChannelEvents\":[],\"eventTimestamp\":%lld",
               (long long)r->started_ms);
    buf_append_cstr(&json, ",\"event\":{\"cron\":");
    json_write_cstr(&json, r->cron);
    buf_printf(&json, ",\"scheduledTime\":%lld}}", (long long)r->scheduled_ms);
    events_take(r->hosted->events, buf_slice(&json));
    buf_release(&json);
}

static void leave(struct cron_run *r)
{
    atomic_store(&r->target->last_end_ms, clock_mono_ns() / 1000000);
    atomic_fetch_sub(&r->target->n_in_flight, 1);
    target_unref(r->target);
}

static void on_answer(void *arg, int status, struct slice body, const char *why)
{
    struct cron_run *r = arg;
    struct runtime *rt = r->hosted->rt;
    const char *outcome = NULL, *down = atomic_load(&r->target->why_down);
    struct arena arena;
    struct json *answer;
    struct error err;

    arena_init(&arena, 1 << 20);
    if (status == 200 && json_parse(body, JSON_STRICT, &arena, &answer, NULL) == STATUS_OK)
        outcome = known_outcome(json_get_text(answer, "outcome"));
    else
        IGNORE_RESULT(error_set(&err, STATUS_INTERNAL, 0, "The cron of Worker '%s' was not run: %s", r->hosted->name,
                                status ? "its process could not deliver it"
                                : down ? down
                                       : why)); /* fills err */
    arena_release(&arena);
    if (!r->reported || !outcome)
        report(r, outcome ? outcome : "internalError");
    log_line(outcome && strcmp(outcome, "ok") == 0 ? LOG_DEBUG : LOG_WARN, "cron '%s' of Worker %s: %s", r->cron,
             r->hosted->name, outcome ? outcome : err.msg);
    leave(r);
    r->done(r->arg, outcome, &err);
    hosted_unref(r->hosted);
    free(r);
    rt->n_crons_running--;
    supervisor_check_quiet(rt);
}

void schedule_run(struct hosted *h, struct slice cron, int64_t scheduled_ms,
                  void (*done)(void *arg, const char *outcome, const struct error *err), void *arg)
{
    struct cron_run *r = calloc(1, sizeof(*r));
    struct buf body = { 0 };
    char path[sizeof(h->cron_path)];

    if (!r)
        abort(); /* a few hundred bytes */
    pthread_mutex_lock(&h->rt->lock);
    r->target = h->target ? target_ref(h->target) : NULL;
    r->reported = h->tails;
    memcpy(path, h->cron_path, sizeof(path));
    pthread_mutex_unlock(&h->rt->lock);
    if (!r->target || atomic_load(&h->rt->stopping)) {
        struct error err;
        IGNORE_RESULT(error_set(&err, STATUS_INVALID, 0, "The Worker '%s' has no script", h->name)); /* fills err */
        target_unref(r->target);
        free(r);
        done(arg, NULL, &err);
        return;
    }
    atomic_fetch_add(&h->refs, 1);
    r->hosted = h;
    r->scheduled_ms = scheduled_ms;
    r->started_ms = clock_wall_ms();
    r->started_ns = clock_mono_ns();
    r->done = done;
    r->arg = arg;
    snprintf(r->cron, sizeof(r->cron), "%.*s", SLICE_FMT(cron));
    atomic_fetch_add(&r->target->n_in_flight, 1);
    atomic_fetch_add(&r->target->n_requests, 1);
    h->rt->n_crons_running++;
    buf_append_cstr(&body, "{\"cron\":");
    json_write_text(&body, cron);
    buf_printf(&body, ",\"time\":%lld}", (long long)scheduled_ms);
    ask_start(&(struct ask_options){ .loop = h->rt->supervisor,
                                     .path = path,
                                     .body = buf_slice(&body),
                                     .timeout_ms = CRON_LIMIT_MS,
                                     .done = on_answer,
                                     .arg = r });
    buf_release(&body);
}

/* ---- the clock ---- */

static void nobody_asked(void *arg UNUSED, const char *outcome UNUSED, const struct error *err UNUSED)
{
}

struct due {
    struct hosted *hosted;
    char cron[CRON_MAX_LEN + 1];
};

/* What is due, with references; the runtime's lock is not held while it is run. */
static size_t collect_due(struct runtime *rt, int64_t minute_ms, struct due **ret)
{
    size_t n = 0, cap = 0;

    pthread_mutex_lock(&rt->lock);
    for (struct hosted *h = rt->hosted; h; h = h->next)
        for (size_t i = 0; i < h->n_crons; i++) {
            if (!cron_is_due(&h->crons[i].cron, minute_ms))
                continue;
            if (n == cap) {
                cap = cap ? 2 * cap : 16;
                *ret = realloc(*ret, cap * sizeof(**ret));
                if (!*ret)
                    abort(); /* a few kilobytes */
            }
            atomic_fetch_add(&h->refs, 1);
            (*ret)[n].hosted = h;
            memcpy((*ret)[n].cron, h->crons[i].text, sizeof((*ret)[n].cron));
            n++;
        }
    pthread_mutex_unlock(&rt->lock);
    return n;
}

static void on_clock(uv_timer_t *timer);

static void wait_for_next_minute(struct runtime *rt, int64_t now_ms)
{
    uv_timer_start(&rt->clock, on_clock, (uint64_t)(MINUTE_MS - now_ms % MINUTE_MS), 0);
}

static void on_clock(uv_timer_t *timer)
{
    struct runtime *rt = timer->data;
    int64_t now = clock_wall_ms(), minute = now - now % MINUTE_MS;
    struct due *due = NULL;

    wait_for_next_minute(rt, now);
    if (!cron_minute_is_new(minute, rt->last_minute_ms))
        return;
    rt->last_minute_ms = minute;
    size_t n = collect_due(rt, minute, &due);
    for (size_t i = 0; i < n; i++) {
        schedule_run(due[i].hosted, slice_cstr(due[i].cron), minute, nobody_asked, NULL);
        hosted_unref(due[i].hosted);
    }
    free(due);
}

void schedule_start_clock(struct runtime *rt)
{
    int64_t now = clock_wall_ms();

    uv_timer_init(&rt->supervisor->uv, &rt->clock);
    rt->clock.data = rt;
    rt->last_minute_ms = now - now % MINUTE_MS;
    wait_for_next_minute(rt, now);
}

/* ---- by hand ---- */

struct by_name {
    struct loop_msg msg;
    struct runtime *rt;
    char worker[WORKER_NAME_MAX + 1], cron[CRON_MAX_LEN + 1];
    int64_t scheduled_ms;
    void (*done)(void *arg, const char *outcome, const struct error *err);
    void *arg;
};

static void deliver_by_name(struct loop_msg *msg)
{
    struct by_name *m = CONTAINER_OF(msg, struct by_name, msg);
    struct hosted *h = hosted_find(m->rt, slice_cstr(m->worker));

    if (h) {
        schedule_run(h, slice_cstr(m->cron), m->scheduled_ms, m->done, m->arg);
        hosted_unref(h);
    } else {
        struct error err;
        IGNORE_RESULT(error_set(&err, STATUS_NOTFOUND, 0, "There is no Worker called '%s'", m->worker)); /* fills err */
        m->done(m->arg, NULL, &err);
    }
    free(m);
}

void schedule_run_by_name(void *rt, struct slice worker, struct slice cron, int64_t scheduled_ms,
                          void (*done)(void *arg, const char *outcome, const struct error *err), void *arg)
{
    struct by_name *m = calloc(1, sizeof(*m));

    if (!m)
        abort(); /* a few hundred bytes */
    *m = (struct by_name){
        .msg.deliver = deliver_by_name, .rt = rt, .scheduled_ms = scheduled_ms, .done = done, .arg = arg
    };
    snprintf(m->worker, sizeof(m->worker), "%.*s", SLICE_FMT(worker));
    snprintf(m->cron, sizeof(m->cron), "%.*s", SLICE_FMT(cron));
    loop_post(m->rt->supervisor, &m->msg);
}

struct waiting {
    sem_t done;
    const char *outcome;
    struct error err;
};

static void on_waited(void *arg, const char *outcome, const struct error *err)
{
    struct waiting *w = arg;

    w->outcome = outcome;
    if (!outcome)
        w->err = *err;
    sem_post(&w->done);
}

enum status runtime_run_cron(struct runtime *rt, struct slice name, struct slice cron, int64_t scheduled_ms,
                             const char **ret_outcome, struct error *err)
{
    struct waiting w = { 0 };

    if (cron.len > CRON_MAX_LEN)
        return error_set(err, STATUS_INVALID, 0, "A cron has at most %d characters", CRON_MAX_LEN);
    sem_init(&w.done, 0, 0);
    schedule_run_by_name(rt, name, cron, scheduled_ms, on_waited, &w);
    while (sem_wait(&w.done) != 0)
        ;
    sem_destroy(&w.done);
    if (!w.outcome) {
        if (err)
            *err = w.err;
        return w.err.status;
    }
    *ret_outcome = w.outcome;
    return STATUS_OK;
}
