/*
 * supervisor.c - the thread that starts, watches and ends the Workers' processes. It lives as long as the runtime, since
 * the processes die with the thread that started them.
 */
#include "workers/hosting.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WATCH_MS = 250,
    MAX_LINGERING = 3, /* replaced processes of a Worker that only finish what they do behind their answers */
};

/* ---- messages ---- */

struct call_msg {
    struct loop_msg msg;
    struct runtime *rt;
    void (*fn)(struct runtime *rt, void *arg);
    void *arg;
    sem_t done;
};

static void deliver_call(struct loop_msg *msg)
{
    struct call_msg *m = CONTAINER_OF(msg, struct call_msg, msg);

    m->fn(m->rt, m->arg);
    sem_post(&m->done);
}

static void wait_for(sem_t *s)
{
    while (sem_wait(s) != 0)
        ;
}

void supervisor_call(struct runtime *rt, void (*fn)(struct runtime *rt, void *arg), void *arg)
{
    struct call_msg m = { .msg.deliver = deliver_call, .rt = rt, .fn = fn, .arg = arg };

    sem_init(&m.done, 0, 0);
    loop_post(rt->supervisor, &m.msg);
    wait_for(&m.done);
    sem_destroy(&m.done);
}

/* ---- starting an instance ---- */

struct start {
    struct instance *in;
    sem_t done;
    bool ok;
    struct buf words;
};

static void link_instance(struct runtime *rt, void *arg)
{
    struct start *s = arg;
    struct instance *in = s->in;

    if (atomic_load(&rt->stopping)) {
        instance_free(in);
        sem_post(&s->done);
        return;
    }
    in->next = rt->instances;
    if (in->next)
        in->next->prev = in;
    rt->instances = in;
    instance_start(in);
}

static void on_started(struct instance *in, bool ok, struct slice text)
{
    struct start *s = TAKE_PTR(in->owner);

    s->ok = ok;
    buf_append_slice(&s->words, text);
    sem_post(&s->done);
}

/* What workerd wrote, without what only concerns its own configuration. */
static void make_readable(struct slice words, struct buf *ret)
{
    static const char prefix[] = "service main: ";

    while (words.ptr) {
        struct slice line = slice_cut(&words, '\n');
        if (slice_starts(line, slice_of(prefix, sizeof(prefix) - 1)))
            line = slice_from(line, sizeof(prefix) - 1);
        if (!line.len || memmem(line.ptr, line.len, "became the default as of", 24))
            continue;
        if (ret->len)
            buf_append_char(ret, '\n');
        buf_append_slice(ret, line);
    }
}

enum status supervisor_start_instance(struct runtime *rt, struct instance *in, struct error *err)
{
    struct start s = { .in = in };
    struct buf text = { 0 };

    sem_init(&s.done, 0, 0);
    in->owner = &s;
    supervisor_call(rt, link_instance, &s);
    wait_for(&s.done);
    sem_destroy(&s.done);
    enum status st = STATUS_OK;
    if (!s.ok && atomic_load(&rt->stopping)) {
        st = error_set(err, STATUS_STOPPING, 0, "The server is stopping");
    } else if (!s.ok) {
        make_readable(buf_slice(&s.words), &text);
        st = error_set(err, STATUS_INVALID, 0, "%s", text.len ? text.ptr : "workerd ended without saying why");
    }
    buf_release(&s.words);
    buf_release(&text);
    return st;
}

static void retire(struct runtime *rt UNUSED, void *arg)
{
    instance_retire(arg);
}

void supervisor_retire(struct runtime *rt, struct instance *in)
{
    supervisor_call(rt, retire, in);
}

/* ---- what instances tell ---- */

static struct hosted *hosted_of(struct runtime *rt, const struct instance *in)
{
    return hosted_find(rt, slice_cstr(in->name));
}

static void on_line(struct instance *in, bool is_error, struct slice line)
{
    struct runtime *rt = in->opt.hooks.arg;
    struct slice mark = slice_cstr(in->mark);

    if (!is_error && mark.len && slice_starts(line, mark)) {
        struct hosted *h = hosted_of(rt, in);
        if (!h)
            return; /* removed, and ending */
        atomic_fetch_add(&in->n_events, events_take_items(h->events, slice_from(line, mark.len), slice_cstr(in->name),
                                                          slice_cstr(in->version)));
        hosted_unref(h);
        return;
    }
    if (rt->opt.on_output)
        rt->opt.on_output(rt->opt.arg, slice_cstr(in->name), is_error, line);
}

