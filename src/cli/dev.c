/*
 * dev.c - `dione dev`: runs a Worker project on workerd while it is being written.
 *
 * The main thread runs a loop of its own that waits for signals and for changes of the project's files. A change makes a
 * new edition there (some ten milliseconds for esbuild); starting it blocks until workerd answers, so that runs on a
 * thread of libuv's pool. What cannot be built or does not start is reported, and the edition before goes on serving.
 *
 * The databases are those of the data directory, as for `dione d1 execute --local`: by the server in this process, which
 * other commands find while it runs, or by the one that has the directory already.
 */
#include "cli/dev.h"

#include "base/clock.h"
#include "cli/dev_print.h"
#include "cli/edition.h"
#include "cli/folders.h"
#include "cli/interrupt.h"
#include "cli/migrations.h"
#include "cli/print.h"
#include "cli/source_map.h"
#include "cli/watch.h"
#include "control/run_dir.h"
#include "control/server.h"
#include "workers/runtime.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DEFAULT_PORT = 8787,
    QUIET_MS = 40,
    RETRY_MS = 1000,
    GRACE_MS = 2000,
    LINGER_MS = 1000,
    DRAIN_MS = 1000,

    ADDRESS_MAX = 300
};

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
    struct runtime *runtime;
    struct runtime_tail *tail;
    const char *newest_date; /* that workerd knows */
    char name[64], listen[ADDRESS_MAX], address[ADDRESS_MAX];
    struct dev_print print;

    uv_loop_t loop;
    uv_signal_t on_int, on_term;
    uv_timer_t retry;
    struct watch *watch;         /* of all that makes an edition */
    struct watch *watch_sources; /* of what build.command works on */

    struct edition *active, *next; /* next: being started by `work` */
    uv_work_t work;
    bool working, changed, stopping, greeted;
    bool command_due; /* build.command is to run before the next bundle */
    enum status work_status;
    struct error work_error;
    enum status end_status; /* why it ends before anything ran; OK: it was told to */
    struct error end_error;
    int64_t begun_ns; /* when the change under way was seen */
    int64_t begun_wall_ms;
    struct buf last_failure; /* said once, however often it is tried again */
    struct buf last_messages;
    uint64_t failed_digest; /* of the edition that last did not start; 0: none */
    struct buf pending;     /* what was last said of migrations */
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
    struct server *server = api_server(d->session.api);

    if (!server) {
        enum status st = choose_elsewhere(d, opt, err);
        if (st != STATUS_OK)
            return st;
        server = d->helper;
    }
    opt->loops = server_loops(server, &opt->n_loops);
    opt->binding_socket = server_binding_socket(server);
    opt->binding_token = server_binding_token(server);
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

