/*
 * The row counters and the other additions of deps/sqlite, on the pinned SQLite. The expected row
 * counts were observed on D1's local runtime; they are what a user sees in `meta`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dione_sqlite.h"

struct counts {
    uint64_t read, written;
};

/* Runs every statement of `sql` and returns the sum of their counters. */
static struct counts run(sqlite3 *db, const char *sql)
{
    struct counts sum = { 0, 0 };

    while (*sql != '\0') {
        sqlite3_stmt *stmt = NULL;
        uint64_t n_read, n_written;
        int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, &sql);

        if (rc != SQLITE_OK)
            fail_msg("%s", sqlite3_errmsg(db));
        if (stmt == NULL)
            break;
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
            continue;
        if (rc != SQLITE_DONE)
            fail_msg("%s", sqlite3_errmsg(db));
        dione_stmt_rows(stmt, &n_read, &n_written, 0);
        sum.read += n_read;
        sum.written += n_written;
        sqlite3_finalize(stmt);
    }
    return sum;
}

#define CHECK_COUNTS(db, sql, n_read, n_written)     \
    do {                                             \
        struct counts got_ = run((db), (sql));       \
        assert_int_equal(got_.read, (n_read));       \
        assert_int_equal(got_.written, (n_written)); \
    } while (0)

static int open_db(void **state)
{
    sqlite3 *db;

    if (sqlite3_open(":memory:", &db) != SQLITE_OK)
        return -1;
    *state = db;
    return 0;
}

static int close_db(void **state)
{
    return sqlite3_close(*state) == SQLITE_OK ? 0 : -1;
}

#define CREATE_T "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)"
#define THREE_ROWS "INSERT INTO t(a) VALUES('x'),('y'),('z')"

static void counts_of_create_table(void **state)
{
    CHECK_COUNTS(*state, CREATE_T, 2, 4);
}

static void counts_of_inserts(void **state)
{
    sqlite3 *db = *state;

    run(db, CREATE_T);
    CHECK_COUNTS(db, "INSERT INTO t(a) VALUES('x')", 1, 2);
    CHECK_COUNTS(db, THREE_ROWS, 1, 4);
}

static void counts_of_reads(void **state)
{
    sqlite3 *db = *state;

    run(db, CREATE_T ";" THREE_ROWS);
    CHECK_COUNTS(db, "SELECT count(*) FROM t", 3, 0);
    run(db, "INSERT INTO t(a) VALUES('w')");
    CHECK_COUNTS(db, "SELECT * FROM t", 4, 0);
    CHECK_COUNTS(db, "SELECT * FROM t WHERE id = 2", 1, 0);
    /* The sorter is not a stored b-tree: ordering costs no writes. */
    assert_int_equal(run(db, "SELECT a FROM t ORDER BY a").written, 0);
}

static void counts_of_an_index(void **state)
{
    sqlite3 *db = *state;

    run(db, CREATE_T ";" THREE_ROWS);
    CHECK_COUNTS(db, "CREATE INDEX t_a ON t(a)", 8, 4);
    CHECK_COUNTS(db, "SELECT * FROM t WHERE a = 'z'", 1, 0);
    /* Leaving the last equal entry for a further one is one more row. */
    CHECK_COUNTS(db, "SELECT * FROM t WHERE a = 'y'", 2, 0);
    CHECK_COUNTS(db, "SELECT * FROM t WHERE a = 'none'", 0, 0);
    /* An index entry is a row written too. */
    CHECK_COUNTS(db, "INSERT INTO t(a) VALUES('q')", 1, 3);
}

static void a_whole_table_delete_counts_every_row(void **state)
{
    sqlite3 *db = *state;

    run(db, "CREATE TABLE u(a); INSERT INTO u VALUES(1),(2),(3),(4),(5)");
    assert_int_equal(run(db, "DELETE FROM u").written, 5);
}

static void alter_table_counts_its_own_queries(void **state)
{
    sqlite3 *db = *state;

    run(db, "CREATE TABLE u(a)");
    CHECK_COUNTS(db, "ALTER TABLE u ADD COLUMN b", 3, 1);
    CHECK_COUNTS(db, "DROP TABLE u", 2, 0);
}

