/* server.c - see server.h. Parts start from the bottom up and stop in the order that leaves no one without what it needs. */
#include "control/server.h"

#include "control/routes.h"
#include "control/run_dir.h"
#include "control/upkeep.h"
#include "base/log.h"
#include "api/api.h"
#include "d1/transfers.h"
#include "http/server.h"
#include "kv/kv.h"
#include "store/transfers.h"
#include "workers/assets.h"
#include "workers/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRAIN_MS = 10000, SPARE_FILES = 256 };

struct server {
    struct server_options opt;
    struct api api;
    struct loop *loops;
    int n_loops;
    struct http_server *http;
    char token[TOKEN_SECRET_MAX + 1];
    struct upkeep *upkeep;
    char url[300];
    struct runtime *runtime;
    struct run_dir run_dir;
    char binding_socket[RUN_DIR_MAX + 16];
    bool is_new, announced;
};

static const struct server_options defaults = {
    .data_dir = "data",
    .statement_timeout_ms = 30000,
    .request_timeout_ms = 30000,
    .max_body_bytes = 100 * 1024 * 1024,
    .max_result_bytes = 256 * 1024 * 1024,
    .max_database_bytes = 10LL * 1000 * 1000 * 1000,
};

#define OR_DEFAULT(opt, field) ((opt)->field ? (opt)->field : defaults.field)

static struct server_options complete(const struct server_options *opt)
{
    struct server_options full = *opt;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    full.data_dir = OR_DEFAULT(opt, data_dir);
    full.threads = opt->threads ? opt->threads : cores > 0 ? cores : 1;
    full.statement_timeout_ms = OR_DEFAULT(opt, statement_timeout_ms);
    full.request_timeout_ms = OR_DEFAULT(opt, request_timeout_ms);
    full.max_body_bytes = OR_DEFAULT(opt, max_body_bytes);
    full.max_result_bytes = OR_DEFAULT(opt, max_result_bytes);
    full.max_database_bytes = OR_DEFAULT(opt, max_database_bytes);
    return full;
}

/* As many files as the system lets us have: each connection is one. */
static size_t raise_file_limit(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return 1024;
    lim.rlim_cur = lim.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &lim); /* what we got is read back below */
    (void)getrlimit(RLIMIT_NOFILE, &lim); /* worked a moment ago */
    return lim.rlim_cur > 4000000 ? 4000000 : (size_t)lim.rlim_cur;
}

/* ---- start ---- */

static void on_stats(void *arg, const struct database *db, struct slice text, const struct sql_stmt_stats *stats,
                     bool is_write)
{
    struct server *s = arg;

    if (s->api.metrics)
        metrics_record(s->api.metrics, db, text, stats, is_write);
}

static enum status open_store(struct server *s, struct error *err)
{
    struct store_options opt = {
        .dir = s->opt.data_dir,
        .loops = s->loops,
        .n_loops = s->n_loops,
        .max_database_bytes = (uint64_t)s->opt.max_database_bytes,
        .statement_limit_ms = s->opt.statement_timeout_ms,
        .max_result_bytes = (size_t)s->opt.max_result_bytes,
        .brief = !s->opt.listen,
        .on_stats = on_stats,
        .stats_arg = s,
    };

    s->is_new = access(s->opt.data_dir, F_OK) != 0;
    return store_open(&opt, &s->api.store, err);
}

static enum status open_tokens(struct server *s, struct error *err)
{
    enum status st = tokens_open(s->api.store, &s->api.tokens, err);

    if (st == STATUS_OK && !s->opt.token)
        st = token_file_load_or_create(s->opt.data_dir, s->token, err);
    if (st == STATUS_OK)
        st = tokens_ensure_root(s->api.tokens, slice_cstr(s->opt.token ? s->opt.token : s->token), err);
    if (st == STATUS_OK && s->opt.token)
        snprintf(s->token, sizeof(s->token), "%s", s->opt.token);
    return st;
}

