/*
 * shell.c - `dione shell`: SQL at a prompt, or from a pipe.
 *
 * Lines gather until SQLite calls them complete, then go, a request for each statement; a line that starts with '.'
 * is a command of the shell. At a prompt an error is shown and the session goes on; from a pipe the first one ends it.
 */
#include "cli/shell.h"

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/print.h"
#include "cli/query.h"
#include "cli/statement.h"
#include "cli/table.h"
#include "cli/shell_transaction.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio_ext.h>
#include <stdlib.h>

enum mode { MODE_TABLE, MODE_JSON, MODE_CSV };

static const char *const mode_names[] = { [MODE_TABLE] = "table", [MODE_JSON] = "json", [MODE_CSV] = "csv" };

struct shell {
    struct session session;
    struct database database;
    struct shell_transaction transaction;
    struct line_editor *editor; /* NULL: lines come from a pipe */
    enum mode mode;
    bool timer, done;
    struct buf statement;          /* the lines so far, each with its newline */
    uint64_t line, statement_line; /* counted from 1, for messages */
};

static const struct option_row options[] = {
    OPTIONS_COMMON,
    { 0 },
};

/* ---- statements ---- */

static void print_row_arrays(const struct api_answer *answer)
{
    for (const struct json *r = answer->result->child; r; r = r->next) {
        struct buf text = { 0 };
        const struct json *rows = json_get(r, "results");
        if (json_is(rows, JSON_ARRAY)) {
            json_write_value(&text, rows);
            print_json(buf_slice(&text));
        }
        buf_release(&text);
    }
}

/* What a statement without rows did; said to people only. */
static void print_changes(const struct api_answer *answer)
{
    for (const struct json *r = answer->result->child; r; r = r->next) {
        const struct json *columns = json_get(json_get(r, "results"), "columns");
        double changes = json_double(json_get(json_get(r, "meta"), "changes"));
        if (columns && columns->n)
            continue;
        if (changes > 0)
            print_note("ok, %.0f row%s changed", changes, changes == 1 ? "" : "s");
        else
            print_note("ok");
    }
}

static void print_answer(const struct shell *sh, const struct api_answer *answer)
{
    if (!json_is(answer->result, JSON_ARRAY))
        return;
    switch (sh->mode) {
    case MODE_TABLE:
        query_print_tables(answer);
        if (sh->editor)
            print_changes(answer);
        return;
    case MODE_JSON:
        print_row_arrays(answer);
        return;
    case MODE_CSV:
        query_print_csv(answer);
        return;
    }
}

static void print_time(const struct api_answer *answer, int64_t total_ns)
{
    double server_ms = 0;

    for (const struct json *r = answer->result->child; r; r = r->next)
        server_ms += json_double(json_get(json_get(r, "meta"), "duration"));
    print_note("Time: %.2f ms, of which in the database: %.2f ms", (double)total_ns / 1e6, server_ms);
}

static enum status run_sql(struct shell *sh, struct slice sql, struct error *err)
{
    struct api_answer answer = { 0 };
    enum query_form form = sh->mode == MODE_JSON ? QUERY_OBJECTS : QUERY_ARRAYS;
    int64_t from = clock_mono_ns();

    enum status st = query_send(&sh->session, &sh->database, form, sql, SLICE_NONE, &answer, err);
    if (st == STATUS_OK) {
        print_answer(sh, &answer);
        if (sh->timer)
            print_time(&answer, clock_mono_ns() - from);
    }
    api_answer_release(&answer);
    shell_transaction_check(&sh->transaction, &sh->database, st, err);
    return st;
}

static enum status run_statement(struct shell *sh, struct slice sql, struct error *err)
{
    enum shell_transaction_word word = shell_transaction_word(sql);
    enum status st = STATUS_OK;

