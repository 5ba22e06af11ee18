/*
 * dev.c - `dione dev`: runs a Worker project on workerd while it is being written.
 *
 * Here it is set up and taken down; dev_loop.c is what happens in between.
 *
 * The databases are those of the data directory, as for `dione d1 execute --local`: by the server in this process, which
 * other commands find while it runs, or by the one that has the directory already.
 */
#include "cli/dev.h"

#include "cli/dev_loop.h"
#include "control/run_dir.h"
#include "control/server.h"
#include "workers/assets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PORT = 8787, ADDRESS_MAX = 300 };
/* Somebody sits before it, who will not wait long: for a start, or for what an older version has begun. */
enum { GRACE_MS = 2000, LINGER_MS = 1000, DRAIN_MS = 1000, START_MS = 15000 };

struct dev_options {
    struct common common;
    struct project_options project;
    const char *port, *ip;
    bool test_scheduled;
};

#define FIELD(name) offsetof(struct dev_options, name)

/* clang-format off */
static const struct option_row options[] = {
    { "port", 0, OPT_TEXT, FIELD(port), "N", "where it is served (default 8787; 0: any free port)", 0, 0 },
    { "ip", 0, OPT_TEXT, FIELD(ip), "ADDRESS", "the address to listen on (default 127.0.0.1)", 0, 0 },
    { "name", 0, OPT_TEXT, FIELD(project.name), "NAME", "of the Worker", 0, 0 },
    { "compatibility-date", 0, OPT_TEXT, FIELD(project.compatibility_date), "DATE", "instead of the configuration's", 0, 0 },
    { "compatibility-flags", 0, OPT_LIST, FIELD(project.compatibility_flags), "FLAG", "instead of the configuration's", 0, 0 },
    { "compatibility-flag", 0, OPT_LIST, FIELD(project.compatibility_flags), "FLAG", "the same", 0, 0 },
    { "var", 0, OPT_LIST, FIELD(project.vars), "NAME:VALUE", "a variable of `env`; may be given more than once", 0, 0 },
    { "define", 0, OPT_LIST, FIELD(project.define), "NAME:CODE", "text to replace in the code", 0, 0 },
    { "alias", 0, OPT_LIST, FIELD(project.alias), "NAME:OTHER", "a module to import instead of another", 0, 0 },
    { "assets", 0, OPT_TEXT, FIELD(project.assets), "DIR", "a folder of static assets", 0, 0 },
    { "tsconfig", 0, OPT_TEXT, FIELD(project.tsconfig), "FILE", "instead of tsconfig.json", 0, 0 },
    { "minify", 0, OPT_FLAG, FIELD(project.minify), NULL, "make the bundle small", 0, 0 },
    { "no-bundle", 0, OPT_FLAG, FIELD(project.no_bundle), NULL, "run the files as they are", 0, 0 },
    { "env-file", 0, OPT_LIST, FIELD(project.env_files), "FILE", "secrets, instead of .dev.vars", 0, 0 },
    { "test-scheduled", 0, OPT_FLAG, FIELD(test_scheduled), NULL, "accepted for wrangler's sake: /__scheduled is always there", 0, 0 },
    { "persist-to", 0, OPT_TEXT, COMMON_FIELD(data), "DIR", "wrangler's name for --data", 0, 0 },
    OPTIONS_COMMON,
    { 0 },
};
/* clang-format on */

struct dev {
    const struct dev_options *opt;
    struct session session;
    struct run_dir run_dir;
    struct server *helper; /* when another process has the data */
    char helper_data[RUN_DIR_MAX + 8];
    struct server *server; /* the session's, or the helper */
    struct runtime *runtime;
    const char *newest_date; /* that workerd knows */
    char name[64], listen[ADDRESS_MAX], address[ADDRESS_MAX];
    struct dev_print print;
};

/* ---- what it stands on ---- */

/* "http://HOST:PORT" without the scheme: plain HTTP is all that workerd is told to speak to a server. */
static enum status server_address(const char *url, char ret[ADDRESS_MAX], struct error *err)
{
    static const char scheme[] = "http://";
    size_t n = sizeof(scheme) - 1;

