/* workers.c - see workers.h. */
#include "workers/workers.h"

#include "base/clock.h"
#include "base/log.h"
#include "workers/asset_store.h"
#include "workers/document.h"
#include "workers/tails.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LOCKS = 64, POOL_THREADS = 16, SPEC_BYTES = 256 << 20, START_PATIENCE_S = 10 };

struct workers {
    struct api *api;
    struct runtime *rt;
    struct vault *vault;
    struct tails *tails;
    char *root;
    struct pool *calls, *waits;
    pthread_mutex_t locks[LOCKS];
};

struct pool *workers_pool(const struct workers *w, bool waits)
{
    return waits ? w->waits : w->calls;
}

struct store *workers_store(const struct workers *w)
{
    return w->api->store;
}

struct runtime *workers_runtime(const struct workers *w)
{
    return w->rt;
}

struct vault *workers_vault(const struct workers *w)
{
    return w->vault;
}

struct api *workers_api(const struct workers *w)
{
    return w->api;
}

struct tails *workers_tails(const struct workers *w)
{
    return w->tails;
}

const char *workers_path(const struct workers *w, struct buf *to, struct slice worker, struct slice folder,
                         struct slice file)
{
    buf_clear(to);
    buf_printf(to, "%s/%.*s", w->root, SLICE_FMT(worker));
    if (folder.ptr)
        buf_printf(to, "/%.*s", SLICE_FMT(folder));
    if (folder.ptr && file.ptr)
        buf_printf(to, "/%.*s", SLICE_FMT(file));
    return to->ptr;
}

static pthread_mutex_t *lock_of(struct workers *w, struct slice name)
{
    unsigned hash = 2166136261U;

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619U;
    return &w->locks[hash % LOCKS];
}

void workers_lock(struct workers *w, struct slice name)
{
    pthread_mutex_lock(lock_of(w, name));
}

void workers_unlock(struct workers *w, struct slice name)
{
    pthread_mutex_unlock(lock_of(w, name));
}

/* ---- versions ---- */

/* What is wrong with a script has a code of its own here. */
static enum status as_script_error(enum status st, struct error *err)
{
    if (st == STATUS_INVALID && err)
        err->status = STATUS_SCRIPT;
    return st == STATUS_INVALID ? STATUS_SCRIPT : st;
}

static enum status spec_of(struct workers *w, const struct worker *worker, const struct version *v, struct arena *a,
                           struct worker_spec *ret, struct error *err)
{
    struct buf folder CLEANUP(buf_release) = { 0 };

    return document_spec(worker, v, workers_path(w, &folder, worker->name, v->id, SLICE_NONE), w->vault, a, ret, err);
}

/* Runs it aside; the document gets what came to light. */
static enum status try_version(struct workers *w, const struct new_version_request *r, const struct json *document,
                               struct slice id, struct buf *ret_document, struct error *err)
{
    struct worker unborn = { .name = r->worker };
    struct version v = { .id = id, .created_ms = clock_wall_ms(), .document = document };
    struct worker_spec spec;
    struct asset_site *site = NULL;
    struct slice handlers = SLICE_LIT("[]");
    char startup[24];
    int64_t began_ns = clock_mono_ns();
    enum status st = spec_of(w, &unborn, &v, r->arena, &spec, err);

    if (st == STATUS_OK)
        st = as_script_error(worker_spec_check(&spec, err), err);
    if (st == STATUS_OK && spec.assets_id.ptr)
        st = as_script_error(asset_site_of_version(w, &unborn, &v, r->arena, &site, err), err);
    asset_site_unref(site);
    if (st == STATUS_OK && spec.n_modules)
        st = as_script_error(runtime_check(w->rt, &spec, r->arena, &handlers, err), err);
    if (st != STATUS_OK)
        return st;
    snprintf(startup, sizeof(startup), "%lld", (long long)((clock_mono_ns() - began_ns) / 1000000));
    struct member members[] = { { "handlers", handlers }, { "startup_ms", slice_cstr(startup) } };
    document_copy(ret_document, document, members, ARRAY_LEN(members));
    return ret_document->overflowed ? error_set(err, STATUS_NOMEM, 0, "out of memory") : STATUS_OK;
}

