/*
 * Group commit and its traps: requests that share a commit must answer as if each had been alone, whatever one of them
 * does to the transaction that they share.
 */
#include "../testing.h"

#include "asking.h"

enum { MANY = 100 };

/* Starts all while the writer is held, so that they are one group; then waits for all. */
static void run_group(struct ask *asks, size_t n)
{
    struct holding h;

    hold_writer(&h, db);
    for (size_t i = 0; i < n; i++)
        ask_start(&asks[i]);
    wait_for_loop(asks[0].r.loop);
    let_writer_go(&h);
    for (size_t i = 0; i < n; i++)
        (void)ask_wait(&asks[i]);
}

static void release_group(struct ask *asks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ask_release(&asks[i]);
}

static uint64_t commit_now(void)
{
    must_ask("SELECT 1");
    return last.commit;
}

static int64_t meta_number(const struct ask *a, const char *name)
{
    char key[64];

    snprintf(key, sizeof(key), "\"%s\":", name);
    const char *at = strstr(a->r.out.ptr, key);
    assert_non_null(at);
    return strtoll(at + strlen(key), NULL, 10);
}

static void check_ok(const struct ask *a)
{
    if (a->r.status != STATUS_OK)
        fail_msg("%.*s: %s", SLICE_FMT(a->entries[0].sql), a->err.msg);
}

/* ---- sharing ---- */

static void requests_that_wait_together_share_a_commit(void **state UNUSED)
{
    static struct ask asks[MANY];

    must_ask("CREATE TABLE t(a)");
    uint64_t before = commit_now();
    for (int i = 0; i < MANY; i++)
        ask_init(&asks[i], db, "INSERT INTO t VALUES(1)");
    run_group(asks, MANY);
    for (int i = 0; i < MANY; i++) {
        check_ok(&asks[i]);
        assert_int_equal(asks[i].r.commit, before + 1);
    }
    release_group(asks, MANY);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":100}]");
    assert_int_equal(commit_now(), before + 1);
}

static void a_lone_write_has_a_commit_of_its_own(void **state UNUSED)
{
    uint64_t before = commit_now();

    must_ask("CREATE TABLE t(a)");
    assert_int_equal(last.commit, before + 1);
    for (int i = 1; i <= 5; i++) {
        must_ask("INSERT INTO t VALUES(1)");
        assert_int_equal(last.commit, before + 1 + (uint64_t)i);
    }
}

static void answers_and_their_order_are_those_of_the_requests(void **state UNUSED)
{
    static struct ask asks[MANY];
    static char texts[MANY][64];

    must_ask("CREATE TABLE t(id INTEGER PRIMARY KEY, a)");
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof(texts[i]), "INSERT INTO t(a) VALUES('v%d') RETURNING id, a", i);
        ask_init(&asks[i], db, texts[i]);
    }
    run_group(asks, MANY);
    for (int i = 0; i < MANY; i++) {
        char want[64];
        check_ok(&asks[i]);
        snprintf(want, sizeof(want), "[{\"id\":%d,\"a\":\"v%d\"}]", i + 1, i);
        assert_string_equal(rows_of(asks[i].r.out.ptr), want);
    }
    release_group(asks, MANY);
}

static void more_requests_than_fit_a_group_are_all_served(void **state UNUSED)
{
    enum { N = 1500 };
    struct ask *asks = calloc(N, sizeof(*asks));

    must_ask("CREATE TABLE t(a)");
    uint64_t before = commit_now();
    for (int i = 0; i < N; i++)
        ask_init(&asks[i], db, "INSERT INTO t VALUES(1)");
    run_group(asks, N);
    for (int i = 0; i < N; i++) {
        check_ok(&asks[i]);
        assert_true(asks[i].r.commit > before && asks[i].r.commit <= before + 3);
    }
    release_group(asks, N);
    free(asks);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":1500}]");
}

/* ---- the traps ---- */