    switch (word) {
    case TRANSACTION_NO_WORD:
        return run_sql(sh, sql, err);
    case TRANSACTION_WORD_BEGIN:
        st = shell_transaction_begin(&sh->transaction, &sh->session, &sh->database, err);
        break;
    case TRANSACTION_WORD_COMMIT:
    case TRANSACTION_WORD_ROLLBACK:
        st = shell_transaction_end(&sh->transaction, &sh->session, &sh->database, word == TRANSACTION_WORD_COMMIT, err);
        break;
    }
    if (st == STATUS_OK && sh->editor)
        print_note("ok");
    return st;
}

/* ---- commands with a dot ---- */

static enum status print_help(struct shell *sh, struct slice arg, struct error *err)
{
    (void)sh;
    (void)arg;
    (void)err;
    printf("SQL ends with ';' and may take several lines. Besides:\n"
           "  .tables                  the tables and views\n"
           "  .schema [TABLE]          how they were created\n"
           "  .mode table|json|csv     how rows are shown\n"
           "  .timer on|off            how long statements take\n"
           "  .help                    this\n"
           "  .quit                    leave, as Ctrl-D does\n"
           "BEGIN; ... COMMIT; or ROLLBACK; holds a transaction open for up to 30 seconds (wide profile).\n");
    return STATUS_OK;
}

/* The text of the first column of every row. */
static enum status print_column(struct shell *sh, const char *sql, struct slice param, const char *after,
                                struct error *err)
{
    struct api_answer answer = { 0 };

    enum status st = query_send(&sh->session, &sh->database, QUERY_ARRAYS, slice_cstr(sql), param, &answer, err);
    if (st == STATUS_OK) {
        const struct json *first = json_is(answer.result, JSON_ARRAY) ? answer.result->child : NULL;
        const struct json *rows = json_get(json_get(first, "results"), "rows");
        for (const struct json *row = rows ? rows->child : NULL; row; row = row->next)
            if (json_is(row->child, JSON_STRING))
                printf("%.*s%s\n", SLICE_FMT(row->child->text), after);
    }
    api_answer_release(&answer);
    return st;
}

static enum status print_tables(struct shell *sh, struct slice arg, struct error *err)
{
    if (arg.len)
        return error_set(err, STATUS_INVALID, 0, ".tables takes nothing after it");
    return print_column(sh,
                        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
                        " AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, 4) <> '_cf_' ORDER BY name",
                        SLICE_NONE, "", err);
}

static enum status print_schema(struct shell *sh, struct slice arg, struct error *err)
{
    if (!arg.len)
        return print_column(sh,
                            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_'"
                            " AND substr(name, 1, 4) <> '_cf_' ORDER BY rowid",
                            SLICE_NONE, ";", err);
    return print_column(sh,
                        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name = ?1 COLLATE NOCASE"
                        " ORDER BY rowid",
                        arg, ";", err);
}

static enum status set_mode(struct shell *sh, struct slice arg, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(mode_names); i++)
        if (slice_eq(arg, slice_cstr(mode_names[i]))) {
            sh->mode = (enum mode)i;
            return STATUS_OK;
        }
    if (arg.len)
        return error_set(err, STATUS_INVALID, 0, ".mode is table, json or csv, not '%.*s'", SLICE_FMT(arg));
    printf("%s\n", mode_names[sh->mode]);
    return STATUS_OK;
}

static enum status set_timer(struct shell *sh, struct slice arg, struct error *err)
{
    bool on = slice_eq(arg, SLICE_LIT("on"));

    if (!on && !slice_eq(arg, SLICE_LIT("off")))
        return error_set(err, STATUS_INVALID, 0, ".timer is on or off");
    sh->timer = on;
    return STATUS_OK;
}

static enum status quit(struct shell *sh, struct slice arg, struct error *err)
{
    (void)arg;
    (void)err;
    sh->done = true;
    return STATUS_OK;
}

static const struct {
    const char *name;
    enum status (*run)(struct shell *sh, struct slice arg, struct error *err);
} dot_commands[] = {
    { ".tables", print_tables }, { ".schema", print_schema }, { ".mode", set_mode }, { ".timer", set_timer },
    { ".help", print_help },     { ".quit", quit },           { ".exit", quit },
};

