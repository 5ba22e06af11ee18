/* d1_delete.c - `dione d1 delete`. */
#include "cli/d1.h"
#include "cli/print.h"
#include "cli/session.h"

#include <stdio.h>

struct delete_options {
    struct common common;
    bool yes;
};

#define FIELD(name) offsetof(struct delete_options, name)

static const struct option_row options[] = {
    { "skip-confirmation", 'y', OPT_FLAG, FIELD(yes), NULL, "do not ask", 0, 0 },
    { "yes", 0, OPT_FLAG, FIELD(yes), NULL, "the same", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static enum status confirm(const struct session *s, const struct database *d, bool *ret, struct error *err)
{
    print_note("About to delete database '%.*s' (%.*s, %s).\nThis cannot be undone.", SLICE_FMT(d->name),
               SLICE_FMT(d->id), api_place(s->api));
    return ask("Ok to proceed?", true, ret, err); /* where nobody can be asked it goes on, as wrangler does */
}

static void print_deleted(const struct database *d)
{
    struct buf text = { 0 };

    buf_append_cstr(&text, "{\"uuid\":");
    json_write_text(&text, d->id);
    buf_append_cstr(&text, ",\"name\":");
    json_write_text(&text, d->name);
    buf_append_cstr(&text, "}");
    print_json(buf_slice(&text));
    buf_release(&text);
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct delete_options *o = in->options;
    struct session s = { 0 };
    struct database d = { 0 };
    struct api_answer answer = { 0 };
    bool ok = o->yes;

    enum status st = session_open(&o->common, false, NULL, &s, err);
    if (st == STATUS_OK)
        st = database_find(&s, in->args[0], &d, err);
    if (st == STATUS_OK && !ok)
        st = confirm(&s, &d, &ok, err);
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "not deleted (-y deletes without asking)");
    if (st == STATUS_OK)
        st = api_call(s.api, "DELETE", d.path, SLICE_NONE, &answer, err);
    if (st == STATUS_OK && o->common.json)
        print_deleted(&d);
    else if (st == STATUS_OK)
        printf("Deleted '%s' successfully.\n", in->args[0]);
    api_answer_release(&answer);
    database_release(&d);
    session_close(&s);
    return st;
}

const struct command d1_delete_command = {
    .name = "delete",
    .summary = "Delete a database and all its data",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct delete_options),
    .run = run,
    .notes = "Without a terminal nothing is asked: only n or no on standard input stops it.",
};
