/* What SQL may do, row by row: in the strict profile, in the wide one, and what follows for who runs a statement. */
#include "../testing.h"

#include "fixture.h"

enum verdict { NEVER, WIDE_ONLY, ALWAYS };

static const struct {
    enum verdict verdict;
    const char *text;
} rows[] = {
    { ALWAYS, "SELECT * FROM t" },
    { ALWAYS, "INSERT INTO t VALUES(1)" },
    { ALWAYS, "UPDATE t SET a = 2" },
    { ALWAYS, "DELETE FROM t" },
    { ALWAYS, "CREATE TABLE t2(a)" },
    { ALWAYS, "DROP TABLE t" },
    { ALWAYS, "ALTER TABLE t ADD COLUMN z" },
    { ALWAYS, "ALTER TABLE t RENAME TO t3" },
    { ALWAYS, "ALTER TABLE t RENAME COLUMN a TO b" },
    { ALWAYS, "CREATE INDEX i ON t(a)" },
    { ALWAYS, "CREATE VIEW v AS SELECT 1" },
    { ALWAYS, "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END" },
    { ALWAYS, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 3) SELECT * FROM c" },
    { ALWAYS, "REINDEX" },
    { ALWAYS, "ANALYZE" },
    { ALWAYS, "EXPLAIN SELECT 1" },
    { ALWAYS, "EXPLAIN QUERY PLAN SELECT 1" },
    { ALWAYS, "SELECT name FROM sqlite_schema" },
    { ALWAYS, "CREATE VIRTUAL TABLE ft USING fts5(a)" },
    { ALWAYS, "CREATE VIRTUAL TABLE rt USING rtree(i, a, b)" },
    /* names */
    { NEVER, "CREATE TABLE _cf_x(a)" },
    { NEVER, "CREATE TABLE _CF_x(a)" },
    { NEVER, "ALTER TABLE t RENAME TO _cf_t" },
    { NEVER, "CREATE INDEX _cf_i ON t(a)" },
    { NEVER, "CREATE VIEW _cf_v AS SELECT 1" },
    { ALWAYS, "CREATE TABLE x_cf_(a)" },
    /* other databases and files */
    { NEVER, "ATTACH ':memory:' AS x" },
    { NEVER, "DETACH main" },
    { NEVER, "VACUUM" },
    { NEVER, "VACUUM INTO '/tmp/never'" },
    { NEVER, "CREATE TEMP TABLE x(a)" },
    { NEVER, "CREATE TEMP VIEW x AS SELECT 1" },
    { NEVER, "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END" },
    { NEVER, "CREATE TABLE temp.x(a)" },
    { NEVER, "SELECT load_extension('x')" },
    { NEVER, "SELECT readfile('/etc/passwd')" },
    { NEVER, "SELECT writefile('/tmp/never', 'x')" },
    { NEVER, "SELECT fts3_tokenizer('simple')" },
    { NEVER, "SELECT * FROM sqlite_dbpage" },
    { NEVER, "CREATE VIRTUAL TABLE x USING dbstat" },
    { NEVER, "CREATE VIRTUAL TABLE x USING sqlite_dbpage" },
    { NEVER, "UPDATE sqlite_schema SET sql = 'x'" },
    { NEVER, "DELETE FROM sqlite_schema" },
    /* transactions */
    { NEVER, "BEGIN" },
    { NEVER, "BEGIN IMMEDIATE" },
    { NEVER, "COMMIT" },
    { NEVER, "END" },
    { NEVER, "ROLLBACK" },
    { NEVER, "SAVEPOINT s" },
    { NEVER, "RELEASE s" },
    /* functions */
    { ALWAYS, "SELECT abs(1), lower('A'), json('{}'), datetime('now'), CURRENT_TIMESTAMP, current_time, sqrt(4)" },
    { ALWAYS, "SELECT rtrim('a'), rank() OVER (), group_concat(a), 'a' LIKE 'b', 'a' GLOB 'b', '[1]' ->> 0 FROM t" },
    { ALWAYS, "SELECT changes(), last_insert_rowid(), total_changes()" },
    { ALWAYS, "SELECT * FROM json_each('[1,2]')" },
    { WIDE_ONLY, "SELECT sqlite_version()" },
    { WIDE_ONLY, "SELECT sqlite_source_id()" },
    { WIDE_ONLY, "SELECT sqlite_compileoption_used('x')" },
    /* pragmas */
    { ALWAYS, "PRAGMA table_info(t)" },
    { ALWAYS, "PRAGMA table_info('t')" },
    { NEVER, "PRAGMA table_info" },
    { NEVER, "PRAGMA table_info(_cf_x)" },
    { ALWAYS, "PRAGMA table_list" },
    { ALWAYS, "PRAGMA table_xinfo(t)" },
    { ALWAYS, "PRAGMA index_list(t)" },
    { ALWAYS, "PRAGMA foreign_key_list(t)" },
    { ALWAYS, "PRAGMA foreign_key_check" },
    { ALWAYS, "PRAGMA quick_check" },
    { ALWAYS, "PRAGMA quick_check(10)" },
    { ALWAYS, "PRAGMA optimize" },
    { ALWAYS, "PRAGMA optimize(-1)" },
    { ALWAYS, "PRAGMA optimize(0x10002)" },
    { NEVER, "PRAGMA optimize(99999999999)" },
    { ALWAYS, "PRAGMA foreign_keys" },
    { ALWAYS, "PRAGMA foreign_keys = on" },
    { ALWAYS, "PRAGMA defer_foreign_keys = 'true'" },
    { NEVER, "PRAGMA defer_foreign_keys = maybe" },
    { ALWAYS, "PRAGMA case_sensitive_like = 1" },
    { ALWAYS, "PRAGMA page_size" },
    { NEVER, "PRAGMA page_size = 512" },
    { ALWAYS, "PRAGMA data_version" },
    { NEVER, "PRAGMA journal_mode" },
    { NEVER, "PRAGMA journal_mode = OFF" },
    { NEVER, "PRAGMA synchronous = OFF" },
    { NEVER, "PRAGMA writable_schema = 1" },
    { NEVER, "PRAGMA temp_store_directory = '/tmp'" },
    { NEVER, "PRAGMA user_version" },
    { NEVER, "PRAGMA user_version = 5" },
    { NEVER, "PRAGMA application_id = 5" },
    { NEVER, "PRAGMA wal_checkpoint" },
    { NEVER, "PRAGMA max_page_count = 10" },
    { NEVER, "PRAGMA trusted_schema = 1" },
    { NEVER, "PRAGMA database_list" },
    { NEVER, "PRAGMA no_such_pragma" },
    { NEVER, "PRAGMA hexkey = 'x'" },
    { NEVER, "PRAGMA locking_mode = EXCLUSIVE" },
    { NEVER, "PRAGMA mmap_size = 1000000" },
    { NEVER, "SELECT * FROM pragma_journal_mode" },
    { WIDE_ONLY, "PRAGMA compile_options" },
    { WIDE_ONLY, "PRAGMA integrity_check" },
    { WIDE_ONLY, "PRAGMA page_count" },
    { WIDE_ONLY, "PRAGMA function_list" },
    { WIDE_ONLY, "PRAGMA encoding" },
    { NEVER, "PRAGMA encoding = 'UTF-16'" },
    { WIDE_ONLY, "PRAGMA collation_list" },
    { WIDE_ONLY, "PRAGMA freelist_count" },
};

