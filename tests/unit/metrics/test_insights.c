/* Usage and insights: what is recorded comes out again, by hour and by text, within the bounds of metrics.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "metrics/metrics.h"
#include "store/collect.h"
#include "store/control_sql.h"

#include "../store/fixture.h"

#include <pthread.h>

enum { HOUR = 3600 * 1000, DAY = 24 * HOUR };

static struct fixture f;
static struct metrics *metrics;
static struct database *db, *other_db;
static struct error err;

#define ASSERT_OK(call)                         \
    do {                                        \
        if ((call) != STATUS_OK)                \
            fail_msg("%s: %s", #call, err.msg); \
    } while (0)

static struct database *make_database(const char *name)
{
    struct database_info info = { 0 };
    struct database *made;

    snprintf(info.name, sizeof(info.name), "%s", name);
    snprintf(info.replication, sizeof(info.replication), "disabled");
    ASSERT_OK(store_create(f.store, &info, &made, &err));
    return made;
}

static void on_stats(void *arg, const struct database *of, struct slice text, const struct sql_stmt_stats *stats,
                     bool is_write)
{
    struct metrics **m = arg;

    if (*m)
        metrics_record(*m, of, text, stats, is_write);
}

static int setup(void **state)
{
    (void)state;
    f = (struct fixture){ .on_stats = on_stats, .stats_arg = &metrics };
    fixture_init(&f);
    ASSERT_OK(metrics_open(f.store, &metrics, &err));
    db = make_database("one");
    other_db = make_database("two");
    return 0;
}

static void stop_metrics(void)
{
    struct metrics *m = metrics;

    metrics = NULL;
    metrics_close(m);
}

static int teardown(void **state)
{
    (void)state;
    database_unref(db);
    database_unref(other_db);
    fixture_release(&f); /* its loops may record until they have ended */
    stop_metrics();
    return 0;
}

/* ---- asking ---- */

static struct metrics_filter last_hours(const struct database *of, int64_t hours)
{
    struct metrics_filter filter = { .to_ms = clock_wall_ms() };

    filter.from_ms = filter.to_ms - hours * HOUR;
    if (of)
        snprintf(filter.database, sizeof(filter.database), "%s", database_uuid(of));
    return filter;
}

struct hours {
    struct metrics_hour sum;
    int64_t first_ms, last_ms;
    int n;
};

static void on_hour(const struct metrics_hour *h, void *arg)
{
    struct hours *all = arg;

    if (!all->n++)
        all->first_ms = h->start_ms;
    assert_true(h->start_ms >= all->last_ms);
    all->last_ms = h->start_ms;
    all->sum.read_queries += h->read_queries;
    all->sum.write_queries += h->write_queries;
    all->sum.rows_read += h->rows_read;
    all->sum.rows_written += h->rows_written;
}

static struct hours ask_hours(struct metrics_filter filter, size_t limit)
{
    struct hours all = { 0 };

    ASSERT_OK(metrics_hours(metrics, &filter, limit, on_hour, &all, &err));
    return all;
}

struct query {
    char database[UUID_LEN + 1], text[METRICS_TEXT_MAX + 1];
    struct sql_stmt_stats sum;
};

struct queries {
    size_t n;
    uint64_t runs;
    struct query list[600];
};

static void on_query(const struct metrics_query *q, void *arg)
{
    struct queries *all = arg;
    struct query *one = &all->list[all->n++];

    assert_true(all->n <= ARRAY_LEN(all->list));
    assert_true(q->text.len <= METRICS_TEXT_MAX);
    memcpy(one->database, q->database, sizeof(one->database));
    memcpy(one->text, q->text.ptr, q->text.len);
    one->text[q->text.len] = '\0';
    one->sum = q->sum;
    all->runs += q->sum.count;
}

static const struct queries *ask_queries(struct metrics_filter filter, struct metrics_order order, size_t limit)
{
    static struct queries all;

    all.n = 0;
    all.runs = 0;
    ASSERT_OK(metrics_queries(metrics, &filter, order, limit, on_query, &all, &err));
    return &all;
}

static const struct query *find(const struct queries *all, const char *text)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->list[i].text, text) == 0)
            return &all->list[i];
    return NULL;
}

