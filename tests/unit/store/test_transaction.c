/* Interactive transactions: one client holds the writer over several requests; the others wait, and it cannot wait for ever. */
#include "../testing.h"

#include "asking.h"

static void begin_begin(struct ask *a)
{
    store_transaction_begin(&a->r, a->timeout_ms, a->id);
}

static void run_begin(struct ask *a)
{
    store_transaction_run(&a->r, slice_cstr(a->id));
}

static void end_begin(struct ask *a)
{
    store_transaction_end(&a->r, slice_cstr(a->id), a->how);
}

static void start_begin(struct ask *a, int64_t timeout_ms)
{
    ask_init(a, db, "");
    a->begin = begin_begin;
    a->timeout_ms = timeout_ms;
    ask_start(a);
}

/* Begins a transaction and returns its id. */
static const char *begin(int64_t timeout_ms)
{
    static char id[UUID_LEN + 1];
    struct ask a;

    start_begin(&a, timeout_ms);
    if (ask_wait(&a) != STATUS_OK)
        fail_msg("%s", a.err.msg);
    assert_true(uuid_is_valid(slice_cstr(a.id)));
    memcpy(id, a.id, sizeof(id));
    ask_release(&a);
    return id;
}

static enum status run_in(const char *id, const char *sql)
{
    struct ask a;

    ask_init(&a, db, sql);
    a.begin = run_begin;
    snprintf(a.id, sizeof(a.id), "%s", id);
    ask_start(&a);
    return ask_last(&a);
}

static enum status end(const char *id, enum transaction_end how)
{
    struct ask a;

    ask_init(&a, db, "");
    a.begin = end_begin;
    a.how = how;
    snprintf(a.id, sizeof(a.id), "%s", id);
    ask_start(&a);
    return ask_last(&a);
}

static void must_run_in(const char *id, const char *sql)
{
    if (run_in(id, sql) != STATUS_OK)
        fail_msg("%s: %s", sql, last.text);
}

static void a_commit_keeps_what_was_done_as_one_commit(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    uint64_t before = last.commit;
    const char *id = begin(20000);
    must_run_in(id, "INSERT INTO t VALUES(1)");
    must_run_in(id, "INSERT INTO t VALUES(2); INSERT INTO t VALUES(3)");
    must_run_in(id, "SELECT count(*) AS n FROM t");
    assert_string_equal(rows_of(last.text), "[{\"n\":3}]");
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":0}]"); /* nobody else sees it */
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_OK);
    assert_int_equal(last.commit, before + 1);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":3}]");
}

static void a_rollback_undoes_it_and_moves_no_number(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    uint64_t before = last.commit;
    const char *id = begin(20000);
    must_run_in(id, "INSERT INTO t VALUES(1); CREATE TABLE u(a)");
    assert_int_equal(end(id, TRANSACTION_ROLLBACK), STATUS_OK);
    assert_int_equal(last.commit, before);
    CHECK_ASK("SELECT count(*) AS n FROM sqlite_schema, t", "[{\"n\":0}]");
    must_ask("INSERT INTO t VALUES(1)");
    assert_int_equal(last.commit, before + 1);
}

static void a_transaction_that_changed_nothing_moves_no_number(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    uint64_t before = last.commit;
    const char *id = begin(20000);
    must_run_in(id, "SELECT * FROM t");
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_OK);
    assert_int_equal(last.commit, before);
}

static void a_request_that_fails_undoes_only_itself(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a UNIQUE)");
    const char *id = begin(20000);
    must_run_in(id, "INSERT INTO t VALUES(1)");
    assert_int_equal(run_in(id, "INSERT INTO t VALUES(2); INSERT INTO t VALUES(1)"), STATUS_SQL);
    assert_int_equal(run_in(id, "SELEC"), STATUS_SQL);
    must_run_in(id, "INSERT INTO t VALUES(3)");
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_OK);
    CHECK_ASK("SELECT group_concat(a) AS a FROM t", "[{\"a\":\"1,3\"}]");
}

static void a_rollback_by_sqlite_ends_the_transaction(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a UNIQUE)");
    const char *id = begin(20000);
    must_run_in(id, "INSERT INTO t VALUES(1)");
    assert_int_equal(run_in(id, "INSERT OR ROLLBACK INTO t VALUES(1)"), STATUS_SQL);
    assert_int_equal(run_in(id, "SELECT 1"), STATUS_NOTFOUND);
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_NOTFOUND);
    must_ask("INSERT INTO t VALUES(1)");
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":1}]");
}

static void deferred_keys_are_checked_at_the_end(void **state UNUSED)
{
    must_ask("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)");
    const char *id = begin(20000);
    must_run_in(id, "INSERT INTO c VALUES(1)");
    must_run_in(id, "INSERT INTO p VALUES(1)");
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_OK);
    id = begin(20000);
    must_run_in(id, "INSERT INTO c VALUES(2)");
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_SQL);
    assert_non_null(strstr(last.text, "FOREIGN KEY constraint failed"));
    assert_int_equal(run_in(id, "SELECT 1"), STATUS_NOTFOUND);
    CHECK_ASK("SELECT count(*) AS n FROM c", "[{\"n\":1}]");
    must_ask("INSERT INTO p VALUES(5)");
}