static enum status check_address(const struct server_options *opt, struct error *err)
{
    if (!opt->listen || opt->allow_plaintext || http_address_is_loopback(opt->listen))
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, 0,
                     "%s is not a loopback address, and tokens would cross the network unencrypted. Put a TLS proxy in "
                     "front of a loopback address, or say --allow-plaintext",
                     opt->listen);
}

static void start_http(struct server *s, size_t file_limit)
{
    struct http_options opt = {
        .routes = routes,
        .routes_by_header = routes_by_header,
        .prefix = "client/v4/",
        .app = &s->api,
        .admit = routes_admit,
        .fail = routes_fail,
        .file_pool = store_job_pool(s->api.store),
        .body_limit = (size_t)s->opt.max_body_bytes,
        .request_timeout_ms = s->opt.request_timeout_ms,
        .idle_timeout_ms = 120 * 1000,
        .max_connections = file_limit > 2 * SPARE_FILES ? file_limit - SPARE_FILES : file_limit / 2,
    };

    s->http = http_server_new(&opt, s->loops, s->n_loops);
}

/* For commands on the same directory: where the server is that has it. */
static void announce(struct server *s)
{
    char path[4096], temporary[4096 + 8];

    snprintf(path, sizeof(path), "%s/server.json", s->opt.data_dir);
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    FILE *f = fopen(temporary, "we");
    if (!f) {
        log_line(LOG_WARN, "cannot write %s: %s; commands with --local will not find this server", temporary,
                 strerror(errno));
        return;
    }
    fprintf(f, "{\"url\":\"%s\",\"pid\":%ld}\n", s->url, (long)getpid());
    if (fclose(f) == 0 && rename(temporary, path) == 0)
        s->announced = true;
}

/* Without it there are no Workers; the databases are served all the same. */
static void listen_for_bindings(struct server *s)
{
    struct error err;
    enum status st = run_dir_make(&s->run_dir, &err);

    if (st == STATUS_OK) {
        snprintf(s->binding_socket, sizeof(s->binding_socket), "%s/bindings", s->run_dir.path);
        st = http_server_listen_unix(s->http, s->binding_socket, &err);
    }
    if (st == STATUS_OK)
        return;
    s->binding_socket[0] = '\0';
    log_line(LOG_WARN, "Workers cannot run: %s", err.msg);
}

static enum status start_listening(struct server *s, struct error *err)
{
    int port;

    if (!s->opt.listen)
        return STATUS_OK;
    enum status st = http_server_listen(s->http, s->opt.listen, &port, err);
    if (st != STATUS_OK)
        return st;
    int host_len = (int)(strrchr(s->opt.listen, ':') - s->opt.listen);
    snprintf(s->url, sizeof(s->url), "http://%.*s:%d", host_len, s->opt.listen, port);
    announce(s);
    listen_for_bindings(s);
    return STATUS_OK;
}

static enum asset_choice choose_asset(void *arg, const struct asset_question *q)
{
    const struct server *s = arg;

    return asset_server_choose(s->api.assets, q);
}

/* What Workers need of us is there by now. */
static enum status start_workers(struct server *s, struct error *err)
{
    struct runtime_options opt = {
        .loops = s->loops,
        .n_loops = s->n_loops,
        .run_dir = s->run_dir.path,
        .workerd = s->opt.workerd,
        .listen = s->opt.workers_listen,
        .binding_socket = s->binding_socket,
        .binding_key = s->api.binding_key,
        .memory_limit_bytes = s->opt.worker_memory_bytes,
        .cpu_limit_ms = s->opt.worker_cpu_ms,
        .arg = s,
        .choose_asset = choose_asset,
    };
    struct workers *workers;

    if (!s->opt.runs_workers || !s->binding_socket[0])
        return STATUS_OK;
    enum status st = runtime_open(&opt, &s->runtime, err);
    if (st == STATUS_OK)
        st = workers_open(&s->api, s->runtime, &workers, err);
    if (st != STATUS_OK)
        return st;
    s->api.workers = workers;
    workers_start(workers);
    return STATUS_OK;
}

static enum status start_parts(struct server *s, struct error *err)
{
    size_t files = raise_file_limit();
    enum status st = check_address(&s->opt, err);

