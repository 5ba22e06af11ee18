/* Reads: on the loop, moved to the pool when they take long, always of one whole state and never of an older one. */
#include "../testing.h"

#include "asking.h"

/* Some hundred milliseconds of work: too much for a loop. */
#define SLOW "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 300000) SELECT count(*) AS n FROM c"
#define ENDLESS "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) AS n FROM c"

static void reads_see_every_write_that_was_answered(void **state UNUSED)
{
    char want[64];

    must_ask("CREATE TABLE t(a)");
    for (int i = 1; i <= 50; i++) {
        must_ask("INSERT INTO t VALUES(1)");
        uint64_t commit = last.commit;
        snprintf(want, sizeof(want), "[{\"n\":%d}]", i);
        CHECK_ASK("SELECT count(*) AS n FROM t", want);
        assert_int_equal(last.commit, commit);
        CHECK_ASK("SELECT count(*) AS n FROM t", want);
    }
}

static void reads_see_every_schema_change_that_was_answered(void **state UNUSED)
{
    char text[128], want[128];

    must_ask("CREATE TABLE t(c0); INSERT INTO t VALUES(1)");
    for (int i = 0; i < 10; i++) {
        snprintf(want, sizeof(want), "[{\"c%d\":1}]", i);
        CHECK_ASK("SELECT * FROM t", want);
        snprintf(text, sizeof(text), "ALTER TABLE t RENAME COLUMN c%d TO c%d", i, i + 1);
        must_ask(text);
    }
    must_ask("DROP TABLE t");
    assert_int_equal(ask_on(db, "SELECT * FROM t"), STATUS_SQL);
    assert_string_equal(last.text, "no such table: t: SQLITE_ERROR");
    must_ask("CREATE TABLE t(x)");
    CHECK_ASK("SELECT * FROM t", "[]");
}

static void a_slow_read_ends_in_the_pool_with_the_same_answer(void **state UNUSED)
{
    for (int i = 0; i < 3; i++) {
        CHECK_ASK(SLOW, "[{\"n\":300000}]");
        assert_int_equal(last.n_results, 1);
        assert_int_equal(last.commit, 0);
    }
    must_ask("CREATE TABLE t(a)");
    CHECK_ASK(SLOW, "[{\"n\":300000}]");
    assert_int_equal(last.commit, 1);
}

static void a_batch_with_a_slow_read_answers_each_statement_once(void **state UNUSED)
{
    assert_int_equal(ask_on(db, "SELECT 1 AS a; " SLOW "; SELECT 3 AS c"), STATUS_OK);
    assert_int_equal(last.n_results, 3);
    assert_non_null(strstr(last.text, "[{\"a\":1}]"));
    assert_non_null(strstr(last.text, "[{\"n\":300000}]"));
    assert_non_null(strstr(last.text, "[{\"c\":3}]"));
    assert_memory_equal(last.text, "{\"results\":[{\"a\":1}]", 20);
}

static void slow_reads_leave_the_loop_free(void **state UNUSED)
{
    struct ask slow[4];

    must_ask("CREATE TABLE t(a)");
    for (int i = 0; i < 4; i++) {
        ask_init(&slow[i], db, ENDLESS);
        ask_start(&slow[i]);
    }
    for (int i = 0; i < 20; i++) {
        must_ask("SELECT 1");
        must_ask("INSERT INTO t VALUES(1)");
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask_wait(&slow[i]), STATUS_TIMEOUT);
        assert_int_equal(slow[i].r.out.len, 0);
        ask_release(&slow[i]);
    }
}

static int setup_quick(void **state UNUSED)
{
    memset(&f, 0, sizeof(f));
    f.statement_limit_ms = 300;
    f.max_result_bytes = 20000;
    return setup_profile(SQL_STRICT);
}

static void a_read_has_a_time_limit(void **state UNUSED)
{
    assert_int_equal(ask_on(db, ENDLESS), STATUS_TIMEOUT);
    assert_string_equal(last.text, "D1 DB storage operation exceeded timeout which caused object to be reset.");
    CHECK_ASK("SELECT 1 AS a", "[{\"a\":1}]");
}

static void a_result_has_a_size_limit(void **state UNUSED)
{
    assert_int_equal(ask_on(db, "SELECT hex(zeroblob(15000)) AS a"), STATUS_TOOBIG);
    CHECK_ASK("SELECT length(hex(zeroblob(4000))) AS a", "[{\"a\":8000}]");
    assert_int_equal(ask_on(db, "SELECT hex(zeroblob(4000)); SELECT hex(zeroblob(4000)); SELECT hex(zeroblob(4000))"),
                     STATUS_TOOBIG);
    /* A write whose answer is too large has not happened. */
    must_ask("CREATE TABLE t(a)");
    assert_int_equal(ask_on(db, "INSERT INTO t VALUES(hex(zeroblob(15000))) RETURNING a"), STATUS_TOOBIG);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":0}]");
}