static enum status open_runtime(struct dev *d, struct error *err)
{
    struct error absent = { 0 };
    struct runtime_options opt = {
        .run_dir = d->run_dir.path,
        .listen = d->listen,
        .listen_option = "--port",
        .linger_ms = LINGER_MS,
        .drain_ms = DRAIN_MS,
        .always_tail = true,
        .allow_private = true, /* a Worker under development talks to other servers of this machine */
        .only_worker = d->name,
        .test_scheduled = true,
        .arg = &d->print,
        .on_access = dev_print_access,
        .on_output = dev_print_output,
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
    runtime_tail_unsubscribe(d->tail);
    if (d->runtime)
        runtime_drain(d->runtime, GRACE_MS);
    session_close(&d->session);
    server_stop(d->helper);
    runtime_close(d->runtime);
    edition_free(d->next);
    edition_free(d->active);
    run_dir_remove(&d->run_dir);
    buf_release(&d->last_failure);
    buf_release(&d->last_messages);
    buf_release(&d->pending);
    dev_print_release(&d->print);
}

/* ---- saying things ---- */

static void print_bindings(const struct edition *e)
{
    for (size_t i = 0; i < e->n_bound; i++)
        dev_say("  %s", e->bound[i]);
}

static void greet(struct dev *d)
{
    const struct edition *e = d->active;

    dev_say("%s runs with the data of %s", d->name, api_place(d->session.api));
    print_bindings(e);
    for (size_t i = 0; i < e->project.n_crons; i++)
        dev_say("  cron %.*s: run it by GET %s/cdn-cgi/handler/scheduled?cron=...", SLICE_FMT(e->project.crons[i]),
                runtime_url(d->runtime));
    dev_say("Ready on %s", runtime_url(d->runtime));
    d->greeted = true;
}

/* Once, not for each time it was tried. `b`: the bundle that did not start; NULL: there is none. */
static void say_failure(struct dev *d, const struct buf *messages, const struct error *err, const struct bundle *b)
{
    struct source_map *map = b && b->source_map.len ? source_map_read(b->source_map.ptr) : NULL;
    struct slice said = buf_slice(&d->last_messages), news = buf_slice(messages);
    struct buf text = { 0 };

    if (said.len && slice_starts(news, said))
        news = slice_from(news, said.len);
    buf_append_slice(&text, news);
    buf_printf(&text, "dione: %s\n", err->msg);
    if (!slice_eq(buf_slice(&text), buf_slice(&d->last_failure))) {
        dev_complain(buf_slice(&text), map);
        dev_say(d->active ? "The version before goes on; waiting for a change." : "Waiting for a change.");
    }
    source_map_free(map);
    buf_release(&d->last_failure);
    d->last_failure = text;
}

/* Warnings of the build, when they are news. */
static void say_messages(struct dev *d, struct buf *messages)
{
    if (!slice_eq(buf_slice(messages), buf_slice(&d->last_messages)))
        dev_complain(buf_slice(messages), NULL);
    buf_release(&d->last_messages);
    d->last_messages = buf_take(messages);
}

/* ---- migrations ---- */

static void append_pending(struct dev *d, struct slice binding, struct buf *out)
{
    struct error err = { 0 };
    char name[256];
    size_t n = 0;

    snprintf(name, sizeof(name), "%.*s", SLICE_FMT(binding));
    if (migrations_count_pending(&d->session, name, &n, &err) != STATUS_OK)
        buf_printf(out, "env.%s: cannot tell whether migrations are pending: %s\n", name, err.msg);
    else if (n)
        buf_printf(out, "env.%s: %zu migration%s pending; `dione d1 migrations apply %s%s%s%s` applies %s\n", name, n,
                   n == 1 ? " is" : "s are", name, d->session.config.env ? " --env " : "",
                   d->session.config.env ? d->session.config.env : "", d->session.remote ? " --remote" : "",
                   n == 1 ? "it" : "them");
}

/* Said when it is news. */
static void look_at_migrations(struct dev *d, const struct edition *e)
{
    struct buf pending = { 0 };

    for (size_t i = 0; i < e->project.n_bindings; i++)
        if (e->project.bindings[i].kind == PROJECT_D1)
            append_pending(d, e->project.bindings[i].name, &pending);
    if (!slice_eq(buf_slice(&pending), buf_slice(&d->pending)))
        dev_complain(buf_slice(&pending), NULL);
    buf_release(&d->pending);
    d->pending = pending;
}

/* ---- what is watched ---- */

static void watch_set_or_say(struct watch *w, const struct folders *f)
{
    struct error err = { 0 };

    if (watch_set(w, f->items, f->n, &err) != STATUS_OK)
        print_note("dione: %s", err.msg);
}

/* `b`: NULL before there is a bundle. */
static void watch_project(struct dev *d, const struct project *p, const struct bundle *b)
{
    struct folders files = { 0 }, sources = { 0 };

    folders_add_project(&files, p);
    folders_add_build_sources(&sources, p);
    if (b)
        folders_add_inputs(&files, b);
    watch_set_or_say(d->watch, &files);
    watch_set_or_say(d->watch_sources, &sources);
    folders_release(&files);
    folders_release(&sources);
}

/* ---- a new edition ---- */

static void reload(struct dev *d);

static void start_edition(uv_work_t *work)
{
    struct dev *d = CONTAINER_OF(work, struct dev, work);

    d->work_status = runtime_deploy(d->runtime, &d->next->spec, &d->work_error);
}

/* Exceptions come as events, with their stacks. */
static void listen_for_events(struct dev *d)
{
    struct error err = { 0 };

    if (!d->tail && runtime_tail_subscribe(d->runtime, slice_cstr(d->name), SLICE_NONE, dev_print_event, &d->print,
                                           &d->tail, &err) != STATUS_OK)
        print_note("dione: exceptions cannot be shown: %s", err.msg);
}

static void take_over(struct dev *d)
{
    edition_free(d->active);
    d->active = TAKE_PTR(d->next);
    dev_print_use_map(&d->print, &d->active->bundle);
    buf_clear(&d->last_failure);
    listen_for_events(d);
    if (!d->greeted)
        greet(d);
    else
        dev_say("Reloaded in %d ms", (int)((clock_mono_ns() - d->begun_ns) / 1000000));
    look_at_migrations(d, d->active);
}

static void stop_when_idle(struct dev *d);

static void on_started(uv_work_t *work, int status)
{
    struct dev *d = CONTAINER_OF(work, struct dev, work);
    const struct buf nothing = { 0 };

    (void)status; /* the work is never cancelled */
    d->working = false;
    dev_print_starting(&d->print, false);
    if (d->work_status == STATUS_OK) {
        take_over(d);
    } else {
        say_failure(d, &nothing, &d->work_error, &d->next->bundle);
        d->failed_digest = d->next->digest;
        edition_free(TAKE_PTR(d->next));
    }
    if (d->stopping)
        stop_when_idle(d);
    else if (d->changed)
        reload(d);
}

/* Files that changed while they were bundled, before their folder was watched perhaps. */
static bool has_newer_input(const struct edition *e, int64_t since_ms)
{
    for (size_t i = 0; i < e->bundle.n_inputs; i++) {
        struct stat info;
        if (stat(e->bundle.inputs[i].ptr, &info) != 0 ||
            info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000 > since_ms)
            return true;
    }
    return false;
}

static void start(struct dev *d, struct edition *e)
{
    watch_project(d, &e->project, &e->bundle);
    d->changed |= has_newer_input(e, d->begun_wall_ms);
    d->next = e;
    d->working = true;
    d->failed_digest = 0;
    dev_print_starting(&d->print, true);
    if (uv_queue_work(&d->loop, &d->work, start_edition, on_started) != 0)
        abort(); /* wrong arguments only */
}

static void on_retry(uv_timer_t *timer)
{
    struct dev *d = timer->data;

    if (!d->working)
        reload(d);
}

/* What would mend the build may lie where nothing is watched: a new folder, an `npm install`. */
static void retry_later(struct dev *d)
{
    int64_t took_ms = (clock_mono_ns() - d->begun_ns) / 1000000;

    (void)uv_timer_start(&d->retry, on_retry, (uint64_t)(RETRY_MS + 10 * took_ms), 0); /* the timer is open */
}

static enum status make_edition(struct dev *d, struct edition **ret, struct buf *messages, struct error *err)
{
    bool run_command = d->command_due;
    const struct edition_options opt = {
        .project = &d->opt->project,
        .name = d->name,
        .root = d->run_dir.path,
        .newest_date = d->newest_date,
        .color = dev_has_color(),
        .run_command = run_command,
    };

