/* hosting.c - deployed Workers: how one version takes the place of another without a request lost. */
#include "workers/hosting.h"

#include "base/ids.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPEC_MAX_BYTES = 64 << 20 };

/* ---- the list ---- */

static struct hosted *find_locked(struct runtime *rt, struct slice name)
{
    for (struct hosted *h = rt->hosted; h; h = h->next)
        if (slice_eq(slice_cstr(h->name), name))
            return h;
    return NULL;
}

struct hosted *hosted_find(struct runtime *rt, struct slice name)
{
    pthread_mutex_lock(&rt->lock);
    struct hosted *h = find_locked(rt, name);
    if (h)
        atomic_fetch_add(&h->refs, 1);
    pthread_mutex_unlock(&rt->lock);
    return h;
}

size_t hosting_take_all(struct runtime *rt, struct hosted ***ret)
{
    size_t n = 0;

    pthread_mutex_lock(&rt->lock);
    for (struct hosted *h = rt->hosted; h; h = h->next)
        n++;
    *ret = calloc(n + 1, sizeof(**ret));
    n = 0;
    for (struct hosted *h = rt->hosted; h && *ret; h = h->next) {
        atomic_fetch_add(&h->refs, 1);
        (*ret)[n++] = h;
    }
    pthread_mutex_unlock(&rt->lock);
    return n;
}

void hosted_unref(struct hosted *h)
{
    if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&h->deploy);
    arena_release(&h->arena);
    events_free(h->events);
    entrypoints_clear(&h->served);
    target_unref(h->target);
    free(h->crons);
    free(h);
}

/* New, or the one that is there, with a reference and its deploy lock. */
static struct hosted *hosted_obtain(struct runtime *rt, struct slice name)
{
    for (;;) {
        pthread_mutex_lock(&rt->lock);
        struct hosted *h = find_locked(rt, name);
        if (!h) {
            h = calloc(1, sizeof(*h));
            if (!h)
                abort(); /* a few hundred bytes, on behalf of an administrator */
            h->rt = rt;
            h->refs = 1;
            memcpy(h->name, name.ptr, name.len);
            h->events = events_new();
            pthread_mutex_init(&h->deploy, NULL);
            h->next = rt->hosted;
            rt->hosted = h;
        }
        atomic_fetch_add(&h->refs, 1);
        pthread_mutex_unlock(&rt->lock);
        pthread_mutex_lock(&h->deploy);
        if (!h->removed)
            return h;
        pthread_mutex_unlock(&h->deploy); /* went meanwhile */
        hosted_unref(h);
    }
}

/* Under its deploy lock. */
static void hosted_remove(struct hosted *h)
{
    struct runtime *rt = h->rt;

    h->removed = true;
    pthread_mutex_lock(&rt->lock);
    struct hosted **at = &rt->hosted;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    pthread_mutex_unlock(&rt->lock);
    hosted_unref(h); /* the list's; the caller has its own */
}

static void release(struct hosted *h)
{
    pthread_mutex_unlock(&h->deploy);
    hosted_unref(h);
}

/* ---- a new process ---- */

enum status hosted_find_program(struct runtime *rt, struct error *err)
{
    enum status st = STATUS_OK;

    pthread_mutex_lock(&rt->program_lock);
    if (!rt->has_program) {
        st = program_find(rt->opt.workerd, &rt->program, err);
        rt->has_program = st == STATUS_OK;
    }
    pthread_mutex_unlock(&rt->program_lock);
    return st;
}

struct instance_options hosting_instance_options(struct runtime *rt, const struct worker_spec *spec)
{
    const struct runtime_options *opt = &rt->opt;

    return (struct instance_options){
        .loop = rt->supervisor,
        .n_loops = opt->n_loops,
        .program = rt->program.path,
        .run_dir = opt->run_dir,
        .number = atomic_fetch_add(&rt->next_number, 1),
        .name = spec->name,
        .version = spec->version_id,
        .memory_limit_bytes = spec->limits.memory_bytes ? spec->limits.memory_bytes : opt->memory_limit_bytes,
        .cpu_limit_ms = spec->limits.cpu_ms ? spec->limits.cpu_ms : opt->cpu_limit_ms,
        .start_timeout_ms = opt->start_timeout_ms,
        .linger_ms = opt->linger_ms,
        .drain_ms = opt->drain_ms,
        .hooks = supervisor_hooks(rt),
    };
}

