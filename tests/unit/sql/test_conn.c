/* Connections: roles, limits of the two profiles, deadlines, sizes, and texts that are longer than a statement may be. */
#include "../testing.h"

#include "fixture.h"

#include "base/clock.h"

#include <pthread.h>

/* Runs for hours, and looks at the clock all the time. */
#define ENDLESS "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) AS n FROM c"

static void a_deadline_ends_a_statement_with_a_timeout(void **state UNUSED)
{
    sql_conn_set_deadline(f.conn, 0, clock_mono_ns() + 1000000, false);
    CHECK_ERROR(ENDLESS, "[]", STATUS_TIMEOUT, "D1 DB storage operation exceeded timeout which caused object to be reset.");
    sql_conn_set_deadline(f.conn, 0, 0, false);
    CHECK_ROWS("SELECT 1 AS a", "[]", "[{\"a\":1}]");
}

static void where_others_can_run_it_a_deadline_says_again(void **state UNUSED)
{
    sql_conn_set_deadline(f.conn, 0, clock_mono_ns() + 1000000, true);
    CHECK_ERROR(ENDLESS, "[]", STATUS_AGAIN, "too slow for the fast path");
    sql_conn_set_deadline(f.conn, 0, clock_mono_ns() + 1000000, true);
    CHECK_ERROR(ENDLESS, "[]", STATUS_AGAIN, "too slow for the fast path");
    sql_conn_set_deadline(f.conn, 0, 0, false);
    CHECK_ROWS("SELECT 1 AS a", "[]", "[{\"a\":1}]");
}

static void a_deadline_undoes_the_statement_that_it_ends(void **state UNUSED)
{
    must_run("CREATE TABLE t(a)");
    sql_conn_set_deadline(f.conn, 0, clock_mono_ns() + 5000000, false);
    assert_int_equal(run("INSERT INTO t WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c", "[]"),
                     STATUS_TIMEOUT);
    sql_conn_set_deadline(f.conn, 0, 0, false);
    CHECK_ROWS("SELECT count(*) AS n FROM t", "[]", "[{\"n\":0}]");
}

static void *interrupt(void *conn)
{
    sql_conn_interrupt(conn);
    return NULL;
}

static void another_thread_may_interrupt(void **state UNUSED)
{
    pthread_t t;

    for (int i = 0; i < 20; i++) {
        sql_conn_set_deadline(f.conn, 0, clock_mono_ns() + 3600 * 1000000000LL, false);
        assert_int_equal(pthread_create(&t, NULL, interrupt, f.conn), 0);
        assert_int_equal(run(ENDLESS, "[]"), STATUS_TIMEOUT);
        pthread_join(t, NULL);
    }
}

static void limits_are_those_of_the_profile(void **state UNUSED)
{
    struct buf text = { 0 };

    buf_append_cstr(&text, "SELECT 1");
    for (int i = 1; i < 100; i++)
        buf_printf(&text, ",%d", i);
    assert_int_equal(run(text.ptr, "[]"), STATUS_OK);
    buf_append_cstr(&text, ",100");
    assert_int_equal(run(text.ptr, "[]"), STATUS_SQL);
    sql_conn_set_profile(f.conn, SQL_WIDE);
    assert_int_equal(run(text.ptr, "[]"), STATUS_OK);
    buf_clear(&text);
    buf_append_cstr(&text, "SELECT '");
    for (int i = 0; i < 100000; i++)
        buf_append_char(&text, 'x');
    buf_append_cstr(&text, "'");
    assert_int_equal(run(text.ptr, "[]"), STATUS_OK);
    sql_conn_set_profile(f.conn, SQL_STRICT);
    CHECK_ERROR(text.ptr, "[]", STATUS_SQL, "statement too long: SQLITE_TOOBIG");
    buf_release(&text);
}

/* D1 limits a statement, not the text that holds many. */
static void a_text_of_many_short_statements_may_be_long(void **state UNUSED)
{
    struct buf text = { 0 };

    must_run("CREATE TABLE t(a)");
    for (int i = 0; i < 3000; i++)
        buf_printf(&text, "INSERT INTO t VALUES('%060d');\n", i);
    assert_true(text.len > 200000);
    assert_int_equal(run(text.ptr, "[]"), STATUS_OK);
    CHECK_ROWS("SELECT count(*) AS n FROM t", "[]", "[{\"n\":3000}]");
    buf_release(&text);
}