static void record(const struct database *of, const char *text, struct sql_stmt_stats stats, bool is_write)
{
    metrics_record(metrics, of, slice_cstr(text), &stats, is_write);
}

static const struct metrics_order by_count = { .field = METRICS_COUNT, .descending = true };

/* ---- tests ---- */

static void counts_are_summed_by_database_and_text(void **state)
{
    (void)state;
    record(db, "  SELECT 1\n", (struct sql_stmt_stats){ 3, 300, 30, 0, 3 }, false);
    record(db, "INSERT INTO t VALUES (1)", (struct sql_stmt_stats){ 1, 500, 0, 1, 0 }, true);
    ASSERT_OK(metrics_flush(metrics, &err));
    record(db, "SELECT 1", (struct sql_stmt_stats){ 2, 200, 20, 0, 2 }, false);
    record(other_db, "SELECT 1", (struct sql_stmt_stats){ 7, 700, 70, 0, 7 }, false);

    struct hours h = ask_hours(last_hours(db, 24), 100);
    assert_true(h.n >= 1 && h.n <= 2); /* two when the hour just changed */
    assert_int_equal(h.first_ms % HOUR, 0);
    assert_int_equal(h.sum.read_queries, 5);
    assert_int_equal(h.sum.write_queries, 1);
    assert_int_equal(h.sum.rows_read, 50);
    assert_int_equal(h.sum.rows_written, 1);
    assert_int_equal(ask_hours(last_hours(NULL, 24), 100).sum.read_queries, 12);

    const struct queries *q = ask_queries(last_hours(db, 24), by_count, 100);
    assert_int_equal(q->n, 2);
    assert_string_equal(q->list[0].text, "SELECT 1");
    assert_string_equal(q->list[0].database, database_uuid(db));
    assert_int_equal(q->list[0].sum.count, 5);
    assert_int_equal(q->list[0].sum.duration_ns, 500);
    assert_int_equal(q->list[0].sum.rows_read, 50);
    assert_int_equal(q->list[0].sum.rows_returned, 5);
    assert_string_equal(q->list[1].text, "INSERT INTO t VALUES (1)");
    assert_int_equal(ask_queries(last_hours(NULL, 24), by_count, 100)->n, 3);
}

static void order_and_limit_are_kept(void **state)
{
    static const struct { struct metrics_order order; const char *expected; } rows[] = {
        { { METRICS_COUNT, false, true }, "abc" },        { { METRICS_COUNT, false, false }, "cba" },
        { { METRICS_DURATION, false, true }, "bac" },     { { METRICS_DURATION, true, true }, "cba" },
        { { METRICS_ROWS_READ, false, true }, "cab" },    { { METRICS_ROWS_READ, true, false }, "abc" },
        { { METRICS_ROWS_WRITTEN, false, true }, "abc" }, { { METRICS_ROWS_RETURNED, false, true }, "cba" },
    };

    (void)state;
    record(db, "a", (struct sql_stmt_stats){ 10, 1000, 20, 9, 1 }, false);
    record(db, "b", (struct sql_stmt_stats){ 5, 2000, 15, 8, 2 }, false);
    record(db, "c", (struct sql_stmt_stats){ 1, 900, 30, 7, 3 }, false);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t limit = 1; limit <= 3; limit++) {
            const struct queries *q = ask_queries(last_hours(db, 1), rows[i].order, limit);
            assert_int_equal(q->n, limit);
            for (size_t k = 0; k < limit; k++)
                assert_int_equal(q->list[k].text[0], rows[i].expected[k]);
        }
    }
}

static void a_restart_keeps_what_was_flushed(void **state)
{
    (void)state;
    record(db, "SELECT 1", (struct sql_stmt_stats){ 4, 1, 1, 0, 1 }, false);
    ASSERT_OK(metrics_flush(metrics, &err));
    stop_metrics();
    ASSERT_OK(metrics_open(f.store, &metrics, &err));
    record(db, "SELECT 1", (struct sql_stmt_stats){ 1, 1, 1, 0, 1 }, false);
    assert_int_equal(ask_hours(last_hours(db, 1), 9).sum.read_queries, 5);
    assert_int_equal(ask_queries(last_hours(db, 1), by_count, 9)->list[0].sum.count, 5);
}

