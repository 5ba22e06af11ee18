/* questions.c - see metrics.h: what was written, asked for. */
#include "metrics/internal.h"

#include "base/buf.h"
#include "store/control_sql.h"

/* ---- totals by hour ---- */

struct hours_question {
    const struct metrics_filter *filter;
    size_t limit;
    void (*fn)(const struct metrics_hour *hour, void *arg);
    void *arg;
};

/* Parameters 1 to 4 are the same in both questions. */
static void bind_filter(sqlite3_stmt *stmt, const struct metrics_filter *filter, size_t limit)
{
    if (filter->database[0])
        control_bind_slice(stmt, 1, slice_cstr(filter->database));
    sqlite3_bind_int64(stmt, 2, filter->from_ms / HOUR_MS);
    sqlite3_bind_int64(stmt, 3, filter->to_ms / HOUR_MS);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)limit);
}

static uint64_t column_u64(sqlite3_stmt *stmt, int column)
{
    return (uint64_t)sqlite3_column_int64(stmt, column);
}

static enum status ask_hours(sqlite3 *db, void *arg, struct error *err)
{
    const struct hours_question *q = arg;
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    enum status st = control_prepare(
        db,
        q->filter->database[0] ? "SELECT hour, read_queries, write_queries, rows_read, rows_written FROM usage_hours "
                                 "WHERE database = ?1 AND hour BETWEEN ?2 AND ?3 ORDER BY hour LIMIT ?4"
                               : "SELECT hour, sum(read_queries), sum(write_queries), sum(rows_read), "
                                 "sum(rows_written) FROM usage_hours WHERE hour BETWEEN ?2 AND ?3 "
                                 "GROUP BY hour ORDER BY hour LIMIT ?4",
        &stmt, err);
    if (st != STATUS_OK)
        return st;
    bind_filter(stmt, q->filter, q->limit);
    for (bool has_row = true;;) {
        st = control_step(stmt, &has_row, err);
        if (st != STATUS_OK || !has_row)
            return st;
        q->fn(&(struct metrics_hour){ .start_ms = sqlite3_column_int64(stmt, 0) * HOUR_MS,
                                      .read_queries = column_u64(stmt, 1),
                                      .write_queries = column_u64(stmt, 2),
                                      .rows_read = column_u64(stmt, 3),
                                      .rows_written = column_u64(stmt, 4) },
              q->arg);
    }
}

enum status metrics_hours(struct metrics *m, const struct metrics_filter *filter, size_t limit,
                          void (*fn)(const struct metrics_hour *hour, void *arg), void *arg, struct error *err)
{
    struct hours_question q = { filter, limit, fn, arg };

    /* When the disk is full, the answer lacks what is still in memory; the flush of every minute reports the error. */
    IGNORE_RESULT(metrics_flush(m, NULL));
    return store_control(m->store, ask_hours, &q, err);
}

/* ---- texts ---- */

struct queries_question {
    const struct metrics_filter *filter;
    struct metrics_order order;
    size_t limit;
    void (*fn)(const struct metrics_query *query, void *arg);
    void *arg;
};

static void write_queries_sql(struct buf *sql, const struct queries_question *q)
{
    static const char *const columns[] = {
        [METRICS_DURATION] = "duration_ns",
        [METRICS_ROWS_READ] = "rows_read",
        [METRICS_ROWS_WRITTEN] = "rows_written",
        [METRICS_ROWS_RETURNED] = "rows_returned",
        [METRICS_COUNT] = "count",
    };

    buf_printf(sql,
               "SELECT t.database, t.text, sum(h.count), sum(h.duration_ns), sum(h.rows_read), sum(h.rows_written), "
               "sum(h.rows_returned) FROM query_texts t JOIN query_hours h ON h.text = t.id "
               "WHERE %s t.day BETWEEN ?2 / 24 AND ?3 / 24 AND (h.hour = 24 OR t.day * 24 + h.hour BETWEEN ?2 AND ?3) "
               "GROUP BY t.database, t.text ORDER BY sum(h.%s)%s %s, t.text, t.database LIMIT ?4",
               q->filter->database[0] ? "t.database = ?1 AND" : "", columns[q->order.field],
               q->order.average ? " * 1.0 / sum(h.count)" : "", q->order.descending ? "DESC" : "ASC");
}

static enum status ask_queries(sqlite3 *db, void *arg, struct error *err)
{
    const struct queries_question *q = arg;
    struct metrics_query query;
    struct buf sql CLEANUP(buf_release) = { 0 };
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;

    write_queries_sql(&sql, q);
    enum status st = control_prepare(db, sql.ptr, &stmt, err);
    if (st != STATUS_OK)
        return st;
    bind_filter(stmt, q->filter, q->limit);
    for (bool has_row = true;;) {
        st = control_step(stmt, &has_row, err);
        if (st != STATUS_OK || !has_row)
            return st;
        control_column_text(stmt, 0, query.database, sizeof(query.database));
        query.text = slice_of((const char *)sqlite3_column_text(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1));
        query.sum = (struct sql_stmt_stats){ .count = column_u64(stmt, 2),
                                             .duration_ns = column_u64(stmt, 3),
                                             .rows_read = column_u64(stmt, 4),
                                             .rows_written = column_u64(stmt, 5),
                                             .rows_returned = column_u64(stmt, 6) };
        q->fn(&query, q->arg);
    }
}

enum status metrics_queries(struct metrics *m, const struct metrics_filter *filter, struct metrics_order order,
                            size_t limit, void (*fn)(const struct metrics_query *query, void *arg), void *arg,
                            struct error *err)
{
    struct queries_question q = { filter, order, limit, fn, arg };

    IGNORE_RESULT(metrics_flush(m, NULL)); /* as in metrics_hours */
    return store_control(m->store, ask_queries, &q, err);
}
