/*
 * deploy.c - `dione deploy` and `dione versions upload`: a project's Worker to a server, by the API that wrangler uses.
 *
 * The project is read, bundled and checked before anything is sent. deploy is one upload that stores a version and
 * switches to it, then the triggers (address, routes, crons); versions upload stops after the version.
 */
#include "cli/deploy_assets.h"
#include "cli/deploy_bindings.h"
#include "cli/deploy_internal.h"
#include "cli/files.h"
#include "cli/print.h"
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIELD(name) offsetof(struct deploy_options, name)
#define PROJECT(name) offsetof(struct deploy_options, project.name)

/* clang-format off */
#define OPTIONS_UPLOAD \
    { "tag", 0, OPT_TEXT, FIELD(tag), "TEXT", "a tag for this version", 0, 0 }, \
    { "message", 'm', OPT_TEXT, FIELD(message), "TEXT", "what this version is", 0, 0 }, \
    { "no-bundle", 0, OPT_FLAG, PROJECT(no_bundle), NULL, "upload the files as they are", 0, 0 }, \
    { "outdir", 0, OPT_TEXT, FIELD(outdir), "DIR", "keep what is uploaded in this folder", 0, 0 }, \
    { "compatibility-date", 0, OPT_TEXT, PROJECT(compatibility_date), "DATE", "instead of the configuration's", 0, 0 }, \
    { "compatibility-flags", 0, OPT_LIST, PROJECT(compatibility_flags), "FLAG", "instead of its flags; may be repeated", 0, 0 }, \
    { "compatibility-flag", 0, OPT_LIST, PROJECT(compatibility_flags), "FLAG", "the same", 0, 0 }, \
    { "latest", 0, OPT_FLAG, FIELD(latest), NULL, "today as the compatibility date", 0, 0 }, \
    { "assets", 0, OPT_TEXT, PROJECT(assets), "DIR", "a folder of static assets", 0, 0 }, \
    { "var", 0, OPT_LIST, PROJECT(vars), "NAME:VALUE", "a variable; may be repeated", 0, 0 }, \
    { "define", 0, OPT_LIST, PROJECT(define), "NAME:VALUE", "replaced in the code; may be repeated", 0, 0 }, \
    { "alias", 0, OPT_LIST, PROJECT(alias), "NAME:NAME", "one module for another; may be repeated", 0, 0 }, \
    { "tsconfig", 0, OPT_TEXT, PROJECT(tsconfig), "FILE", "instead of the nearest tsconfig.json", 0, 0 }, \
    { "minify", 0, OPT_FLAG, PROJECT(minify), NULL, "make the code small", 0, 0 }, \
    { "dry-run", 0, OPT_FLAG, FIELD(dry_run), NULL, "bundle and check, send nothing", 0, 0 }, \
    { "secrets-file", 0, OPT_TEXT, FIELD(secrets_file), "FILE", "secrets to store as well: JSON, or KEY=VALUE lines", 0, 0 }, \
    { "keep-vars", 0, OPT_FLAG, FIELD(keep_vars), NULL, "keep deployed variables that are not named", 0, 0 }, \
    { "upload-source-maps", 0, OPT_FLAG, FIELD(ignored), NULL, "as in wrangler; not used here", 0, 0 }, \
    { "strict", 0, OPT_FLAG, FIELD(ignored), NULL, "as in wrangler; not used here", 0, 0 }
/* clang-format on */

