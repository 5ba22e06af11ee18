/* The data directory and its catalog: making, finding, listing, changing, deleting, and what a restart finds. */
#include "../testing.h"

#include "asking.h"

#include "dione_sqlite.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct error err;

static enum status create(const char *name, struct database **ret)
{
    struct database_info info = { 0 };

    snprintf(info.name, sizeof(info.name), "%s", name);
    return store_create(f.store, &info, ret, &err);
}

static void a_database_is_found_by_id_and_by_name(void **state UNUSED)
{
    struct database *made = make_database("second", SQL_STRICT), *found;

    found = store_find(f.store, SLICE_LIT("second"));
    assert_ptr_equal(found, made);
    database_unref(found);
    found = store_find(f.store, slice_cstr(database_uuid(made)));
    assert_ptr_equal(found, made);
    database_unref(found);
    assert_null(store_find(f.store, SLICE_LIT("secon")));
    assert_null(store_find(f.store, SLICE_LIT("SECOND")));
    assert_null(store_find(f.store, SLICE_NONE));
    assert_null(store_find(f.store, SLICE_LIT("00000000-0000-4000-8000-000000000000")));
    assert_ptr_equal(database_store(made), f.store);
    database_unref(made);
}

static void an_id_that_is_given_is_kept_and_unique(void **state UNUSED)
{
    struct database_info info = { .uuid = "00000000-0000-4000-8000-00000000abcd", .name = "with-id" };
    struct database *made = NULL, *found;

    assert_int_equal(store_create(f.store, &info, &made, &err), STATUS_OK);
    found = store_find(f.store, SLICE_LIT("00000000-0000-4000-8000-00000000abcd"));
    assert_ptr_equal(found, made);
    database_unref(found);
    database_unref(made);
    made = NULL;
    snprintf(info.name, sizeof(info.name), "another");
    assert_int_equal(store_create(f.store, &info, &made, &err), STATUS_EXISTS);
    assert_null(made);
    assert_null(store_find(f.store, SLICE_LIT("another")));
}

static void names_are_unique_and_have_a_form(void **state UNUSED)
{
    static const char *const good[] = { "a", "A-b_c.d", "_x", "9", "x.sqlite" };
    static const char *const bad[] = { "", ".", ".hidden", "-x", "a b", "a/b", "../x", "a\n", "\xC3\xA4", "a'b",
                                       "00000000-0000-4000-8000-000000000000" };
    struct database *made = NULL;
    char longest[DATABASE_NAME_MAX + 1];

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(create(good[i], &made), STATUS_OK);
        database_unref(made);
        made = NULL;
        assert_int_equal(create(good[i], &made), STATUS_EXISTS);
        assert_null(made);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(create(bad[i], &made), STATUS_INVALID);
        assert_null(made);
    }
    memset(longest, 'x', DATABASE_NAME_MAX);
    longest[DATABASE_NAME_MAX] = '\0';
    assert_int_equal(create(longest, &made), STATUS_OK);
    database_unref(made);
}

static void check_list(const char *filter, size_t offset, size_t limit, const char *want, size_t want_total)
{
    struct database **list;
    struct database_info info;
    struct buf names = { 0 };
    size_t n, total;

    assert_int_equal(store_list(f.store, filter ? slice_cstr(filter) : SLICE_NONE, offset, limit, &list, &n, &total, &err),
                     STATUS_OK);
    for (size_t i = 0; i < n; i++) {
        database_info(list[i], &info);
        buf_printf(&names, "%s ", info.name);
        database_unref(list[i]);
    }
    free(list);
    buf_append(&names, "", 0);
    assert_string_equal(names.ptr, want);
    assert_int_equal(total, want_total);
    buf_release(&names);
}