    if (strncasecmp(url, scheme, n) != 0)
        return error_set(err, STATUS_NOTIMPL, 0,
                         "bindings reach a server over plain HTTP only, not at %s; a TLS tunnel on this machine helps",
                         url);
    struct slice rest = slice_cstr(url + n), host = slice_cut(&rest, '/');
    bool has_port = host.len && memchr(host.ptr, ':', host.len) && host.ptr[host.len - 1] != ']';
    snprintf(ret, ADDRESS_MAX, "%.*s%s", SLICE_FMT(host), has_port ? "" : ":80");
    return STATUS_OK;
}

/*
 * The data is with another process: the databases and namespaces are reached there, and what else the runtime asks of a
 * server (its sockets, static assets) is done by one of our own that has nothing but an empty directory.
 */
static enum status choose_elsewhere(struct dev *d, struct runtime_options *opt, struct error *err)
{
    const struct server_options helper = { .data_dir = d->helper_data, .listen = "127.0.0.1:0" };

    snprintf(d->helper_data, sizeof(d->helper_data), "%s/data", d->run_dir.path);
    opt->remote_address = d->address;
    opt->remote_token = api_token(d->session.api);
    enum status st = server_address(api_url(d->session.api), d->address, err);
    return st == STATUS_OK ? server_start(&helper, &d->helper, err) : st;
}

static enum status choose_bindings(struct dev *d, struct runtime_options *opt, struct error *err)
{
    d->server = api_server(d->session.api);
    if (!d->server) {
        enum status st = choose_elsewhere(d, opt, err);
        if (st != STATUS_OK)
            return st;
        d->server = d->helper;
    }
    opt->loops = server_loops(d->server, &opt->n_loops);
    opt->binding_socket = server_binding_socket(d->server);
    opt->binding_key = server_binding_key(d->server);
    if (opt->binding_socket)
        return STATUS_OK;
    return error_set(err, STATUS_IO, 0, "there is no socket for the Worker's bindings");
}

/* --port, else dev.port of the configuration, else wrangler's. */
static enum status choose_port(const struct dev *d, uint64_t *ret, struct error *err)
{
    const struct json *configured = json_get(config_get(&d->session.config, "dev"), "port");

    *ret = DEFAULT_PORT;
    if (d->opt->port && !slice_to_u64(slice_cstr(d->opt->port), 65535, ret))
        return error_set(err, STATUS_INVALID, 0, "--port takes a number from 0 to 65535, not '%s'", d->opt->port);
    if (!d->opt->port && configured && !slice_to_u64(configured->text, 65535, ret))
        return error_set(err, STATUS_INVALID, 0, "%s: 'dev.port' must be a number from 0 to 65535",
                         d->session.config.path);
    return STATUS_OK;
}

static enum status choose_listen(struct dev *d, struct error *err)
{
    struct slice ip = d->opt->ip ? slice_cstr(d->opt->ip) : json_get_text(config_get(&d->session.config, "dev"), "ip");
    uint64_t port;
    enum status st = choose_port(d, &port, err);

    if (st != STATUS_OK)
        return st;
    if (!ip.len || slice_eq(ip, SLICE_LIT("localhost")))
        ip = SLICE_LIT("127.0.0.1");
    else if (slice_eq(ip, SLICE_LIT("*")))
        ip = SLICE_LIT("0.0.0.0");
    bool bare_v6 = memchr(ip.ptr, ':', ip.len) && ip.ptr[0] != '[';
    snprintf(d->listen, sizeof(d->listen), "%s%.*s%s:%d", bare_v6 ? "[" : "", SLICE_FMT(ip), bare_v6 ? "]" : "",
             (int)port);
    return STATUS_OK;
}

/* The name stays what it was at the start: requests reach the Worker by it. */
static void choose_name(struct dev *d)
{
    struct slice name = d->opt->project.name ? slice_cstr(d->opt->project.name)
                                             : config_worker_name(&d->session.config);

    snprintf(d->name, sizeof(d->name), "%.*s", SLICE_FMT(name.len ? name : SLICE_LIT("worker")));
}

static enum asset_choice choose_asset(void *arg, const struct asset_question *q)
{
    const struct dev *d = arg;

    return asset_server_choose(server_assets(d->server), q);
}

static void on_access(void *arg, const struct runtime_access *access)
{
    struct dev *d = arg;

    dev_print_access(&d->print, access);
}