static void long_texts_are_cut_between_characters(void **state)
{
    char text[METRICS_TEXT_MAX + 10];

    (void)state;
    /* The last character that could fit is of three bytes and doesn't. */
    memset(text, 'x', sizeof(text));
    memcpy(text + METRICS_TEXT_MAX - 2, "\xe2\x82\xac", 3);
    text[sizeof(text) - 1] = '\0';
    record(db, text, (struct sql_stmt_stats){ .count = 1 }, false);
    text[sizeof(text) - 2] = 'y';
    record(db, text, (struct sql_stmt_stats){ .count = 1 }, false);
    const struct queries *q = ask_queries(last_hours(db, 1), by_count, 9);
    assert_int_equal(q->n, 1);
    assert_int_equal(strlen(q->list[0].text), METRICS_TEXT_MAX - 2);
    assert_int_equal(q->list[0].sum.count, 2);
}

static void texts_beyond_the_bound_are_counted_together(void **state)
{
    char text[32];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 400; i++) {
            snprintf(text, sizeof(text), "SELECT %d", round * 100 + i);
            record(db, text, (struct sql_stmt_stats){ 1, 10, 1, 0, 1 }, false);
        }
        ASSERT_OK(metrics_flush(metrics, &err));
    }
    record(other_db, "SELECT 1", (struct sql_stmt_stats){ .count = 1 }, false);
    const struct queries *q = ask_queries(last_hours(db, 1), by_count, 600);
    /* Once more when the day changed in between. */
    assert_true(q->n == METRICS_TEXTS_PER_DAY + 1 || q->n == 2 * METRICS_TEXTS_PER_DAY + 1);
    assert_string_equal(q->list[0].text, "(other)");
    assert_int_equal(q->runs, 1200);
    assert_int_equal(ask_hours(last_hours(db, 1), 9).sum.read_queries, 1200);
    assert_non_null(find(ask_queries(last_hours(other_db, 1), by_count, 600), "SELECT 1"));
}

static enum status run_sql(sqlite3 *control, void *arg, struct error *e)
{
    return control_exec(control, arg, e);
}

static void control(const char *sql)
{
    ASSERT_OK(store_control(f.store, run_sql, (void *)(uintptr_t)sql, &err));
}

static int64_t count(const char *table);

static enum status read_count(sqlite3 *control_db, void *arg, struct error *e)
{
    char **sql_and_result = arg;
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    bool has_row;
    enum status st = control_prepare(control_db, sql_and_result[0], &stmt, e);

    if (st == STATUS_OK)
        st = control_step(stmt, &has_row, e);
    if (st == STATUS_OK)
        *(int64_t *)(void *)sql_and_result[1] = sqlite3_column_int64(stmt, 0);
    return st;
}

static int64_t count(const char *table)
{
    char sql[100];
    int64_t n = -1;

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    ASSERT_OK(store_control(f.store, read_count, (char *[]){ sql, (char *)&n }, &err));
    return n;
}

/* Moves everything that is stored `days` days back. */
static void age(int days)
{
    char sql[300];

    snprintf(sql, sizeof(sql), "UPDATE usage_hours SET hour = hour - 24 * %d; UPDATE query_texts SET day = day - %d", days,
             days);
    control(sql);
}

static void reopen(void)
{
    stop_metrics();
    ASSERT_OK(metrics_open(f.store, &metrics, &err));
    ASSERT_OK(metrics_flush(metrics, &err)); /* the first flush tidies up */
}

