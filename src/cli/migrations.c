/*
 * migrations.c - `dione d1 migrations create|list|apply`.
 *
 * Interchangeable with wrangler's: the same folder, file names, order and table, so a project can go back and
 * forth. Each file and its row in the table are one atomic batch.
 */
#include "base/clock.h"
#include "cli/d1.h"
#include "cli/files.h"
#include "cli/migration_files.h"
#include "cli/migrations.h"
#include "cli/print.h"
#include "cli/query.h"
#include "cli/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_FOLDER "migrations"
#define DEFAULT_TABLE "d1_migrations"

struct migrations_options {
    struct common common;
    bool yes;
};

#define FIELD(name) offsetof(struct migrations_options, name)

static const struct option_row options[] = {
    OPTIONS_COMMON,
    { 0 },
};

static const struct option_row list_options[] = {
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static const struct option_row apply_options[] = {
    { "yes", 'y', OPT_FLAG, FIELD(yes), NULL, "do not ask", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

/* ---- where they are ---- */

struct place {
    char *folder;
    char *pattern; /* relative to folder */
    struct slice table;
};

static char *format_path(struct slice folder, struct slice name)
{
    char *path;
    int n;

    if (slice_eq(folder, SLICE_LIT(".")) || (name.len && name.ptr[0] == '/'))
        n = asprintf(&path, "%.*s", SLICE_FMT(name));
    else
        n = asprintf(&path, "%.*s/%.*s", SLICE_FMT(folder), SLICE_FMT(name));
    if (n < 0)
        abort();
    return path;
}

static struct slice without_dot_slash(struct slice path)
{
    while (slice_starts(path, SLICE_LIT("./")))
        path = slice_from(path, 2);
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

/* migrations_pattern is written with the folder in front. */
static enum status relative_pattern(struct slice pattern, struct slice folder, char **ret, struct error *err)
{
    struct slice rest = without_dot_slash(pattern);

    if (!pattern.ptr) {
        rest = SLICE_LIT("*.sql");
    } else if (!slice_eq(folder, SLICE_LIT("."))) {
        if (!slice_starts(rest, folder) || rest.len < folder.len + 2 || rest.ptr[folder.len] != '/')
            return error_set(err, STATUS_INVALID, 0, "migrations_pattern '%.*s' must start with migrations_dir '%.*s/'",
                             SLICE_FMT(pattern), SLICE_FMT(folder));
        rest = slice_from(rest, folder.len + 1);
    }
    if (memmem(rest.ptr, rest.len, "**", 2))
        return error_set(err, STATUS_NOTIMPL, 0,
                         "migrations_pattern with ** is not supported; name the depth, as in "
                         "%.*s/*/migration.sql",
                         SLICE_FMT(folder));
    *ret = strndup(rest.ptr, rest.len);
    if (!*ret)
        abort();
    return STATUS_OK;
}

static enum status place_of(const struct config *config, const char *database, struct place *ret, struct error *err)
{
    struct config_database entry = { 0 };
    struct place p = { 0 };

    (void)config_find_database(config, slice_cstr(database), &entry); /* not there: the defaults */
    struct slice folder = without_dot_slash(entry.migrations_dir.len ? entry.migrations_dir
                                                                     : SLICE_LIT(DEFAULT_FOLDER));
    enum status st = relative_pattern(entry.migrations_pattern, folder, &p.pattern, err);
    if (st != STATUS_OK)
        return st;
    p.folder = format_path(config->folder, folder);
    p.table = entry.migrations_table.len ? entry.migrations_table : SLICE_LIT(DEFAULT_TABLE);
    *ret = p;
    return STATUS_OK;
}

static void place_release(struct place *p)
{
    free(p->folder);
    free(p->pattern);
}

/* ---- create ---- */

static enum status next_number(const struct place *p, int64_t *ret, struct error *err)
{
    struct migration_files files = { 0 };
    int64_t highest = 0;

    enum status st = migration_files_find(p->folder, p->pattern, &files, err);
    if (st != STATUS_OK)
        return st;
    for (size_t i = 0; i < files.n; i++)
        if (migration_number(files.names[i]) > highest)
            highest = migration_number(files.names[i]);
    migration_files_release(&files);
    if (highest == INT64_MAX)
        return error_set(err, STATUS_LIMIT, 0, "the migrations in '%s' leave no higher number", p->folder);
    *ret = highest + 1;
    return STATUS_OK;
}

static enum status write_new(const char *path, int64_t number, struct error *err)
{
    char now[CLOCK_ISO_LEN + 1];
    FILE *f = fopen(path, "wxe"); /* never over a file that is there */

    if (!f)
        return error_errno(err, errno, "cannot create %s", path);
    clock_iso(clock_wall_ms(), now);
    bool written = fprintf(f, "-- Migration number: %04" PRId64 " \t %s\n", number, now) > 0;
    if (fclose(f) != 0 || !written)
        return error_errno(err, errno, "cannot write %s", path);
    printf("Successfully created migration, to be edited here:\n%s\n", path);
    return STATUS_OK;
}

static enum status create_in(const struct place *p, const char *message, struct error *err)
{
    int64_t number = 0;
    char *path;

    if (strpbrk(message, "/\\"))
        return error_set(err, STATUS_INVALID, 0, "the name of a migration cannot hold / or \\: '%s'", message);
    enum status st = folder_make(p->folder, 0777, err);
    if (st == STATUS_OK)
        st = next_number(p, &number, err);
    if (st != STATUS_OK)
        return st;
    if (asprintf(&path, "%s/%04" PRId64 "_%s.sql", p->folder, number, message) < 0)
        abort();
    for (char *c = path + strlen(p->folder); *c; c++)
        if (*c == ' ')
            *c = '_';
    st = write_new(path, number, err);
    free(path);
    return st;
}

static enum status run_create(struct invocation *in, struct error *err)
{
    const struct migrations_options *o = in->options;
    struct config config = { 0 };
    struct place place = { 0 };

    enum status st = config_load(o->common.config, o->common.env, &config, err);
    if (st == STATUS_OK)
        st = place_of(&config, in->args[0], &place, err);
    if (st == STATUS_OK)
        st = create_in(&place, in->args[1], err);
    place_release(&place);
    config_release(&config);
    return st;
}

/* ---- list and apply ---- */

enum state { WAITING, APPLIED, FAILED };

struct work {
    struct session own; /* unless the caller lends one */
    struct session *session;
    struct database database;
    struct place place;
    struct migration_files files; /* only those still to be applied */
};

static enum status make_table(struct work *w, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf sql = { 0 };

    buf_append_cstr(&sql, "CREATE TABLE IF NOT EXISTS ");
    sql_append_identifier(&sql, w->place.table);
    buf_append_cstr(&sql, "(\n\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,\n\t\tname       TEXT UNIQUE,\n"
                          "\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL\n);");
    enum status st = query_send(w->session, &w->database, QUERY_OBJECTS, buf_slice(&sql), SLICE_NONE, &answer, err);
    buf_release(&sql);
    api_answer_release(&answer);
    return st;
}

static bool is_applied(const struct json *rows, const char *name)
{
    for (const struct json *row = rows ? rows->child : NULL; row; row = row->next)
        if (slice_eq(json_get_text(row, "name"), slice_cstr(name)))
            return true;
    return false;
}

/* Takes those that the table knows out of the list. */
static enum status drop_applied(struct work *w, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf sql = { 0 };
    size_t kept = 0;

    buf_append_cstr(&sql, "SELECT *\n\t\tFROM ");
    sql_append_identifier(&sql, w->place.table);
    buf_append_cstr(&sql, "\n\t\tORDER BY id");
    enum status st = query_send(w->session, &w->database, QUERY_OBJECTS, buf_slice(&sql), SLICE_NONE, &answer, err);
    buf_release(&sql);
    if (st != STATUS_OK)
        return st;
    const struct json *rows = json_get(answer.result ? answer.result->child : NULL, "results");
    for (size_t i = 0; i < w->files.n; i++) {
        if (is_applied(rows, w->files.names[i]))
            free(w->files.names[i]);
        else
            w->files.names[kept++] = w->files.names[i];
    }
    w->files.n = kept;
    api_answer_release(&answer);
    return STATUS_OK;
}

static enum status work_open(const struct common *common, const char *name, struct work *w, struct error *err)
{
    enum status st = session_open(common, false, name, &w->own, err);

    w->session = &w->own;
    if (st == STATUS_OK)
        st = place_of(&w->session->config, name, &w->place, err);
    if (st == STATUS_OK)
        st = migration_files_find(w->place.folder, w->place.pattern, &w->files, err);
    if (st == STATUS_OK)
        st = database_find(w->session, name, &w->database, err);
    if (st == STATUS_OK)
        st = make_table(w, err);
    if (st == STATUS_OK)
        st = drop_applied(w, err);
    return st;
}

static enum status has_table(struct work *w, bool *ret, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf sql = { 0 };

    buf_append_cstr(&sql, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ");
    sql_append_text(&sql, w->place.table);
    enum status st = query_send(w->session, &w->database, QUERY_OBJECTS, buf_slice(&sql), SLICE_NONE, &answer, err);
    buf_release(&sql);
    if (st == STATUS_OK) {
        const struct json *rows = json_get(answer.result ? answer.result->child : NULL, "results");
        *ret = rows && rows->n > 0;
    }
    api_answer_release(&answer);
    return st;
}

static void work_release(struct work *w)
{
    migration_files_release(&w->files);
    database_release(&w->database);
    place_release(&w->place);
    session_close(&w->own);
}

enum status migrations_count_pending(struct session *s, const char *database, size_t *ret, struct error *err)
{
    struct work w = { .session = s };
    bool begun = false;

    enum status st = place_of(&s->config, database, &w.place, err);
    if (st == STATUS_OK) {
        st = migration_files_find(w.place.folder, w.place.pattern, &w.files, err);
        if (st == STATUS_NOTFOUND)
            st = STATUS_OK; /* a project without migrations */
    }
    if (st == STATUS_OK && w.files.n)
        st = database_find(s, database, &w.database, err);
    if (st == STATUS_OK && w.files.n)
        st = has_table(&w, &begun, err);
    if (st == STATUS_OK && begun)
        st = drop_applied(&w, err);
    if (st == STATUS_OK)
        *ret = w.files.n;
    work_release(&w);
    return st;
}

enum status migrations_folder(const struct config *config, const char *database, char **ret, struct error *err)
{
    struct place place = { 0 };
    enum status st = place_of(config, database, &place, err);

    if (st == STATUS_OK)
        *ret = TAKE_PTR(place.folder);
    place_release(&place);
    return st;
}

static const char *const state_words[] = { [WAITING] = "waiting", [APPLIED] = "applied", [FAILED] = "failed" };

/* For programs: [{"name":"0001_a.sql","status":"applied"}] */
static void print_files_json(const struct migration_files *files, enum state state)
{
    struct buf text = { 0 };

    buf_append_char(&text, '[');
    for (size_t i = 0; i < files->n; i++) {
        buf_append_cstr(&text, i ? ",{\"name\":" : "{\"name\":");
        json_write_cstr(&text, files->names[i]);
        buf_printf(&text, ",\"status\":\"%s\"}", state_words[state]);
    }
    buf_append_char(&text, ']');
    print_json(buf_slice(&text));
    buf_release(&text);
}

/* `n_done` of them are applied, and the one after those failed when `failed`. */
static void print_files(const struct migration_files *files, bool with_status, size_t n_done, bool failed)
{
    struct table t;

    table_init(&t);
    table_add_column(&t, SLICE_LIT("name"));
    if (with_status)
        table_add_column(&t, SLICE_LIT("status"));
    for (size_t i = 0; i < files->n; i++) {
        enum state state = i < n_done ? APPLIED : i == n_done && failed ? FAILED : WAITING;
        table_add_text(&t, slice_cstr(files->names[i]));
        if (with_status)
            table_add_text(&t, slice_cstr(state_words[state]));
    }
    table_print(&t);
    table_release(&t);
}

static enum status run_list(struct invocation *in, struct error *err)
{
    const struct migrations_options *o = in->options;
    struct work w = { 0 };

    enum status st = work_open(&o->common, in->args[0], &w, err);
    if (st == STATUS_OK && o->common.json)
        print_files_json(&w.files, WAITING);
    else if (st == STATUS_OK && w.files.n == 0)
        printf("No migrations to apply!\n");
    else if (st == STATUS_OK) {
        printf("Migrations to be applied:\n");
        print_files(&w.files, false, 0, false);
    }
    work_release(&w);
    return st;
}

/* The file's text, then its row: one batch. The text may end in a comment or without ';', as wrangler's may. */
static enum status apply_one(struct work *w, const char *name, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf sql = { 0 };
    char *path = format_path(slice_cstr(w->place.folder), slice_cstr(name));

    enum status st = file_read(path, &sql, err);
    free(path);
    if (st == STATUS_OK) {
        buf_append_cstr(&sql, "\nINSERT INTO ");
        sql_append_identifier(&sql, w->place.table);
        buf_append_cstr(&sql, " (name)\nvalues (");
        sql_append_text(&sql, slice_cstr(name));
        buf_append_cstr(&sql, ");");
        st = query_send(w->session, &w->database, QUERY_OBJECTS, buf_slice(&sql), SLICE_NONE, &answer, err);
        if (st != STATUS_OK)
            query_name_failed(w->session, buf_slice(&sql), err);
    }
    buf_release(&sql);
    api_answer_release(&answer);
    return st == STATUS_OK ? st : error_prefix(err, "migration %s failed, and nothing of it was applied", name);
}

static enum status apply_all(struct work *w, bool json, struct error *err)
{
    enum status st = STATUS_OK;
    size_t done = 0;

    for (; done < w->files.n; done++) {
        st = apply_one(w, w->files.names[done], err);
        if (st != STATUS_OK)
            break;
    }
    if (json && st == STATUS_OK)
        print_files_json(&w->files, APPLIED);
    else if (!json)
        print_files(&w->files, true, done, st != STATUS_OK);
    return st; /* for programs, too, the error names the file; those before it are applied */
}

static enum status confirm(const struct work *w, bool *ret, struct error *err)
{
    char question[64];

    printf("Migrations to be applied:\n");
    print_files(&w->files, false, 0, false);
    snprintf(question, sizeof(question), "About to apply %zu migration(s), continue?", w->files.n);
    return ask(question, true, ret, err);
}

static enum status run_apply(struct invocation *in, struct error *err)
{
    const struct migrations_options *o = in->options;
    struct work w = { 0 };
    bool json = o->common.json, ok = o->yes || json; /* programs are not asked */

    enum status st = work_open(&o->common, in->args[0], &w, err);
    if (st == STATUS_OK && w.files.n == 0 && !json)
        printf("No migrations to apply!\n");
    else if (st == STATUS_OK) {
        if (!ok)
            st = confirm(&w, &ok, err);
        if (st == STATUS_OK && ok)
            st = apply_all(&w, json, err);
        else if (st == STATUS_OK)
            printf("Nothing was applied.\n");
    }
    work_release(&w);
    return st;
}

static const struct command create_command = {
    .name = "create",
    .summary = "Create a new, empty migration file",
    .args = "NAME MESSAGE",
    .min_args = 2,
    .max_args = 2,
    .options = options,
    .options_size = sizeof(struct migrations_options),
    .run = run_create,
    .notes = "`dione d1 migrations create f1 \"add lap times\"` makes migrations/0001_add_lap_times.sql.",
};

static const struct command list_command = {
    .name = "list",
    .summary = "List the migrations that are not applied yet",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = list_options,
    .options_size = sizeof(struct migrations_options),
    .run = run_list,
};

static const struct command apply_command = {
    .name = "apply",
    .summary = "Apply the migrations that are not applied yet",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = apply_options,
    .options_size = sizeof(struct migrations_options),
    .run = run_apply,
    .notes = "Each migration takes effect as a whole or not at all; the first that fails ends the run.\n"
             "Without a terminal nothing is asked: only n or no on standard input stops it.\n"
             "With --json nothing is asked either.",
};

static const struct command *const commands[] = { &create_command, &list_command, &apply_command, NULL };

const struct command migrations_command = {
    .name = "migrations",
    .summary = "Change the schema step by step",
    .subcommands = commands,
    .notes = "migrations_dir, migrations_table and migrations_pattern come from the database's entry in\n"
             "wrangler.jsonc or wrangler.toml; without one they are migrations and d1_migrations.",
};