static void virtual_tables_count(void **state)
{
    sqlite3 *db = *state;

    run(db, "CREATE VIRTUAL TABLE v USING rtree(id, x0, x1); INSERT INTO v VALUES(1,0,1),(2,1,2)");
    assert_int_equal(run(db, "INSERT INTO v VALUES(3,2,3)").written, 1);
    assert_int_equal(run(db, "SELECT * FROM v").read, 3);
}

static void counters_add_up_until_they_are_reset(void **state)
{
    sqlite3 *db = *state;
    sqlite3_stmt *stmt;
    uint64_t n_read, n_written;

    run(db, CREATE_T ";" THREE_ROWS);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &stmt, NULL), SQLITE_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        assert_int_equal(sqlite3_reset(stmt), SQLITE_OK);
    }
    dione_stmt_rows(stmt, &n_read, &n_written, 1);
    assert_int_equal(n_read, 6);
    assert_int_equal(n_written, 0);
    dione_stmt_rows(stmt, &n_read, NULL, 0);
    assert_int_equal(n_read, 0);

    /* A schema change makes the next step prepare again; what was counted before stays. */
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_reset(stmt), SQLITE_OK);
    run(db, "CREATE TABLE other(a)");
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_reset(stmt), SQLITE_OK);
    assert_int_equal(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_REPREPARE, 0), 1);
    dione_stmt_rows(stmt, &n_read, NULL, 0);
    assert_int_equal(n_read, 6);
    sqlite3_finalize(stmt);
}

static void update_and_delete_take_a_limit(void **state)
{
    sqlite3 *db = *state;

    run(db, "CREATE TABLE u(a); INSERT INTO u VALUES(1),(2),(3),(4),(5)");
    CHECK_COUNTS(db, "UPDATE u SET a = 0 ORDER BY a DESC LIMIT 2", 18, 2);
    assert_int_equal(sqlite3_changes(db), 2);
    CHECK_COUNTS(db, "DELETE FROM u WHERE a > 0 LIMIT 1", 4, 1);
    assert_int_equal(sqlite3_changes(db), 1);
}

/* For ALTER TABLE the authorizer gets the database, the table and, by our patch, the new name. */
static int note_rename(void *ud, int action, const char *db_name, const char *table,
                       const char *new_name, const char *trigger)
{
    char *text = ud;

    (void)db_name;
    (void)trigger;
    if (action != SQLITE_ALTER_TABLE)
        return SQLITE_OK;
    (void)snprintf(text, 64, "%s>%s", table, new_name != NULL ? new_name : "(null)");
    return new_name != NULL && strncmp(new_name, "_cf_", 4) == 0 ? SQLITE_DENY : SQLITE_OK;
}

static void the_authorizer_sees_the_new_name_of_a_table(void **state)
{
    sqlite3 *db = *state;
    char seen[64] = "";

    run(db, "CREATE TABLE u(a)");
    sqlite3_set_authorizer(db, note_rename, seen);
    run(db, "ALTER TABLE u RENAME TO w");
    assert_string_equal(seen, "u>w");
    assert_int_equal(sqlite3_exec(db, "ALTER TABLE w RENAME TO _cf_x", NULL, NULL, NULL),
                     SQLITE_AUTH);
    run(db, "ALTER TABLE w RENAME COLUMN a TO b");
    assert_string_equal(seen, "w>(null)");
    sqlite3_set_authorizer(db, NULL, NULL);
}

static void page_counts_are_those_of_the_transaction(void **state)
{
    sqlite3 *db = *state;
    uint32_t n_pages, n_before, n_free;

    run(db, "CREATE TABLE u(a); INSERT INTO u VALUES(randomblob(20000))");
    assert_int_equal(dione_db_pages(db, &n_before, &n_free), SQLITE_OK);
    assert_int_equal(n_free, 0);
    assert_int_equal(sqlite3_txn_state(db, "main"), SQLITE_TXN_NONE);

    run(db, "BEGIN IMMEDIATE; INSERT INTO u VALUES(randomblob(40000))");
    assert_int_equal(dione_db_pages(db, &n_pages, NULL), SQLITE_OK);
    assert_in_range(n_pages, n_before + 9, n_before + 12);
    assert_int_equal(sqlite3_txn_state(db, "main"), SQLITE_TXN_WRITE);
    run(db, "DELETE FROM u");
    assert_int_equal(dione_db_pages(db, NULL, &n_free), SQLITE_OK);
    assert_true(n_free > 0);
    run(db, "ROLLBACK");
    assert_int_equal(dione_db_pages(db, &n_pages, &n_free), SQLITE_OK);
    assert_int_equal(n_pages, n_before);
    assert_int_equal(n_free, 0);
}

