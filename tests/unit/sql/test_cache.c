/* The statement cache: what is kept, what goes first, statistics, and what a schema change does to a kept statement. */
#include "../testing.h"

#include "fixture.h"

static bool is_cached(const char *text)
{
    return sql_cache_find(f.conn, slice_cstr(text)) != NULL;
}

static void the_least_recently_used_statement_goes_first(void **state UNUSED)
{
    must_run("SELECT 1");
    must_run("SELECT 2");
    must_run("SELECT 3");
    must_run("SELECT 4");
    must_run("SELECT 1"); /* now 2 is the oldest */
    must_run("SELECT 5");
    assert_true(is_cached("SELECT 1"));
    assert_false(is_cached("SELECT 2"));
    assert_true(is_cached("SELECT 3"));
    must_run("SELECT 6");
    must_run("SELECT 7");
    must_run("SELECT 8");
    assert_false(is_cached("SELECT 1"));
    assert_true(is_cached("SELECT 5"));
}

static void a_text_is_prepared_once(void **state UNUSED)
{
    struct sql_stmt *first, *second;
    size_t consumed;

    assert_int_equal(sql_prepare(f.conn, SLICE_LIT("SELECT 1 ; "), &first, &consumed, &f.err), STATUS_OK);
    assert_int_equal(consumed, 11);
    CHECK_SLICE(sql_stmt_text(first), "SELECT 1 ; ");
    sql_stmt_done(f.conn, first);
    assert_int_equal(sql_prepare(f.conn, SLICE_LIT("SELECT 1 ; "), &second, &consumed, &f.err), STATUS_OK);
    assert_ptr_equal(first, second);
    assert_int_equal(consumed, 11);
    sql_stmt_done(f.conn, second);
    assert_false(is_cached("SELECT 1"));
    assert_false(is_cached("select 1 ; "));
}

static void a_text_in_use_twice_has_two_statements(void **state UNUSED)
{
    struct sql_stmt *first, *second;
    size_t consumed;

    assert_int_equal(sql_prepare(f.conn, SLICE_LIT("SELECT 1"), &first, &consumed, &f.err), STATUS_OK);
    assert_int_equal(sql_prepare(f.conn, SLICE_LIT("SELECT 1"), &second, &consumed, &f.err), STATUS_OK);
    assert_ptr_not_equal(first, second);
    sql_stmt_done(f.conn, second);
    sql_stmt_done(f.conn, first);
    assert_true(is_cached("SELECT 1"));
}

static void statements_out_of_a_longer_text_are_kept_by_their_own(void **state UNUSED)
{
    must_run("SELECT 1; SELECT 2");
    assert_true(is_cached("SELECT 1; "));
    assert_true(is_cached("SELECT 2"));
    assert_false(is_cached("SELECT 1; SELECT 2"));
}

static void a_statement_in_use_outlives_its_place_in_the_cache(void **state UNUSED)
{
    struct sql_stmt *s;
    size_t consumed;
    char text[32];

    assert_int_equal(sql_prepare(f.conn, SLICE_LIT("SELECT ? AS a"), &s, &consumed, &f.err), STATUS_OK);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "SELECT %d", i);
        must_run(text);
    }
    assert_false(is_cached("SELECT ? AS a"));
    struct json one = { .type = JSON_NUMBER, .is_integer = true, .text = SLICE_LIT("1") };
    buf_clear(&f.out);
    assert_int_equal(sql_run(f.conn, s, &one, 1, SQL_OBJECTS, NULL, &f.out, &f.meta, &f.err), STATUS_OK);
    assert_string_equal(results(), "[{\"a\":1}]");
    sql_stmt_done(f.conn, s);
}

static void without_a_cache_nothing_is_kept(void **state UNUSED)
{
    struct sql_conn *c = open_conn(SQL_WRITER, SQL_STRICT, 0);

    assert_int_equal(run_on(c, SLICE_LIT("SELECT 1; SELECT 1"), "[]", SQL_OBJECTS), STATUS_OK);
    assert_null(sql_cache_find(c, SLICE_LIT("SELECT 1")));
    sql_conn_close(c);
}

static void blank_texts_hold_no_statement(void **state UNUSED)
{
    static const char *const blank[] = { " ", ";", "-- x", "/* x */ ;", "\n\t" };

    for (size_t i = 0; i < ARRAY_LEN(blank); i++) {
        struct sql_stmt *s = (struct sql_stmt *)1;
        size_t consumed = 0;
        assert_int_equal(sql_prepare(f.conn, slice_cstr(blank[i]), &s, &consumed, &f.err), STATUS_OK);
        assert_null(s);
        assert_int_equal(consumed, strlen(blank[i]));
    }
    sql_stmt_done(f.conn, NULL);
}

/* ---- statistics ---- */

static struct collected {
    int n;
    struct sql_stmt_stats selects, inserts;
    bool insert_writes, select_writes;
} collected;

static void collect_one(struct slice text, const struct sql_stmt_stats *stats, bool is_write, void *arg)
{
    struct collected *c = arg;
    bool insert = slice_starts(text, SLICE_LIT("INSERT"));

    c->n++;
    *(insert ? &c->inserts : &c->selects) = *stats;
    *(insert ? &c->insert_writes : &c->select_writes) = is_write;
}