/* Every statement sees the same database: what it did is undone. */
static void check_row(size_t i, bool allowed)
{
    assert_int_equal(sql_exec(f.conn, "BEGIN", &f.err), STATUS_OK);
    enum status st = run(rows[i].text, "[]");
    if ((st == STATUS_OK) != allowed)
        fail_msg("%s: %s", rows[i].text, st == STATUS_OK ? "was allowed" : f.err.msg);
    if (!allowed)
        assert_int_equal(st, STATUS_SQL);
    if (sql_conn_in_transaction(f.conn))
        assert_int_equal(sql_exec(f.conn, "ROLLBACK", &f.err), STATUS_OK);
    sql_conn_reset_state(f.conn);
}

static void make_schema(void)
{
    must_run("CREATE TABLE t(a); INSERT INTO t VALUES(1); CREATE TABLE pk(id INTEGER PRIMARY KEY)");
}

static void the_strict_profile_is_that_of_d1(void **state UNUSED)
{
    make_schema();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(i, rows[i].verdict == ALWAYS);
}

static void the_wide_profile_adds_only_what_looks_inward(void **state UNUSED)
{
    make_schema();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(i, rows[i].verdict != NEVER);
}

static void changing_the_profile_takes_effect_at_once_also_for_cached_statements(void **state UNUSED)
{
    sql_conn_set_profile(f.conn, SQL_WIDE);
    CHECK_ROWS("PRAGMA page_count", "[]", "[{\"page_count\":1}]");
    assert_non_null(sql_cache_find(f.conn, SLICE_LIT("PRAGMA page_count")));
    sql_conn_set_profile(f.conn, SQL_STRICT);
    CHECK_ERROR("PRAGMA page_count", "[]", STATUS_SQL, "not authorized: SQLITE_AUTH");
}

static void a_hidden_table_cannot_be_read_or_written(void **state UNUSED)
{
    assert_int_equal(sql_exec(f.conn, "CREATE TABLE _cf_secret(a)", &f.err), STATUS_OK);
    assert_int_not_equal(run("SELECT a FROM _cf_secret", "[]"), STATUS_OK);
    assert_int_not_equal(run("SELECT count(*) FROM _cf_secret", "[]"), STATUS_OK);
    assert_int_not_equal(run("INSERT INTO _cf_secret VALUES(1)", "[]"), STATUS_OK);
    assert_int_not_equal(run("DELETE FROM _cf_secret", "[]"), STATUS_OK);
    assert_int_not_equal(run("DROP TABLE _cf_secret", "[]"), STATUS_OK);
    assert_int_not_equal(run("ALTER TABLE _cf_secret RENAME TO open", "[]"), STATUS_OK);
    assert_int_not_equal(run("CREATE TABLE copy AS SELECT * FROM _cf_secret", "[]"), STATUS_OK);
}