static enum status run_dot(struct shell *sh, struct slice line, struct error *err)
{
    struct slice rest = slice_trim(line), name = slice_cut(&rest, ' ');

    for (size_t i = 0; i < ARRAY_LEN(dot_commands); i++)
        if (slice_eq(name, slice_cstr(dot_commands[i].name)))
            return dot_commands[i].run(sh, slice_trim(rest), err);
    return error_set(err, STATUS_INVALID, 0, "there is no %.*s; .help lists what there is", SLICE_FMT(name));
}

/* ---- lines ---- */

static bool is_joinable(struct slice text)
{
    bool joinable = !sql_scan(text).has_comment;

    while (joinable && text.ptr)
        joinable = sql_scan(slice_cut(&text, '\n')).state == SQL_PLAIN;
    return joinable;
}

/* Lines come back as one when that means the same; over a quote or beside a comment they keep their newlines. */
static void remember_statement(struct shell *sh)
{
    struct slice rest = slice_trim(buf_slice(&sh->statement));
    bool joinable = is_joinable(rest);
    struct buf text = { 0 };

    if (!joinable)
        buf_append_slice(&text, rest);
    while (joinable && rest.ptr) {
        struct slice line = slice_trim(slice_cut(&rest, '\n'));
        if (text.len && line.len)
            buf_append_char(&text, ' ');
        buf_append_slice(&text, line);
    }
    if (text.len)
        line_editor_remember(sh->editor, text.ptr);
    buf_release(&text);
}

/* One request per statement, so that the results before an error are shown. */
static enum status run_each(struct shell *sh, struct error *err)
{
    char *rest = sh->statement.ptr;
    enum status st = STATUS_OK;

    for (size_t n; st == STATUS_OK && *rest; rest += n) {
        n = sql_first_statement(rest);
        if (!n)
            n = strlen(rest);
        struct slice sql = slice_of(rest, n);
        if (sql_scan(sql).has_text)
            st = run_statement(sh, slice_trim(sql), err);
        if (st == STATUS_OK && interrupt_requested())
            st = interrupt_error(err);
    }
    return st;
}

static enum status finish_statement(struct shell *sh, struct error *err)
{
    struct slice sql = buf_slice(&sh->statement);
    enum status st = STATUS_OK;

    if (sh->editor)
        remember_statement(sh);
    if (sql.len && memchr(sql.ptr, '\0', sql.len))
        st = run_sql(sh, slice_trim(sql), err); /* the server has the words for that */
    else if (sql.len)
        st = run_each(sh, err);
    buf_clear(&sh->statement);
    return st;
}

static void remember_line(struct shell *sh, struct slice line)
{
    struct buf text = { 0 };

    if (!sh->editor)
        return;
    buf_append_slice(&text, line);
    line_editor_remember(sh->editor, text.ptr);
    buf_release(&text);
}

static enum status take_line(struct shell *sh, struct slice line, struct error *err)
{
    struct slice trimmed = slice_trim(line);

    if (sh->statement.len == 0) {
        if (!trimmed.len)
            return STATUS_OK;
        sh->statement_line = sh->line;
        if (trimmed.ptr[0] == '.') {
            remember_line(sh, trimmed);
            return run_dot(sh, trimmed, err);
        }
        struct sql_scan scan = sql_scan(line);
        if (!scan.has_text && scan.state == SQL_PLAIN)
            return STATUS_OK; /* a comment by itself */
    }
    buf_append_slice(&sh->statement, line);
    buf_append_char(&sh->statement, '\n');
    /* Only a ';' can complete it: long statements are not scanned again for every line. */
    if (memchr(line.ptr, ';', line.len) && sql_is_complete(sh->statement.ptr))
        return finish_statement(sh, err);
    return STATUS_OK;
}

/* ---- at a terminal ---- */

static void show_error(const struct error *err)
{
    if (interrupt_requested())
        print_note("interrupted; a change that was under way may still take effect");
    else
        print_note("%s", err->msg);
}