static void the_list_is_paged_and_filtered_in_the_order_of_creation(void **state UNUSED)
{
    static const char *const names[] = { "zeta", "alpha", "Alphabet", "beta" };
    struct database *made;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        made = make_database(names[i], SQL_STRICT);
        database_unref(made);
    }
    for (int round = 0; round < 2; round++) {
        check_list(NULL, 0, 100, "main zeta alpha Alphabet beta ", 5);
        check_list(NULL, 1, 2, "zeta alpha ", 5);
        check_list(NULL, 4, 2, "beta ", 5);
        check_list(NULL, 5, 2, "", 5);
        check_list(NULL, 99, 2, "", 5);
        check_list(NULL, 0, 0, "", 5);
        check_list("alpha", 0, 10, "alpha Alphabet ", 2);
        check_list("ET", 1, 10, "Alphabet beta ", 3);
        check_list("nothing", 0, 10, "", 0);
        reopen(); /* and the same after a restart */
    }
}

static void a_change_is_kept(void **state UNUSED)
{
    struct database_info info, again;

    database_info(db, &info);
    assert_int_equal(info.profile, SQL_STRICT);
    info.profile = SQL_WIDE;
    snprintf(info.replication, sizeof(info.replication), "auto");
    assert_int_equal(ask_on(db, "PRAGMA page_count"), STATUS_SQL);
    assert_int_equal(store_update(f.store, db, &info, &err), STATUS_OK);
    assert_int_equal(database_profile(db), SQL_WIDE);
    /* Open connections change with it. */
    assert_int_equal(ask_on(db, "PRAGMA page_count"), STATUS_OK);
    assert_int_equal(ask_on(db, "CREATE TABLE t(a); PRAGMA page_count"), STATUS_OK);
    reopen();
    database_info(db, &again);
    assert_memory_equal(again.uuid, info.uuid, sizeof(info.uuid));
    assert_int_equal(again.profile, SQL_WIDE);
    assert_string_equal(again.replication, "auto");
    assert_int_equal(again.created_ms, info.created_ms);
    assert_int_equal(ask_on(db, "PRAGMA page_count"), STATUS_OK);
}

static void deleting_takes_the_name_and_the_files(void **state UNUSED)
{
    char dir[256];

    must_ask("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    snprintf(dir, sizeof(dir), "%s", database_dir(db));
    assert_int_equal(access(dir, F_OK), 0);
    assert_int_equal(store_delete(f.store, db, &err), STATUS_OK);
    assert_int_not_equal(access(dir, F_OK), 0);
    assert_null(store_find(f.store, SLICE_LIT("main")));
    check_list(NULL, 0, 10, "", 0);
    /* Who still holds it is told. */
    assert_int_equal(ask_on(db, "SELECT 1"), STATUS_NODB);
    assert_int_equal(ask_on(db, "INSERT INTO t VALUES(1)"), STATUS_NODB);
    assert_int_equal(store_delete(f.store, db, &err), STATUS_NODB);
    database_unref(db);
    db = make_database("main", SQL_STRICT);
    CHECK_ASK("SELECT count(*) AS n FROM sqlite_schema", "[{\"n\":0}]");
    reopen();
    assert_non_null(db);
}

static void requests_that_wait_when_their_database_is_deleted_are_answered(void **state UNUSED)
{
    enum { N = 20 };
    static struct ask asks[N];
    struct holding h;

    must_ask("CREATE TABLE t(a)");
    hold_writer(&h, db);
    for (int i = 0; i < N; i++) {
        ask_init(&asks[i], db, "INSERT INTO t VALUES(1)");
        ask_start(&asks[i]);
    }
    wait_for_loop(f.loops);
    let_writer_go(&h);
    assert_int_equal(store_delete(f.store, db, &err), STATUS_OK);
    for (int i = 0; i < N; i++) {
        assert_int_equal(ask_wait(&asks[i]), STATUS_OK); /* they came before the deletion */
        ask_release(&asks[i]);
    }
}

static void many_databases_come_back_after_a_restart(void **state UNUSED)
{
    char name[32];

    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "db%d", i);
        struct database *made = make_database(name, SQL_STRICT);
        assert_int_equal(ask_on(made, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"), STATUS_OK);
        database_unref(made);
    }
    reopen();
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "db%d", i);
        struct database *found = store_find(f.store, slice_cstr(name));
        assert_non_null(found);
        assert_int_equal(ask_on(found, "SELECT count(*) AS n FROM t"), STATUS_OK);
        assert_string_equal(rows_of(last.text), "[{\"n\":1}]");
        assert_int_equal(last.commit, 1);
        database_unref(found);
    }
}