static void on_output(void *arg, struct slice worker, bool is_error, struct slice line)
{
    struct dev *d = arg;

    dev_print_output(&d->print, worker, is_error, line);
}

static enum status open_runtime(struct dev *d, struct error *err)
{
    struct error absent = { 0 };
    struct runtime_options opt = {
        .run_dir = d->run_dir.path,
        .listen = d->listen,
        .listen_option = "--port",
        .start_timeout_ms = START_MS,
        .linger_ms = LINGER_MS,
        .drain_ms = DRAIN_MS,
        .always_tail = true,
        .allow_private = true, /* a Worker under development talks to other servers of this machine */
        .only_worker = d->name,
        .test_scheduled = true,
        .arg = d,
        .choose_asset = choose_asset,
        .on_access = on_access,
        .on_output = on_output,
    };
    enum status st = choose_bindings(d, &opt, err);

    if (st == STATUS_OK)
        st = runtime_open(&opt, &d->runtime, err);
    if (st != STATUS_OK)
        return st;
    d->newest_date = runtime_workerd_version(d->runtime, &absent);
    return d->newest_date ? STATUS_OK : error_set(err, STATUS_NOTFOUND, 0, "%s", absent.msg);
}

/* Bindings with ids are taken at their word, so a wrong token would show at the first request only. */
static enum status check_remote(struct dev *d, struct error *err)
{
    struct api_answer answer = { 0 };
    enum status st = api_call(d->session.api, "GET", "/user/tokens/verify", SLICE_NONE, &answer, err);

    api_answer_release(&answer);
    return st == STATUS_OK ? st : error_prefix(err, "%s", api_place(d->session.api));
}

static enum status dev_open(struct dev *d, struct error *err)
{
    enum status st = session_open_serving(&d->opt->common, &d->session, err);

    if (st == STATUS_OK && d->session.remote)
        st = check_remote(d, err);
    if (st == STATUS_OK)
        st = choose_listen(d, err);
    if (st == STATUS_OK)
        st = run_dir_make(&d->run_dir, err);
    if (st != STATUS_OK)
        return st;
    choose_name(d);
    return open_runtime(d, err);
}

/* Also of what dev_open left half done. */
static void dev_close(struct dev *d)
{
    if (d->runtime)
        runtime_drain(d->runtime, GRACE_MS);
    session_close(&d->session);
    server_stop(d->helper);
    runtime_close(d->runtime);
    run_dir_remove(&d->run_dir);
    dev_print_release(&d->print);
}

static enum status keep_running(struct dev *d, const struct project *p, struct error *err)
{
    const struct dev_loop_options opt = {
        .project = &d->opt->project,
        .common = &d->opt->common,
        .session = &d->session,
        .runtime = d->runtime,
        .assets = server_assets(d->server),
        .print = &d->print,
        .name = d->name,
        .root = d->run_dir.path,
        .newest_date = d->newest_date,
    };

    return dev_loop_run(&opt, p, err);
}

static enum status run(struct invocation *in, struct error *err)
{
    struct dev_options *opt = in->options;
    struct dev d = { .opt = opt };
    struct project p = { 0 };

    opt->project.config = opt->common.config;
    opt->project.env = opt->common.env;
    opt->project.main = in->args[0];
    dev_print_init(&d.print);
    /* What is wrong with the project itself is told before anything is started. */
    enum status st = project_load(&opt->project, &p, err);
    if (st == STATUS_OK)
        st = dev_open(&d, err);
    if (st == STATUS_OK)
        st = keep_running(&d, &p, err);
    dev_close(&d);
    project_release(&p);
    return st;
}

const struct command dev_command = {
    .name = "dev",
    .summary = "Run a Worker project on this machine, and again after each change",
    .args = "[SCRIPT]",
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct dev_options),
    .run = run,
    .notes = "Reads wrangler.jsonc, wrangler.json or wrangler.toml in this folder, bundles with esbuild and serves on\n"
             "workerd. D1 databases and KV namespaces are those that `dione d1` and `dione kv` use here with --local;\n"
             "with --remote they are a server's. Secrets come from .dev.vars or .env. Crons wait to be run by hand:\n"
             "GET /cdn-cgi/handler/scheduled?cron=... (or /__scheduled?cron=...). Ctrl-C ends it.",
};