static void a_request_that_fails_is_undone_and_the_others_stand(void **state UNUSED)
{
    static const char *const texts[] = { "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(2); INSERT INTO nix VALUES(1)",
                                         "INSERT INTO t VALUES(3)", "INSERT INTO t VALUES(4); INSERT INTO t VALUES(1)",
                                         "INSERT INTO t VALUES(2)" };
    static const enum status wanted[] = { STATUS_OK, STATUS_SQL, STATUS_OK, STATUS_SQL, STATUS_OK };
    struct ask asks[5];

    must_ask("CREATE TABLE t(a UNIQUE)");
    for (int i = 0; i < 5; i++)
        ask_init(&asks[i], db, texts[i]);
    run_group(asks, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(asks[i].r.status, wanted[i]);
    assert_int_equal(asks[0].r.commit, asks[4].r.commit);
    assert_string_equal(asks[1].err.msg, "no such table: nix: SQLITE_ERROR");
    assert_int_equal(asks[1].r.out.len, 0);
    release_group(asks, 5);
    CHECK_ASK("SELECT group_concat(a) AS a FROM (SELECT a FROM t ORDER BY a)", "[{\"a\":\"1,2,3\"}]");
}

static void a_request_that_leaves_foreign_keys_unresolved_fails_by_itself(void **state UNUSED)
{
    static const char text[] = "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)";
    static const char *const texts[] = {
        "INSERT INTO p VALUES(1)",
        "PRAGMA defer_foreign_keys = on; INSERT INTO c VALUES(99)",
        "PRAGMA defer_foreign_keys = on; INSERT INTO c VALUES(2); INSERT INTO p VALUES(2)",
        "INSERT INTO d VALUES(98)", /* deferred by its own declaration */
        "INSERT INTO d VALUES(3); INSERT INTO p VALUES(3)",
        "INSERT INTO c VALUES(97); INSERT INTO p VALUES(97)", /* the switch is off again */
        "INSERT INTO c VALUES(1)",
    };
    static const bool passes[] = { true, false, true, false, true, false, true };
    struct ask asks[7];

    must_ask("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p);"
             "CREATE TABLE d(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)");
    for (int i = 0; i < 7; i++)
        ask_init(&asks[i], db, texts[i]);
    run_group(asks, 7);
    for (int i = 0; i < 7; i++) {
        if (passes[i]) {
            check_ok(&asks[i]);
            assert_int_equal(asks[i].r.commit, asks[0].r.commit);
        } else {
            assert_int_equal(asks[i].r.status, STATUS_SQL);
            assert_string_equal(asks[i].err.msg, text);
        }
    }
    release_group(asks, 7);
    CHECK_ASK("SELECT (SELECT group_concat(id) FROM p) AS p, (SELECT group_concat(p) FROM c) AS c,"
              " (SELECT group_concat(p) FROM d) AS d",
              "[{\"p\":\"1,2,3\",\"c\":\"2,1\",\"d\":\"3\"}]");
}

/* Each of these ends the transaction that the group shares. */
static void check_lost_group(const char *culprit, enum status st, const char *message)
{
    static const char *const before[] = { "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(2)" };
    static const char *const after[] = { "INSERT INTO t VALUES(3)", "INSERT INTO t VALUES(4)" };
    struct ask asks[6];

    must_ask("DELETE FROM t WHERE a < 100");
    ask_init(&asks[0], db, before[0]);
    ask_init(&asks[1], db, "INSERT INTO nix VALUES(1)"); /* fails by itself and is not run again */
    ask_init(&asks[2], db, before[1]);
    ask_init(&asks[3], db, culprit);
    ask_init(&asks[4], db, after[0]);
    ask_init(&asks[5], db, after[1]);
    run_group(asks, 6);
    assert_int_equal(asks[1].r.status, STATUS_SQL);
    if (asks[3].r.status != st)
        fail_msg("%s: %d %s", culprit, asks[3].r.status, asks[3].r.status ? asks[3].err.msg : asks[3].r.out.ptr);
    assert_non_null(strstr(asks[3].err.msg, message));
    assert_int_equal(asks[3].r.out.len, 0);
    for (int i = 0; i < 6; i++) {
        if (i == 1 || i == 3)
            continue;
        check_ok(&asks[i]);
        assert_int_equal(asks[i].r.n_results, 1);
        assert_int_equal(meta_number(&asks[i], "changes"), 1);
        assert_null(strstr(asks[i].r.out.ptr, "}{")); /* one answer, not two */
    }
    release_group(asks, 6);
    CHECK_ASK("SELECT group_concat(a) AS a FROM (SELECT a FROM t ORDER BY a)", "[{\"a\":\"1,2,3,4,100\"}]");
}

static void insert_or_rollback_takes_nobody_with_it(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a INTEGER UNIQUE); INSERT INTO t VALUES(100)");
    check_lost_group("INSERT INTO t VALUES(50); INSERT OR ROLLBACK INTO t VALUES(100)", STATUS_SQL,
                     "UNIQUE constraint failed: t.a");
}