/* The newest version with a binding to this file; absent: there is none. */
static struct slice holder_of(const struct worker *worker, struct slice file)
{
    for (size_t i = 0; i < worker->n_versions; i++) {
        const struct json *list = json_get(worker->versions[i].document, "bindings");
        for (const struct json *b = list ? list->child : NULL; b; b = b->next)
            if (slice_eq(json_get_text(b, "file"), file))
                return worker->versions[i].id;
    }
    return SLICE_NONE;
}

/* The files of the request, and those that its bindings have taken over from versions before. */
static enum status gather_files(struct workers *w, const struct new_version_request *r, const struct json *document,
                                struct version_file **ret, size_t *ret_n, struct error *err)
{
    const struct json *list = json_get(document, "bindings");
    size_t n = r->n_files;
    struct worker *worker = NULL;
    enum status st = catalog_find(w->api->store, r->worker, r->arena, &worker, err);
    if (st != STATUS_OK && st != STATUS_WORKER) /* a new one has nothing to take over */
        return st;
    struct version_file *files = arena_zalloc(r->arena, (n + (list ? list->n : 0) + 1) * sizeof(*files));

    if (!files)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    if (n)
        memcpy(files, r->files, n * sizeof(*files));
    for (const struct json *b = list ? list->child : NULL; b; b = b->next) {
        struct slice file = json_get_text(b, "file"), version = SLICE_NONE;
        if (worker && file.len)
            version = holder_of(worker, file);
        if (version.ptr)
            files[n++] = (struct version_file){ .name = file, .version = version };
    }
    *ret = files;
    *ret_n = n;
    return STATUS_OK;
}

static enum status add_version(struct workers *w, const struct new_version_request *r, struct worker **ret_worker,
                               struct error *err)
{
    struct version_file *files = NULL;
    struct json *parsed;
    size_t n_files = 0;
    struct buf document CLEANUP(buf_release) = { 0 };
    char text[UUID_LEN + 1];
    struct slice id = { text, UUID_LEN };
    int64_t number;

    if (!worker_name_is_valid(r->worker))
        return error_set(
            err, STATUS_SCRIPTNAME, 0,
            "Invalid Worker name '%.*s': it takes 1 to 63 lower-case letters, digits, dashes and underscores, "
            "with a letter or digit at both ends",
            r->worker.len > 100 ? 100 : (int)r->worker.len, r->worker.ptr);
    uuid_new(text);
    enum status st = json_parse(r->document, JSON_STRICT, r->arena, &parsed, err);
    if (st == STATUS_OK)
        st = gather_files(w, r, parsed, &files, &n_files, err);
    if (st == STATUS_OK)
        st = version_files_write(w->root, r->worker, id, files, n_files, r->like, err);
    if (st != STATUS_OK)
        return st;
    st = try_version(w, r, parsed, id, &document, err);
    if (st == STATUS_OK)
        st = catalog_add_version(w->api->store, r->worker, id, r->source, buf_slice(&document), clock_wall_ms(),
                                 &number, err);
    if (st != STATUS_OK) {
        version_files_remove(w->root, r->worker, id);
        return st;
    }
    return catalog_find(w->api->store, r->worker, r->arena, ret_worker, err);
}

/* Versions that are too old go; failing to is no failure of what made one too many. */
static void prune(struct workers *w, struct slice name, struct arena *a)
{
    struct slice *ids;
    size_t n;
    struct error err;

    if (catalog_prune(w->api->store, name, a, &ids, &n, &err) != STATUS_OK) {
        log_line(LOG_WARN, "Worker %.*s: old versions were not removed: %s", SLICE_FMT(name), err.msg);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        asset_server_drop(w->api->assets, ids[i]);
        version_files_remove(w->root, name, ids[i]);
    }
    if (n)
        asset_store_collect(w, name);
}

