/* d1_execute.c - `dione d1 execute`: a statement, several, or a file of them. */
#include "cli/d1.h"
#include "cli/import.h"
#include "cli/print.h"
#include "cli/query.h"

#include <stdio.h>
#include <string.h>

struct execute_options {
    struct common common;
    const char *command, *file;
    bool yes;
};

#define FIELD(name) offsetof(struct execute_options, name)

static const struct option_row options[] = {
    { "command", 0, OPT_TEXT, FIELD(command), "SQL", "statements, separated by ';'; all take effect or none", 0, 0 },
    { "file", 0, OPT_TEXT, FIELD(file), "FILE",
      "SQL of any size, - for standard input; all or nothing. A SQLite file replaces the whole content", 0, 0 },
    { "yes", 'y', OPT_FLAG, FIELD(yes), NULL, "do not ask before a SQLite file replaces the content", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static enum status run_command(struct session *s, const struct database *d, const struct execute_options *o,
                               struct error *err)
{
    struct api_answer answer = { 0 };
    enum query_form form = o->common.json ? QUERY_OBJECTS : QUERY_ARRAYS;

    enum status st = query_send(s, d, form, slice_cstr(o->command), SLICE_NONE, &answer, err);
    if (st != STATUS_OK)
        query_name_failed(s, slice_cstr(o->command), err);
    if (st == STATUS_OK && o->common.json) {
        query_print_json(&answer);
    } else if (st == STATUS_OK) {
        query_print_tables(&answer);
        query_print_summary(&answer);
    }
    api_answer_release(&answer);
    return st;
}

/* The array that wrangler makes up for a file: one result whose only row is the totals. */
static void print_totals_json(const struct json *totals)
{
    const struct json *meta = json_get(totals, "meta");
    struct buf text = { 0 };

    buf_printf(&text,
               "[{\"results\":[{\"Total queries executed\":%.0f,\"Rows read\":%.0f,\"Rows written\":%.0f,"
               "\"Database size (MB)\":\"%.2f\"}],\"success\":true,\"finalBookmark\":",
               json_double(json_get(totals, "num_queries")), json_double(json_get(meta, "rows_read")),
               json_double(json_get(meta, "rows_written")), json_double(json_get(meta, "size_after")) / 1e6);
    json_write_text(&text, json_get_text(totals, "final_bookmark"));
    buf_append_cstr(&text, ",\"meta\":");
    if (meta)
        json_write_value(&text, meta);
    else
        buf_append_cstr(&text, "null");
    buf_append_cstr(&text, "}]");
    print_json(buf_slice(&text));
    buf_release(&text);
}

static void print_totals(const char *file, const struct json *totals)
{
    const struct json *meta = json_get(totals, "meta");
    char size[SIZE_TEXT_MAX];
    double n = json_double(json_get(totals, "num_queries"));

    if (n == 0) {
        printf("There was nothing to execute: %s holds no SQL statement.\n",
               strcmp(file, "-") == 0 ? "standard input" : file);
        return;
    }
    size_text((uint64_t)json_double(json_get(meta, "size_after")), size);
    printf("Executed %.0f %s in %.2f ms (%.0f rows read, %.0f rows written)\nThe database holds %s.\n", n,
           n == 1 ? "query" : "queries", json_double(json_get(meta, "duration")),
           json_double(json_get(meta, "rows_read")), json_double(json_get(meta, "rows_written")), size);
}

/* False also when it cannot be read: the import will say why. */
static bool is_sqlite_file(const char *path)
{
    static const char magic[16] = "SQLite format 3";
    char head[sizeof(magic)] = "";
    FILE *f = fopen(path, "rbe");
    bool is = f && fread(head, 1, sizeof(head), f) == sizeof(head) && memcmp(head, magic, sizeof(magic)) == 0;

    if (f)
        (void)fclose(f); /* was only read */
    return is;
}

static enum status confirm_replacing(const struct database *d, const struct execute_options *o, bool *ret,
                                     struct error *err)
{
    *ret = true;
    if (o->yes || o->common.json)
        return STATUS_OK;
    print_note("%s is a SQLite file: it replaces the whole content of '%.*s'.", o->file, SLICE_FMT(d->name));
    return ask("Ok to proceed?", true, ret, err);
}

static enum status run_file(struct session *s, const struct database *d, const struct execute_options *o,
                            struct error *err)
{
    struct api_answer answer = { 0 };
    bool replaces = is_sqlite_file(o->file), ok = true;

    enum status st = replaces ? confirm_replacing(d, o, &ok, err) : STATUS_OK;
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "nothing replaced (-y replaces without asking)");
    if (st == STATUS_OK)
        st = import_file(s, d, o->file, &answer, err);
    if (st == STATUS_OK && o->common.json)
        print_totals_json(json_get(answer.result, "result"));
    else if (st == STATUS_OK && replaces)
        printf("Replaced the content of '%.*s' with %s.\n", SLICE_FMT(d->name), o->file);
    else if (st == STATUS_OK)
        print_totals(o->file, json_get(answer.result, "result"));
    api_answer_release(&answer);
    return st;
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct execute_options *o = in->options;
    struct session s = { 0 };
    struct database d = { 0 };

    if (o->command && o->file)
        return error_set(err, STATUS_INVALID, 0, "--command and --file do not go together");
    if (!o->command && !o->file)
        return error_set(err, STATUS_INVALID, 0, "say what to execute: --command \"SQL\", or --file FILE");
    enum status st = session_open(&o->common, false, in->args[0], &s, err);
    if (st == STATUS_OK)
        st = database_find(&s, in->args[0], &d, err);
    if (st == STATUS_OK)
        st = o->command ? run_command(&s, &d, o, err) : run_file(&s, &d, o, err);
    database_release(&d);
    session_close(&s);
    return st;
}

const struct command d1_execute_command = {
    .name = "execute",
    .summary = "Run SQL from the command line or a file",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct execute_options),
    .run = run,
    .notes = "NAME is a database's name or id, or a binding in wrangler.jsonc or wrangler.toml. A database of that\n"
             "file comes to life when it is first used locally.",
};
