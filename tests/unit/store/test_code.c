/*
 * Requests that are code of ours instead of SQL: in the group commit with its savepoints, on a reader of a loop or of the
 * pool, numbered, and told of their commit before anyone is answered. And databases that another catalog lists.
 */
#include "../testing.h"

#include "asking.h"
#include "store/control_sql.h"

#include <stdatomic.h>

static const struct store_kind kind = { .folder = "own",
                                        .schema = "CREATE TABLE n(i INTEGER PRIMARY KEY, serial INTEGER)" };

enum { MANY = 50 };

/* One request: what it does, and what became of it. */
struct code {
    struct ask ask;
    int value;
    bool fails;
    _Atomic int n_runs;
    _Atomic bool was_committed, was_committed_at_answer;
    enum status status;
    pthread_t ran_on;
};

static struct code *code_of(struct sql_request *r)
{
    return CONTAINER_OF(CONTAINER_OF(r, struct ask, r), struct code, ask);
}

static enum status add_row(struct sql_conn *c, struct sql_request *r)
{
    struct code *code = code_of(r);
    sqlite3_stmt *stmt;
    enum status st = sql_own(c, 0, "INSERT INTO n VALUES(?1, ?2)", &stmt, r->err);

    code->n_runs++;
    if (st != STATUS_OK)
        return st;
    sqlite3_bind_int(stmt, 1, code->value);
    sqlite3_bind_int64(stmt, 2, (int64_t)r->serial);
    int rc = sqlite3_step(stmt);
    st = rc == SQLITE_DONE ? STATUS_OK : sql_error(c, rc, r->err);
    sql_own_done(stmt);
    r->wrote = st == STATUS_OK;
    if (st == STATUS_OK && code->fails)
        st = error_set(r->err, STATUS_CHANGED, 0, "it changed its mind");
    return st;
}

static enum status count_rows(struct sql_conn *c, struct sql_request *r)
{
    struct code *code = code_of(r);
    int64_t n = -1;
    enum status st = sql_exec_i64(c, "SELECT count(*) FROM n", &n, r->err);

    code->n_runs++;
    code->value = (int)n;
    code->ran_on = pthread_self();
    if (code->fails && r->may_retry)
        return error_set(r->err, STATUS_AGAIN, 0, "elsewhere");
    return st;
}

static void committed(struct sql_request *r)
{
    code_of(r)->was_committed = true;
}

static void begin(struct ask *a)
{
    if (store_run(&a->r))
        ask_done(&a->r);
}

static void done(struct sql_request *r)
{
    struct code *code = code_of(r);

    code->was_committed_at_answer = code->was_committed;
    ask_done(r);
}

static void code_init(struct code *code, struct database *on,
                      enum status (*fn)(struct sql_conn *, struct sql_request *))
{
    *code = (struct code){ 0 };
    ask_init(&code->ask, on, "");
    code->ask.begin = begin;
    code->ask.r.n = 0;
    code->ask.r.fn = fn;
    code->ask.r.fn_writes = fn == add_row;
    code->ask.r.committed = committed;
    code->ask.r.done = done;
}

static enum status code_end(struct code *code)
{
    code->status = ask_wait(&code->ask);
    ask_release(&code->ask);
    return code->status;
}

static int count(struct database *on)
{
    struct code code;

    code_init(&code, on, count_rows);
    ask_start(&code.ask);
    assert_int_equal(code_end(&code), STATUS_OK);
    return code.value;
}

/* ---- databases of another catalog ---- */

static enum status insert_row(sqlite3 *handle, void *arg, struct error *err)
{
    if (arg)
        return error_set(err, STATUS_LIMIT, 0, "no more rows");
    return control_exec(handle, "CREATE TABLE IF NOT EXISTS own(id); INSERT INTO own VALUES(1)", err);
}

static struct database *make_own(void)
{
    struct database_info info = { .profile = SQL_OWN, .name = "own" };
    struct database *made = NULL;
    struct error err;

    uuid_new(info.uuid);
    assert_int_equal(store_make(f.store, &kind, &info, insert_row, NULL, &made, &err), STATUS_OK);
    return made;
}

static bool everything_is_known(void *arg UNUSED, struct slice id UNUSED)
{
    return true;
}

static int setup_own(void **state)
{
    struct error err;

    if (setup_strict(state) != 0 || store_settle(f.store, &kind, everything_is_known, NULL, &err) != STATUS_OK)
        return -1;
    database_unref(db);
    db = make_own();
    return 0;
}

static enum status forget(void *arg, struct error *err)
{
    return *(bool *)arg ? STATUS_OK : error_set(err, STATUS_IO, 0, "the row stays");
}

static void their_catalog_alone_knows_them(void **state UNUSED)
{
    struct database_info info = { .profile = SQL_OWN, .name = "x" };
    struct database *made = NULL;
    struct error err;

    assert_null(store_find(f.store, slice_cstr(database_uuid(db))));
    uuid_new(info.uuid);
    assert_int_equal(store_make(f.store, &kind, &info, insert_row, &err, &made, &err), STATUS_LIMIT);
    assert_null(made);
    char path[256];
    snprintf(path, sizeof(path), "%s/own/.new-%s", f.dir, info.uuid);
    assert_int_equal(access(path, F_OK), -1);
}

