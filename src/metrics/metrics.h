/*
 * metrics.h - what databases are used for: queries and rows by hour, and what each statement text costs.
 *
 * Counts are added up in memory and go to the control database about once a minute; questions are answered from there,
 * after what is in memory was written. So memory holds a minute's worth, never the history. Everything is bounded:
 *
 *   texts      cut to 1 KiB; those that agree in their first 1 KiB are counted as one
 *   a day      250 different texts per database; the others are counted under "(other)"
 *   in memory  4,096 texts of all databases together (at most about 5 MiB), beyond that "(other)" of their database;
 *              and some 200 bytes for each database that was used since the last flush
 *   on disk    31 days. Totals stay hourly; texts are hourly for two days and daily before that
 *
 * When memory runs out, counts are lost; nothing else fails for it.
 * Texts are kept as they were sent. Values that the client wrote into the SQL are seen there; bound parameters are not.
 */
#ifndef DIONE_METRICS_METRICS_H
#define DIONE_METRICS_METRICS_H

#include "store/store.h"

struct metrics;

enum {
    METRICS_DAYS = 31,
    METRICS_TEXT_MAX = 1024,     /* bytes */
    METRICS_TEXTS_PER_DAY = 250, /* of one database */
    METRICS_PENDING_TEXTS = 4096,
};

/* Makes the tables when they are missing. Blocking. */
enum status metrics_open(struct store *s, struct metrics **ret, struct error *err) MUST_CHECK;
/* Nobody may record any more. NULL is fine. What was not flushed is lost: call metrics_flush before. */
void metrics_close(struct metrics *m);

/* Adds what a statement text cost since it was last recorded. Any thread; never blocks for long. */
void metrics_record(struct metrics *m, const struct database *db, struct slice text, const struct sql_stmt_stats *stats,
                    bool is_write);
/* Writes what was recorded, and drops what is older than 31 days. After an error the counts are still there. Blocking. */
enum status metrics_flush(struct metrics *m, struct error *err) MUST_CHECK;
/* Drops everything about a database that was deleted. Blocking. */
enum status metrics_forget(struct metrics *m, const char *uuid, struct error *err) MUST_CHECK;

/* ---- questions: blocking; fn runs with the control database locked, so it must not call the store ---- */

/* The hours that overlap [from_ms, to_ms], of one database ("": of all). */
struct metrics_filter {
    char database[UUID_LEN + 1];
    int64_t from_ms, to_ms; /* wall clock */
};

struct metrics_hour {
    int64_t start_ms;
    uint64_t read_queries, write_queries, rows_read, rows_written;
};

struct metrics_query {
    char database[UUID_LEN + 1];
    struct slice text; /* valid during the callback */
    struct sql_stmt_stats sum;
};

enum metrics_field {
    METRICS_DURATION,
    METRICS_ROWS_READ,
    METRICS_ROWS_WRITTEN,
    METRICS_ROWS_RETURNED,
    METRICS_COUNT,
};

struct metrics_order {
    enum metrics_field field;
    bool average; /* per run instead of the sum; not for COUNT */
    bool descending;
};

/* Calls fn for each hour in which something happened, oldest first. At most `limit`. */
enum status metrics_hours(struct metrics *m, const struct metrics_filter *filter, size_t limit,
                          void (*fn)(const struct metrics_hour *hour, void *arg), void *arg,
                          struct error *err) MUST_CHECK;
/* Calls fn for each text of each database, in the given order. At most `limit`. */
enum status metrics_queries(struct metrics *m, const struct metrics_filter *filter, struct metrics_order order,
                            size_t limit, void (*fn)(const struct metrics_query *query, void *arg), void *arg,
                            struct error *err) MUST_CHECK;

#endif
