/* runtime.c - see runtime.h. Opening and closing; looking at what runs; tails. */
#include "workers/hosting.h"

#include "api/binding_token.h"
#include "base/json.h"
#include "base/log.h"
#include "workers/ask.h"
#include "workers/assets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const struct runtime_options defaults = {
    .memory_limit_bytes = 512LL << 20,
    .cpu_limit_ms = 30000,
    .start_timeout_ms = 30000,
    .linger_ms = 30000,
    .drain_ms = 300000,
};

#define OR_DEFAULT(opt, field) ((opt)->field ? (opt)->field : defaults.field)

static struct runtime_options complete(const struct runtime_options *opt)
{
    struct runtime_options full = *opt;

    full.memory_limit_bytes = OR_DEFAULT(opt, memory_limit_bytes);
    full.cpu_limit_ms = OR_DEFAULT(opt, cpu_limit_ms);
    full.start_timeout_ms = OR_DEFAULT(opt, start_timeout_ms);
    full.linger_ms = OR_DEFAULT(opt, linger_ms);
    full.drain_ms = OR_DEFAULT(opt, drain_ms);
    return full;
}

/* ---- life ---- */

static enum status make_binding_target(struct runtime *rt, struct error *err)
{
    char token[BINDING_TOKEN_LEN + 1];
    struct buf inject = { 0 };

    rt->binding = target_new(rt->opt.binding_socket, rt->opt.n_loops);
    if (!rt->binding)
        return error_set(err, STATUS_INVALID, 0, "the path of the bindings' socket is too long: %s",
                         rt->opt.binding_socket);
    binding_token(rt->opt.binding_key, ASSETS_HEADER, SLICE_LIT(BINDING_ANY), token);
    buf_printf(&inject, "Authorization: Bearer %s\r\n", token);
    rt->binding->inject = buf_take(&inject).ptr;
    snprintf(rt->binding_address, sizeof(rt->binding_address), "unix:%s", rt->opt.binding_socket);
    return STATUS_OK;
}

/* The rest is for the databases. The server has raised the limit as far as it goes. */
static size_t share_of_files(void)
{
    struct rlimit lim;

    return getrlimit(RLIMIT_NOFILE, &lim) == 0 ? (size_t)lim.rlim_cur / 5 * 4 : 800;
}

static struct proxy *make_proxy(struct runtime *rt)
{
    struct proxy_options opt = {
        .loops = rt->opt.loops,
        .n_loops = rt->opt.n_loops,
        .directory = rt->directory,
        .binding = rt->binding,
        .max_files = share_of_files(),
        .only_worker = rt->opt.only_worker,
        .test_scheduled = rt->opt.test_scheduled,
        .arg = rt->opt.arg,
        .choose_asset = rt->opt.choose_asset,
        .on_access = rt->opt.on_access,
        .cron_arg = rt,
        .run_cron = schedule_run_by_name,
    };

    return proxy_new(&opt);
}

/* Nothing here can fail any more. */
static void start_parts(struct runtime *rt, int fd, int port)
{
    rt->directory = directory_new();
    rt->proxy = make_proxy(rt);
    rt->pool = pool_new(&(struct pool_options){ .name = "workers", .max_threads = 2 });
    supervisor_start(rt);
    if (fd < 0)
        return;
    pthread_mutex_lock(&rt->lock);
    listening_begin_locked(rt, fd, port);
    pthread_mutex_unlock(&rt->lock);
}

enum status runtime_open(const struct runtime_options *opt, struct runtime **ret, struct error *err)
{
    struct runtime *rt = calloc(1, sizeof(*rt));
    int fd = -1, port = 0;

    if (!rt)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    rt->opt = complete(opt);
    pthread_mutex_init(&rt->lock, NULL);
    pthread_mutex_init(&rt->program_lock, NULL);
    pthread_cond_init(&rt->left, NULL);
    enum status st = make_binding_target(rt, err);
    if (st == STATUS_OK && opt->listen)
        st = listening_open(opt, &fd, &port, err);
    if (st != STATUS_OK) {
        target_unref(rt->binding);
        free(rt);
        return st;
    }
    start_parts(rt, fd, port);
    *ret = rt;
    return STATUS_OK;
}