static void raise_rollback_takes_nobody_with_it(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a INTEGER); INSERT INTO t VALUES(100);"
             "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.a = 66 BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END");
    check_lost_group("INSERT INTO t VALUES(50); INSERT INTO t VALUES(66)", STATUS_SQL, "all of it");
}

static int setup_small(void **state UNUSED)
{
    memset(&f, 0, sizeof(f));
    f.max_database_bytes = 1 << 20;
    return setup_profile(SQL_STRICT);
}

static void a_full_database_takes_nobody_with_it(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a INTEGER); CREATE TABLE big(b); INSERT INTO t VALUES(100)");
    check_lost_group("INSERT INTO t VALUES(50); INSERT INTO big VALUES(zeroblob(2000000))", STATUS_FULL,
                     "the database would pass its size limit");
}

static int setup_impatient(void **state UNUSED)
{
    memset(&f, 0, sizeof(f));
    f.statement_limit_ms = 2000;
    return setup_profile(SQL_STRICT);
}

static void a_statement_that_takes_too_long_takes_nobody_with_it(void **state UNUSED)
{
    struct ask asks[4];

    must_ask("CREATE TABLE t(a INTEGER)");
    ask_init(&asks[0], db, "INSERT INTO t VALUES(1)");
    ask_init(&asks[1], db, "INSERT INTO t VALUES(2)");
    ask_init(&asks[2], db, "INSERT INTO t VALUES(50); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c)"
                           " INSERT INTO t SELECT x FROM c WHERE x < 0");
    ask_init(&asks[3], db, "INSERT INTO t VALUES(3)");
    run_group(asks, 4);
    check_ok(&asks[0]);
    check_ok(&asks[1]);
    assert_int_equal(asks[2].r.status, STATUS_TIMEOUT);
    assert_int_equal(asks[3].r.status, STATUS_BUSY); /* it has waited for as long as a statement may take */
    assert_string_equal(asks[3].err.msg, "D1 DB is overloaded. Requests queued for too long.");
    release_group(asks, 4);
    CHECK_ASK("SELECT group_concat(a) AS a FROM (SELECT a FROM t ORDER BY a)", "[{\"a\":\"1,2\"}]");
}

static void several_culprits_in_one_group_are_survived(void **state UNUSED)
{
    static struct ask asks[30];

    must_ask("CREATE TABLE t(a INTEGER UNIQUE); INSERT INTO t VALUES(100)");
    static char texts[30][80];
    for (int i = 0; i < 30; i++) {
        snprintf(texts[i], sizeof(texts[i]),
                 i % 5 == 3 ? "INSERT OR ROLLBACK INTO t VALUES(100) -- %d" : "INSERT INTO t VALUES(%d)", i);
        ask_init(&asks[i], db, texts[i]);
    }
    run_group(asks, 30);
    for (int i = 0; i < 30; i++)
        assert_int_equal(asks[i].r.status, i % 5 == 3 ? STATUS_SQL : STATUS_OK);
    release_group(asks, 30);
    CHECK_ASK("SELECT count(*) AS n, sum(a) AS s FROM t", "[{\"n\":25,\"s\":442}]");
}