struct config_options hosting_config_options(struct runtime *rt)
{
    const struct runtime_options *opt = &rt->opt;

    return (struct config_options){
        .binding_address = opt->remote_address ? opt->remote_address : rt->binding_address,
        .binding_token = opt->remote_address ? opt->remote_token : NULL,
        .assets_address = rt->binding_address,
        .binding_key = opt->binding_key,
        .run_dir = opt->run_dir,
        .allow_private = opt->allow_private,
    };
}

static enum status start(struct hosted *h, const struct worker_spec *spec, bool tails,
                         const struct entrypoints *entrypoints, struct instance **ret, struct error *err)
{
    struct runtime *rt = h->rt;
    struct instance_options opt = hosting_instance_options(rt, spec);
    struct config_options config = hosting_config_options(rt);
    struct instance *in;

    config.entrypoints = entrypoints->names;
    opt.n_entrypoints = config.n_entrypoints = entrypoints->n;
    enum status st = instance_new(&opt, &in, err);
    if (st != STATUS_OK)
        return st;
    if (tails) {
        token_new(in->mark);
        config.tail_mark = in->mark;
    }
    config_write(&in->config, spec, &config);
    st = supervisor_start_instance(rt, in, err);
    if (st == STATUS_OK)
        *ret = in;
    return st;
}

/* ---- taking the place ---- */

/* A second name for the socket, in one step: whoever connects gets the old one or the new one. */
static void link_socket(struct runtime *rt, const char *path, struct slice name, struct slice entrypoint)
{
    char known[CONFIG_SOCKET_MAX], fresh[CONFIG_SOCKET_MAX + 8];

    config_worker_socket(rt->opt.run_dir, name, entrypoint, known);
    snprintf(fresh, sizeof(fresh), "%s.new", known);
    (void)unlink(fresh); /* may be left by a failure */
    if (link(path, fresh) != 0 || rename(fresh, known) != 0)
        log_line(LOG_ERROR, "service bindings do not reach Worker %.*s: %s", SLICE_FMT(name), strerror(errno));
}

static void unlink_socket(struct hosted *h, struct slice entrypoint)
{
    char path[CONFIG_SOCKET_MAX];

    config_worker_socket(h->rt->opt.run_dir, slice_cstr(h->name), entrypoint, path);
    (void)unlink(path); /* assets only: there is none */
}

static void unlink_sockets(struct hosted *h)
{
    unlink_socket(h, SLICE_NONE);
    for (size_t i = 0; i < h->served.n; i++)
        unlink_socket(h, h->served.names[i]);
    entrypoints_clear(&h->served);
}

/* From now on others reach this process, also under those names. Takes them. */
static void link_sockets(struct hosted *h, const struct instance *in, struct entrypoints *served)
{
    link_socket(h->rt, in->target->path, slice_cstr(h->name), SLICE_NONE);
    for (size_t i = 0; i < served->n; i++)
        link_socket(h->rt, in->entry_paths[i], slice_cstr(h->name), served->names[i]);
    for (size_t i = 0; i < h->served.n; i++)
        if (!entrypoints_have(served, h->served.names[i]))
            unlink_socket(h, h->served.names[i]);
    entrypoints_clear(&h->served);
    h->served = *served;
    *served = (struct entrypoints){ 0 };
}

/* Under the deploy lock: what the supervisor's crons and tails look at. */
static void set_active(struct hosted *h, struct instance *in, bool tails)
{
    struct target *before;

    h->instance = in;
    pthread_mutex_lock(&h->rt->lock);
    h->tails = tails;
    before = h->target;
    h->target = in ? target_ref(in->target) : NULL;
    snprintf(h->cron_path, sizeof(h->cron_path), "%s", in ? in->cron_path : "");
    pthread_mutex_unlock(&h->rt->lock);
    target_unref(before);
}

