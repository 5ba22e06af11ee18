/* worker_delete.c - `dione delete`: a Worker and all its versions and secrets. */
#include "cli/print.h"
#include "cli/remote_worker.h"

#include <stdio.h>

struct delete_options {
    struct worker_options worker;
    bool dry_run, force, yes;
};

#define FIELD(name) offsetof(struct delete_options, name)

static const struct option_row options[] = {
    { "dry-run", 0, OPT_FLAG, FIELD(dry_run), NULL, "only say what would be deleted", 0, 0 },
    { "force", 0, OPT_FLAG, FIELD(force), NULL, "do not ask, also when other Workers depend on it", 0, 0 },
    { "yes", 'y', OPT_FLAG, FIELD(yes), NULL, "do not ask", 0, 0 },
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

static enum status confirm(const struct session *s, const struct remote_worker *w, bool *ret, struct error *err)
{
    print_note("About to delete the Worker '%s' with its versions and secrets (%s).\nThis cannot be undone.", w->name,
               api_place(s->api));
    return ask("Ok to proceed?", true, ret, err); /* where nobody can be asked it goes on, as wrangler does */
}

static enum status check_exists(struct session *s, const struct remote_worker *w, struct error *err)
{
    struct api_answer answer = { 0 };
    enum status st = remote_worker_call(s, w, "GET", "/deployments", SLICE_NONE, &answer, err);

    api_answer_release(&answer);
    return st;
}

static enum status remove_worker(struct session *s, const struct remote_worker *w, bool force, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf path = { 0 };

    buf_append_cstr(&path, API_ACCOUNT "/workers/services/");
    api_append_encoded(&path, slice_cstr(w->name));
    buf_printf(&path, "?force=%s", force ? "true" : "false");
    enum status st = api_call(s->api, "DELETE", path.ptr, SLICE_NONE, &answer, err);
    buf_release(&path);
    api_answer_release(&answer);
    return st;
}

static void print_deleted(const struct remote_worker *w, const struct delete_options *o)
{
    struct buf text = { 0 };

    if (!o->worker.common.json) {
        printf(o->dry_run ? "The Worker '%s' would be deleted.\n" : "Deleted the Worker '%s'.\n", w->name);
        return;
    }
    buf_append_cstr(&text, "{\"name\":");
    json_write_cstr(&text, w->name);
    buf_printf(&text, ",\"deleted\":%s}", o->dry_run ? "false" : "true");
    print_json(buf_slice(&text));
    buf_release(&text);
}

static enum status run(struct invocation *in, struct error *err)
{
    struct delete_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    bool ok = o->yes || o->force || o->dry_run;

    enum status st = remote_worker_open(&o->worker, in->args[0], &s, &w, err);
    if (st == STATUS_OK)
        st = check_exists(&s, &w, err);
    if (st == STATUS_OK && !ok)
        st = confirm(&s, &w, &ok, err);
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "not deleted (-y deletes without asking)");
    if (st == STATUS_OK && !o->dry_run)
        st = remove_worker(&s, &w, o->force, err);
    if (st == STATUS_OK)
        print_deleted(&w, o);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

const struct command worker_delete_command = {
    .name = "delete",
    .summary = "Delete a deployed Worker",
    .args = "[NAME]",
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct delete_options),
    .run = run,
    .notes = "Databases and KV namespaces stay. Without a terminal nothing is asked: only n or no on standard input\n"
             "stops it.",
};