static void counters_are_those_of_the_request_alone(void **state UNUSED)
{
    struct ask asks[5];

    must_ask("CREATE TABLE t(id INTEGER PRIMARY KEY, a)");
    ask_init(&asks[0], db, "INSERT INTO t(a) VALUES(1),(2),(3)");
    ask_init(&asks[1], db, "INSERT INTO t(id) VALUES(50)");
    ask_init(&asks[2], db, "UPDATE t SET a = 5 WHERE id = 77");
    ask_init(&asks[3], db, "UPDATE t SET a = 5 WHERE id < 3");
    ask_init(&asks[4], db, "INSERT INTO t(a) VALUES(zeroblob(50000))");
    run_group(asks, 5);
    static const int64_t changes[] = { 3, 1, 0, 2, 1 }, last_row_id[] = { 3, 50, 50, 50, 51 }, written[] = { 3, 1, 0, 2, 1 };
    static const int64_t size[] = { 8192, 8192, 8192, 8192, 8192 + 13 * 4096 };
    for (int i = 0; i < 5; i++) {
        check_ok(&asks[i]);
        assert_int_equal(meta_number(&asks[i], "changes"), changes[i]);
        assert_int_equal(meta_number(&asks[i], "last_row_id"), last_row_id[i]);
        assert_int_equal(meta_number(&asks[i], "rows_written"), written[i]);
        if (i < 4)
            assert_int_equal(meta_number(&asks[i], "size_after"), size[i]);
        else
            assert_true(meta_number(&asks[i], "size_after") >= size[i] - 4096);
        assert_int_equal(strstr(asks[i].r.out.ptr, "\"changed_db\":true") != NULL, i != 2);
    }
    release_group(asks, 5);
    /* Readers tell the same of the database as it is now. */
    must_ask("SELECT 1");
    assert_non_null(strstr(last.text, "\"last_row_id\":51,"));
    assert_non_null(strstr(last.text, "\"changes\":0,"));
}

static void changes_of_another_request_are_not_seen(void **state UNUSED)
{
    struct ask asks[3];

    must_ask("CREATE TABLE t(a)");
    ask_init(&asks[0], db, "INSERT INTO t VALUES(1),(2),(3)");
    ask_init(&asks[1], db, "INSERT INTO t VALUES(1); SELECT changes() AS c");
    ask_init(&asks[2], db, "DELETE FROM t WHERE a = 99; SELECT changes() AS c");
    run_group(asks, 3);
    check_ok(&asks[1]);
    check_ok(&asks[2]);
    assert_non_null(strstr(asks[1].r.out.ptr, "[{\"c\":1}]"));
    assert_non_null(strstr(asks[2].r.out.ptr, "[{\"c\":0}]"));
    release_group(asks, 3);
}

/* ---- commit numbers ---- */

static void every_change_moves_the_number_and_nothing_else_does(void **state UNUSED)
{
    static const struct {
        const char *text;
        int moves;
    } rows[] = {
        { "CREATE TABLE t(a, b)", 1 },
        { "CREATE INDEX i ON t(a)", 1 },
        { "CREATE VIEW v AS SELECT a FROM t", 1 },
        { "CREATE TRIGGER tr AFTER INSERT ON t WHEN new.a < 0 BEGIN SELECT 1; END", 1 },
        { "INSERT INTO t VALUES(1, 2)", 1 },
        { "SELECT * FROM t", 0 },
        { "SELECT changes()", 0 },
        { "UPDATE t SET a = 1", 1 },
        { "UPDATE t SET a = 5 WHERE a = 77", 0 },
        { "INSERT OR IGNORE INTO t SELECT 1, 2 WHERE 0", 0 },
        { "INSERT INTO t VALUES(3, 4); DELETE FROM t WHERE a = 3", 1 },
        { "DELETE FROM t WHERE a = 99", 0 },
        { "ALTER TABLE t ADD COLUMN c", 1 },
        { "ALTER TABLE t RENAME COLUMN c TO d", 1 },
        { "ALTER TABLE t RENAME TO u", 1 },
        { "REINDEX", 1 },
        { "ANALYZE", 1 },
        { "DROP TRIGGER tr", 1 },
        { "DROP VIEW v", 1 },
        { "DROP INDEX i", 1 },
        { "CREATE TABLE IF NOT EXISTS u(a)", 0 },
        { "DROP TABLE IF EXISTS nix", 0 },
        { "PRAGMA foreign_keys = on", 0 },
        { "CREATE VIRTUAL TABLE ft USING fts5(x)", 1 },
        { "INSERT INTO ft VALUES('word')", 1 },
        { "INSERT INTO ft(ft) VALUES('optimize')", 1 },
        { "DROP TABLE ft", 1 },
        { "DELETE FROM u", 1 },
        { "DELETE FROM u", 0 },
        { "DROP TABLE u", 1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t before = commit_now();
        must_ask(rows[i].text);
        if (last.commit != before + (uint64_t)rows[i].moves)
            fail_msg("%s moves the commit number by %d", rows[i].text, (int)(last.commit - before));
    }
}

static void commit_numbers_survive_a_restart(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    for (int i = 0; i < 10; i++)
        must_ask("INSERT INTO t VALUES(1)");
    uint64_t before = last.commit;
    for (int i = 0; i < 3; i++) {
        reopen();
        assert_int_equal(ask_on(db, "SELECT count(*) AS n FROM t"), STATUS_OK);
        assert_int_equal(last.commit, before);
        must_ask("INSERT INTO t VALUES(1)");
        assert_int_equal(last.commit, ++before);
    }
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":13}]");
}

