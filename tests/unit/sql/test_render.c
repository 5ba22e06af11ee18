/* Rows to JSON: every type, column names that need care or occur twice, both formats, and the meta behind them. */
#include "../testing.h"

#include "fixture.h"

static void check_arrays(const char *text, const char *want)
{
    if (run_on(f.conn, slice_cstr(text), "[]", SQL_ARRAYS) != STATUS_OK)
        fail_msg("%s", f.err.msg);
    assert_string_equal(results(), want);
}

static void every_type_has_its_json(void **state UNUSED)
{
    CHECK_ROWS("SELECT NULL AS n, 1 AS i, -9223372036854775808 AS least, 9223372036854775807 AS most", "[]",
               "[{\"n\":null,\"i\":1,\"least\":-9223372036854775808,\"most\":9223372036854775807}]");
    CHECK_ROWS("SELECT 1.5 AS r, 1e300 AS big, 0.1 AS tenth, 1.0 AS one, 9e999 AS inf, -0.0 AS zero", "[]",
               "[{\"r\":1.5,\"big\":1e+300,\"tenth\":0.1,\"one\":1,\"inf\":null,\"zero\":0}]");
    CHECK_ROWS("SELECT 'a\"\\b' || char(10) || 'ä€😀' AS t, '' AS e", "[]",
               "[{\"t\":\"a\\\"\\\\b\\nä€😀\",\"e\":\"\"}]");
    CHECK_ROWS("SELECT x'00ff7f' AS b, x'' AS e, zeroblob(3) AS z", "[]", "[{\"b\":[0,255,127],\"e\":[],\"z\":[0,0,0]}]");
    CHECK_ROWS("SELECT cast(x'61ff62' AS TEXT) AS bad", "[]", "[{\"bad\":\"a\xEF\xBF\xBD" "b\"}]");
    CHECK_ROWS("SELECT 'a' || char(0) || 'b' AS nul", "[]", "[{\"nul\":\"a\\u0000b\"}]");
}

static void rows_are_separated_and_none_is_an_empty_array(void **state UNUSED)
{
    CHECK_ROWS("VALUES (1),(2),(3)", "[]", "[{\"column1\":1},{\"column1\":2},{\"column1\":3}]");
    CHECK_ROWS("SELECT 1 AS a WHERE 0", "[]", "[]");
    CHECK_ROWS("CREATE TABLE t(a)", "[]", "[]");
    check_arrays("VALUES (1,'x'),(2,NULL)", "{\"columns\":[\"column1\",\"column2\"],\"rows\":[[1,\"x\"],[2,null]]}");
    check_arrays("SELECT 1 AS a, 2 AS b WHERE 0", "{\"columns\":[\"a\",\"b\"],\"rows\":[]}");
    check_arrays("DROP TABLE t", "{\"columns\":[],\"rows\":[]}");
}

static void a_name_that_occurs_twice_shows_the_last_value_at_the_first_place(void **state UNUSED)
{
    CHECK_ROWS("SELECT 1 AS a, 2 AS b, 3 AS a", "[]", "[{\"a\":3,\"b\":2}]");
    CHECK_ROWS("SELECT 1 AS a, 2 AS a, 3 AS a, 4 AS A", "[]", "[{\"a\":3,\"A\":4}]");
    CHECK_ROWS("SELECT 1 AS a, 2 AS b, 3 AS b, 4 AS a, 5 AS c, 6 AS b", "[]", "[{\"a\":4,\"b\":6,\"c\":5}]");
    check_arrays("SELECT 1 AS a, 2 AS b, 3 AS a", "{\"columns\":[\"a\",\"b\",\"a\"],\"rows\":[[1,2,3]]}");
}

static void names_are_escaped(void **state UNUSED)
{
    CHECK_ROWS("SELECT 1 AS \"a\"\"b\\c\", 2 AS \"\", 3 AS \"ä\", count(*)", "[]",
               "[{\"a\\\"b\\\\c\":1,\"\":2,\"ä\":3,\"count(*)\":1}]");
}