enum status runtime_enter(struct runtime *rt, struct error *err)
{
    pthread_mutex_lock(&rt->lock);
    bool closing = rt->closing;
    if (!closing)
        rt->n_inside++;
    pthread_mutex_unlock(&rt->lock);
    return closing ? error_set(err, STATUS_STOPPING, 0, "The server is stopping") : STATUS_OK;
}

void runtime_leave(struct runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    if (--rt->n_inside == 0)
        pthread_cond_signal(&rt->left);
    pthread_mutex_unlock(&rt->lock);
}

static void wait_until_all_left(struct runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    while (rt->n_inside)
        pthread_cond_wait(&rt->left, &rt->lock);
    pthread_mutex_unlock(&rt->lock);
}

void runtime_drain(struct runtime *rt, int64_t grace_ms)
{
    if (!rt)
        return;
    proxy_drain(rt->proxy, grace_ms);
    pthread_mutex_lock(&rt->lock);
    rt->closing = true;
    pthread_mutex_unlock(&rt->lock);
    supervisor_stop_starting(rt);
    pool_free(rt->pool);
    wait_until_all_left(rt);
    supervisor_stop(rt);
    proxy_close(rt->proxy);
}

void runtime_close(struct runtime *rt)
{
    if (!rt)
        return;
    supervisor_free(rt);
    hosting_clear(rt);
    directory_free(rt->directory);
    proxy_free(rt->proxy);
    target_unref(rt->binding);
    flags_forget(rt);
    pthread_mutex_destroy(&rt->lock);
    pthread_mutex_destroy(&rt->program_lock);
    pthread_cond_destroy(&rt->left);
    free(rt);
}

const char *runtime_workerd_version(struct runtime *rt, struct error *err)
{
    return hosted_find_program(rt, err) == STATUS_OK ? rt->program.version : NULL;
}

/* ---- routes ---- */

enum status runtime_set_routes(struct runtime *rt, struct slice name, const struct slice *routes, size_t n,
                               struct error *err)
{
    return directory_set_routes(rt->directory, name, routes, n, err);
}

enum status runtime_set_host_enabled(struct runtime *rt, struct slice name, bool enabled, struct error *err)
{
    return directory_set_host_enabled(rt->directory, name, enabled, err);
}

/* ---- looking ---- */

static void describe(const struct hosted *h, struct buf *b)
{
    const struct instance *in = h->instance;

    buf_append_cstr(b, "{\"name\":");
    json_write_cstr(b, h->name);
    buf_append_cstr(b, ",\"version\":");
    json_write_text(b, h->spec ? h->spec->version_id : SLICE_NONE);
    if (!in) {
        buf_append_cstr(b, ",\"state\":\"assets only\"}");
        return;
    }
    buf_printf(b, ",\"state\":\"%s\",\"pid\":%ld,\"restarts\":%d,\"requests\":%llu,\"in_flight\":%lld,\"tailed\":%s}",
               atomic_load(&in->target->state) == TARGET_UP ? "running" : "restarting", atomic_load(&in->pid),
               atomic_load(&in->n_restarts), (unsigned long long)atomic_load(&in->target->n_requests),
               (long long)atomic_load(&in->target->n_in_flight), h->tails ? "true" : "false");
}

void runtime_list(struct runtime *rt, struct buf *ret_json)
{
    struct hosted **all;
    const char *comma = "";

    if (runtime_enter(rt, NULL) != STATUS_OK) {
        buf_append_cstr(ret_json, "[]");
        return;
    }
    size_t n = hosting_take_all(rt, &all);
    buf_append_char(ret_json, '[');
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&all[i]->deploy);
        if (!all[i]->removed) {
            buf_append_cstr(ret_json, comma);
            describe(all[i], ret_json);
            comma = ",";
        }
        pthread_mutex_unlock(&all[i]->deploy);
        hosted_unref(all[i]);
    }
    buf_append_char(ret_json, ']');
    free(all);
    runtime_leave(rt);
}

