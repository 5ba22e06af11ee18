/* SQLite's errors in D1's words: programs match on these texts. */
#include "../testing.h"

#include "fixture.h"

static const char begin_text[] =
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs "
    "instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will "
    "automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic "
    "write coalescing.";

static void syntax_errors_tell_their_place(void **state UNUSED)
{
    CHECK_ERROR("SELEC 1", "[]", STATUS_SQL, "near \"SELEC\": syntax error at offset 0: SQLITE_ERROR");
    CHECK_ERROR("SELECT 1 FORM t", "[]", STATUS_SQL, "near \"t\": syntax error at offset 14: SQLITE_ERROR");
    CHECK_ERROR("SELECT a FROM nix", "[]", STATUS_SQL, "no such table: nix: SQLITE_ERROR");
    CHECK_ERROR("SELECT nix", "[]", STATUS_SQL, "no such column: nix at offset 7: SQLITE_ERROR");
    CHECK_ERROR("SELECT 1 +", "[]", STATUS_SQL, "incomplete input: SQLITE_ERROR");
    CHECK_ERROR("SELECT 'never closed", "[]", STATUS_SQL, "unrecognized token: \"'never closed\" at offset 7: SQLITE_ERROR");
}

static void offsets_count_from_the_start_of_what_was_prepared(void **state UNUSED)
{
    CHECK_ERROR("SELECT 1; SELECT nix", "[]", STATUS_SQL, "no such column: nix at offset 7: SQLITE_ERROR");
}

static void constraints_have_their_extended_name(void **state UNUSED)
{
    must_run("CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL DEFAULT 1, c CHECK (c > 0), p REFERENCES t);"
             "INSERT INTO t(id, u) VALUES(1, 'x')");
    CHECK_ERROR("INSERT INTO t(id) VALUES(1)", "[]", STATUS_SQL,
                "UNIQUE constraint failed: t.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)");
    CHECK_ERROR("INSERT INTO t(u) VALUES('x')", "[]", STATUS_SQL,
                "UNIQUE constraint failed: t.u: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)");
    CHECK_ERROR("INSERT INTO t(n) VALUES(NULL)", "[]", STATUS_SQL,
                "NOT NULL constraint failed: t.n: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_NOTNULL)");
    CHECK_ERROR("INSERT INTO t(c) VALUES(0)", "[]", STATUS_SQL,
                "CHECK constraint failed: c > 0: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_CHECK)");
    CHECK_ERROR("INSERT INTO t(p) VALUES(99)", "[]", STATUS_SQL,
                "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)");
    CHECK_ERROR("INSERT INTO t(id) VALUES('x')", "[]", STATUS_SQL, "datatype mismatch: SQLITE_MISMATCH");
}

static void triggers_speak_for_themselves(void **state UNUSED)
{
    must_run("CREATE TABLE t(a); CREATE TRIGGER no BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'not on my watch'); END");
    CHECK_ERROR("INSERT INTO t VALUES(1)", "[]", STATUS_SQL,
                "not on my watch: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_TRIGGER)");
}

static void what_is_not_allowed_says_so(void **state UNUSED)
{
    CHECK_ERROR("BEGIN", "[]", STATUS_SQL, begin_text);
    CHECK_ERROR("COMMIT", "[]", STATUS_SQL, begin_text);
    CHECK_ERROR("SAVEPOINT a", "[]", STATUS_SQL, begin_text);
    CHECK_ERROR("ATTACH 'x' AS y", "[]", STATUS_SQL, "not authorized: SQLITE_AUTH");
    CHECK_ERROR("PRAGMA journal_mode = DELETE", "[]", STATUS_SQL, "not authorized: SQLITE_AUTH");
    CHECK_ERROR("SELECT load_extension('x')", "[]", STATUS_SQL, "not authorized: SQLITE_ERROR");
}

static void a_refused_transaction_does_not_colour_later_refusals(void **state UNUSED)
{
    CHECK_ERROR("BEGIN", "[]", STATUS_SQL, begin_text);
    CHECK_ERROR("ATTACH 'x' AS y", "[]", STATUS_SQL, "not authorized: SQLITE_AUTH");
}

static void a_full_database_is_told_from_a_full_disk(void **state UNUSED)
{
    struct sql_conn_options opt = { .path = f.path, .role = SQL_WRITER, .max_bytes = 64 << 10, .cache_kib = 256 };

    sql_conn_close(f.conn);
    f.conn = NULL;
    assert_int_equal(sql_conn_open(&opt, &f.conn, &f.err), STATUS_OK);
    must_run("CREATE TABLE t(a)");
    assert_int_equal(run("INSERT INTO t VALUES(zeroblob(100000))", "[]"), STATUS_FULL);
    assert_string_equal(f.err.msg,
                        "database or disk is full: SQLITE_FULL (the database has reached its size limit)");
    CHECK_ROWS("SELECT count(*) AS n FROM t", "[]", "[{\"n\":0}]");
}

static void a_file_that_is_no_database_is_corrupt(void **state UNUSED)
{
    char other[128];
    struct sql_conn_options opt = { .path = other, .role = SQL_WRITER, .cache_kib = 256 };
    struct sql_conn *c = NULL;

    snprintf(other, sizeof(other), "%s/junk", f.dir);
    FILE *junk = fopen(other, "w");
    for (int i = 0; i < 1000; i++)
        fputs("not a database ", junk);
    fclose(junk);
    assert_int_equal(sql_conn_open(&opt, &c, &f.err), STATUS_CORRUPT);
    assert_null(c);
    assert_non_null(strstr(f.err.msg, "SQLITE_NOTADB"));
}

static void a_missing_file_is_not_made_by_a_reader(void **state UNUSED)
{
    char other[128];
    struct sql_conn_options opt = { .path = other, .role = SQL_READER, .cache_kib = 256 };
    struct sql_conn *c = NULL;

    snprintf(other, sizeof(other), "%s/missing", f.dir);
    assert_int_equal(sql_conn_open(&opt, &c, &f.err), STATUS_IO);
    assert_null(c);
    assert_int_not_equal(access(other, F_OK), 0);
}

static void errors_of_our_own_statements_come_back_too(void **state UNUSED)
{
    int64_t v = 5;

    assert_int_equal(sql_exec(f.conn, "SELEC 1", &f.err), STATUS_SQL);
    assert_int_equal(sql_exec_i64(f.conn, "SELECT nix", &v, &f.err), STATUS_SQL);
    assert_int_equal(v, 5);
    assert_int_equal(sql_exec_i64(f.conn, "SELECT 1 WHERE 0", &v, &f.err), STATUS_OK);
    assert_int_equal(v, 0);
    assert_int_equal(sql_exec_i64(f.conn, "SELECT 7 UNION ALL SELECT 8", &v, &f.err), STATUS_OK);
    assert_int_equal(v, 7);
    /* Being trusted ends with the call. */
    CHECK_ERROR("PRAGMA journal_mode", "[]", STATUS_SQL, "not authorized: SQLITE_AUTH");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_strict, close_conn)
    const struct CMUnitTest tests[] = {
        TEST(syntax_errors_tell_their_place),
        TEST(offsets_count_from_the_start_of_what_was_prepared),
        TEST(constraints_have_their_extended_name),
        TEST(triggers_speak_for_themselves),
        TEST(what_is_not_allowed_says_so),
        TEST(a_refused_transaction_does_not_colour_later_refusals),
        TEST(a_full_database_is_told_from_a_full_disk),
        TEST(a_file_that_is_no_database_is_corrupt),
        TEST(a_missing_file_is_not_made_by_a_reader),
        TEST(errors_of_our_own_statements_come_back_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