enum status workers_add_version(struct workers *w, const struct new_version_request *r, struct worker **ret_worker,
                                struct error *err)
{
    enum status st = add_version(w, r, ret_worker, err);

    if (st == STATUS_OK)
        prune(w, r->worker, r->arena);
    return st;
}

/* ---- deployments ---- */

/* Before the runtime learns of the version: its first request may be for an asset. */
static enum status put_site(struct workers *w, const struct worker *worker, const struct version *v, struct arena *a,
                            struct error *err)
{
    struct asset_site *site;

    if (!json_get(v->document, "assets"))
        return STATUS_OK;
    enum status st = asset_site_of_version(w, worker, v, a, &site, err);
    return st == STATUS_OK ? asset_server_put(w->api->assets, v->id, site, err) : st;
}

static enum status run_version(struct workers *w, const struct worker *worker, const struct version *v, struct arena *a,
                               struct error *err)
{
    struct worker_spec spec;
    enum status st = spec_of(w, worker, v, a, &spec, err);

    if (st == STATUS_OK)
        st = put_site(w, worker, v, a, err);
    if (st == STATUS_OK)
        st = as_script_error(runtime_deploy(w->rt, &spec, err), err);
    if (st == STATUS_OK && !worker->host_enabled)
        st = runtime_set_host_enabled(w->rt, worker->name, false, err);
    return st;
}

/* Of a version that was to be deployed and was not. */
static void forget_site(struct workers *w, const struct worker *worker, const struct version *v)
{
    if (worker_active(worker) != v)
        asset_server_drop(w->api->assets, v->id);
}

/* What ran before runs again, since the deployment could not be recorded. */
static void take_back(struct workers *w, const struct worker *worker, struct arena *a)
{
    const struct version *before = worker_active(worker);
    struct error err;
    enum status st = before ? run_version(w, worker, before, a, &err) : runtime_remove(w->rt, worker->name, &err);

    if (st != STATUS_OK)
        log_line(LOG_ERROR, "Worker %.*s: the version before could not be brought back: %s", SLICE_FMT(worker->name),
                 err.msg);
}

enum status workers_deploy(struct workers *w, struct slice name, struct slice version_id, struct slice source,
                           struct slice annotations, struct arena *a, char ret_id[UUID_LEN + 1], struct error *err)
{
    struct worker *worker;
    char id[UUID_LEN + 1];
    enum status st = catalog_find(w->api->store, name, a, &worker, err);

    if (st != STATUS_OK)
        return st;
    const struct version *v = worker_version(worker, version_id);
    if (!v)
        return error_set(err, STATUS_VERSION, 0, "The version %.*s of the Worker %.*s does not exist",
                         SLICE_FMT(version_id), SLICE_FMT(name));
    st = run_version(w, worker, v, a, err);
    if (st != STATUS_OK) {
        forget_site(w, worker, v);
        return st;
    }
    uuid_new(id);
    struct deployment d = { .id = slice_of(id, UUID_LEN),
                            .version_id = v->id,
                            .source = source,
                            .annotations = annotations,
                            .created_ms = clock_wall_ms() };
    st = catalog_deploy(w->api->store, name, &d, err);
    if (st != STATUS_OK) {
        take_back(w, worker, a);
        forget_site(w, worker, v);
        return st;
    }
    memcpy(ret_id, id, sizeof(id));
    prune(w, name, a);
    return STATUS_OK;
}

enum status workers_add_and_deploy(struct workers *w, const struct new_version_request *r, struct worker **ret_worker,
                                   struct error *err)
{
    char deployment[UUID_LEN + 1];
    struct error dropped;
    enum status st = add_version(w, r, ret_worker, err);

    if (st != STATUS_OK)
        return st;
    struct slice id = worker_latest(*ret_worker)->id;
    st = workers_deploy(w, r->worker, id, r->source, SLICE_NONE, r->arena, deployment, err);
    if (st == STATUS_OK)
        return st;
    if (catalog_drop_version(w->api->store, r->worker, id, &dropped) == STATUS_OK)
        version_files_remove(w->root, r->worker, id);
    else
        log_line(LOG_WARN, "Worker %.*s keeps the version %.*s, which was not deployed: %s", SLICE_FMT(r->worker),
                 SLICE_FMT(id), dropped.msg);
    return st;
}