static void old_texts_become_daily_and_very_old_counts_go(void **state)
{
    struct metrics_filter old;

    (void)state;
    record(db, "SELECT 1", (struct sql_stmt_stats){ 5, 50, 500, 0, 5 }, false);
    ASSERT_OK(metrics_flush(metrics, &err));
    age(1);
    control("UPDATE query_hours SET hour = 3; INSERT INTO query_hours SELECT text, 4, 2, 20, 200, 0, 2 FROM query_hours");
    reopen();
    assert_int_equal(count("query_hours"), 2); /* yesterday has its hours */
    age(2);
    reopen();
    assert_int_equal(count("query_hours"), 1);
    assert_int_equal(count("query_hours WHERE hour = 24"), 1);
    /* Any part of that day finds the day. */
    old = last_hours(db, 1);
    old.from_ms = old.to_ms = clock_wall_ms() / DAY * DAY - 3LL * DAY + 20 * HOUR;
    const struct queries *q = ask_queries(old, by_count, 9);
    assert_int_equal(q->n, 1);
    assert_int_equal(q->list[0].sum.count, 7);
    assert_int_equal(q->list[0].sum.rows_read, 700);
    assert_int_equal(ask_queries(last_hours(db, 24), by_count, 9)->n, 0);
    assert_int_equal(ask_hours(last_hours(db, 24), 9).n, 0);
    assert_int_equal(ask_hours(last_hours(db, 24 * 5), 9).sum.read_queries, 5);
    /* Today's runs of the same text are added when both days are asked for. */
    record(db, "SELECT 1", (struct sql_stmt_stats){ .count = 1 }, false);
    assert_int_equal(ask_queries(last_hours(db, 24 * 5), by_count, 9)->list[0].sum.count, 8);
    age(METRICS_DAYS - 4);
    reopen();
    assert_int_equal(count("query_texts"), 2);
    age(2);
    reopen();
    assert_int_equal(count("query_texts"), 1);
    assert_int_equal(count("query_hours"), 1);
    assert_int_equal(count("usage_hours"), 1);
}

static void a_deleted_database_leaves_nothing(void **state)
{
    (void)state;
    record(db, "SELECT 1", (struct sql_stmt_stats){ .count = 1 }, false);
    record(other_db, "SELECT 1", (struct sql_stmt_stats){ .count = 1 }, false);
    ASSERT_OK(metrics_flush(metrics, &err));
    record(db, "SELECT 2", (struct sql_stmt_stats){ .count = 1 }, false);
    ASSERT_OK(metrics_forget(metrics, database_uuid(db), &err));
    assert_int_equal(ask_queries(last_hours(db, 1), by_count, 9)->n, 0);
    assert_int_equal(ask_hours(last_hours(db, 1), 9).n, 0);
    assert_int_equal(ask_queries(last_hours(NULL, 1), by_count, 9)->n, 1);
    assert_int_equal(count("usage_hours"), 1);
    assert_int_equal(count("query_texts"), 1);
    assert_int_equal(count("query_hours"), 1);
}

static void counts_survive_a_disk_that_fails(void **state)
{
    char text[32];

    (void)state;
    /* A trigger that fails is a disk that fails, as far as a flush can tell. */
    control("CREATE TRIGGER broken BEFORE INSERT ON query_hours BEGIN SELECT raise(ABORT, 'broken'); END");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++) {
            snprintf(text, sizeof(text), "SELECT %d", i);
            record(db, text, (struct sql_stmt_stats){ .count = 1, .rows_read = 2 }, false);
        }
        assert_int_equal(metrics_flush(metrics, &err), STATUS_IO);
        assert_non_null(strstr(err.msg, "broken"));
    }
    /* Answers go on, with what is stored. */
    assert_int_equal(ask_hours(last_hours(db, 1), 9).n, 0);
    control("DROP TRIGGER broken");
    assert_int_equal(ask_hours(last_hours(db, 1), 9).sum.read_queries, 30);
    const struct queries *q = ask_queries(last_hours(db, 1), by_count, 20);
    assert_int_equal(q->n, 10);
    assert_int_equal(q->list[9].sum.count, 3);
    assert_int_equal(q->list[9].sum.rows_read, 6);
}

static void memory_is_bounded(void **state)
{
    char text[32];
    struct database *many[20];

    (void)state;
    control("CREATE TRIGGER broken BEFORE INSERT ON usage_hours BEGIN SELECT raise(ABORT, 'broken'); END");
    for (int d = 0; d < 20; d++) {
        snprintf(text, sizeof(text), "many-%d", d);
        many[d] = make_database(text);
        for (int i = 0; i < 300; i++) {
            snprintf(text, sizeof(text), "SELECT %d", i);
            record(many[d], text, (struct sql_stmt_stats){ .count = 1 }, false);
        }
        assert_int_equal(metrics_flush(metrics, &err), STATUS_IO); /* and merged back */
    }
    control("DROP TRIGGER broken");
    ASSERT_OK(metrics_flush(metrics, &err));
    /* Nothing is lost; what had no room is under "(other)". An hour's end in between gives a few more entries. */
    assert_int_equal(ask_hours(last_hours(NULL, 1), 9).sum.read_queries, 20 * 300);
    assert_in_range(count("query_texts WHERE text <> '(other)'"), METRICS_PENDING_TEXTS - 300, METRICS_PENDING_TEXTS);
    assert_in_range(count("query_texts WHERE text = '(other)'"), 20, 40);
    assert_int_equal(ask_queries(last_hours(many[0], 1), by_count, 600)->runs, 300);
    assert_int_equal(ask_queries(last_hours(many[19], 1), by_count, 600)->runs, 300);
    for (int d = 0; d < 20; d++)
        database_unref(many[d]);
}