    d->command_due = false;
    enum status st = session_reload(&d->session, &d->opt->common, err);

    return st == STATUS_OK ? edition_make(&opt, &d->session, ret, messages, err) : st;
}

/* Nothing that matters to the Worker has changed. */
static void stay(struct dev *d, struct edition *e)
{
    if (d->last_failure.len)
        dev_say("Mended: the version that runs is what the files say.");
    buf_clear(&d->last_failure);
    d->failed_digest = 0;
    watch_project(d, &e->project, &e->bundle);
    look_at_migrations(d, e);
    edition_free(e);
}

static void give_up(struct dev *d, enum status st, const struct error *err)
{
    d->end_status = st;
    d->end_error = *err;
    d->stopping = true;
    stop_when_idle(d);
}

static void reload(struct dev *d)
{
    struct buf messages = { 0 };
    struct error err = { 0 };
    struct edition *e = NULL;

    d->changed = false;
    d->begun_ns = clock_mono_ns();
    d->begun_wall_ms = clock_wall_ms();
    (void)uv_timer_stop(&d->retry); /* cannot fail */
    enum status st = make_edition(d, &e, &messages, &err);
    if (st != STATUS_OK && st != STATUS_INVALID && !d->greeted) {
        give_up(d, st, &err); /* no esbuild, no such namespace: nothing that an edit would mend */
    } else if (st != STATUS_OK) {
        say_failure(d, &messages, &err, NULL);
        retry_later(d);
    } else if (d->active && e->digest == d->active->digest) {
        say_messages(d, &messages);
        stay(d, e);
    } else if (e->digest == d->failed_digest) {
        edition_free(e);
    } else {
        say_messages(d, &messages);
        start(d, e);
    }
    buf_release(&messages);
}

static void on_change(void *arg)
{
    struct dev *d = arg;

    d->changed = true;
    if (!d->working && !d->stopping)
        reload(d);
}

static void on_source_change(void *arg)
{
    struct dev *d = arg;

    d->command_due = true;
    on_change(d);
}

/* ---- signals ---- */

static void stop_when_idle(struct dev *d)
{
    if (d->working)
        return;
    watch_free(TAKE_PTR(d->watch));
    watch_free(TAKE_PTR(d->watch_sources));
    uv_close((uv_handle_t *)&d->retry, NULL);
    uv_close((uv_handle_t *)&d->on_int, NULL);
    uv_close((uv_handle_t *)&d->on_term, NULL);
}

/* Ends the loop; a second signal ends the process at once. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct dev *d = handle->data;

    (void)signal(number, SIG_DFL);
    if (d->stopping)
        return;
    d->stopping = true;
    dev_say("Stopping");
    stop_when_idle(d);
}

static void open_loop(struct dev *d)
{
    /* These fail when the system has no descriptors left, at the very start. */
    if (uv_loop_init(&d->loop) != 0 || uv_signal_init(&d->loop, &d->on_int) != 0 ||
        uv_signal_init(&d->loop, &d->on_term) != 0 || uv_timer_init(&d->loop, &d->retry) != 0)
        abort();
    d->on_int.data = d->on_term.data = d->retry.data = d;
    if (uv_signal_start(&d->on_int, on_signal, SIGINT) != 0 || uv_signal_start(&d->on_term, on_signal, SIGTERM) != 0)
        abort();
    d->watch = watch_new(&d->loop, QUIET_MS, on_change, d);
    d->watch_sources = watch_new(&d->loop, QUIET_MS, on_source_change, d);
}

static enum status run(struct invocation *in, struct error *err)
{
    struct dev_options *opt = in->options;
    struct dev d = { .opt = opt, .command_due = true };
    struct project p = { 0 };

    opt->project.config = opt->common.config;
    opt->project.env = opt->common.env;
    opt->project.main = in->args[0];
    dev_print_init(&d.print);
    /* What is wrong with the project itself is told before anything is started. */
    enum status st = project_load(&opt->project, &p, err);
    if (st == STATUS_OK)
        st = dev_open(&d, err);
    if (st == STATUS_OK) {
        open_loop(&d);
        watch_project(&d, &p, NULL);
        reload(&d);
        (void)uv_run(&d.loop, UV_RUN_DEFAULT); /* ends when everything on it is closed */
        (void)uv_loop_close(&d.loop);          /* nothing is left on it */
        st = d.end_status;
        *err = d.end_error;
    }
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