    if (st != STATUS_OK)
        return st;
    signal(SIGPIPE, SIG_IGN);
    s->n_loops = (int)s->opt.threads;
    s->loops = loops_start(s->n_loops);
    st = open_store(s, err);
    if (st == STATUS_OK)
        st = open_tokens(s, err);
    if (st == STATUS_OK)
        st = metrics_open(s->api.store, &s->api.metrics, err);
    if (st == STATUS_OK)
        st = transfers_open(s->api.store, &s->api.transfers, err);
    if (st == STATUS_OK)
        st = kv_open(s->api.store, s->n_loops, KV_MAP_BYTES, &s->api.kv, err);
    if (st != STATUS_OK)
        return st;
    s->api.token_caches = calloc((size_t)s->n_loops, sizeof(*s->api.token_caches));
    if (!s->api.token_caches)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    s->upkeep = upkeep_start(&s->api, &s->loops[0]);
    token_new(s->api.binding_key);
    s->api.assets = asset_server_new();
    if (!s->api.assets)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    kv_start_sweeping(s->api.kv, &s->loops[0]);
    start_http(s, files);
    st = start_listening(s, err);
    return st == STATUS_OK ? start_workers(s, err) : st;
}

enum status server_start(const struct server_options *opt, struct server **ret, struct error *err)
{
    struct server *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    s->opt = complete(opt);
    enum status st = start_parts(s, err);
    if (st != STATUS_OK) {
        server_stop(s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

/* ---- use ---- */

const char *server_url(const struct server *s)
{
    return s->url[0] ? s->url : NULL;
}

const char *server_token(const struct server *s)
{
    return s->token;
}

const char *server_binding_socket(const struct server *s)
{
    return s->binding_socket[0] ? s->binding_socket : NULL;
}

const char *server_binding_key(const struct server *s)
{
    return s->api.binding_key;
}

const char *server_run_dir(const struct server *s)
{
    return s->run_dir.path[0] ? s->run_dir.path : NULL;
}

struct loop *server_loops(struct server *s, int *ret_n)
{
    *ret_n = s->n_loops;
    return s->loops;
}

struct runtime *server_runtime(const struct server *s)
{
    return s->runtime;
}

bool server_is_new(const struct server *s)
{
    return s->is_new;
}

int server_connect_fd(struct server *s)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    (void)fcntl(ends[1], F_SETFL, O_NONBLOCK); /* cannot fail on a fresh socket */
    http_server_adopt(s->http, ends[1]);
    return ends[0];
}

struct asset_server *server_assets(struct server *s)
{
    return s->api.assets;
}

/* ---- stop ---- */

void server_stop(struct server *s)
{
    char path[4096];

    if (!s)
        return;
    if (s->announced) {
        snprintf(path, sizeof(path), "%s/server.json", s->opt.data_dir);
        (void)unlink(path); /* a stale one is recognised by its pid */
    }
    if (s->api.transfers)
        transfers_cancel_all(s->api.transfers);
    workers_stop(s->api.workers);
    runtime_drain(s->runtime, DRAIN_MS); /* its requests still use the bindings */
    if (s->http)
        http_server_drain(s->http, DRAIN_MS);
    workers_drain(s->api.workers);
    upkeep_stop(s->upkeep);
    kv_stop_sweeping(s->api.kv);
    transfers_drain(s->api.transfers);
    if (s->api.store)
        store_drain(s->api.store);
    if (s->loops)
        loops_stop(s->loops, s->n_loops);
    runtime_close(s->runtime);
    workers_close(s->api.workers);
    asset_server_free(s->api.assets);
    if (s->api.store)
        store_collect(s->api.store);
    upkeep_finish(s->upkeep);
    metrics_close(s->api.metrics);
    transfers_close(s->api.transfers);
    tokens_close(s->api.tokens);
    kv_close(s->api.kv);
    free(s->api.token_caches);
    store_close(s->api.store);
    http_server_free(s->http);
    run_dir_remove(&s->run_dir);
    free(s);
}
