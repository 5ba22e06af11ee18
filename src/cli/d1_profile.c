/* d1_profile.c - `dione d1 profile`: which limits a database has. */
#include "cli/d1.h"
#include "cli/query.h"

#include <stdio.h>

static const struct option_row options[] = {
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static enum status set_profile(struct session *s, const struct database *d, const char *profile, bool json,
                               struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    buf_append_cstr(&body, "{\"profile\":");
    json_write_cstr(&body, profile);
    buf_append_char(&body, '}');
    enum status st = api_call(s->api, "PATCH", d->path, buf_slice(&body), &answer, err);
    if (st == STATUS_OK && json)
        query_print_json(&answer);
    else if (st == STATUS_OK)
        printf("'%.*s' has the %s profile now.\n", SLICE_FMT(d->name), profile);
    api_answer_release(&answer);
    buf_release(&body);
    return st;
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct common *common = in->options;
    struct session s = { 0 };
    struct database d = { 0 };

    if (strcmp(in->args[1], "strict") != 0 && strcmp(in->args[1], "wide") != 0)
        return error_set(err, STATUS_INVALID, 0, "a profile is strict or wide, not '%s'", in->args[1]);
    enum status st = session_open(common, false, in->args[0], &s, err);
    if (st == STATUS_OK)
        st = database_find(&s, in->args[0], &d, err);
    if (st == STATUS_OK)
        st = set_profile(&s, &d, in->args[1], common->json, err);
    database_release(&d);
    session_close(&s);
    return st;
}

const struct command d1_profile_command = {
    .name = "profile",
    .summary = "Choose between D1's limits (strict) and SQLite's (wide)",
    .args = "NAME strict|wide",
    .min_args = 2,
    .max_args = 2,
    .options = options,
    .options_size = sizeof(struct common),
    .run = run,
    .notes = "strict: what works here works on D1, and the other way round.\n"
             "wide: 32,766 parameters, large statements and rows, interactive transactions.",
};