static void what_stood_in_the_answer_before_stays(void **state UNUSED)
{
    static const char *const texts[] = { "SELECT 1 AS a; SELECT nix", SLOW "; SELECT nix", "CREATE TABLE t(a); SELECT nix" };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct ask a;
        ask_init(&a, db, texts[i]);
        buf_append_cstr(&a.r.out, "before:");
        ask_start(&a);
        assert_int_equal(ask_wait(&a), STATUS_SQL);
        CHECK_SLICE(buf_slice(&a.r.out), "before:");
        ask_release(&a);
    }
}

/* ---- one request, several statements ---- */

static void parameters_go_to_statements_from_left_to_right(void **state UNUSED)
{
    struct ask a;

    ask_init(&a, db, "SELECT ? AS a, ? AS b; SELECT 1; SELECT ? AS c");
    ask_params(&a, 0, "[1,\"two\",3]");
    ask_start(&a);
    assert_int_equal(ask_last(&a), STATUS_OK);
    assert_non_null(strstr(last.text, "[{\"a\":1,\"b\":\"two\"}]"));
    assert_non_null(strstr(last.text, "[{\"c\":3}]"));
    static const char *const wrong[] = { "[1,2]", "[1,2,3,4]", "[]" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ask_init(&a, db, "SELECT ? AS a, ? AS b; SELECT 1; SELECT ? AS c");
        ask_params(&a, 0, wrong[i]);
        ask_start(&a);
        assert_int_equal(ask_last(&a), STATUS_SQL);
        assert_string_equal(last.text, "Wrong number of parameter bindings for SQL query.");
    }
}

static void entries_are_one_transaction(void **state UNUSED)
{
    struct ask a;

    must_ask("CREATE TABLE t(a UNIQUE)");
    ask_init(&a, db, "INSERT INTO t VALUES(?)");
    ask_params(&a, 0, "[1]");
    a.entries[1].sql = SLICE_LIT("-- nothing here\n");
    a.entries[2].sql = SLICE_LIT("INSERT INTO t VALUES(?)");
    ask_params(&a, 2, "[2]");
    a.r.n = 3;
    ask_start(&a);
    assert_int_equal(ask_last(&a), STATUS_OK);
    assert_int_equal(last.n_results, 2);
    ask_init(&a, db, "INSERT INTO t VALUES(3)");
    a.entries[1].sql = SLICE_LIT("INSERT INTO t VALUES(1)");
    a.r.n = 2;
    ask_start(&a);
    assert_int_equal(ask_last(&a), STATUS_SQL);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":2}]");
}

static void texts_without_statements_are_told_apart(void **state UNUSED)
{
    assert_int_equal(ask_on(db, ""), STATUS_SQL);
    assert_string_equal(last.text, "No SQL statements detected.");
    assert_int_equal(ask_on(db, "  \n-- a comment"), STATUS_SQL);
    assert_string_equal(last.text, "No SQL statements detected.");
    assert_int_equal(ask_on(db, ";"), STATUS_SQL);
    assert_string_equal(last.text, "SQL code did not contain a statement.");
    assert_int_equal(ask_on(db, "/* x */"), STATUS_SQL);
    assert_string_equal(last.text, "SQL code did not contain a statement.");
    assert_int_equal(ask_on(db, "SELECT 1;;;"), STATUS_OK);
    assert_int_equal(last.n_results, 1);
}

static void statements_of_a_request_read_one_state(void **state UNUSED)
{
    enum { N = 200 };
    static struct ask reads[N], writes[N];

    must_ask("CREATE TABLE t(a); INSERT INTO t VALUES(0)");
    for (int i = 0; i < N; i++) {
        ask_init(&writes[i], db, "UPDATE t SET a = a + 1");
        ask_init(&reads[i], db, "SELECT a FROM t; SELECT a FROM t");
        reads[i].r.loop = &f.loops[i % f.n_loops];
        ask_start(&writes[i]);
        ask_start(&reads[i]);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(ask_wait(&writes[i]), STATUS_OK);
        assert_int_equal(ask_wait(&reads[i]), STATUS_OK);
        const char *first = rows_of(reads[i].r.out.ptr);
        const char *second = strstr(reads[i].r.out.ptr, "},{\"results\":");
        assert_non_null(second);
        assert_memory_equal(second + 13, first, strlen(first));
        ask_release(&writes[i]);
        ask_release(&reads[i]);
    }
}