/* Rows of both kinds at once: assets without a Worker would be taken for uploaded ones. */
static enum status forget_worker(struct sqlite3 *db, void *arg, struct error *err)
{
    const struct slice *name = arg;
    enum status st = catalog_delete(db, *name, err);

    return st == STATUS_OK ? asset_store_forget(db, *name, err) : st;
}

enum status workers_delete(struct workers *w, struct slice name, struct error *err)
{
    struct error gone;
    struct arena arena;
    struct worker *worker;

    arena_init(&arena, SPEC_BYTES);
    enum status st = catalog_find(w->api->store, name, &arena, &worker, err);
    if (st == STATUS_OK)
        st = store_control(w->api->store, forget_worker, &name, err);
    for (size_t i = 0; st == STATUS_OK && i < worker->n_versions; i++)
        asset_server_drop(w->api->assets, worker->versions[i].id);
    arena_release(&arena);
    if (st != STATUS_OK)
        return st;
    tails_end_all(w->tails, name);
    st = runtime_remove(w->rt, name, &gone);
    if (st != STATUS_OK && st != STATUS_NOTFOUND)
        log_line(LOG_ERROR, "Worker %.*s: %s", SLICE_FMT(name), gone.msg);
    worker_files_remove(w->root, name);
    return STATUS_OK;
}

/* ---- start and stop ---- */

struct known {
    struct workers *workers;
    struct arena arena;
};

static bool is_known(void *arg, struct slice name, struct slice id)
{
    struct known *k = arg;
    struct worker *worker;
    struct error err;

    arena_reset(&k->arena);
    enum status st = catalog_find(k->workers->api->store, name, &k->arena, &worker, &err);
    if (st == STATUS_WORKER)
        return !id.ptr && asset_store_expects(k->workers, name);
    return st != STATUS_OK || !id.ptr || worker_version(worker, id); /* nothing goes that could not be looked up */
}

static enum status make_root(struct workers *w, struct error *err)
{
    struct buf path CLEANUP(buf_release) = { 0 };

    buf_printf(&path, "%s/workers", store_dir(w->api->store));
    enum status st = worker_folder_make(path.ptr, err);
    if (st != STATUS_OK)
        return st;
    w->root = realpath(path.ptr, NULL);
    return w->root ? STATUS_OK : error_errno(err, errno, "cannot find %s", path.ptr);
}

enum status workers_open(struct api *api, struct runtime *rt, struct workers **ret, struct error *err)
{
    struct workers *w = calloc(1, sizeof(*w));
    bool has_secrets = false;

    if (!w)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    w->api = api;
    w->rt = rt;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&w->locks[i], NULL);
    w->calls = pool_new(&(struct pool_options){ .name = "deploys", .max_threads = POOL_THREADS });
    w->waits = pool_new(&(struct pool_options){ .name = "crons", .max_threads = POOL_THREADS });
    enum status st = make_root(w, err);
    if (st == STATUS_OK)
        st = catalog_open(api->store, err);
    if (st == STATUS_OK)
        st = asset_store_open(w, err);
    if (st == STATUS_OK && !(w->tails = tails_new(rt)))
        st = error_set(err, STATUS_NOMEM, 0, "out of memory");
    if (st == STATUS_OK)
        st = catalog_has_secrets(api->store, &has_secrets, err);
    if (st == STATUS_OK && !(w->vault = vault_new(store_dir(api->store), has_secrets)))
        st = error_set(err, STATUS_NOMEM, 0, "out of memory");
    if (st != STATUS_OK) {
        workers_close(w);
        return st;
    }
    struct known k = { .workers = w };
    arena_init(&k.arena, SPEC_BYTES);
    worker_files_settle(w->root, is_known, &k);
    arena_release(&k.arena);
    *ret = w;
    return STATUS_OK;
}