static const struct option_row deploy_rows[] = {
    OPTIONS_UPLOAD,
    { "triggers", 0, OPT_LIST, FIELD(triggers), "CRON", "instead of the configuration's; may be repeated", 0, 0 },
    { "schedule", 0, OPT_LIST, FIELD(triggers), "CRON", "the same", 0, 0 },
    { "schedules", 0, OPT_LIST, FIELD(triggers), "CRON", "the same", 0, 0 },
    { "route", 0, OPT_LIST, FIELD(routes), "PATTERN", "instead of the configuration's; may be repeated", 0, 0 },
    { "routes", 0, OPT_LIST, FIELD(routes), "PATTERN", "the same", 0, 0 },
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

static const struct option_row upload_rows[] = {
    OPTIONS_UPLOAD,
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

/* ---- the project ---- */

/* The argument is a script, or a folder of static assets. */
static void take_path(struct project_options *o, const char *path)
{
    if (path && folder_exists(path))
        o->assets = path;
    else if (path)
        o->main = path;
}

static enum status check_date(const struct project *p, const char *today, struct error *err)
{
    if (p->compatibility_date.len || !p->main.len)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, 0,
                     "a deployed Worker needs a compatibility date: put \"compatibility_date\": \"%s\" into the "
                     "configuration, or pass --compatibility-date %s",
                     today, today);
}

static enum status load_project(struct deploy *d, struct deploy_options *o, struct error *err)
{
    clock_iso(clock_wall_ms(), o->today);
    o->today[strlen("2026-01-31")] = '\0';
    o->project.config = o->worker.common.config;
    o->project.env = o->worker.common.env;
    o->project.name = o->worker.name;
    if (o->latest)
        o->project.compatibility_date = o->today;
    enum status st = project_load(&o->project, &d->project, err);
    if (st == STATUS_OK && !d->project.name.len)
        st = error_set(err, STATUS_INVALID, 0,
                       "the Worker has no name: say --name NAME, or put it into the configuration");
    if (st == STATUS_OK)
        st = check_date(&d->project, o->today, err);
    if (st == STATUS_OK)
        st = deploy_check_bindings(&d->project, err);
    if (st == STATUS_OK && d->project.assets_directory.len)
        st = asset_folder_read(d->project.assets_directory.ptr, ASSET_MAX_BYTES, &d->assets, err);
    return st;
}

/* ---- the bundle ---- */

static enum status make_folder(struct deploy *d, struct error *err)
{
    const char *outdir = d->options->outdir;

    if (!outdir)
        return folder_make_temporary("dione-deploy", &d->folder, err);
    enum status st = folder_make(outdir, 0777, err);
    if (st == STATUS_OK) {
        d->folder = realpath(outdir, NULL);
        if (!d->folder)
            abort();
    }
    return st;
}

static enum status build(struct deploy *d, struct error *err)
{
    struct buf messages = { 0 };
    enum status st = bundle_run_command(&d->project, err);

    if (st == STATUS_OK)
        st = make_folder(d, err);
    if (st != STATUS_OK)
        return st;
    const struct bundle_options options = { .folder = d->folder, .color = isatty(STDERR_FILENO) };
    st = bundle_build(&d->project, &options, &d->bundle, &messages, err);
    if (messages.len)
        print_note("%s", messages.ptr);
    buf_release(&messages);
    return st;
}

static void describe(struct deploy *d)
{
    char size[SIZE_TEXT_MAX];

    size_text(d->bundle.size_bytes, size);
    print_note("%.*s: %zu module%s (%s)%s", SLICE_FMT(d->project.name), d->bundle.n_modules,
               d->bundle.n_modules == 1 ? "" : "s", size, d->project.n_bindings ? ", bindings:" : "");
    deploy_print_bindings(&d->project);
}

/* ---- what came of it ---- */

static void print_targets(struct deploy *d, struct slice url)
{
    const struct option_list *routes = &d->options->routes, *crons = &d->options->triggers;

    if (url.len)
        printf("  %.*s\n", SLICE_FMT(url));
    for (size_t i = 0; i < (routes->n ? routes->n : d->project.n_routes); i++)
        printf("  %.*s\n", SLICE_FMT(routes->n ? slice_cstr(routes->items[i]) : d->project.routes[i].pattern));
    for (size_t i = 0; i < (crons->n ? crons->n : d->project.n_crons); i++)
        printf("  cron: %.*s\n", SLICE_FMT(crons->n ? slice_cstr(crons->items[i]) : d->project.crons[i]));
}

/* Where it answers under its own name: the server knows; absent when it does not. */
static void get_url(struct deploy *d, struct buf *ret)
{
    struct api_answer answer = { 0 };
    struct buf path = { 0 };
    struct error ignored;

    buf_append_cstr(&path, API_ACCOUNT "/workers/workers/");
    api_append_encoded(&path, slice_cstr(d->worker.name));
    if (api_call(d->session.api, "GET", path.ptr, SLICE_NONE, &answer, &ignored) == STATUS_OK) {
        const struct json *subdomain = json_get(answer.result, "subdomain");
        if (json_is(json_get(subdomain, "enabled"), JSON_TRUE))
            buf_append_slice(ret, json_get_text(subdomain, "url"));
    }
    buf_release(&path);
    api_answer_release(&answer);
}

/* Of a PUT it is in "deployment_id", without its dashes. */
static void append_version_id(const struct json *result, struct buf *ret)
{
    struct slice bare = json_get_text(result, "deployment_id");

    if (bare.len != 32) {
        buf_append_slice(ret, json_get_text(result, "id"));
        return;
    }
    for (size_t i = 0; i < bare.len; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            buf_append_char(ret, '-');
        buf_append_char(ret, bare.ptr[i]);
    }
}

static void print_result_json(const struct deploy *d, struct slice version, struct slice url)
{
    struct buf text = { 0 };

    buf_append_cstr(&text, "{\"name\":");
    json_write_cstr(&text, d->worker.name);
    buf_append_cstr(&text, ",\"version_id\":");
    json_write_text(&text, version);
    buf_append_cstr(&text, ",\"url\":");
    if (url.len)
        json_write_text(&text, url);
    else
        buf_append_cstr(&text, "null");
    buf_append_char(&text, '}');
    print_json(buf_slice(&text));
    buf_release(&text);
}

static void print_result(struct deploy *d, bool activate)
{
    struct buf version = { 0 }, url = { 0 };

    append_version_id(d->version.result, &version);
    if (activate)
        get_url(d, &url);
    if (d->options->worker.common.json) {
        print_result_json(d, buf_slice(&version), buf_slice(&url));
    } else {
        printf("%s %s\n", activate ? "Deployed" : "Uploaded", d->worker.name);
        if (activate)
            print_targets(d, buf_slice(&url));
        printf("Version ID: %.*s\n", SLICE_FMT(buf_slice(&version)));
    }
    buf_release(&version);
    buf_release(&url);
}

/* ---- the commands ---- */

static void deploy_release(struct deploy *d)
{
    api_answer_release(&d->version);
    free(d->assets_jwt);
    bundle_release(&d->bundle);
    asset_folder_release(&d->assets);
    if (d->folder && !d->options->outdir)
        folder_remove(d->folder);
    free(d->folder);
    remote_worker_release(&d->worker);
    session_close(&d->session);
    project_release(&d->project);
}

static enum status upload(struct deploy *d, struct worker_options *o, bool activate, struct error *err)
{
    char *name = strndup(d->project.name.ptr, d->project.name.len);

    if (!name)
        abort();
    enum status st = remote_worker_open(o, name, &d->session, &d->worker, err);
    free(name);
    if (st == STATUS_OK && d->project.assets_directory.len)
        st = deploy_upload_assets(&d->session, &d->worker, &d->assets, &d->assets_jwt, err);
    if (st == STATUS_OK)
        st = deploy_send(d, activate, err);
    if (st == STATUS_OK && activate)
        st = deploy_set_triggers(d, err);
    if (st == STATUS_OK)
        print_result(d, activate);
    return st;
}

static enum status run(struct invocation *in, bool activate, struct error *err)
{
    struct deploy_options *o = in->options;
    struct deploy d = { .options = o };

    take_path(&o->project, in->args[0]);
    enum status st = load_project(&d, o, err);
    if (st == STATUS_OK)
        st = build(&d, err);
    if (st == STATUS_OK)
        describe(&d);
    if (st == STATUS_OK && o->dry_run)
        print_note("Nothing was sent: this was a dry run.");
    else if (st == STATUS_OK)
        st = upload(&d, &o->worker, activate, err);
    deploy_release(&d);
    return st;
}

static enum status run_deploy(struct invocation *in, struct error *err)
{
    return run(in, true, err);
}

static enum status run_upload(struct invocation *in, struct error *err)
{
    return run(in, false, err);
}

const struct command deploy_command = {
    .name = "deploy",
    .summary = "Bundle a Worker and deploy it to a server",
    .args = "[PATH]",
    .max_args = 1,
    .options = deploy_rows,
    .options_size = sizeof(struct deploy_options),
    .run = run_deploy,
    .notes = "PATH is the Worker's script, or a folder of static assets; without it the configuration says what there\n"
             "is. Databases and KV namespaces that have no id in it are found by name, or made.",
};

const struct command versions_upload_command = {
    .name = "upload",
    .summary = "Upload a new version without deploying it",
    .args = "[PATH]",
    .max_args = 1,
    .options = upload_rows,
    .options_size = sizeof(struct deploy_options),
    .run = run_upload,
    .notes = "`dione rollback VERSION-ID` deploys it.",
};