static void a_nul_ends_no_statement_quietly(void **state UNUSED)
{
    static const char text[] = "SELECT 1\0; DROP TABLE t";

    assert_int_equal(run_on(f.conn, slice_of(text, sizeof(text) - 1), "[]", SQL_OBJECTS), STATUS_SQL);
    assert_string_equal(f.err.msg, "SQL code did not contain a statement.");
}

static void readers_cannot_write(void **state UNUSED)
{
    must_run("CREATE TABLE t(a)");
    struct sql_conn *reader = open_conn(SQL_READER, SQL_STRICT, 4);
    struct sql_stmt *s;
    size_t consumed;

    assert_int_equal(sql_prepare(reader, SLICE_LIT("INSERT INTO t VALUES(1)"), &s, &consumed, &f.err), STATUS_OK);
    assert_int_equal(sql_stmt_flags(s), SQL_STMT_WRITES);
    sql_stmt_done(reader, s);
    sql_conn_close(reader);
}

static void a_reader_sees_each_commit_and_never_half_of_one(void **state UNUSED)
{
    struct slice count = SLICE_LIT("SELECT count(*) AS n FROM t");

    must_run("CREATE TABLE t(a)");
    struct sql_conn *reader = open_conn(SQL_READER, SQL_STRICT, 4);
    assert_int_equal(sql_exec(f.conn, "BEGIN IMMEDIATE", &f.err), STATUS_OK);
    must_run("INSERT INTO t VALUES(1)");
    assert_true(sql_conn_in_transaction(f.conn));
    assert_int_equal(run_on(reader, count, "[]", SQL_OBJECTS), STATUS_OK);
    assert_string_equal(results(), "[{\"n\":0}]");
    assert_int_equal(sql_exec(f.conn, "COMMIT", &f.err), STATUS_OK);
    assert_false(sql_conn_in_transaction(f.conn));
    assert_int_equal(run_on(reader, count, "[]", SQL_OBJECTS), STATUS_OK);
    assert_string_equal(results(), "[{\"n\":1}]");
    sql_conn_close(reader);
}

static void a_reader_that_closes_last_leaves_the_wal_alone(void **state UNUSED)
{
    char wal[128];

    snprintf(wal, sizeof(wal), "%s-wal", f.path);
    must_run("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    struct sql_conn *reader = open_conn(SQL_READER, SQL_STRICT, 4);
    assert_int_equal(run_on(reader, SLICE_LIT("SELECT * FROM t"), "[]", SQL_OBJECTS), STATUS_OK);
    sql_conn_close(f.conn);
    f.conn = NULL;
    assert_int_equal(access(wal, F_OK), 0);
    sql_conn_close(reader);
    assert_int_equal(access(wal, F_OK), 0);
    sql_conn_close(open_conn(SQL_WRITER, SQL_STRICT, 4)); /* a writer puts everything into the file */
    assert_int_not_equal(access(wal, F_OK), 0);
}

static void size_is_what_is_in_use(void **state UNUSED)
{
    int64_t empty, full, less;

    must_run("CREATE TABLE t(a)");
    assert_int_equal(sql_conn_size(f.conn, &empty, &f.err), STATUS_OK);
    assert_int_equal(empty, 8192);
    must_run("INSERT INTO t VALUES(zeroblob(100000))");
    assert_int_equal(sql_conn_size(f.conn, &full, &f.err), STATUS_OK);
    assert_true(full > 100000);
    assert_true(sql_conn_wal_pages(f.conn) > 24);
    must_run("DELETE FROM t");
    assert_int_equal(sql_conn_size(f.conn, &less, &f.err), STATUS_OK);
    assert_int_equal(less, empty);
}

static void closing_nothing_is_fine(void **state UNUSED)
{
    sql_conn_close(NULL);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_strict, close_conn)
    const struct CMUnitTest tests[] = {
        TEST(a_deadline_ends_a_statement_with_a_timeout),
        TEST(where_others_can_run_it_a_deadline_says_again),
        TEST(a_deadline_undoes_the_statement_that_it_ends),
        TEST(another_thread_may_interrupt),
        TEST(limits_are_those_of_the_profile),
        TEST(a_text_of_many_short_statements_may_be_long),
        TEST(a_nul_ends_no_statement_quietly),
        TEST(readers_cannot_write),
        TEST(a_reader_sees_each_commit_and_never_half_of_one),
        TEST(a_reader_that_closes_last_leaves_the_wal_alone),
        TEST(size_is_what_is_in_use),
        TEST(closing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