static void on_death(struct instance *in, const char *outcome, const char *text)
{
    struct runtime *rt = in->opt.hooks.arg;
    struct hosted *h = hosted_of(rt, in);
    struct buf json = { 0 };
    bool crashed = strcmp(outcome, "crashed") == 0;
    const char *what = crashed                               ? "The Worker's process crashed"
                       : strcmp(outcome, "exceededCpu") == 0 ? "Worker exceeded CPU time limit."
                                                             : "Worker exceeded memory limit.";

    if (!h)
        return;
    buf_append_cstr(&json, "{\"scriptName\":");
    json_write_cstr(&json, in->name);
    buf_printf(&json,
               ",\"outcome\":\"%s\",\"eventTimestamp\":%lld,\"event\":null,\"logs\":[],\"diagnosticsChannelEvents\":[],"
               "\"exceptions\":[{\"name\":\"Error\",\"timestamp\":%lld,\"message\":",
               crashed ? "internalError" : outcome, (long long)clock_wall_ms(), (long long)clock_wall_ms());
    struct buf message = { 0 };
    buf_printf(&message, crashed ? "%s (%s)" : "%s", what, text);
    json_write_text(&json, buf_slice(&message));
    buf_append_cstr(&json, "}]}");
    events_take(h->events, buf_slice(&json));
    buf_release(&message);
    buf_release(&json);
    hosted_unref(h);
}

/* Deploys that follow each other closely must not fill the memory. The list has the newest first. */
static void end_oldest_lingering(struct runtime *rt, const char *name)
{
    int n = 0;

    for (struct instance *in = rt->instances; in; in = in->next)
        if (strcmp(in->name, name) == 0 && instance_is_lingering(in) && ++n > MAX_LINGERING)
            instance_end(in);
}

static void on_retire(struct instance *in)
{
    struct runtime *rt = in->opt.hooks.arg;

    proxy_close_idle(rt->proxy, in->target);
    end_oldest_lingering(rt, in->name);
}

void supervisor_check_quiet(struct runtime *rt)
{
    if (atomic_load(&rt->stopping) && !rt->instances && rt->n_crons_running == 0)
        sem_post(&rt->quiet);
}

static void on_gone(struct instance *in)
{
    struct runtime *rt = in->opt.hooks.arg;

    if (in->prev)
        in->prev->next = in->next;
    else
        rt->instances = in->next;
    if (in->next)
        in->next->prev = in->prev;
    supervisor_check_quiet(rt);
}

struct instance_hooks supervisor_hooks(struct runtime *rt)
{
    return (struct instance_hooks){ .arg = rt,
                                    .on_started = on_started,
                                    .on_line = on_line,
                                    .on_death = on_death,
                                    .on_retire = on_retire,
                                    .on_gone = on_gone };
}

/* ---- life ---- */

static void on_watch(uv_timer_t *timer)
{
    struct runtime *rt = timer->data;

    for (struct instance *in = rt->instances; in; in = in->next)
        instance_watch(in);
}

static void begin(struct runtime *rt, void *arg UNUSED)
{
    (void)pthread_setname_np(pthread_self(), "workers");
    uv_timer_init(&rt->supervisor->uv, &rt->watch);
    rt->watch.data = rt;
    uv_timer_start(&rt->watch, on_watch, WATCH_MS, WATCH_MS);
    schedule_start_clock(rt);
}

void supervisor_start(struct runtime *rt)
{
    sem_init(&rt->quiet, 0, 0);
    rt->supervisor = loops_start(1);
    supervisor_call(rt, begin, NULL);
}

static void stop_starting(struct runtime *rt, void *arg UNUSED)
{
    atomic_store(&rt->stopping, true);
    for (struct instance *in = rt->instances; in; in = in->next)
        if (!in->first_start_over)
            instance_stop(in);
    supervisor_check_quiet(rt);
}

void supervisor_stop_starting(struct runtime *rt)
{
    supervisor_call(rt, stop_starting, NULL);
}

static void stop_all(struct runtime *rt, void *arg UNUSED)
{
    /* An instance that is gone at once leaves the list only later. */
    for (struct instance *in = rt->instances; in; in = in->next)
        instance_stop(in);
    supervisor_check_quiet(rt);
}

void supervisor_stop(struct runtime *rt)
{
    supervisor_call(rt, stop_all, NULL);
    wait_for(&rt->quiet);
}

void supervisor_free(struct runtime *rt)
{
    loops_stop(rt->supervisor, 1);
    sem_destroy(&rt->quiet);
}
