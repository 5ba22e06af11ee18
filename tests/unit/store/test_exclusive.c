/* Work on a whole database: alone with a writer, or on one unchanging state beside the writer. */
#include "../testing.h"

#include "asking.h"

static struct error err;

static enum status insert_two(struct sql_conn *c, void *arg, struct error *e)
{
    enum status st = sql_exec(c, "INSERT INTO t VALUES(1); INSERT INTO t VALUES(2)", e);

    return st == STATUS_OK && arg ? error_set(e, STATUS_LIMIT, 0, "second thoughts") : st;
}

static void exclusive_work_is_one_commit(void **state UNUSED)
{
    uint64_t commit = 0;

    must_ask("CREATE TABLE t(a)");
    uint64_t before = last.commit;
    assert_int_equal(store_exclusive(db, insert_two, NULL, &commit, &err), STATUS_OK);
    assert_int_equal(commit, before + 1);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":2}]");
    assert_int_equal(last.commit, before + 1);
}

static void exclusive_work_that_fails_leaves_nothing(void **state UNUSED)
{
    uint64_t commit;

    must_ask("CREATE TABLE t(a)");
    uint64_t before = last.commit;
    assert_int_equal(store_exclusive(db, insert_two, &err, &commit, &err), STATUS_LIMIT);
    assert_string_equal(err.msg, "second thoughts");
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":0}]");
    must_ask("INSERT INTO t VALUES(1)");
    assert_int_equal(last.commit, before + 1);
}

static enum status insert_and_wait(struct sql_conn *c, void *arg, struct error *e)
{
    struct holding *h = arg;
    enum status st = sql_exec(c, "INSERT INTO t VALUES(1)", e);

    sem_post(&h->held);
    sem_wait(&h->go);
    return st;
}

static void *exclusive_thread(void *arg)
{
    struct holding *h = arg;
    struct error e;

    if (store_exclusive(h->db, insert_and_wait, h, NULL, &e) != STATUS_OK)
        abort();
    return NULL;
}

static void reads_go_on_and_writes_wait_meanwhile(void **state UNUSED)
{
    struct holding h = { .db = db };
    struct ask waiting;

    must_ask("CREATE TABLE t(a)");
    sem_init(&h.held, 0, 0);
    sem_init(&h.go, 0, 0);
    assert_int_equal(pthread_create(&h.thread, NULL, exclusive_thread, &h), 0);
    sem_wait(&h.held);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":0}]");
    ask_init(&waiting, db, "INSERT INTO t SELECT count(*) FROM t RETURNING a");
    ask_start(&waiting);
    wait_for_loop(f.loops);
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":0}]");
    let_writer_go(&h);
    assert_int_equal(ask_wait(&waiting), STATUS_OK);
    assert_string_equal(rows_of(waiting.r.out.ptr), "[{\"a\":1}]");
    ask_release(&waiting);
}

static enum status change_schema(struct sql_conn *c, void *arg UNUSED, struct error *e)
{
    return sql_exec(c, "ALTER TABLE t RENAME COLUMN a TO b; CREATE TABLE u(x)", e);
}

static void everybody_sees_a_schema_that_exclusive_work_has_changed(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    CHECK_ASK("SELECT * FROM t", "[{\"a\":1}]");
    must_ask("INSERT INTO t VALUES(2)");
    assert_int_equal(store_exclusive(db, change_schema, NULL, NULL, &err), STATUS_OK);
    CHECK_ASK("SELECT * FROM t", "[{\"b\":1},{\"b\":2}]");
    CHECK_ASK("SELECT * FROM u", "[]");
    must_ask("INSERT INTO t(b) VALUES(3)");
    must_ask("INSERT INTO u VALUES(3)");
}

struct looks {
    int64_t before, after;
};

/* Others write between the two looks. */
static enum status look_twice(struct sql_conn *c, void *arg, struct error *e)
{
    struct looks *l = arg;
    enum status st = sql_exec_i64(c, "SELECT count(*) FROM t", &l->before, e);

    must_ask("INSERT INTO t VALUES(1),(2),(3)");
    if (st == STATUS_OK)
        st = sql_exec_i64(c, "SELECT count(*) FROM t", &l->after, e);
    return st;
}

static void a_snapshot_does_not_change(void **state UNUSED)
{
    struct looks l;
    uint64_t commit = 0;

    must_ask("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    uint64_t before = last.commit;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_snapshot(db, look_twice, &l, &commit, &err), STATUS_OK);
        assert_int_equal(l.before, 1 + 3 * i);
        assert_int_equal(l.after, l.before);
        assert_int_equal(commit, before + (uint64_t)i);
    }
    CHECK_ASK("SELECT count(*) AS n FROM t", "[{\"n\":10}]");
}

static enum status fail_at_once(struct sql_conn *c, void *arg UNUSED, struct error *e)
{
    return sql_exec(c, "SELECT nix", e);
}

static void a_snapshot_passes_errors_on_and_can_be_taken_again(void **state UNUSED)
{
    struct looks l;

    must_ask("CREATE TABLE t(a)");
    for (int i = 0; i < 10; i++)
        assert_int_equal(store_snapshot(db, fail_at_once, NULL, NULL, &err), STATUS_SQL);
    assert_int_equal(store_snapshot(db, look_twice, &l, NULL, &err), STATUS_OK);
}

static void the_state_of_a_database_is_told(void **state UNUSED)
{
    int64_t bytes, tables;
    uint64_t commit;

    must_ask("CREATE TABLE t(a); CREATE TABLE u(a); CREATE VIEW v AS SELECT 1; CREATE INDEX i ON t(a)");
    assert_int_equal(database_state(db, &bytes, &commit, &tables, &err), STATUS_OK);
    assert_int_equal(tables, 2);
    assert_int_equal(bytes, 4 * 4096);
    assert_int_equal(commit, 1);
    reopen();
    assert_int_equal(database_state(db, &bytes, &commit, &tables, &err), STATUS_OK);
    assert_int_equal(tables, 2);
    assert_int_equal(bytes, 4 * 4096);
    assert_int_equal(commit, 1);
}

static void a_deleted_database_has_no_more_work(void **state UNUSED)
{
    must_ask("CREATE TABLE t(a)");
    assert_int_equal(store_delete(f.store, db, &err), STATUS_OK);
    assert_int_equal(store_exclusive(db, insert_two, NULL, NULL, &err), STATUS_NODB);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_strict, teardown)
    const struct CMUnitTest tests[] = {
        TEST(exclusive_work_is_one_commit),
        TEST(exclusive_work_that_fails_leaves_nothing),
        TEST(reads_go_on_and_writes_wait_meanwhile),
        TEST(everybody_sees_a_schema_that_exclusive_work_has_changed),
        TEST(a_snapshot_does_not_change),
        TEST(a_snapshot_passes_errors_on_and_can_be_taken_again),
        TEST(the_state_of_a_database_is_told),
        TEST(a_deleted_database_has_no_more_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