/* Ctrl-C ends the output, and nothing of it is left for the next statement. */
static void end_output(enum status st)
{
    if (interrupt_requested()) {
        __fpurge(stdout);
        clearerr(stdout);
        if (st == STATUS_OK)
            print_note("\ninterrupted; the rest is not shown");
    }
    interrupt_clear();
}

static void converse(struct shell *sh, const char *name)
{
    struct slice line = SLICE_NONE;
    int indent = strlen(name) > 3 ? (int)strlen(name) - 3 : 0;
    char *prompt, *inside, *more;

    if (asprintf(&prompt, "%s> ", name) < 0 || asprintf(&inside, "%s*> ", name) < 0 ||
        asprintf(&more, "%*s...> ", indent, "") < 0)
        abort();
    printf("%s (%s). SQL ends with ';', .help lists the other commands, Ctrl-D leaves.\n", name,
           api_place(sh->session.api));
    while (!sh->done) {
        struct error err = { 0 };
        fflush(stdout);
        const char *ready = shell_transaction_is_open(&sh->transaction) ? inside : prompt;
        enum line_result got = line_editor_read(sh->editor, sh->statement.len ? more : ready, &line);
        if (got == LINE_END)
            break;
        if (got == LINE_DROPPED) {
            buf_clear(&sh->statement);
            continue;
        }
        sh->line++;
        enum status st = take_line(sh, line, &err);
        if (st != STATUS_OK)
            show_error(&err);
        end_output(st);
    }
    free(prompt);
    free(inside);
    free(more);
}

/* ---- from a pipe ---- */

static enum status read_pipe(struct shell *sh, struct error *err)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    enum status st = STATUS_OK;

    while (st == STATUS_OK && !sh->done && (n = getline(&line, &room, stdin)) >= 0) {
        struct slice text = slice_of(line, (size_t)n);
        sh->line++;
        if (text.len && text.ptr[text.len - 1] == '\n')
            text.len--;
        st = take_line(sh, text, err);
    }
    if (st == STATUS_OK && interrupt_requested())
        st = interrupt_error(err);
    else if (st == STATUS_OK && ferror(stdin))
        st = error_errno(err, errno, "cannot read standard input");
    if (st == STATUS_OK && !sh->done)
        st = finish_statement(sh, err); /* the last ';' may be missing */
    free(line);
    return st == STATUS_OK ? st : error_prefix(err, "line %" PRIu64, sh->statement_line);
}

/* Left open it would hold up all other writers until its time is over. */
static enum status end_open_transaction(struct shell *sh, enum status st, struct error *err)
{
    struct error ignored;

    if (!shell_transaction_is_open(&sh->transaction))
        return st;
    /* The server ends it by itself when this fails. */
    IGNORE_RESULT(shell_transaction_end(&sh->transaction, &sh->session, &sh->database, false, &ignored));
    if (st == STATUS_OK && !sh->editor)
        return error_set(err, STATUS_INVALID, 0, "the input ended inside a transaction, without COMMIT: rolled back");
    print_note("The open transaction was rolled back.");
    return st;
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct common *common = in->options;
    struct shell sh = { 0 };

    enum status st = session_open(common, false, in->args[0], &sh.session, err);
    if (st == STATUS_OK)
        st = database_find(&sh.session, in->args[0], &sh.database, err);
    if (st == STATUS_OK) {
        sh.editor = line_editor_new();
        if (sh.editor)
            converse(&sh, in->args[0]);
        else
            st = read_pipe(&sh, err);
        st = end_open_transaction(&sh, st, err);
    }
    line_editor_free(sh.editor);
    buf_release(&sh.statement);
    database_release(&sh.database);
    session_close(&sh.session);
    return st;
}

const struct command shell_command = {
    .name = "shell",
    .summary = "Type SQL at a prompt",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct common),
    .run = run,
    .notes = "With standard input from a pipe or file the text is run statement by\n"
             "statement, up to the first error.",
};