static void retire_instance(struct hosted *h, struct instance *before)
{
    if (before)
        supervisor_retire(h->rt, before);
}

static enum status parse_crons(const struct slice *texts, size_t n, struct hosted_cron **ret, struct error *err)
{
    struct hosted_cron *crons = calloc(n + 1, sizeof(*crons));
    enum status st = crons ? STATUS_OK : error_set(err, STATUS_NOMEM, 0, "out of memory");

    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        st = cron_parse(texts[i], &crons[i].cron, err);
        if (st == STATUS_OK)
            memcpy(crons[i].text, texts[i].ptr, texts[i].len);
    }
    if (st != STATUS_OK) {
        free(crons);
        return st;
    }
    *ret = crons;
    return STATUS_OK;
}

static void set_crons(struct hosted *h, struct hosted_cron *crons, size_t n)
{
    pthread_mutex_lock(&h->rt->lock);
    struct hosted_cron *before = h->crons;
    h->crons = crons;
    h->n_crons = n;
    pthread_mutex_unlock(&h->rt->lock);
    free(before);
}

static bool wants_tails(const struct hosted *h)
{
    return h->rt->opt.always_tail || atomic_load(&h->n_tails) > 0;
}

/*
 * Starts spec's process as the others want it; *ret_served, empty before, is what it has of that. A script that has lost
 * an entrypoint is still good for its other callers.
 */
static enum status start_for_all(struct hosted *h, const struct worker_spec *spec, bool tails,
                                 struct entrypoints *ret_served, struct instance **ret, struct error *err)
{
    enum status st;
    struct error why;

    wishes_collect(h->rt, h->name, ret_served);
    while ((st = start(h, spec, tails, ret_served, ret, &why)) != STATUS_OK &&
           entrypoints_remove_missing(ret_served, why.msg))
        log_line(LOG_WARN, "Worker %s: other Workers are bound to what it does not export: %s", h->name, why.msg);
    if (st != STATUS_OK) {
        entrypoints_clear(ret_served);
        if (err)
            *err = why;
    }
    return st;
}

/* A process of the same spec takes the place of the one before. Takes what is in *served. */
static enum status replace_by(struct hosted *h, struct instance *in, struct entrypoints *served, bool tails,
                              struct error *err)
{
    struct target *before_target = NULL;
    struct instance *before = h->instance;
    enum status st = directory_set_target(h->rt->directory, slice_cstr(h->name), in->target, &before_target, err);

    if (st != STATUS_OK) {
        supervisor_retire(h->rt, in);
        entrypoints_clear(served);
        return st;
    }
    target_unref(before_target);
    link_sockets(h, in, served);
    set_active(h, in, tails);
    retire_instance(h, before);
    return STATUS_OK;
}

enum status hosted_replace(struct hosted *h, struct error *err)
{
    struct entrypoints served = { 0 };
    struct instance *in = NULL;
    bool tails = wants_tails(h);

    if (!h->instance)
        return STATUS_OK; /* no script */
    enum status st = start_for_all(h, h->spec, tails, &served, &in, err);
    return st == STATUS_OK ? replace_by(h, in, &served, tails, err) : st;
}

/* ---- those who call it ---- */

struct names {
    char (*list)[WORKER_NAME_MAX + 1];
    size_t n;
};

static bool names_have(const struct names *names, struct slice name)
{
    for (size_t i = 0; i < names->n; i++)
        if (slice_eq(slice_cstr(names->list[i]), name))
            return true;
    return false;
}

static void names_add(struct names *names, const char *name)
{
    names->list = realloc(names->list, (names->n + 1) * sizeof(*names->list));
    if (!names->list)
        abort(); /* a few kilobytes, on behalf of an administrator */
    snprintf(names->list[names->n++], sizeof(*names->list), "%s", name);
}

/* Under its deploy lock. */
static bool calls_any(const struct hosted *h, const struct names *names)
{
    for (size_t i = 0; h->spec && i < h->spec->n_bindings; i++)
        if (h->spec->bindings[i].kind == BINDING_SERVICE && names_have(names, h->spec->bindings[i].value))
            return true;
    return false;
}

