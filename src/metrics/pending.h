/*
 * pending.h - counts that are not on disk yet, by database and hour. Private to src/metrics.
 *
 * One thread at a time (metrics.c has the lock). Bounds: see metrics.h.
 */
#ifndef DIONE_METRICS_PENDING_H
#define DIONE_METRICS_PENDING_H

#include "metrics/metrics.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct pending_text {
    struct sql_stmt_stats stats;
    UT_hash_handle hh;
    size_t len;
    char text[];
};

/* Compared as bytes: no padding. */
struct pending_key {
    char uuid[UUID_LEN + 4];
    int64_t hour; /* since 1970 */
};

struct pending_hour {
    struct pending_key key;
    uint64_t read_queries, write_queries, rows_read, rows_written;
    struct pending_text *texts;
    struct sql_stmt_stats other; /* texts beyond the bounds */
    UT_hash_handle hh;
};

struct pending {
    struct pending_hour *hours;
    size_t n_texts;
};

/* Under which the counts of texts without an entry of their own are shown. */
#define METRICS_OTHER SLICE_LIT("(other)")

void stats_add(struct sql_stmt_stats *sum, const struct sql_stmt_stats *more);
/* Trimmed, and cut at a character's end. */
struct slice pending_trim_text(struct slice text);

void pending_record(struct pending *p, const char *uuid, int64_t hour, struct slice text,
                    const struct sql_stmt_stats *stats, bool is_write);
/* Adds all of `from` and empties it. */
void pending_merge(struct pending *p, struct pending *from);
void pending_forget(struct pending *p, const char *uuid);
void pending_clear(struct pending *p);

#endif
