/* token.c - `dione token create|list|revoke`. */
#include "cli/token.h"

#include "base/clock.h"
#include "cli/print.h"
#include "cli/query.h"

#include <stdio.h>

#define TOKENS_PATH API_ACCOUNT "/dione/tokens"

struct token_options {
    struct common common;
    const char *name, *database, *expires;
    bool read_only;
};

#define FIELD(name) offsetof(struct token_options, name)

static const struct option_row create_options[] = {
    { "name", 0, OPT_TEXT, FIELD(name), "NAME", "what it is for; shown by `dione token list`", 0, 0 },
    { "read-only", 0, OPT_FLAG, FIELD(read_only), NULL, "may not change anything", 0, 0 },
    { "database", 0, OPT_TEXT, FIELD(database), "NAME", "good for this database only", 0, 0 },
    { "expires", 0, OPT_TEXT, FIELD(expires), "WHEN", "30d, 12h, 15m, or a date: 2027-01-31, 2027-01-31T12:00Z", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static const struct option_row plain_options[] = {
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

/* "30d": so long from now; else a date. */
static bool read_expiry(struct slice text, int64_t now_ms, int64_t *ret_ms)
{
    static const char letters[] = "smhdwy";
    static const int64_t seconds[] = { 1, 60, 3600, 86400, 7 * 86400, 365 * 86400 };
    const char *unit = text.len > 1 && text.ptr[text.len - 1] ? strchr(letters, text.ptr[text.len - 1]) : NULL;
    uint64_t n;

    if (unit && slice_to_u64(slice_of(text.ptr, text.len - 1), 1000000, &n)) {
        *ret_ms = now_ms + (int64_t)n * seconds[unit - letters] * 1000;
        return true;
    }
    return clock_parse_iso(text, ret_ms);
}

/* Writes `,"expires_at":"..."`, or nothing when the option was not given. */
static enum status append_expiry(struct buf *body, const char *expires, struct error *err)
{
    /* Years of five digits would not fit the text form. */
    const int64_t last_ms = 253402300799999;
    int64_t now = clock_wall_ms(), at = 0;
    char iso[CLOCK_ISO_LEN + 1];

    if (!expires)
        return STATUS_OK;
    if (!read_expiry(slice_cstr(expires), now, &at))
        return error_set(err, STATUS_INVALID, 0, "--expires takes 30d, 12h, 15m or a date, not '%s'", expires);
    if (at <= now || at > last_ms)
        return error_set(err, STATUS_INVALID, 0, "--expires %s is %s", expires,
                         at <= now ? "in the past" : "too far away");
    clock_iso(at, iso);
    buf_printf(body, ",\"expires_at\":\"%s\"", iso);
    return STATUS_OK;
}

static void print_token(const struct json *token, bool json)
{
    struct buf text = { 0 };
    struct slice expires = json_get_text(token, "expires_at"), database = json_get_text(token, "database");

    if (json) {
        json_write_value(&text, token);
        print_json(buf_slice(&text));
        buf_release(&text);
        return;
    }
    printf("%.*s\n", SLICE_FMT(json_get_text(token, "token")));
    print_note("Token '%.*s' (id %.*s) may %.*s%s%.*s%s%.*s. It is shown this once; Dione keeps only its hash.",
               SLICE_FMT(json_get_text(token, "name")), SLICE_FMT(json_get_text(token, "id")),
               SLICE_FMT(json_get_text(token, "scope")), database.len ? " database " : " everything",
               SLICE_FMT(database), expires.len ? " until " : "", SLICE_FMT(expires));
}

static enum status post_token(struct session *s, const struct token_options *o, struct slice database,
                              struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    buf_append_cstr(&body, "{\"name\":");
    json_write_cstr(&body, o->name);
    buf_printf(&body, ",\"scope\":\"%s\"", o->read_only ? "read" : "write");
    if (database.len) {
        buf_append_cstr(&body, ",\"database\":");
        json_write_text(&body, database);
    }
    enum status st = append_expiry(&body, o->expires, err);
    buf_append_char(&body, '}');
    if (st == STATUS_OK)
        st = api_call(s->api, "POST", TOKENS_PATH, buf_slice(&body), &answer, err);
    if (st == STATUS_OK)
        print_token(answer.result, o->common.json);
    api_answer_release(&answer);
    buf_release(&body);
    return st;
}

static enum status run_create(struct invocation *in, struct error *err)
{
    const struct token_options *o = in->options;
    struct session s = { 0 };
    struct database d = { 0 };

    if (!o->name)
        return error_set(err, STATUS_INVALID, 0, "say what the token is for: --name NAME");
    enum status st = session_open(&o->common, true, NULL, &s, err);
    if (st == STATUS_OK && o->database)
        st = database_find(&s, o->database, &d, err);
    if (st == STATUS_OK)
        st = post_token(&s, o, d.id, err);
    database_release(&d);
    session_close(&s);
    return st;
}

static enum status run_list(struct invocation *in, struct error *err)
{
    const struct common *common = in->options;
    struct session s = { 0 };
    struct api_answer answer = { 0 };

    enum status st = session_open(common, false, NULL, &s, err);
    if (st == STATUS_OK)
        st = api_call(s.api, "GET", TOKENS_PATH, SLICE_NONE, &answer, err);
    if (st == STATUS_OK && !json_is(answer.result, JSON_ARRAY))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no list of tokens");
    if (st == STATUS_OK && common->json)
        query_print_json(&answer);
    else if (st == STATUS_OK && answer.result->n == 0)
        print_note("There are no tokens.");
    else if (st == STATUS_OK)
        print_objects(answer.result);
    api_answer_release(&answer);
    session_close(&s);
    return st;
}

static enum status run_revoke(struct invocation *in, struct error *err)
{
    const struct common *common = in->options;
    struct session s = { 0 };
    struct api_answer answer = { 0 };
    struct buf path = { 0 };

    enum status st = session_open(common, false, NULL, &s, err);
    if (st != STATUS_OK)
        return st;
    buf_append_cstr(&path, TOKENS_PATH "/");
    api_append_encoded(&path, slice_cstr(in->args[0]));
    st = api_call(s.api, "DELETE", path.ptr, SLICE_NONE, &answer, err);
    if (st == STATUS_OK && common->json)
        query_print_json(&answer);
    else if (st == STATUS_OK)
        printf("Token %s is revoked.\n", in->args[0]);
    buf_release(&path);
    api_answer_release(&answer);
    session_close(&s);
    return st;
}

static const struct command create_command = {
    .name = "create",
    .summary = "Create a token",
    .args = "--name NAME",
    .options = create_options,
    .options_size = sizeof(struct token_options),
    .run = run_create,
    .notes = "Without --read-only and --database it may do everything. The token is the only line on standard\n"
             "output, so `TOKEN=$(dione token create --name ci)` works.",
};

static const struct command list_command = {
    .name = "list",
    .summary = "List all tokens, without their secrets",
    .options = plain_options,
    .options_size = sizeof(struct common),
    .run = run_list,
};

static const struct command revoke_command = {
    .name = "revoke",
    .summary = "Revoke a token; it stops working at once",
    .args = "ID",
    .min_args = 1,
    .max_args = 1,
    .options = plain_options,
    .options_size = sizeof(struct common),
    .run = run_revoke,
};

static const struct command *const commands[] = { &create_command, &list_command, &revoke_command, NULL };

const struct command token_command = {
    .name = "token",
    .summary = "Work with API tokens",
    .subcommands = commands,
};