static int setup_two_loops(void **state UNUSED)
{
    memset(&f, 0, sizeof(f));
    f.n_loops = 2;
    return setup_profile(SQL_STRICT);
}

/* A write that was answered on one loop is seen by a read that starts afterwards on the other. */
static void a_write_is_seen_on_every_loop(void **state UNUSED)
{
    char want[64];

    must_ask("CREATE TABLE t(a)");
    for (int i = 1; i <= 100; i++) {
        struct ask a;
        ask_init(&a, db, "INSERT INTO t VALUES(1)");
        a.r.loop = &f.loops[i % 2];
        ask_start(&a);
        assert_int_equal(ask_last(&a), STATUS_OK);
        snprintf(want, sizeof(want), "[{\"n\":%d}]", i);
        for (int l = 0; l < 2; l++) {
            ask_init(&a, db, "SELECT count(*) AS n FROM t");
            a.r.loop = &f.loops[l];
            ask_start(&a);
            assert_int_equal(ask_last(&a), STATUS_OK);
            assert_string_equal(rows_of(last.text), want);
        }
    }
}

/* ---- rights ---- */

static void who_may_only_read_is_refused_before_anything_happens(void **state UNUSED)
{
    static const struct {
        const char *text;
        enum status st;
    } rows[] = {
        { "SELECT count(*) FROM t", STATUS_OK },
        { "INSERT INTO t VALUES(1)", STATUS_FORBIDDEN },
        { "SELECT 1; DELETE FROM t", STATUS_FORBIDDEN },
        { "CREATE TABLE u(a)", STATUS_FORBIDDEN },
        { "DELETE FROM t RETURNING a", STATUS_FORBIDDEN },
        { "PRAGMA optimize", STATUS_FORBIDDEN },
        { "SELECT changes()", STATUS_OK },
        { SLOW, STATUS_OK },
        { SLOW "; DROP TABLE t", STATUS_FORBIDDEN },
        { "PRAGMA case_sensitive_like = 1; SELECT 1", STATUS_OK },
    };

    must_ask("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ask a;
        ask_init(&a, db, rows[i].text);
        a.r.read_only = true;
        ask_start(&a);
        enum status st = ask_last(&a);
        if (st != rows[i].st)
            fail_msg("%s: %d %s", rows[i].text, st, last.text);
    }
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":1}]");
}

static void switches_do_not_outlive_their_request(void **state UNUSED)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask_on(db, "PRAGMA case_sensitive_like = 1; SELECT 'a' LIKE 'A' AS same"), STATUS_OK);
        assert_non_null(strstr(last.text, "[{\"same\":0}]"));
        CHECK_ASK("SELECT 'a' LIKE 'A' AS same", "[{\"same\":1}]");
        assert_int_equal(ask_on(db, "SELECT changes(); SELECT 'a' LIKE 'A' AS same"), STATUS_OK);
        assert_non_null(strstr(last.text, "[{\"same\":1}]"));
    }
}

static void more_databases_than_a_loop_keeps_open_are_read(void **state UNUSED)
{
    enum { N = 80 };
    static struct database *many[N];
    char name[32];

    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "db%d", i);
        many[i] = make_database(name, SQL_STRICT);
        snprintf(name, sizeof(name), "CREATE TABLE t%d(a)", i);
        assert_int_equal(ask_on(many[i], name), STATUS_OK);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            char want[64];
            assert_int_equal(ask_on(many[i], "SELECT name FROM sqlite_schema"), STATUS_OK);
            snprintf(want, sizeof(want), "[{\"name\":\"t%d\"}]", i);
            assert_string_equal(rows_of(last.text), want);
        }
    }
    for (int i = 0; i < N; i++)
        database_unref(many[i]);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_strict, teardown)
#define WITH(setup, fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(reads_see_every_write_that_was_answered),
        TEST(reads_see_every_schema_change_that_was_answered),
        TEST(a_slow_read_ends_in_the_pool_with_the_same_answer),
        TEST(a_batch_with_a_slow_read_answers_each_statement_once),
        WITH(setup_quick, slow_reads_leave_the_loop_free),
        WITH(setup_quick, a_read_has_a_time_limit),
        WITH(setup_quick, a_result_has_a_size_limit),
        TEST(what_stood_in_the_answer_before_stays),
        TEST(parameters_go_to_statements_from_left_to_right),
        TEST(entries_are_one_transaction),
        TEST(texts_without_statements_are_told_apart),
        WITH(setup_two_loops, statements_of_a_request_read_one_state),
        WITH(setup_two_loops, a_write_is_seen_on_every_loop),
        TEST(who_may_only_read_is_refused_before_anything_happens),
        TEST(switches_do_not_outlive_their_request),
        TEST(more_databases_than_a_loop_keeps_open_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