void workers_stop(struct workers *w)
{
    if (w)
        tails_stop(w->tails);
}

void workers_drain(struct workers *w)
{
    if (!w)
        return;
    struct pool *calls = TAKE_PTR(w->calls), *waits = TAKE_PTR(w->waits);
    if (calls)
        pool_free(calls);
    if (waits)
        pool_free(waits);
}

void workers_sweep(struct workers *w)
{
    if (w)
        tails_sweep(w->tails);
}

void workers_close(struct workers *w)
{
    if (!w)
        return;
    workers_drain(w); /* a server that did not come up */
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&w->locks[i]);
    tails_free(w->tails);
    vault_free(w->vault);
    free(w->root);
    free(w);
}

/*
 * At start all Workers start side by side, on their pool, and the server waits for them, but not for long: one that hangs
 * does not keep the databases waiting.
 */
struct starting {
    struct workers *workers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n_left;
    int refs; /* the waiting thread, and each job */
};

struct start_job {
    struct job job;
    struct starting *all;
    struct slice name;
    char text[];
};

static void starting_unref(struct starting *s, size_t n_done)
{
    pthread_mutex_lock(&s->lock);
    s->n_left -= n_done;
    bool last = --s->refs == 0;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
}

static void start_one(struct workers *w, struct slice name)
{
    struct arena arena;
    struct worker *worker;
    struct error err;

    arena_init(&arena, SPEC_BYTES);
    workers_lock(w, name);
    enum status st = catalog_find(w->api->store, name, &arena, &worker, &err);
    const struct version *v = st == STATUS_OK ? worker_active(worker) : NULL;
    if (v)
        st = run_version(w, worker, v, &arena, &err);
    workers_unlock(w, name);
    if (st != STATUS_OK && st != STATUS_WORKER) /* deleted meanwhile */
        log_line(LOG_ERROR, "Worker %.*s does not run: %s", SLICE_FMT(name), err.msg);
    arena_release(&arena);
}

static void run_start(struct job *job)
{
    struct start_job *j = CONTAINER_OF(job, struct start_job, job);

    start_one(j->all->workers, j->name);
    starting_unref(j->all, 1);
    free(j);
}

static void submit_start(struct starting *s, struct slice name)
{
    struct start_job *j = calloc(1, sizeof(*j) + name.len + 1);

    if (!j) {
        log_line(LOG_ERROR, "Worker %.*s does not run: out of memory", SLICE_FMT(name));
        return;
    }
    memcpy(j->text, name.ptr, name.len);
    j->name = slice_of(j->text, name.len);
    j->all = s;
    j->job.run = run_start;
    pthread_mutex_lock(&s->lock);
    s->n_left++;
    s->refs++;
    pthread_mutex_unlock(&s->lock);
    pool_submit(s->workers->calls, &j->job);
}

static void wait_for_starts(struct starting *s)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += START_PATIENCE_S;
    pthread_mutex_lock(&s->lock);
    while (s->n_left && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
        ;
    if (s->n_left)
        log_line(LOG_WARN, "%zu Workers are still starting", s->n_left);
    pthread_mutex_unlock(&s->lock);
}

void workers_start(struct workers *w)
{
    struct starting *s = calloc(1, sizeof(*s));
    struct arena arena;
    struct slice *names;
    size_t n = 0;
    struct error err = { 0 };

    arena_init(&arena, SPEC_BYTES);
    if (!s || catalog_names(w->api->store, &arena, &names, &n, &err) != STATUS_OK)
        log_line(LOG_ERROR, "no Worker was started: %s", s ? err.msg : "out of memory");
    if (s) {
        *s = (struct starting){ .workers = w, .refs = 1 };
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->changed, NULL);
        for (size_t i = 0; i < n; i++)
            submit_start(s, names[i]);
        wait_for_starts(s);
        starting_unref(s, 0);
    }
    arena_release(&arena);
}
