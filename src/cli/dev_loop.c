/*
 * dev_loop.c - see dev_loop.h.
 *
 * The main thread runs a loop of its own that waits for signals and for changes of the project's files. A change makes a
 * new edition there (some ten milliseconds for esbuild); starting it blocks until workerd answers, so that runs on a
 * thread of libuv's pool. What cannot be built or does not start is reported, and the edition before goes on serving.
 */
#include "cli/dev_loop.h"

#include "base/clock.h"
#include "cli/dev_assets.h"
#include "cli/folders.h"
#include "cli/interrupt.h"
#include "cli/migrations.h"
#include "cli/print.h"
#include "cli/source_map.h"
#include "cli/watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { QUIET_MS = 40, RETRY_MS = 1000 };
/* The time of a file is that of the last tick of the kernel's clock. */
enum { CLOCK_TICK_MS = 10 };

struct dev_loop {
    const struct dev_loop_options *opt;
    uv_loop_t uv;
    uv_signal_t on_int, on_term;
    uv_timer_t retry;
    struct watch *watch;         /* of all that makes an edition */
    struct watch *watch_sources; /* of what build.command works on */
    struct watch *watch_assets;
    struct runtime_tail *tail;

    struct edition *active, *next; /* next: being started by `work` */
    struct asset_site *next_site;  /* of `next`: served once that runs */
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

/* ---- saying things ---- */

static void print_bindings(const struct edition *e)
{
    for (size_t i = 0; i < e->n_bound; i++)
        dev_say("  %s", e->bound[i]);
}

/* As it goes into a query. */
static void print_cron(const char *url, struct slice cron)
{
    char encoded[256];
    size_t n = cron.len < sizeof(encoded) ? cron.len : sizeof(encoded) - 1;

    for (size_t i = 0; i < n; i++)
        encoded[i] = cron.ptr[i] == ' ' ? '+' : cron.ptr[i];
    dev_say("  cron %.*s: waits for curl '%s/cdn-cgi/handler/scheduled?cron=%.*s'", SLICE_FMT(cron), url, (int)n,
            encoded);
}

static void greet(struct dev_loop *d)
{
    const struct edition *e = d->active;

    dev_say("%s runs with the data of %s", d->opt->name, api_place(d->opt->session->api));
    print_bindings(e);
    for (size_t i = 0; i < e->project.n_crons; i++)
        print_cron(runtime_url(d->opt->runtime), e->project.crons[i]);
    dev_say("Ready on %s", runtime_url(d->opt->runtime));
    d->greeted = true;
}

/* Once, not for each time it was tried. `b`: the bundle that did not start; NULL: there is none. */
static void say_failure(struct dev_loop *d, const struct buf *messages, const struct error *err, const struct bundle *b)
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
static void say_messages(struct dev_loop *d, struct buf *messages)
{
    if (!slice_eq(buf_slice(messages), buf_slice(&d->last_messages)))
        dev_complain(buf_slice(messages), NULL);
    buf_release(&d->last_messages);
    d->last_messages = buf_take(messages);
}

/* ---- migrations ---- */

static void append_option(struct buf *out, const char *name, const char *value)
{
    if (value)
        buf_printf(out, " --%s %s", name, value);
}

/* The command as it is typed here: about the same data. */
static void append_apply_command(const struct dev_loop *d, const char *binding, struct buf *out)
{
    const struct common *c = d->opt->common;

    buf_printf(out, "`dione d1 migrations apply %s", binding);
    append_option(out, "env", d->opt->session->config.env);
    append_option(out, "config", c->config);
    append_option(out, "data", c->data);
    append_option(out, "url", c->url);
    buf_append_cstr(out, d->opt->session->remote && !c->url ? " --remote`" : "`");
}

static void append_pending(struct dev_loop *d, struct slice binding, struct buf *out)
{
    struct error err = { 0 };
    char name[256];
    size_t n = 0;

    snprintf(name, sizeof(name), "%.*s", SLICE_FMT(binding));
    if (migrations_count_pending(d->opt->session, name, &n, &err) != STATUS_OK)
        buf_printf(out, "env.%s: cannot tell whether migrations are pending: %s\n", name, err.msg);
    if (!n)
        return;
    buf_printf(out, "env.%s: %zu migration%s pending; ", name, n, n == 1 ? " is" : "s are");
    append_apply_command(d, name, out);
    buf_append_cstr(out, n == 1 ? " applies it\n" : " applies them\n");
}

/* Said when it is news. */
static void look_at_migrations(struct dev_loop *d, const struct edition *e)
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
static void watch_project(struct dev_loop *d, const struct project *p, const struct bundle *b)
{
    struct folders files = { 0 }, sources = { 0 }, assets = { 0 };

    folders_add_project(&files, p);
    folders_add_build_sources(&sources, p);
    if (b)
        folders_add_inputs(&files, b);
    if (p->assets_directory.len)
        folders_add_tree(&assets, p->assets_directory);
    watch_set_or_say(d->watch, &files);
    watch_set_or_say(d->watch_sources, &sources);
    watch_set_or_say(d->watch_assets, &assets);
    folders_release(&files);
    folders_release(&sources);
    folders_release(&assets);
}

/* ---- a new edition ---- */

static void reload(struct dev_loop *d);

static void start_edition(uv_work_t *work)
{
    struct dev_loop *d = CONTAINER_OF(work, struct dev_loop, work);

    d->work_status = runtime_deploy(d->opt->runtime, &d->next->spec, &d->work_error);
    if (d->work_status == STATUS_OK)
        d->work_status = dev_assets_put(d->opt->assets, TAKE_PTR(d->next_site), &d->work_error);
}

/* Exceptions come as events, with their stacks. */
static void listen_for_events(struct dev_loop *d)
{
    struct error err = { 0 };

    if (!d->tail && runtime_tail_subscribe(d->opt->runtime, slice_cstr(d->opt->name), SLICE_NONE, dev_print_event,
                                           d->opt->print, &d->tail, &err) != STATUS_OK)
        print_note("dione: exceptions cannot be shown: %s", err.msg);
}

static void take_over(struct dev_loop *d)
{
    edition_free(d->active);
    d->active = TAKE_PTR(d->next);
    dev_print_use_map(d->opt->print, &d->active->bundle);
    buf_clear(&d->last_failure);
    listen_for_events(d);
    if (!d->greeted)
        greet(d);
    else
        dev_say("Reloaded in %d ms", (int)((clock_mono_ns() - d->begun_ns) / 1000000));
    look_at_migrations(d, d->active);
}

static void stop_when_idle(struct dev_loop *d);

static void on_started(uv_work_t *work, int status)
{
    struct dev_loop *d = CONTAINER_OF(work, struct dev_loop, work);
    const struct buf nothing = { 0 };

    (void)status; /* the work is never cancelled */
    d->working = false;
    dev_print_starting(d->opt->print, false);
    if (d->work_status == STATUS_OK) {
        take_over(d);
    } else {
        say_failure(d, &nothing, &d->work_error, &d->next->bundle);
        d->failed_digest = d->next->digest;
        edition_free(TAKE_PTR(d->next));
        asset_site_unref(TAKE_PTR(d->next_site));
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

static void start(struct dev_loop *d, struct edition *e, struct asset_site *site)
{
    watch_project(d, &e->project, &e->bundle);
    d->changed |= has_newer_input(e, d->begun_wall_ms - CLOCK_TICK_MS);
    d->next = e;
    d->next_site = site;
    d->working = true;
    d->failed_digest = 0;
    dev_print_starting(d->opt->print, true);
    if (uv_queue_work(&d->uv, &d->work, start_edition, on_started) != 0)
        abort(); /* wrong arguments only */
}

static void on_retry(uv_timer_t *timer)
{
    struct dev_loop *d = timer->data;

    if (!d->working)
        reload(d);
}

/* What would mend the build may lie where nothing is watched: a new folder, an `npm install`. */
static void retry_later(struct dev_loop *d)
{
    int64_t took_ms = (clock_mono_ns() - d->begun_ns) / 1000000;

    (void)uv_timer_start(&d->retry, on_retry, (uint64_t)(RETRY_MS + 10 * took_ms), 0); /* the timer is open */
}

static enum status make_edition(struct dev_loop *d, struct edition **ret, struct asset_site **ret_site,
                                struct buf *messages, struct error *err)
{
    bool run_command = d->command_due;
    struct edition *e = NULL;
    const struct edition_options opt = {
        .project = d->opt->project,
        .name = d->opt->name,
        .root = d->opt->root,
        .newest_date = d->opt->newest_date,
        .assets_id = SLICE_LIT(DEV_ASSETS_ID),
        .before = d->active,
        .color = dev_has_color(),
        .run_command = run_command,
    };

    d->command_due = false;
    enum status st = session_reload(d->opt->session, d->opt->common, err);

    if (st == STATUS_OK)
        st = edition_make(&opt, d->opt->session, &e, messages, err);
    if (st != STATUS_OK)
        return st;
    st = dev_assets_make(e, ret_site, err);
    if (st != STATUS_OK) {
        edition_free(e);
        return st;
    }
    *ret = e;
    return STATUS_OK;
}

/* Nothing that matters to the Worker has changed, but its assets may have. */
static void stay(struct dev_loop *d, struct edition *e, struct asset_site *site)
{
    struct error err = { 0 };

    if (dev_assets_put(d->opt->assets, site, &err) != STATUS_OK)
        print_note("dione: %s", err.msg);
    if (d->last_failure.len)
        dev_say("Mended: the version that runs is what the files say.");
    buf_clear(&d->last_failure);
    d->failed_digest = 0;
    watch_project(d, &e->project, &e->bundle);
    look_at_migrations(d, e);
    edition_free(e);
}

static void give_up(struct dev_loop *d, enum status st, const struct error *err)
{
    d->end_status = st;
    d->end_error = *err;
    d->stopping = true;
    stop_when_idle(d);
}

static void reload(struct dev_loop *d)
{
    struct buf messages = { 0 };
    struct error err = { 0 };
    struct edition *e = NULL;
    struct asset_site *site = NULL;

    d->changed = false;
    d->begun_ns = clock_mono_ns();
    d->begun_wall_ms = clock_wall_ms();
    (void)uv_timer_stop(&d->retry); /* cannot fail */
    enum status st = make_edition(d, &e, &site, &messages, &err);
    if (st != STATUS_OK && st != STATUS_INVALID && !d->greeted) {
        give_up(d, st, &err); /* no esbuild, no such namespace: nothing that an edit would mend */
    } else if (st != STATUS_OK) {
        say_failure(d, &messages, &err, NULL);
        retry_later(d);
    } else if (d->active && e->digest == d->active->digest) {
        say_messages(d, &messages);
        stay(d, e, site);
    } else if (e->digest == d->failed_digest) {
        edition_free(e);
        asset_site_unref(site);
    } else {
        say_messages(d, &messages);
        start(d, e, site);
    }
    buf_release(&messages);
}

static void on_change(void *arg)
{
    struct dev_loop *d = arg;

    d->changed = true;
    if (!d->working && !d->stopping)
        reload(d);
}

static void on_source_change(void *arg)
{
    struct dev_loop *d = arg;

    d->command_due = true;
    on_change(d);
}

/* A log that is written beside the sources, say, is none of the project's business. */
static bool matters(void *arg, const char *path)
{
    const struct dev_loop *d = arg;
    const struct edition *e = d->next ? d->next : d->active;
    struct stat info;

    if (!e || d->last_failure.len || stat(path, &info) != 0 || S_ISDIR(info.st_mode))
        return true; /* what would mend it may be anything; what is gone may have been needed */
    return edition_is_made_of(e, slice_cstr(path));
}

/* ---- signals ---- */

static void stop_when_idle(struct dev_loop *d)
{
    if (d->working)
        return;
    watch_free(TAKE_PTR(d->watch));
    watch_free(TAKE_PTR(d->watch_sources));
    watch_free(TAKE_PTR(d->watch_assets));
    uv_close((uv_handle_t *)&d->retry, NULL);
    uv_close((uv_handle_t *)&d->on_int, NULL);
    uv_close((uv_handle_t *)&d->on_term, NULL);
}

/* Ends the loop; a second signal ends the process at once. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct dev_loop *d = handle->data;

    (void)signal(number, SIG_DFL);
    if (d->stopping)
        return;
    d->stopping = true;
    dev_say(d->working ? "Stopping when the start under way is over; once more ends it at once" : "Stopping");
    stop_when_idle(d);
}

static void open_loop(struct dev_loop *d)
{
    /* These fail when the system has no descriptors left, at the very start. */
    if (uv_loop_init(&d->uv) != 0 || uv_signal_init(&d->uv, &d->on_int) != 0 ||
        uv_signal_init(&d->uv, &d->on_term) != 0 || uv_timer_init(&d->uv, &d->retry) != 0)
        abort();
    d->on_int.data = d->on_term.data = d->retry.data = d;
    if (uv_signal_start(&d->on_int, on_signal, SIGINT) != 0 || uv_signal_start(&d->on_term, on_signal, SIGTERM) != 0)
        abort();
    d->watch = watch_new(&d->uv, &(struct watch_options){ QUIET_MS, on_change, matters, d });
    d->watch_sources = watch_new(&d->uv, &(struct watch_options){ QUIET_MS, on_source_change, NULL, d });
    d->watch_assets = watch_new(&d->uv, &(struct watch_options){ QUIET_MS, on_change, NULL, d });
}

enum status dev_loop_run(const struct dev_loop_options *opt, const struct project *project, struct error *err)
{
    struct dev_loop d = { .opt = opt, .command_due = true };

    if (interrupt_requested())
        return interrupt_error(err);
    open_loop(&d);
    watch_project(&d, project, NULL);
    reload(&d);
    (void)uv_run(&d.uv, UV_RUN_DEFAULT); /* ends when everything on it is closed */
    (void)uv_loop_close(&d.uv);          /* nothing is left on it */
    runtime_tail_unsubscribe(d.tail);
    edition_free(d.next);
    asset_site_unref(d.next_site);
    edition_free(d.active);
    buf_release(&d.last_failure);
    buf_release(&d.last_messages);
    buf_release(&d.pending);
    if (d.end_status != STATUS_OK)
        *err = d.end_error;
    return d.end_status;
}
