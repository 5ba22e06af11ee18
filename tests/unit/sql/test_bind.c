/* JSON parameters to SQLite values. */
#include "../testing.h"

#include "fixture.h"

static void check_bound(const char *json, const char *type, const char *value)
{
    char params[2000], want[2200];

    snprintf(params, sizeof(params), "[%s]", json);
    snprintf(want, sizeof(want), "[{\"t\":\"%s\",\"v\":%s}]", type, value);
    CHECK_ROWS("SELECT typeof(?1) AS t, ?1 AS v", params, want);
}

static void each_json_type_binds_as_d1_binds_it(void **state UNUSED)
{
    check_bound("null", "null", "null");
    check_bound("true", "real", "1");
    check_bound("false", "real", "0");
    check_bound("1", "real", "1");
    check_bound("-1.5e3", "real", "-1500");
    check_bound("\"\"", "text", "\"\"");
    check_bound("\"a\\u0000b\"", "text", "\"a\\u0000b\"");
    check_bound("\"\xF0\x9F\x98\x80\"", "text", "\"\xF0\x9F\x98\x80\"");
    check_bound("[]", "blob", "[]");
    check_bound("[0,1,255]", "blob", "[0,1,255]");
}

static void numbers_in_arrays_wrap_as_in_a_uint8array(void **state UNUSED)
{
    check_bound("[256,-1,257,1.9,-1.9,1e3]", "blob", "[0,255,1,1,255,232]");
    check_bound("[1e300,-1e300]", "blob", "[0,0]");
}

static void integers_that_a_double_cannot_hold_stay_exact(void **state UNUSED)
{
    check_bound("9007199254740992", "real", "9007199254740992");
    check_bound("9007199254740993", "integer", "9007199254740993");
    check_bound("-9007199254740992", "real", "-9007199254740992");
    check_bound("-9007199254740993", "integer", "-9007199254740993");
    check_bound("9223372036854775807", "integer", "9223372036854775807");
    check_bound("-9223372036854775808", "integer", "-9223372036854775808");
    check_bound("9223372036854775808", "real", "9223372036854776000");
    check_bound("1e400", "real", "null");
}

static void what_cannot_be_bound_is_refused_with_its_place(void **state UNUSED)
{
    CHECK_ERROR("SELECT ?, ?", "[1,{\"a\":1}]", STATUS_INVALID,
                "The request is malformed: parameter 2 is an object; parameters are strings, numbers, booleans, null or "
                "arrays of bytes");
    CHECK_ERROR("SELECT ?", "[[1,\"2\"]]", STATUS_INVALID,
                "The request is malformed: parameter 1 is an array and stands for bytes, so it may hold numbers only");
    CHECK_ERROR("SELECT ?", "[[null]]", STATUS_INVALID,
                "The request is malformed: parameter 1 is an array and stands for bytes, so it may hold numbers only");
    CHECK_ERROR("SELECT ?", "[[[1]]]", STATUS_INVALID,
                "The request is malformed: parameter 1 is an array and stands for bytes, so it may hold numbers only");
}

static void the_number_of_parameters_must_be_right(void **state UNUSED)
{
    static const char wrong[] = "Wrong number of parameter bindings for SQL query.";

    CHECK_ERROR("SELECT ?", "[]", STATUS_SQL, wrong);
    CHECK_ERROR("SELECT ?", "[1,2]", STATUS_SQL, wrong);
    CHECK_ERROR("SELECT 1", "[1]", STATUS_SQL, wrong);
    CHECK_ROWS("SELECT ?3 AS c, ?1 AS a", "[1,2,3]", "[{\"c\":3,\"a\":1}]");
    CHECK_ROWS("SELECT :x AS a, @y AS b, :x AS c", "[1,2]", "[{\"a\":1,\"b\":2,\"c\":1}]");
}

static void nothing_bound_is_left_for_the_next_run(void **state UNUSED)
{
    struct sql_stmt *s;
    size_t consumed;

    CHECK_ROWS("SELECT ? AS a, ? AS b", "[\"x\",\"y\"]", "[{\"a\":\"x\",\"b\":\"y\"}]");
    CHECK_ERROR("SELECT ? AS a, ? AS b", "[\"z\",{}]", STATUS_INVALID,
                "The request is malformed: parameter 2 is an object; parameters are strings, numbers, booleans, null or "
                "arrays of bytes");
    assert_int_equal(sql_prepare(f.conn, SLICE_LIT("SELECT ? AS a, ? AS b"), &s, &consumed, &f.err), STATUS_OK);
    assert_int_equal(sql_stmt_n_params(s), 2);
    sql_stmt_done(f.conn, s);
    CHECK_ROWS("SELECT ? AS a, ? AS b", "[null,1]", "[{\"a\":null,\"b\":1}]");
}

static void numbers_keep_the_affinity_of_their_column(void **state UNUSED)
{
    must_run("CREATE TABLE t(i INTEGER, r REAL, t TEXT, b BLOB)");
    assert_int_equal(run("INSERT INTO t VALUES(?1,?1,?1,?1)", "[5]"), STATUS_OK);
    CHECK_ROWS("SELECT typeof(i) AS i, typeof(r) AS r, typeof(t) AS t, typeof(b) AS b, t AS v FROM t", "[]",
               "[{\"i\":\"integer\",\"r\":\"real\",\"t\":\"text\",\"b\":\"real\",\"v\":\"5.0\"}]");
}

static void a_value_beyond_the_limit_is_an_sql_error(void **state UNUSED)
{
    struct buf params = { 0 };

    buf_append_cstr(&params, "[\"");
    for (int i = 0; i < (8 << 20) + 100; i++)
        buf_append_char(&params, 'x');
    buf_append_cstr(&params, "\"]");
    assert_int_equal(run("SELECT length(?)", params.ptr), STATUS_SQL);
    assert_non_null(strstr(f.err.msg, "SQLITE_TOOBIG"));
    buf_release(&params);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_strict, close_conn)
    const struct CMUnitTest tests[] = {
        TEST(each_json_type_binds_as_d1_binds_it),
        TEST(numbers_in_arrays_wrap_as_in_a_uint8array),
        TEST(integers_that_a_double_cannot_hold_stay_exact),
        TEST(what_cannot_be_bound_is_refused_with_its_place),
        TEST(the_number_of_parameters_must_be_right),
        TEST(nothing_bound_is_left_for_the_next_run),
        TEST(numbers_keep_the_affinity_of_their_column),
        TEST(a_value_beyond_the_limit_is_an_sql_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