static void writes_of_others_wait_until_it_has_ended(void **state UNUSED)
{
    struct ask waiting[3];

    must_ask("CREATE TABLE t(a)");
    const char *id = begin(20000);
    must_run_in(id, "INSERT INTO t VALUES(1)");
    for (int i = 0; i < 3; i++) {
        ask_init(&waiting[i], db, "INSERT INTO t SELECT count(*) + 1 FROM t RETURNING a");
        ask_start(&waiting[i]);
    }
    wait_for_loop(f.loops);
    must_run_in(id, "INSERT INTO t VALUES(2)");
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":0}]");
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        char want[32];
        assert_int_equal(ask_wait(&waiting[i]), STATUS_OK);
        snprintf(want, sizeof(want), "[{\"a\":%d}]", 3 + i);
        assert_string_equal(rows_of(waiting[i].r.out.ptr), want);
        ask_release(&waiting[i]);
    }
}

static void transactions_follow_one_another(void **state UNUSED)
{
    struct ask waiting[3];
    char first[UUID_LEN + 1];

    must_ask("CREATE TABLE t(a)");
    snprintf(first, sizeof(first), "%s", begin(20000));
    for (int i = 0; i < 3; i++)
        start_begin(&waiting[i], 20000);
    wait_for_loop(f.loops);
    must_run_in(first, "INSERT INTO t VALUES(0)");
    assert_int_equal(end(first, TRANSACTION_COMMIT), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        char id[UUID_LEN + 1];
        assert_int_equal(ask_wait(&waiting[i]), STATUS_OK);
        snprintf(id, sizeof(id), "%s", waiting[i].id);
        ask_release(&waiting[i]);
        assert_string_not_equal(id, first);
        must_run_in(id, "INSERT INTO t SELECT count(*) FROM t");
        assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_OK);
    }
    CHECK_ASK("SELECT group_concat(a) AS a FROM t", "[{\"a\":\"0,1,2,3\"}]");
}

static void past_its_time_it_is_rolled_back_and_the_queue_goes_on(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    const char *id = begin(1);
    must_ask("INSERT INTO t VALUES(7)"); /* waits for the end of the transaction that nobody ends */
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":1}]");
    assert_int_equal(run_in(id, "INSERT INTO t VALUES(1)"), STATUS_NOTFOUND);
    assert_string_equal(last.text, "The transaction is not open: it was committed, rolled back, or passed its time limit");
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_NOTFOUND);
}

static void a_statement_ends_with_the_time_of_its_transaction(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    const char *id = begin(50);
    enum status st = run_in(id, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c)"
                                " INSERT INTO t SELECT x FROM c WHERE x < 0");
    assert_true(st == STATUS_TIMEOUT || st == STATUS_NOTFOUND);
    must_ask("INSERT INTO t VALUES(7)");
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":1}]");
}

static void an_unknown_id_is_not_found_and_harms_nobody(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    assert_int_equal(run_in("00000000-0000-4000-8000-000000000000", "SELECT 1"), STATUS_NOTFOUND);
    char id[UUID_LEN + 1];
    snprintf(id, sizeof(id), "%s", begin(20000));
    assert_int_equal(run_in("00000000-0000-4000-8000-000000000000", "INSERT INTO t VALUES(1)"), STATUS_NOTFOUND);
    assert_int_equal(end("00000000-0000-4000-8000-000000000000", TRANSACTION_ROLLBACK), STATUS_NOTFOUND);
    must_run_in(id, "INSERT INTO t VALUES(2)");
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_OK);
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_NOTFOUND);
    CHECK_ASK("SELECT a FROM t", "[{\"a\":2}]");
}

static void one_statement_at_a_time(void **state UNUSED)
{
    struct ask slow;

    must_ask("CREATE TABLE t(a)");
    const char *id = begin(3000);
    ask_init(&slow, db, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c");
    slow.begin = run_begin;
    snprintf(slow.id, sizeof(slow.id), "%s", id);
    ask_start(&slow);
    wait_for_loop(f.loops);
    assert_int_equal(run_in(id, "SELECT 1"), STATUS_NOTFOUND);
    assert_non_null(strstr(last.text, "busy with another request"));
    assert_int_equal(end(id, TRANSACTION_COMMIT), STATUS_NOTFOUND);
    assert_int_equal(ask_wait(&slow), STATUS_TIMEOUT);
    ask_release(&slow);
}

static void the_strict_profile_has_none(void **state UNUSED)
{
    struct ask a;

    start_begin(&a, 1000);
    assert_int_equal(ask_wait(&a), STATUS_INVALID);
    assert_non_null(strstr(a.err.msg, "wide profile"));
    ask_release(&a);
}

static void one_that_is_open_at_the_end_is_rolled_back(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    const char *id = begin(30000);
    must_run_in(id, "INSERT INTO t VALUES(1)");
    reopen();
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":0}]");
    must_ask("INSERT INTO t VALUES(2)");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_wide, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_commit_keeps_what_was_done_as_one_commit),
        TEST(a_rollback_undoes_it_and_moves_no_number),
        TEST(a_transaction_that_changed_nothing_moves_no_number),
        TEST(a_request_that_fails_undoes_only_itself),
        TEST(a_rollback_by_sqlite_ends_the_transaction),
        TEST(deferred_keys_are_checked_at_the_end),
        TEST(writes_of_others_wait_until_it_has_ended),
        TEST(transactions_follow_one_another),
        TEST(past_its_time_it_is_rolled_back_and_the_queue_goes_on),
        TEST(a_statement_ends_with_the_time_of_its_transaction),
        TEST(an_unknown_id_is_not_found_and_harms_nobody),
        TEST(one_statement_at_a_time),
        cmocka_unit_test_setup_teardown(the_strict_profile_has_none, setup_strict, teardown),
        TEST(one_that_is_open_at_the_end_is_rolled_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