/* True: it called one of them, and is replaced. */
static bool replace_if_caller(struct hosted *h, const struct names *names)
{
    struct error err;

    pthread_mutex_lock(&h->deploy);
    bool calls = !h->removed && h->instance && calls_any(h, names);
    if (calls && hosted_replace(h, &err) != STATUS_OK)
        log_line(LOG_WARN, "Worker %s may call an old version for a while: %s", h->name, err.msg);
    pthread_mutex_unlock(&h->deploy);
    return calls;
}

void hosting_refresh_callers(struct runtime *rt, const char *name)
{
    struct names changed = { 0 };
    bool more = true;

    names_add(&changed, name);
    while (more) { /* until nobody is left who calls one of them, nearest callers first */
        struct hosted **all;
        size_t n = hosting_take_all(rt, &all);
        more = false;
        for (size_t i = 0; i < n; i++) {
            if (!names_have(&changed, slice_cstr(all[i]->name)) && replace_if_caller(all[i], &changed)) {
                names_add(&changed, all[i]->name);
                more = true;
            }
            hosted_unref(all[i]);
        }
        free(all);
    }
    free(changed.list);
}

/* ---- deploying ---- */

/* Under its deploy lock: gives it one more socket, for this export. It fails when there is none of that name. */
static enum status serve_too(struct hosted *h, struct slice entrypoint, struct error *err)
{
    struct entrypoints wished = { 0 }, served = { 0 };
    struct instance *in = NULL;
    bool tails = wants_tails(h);

    wishes_collect(h->rt, h->name, &wished);
    for (size_t i = 0; i < wished.n; i++) /* what it is known not to have is left out */
        if (entrypoints_have(&h->served, wished.names[i]) || slice_eq(wished.names[i], entrypoint))
            (void)entrypoints_add(&served, wished.names[i]); /* there are no more of them */
    entrypoints_clear(&wished);
    enum status st = start(h, h->spec, tails, &served, &in, err);
    if (st == STATUS_OK)
        return replace_by(h, in, &served, tails, err);
    entrypoints_clear(&served);
    return st;
}

/* Named exports that this Worker calls need their sockets at the others. */
static enum status ask_for_entrypoints(struct runtime *rt, const struct worker_spec *spec, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < spec->n_bindings && st == STATUS_OK; i++) {
        const struct worker_binding *b = &spec->bindings[i];
        struct hosted *other = wishes_binding(spec, b) ? hosted_find(rt, b->value) : NULL;
        if (!other)
            continue; /* gets it when it is deployed */
        pthread_mutex_lock(&other->deploy);
        if (!other->removed && other->instance && !entrypoints_have(&other->served, b->entrypoint))
            st = serve_too(other, b->entrypoint, err);
        if (st != STATUS_OK)
            IGNORE_RESULT(error_prefix(err, "The service binding '%.*s'", SLICE_FMT(b->name))); /* keeps the status */
        release(other);
    }
    return st;
}

/* On success the Worker holds spec's wishes, and those of the spec before are dropped. */
static enum status put_in_place(struct hosted *h, const struct worker_spec *spec, struct error *err)
{
    struct hosted_cron *crons = NULL;
    struct instance *in = NULL, *before = h->instance;
    struct target *before_target = NULL;
    struct entrypoints served = { 0 };
    struct arena arena;
    bool tails = wants_tails(h);

    arena_init(&arena, SPEC_MAX_BYTES);
    struct worker_spec *copy = worker_spec_copy(spec, &arena);
    enum status st = copy ? parse_crons(spec->crons, spec->n_crons, &crons, err)
                          : error_set(err, STATUS_NOMEM, 0, "the Worker's settings are too large");
    if (st == STATUS_OK && spec->n_modules)
        st = start_for_all(h, copy, tails, &served, &in, err);
    if (st == STATUS_OK)
        st = directory_put(h->rt->directory, copy, in ? in->target : NULL, &before_target, err);
    if (st != STATUS_OK) {
        if (in)
            supervisor_retire(h->rt, in);
        entrypoints_clear(&served);
        free(crons);
        arena_release(&arena);
        return st;
    }
    target_unref(before_target);
    if (in)
        link_sockets(h, in, &served);
    else
        unlink_sockets(h);
    if (h->spec)
        wishes_drop(h->rt, h->spec);
    arena_release(&h->arena);
    h->arena = arena;
    h->spec = copy;
    set_crons(h, crons, spec->n_crons);
    set_active(h, in, tails);
    retire_instance(h, before);
    return STATUS_OK;
}