static void the_files_are_plain_sqlite(void **state UNUSED)
{
    char path[300];
    sqlite3 *plain;
    sqlite3_stmt *stmt;

    must_ask("CREATE TABLE t(a); INSERT INTO t VALUES(42)");
    snprintf(path, sizeof(path), "%s/db.sqlite", database_dir(db));
    database_unref(db);
    fixture_stop(&f);
    assert_int_equal(sqlite3_open(path, &plain), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(plain, "SELECT a FROM t", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(stmt, 0), 42);
    sqlite3_finalize(stmt);
    sqlite3_close(plain);
    fixture_start(&f);
    db = store_find(f.store, SLICE_LIT("main"));
}

/* ---- what cannot be opened ---- */

static void try_open(enum status want, const char *text)
{
    struct store_options opt = { .dir = f.dir, .loops = f.loops, .n_loops = 1 };
    struct store *second = NULL;

    assert_int_equal(store_open(&opt, &second, &err), want);
    assert_null(second);
    if (!strstr(err.msg, text))
        fail_msg("%s", err.msg);
}

static void a_directory_in_use_is_refused(void **state UNUSED)
{
    try_open(STATUS_BUSY, "is in use by another dione process");
}

/* The lock is held by another process; it must not matter that it is no store. */
static void another_process_on_the_directory_is_noticed(void **state UNUSED)
{
    int ready[2], go[2], status;
    char path[128], byte;

    database_unref(db);
    fixture_stop(&f);
    snprintf(path, sizeof(path), "%s/lock", f.dir);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR);
        bool ok = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && write(ready[1], "x", 1) == 1 && read(go[0], &byte, 1) == 1;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    try_open(STATUS_BUSY, "is in use by another dione process");
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
    fixture_start(&f);
    db = store_find(f.store, SLICE_LIT("main"));
    assert_non_null(db);
}

