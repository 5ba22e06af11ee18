/*
 * table.h - a namespace's table: what its keys hold, in SQLite. Called with a connection, by code that the store runs.
 *
 * A value up to KV_SMALL_MAX stands in its key's row. A larger one stands in rows of `parts`, so that it goes in and out a
 * piece at a time; the row's `parts` tells which.
 * Times are milliseconds of the wall clock, 0 for never. `now_ms` decides what has expired: that is as good as gone.
 */
#ifndef DIONE_KV_TABLE_H
#define DIONE_KV_TABLE_H

#include "kv/value.h"
#include "sql/sql.h"

enum { KV_SMALL_MAX = 64 * 1024 };

extern const char kv_table_schema[];

/* Whether the table has large values, as far as its writer knows. Zero at first. Owned by: whoever writes. */
struct kv_parts {
    bool known, any;
};

/* What is to be stored; everything is borrowed. */
struct kv_put {
    struct slice key, value;
    struct slice metadata; /* JSON text; absent: none */
    int64_t expires_ms;
    uint64_t version;
};

/*
 * Reads a key: a new value, which is `absent` when there is none. A value above KV_SMALL_MAX leaves its bytes where they
 * are, and *ret_parts tells where; else that is 0.
 */
enum status table_get(struct sql_conn *c, struct slice key, int64_t now_ms, bool want_bytes, struct kv_value **ret,
                      int64_t *ret_parts, struct error *err) MUST_CHECK;
/* Writes the bytes of a large value to fd, a piece at a time. Blocking. */
enum status table_copy_parts(struct sql_conn *c, int64_t parts, int fd, struct error *err) MUST_CHECK;
/* The same into memory: exactly `len` bytes, else CORRUPT. */
enum status table_read_parts(struct sql_conn *c, int64_t parts, char *to, size_t len, struct error *err) MUST_CHECK;
/* Inside a transaction, as everything below. What fails has changed nothing. */
enum status table_put(struct sql_conn *c, struct kv_parts *parts, const struct kv_put *put,
                      struct error *err) MUST_CHECK;
/* *ret_deleted: whether there was a row, expired or not. */
enum status table_delete(struct sql_conn *c, struct kv_parts *parts, struct slice key, bool *ret_deleted,
                         struct error *err) MUST_CHECK;

/* Deletes up to n expired keys, and fewer when they hold tens of megabytes. *ret_next_ms: when the next one of those that stay expires; 0: none does. When it fails, the
 * transaction must not be kept. */
enum status table_sweep(struct sql_conn *c, struct kv_parts *parts, int64_t now_ms, int n, int *ret_deleted,
                        int64_t *ret_next_ms, struct error *err) MUST_CHECK;

struct kv_listed {
    struct slice key;
    struct slice metadata; /* absent: none */
    int64_t expires_ms;
};

/*
 * Calls fn for up to `limit` keys that begin with `prefix`, in the order of their bytes, from the first one behind `after` on
 * (absent: from the start). *ret_more: there are others.
 */
enum status table_list(struct sql_conn *c, struct slice prefix, struct slice after, int limit, int64_t now_ms,
                       void (*fn)(void *arg, const struct kv_listed *key), void *arg, bool *ret_more,
                       struct error *err) MUST_CHECK;

#endif
