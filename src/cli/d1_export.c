/*
 * d1_export.c - `dione d1 export`: the database as SQL text, or as the SQLite file it is.
 *
 * The server makes exports from a snapshot and blocks nobody, so unlike wrangler there is nothing to confirm.
 * The file appears under its name only when it is complete.
 */
#include "cli/d1.h"
#include "cli/files.h"
#include "cli/print.h"
#include "cli/session.h"

#include <stdlib.h>

struct export_options {
    struct common common;
    const char *output, *format;
    struct option_list tables;
    bool no_schema, no_data, yes;
};

#define FIELD(name) offsetof(struct export_options, name)

static const struct option_row options[] = {
    { "output", 0, OPT_TEXT, FIELD(output), "FILE", "where to write it; - for standard output", 0, 0 },
    { "format", 0, OPT_TEXT, FIELD(format), "FORMAT", "sql (default), or sqlite: a database file", 0, 0 },
    { "table", 0, OPT_LIST, FIELD(tables), "NAME", "only this table; may be repeated", 0, 0 },
    { "no-schema", 0, OPT_FLAG, FIELD(no_schema), NULL, "only the rows", 0, 0 },
    { "no-data", 0, OPT_FLAG, FIELD(no_data), NULL, "only the schema", 0, 0 },
    { "skip-confirmation", 'y', OPT_FLAG, FIELD(yes), NULL, "as in wrangler; there is nothing to ask here", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

/* ---- SQL: polling, then a signed URL ---- */

static void append_request(struct buf *body, const struct export_options *o, struct slice bookmark)
{
    buf_printf(body, "{\"output_format\":\"polling\",\"dump_options\":{\"no_schema\":%s,\"no_data\":%s,\"tables\":[",
               o->no_schema ? "true" : "false", o->no_data ? "true" : "false");
    for (size_t i = 0; i < o->tables.n; i++) {
        buf_append_cstr(body, i ? "," : "");
        json_write_cstr(body, o->tables.items[i]);
    }
    buf_append_cstr(body, "]}");
    if (bookmark.ptr) {
        buf_append_cstr(body, ",\"current_bookmark\":");
        json_write_text(body, bookmark);
    }
    buf_append_char(body, '}');
}

static enum status poll_once(struct session *s, const char *path, const struct export_options *o,
                             struct api_answer *answer, struct error *err)
{
    struct buf body = { 0 };

    append_request(&body, o, json_get_text(answer->result, "at_bookmark"));
    enum status st = api_call(s->api, "POST", path, buf_slice(&body), answer, err);
    buf_release(&body);
    return st;
}

static void show_messages(struct progress *progress, const struct json *status)
{
    const struct json *messages = json_get(status, "messages");

    for (const struct json *m = json_is(messages, JSON_ARRAY) ? messages->child : NULL; m; m = m->next)
        progress_text(progress, m->text);
}

/* Until the dump is there; *ret_url is the caller's to free. The server holds each answer for a moment. */
static enum status wait_for_dump(struct session *s, const char *path, const struct export_options *o,
                                 struct progress *progress, char **ret_url, struct error *err)
{
    struct api_answer answer = { 0 };
    enum status st = STATUS_OK;

    while (st == STATUS_OK && !*ret_url) {
        st = poll_once(s, path, o, &answer, err);
        if (st != STATUS_OK)
            break;
        struct slice state = json_get_text(answer.result, "status");
        struct slice url = json_get_text(json_get(answer.result, "result"), "signed_url");
        show_messages(progress, answer.result);
        if (!json_is(json_get(answer.result, "success"), JSON_TRUE) || slice_eq(state, SLICE_LIT("error"))) {
            struct slice why = json_get_text(answer.result, "error");
            st = error_set(err, STATUS_SQL, 0, "%.*s", SLICE_FMT(why.len ? why : SLICE_LIT("the export failed")));
        } else if (slice_eq(state, SLICE_LIT("complete"))) {
            *ret_url = url.ptr ? strndup(url.ptr, url.len) : NULL;
            if (!*ret_url)
                st = error_set(err, STATUS_INTERNAL, 0, "the server sent no address for the export");
        }
    }
    api_answer_release(&answer);
    return st;
}

static enum status export_sql(struct session *s, const struct database *d, const struct export_options *o, FILE *out,
                              struct progress *progress, struct error *err)
{
    char *path = database_path(d, "/export"), *url = NULL;

    progress_start(progress, "Exporting");
    enum status st = wait_for_dump(s, path, o, progress, &url, err);
    progress_start(progress, "Downloading");
    if (st == STATUS_OK)
        st = api_download(s->api, url, out, progress, err);
    free(url);
    free(path);
    return st;
}

static enum status export_sqlite(struct session *s, const struct database *d, FILE *out, struct progress *progress,
                                 struct error *err)
{
    char *path = database_path(d, "/export/sqlite");

    progress_start(progress, "Downloading");
    enum status st = api_download(s->api, path, out, progress, err);
    free(path);
    return st;
}

/* ---- where it goes ---- */

static bool is_sqlite(const struct export_options *o)
{
    return o->format && strcmp(o->format, "sqlite") == 0;
}

static enum status write_to(struct session *s, const struct database *d, const struct export_options *o, FILE *out,
                            struct error *err)
{
    struct progress progress = { 0 };
    enum status st = is_sqlite(o) ? export_sqlite(s, d, out, &progress, err) : export_sql(s, d, o, out, &progress, err);

    progress_end(&progress);
    return st;
}

static void print_exported(const struct database *d, const struct export_options *o, uint64_t size)
{
    struct buf text = { 0 };

    if (!o->common.json) {
        print_note("Exported '%.*s' to %s.", SLICE_FMT(d->name), o->output);
        return;
    }
    buf_append_cstr(&text, "{\"database\":");
    json_write_text(&text, d->name);
    buf_append_cstr(&text, ",\"file\":");
    json_write_cstr(&text, o->output);
    buf_append_cstr(&text, ",\"size_bytes\":");
    json_write_u64(&text, size);
    buf_append_char(&text, '}');
    print_json(buf_slice(&text));
    buf_release(&text);
}

static enum status write_file(struct session *s, const struct database *d, const struct export_options *o,
                              struct error *err)
{
    struct new_file file;

    enum status st = new_file_open(o->output, &file, err);
    if (st != STATUS_OK)
        return st;
    st = write_to(s, d, o, file.stream, err);
    off_t size = st == STATUS_OK ? ftello(file.stream) : 0;
    if (st == STATUS_OK)
        st = new_file_commit(&file, err);
    new_file_release(&file);
    if (st == STATUS_OK)
        print_exported(d, o, size > 0 ? (uint64_t)size : 0); /* a pipe has no position */
    return st;
}

static enum status check(const struct export_options *o, struct error *err)
{
    if (!o->output)
        return error_set(err, STATUS_INVALID, 0, "say where to write it: --output FILE");
    if (o->format && !is_sqlite(o) && strcmp(o->format, "sql") != 0)
        return error_set(err, STATUS_INVALID, 0, "--format is sql or sqlite, not '%s'", o->format);
    if (o->no_schema && o->no_data)
        return error_set(err, STATUS_INVALID, 0, "with --no-schema and --no-data nothing is left to export");
    if (o->common.json && strcmp(o->output, "-") == 0)
        return error_set(err, STATUS_INVALID, 0, "--json and --output - would mix two things on standard output");
    if (is_sqlite(o) && (o->tables.n || o->no_schema || o->no_data))
        return error_set(err, STATUS_INVALID, 0,
                         "--format sqlite is the whole database; --table, --no-schema and "
                         "--no-data are for --format sql");
    return STATUS_OK;
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct export_options *o = in->options;
    struct session s = { 0 };
    struct database d = { 0 };

    enum status st = check(o, err);
    if (st == STATUS_OK)
        st = session_open(&o->common, false, in->args[0], &s, err);
    if (st == STATUS_OK)
        st = database_find(&s, in->args[0], &d, err);
    if (st == STATUS_OK)
        st = strcmp(o->output, "-") == 0 ? write_to(&s, &d, o, stdout, err) : write_file(&s, &d, o, err);
    database_release(&d);
    session_close(&s);
    return st;
}

const struct command d1_export_command = {
    .name = "export",
    .summary = "Write a database to a file",
    .args = "NAME --output FILE",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct export_options),
    .run = run,
};