/* ---- who may run it ---- */

static unsigned flags_of(const char *text)
{
    struct sql_stmt *s;
    size_t consumed;

    if (sql_prepare(f.conn, slice_cstr(text), &s, &consumed, &f.err) != STATUS_OK)
        fail_msg("%s: %s", text, f.err.msg);
    unsigned flags = sql_stmt_flags(s);
    sql_stmt_done(f.conn, s);
    return flags;
}

static void flags_tell_which_connection_a_statement_needs(void **state UNUSED)
{
    static const struct {
        const char *text;
        unsigned flags;
    } wanted[] = {
        { "SELECT 1", 0 },
        { "PRAGMA table_info(t)", 0 },
        { "PRAGMA foreign_keys", 0 },
        { "EXPLAIN INSERT INTO t VALUES(1)", SQL_STMT_WRITES }, /* so says SQLite; it only costs a turn of the writer */
        { "SELECT changes()", SQL_STMT_NEEDS_WRITER },
        { "SELECT last_insert_rowid()", SQL_STMT_NEEDS_WRITER },
        { "INSERT INTO t VALUES(1)", SQL_STMT_WRITES },
        { "INSERT INTO t VALUES(changes())", SQL_STMT_WRITES | SQL_STMT_NEEDS_WRITER },
        { "CREATE TABLE t2(a)", SQL_STMT_WRITES },
        { "DELETE FROM t RETURNING a", SQL_STMT_WRITES },
        { "PRAGMA foreign_keys = 1", SQL_STMT_NEEDS_WRITER | SQL_STMT_SETS_STATE },
        { "PRAGMA data_version", SQL_STMT_NEEDS_WRITER },
    };

    make_schema();
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        for (int again = 0; again < 2; again++) /* the second time out of the cache */
            if (flags_of(wanted[i].text) != wanted[i].flags)
                fail_msg("%s has flags %u", wanted[i].text, flags_of(wanted[i].text));
}

static void a_reader_must_not_even_prepare_a_switch(void **state UNUSED)
{
    static const char *const switches[] = { "PRAGMA case_sensitive_like = 1", "EXPLAIN PRAGMA case_sensitive_like = 1" };
    struct sql_conn *reader = open_conn(SQL_READER, SQL_STRICT, 4);
    struct sql_stmt *s;
    size_t consumed;

    for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
        assert_int_not_equal(sql_prepare(reader, slice_cstr(switches[i]), &s, &consumed, &f.err), STATUS_OK);
        assert_true(sql_conn_wants_writer(reader));
        assert_int_equal(run_on(reader, SLICE_LIT("SELECT 'a' LIKE 'A' AS same"), "[]", SQL_OBJECTS), STATUS_OK);
        assert_string_equal(results(), "[{\"same\":1}]");
    }
    sql_conn_close(reader);
}

static void switches_end_with_the_request(void **state UNUSED)
{
    CHECK_ROWS("SELECT 'a' LIKE 'A' AS same", "[]", "[{\"same\":1}]");
    must_run("PRAGMA case_sensitive_like = 1");
    sql_conn_reset_state(f.conn);
    CHECK_ROWS("SELECT 'a' LIKE 'A' AS same", "[]", "[{\"same\":1}]");
    must_run("PRAGMA recursive_triggers = 1; PRAGMA reverse_unordered_selects = 1; PRAGMA ignore_check_constraints = 1");
    sql_conn_reset_state(f.conn);
    CHECK_ROWS("PRAGMA recursive_triggers", "[]", "[{\"recursive_triggers\":0}]");
    CHECK_ROWS("PRAGMA reverse_unordered_selects", "[]", "[{\"reverse_unordered_selects\":0}]");
    CHECK_ROWS("PRAGMA ignore_check_constraints", "[]", "[{\"ignore_check_constraints\":0}]");
}

static void a_switch_works_each_time_it_is_said(void **state UNUSED)
{
    for (int i = 0; i < 3; i++) {
        must_run("PRAGMA case_sensitive_like = 1");
        CHECK_ROWS("SELECT 'a' LIKE 'A' AS same", "[]", "[{\"same\":0}]");
        sql_conn_reset_state(f.conn);
        CHECK_ROWS("SELECT 'a' LIKE 'A' AS same", "[]", "[{\"same\":1}]");
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_strict, close_conn)
    const struct CMUnitTest tests[] = {
        TEST(the_strict_profile_is_that_of_d1),
        cmocka_unit_test_setup_teardown(the_wide_profile_adds_only_what_looks_inward, open_wide, close_conn),
        TEST(changing_the_profile_takes_effect_at_once_also_for_cached_statements),
        TEST(a_hidden_table_cannot_be_read_or_written),
        TEST(flags_tell_which_connection_a_statement_needs),
        TEST(a_reader_must_not_even_prepare_a_switch),
        TEST(switches_end_with_the_request),
        TEST(a_switch_works_each_time_it_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