static void run_on_control(const char *text)
{
    char path[128];
    sqlite3 *control;

    snprintf(path, sizeof(path), "%s/control.db", f.dir);
    assert_int_equal(sqlite3_open(path, &control), SQLITE_OK);
    assert_int_equal(sqlite3_exec(control, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(control);
}

static void an_unknown_format_is_refused_by_its_number(void **state UNUSED)
{
    database_unref(db);
    fixture_stop(&f);
    run_on_control("UPDATE meta SET value = 2 WHERE key = 'format'");
    try_open(STATUS_INVALID, "has format 2; this version of dione knows format 1 only");
    run_on_control("UPDATE meta SET value = 1 WHERE key = 'format'");
    fixture_start(&f);
    db = store_find(f.store, SLICE_LIT("main"));
    assert_non_null(db);
}

static void a_directory_that_cannot_be_made_is_named(void **state UNUSED)
{
    struct store_options opt = { .dir = "/proc/no/such/place", .loops = f.loops, .n_loops = 1 };
    struct store *second = NULL;

    assert_int_not_equal(store_open(&opt, &second, &err), STATUS_OK);
    assert_null(second);
    assert_non_null(strstr(err.msg, "/proc/no/such/place"));
}

static void a_lost_file_is_reported_and_not_made_anew(void **state UNUSED)
{
    char path[300];

    must_ask("CREATE TABLE t(a)");
    snprintf(path, sizeof(path), "%s/db.sqlite", database_dir(db));
    database_unref(db);
    fixture_stop(&f);
    assert_int_equal(unlink(path), 0);
    fixture_start(&f);
    db = store_find(f.store, SLICE_LIT("main"));
    assert_int_equal(ask_on(db, "SELECT 1"), STATUS_CORRUPT);
    assert_non_null(strstr(last.text, "file is missing"));
    assert_int_equal(ask_on(db, "CREATE TABLE t(a)"), STATUS_CORRUPT);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void a_damaged_file_is_corrupt_and_the_others_work(void **state UNUSED)
{
    char path[300];
    struct database *other = make_database("other", SQL_STRICT);

    must_ask("CREATE TABLE t(a)");
    snprintf(path, sizeof(path), "%s/db.sqlite", database_dir(db));
    database_unref(db);
    database_unref(other);
    fixture_stop(&f);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "this is no database at all, sorry", 33, 0), 33);
    close(fd);
    fixture_start(&f);
    db = store_find(f.store, SLICE_LIT("main"));
    other = store_find(f.store, SLICE_LIT("other"));
    assert_int_equal(ask_on(db, "SELECT 1 FROM sqlite_schema"), STATUS_CORRUPT);
    assert_non_null(strstr(last.text, database_uuid(db)));
    assert_int_equal(ask_on(other, "CREATE TABLE t(a)"), STATUS_OK);
    database_unref(other);
}

/* ---- what a crash leaves ---- */

static void half_made_and_half_deleted_folders_are_settled(void **state UNUSED)
{
    char plain[300], marked[300], stray[300], gone[300], file[400];

    must_ask("CREATE TABLE t(a); INSERT INTO t VALUES(7)");
    snprintf(plain, sizeof(plain), "%s", database_dir(db));
    snprintf(marked, sizeof(marked), "%s/d1/.new-%s", f.dir, database_uuid(db));
    snprintf(stray, sizeof(stray), "%s/d1/.new-00000000-0000-4000-8000-000000000000", f.dir);
    snprintf(gone, sizeof(gone), "%s/d1/.gone-00000000-0000-4000-8000-000000000001", f.dir);
    database_unref(db);
    fixture_stop(&f);
    assert_int_equal(rename(plain, marked), 0); /* the row was written, the name not yet given */
    assert_int_equal(mkdir(stray, 0700), 0);    /* the row was never written */
    assert_int_equal(mkdir(gone, 0700), 0);     /* the row is gone, the files not yet */
    snprintf(file, sizeof(file), "%s/db.sqlite", gone);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    fixture_start(&f);
    db = store_find(f.store, SLICE_LIT("main"));
    CHECK_ASK("SELECT a FROM t", "[{\"a\":7}]");
    assert_int_equal(access(plain, F_OK), 0);
    assert_int_not_equal(access(marked, F_OK), 0);
    assert_int_not_equal(access(stray, F_OK), 0);
    assert_int_not_equal(access(gone, F_OK), 0);
}

/* ---- the control database ---- */

static enum status insert_meta(sqlite3 *control, void *arg, struct error *e)
{
    if (sqlite3_exec(control, "INSERT INTO meta VALUES('test', 1)", NULL, NULL, NULL) != SQLITE_OK)
        return error_set(e, STATUS_EXISTS, 0, "%s", sqlite3_errmsg(control));
    return arg ? error_set(e, STATUS_LIMIT, 0, "second thoughts") : STATUS_OK;
}

static void control_work_is_all_or_nothing(void **state UNUSED)
{
    assert_int_equal(store_control(f.store, insert_meta, &err, &err), STATUS_LIMIT);
    assert_string_equal(err.msg, "second thoughts");
    assert_int_equal(store_control(f.store, insert_meta, NULL, &err), STATUS_OK);
    assert_int_equal(store_control(f.store, insert_meta, NULL, &err), STATUS_EXISTS);
    reopen();
    assert_int_equal(store_control(f.store, insert_meta, NULL, &err), STATUS_EXISTS);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_strict, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_database_is_found_by_id_and_by_name),
        TEST(an_id_that_is_given_is_kept_and_unique),
        TEST(names_are_unique_and_have_a_form),
        TEST(the_list_is_paged_and_filtered_in_the_order_of_creation),
        TEST(a_change_is_kept),
        TEST(deleting_takes_the_name_and_the_files),
        TEST(requests_that_wait_when_their_database_is_deleted_are_answered),
        TEST(many_databases_come_back_after_a_restart),
        TEST(the_files_are_plain_sqlite),
        TEST(a_directory_in_use_is_refused),
        TEST(another_process_on_the_directory_is_noticed),
        TEST(an_unknown_format_is_refused_by_its_number),
        TEST(a_directory_that_cannot_be_made_is_named),
        TEST(a_lost_file_is_reported_and_not_made_anew),
        TEST(a_damaged_file_is_corrupt_and_the_others_work),
        TEST(half_made_and_half_deleted_folders_are_settled),
        TEST(control_work_is_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