static void meta_tells_what_a_statement_did(void **state UNUSED)
{
    must_run("CREATE TABLE t(id INTEGER PRIMARY KEY, a)");
    assert_true(f.meta.changed_db);
    assert_int_equal(f.meta.size_after, 8192);
    must_run("INSERT INTO t(a) VALUES('x'),('y'),('z')");
    assert_int_equal(f.meta.changes, 3);
    assert_int_equal(f.meta.last_row_id, 3);
    assert_int_equal(f.meta.rows_written, 3);
    assert_true(f.meta.changed_db);
    must_run("SELECT * FROM t");
    assert_int_equal(f.meta.changes, 0);
    assert_int_equal(f.meta.rows_read, 3);
    assert_int_equal(f.meta.rows_written, 0);
    assert_int_equal(f.meta.rows_returned, 3);
    assert_false(f.meta.changed_db);
    must_run("UPDATE t SET a = 'w' WHERE id > 1");
    assert_int_equal(f.meta.changes, 2);
    assert_int_equal(f.meta.last_row_id, 3);
    must_run("UPDATE t SET a = 1 WHERE id > 10");
    assert_int_equal(f.meta.changes, 0);
    assert_false(f.meta.changed_db);
    must_run("DELETE FROM t WHERE id = 2 RETURNING id, a");
    assert_string_equal(results(), "[{\"id\":2,\"a\":\"w\"}]");
    assert_int_equal(f.meta.changes, 1);
}

static void meta_is_written_in_full(void **state UNUSED)
{
    char want[600], ms[32];
    struct buf b = { 0 };

    must_run("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t(a) VALUES(1)");
    json_write_ms(&b, f.meta.duration_ns);
    snprintf(ms, sizeof(ms), "%s", b.ptr);
    snprintf(want, sizeof(want),
             "{\"results\":[],\"success\":true,\"meta\":{\"served_by\":\"dione\",\"served_by_region\":\"LOCAL\","
             "\"served_by_colo\":\"LOC\",\"served_by_primary\":true,\"timings\":{\"sql_duration_ms\":%s},\"duration\":%s,"
             "\"changes\":1,\"last_row_id\":1,\"changed_db\":true,\"size_after\":8192,\"rows_read\":%llu,"
             "\"rows_written\":1,\"total_attempts\":1}}",
             ms, ms, (unsigned long long)f.meta.rows_read);
    assert_string_equal(f.out.ptr, want);
    buf_release(&b);
}

static void a_reader_tells_what_it_was_told(void **state UNUSED)
{
    struct sql_shared_state shared = { .last_row_id = 77, .size_bytes = 123 };
    struct sql_stmt *s;
    size_t consumed;

    must_run("CREATE TABLE t(a)");
    struct sql_conn *c = open_conn(SQL_READER, SQL_STRICT, 4);
    assert_int_equal(sql_prepare(c, SLICE_LIT("SELECT count(*) AS n FROM t"), &s, &consumed, &f.err), STATUS_OK);
    buf_clear(&f.out);
    assert_int_equal(sql_run(c, s, NULL, 0, SQL_OBJECTS, &shared, &f.out, &f.meta, &f.err), STATUS_OK);
    sql_stmt_done(c, s);
    assert_int_equal(f.meta.last_row_id, 77);
    assert_int_equal(f.meta.size_after, 123);
    assert_false(f.meta.changed_db);
    sql_conn_close(c);
}

/* At every limit the answer is whole, or it is refused and what was there before is untouched. */
static void a_result_beyond_the_limit_is_refused_whole(void **state UNUSED)
{
    struct sql_stmt *s;
    size_t consumed, full = 0, refused = 0;

    for (enum sql_format format = SQL_OBJECTS; format <= SQL_ARRAYS; format++) {
        assert_int_equal(sql_prepare(f.conn, SLICE_LIT("VALUES (1,'some text'),(2,NULL),(3,'more')"), &s, &consumed, &f.err),
                         STATUS_OK);
        bool done = false;
        for (size_t limit = 10; !done; limit++) {
            struct buf out = { .limit = limit };
            buf_append_cstr(&out, "before,");
            enum status st = sql_run(f.conn, s, NULL, 0, format, NULL, &out, &f.meta, &f.err);
            assert_false(out.overflowed);
            if (st == STATUS_OK) {
                assert_true(out.len <= limit);
                assert_string_equal(out.ptr + out.len - 21, ",\"total_attempts\":1}}");
                done = true;
                full++;
            } else {
                assert_int_equal(st, STATUS_TOOBIG);
                assert_int_equal(out.len, 7);
                refused++;
            }
            buf_release(&out);
        }
        sql_stmt_done(f.conn, s);
    }
    assert_int_equal(full, 2);
    assert_true(refused > 500);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_strict, close_conn)
    const struct CMUnitTest tests[] = {
        TEST(every_type_has_its_json),
        TEST(rows_are_separated_and_none_is_an_empty_array),
        TEST(a_name_that_occurs_twice_shows_the_last_value_at_the_first_place),
        TEST(names_are_escaped),
        TEST(meta_tells_what_a_statement_did),
        TEST(meta_is_written_in_full),
        TEST(a_reader_tells_what_it_was_told),
        TEST(a_result_beyond_the_limit_is_refused_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
