/* internal.h - what the files of src/sql share. */
#ifndef DIONE_SQL_INTERNAL_H
#define DIONE_SQL_INTERNAL_H

#include "sql/sql.h"

#include "dione_sqlite.h"

#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)XXH3_64bits((keyptr), (keylen)))
#include <xxhash.h>

#include <uthash.h>

struct sql_stmt {
    sqlite3_stmt *handle;
    char *text; /* owned, not terminated */
    size_t len;
    size_t consumed;
    unsigned flags;
    int n_params, n_columns;
    bool cached, in_use;
    unsigned char slow;
    /* JSON of the column names, made at the first run: "a": for objects, ["a","b"] for arrays. */
    struct buf keys, columns;
    struct column {
        uint32_t key_at, key_len; /* in keys; key_len 0: an earlier column of that name speaks for it */
        int value;                /* the column whose value is shown: the last of that name */
    } * order;
    struct sql_stmt_stats stats;
    struct sql_stmt *newer, *older; /* LRU list of the cache */
    UT_hash_handle hh;
};

struct sql_conn {
    sqlite3 *db;
    enum sql_role role;
    enum sql_profile profile;
    uint64_t max_bytes;
    int64_t deadline_ns;
    int64_t now_ns; /* the last look at the clock, while nothing has happened since that takes time; else 0 */
    bool may_retry;
    const _Atomic bool *cancelled;
    bool timed_out;           /* the progress handler ended the statement */
    bool state_set;           /* a pragma of the request must be undone */
    unsigned prepare_flags;   /* gathered by the authorizer while it sees a statement for the first time */
    bool transaction_refused; /* why the authorizer said no */
    bool wants_writer;        /* the same: a reader met a statement that it must not even prepare */
    int schema_epoch;
    bool trusted; /* our own text runs: the authorizer steps aside */
    struct sql_stmt *by_text, *newest, *oldest;
    int n_cached, max_cached;
    int tag;
    int wal_pages;
    uint64_t commits;
    sqlite3_stmt *txn[SQL_N_TXN];
    sqlite3_stmt *own[SQL_OWN_SLOTS];
    int64_t size; /* bytes in use after the last statement of the running transaction; -1: not known */
};

/* conn.c: the time, by c->now_ns if that holds. */
int64_t conn_now_ns(struct sql_conn *c);
/* limits.c */
void limits_apply(struct sql_conn *c);
/* authorizer.c */
int authorize(void *conn, int action, const char *a, const char *b, const char *db, const char *trigger);
/* cache.c */
void cache_clear(struct sql_conn *c);
struct sql_stmt *cache_get(struct sql_conn *c, struct slice text);
void cache_put(struct sql_conn *c, struct sql_stmt *s);
void stmt_free(struct sql_stmt *s);
/* render.c */
bool stmt_describe(struct sql_stmt *s);
void render_row(struct buf *out, struct sql_stmt *s, enum sql_format format);
/* error_text.c */
const char *primary_name(int code);
const char *extended_name(int code);

#endif