/* Its wishes are taken. */
static enum status deploy_wished(struct runtime *rt, const struct worker_spec *spec, struct error *err)
{
    char name[WORKER_NAME_MAX + 1];
    struct error own;
    enum status st = ask_for_entrypoints(rt, spec, err);

    if (st == STATUS_OK)
        st = listening_ensure(rt, err ? err : &own);
    if (st != STATUS_OK)
        return st;
    snprintf(name, sizeof(name), "%.*s", SLICE_FMT(spec->name));
    struct hosted *h = hosted_obtain(rt, spec->name);
    st = put_in_place(h, spec, err);
    if (!h->spec)
        hosted_remove(h); /* its first deploy failed */
    release(h);
    if (st == STATUS_OK)
        hosting_refresh_callers(rt, name);
    return st;
}

static enum status deploy(struct runtime *rt, const struct worker_spec *spec, struct error *err)
{
    enum status st = worker_spec_check(spec, err);

    if (st == STATUS_OK && spec->n_modules)
        st = hosted_find_program(rt, err);
    if (st == STATUS_OK && spec->n_modules)
        st = flags_check(rt, spec, err);
    if (st == STATUS_OK)
        st = wishes_take(rt, spec, err);
    if (st != STATUS_OK)
        return st;
    st = deploy_wished(rt, spec, err);
    if (st != STATUS_OK)
        wishes_drop(rt, spec);
    return st;
}

enum status runtime_deploy(struct runtime *rt, const struct worker_spec *spec, struct error *err)
{
    enum status st = runtime_enter(rt, err);

    if (st != STATUS_OK)
        return st;
    st = deploy(rt, spec, err);
    runtime_leave(rt);
    return st;
}

static enum status remove_worker(struct runtime *rt, struct slice name, struct error *err)
{
    struct hosted *h = hosted_find(rt, name);
    struct target *before = NULL;

    if (!h)
        return error_set(err, STATUS_NOTFOUND, 0, "There is no Worker called '%.*s'", SLICE_FMT(name));
    pthread_mutex_lock(&h->deploy);
    struct instance *in = h->instance;
    enum status st = directory_remove(rt->directory, name, &before, err);
    target_unref(before);
    if (!h->removed) {
        unlink_sockets(h);
        if (h->spec)
            wishes_drop(rt, h->spec);
        set_active(h, NULL, false);
        set_crons(h, NULL, 0);
        retire_instance(h, in);
        hosted_remove(h);
    }
    release(h);
    return st;
}

enum status runtime_remove(struct runtime *rt, struct slice name, struct error *err)
{
    enum status st = runtime_enter(rt, err);

    if (st != STATUS_OK)
        return st;
    st = remove_worker(rt, name, err);
    runtime_leave(rt);
    return st;
}

enum status runtime_set_crons(struct runtime *rt, struct slice name, const struct slice *crons, size_t n,
                              struct error *err)
{
    struct hosted_cron *parsed;
    struct hosted *h = hosted_find(rt, name);

    if (!h)
        return error_set(err, STATUS_NOTFOUND, 0, "There is no Worker called '%.*s'", SLICE_FMT(name));
    enum status st = parse_crons(crons, n, &parsed, err);
    if (st == STATUS_OK)
        set_crons(h, parsed, n);
    hosted_unref(h);
    return st;
}

void hosting_clear(struct runtime *rt)
{
    while (rt->hosted) {
        struct hosted *h = rt->hosted;
        rt->hosted = h->next;
        hosted_unref(h);
    }
    wishes_clear(rt);
}