static void statistics_add_up_until_they_are_collected(void **state UNUSED)
{
    must_run("CREATE TABLE t(a)");
    sql_cache_collect(f.conn, collect_one, &collected);
    collected = (struct collected){ 0 };
    for (int i = 0; i < 3; i++)
        must_run("INSERT INTO t VALUES(1),(2)");
    must_run("SELECT * FROM t WHERE a = 1");
    must_run("SELECT * FROM t WHERE a = 1");
    assert_int_not_equal(run("SELECT * FROM t WHERE a = 1", "[1]"), STATUS_OK); /* does not count */
    sql_cache_collect(f.conn, collect_one, &collected);
    assert_int_equal(collected.n, 2);
    assert_int_equal(collected.inserts.count, 3);
    assert_int_equal(collected.inserts.rows_written, 6);
    assert_true(collected.insert_writes);
    assert_int_equal(collected.selects.count, 2);
    assert_int_equal(collected.selects.rows_read, 12);
    assert_int_equal(collected.selects.rows_returned, 6);
    assert_false(collected.select_writes);
    assert_true(collected.selects.duration_ns > 0);
    collected.n = 0;
    sql_cache_collect(f.conn, collect_one, &collected);
    assert_int_equal(collected.n, 0);
}

static void the_mark_for_slow_texts_stays_with_the_statement(void **state UNUSED)
{
    must_run("SELECT 1");
    *sql_stmt_slow(sql_cache_find(f.conn, SLICE_LIT("SELECT 1"))) = 3;
    must_run("SELECT 1");
    assert_int_equal(*sql_stmt_slow(sql_cache_find(f.conn, SLICE_LIT("SELECT 1"))), 3);
}

/* ---- schema changes ---- */

static void a_kept_select_follows_added_renamed_and_dropped_columns(void **state UNUSED)
{
    must_run("CREATE TABLE t(a, b); INSERT INTO t VALUES(1, 2)");
    CHECK_ROWS("SELECT * FROM t", "[]", "[{\"a\":1,\"b\":2}]");
    must_run("ALTER TABLE t ADD COLUMN c DEFAULT 3");
    assert_true(is_cached("SELECT * FROM t"));
    CHECK_ROWS("SELECT * FROM t", "[]", "[{\"a\":1,\"b\":2,\"c\":3}]");
    must_run("ALTER TABLE t RENAME COLUMN b TO other");
    CHECK_ROWS("SELECT * FROM t", "[]", "[{\"a\":1,\"other\":2,\"c\":3}]");
    must_run("ALTER TABLE t DROP COLUMN a");
    CHECK_ROWS("SELECT * FROM t", "[]", "[{\"other\":2,\"c\":3}]");
    must_run("DROP TABLE t; CREATE TABLE t(x)");
    CHECK_ROWS("SELECT * FROM t", "[]", "[]");
    assert_int_equal(run_on(f.conn, SLICE_LIT("SELECT * FROM t"), "[]", SQL_ARRAYS), STATUS_OK);
    assert_string_equal(results(), "{\"columns\":[\"x\"],\"rows\":[]}");
}

static void a_kept_select_whose_table_is_gone_says_so_and_recovers(void **state UNUSED)
{
    must_run("CREATE TABLE t(a)");
    CHECK_ROWS("SELECT a FROM t", "[]", "[]");
    must_run("DROP TABLE t");
    CHECK_ERROR("SELECT a FROM t", "[]", STATUS_SQL, "no such table: t: SQLITE_ERROR");
    must_run("CREATE TABLE t(b, a); INSERT INTO t VALUES(1, 2)");
    CHECK_ROWS("SELECT a FROM t", "[]", "[{\"a\":2}]");
}

static void another_connections_change_is_seen_too(void **state UNUSED)
{
    struct sql_conn *reader = open_conn(SQL_READER, SQL_STRICT, 4);
    struct slice text = SLICE_LIT("SELECT * FROM t");

    must_run("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    assert_int_equal(run_on(reader, text, "[]", SQL_OBJECTS), STATUS_OK);
    assert_string_equal(results(), "[{\"a\":1}]");
    must_run("ALTER TABLE t RENAME COLUMN a TO b");
    assert_int_equal(run_on(reader, text, "[]", SQL_OBJECTS), STATUS_OK);
    assert_string_equal(results(), "[{\"b\":1}]");
    must_run("ALTER TABLE t ADD COLUMN c");
    assert_int_equal(run_on(reader, text, "[]", SQL_ARRAYS), STATUS_OK);
    assert_string_equal(results(), "{\"columns\":[\"b\",\"c\"],\"rows\":[[1,null]]}");
    /* What is prepared anew knows the schema of the epoch that it was told of. */
    must_run("CREATE TABLE u(a)");
    assert_int_equal(sql_conn_use_schema(reader, 1, &f.err), STATUS_OK);
    assert_null(sql_cache_find(reader, text));
    assert_int_equal(run_on(reader, SLICE_LIT("SELECT * FROM u"), "[]", SQL_OBJECTS), STATUS_OK);
    assert_int_equal(sql_conn_use_schema(reader, 1, &f.err), STATUS_OK);
    assert_non_null(sql_cache_find(reader, SLICE_LIT("SELECT * FROM u")));
    sql_conn_close(reader);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_strict, close_conn)
    const struct CMUnitTest tests[] = {
        TEST(the_least_recently_used_statement_goes_first),
        TEST(a_text_is_prepared_once),
        TEST(a_text_in_use_twice_has_two_statements),
        TEST(statements_out_of_a_longer_text_are_kept_by_their_own),
        TEST(a_statement_in_use_outlives_its_place_in_the_cache),
        TEST(without_a_cache_nothing_is_kept),
        TEST(blank_texts_hold_no_statement),
        TEST(statistics_add_up_until_they_are_collected),
        TEST(the_mark_for_slow_texts_stays_with_the_statement),
        TEST(a_kept_select_follows_added_renamed_and_dropped_columns),
        TEST(a_kept_select_whose_table_is_gone_says_so_and_recovers),
        TEST(another_connections_change_is_seen_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