/* ---- trying a spec aside ---- */

struct probe {
    struct runtime *rt;
    struct instance *in;
    sem_t done;
    int status;
    struct buf body;
};

static void on_probed(void *arg, int status, struct slice body, const char *why UNUSED)
{
    struct probe *p = arg;

    p->status = status;
    buf_append_slice(&p->body, body);
    sem_post(&p->done);
}

static void ask_probe(struct runtime *rt, void *arg)
{
    struct probe *p = arg;

    ask_start(&(struct ask_options){ .loop = rt->supervisor,
                                     .path = p->in->target->path,
                                     .timeout_ms = rt->opt.start_timeout_ms,
                                     .done = on_probed,
                                     .arg = p });
}

/* {"handlers":[...],"entrypoints":[...]}: the handlers, as JSON again. */
static struct slice read_handlers(struct probe *p, struct arena *a)
{
    struct json *answer;
    struct buf text = { 0 };
    struct slice kept = arena_copy(a, buf_slice(&p->body));

    if (p->status != 200 || !kept.ptr || json_parse(kept, JSON_STRICT, a, &answer, NULL) != STATUS_OK ||
        !json_get(answer, "handlers"))
        return SLICE_NONE;
    json_write_value(&text, json_get(answer, "handlers"));
    struct slice handlers = arena_copy(a, buf_slice(&text));
    buf_release(&text);
    return handlers;
}

static enum status run_probe(struct runtime *rt, const struct worker_spec *spec, struct arena *a,
                             struct slice *ret_handlers, struct error *err)
{
    struct instance_options opt = hosting_instance_options(rt, spec);
    struct config_options config = hosting_config_options(rt);
    struct probe p = { .rt = rt };

    config.probe = !spec->is_service_worker && spec->modules[0].kind == MODULE_ES;
    enum status st = instance_new(&opt, &p.in, err);
    if (st != STATUS_OK)
        return st;
    config_write(&p.in->config, spec, &config);
    st = supervisor_start_instance(rt, p.in, err);
    if (st != STATUS_OK)
        return st;
    struct slice handlers = SLICE_LIT("[\"fetch\"]"); /* what a script of the old format is not asked for */
    if (config.probe) {
        sem_init(&p.done, 0, 0);
        supervisor_call(rt, ask_probe, &p);
        while (sem_wait(&p.done) != 0)
            ;
        sem_destroy(&p.done);
        handlers = read_handlers(&p, a);
        if (!handlers.ptr)
            st = error_set(err, STATUS_INVALID, 0, "The script started, but did not answer: %.*s",
                           SLICE_FMT(buf_slice(&p.body)));
    }
    buf_release(&p.body);
    supervisor_retire(rt, p.in);
    if (st == STATUS_OK && ret_handlers)
        *ret_handlers = handlers;
    return st;
}

static enum status check_script(struct runtime *rt, const struct worker_spec *spec, struct arena *a,
                                struct slice *ret_handlers, struct error *err)
{
    enum status st = hosted_find_program(rt, err);

    if (st == STATUS_OK)
        st = flags_check(rt, spec, err);
    return st == STATUS_OK ? run_probe(rt, spec, a, ret_handlers, err) : st;
}

enum status runtime_check(struct runtime *rt, const struct worker_spec *spec, struct arena *a,
                          struct slice *ret_handlers, struct error *err)
{
    enum status st = worker_spec_check(spec, err);

    if (st == STATUS_OK && spec->n_modules == 0) {
        if (ret_handlers)
            *ret_handlers = SLICE_LIT("[]");
        return STATUS_OK;
    }
    if (st == STATUS_OK)
        st = runtime_enter(rt, err);
    if (st != STATUS_OK)
        return st;
    st = check_script(rt, spec, a, ret_handlers, err);
    runtime_leave(rt);
    return st;
}