static void *record_run(void *arg)
{
    char text[32];

    (void)arg;
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "SELECT %d", i % 50);
        record(i % 2 ? db : other_db, text, (struct sql_stmt_stats){ 1, 1, 1, 1, 1 }, i % 4 < 2);
    }
    return NULL;
}

static void threads_may_record_while_others_flush_and_ask(void **state)
{
    pthread_t threads[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, record_run, NULL), 0);
    for (int i = 0; i < 5; i++)
        (void)ask_hours(last_hours(db, 1), 9);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    struct hours h = ask_hours(last_hours(NULL, 1), 9);
    assert_int_equal(h.sum.read_queries + h.sum.write_queries, 15000);
    assert_int_equal(h.sum.rows_written, 15000);
    assert_int_equal(ask_queries(last_hours(NULL, 1), by_count, 600)->runs, 15000);
}

/* ---- through the store ---- */

struct run {
    struct sql_request r;
    struct loop_msg start;
    struct sql_entry entry;
    struct error err;
    uv_sem_t done;
};

static void on_done(struct sql_request *r)
{
    uv_sem_post(&CONTAINER_OF(r, struct run, r)->done);
}

static void start_run(struct loop_msg *msg)
{
    struct run *run = CONTAINER_OF(msg, struct run, start);

    if (store_run(&run->r))
        on_done(&run->r);
}

static void run_on_loop(struct database *on, const char *sql)
{
    struct run run = { .r = { .db = on, .n = 1, .loop = &f.loops[0], .done = on_done },
                       .entry = { .sql = slice_cstr(sql) } };

    run.r.entries = &run.entry;
    run.r.err = &run.err;
    run.start.deliver = start_run;
    uv_sem_init(&run.done, 0);
    loop_post(&f.loops[0], &run.start);
    uv_sem_wait(&run.done);
    uv_sem_destroy(&run.done);
    if (run.r.status != STATUS_OK)
        fail_msg("%s: %s", sql, run.err.msg);
    buf_release(&run.r.out);
}

static void statements_are_seen_at_once_when_asked_for(void **state)
{
    (void)state;
    run_on_loop(db, "CREATE TABLE t (a)");
    for (int i = 1; i <= 20; i++) {
        run_on_loop(db, "INSERT INTO t VALUES (1)");
        run_on_loop(db, "SELECT * FROM t");
        run_on_loop(other_db, "SELECT 1");
        store_collect_now(f.store, i % 2 ? db : NULL);
        struct hours h = ask_hours(last_hours(db, 1), 9);
        assert_int_equal(h.sum.read_queries, i);
        assert_int_equal(h.sum.write_queries, i + 1);
    }
    const struct query *q = find(ask_queries(last_hours(db, 1), by_count, 9), "SELECT * FROM t");
    assert_non_null(q);
    assert_int_equal(q->sum.count, 20);
    assert_int_equal(q->sum.rows_returned, 20 * 21 / 2);
    assert_int_equal(q->sum.rows_read, 20 * 21 / 2);
    assert_true(q->sum.duration_ns > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_are_summed_by_database_and_text),
        TEST(order_and_limit_are_kept),
        TEST(a_restart_keeps_what_was_flushed),
        TEST(long_texts_are_cut_between_characters),
        TEST(texts_beyond_the_bound_are_counted_together),
        TEST(old_texts_become_daily_and_very_old_counts_go),
        TEST(a_deleted_database_leaves_nothing),
        TEST(counts_survive_a_disk_that_fails),
        TEST(memory_is_bounded),
        TEST(threads_may_record_while_others_flush_and_ask),
        TEST(statements_are_seen_at_once_when_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
