/* fixture.h - a database file with a writer on it, and one call that runs a text with JSON parameters. Include behind ../testing.h. */
#ifndef TESTS_SQL_FIXTURE_H
#define TESTS_SQL_FIXTURE_H

#include "dione_sqlite.h"
#include "sql/sql.h"

static struct {
    char dir[64], path[96];
    struct sql_conn *conn;
    struct arena arena;
    struct buf out;
    struct sql_meta meta;
    struct error err;
} f;

static struct sql_conn *open_conn(enum sql_role role, enum sql_profile profile, int cache)
{
    struct sql_conn_options opt = { .path = f.path, .role = role, .profile = profile, .cache_statements = cache,
                                    .cache_kib = 256 };
    struct sql_conn *c = NULL;

    if (sql_conn_open(&opt, &c, &f.err) != STATUS_OK)
        fail_msg("%s", f.err.msg);
    return c;
}

static int open_profile(enum sql_profile profile)
{
    memset(&f, 0, sizeof(f));
    test_dir_make(f.dir);
    snprintf(f.path, sizeof(f.path), "%s/db.sqlite", f.dir);
    arena_init(&f.arena, 64 << 20);
    f.conn = open_conn(SQL_WRITER, profile, 4);
    return 0;
}

UNUSED static int open_strict(void **state UNUSED)
{
    return open_profile(SQL_STRICT);
}

UNUSED static int open_wide(void **state UNUSED)
{
    return open_profile(SQL_WIDE);
}

UNUSED static int close_conn(void **state UNUSED)
{
    sql_conn_close(f.conn);
    buf_release(&f.out);
    arena_release(&f.arena);
    test_dir_remove(f.dir);
    return 0;
}

/* `json` is an array of parameters. Runs every statement of text; the last one's result is in f.out. */
static enum status run_on(struct sql_conn *c, struct slice text, const char *json, enum sql_format format)
{
    struct json *params = NULL;
    struct sql_stmt *s;
    size_t consumed;
    enum status st = json_parse(slice_cstr(json), JSON_STRICT, &f.arena, &params, &f.err);

    while (st == STATUS_OK && text.len) {
        st = sql_prepare(c, text, &s, &consumed, &f.err);
        if (st != STATUS_OK)
            return st;
        text = slice_from(text, consumed);
        buf_clear(&f.out);
        if (s)
            st = sql_run(c, s, params->child, params->n, format, NULL, &f.out, &f.meta, &f.err);
        sql_stmt_done(c, s);
    }
    return st;
}

static enum status run(const char *text, const char *json)
{
    return run_on(f.conn, slice_cstr(text), json, SQL_OBJECTS);
}

UNUSED static void must_run(const char *text)
{
    if (run(text, "[]") != STATUS_OK)
        fail_msg("%s: %s", text, f.err.msg);
}

/* What stands between "results": and ,"success". */
static const char *results(void)
{
    static char text[4096];
    const char *from = strstr(f.out.ptr, "\"results\":") + 10, *to = strstr(from, ",\"success\":true,\"meta\":{");

    snprintf(text, sizeof(text), "%.*s", (int)(to - from), from);
    return text;
}

UNUSED static void check_rows(const char *text, const char *json, const char *want, const char *file, int line)
{
    enum status st = run(text, json);

    if (st == STATUS_OK && strcmp(results(), want) == 0)
        return;
    print_error("%s\ngot  %s\nwant %s\n", text, st == STATUS_OK ? results() : f.err.msg, want);
    _fail(file, line);
}

UNUSED static void check_error(const char *text, const char *json, enum status st, const char *want, const char *file, int line)
{
    enum status got = run(text, json);

    if (got == st && strcmp(f.err.msg, want) == 0)
        return;
    print_error("%s\ngot  %d %s\nwant %d %s\n", text, got, got == STATUS_OK ? results() : f.err.msg, st, want);
    _fail(file, line);
}

#define CHECK_ROWS(text, json, want) check_rows((text), (json), (want), __FILE__, __LINE__)
#define CHECK_ERROR(text, json, st, want) check_error((text), (json), (st), (want), __FILE__, __LINE__)

#endif