/* ---- tails ---- */

struct runtime_tail {
    struct hosted *hosted; /* a reference */
    struct events_subscriber *subscriber;
};

struct untail {
    struct job job;
    struct hosted *hosted; /* a reference */
};

/* Under no lock: makes the process report its events, or stop to, if that is wanted by now. */
static enum status match_tails(struct hosted *h, bool wanted, struct error *err)
{
    enum status st = STATUS_OK;

    pthread_mutex_lock(&h->deploy);
    bool replaced = !h->removed && h->instance && h->tails != wanted && (atomic_load(&h->n_tails) > 0) == wanted;
    if (replaced)
        st = hosted_replace(h, err);
    pthread_mutex_unlock(&h->deploy);
    if (replaced && st == STATUS_OK)
        hosting_refresh_callers(h->rt, h->name);
    return st;
}

static enum status unknown(struct slice name, struct error *err)
{
    return error_set(err, STATUS_NOTFOUND, 0, "There is no Worker called '%.*s'", SLICE_FMT(name));
}

enum status runtime_tail_subscribe(struct runtime *rt, struct slice name, struct slice filters,
                                   void (*on_event)(void *arg, struct slice json), void *arg, struct runtime_tail **ret,
                                   struct error *err)
{
    struct hosted *h = hosted_find(rt, name);
    struct runtime_tail *t = calloc(1, sizeof(*t));

    if (!h || !t) {
        free(t);
        hosted_unref(h);
        return h ? error_set(err, STATUS_NOMEM, 0, "out of memory") : unknown(name, err);
    }
    t->hosted = h;
    enum status st = events_subscribe(h->events, filters, on_event, arg, &t->subscriber, err);
    if (st != STATUS_OK) {
        free(t);
        hosted_unref(h);
        return st;
    }
    atomic_fetch_add(&h->n_tails, 1);
    st = runtime_enter(rt, err);
    if (st == STATUS_OK) {
        st = match_tails(h, true, err);
        runtime_leave(rt);
    }
    if (st != STATUS_OK) {
        runtime_tail_unsubscribe(t);
        return st;
    }
    *ret = t;
    return STATUS_OK;
}

static void run_untail(struct job *job)
{
    struct untail *u = CONTAINER_OF(job, struct untail, job);
    struct runtime *rt = u->hosted->rt;
    struct error err;

    if (!rt->opt.always_tail && !atomic_load(&rt->stopping) && match_tails(u->hosted, false, &err) != STATUS_OK)
        log_line(LOG_WARN, "Worker %s goes on reporting its events: %s", u->hosted->name, err.msg);
    hosted_unref(u->hosted);
    free(u);
}

/* The last tail is gone. Takes the reference. */
static void untail_later(struct hosted *h)
{
    struct runtime *rt = h->rt;
    struct untail *u = calloc(1, sizeof(*u));

    if (!u)
        abort(); /* a hundred bytes */
    *u = (struct untail){ .job.run = run_untail, .hosted = h };
    pthread_mutex_lock(&rt->lock);
    bool closing = rt->closing;
    if (!closing)
        pool_submit(rt->pool, &u->job);
    pthread_mutex_unlock(&rt->lock);
    if (closing) {
        hosted_unref(h);
        free(u);
    }
}

void runtime_tail_unsubscribe(struct runtime_tail *t)
{
    if (!t)
        return;
    struct hosted *h = t->hosted;
    (void)events_unsubscribe(h->events, t->subscriber); /* n_tails counts them for us */
    if (atomic_fetch_sub(&h->n_tails, 1) == 1)
        untail_later(h);
    else
        hosted_unref(h);
    free(t);
}

enum status runtime_tail_recent(struct runtime *rt, struct slice name, struct buf *ret_json, struct error *err)
{
    struct hosted *h = hosted_find(rt, name);

    if (!h)
        return unknown(name, err);
    events_recent(h->events, ret_json);
    hosted_unref(h);
    return STATUS_OK;
}
