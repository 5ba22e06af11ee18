/* d1_create.c - `dione d1 create`. */
#include "cli/d1.h"
#include "cli/print.h"
#include "cli/session.h"

#include <stdio.h>

struct create_options {
    struct common common;
    const char *location, *jurisdiction, *profile;
};

#define FIELD(name) offsetof(struct create_options, name)

static const struct option_row options[] = {
    { "profile", 0, OPT_TEXT, FIELD(profile), "PROFILE",
      "strict: D1's limits (default); wide: SQLite's, and transactions", 0, 0 },
    { "location", 0, OPT_TEXT, FIELD(location), "REGION", "weur, eeur, apac, oc, wnam or enam; only noted down", 0, 0 },
    { "jurisdiction", 0, OPT_TEXT, FIELD(jurisdiction), "NAME", "eu, fedramp or us; only noted down", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static void append_member(struct buf *body, const char *key, const char *value)
{
    if (!value)
        return;
    buf_append_cstr(body, body->len > 1 ? "," : "");
    json_write_cstr(body, key);
    buf_append_char(body, ':');
    json_write_cstr(body, value);
}

/* What goes into the configuration, as wrangler prints it. */
static void print_binding(const struct json *database)
{
    struct buf text = { 0 };

    buf_append_cstr(&text, "{\"d1_databases\":[{\"binding\":\"DB\",\"database_name\":");
    json_write_text(&text, json_get_text(database, "name"));
    buf_append_cstr(&text, ",\"database_id\":");
    json_write_text(&text, json_get_text(database, "uuid"));
    buf_append_cstr(&text, "}]}");
    print_json(buf_slice(&text));
    buf_release(&text);
}

static void print_created(const struct json *database, bool json)
{
    struct buf text = { 0 };
    struct slice region = json_get_text(database, "created_in_region");

    if (json) {
        json_write_value(&text, database);
        print_json(buf_slice(&text));
        buf_release(&text);
        return;
    }
    printf("Successfully created DB '%.*s'", SLICE_FMT(json_get_text(database, "name")));
    if (region.len)
        printf(" in region %.*s", SLICE_FMT(region));
    printf("\nFor wrangler.jsonc:\n\n");
    print_binding(database);
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct create_options *o = in->options;
    struct session s = { 0 };
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    enum status st = session_open(&o->common, true, NULL, &s, err);
    if (st != STATUS_OK)
        return st;
    buf_append_char(&body, '{');
    append_member(&body, "name", in->args[0]);
    append_member(&body, "primary_location_hint", o->location);
    append_member(&body, "jurisdiction", o->jurisdiction);
    append_member(&body, "profile", o->profile);
    buf_append_char(&body, '}');
    st = api_call(s.api, "POST", API_ACCOUNT "/d1/database", buf_slice(&body), &answer, err);
    if (st == STATUS_OK)
        print_created(answer.result, o->common.json);
    buf_release(&body);
    api_answer_release(&answer);
    session_close(&s);
    return st;
}

const struct command d1_create_command = {
    .name = "create",
    .summary = "Create a database",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct create_options),
    .run = run,
};