static void a_failed_request_moves_no_number(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES(1)");
    uint64_t before = last.commit;
    assert_int_equal(ask_on(db, "INSERT INTO t VALUES(2); INSERT INTO t VALUES(1)"), STATUS_SQL);
    assert_int_equal(ask_on(db, "INSERT OR ROLLBACK INTO t VALUES(1)"), STATUS_SQL);
    assert_int_equal(commit_now(), before);
    must_ask("INSERT INTO t VALUES(2)");
    assert_int_equal(last.commit, before + 1);
}

/* ---- many at once ---- */

struct client {
    pthread_t thread;
    struct database *on;
    int index, n_ok;
};

static void *write_many(void *arg)
{
    struct client *c = arg;
    uint64_t commit = 0;

    for (int i = 0; i < 200; i++) {
        struct ask a;
        ask_init(&a, c->on, i % 10 == 9 ? "INSERT OR ROLLBACK INTO t VALUES(0)" : "INSERT INTO t VALUES(NULL)");
        a.r.loop = &f.loops[(c->index + i) % f.n_loops];
        ask_start(&a);
        if (ask_wait(&a) == STATUS_OK) {
            c->n_ok++;
            if (a.r.commit <= commit)
                abort(); /* later answers have seen later states */
            commit = a.r.commit;
        }
        ask_release(&a);
        ask_init(&a, c->on, "SELECT count(*) FROM t");
        a.r.loop = &f.loops[i % f.n_loops];
        ask_start(&a);
        if (ask_wait(&a) != STATUS_OK || a.r.commit < commit)
            abort();
        ask_release(&a);
    }
    return NULL;
}

static int setup_two_loops(void **state UNUSED)
{
    memset(&f, 0, sizeof(f));
    f.n_loops = 2;
    return setup_profile(SQL_STRICT);
}

static void many_clients_on_two_databases_lose_nothing(void **state UNUSED)
{
    struct database *other = make_database("other", SQL_STRICT);
    struct client clients[6];

    must_ask("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES(0)");
    assert_int_equal(ask_on(other, "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES(0)"), STATUS_OK);
    for (int i = 0; i < 6; i++) {
        clients[i] = (struct client){ .index = i, .on = i % 2 ? other : db };
        assert_int_equal(pthread_create(&clients[i].thread, NULL, write_many, &clients[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].n_ok, 180);
    }
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":541}]");
    assert_int_equal(ask_on(other, "SELECT count(*) AS n FROM t"), STATUS_OK);
    assert_string_equal(rows_of(last.text), "[{\"n\":541}]");
    database_unref(other);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_strict, teardown)
#define WITH(setup, fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_that_wait_together_share_a_commit),
        TEST(a_lone_write_has_a_commit_of_its_own),
        TEST(answers_and_their_order_are_those_of_the_requests),
        TEST(more_requests_than_fit_a_group_are_all_served),
        TEST(a_request_that_fails_is_undone_and_the_others_stand),
        TEST(a_request_that_leaves_foreign_keys_unresolved_fails_by_itself),
        TEST(insert_or_rollback_takes_nobody_with_it),
        TEST(raise_rollback_takes_nobody_with_it),
        WITH(setup_small, a_full_database_takes_nobody_with_it),
        WITH(setup_impatient, a_statement_that_takes_too_long_takes_nobody_with_it),
        TEST(several_culprits_in_one_group_are_survived),
        TEST(counters_are_those_of_the_request_alone),
        TEST(changes_of_another_request_are_not_seen),
        TEST(every_change_moves_the_number_and_nothing_else_does),
        TEST(commit_numbers_survive_a_restart),
        TEST(a_failed_request_moves_no_number),
        WITH(setup_two_loops, many_clients_on_two_databases_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