static void removal_waits_for_its_row(void **state UNUSED)
{
    struct database *other = make_own();
    struct code late;
    struct error err;
    bool goes = false;

    assert_int_equal(store_remove(other, forget, &goes, &err), STATUS_IO);
    assert_int_equal(count(other), 0);
    assert_int_equal(access(database_dir(other), F_OK), 0);
    goes = true;
    assert_int_equal(store_remove(other, forget, &goes, &err), STATUS_OK);
    assert_int_equal(access(database_dir(other), F_OK), -1);
    code_init(&late, other, add_row);
    ask_start(&late.ask);
    assert_int_equal(code_end(&late), STATUS_NODB);
    assert_false(late.was_committed);
    database_unref(other);
}

/* ---- code on the writer ---- */

/* Runs them as one group. */
static void run_group(struct code *codes, size_t n)
{
    struct holding h;

    hold_writer(&h, db);
    for (size_t i = 0; i < n; i++)
        ask_start(&codes[i].ask);
    wait_for_loop(f.loops);
    let_writer_go(&h);
    for (size_t i = 0; i < n; i++)
        IGNORE_RESULT(code_end(&codes[i])); /* is in its status */
}

static void a_group_of_code_shares_a_commit(void **state UNUSED)
{
    static struct code codes[MANY];
    int fails = 0;

    for (int i = 0; i < MANY; i++) {
        code_init(&codes[i], db, add_row);
        codes[i].value = i;
        codes[i].fails = i % 10 == 3;
        fails += codes[i].fails;
    }
    run_group(codes, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(codes[i].status, codes[i].fails ? STATUS_CHANGED : STATUS_OK);
        assert_int_equal(codes[i].was_committed_at_answer, !codes[i].fails);
        assert_int_equal(codes[i].ask.r.commit, codes[0].ask.r.commit);
    }
    assert_int_equal(count(db), MANY - fails);
}

static void serials_grow_over_groups_and_failures(void **state UNUSED)
{
    static struct code codes[MANY];
    uint64_t last_serial = 0;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            code_init(&codes[i], db, add_row);
            codes[i].value = round * MANY + i;
            codes[i].fails = i % 7 == 6;
        }
        run_group(codes, MANY);
        for (int i = 0; i < MANY; i++) {
            if (codes[i].fails)
                continue;
            assert_true(codes[i].ask.r.serial > last_serial);
            last_serial = codes[i].ask.r.serial;
        }
    }
}

static void a_constraint_of_one_takes_nobody_with_it(void **state UNUSED)
{
    static struct code codes[3];

    for (int i = 0; i < 3; i++) {
        code_init(&codes[i], db, add_row);
        codes[i].value = i == 1 ? 0 : i; /* the second meets the first */
        codes[i].ask.r.fn_is_atomic = true;
    }
    run_group(codes, 3);
    assert_int_equal(codes[0].status, STATUS_OK);
    assert_int_equal(codes[1].status, STATUS_SQL);
    assert_int_equal(codes[2].status, STATUS_OK);
    assert_int_equal(count(db), 2);
}

static void what_wants_to_be_alone_shares_no_commit(void **state UNUSED)
{
    static struct code codes[4];

    for (int i = 0; i < 4; i++) {
        code_init(&codes[i], db, add_row);
        codes[i].value = i;
        codes[i].ask.r.alone = i == 1;
    }
    run_group(codes, 4);
    assert_true(codes[0].ask.r.commit < codes[1].ask.r.commit);
    assert_true(codes[1].ask.r.commit < codes[2].ask.r.commit);
    assert_int_equal(codes[2].ask.r.commit, codes[3].ask.r.commit);
    assert_int_equal(count(db), 4);
}

/* ---- code on readers ---- */

static void a_reader_runs_on_its_loop_or_else_in_the_pool(void **state UNUSED)
{
    struct code code;

    assert_int_equal(count(db), 0); /* opens the database */
    code_init(&code, db, count_rows);
    ask_start(&code.ask);
    assert_int_equal(code_end(&code), STATUS_OK);
    assert_int_equal(code.n_runs, 1);
    assert_true(pthread_equal(code.ran_on, f.loops[0].thread));
    code_init(&code, db, count_rows);
    code.fails = true;
    ask_start(&code.ask);
    assert_int_equal(code_end(&code), STATUS_OK);
    assert_int_equal(code.n_runs, 2);
    assert_false(pthread_equal(code.ran_on, f.loops[0].thread));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_own, teardown)
    const struct CMUnitTest tests[] = {
        TEST(their_catalog_alone_knows_them),
        TEST(removal_waits_for_its_row),
        TEST(a_group_of_code_shares_a_commit),
        TEST(serials_grow_over_groups_and_failures),
        TEST(a_constraint_of_one_takes_nobody_with_it),
        TEST(what_wants_to_be_alone_shares_no_commit),
        TEST(a_reader_runs_on_its_loop_or_else_in_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