static void page_counts_report_a_file_that_is_no_database(void **state)
{
    char path[] = "/tmp/dione-test-XXXXXX";
    static const char junk[2048] = "this is not a database";
    uint32_t n_pages = 77, n_free = 77;
    sqlite3 *db;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(dione_db_pages(db, &n_pages, &n_free), SQLITE_NOTADB);
    assert_int_equal(n_pages, 77);
    assert_int_equal(n_free, 77);
    sqlite3_close(db);
    unlink(path);
}

static void header_values_follow_the_transaction(void **state)
{
    sqlite3 *db = *state;
    uint32_t value;

    assert_int_equal(dione_db_meta_set(db, DIONE_META_USER_VERSION, 5), SQLITE_MISUSE);
    run(db, "BEGIN IMMEDIATE");
    assert_int_equal(dione_db_meta_set(db, DIONE_META_USER_VERSION, 5), SQLITE_OK);
    assert_int_equal(dione_db_meta_set(db, DIONE_META_APPLICATION_ID, 0xd10e), SQLITE_OK);
    run(db, "SAVEPOINT s");
    assert_int_equal(dione_db_meta_set(db, DIONE_META_USER_VERSION, 6), SQLITE_OK);
    run(db, "ROLLBACK TO s");
    run(db, "COMMIT");
    assert_int_equal(dione_db_meta_get(db, DIONE_META_USER_VERSION, &value), SQLITE_OK);
    assert_int_equal(value, 5);
    assert_int_equal(dione_db_meta_get(db, DIONE_META_APPLICATION_ID, &value), SQLITE_OK);
    assert_int_equal(value, 0xd10e);
    assert_int_equal(dione_db_meta_get(db, 2, &value), SQLITE_RANGE);
    assert_int_equal(dione_db_meta_set(db, 2, 3), SQLITE_RANGE);
}

static void deferred_foreign_keys_are_counted(void **state)
{
    sqlite3 *db = *state;

    run(db, "CREATE TABLE p(id INTEGER PRIMARY KEY);"
            "CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED);"
            "BEGIN; INSERT INTO c VALUES(1),(2)");
    assert_int_equal(dione_deferred_fks(db), 2);
    run(db, "INSERT INTO p VALUES(1)");
    assert_int_equal(dione_deferred_fks(db), 1);
    run(db, "ROLLBACK");
    assert_int_equal(dione_deferred_fks(db), 0);
}

static void the_page_table_exists_only_where_enabled(void **state)
{
    sqlite3 *db = *state;
    sqlite3_stmt *stmt = NULL;

    run(db, "CREATE TABLE u(a)");
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT * FROM sqlite_dbpage", -1, &stmt, NULL),
                     SQLITE_ERROR);
    assert_string_equal(sqlite3_errmsg(db), "no such table: sqlite_dbpage");
    assert_int_equal(dione_dbpage_enable(db), SQLITE_OK);
    run(db, "SELECT * FROM sqlite_dbpage");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_db, close_db)
    const struct CMUnitTest tests[] = {
        TEST(counts_of_create_table),
        TEST(counts_of_inserts),
        TEST(counts_of_reads),
        TEST(counts_of_an_index),
        TEST(a_whole_table_delete_counts_every_row),
        TEST(alter_table_counts_its_own_queries),
        TEST(virtual_tables_count),
        TEST(counters_add_up_until_they_are_reset),
        TEST(update_and_delete_take_a_limit),
        TEST(the_authorizer_sees_the_new_name_of_a_table),
        TEST(page_counts_are_those_of_the_transaction),
        TEST(page_counts_report_a_file_that_is_no_database),
        TEST(header_values_follow_the_transaction),
        TEST(deferred_foreign_keys_are_counted),
        TEST(the_page_table_exists_only_where_enabled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
