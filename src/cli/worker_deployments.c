/* worker_deployments.c - `dione deployments list|status` and `dione rollback`. */
#include "cli/print.h"
#include "cli/query.h"
#include "cli/table.h"
#include "cli/remote_worker.h"

#include <stdio.h>
#include <stdlib.h>

struct rollback_options {
    struct worker_options worker;
    const char *message;
    bool yes;
};

#define FIELD(name) offsetof(struct rollback_options, name)

static const struct option_row options[] = {
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

static const struct option_row rollback_options[] = {
    { "message", 'm', OPT_TEXT, FIELD(message), "TEXT", "why", 0, 0 },
    { "yes", 'y', OPT_FLAG, FIELD(yes), NULL, "do not ask", 0, 0 },
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

/* ---- list and status ---- */

static struct slice message_of(const struct json *deployment)
{
    struct slice text = json_get_text(json_get(deployment, "annotations"), "workers/message");

    return text.len ? text : SLICE_LIT("-");
}

static void add_deployment(struct table *t, const struct json *d)
{
    const struct json *versions = json_get(d, "versions");

    for (const struct json *v = json_is(versions, JSON_ARRAY) ? versions->child : NULL; v; v = v->next) {
        table_add_text(t, json_get_text(d, "created_on"));
        table_add_text(t, json_get_text(v, "version_id"));
        table_add(t, json_get(v, "percentage"));
        table_add_text(t, json_get_text(d, "source"));
        table_add_text(t, message_of(d));
    }
}

/* `only_first`: the one that answers now. */
static void print_deployments(const struct json *list, bool only_first)
{
    static const char *const headings[] = { "created", "version id", "%", "source", "message" };
    struct table t;

    table_init(&t);
    for (size_t i = 0; i < ARRAY_LEN(headings); i++)
        table_add_column(&t, slice_cstr(headings[i]));
    for (const struct json *d = list->child; d; d = only_first ? NULL : d->next)
        add_deployment(&t, d);
    table_print(&t);
    table_release(&t);
}

static void print_value(const struct json *v)
{
    struct buf text = { 0 };

    json_write_value(&text, v);
    print_json(buf_slice(&text));
    buf_release(&text);
}

/* The list of GET deployments, newest first. */
static enum status get_deployments(struct session *s, const struct remote_worker *w, struct api_answer *answer,
                                   const struct json **ret, struct error *err)
{
    enum status st = remote_worker_call(s, w, "GET", "/deployments", SLICE_NONE, answer, err);

    *ret = st == STATUS_OK ? json_get(answer->result, "deployments") : NULL;
    if (st == STATUS_OK && !json_is(*ret, JSON_ARRAY))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no list of deployments");
    return st;
}

static enum status show(struct invocation *in, bool only_first, struct error *err)
{
    struct worker_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    struct api_answer answer = { 0 };
    const struct json *list = NULL;

    enum status st = remote_worker_open(o, NULL, &s, &w, err);
    if (st == STATUS_OK)
        st = get_deployments(&s, &w, &answer, &list, err);
    if (st == STATUS_OK && only_first && !list->child)
        st = error_set(err, STATUS_NOTFOUND, 0, "the Worker '%s' has no deployment", w.name);
    if (st == STATUS_OK && o->common.json)
        print_value(only_first ? list->child : list);
    else if (st == STATUS_OK)
        print_deployments(list, only_first);
    api_answer_release(&answer);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

static enum status run_list(struct invocation *in, struct error *err)
{
    return show(in, false, err);
}

static enum status run_status(struct invocation *in, struct error *err)
{
    return show(in, true, err);
}

/* ---- rollback ---- */

/* The newest deployment but the last whose one version is not the one that runs now. */
static struct slice previous_version(const struct json *list, struct slice now)
{
    for (const struct json *d = list->child ? list->child->next : NULL; d; d = d->next) {
        const struct json *versions = json_get(d, "versions");
        struct slice id = json_is(versions, JSON_ARRAY) ? json_get_text(versions->child, "version_id") : SLICE_NONE;
        if (id.len && versions->n == 1 && !slice_eq(id, now))
            return id;
    }
    return SLICE_NONE;
}

static enum status choose_version(struct session *s, const struct remote_worker *w, const char *wanted, char **ret,
                                  struct error *err)
{
    struct api_answer answer = { 0 };
    const struct json *list = NULL;
    struct slice id = slice_cstr(wanted ? wanted : "");

    enum status st = wanted ? STATUS_OK : get_deployments(s, w, &answer, &list, err);
    if (st == STATUS_OK && !wanted)
        id = previous_version(list, remote_worker_active_version(&answer));
    if (st == STATUS_OK && !id.len)
        st = error_set(err, STATUS_NOTFOUND, 0,
                       "the Worker '%s' has had no other version; `dione versions list` shows what is kept", w->name);
    if (st == STATUS_OK) {
        *ret = strndup(id.ptr, id.len);
        if (!*ret)
            abort();
    }
    api_answer_release(&answer);
    return st;
}

static enum status confirm(const struct session *s, const struct remote_worker *w, const char *version, bool *ret,
                           struct error *err)
{
    print_note("About to roll the Worker '%s' (%s) back to version %s. Databases and KV namespaces stay as they are.",
               w->name, api_place(s->api), version);
    return ask("Ok to proceed?", true, ret, err);
}

static void print_rolled_back(const struct remote_worker *w, const char *version, bool json)
{
    struct buf text = { 0 };

    if (!json) {
        printf("The Worker '%s' runs version %s now.\n", w->name, version);
        return;
    }
    buf_append_cstr(&text, "{\"version_id\":");
    json_write_cstr(&text, version);
    buf_append_char(&text, '}');
    print_json(buf_slice(&text));
    buf_release(&text);
}

static enum status run_rollback(struct invocation *in, struct error *err)
{
    struct rollback_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    char *version = NULL;
    bool ok = o->yes;

    enum status st = remote_worker_open(&o->worker, NULL, &s, &w, err);
    if (st == STATUS_OK)
        st = choose_version(&s, &w, in->args[0], &version, err);
    if (st == STATUS_OK && !ok)
        st = confirm(&s, &w, version, &ok, err);
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "nothing was rolled back");
    if (st == STATUS_OK)
        st = remote_worker_activate(&s, &w, slice_cstr(version), o->message ? o->message : "Rollback", "rollback", err);
    if (st == STATUS_OK)
        print_rolled_back(&w, version, o->worker.common.json);
    free(version);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

static const struct command list_command = {
    .name = "list",
    .summary = "List the last deployments, newest first",
    .options = options,
    .options_size = sizeof(struct worker_options),
    .run = run_list,
};

static const struct command status_command = {
    .name = "status",
    .summary = "Show what is deployed now",
    .options = options,
    .options_size = sizeof(struct worker_options),
    .run = run_status,
};

static const struct command *const commands[] = { &list_command, &status_command, NULL };

const struct command deployments_command = {
    .name = "deployments",
    .summary = "Show what was and is deployed of a Worker",
    .subcommands = commands,
};

const struct command rollback_command = {
    .name = "rollback",
    .summary = "Deploy an earlier version of a Worker again",
    .args = "[VERSION-ID]",
    .max_args = 1,
    .options = rollback_options,
    .options_size = sizeof(struct rollback_options),
    .run = run_rollback,
    .notes =
        "Without VERSION-ID: the version that was deployed before. Without a terminal nothing is asked: only n or\n"
        "no on standard input stops it.",
};
