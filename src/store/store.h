/*
 * store.h - the databases of one data directory, and everything that is done to them.
 *
 * Threads: a read runs on the loop that asks, on that loop's own connection; when it takes too long it starts again in
 * a pool. A write goes to its database's queue, which one pool thread at a time drains (writer.c). Blocking calls are
 * marked so and belong on a pool thread or the main thread.
 * Ownership: struct database is reference-counted; who gets one from here gives it back with database_unref.
 */
#ifndef DIONE_STORE_STORE_H
#define DIONE_STORE_STORE_H

#include "event/loop.h"
#include "event/pool.h"
#include "sql/sql.h"

#include "base/ids.h"

struct store;
struct database;

struct store_options {
    const char *dir;    /* data directory; made when missing */
    struct loop *loops; /* [0..n_loops); must outlive the store */
    int n_loops;
    uint64_t max_database_bytes;
    int64_t statement_limit_ms; /* for a whole request */
    size_t max_result_bytes;    /* of one request's JSON */
    bool brief;                 /* open for one command: leave the control database's WAL to the next */
    /*
     * Called with what each statement text cost since the last call, some time after it ran. On the thread that owns the connection.
     */
    void (*on_stats)(void *arg, const struct database *db, struct slice text, const struct sql_stmt_stats *stats,
                     bool is_write);
    void *stats_arg;
};

/*
 * Opens or makes the directory and its catalog. Blocking. BUSY: another process has it. IO: cannot be read or written.
 * INVALID: its format is of a version that this program doesn't know.
 */
enum status store_open(const struct store_options *opt, struct store **ret, struct error *err) MUST_CHECK;
/* Waits for everything that runs in the pools. The loops must still deliver; nobody may ask for anything any more. Blocking. */
void store_drain(struct store *s);
/* Hands out the statistics that are left. Between the end of the loops and store_close. */
void store_collect(struct store *s);
/* Checkpoints, closes, frees. The loops must have ended. Blocking. */
void store_close(struct store *s);
const char *store_dir(const struct store *s);
size_t store_max_result_bytes(const struct store *s);
/* Pool for work that may take long and must not hold up reads or writes: imports, exports, creating, deleting. */
struct pool *store_job_pool(struct store *s);
/* The catalog's own connection, for control tables (tokens, usage). fn runs alone on it, inside one durable
 * transaction that is rolled back when it returns an error. Blocking. */
enum status store_control(struct store *s, enum status (*fn)(struct sqlite3 *db, void *arg, struct error *err),
                          void *arg, struct error *err) MUST_CHECK;

/* ---- the catalog ---- */

struct database_info {
    char uuid[UUID_LEN + 1];
    char name[256];
    int64_t created_ms; /* wall clock */
    enum sql_profile profile;
    char region[16]; /* upper case, "" when none was asked for */
    char jurisdiction[16];
    char replication[16]; /* "disabled" or "auto": kept and returned, nothing else */
};

enum { DATABASE_NAME_MAX = 255 };

/* By id, else by name; NULL when there is none. Adds a reference. Any thread. */
struct database *store_find(struct store *s, struct slice id_or_name);
struct database *database_ref(struct database *db);
void database_unref(struct database *db);
/* Any thread. A copy, since PATCH may change it. */
void database_info(const struct database *db, struct database_info *ret);
const char *database_uuid(const struct database *db);
enum sql_profile database_profile(const struct database *db);
/* Directory of the database, without a trailing slash. Lives as long as the reference. */
const char *database_dir(const struct database *db);
struct store *database_store(const struct database *db);

/* Makes a database; created_ms is filled here, and uuid when it is empty. EXISTS (also of the uuid), INVALID (name), LIMIT, FULL, IO. Blocking. */
enum status store_create(struct store *s, struct database_info *info, struct database **ret,
                         struct error *err) MUST_CHECK;
/* Takes the database out of the catalog and removes its files. Requests that wait get NODB. Blocking. */
enum status store_delete(struct store *s, struct database *db, struct error *err) MUST_CHECK;
/* Changes profile and replication to those of *info. Blocking. */
enum status store_update(struct store *s, struct database *db, const struct database_info *info,
                         struct error *err) MUST_CHECK;

/*
 * One page of the catalog in order of creation; `filter` matches part of the name (absent: all). *ret is an array of
 * *ret_n referenced databases (free(), after database_unref of each). Any thread.
 */
enum status store_list(struct store *s, struct slice filter, size_t offset, size_t limit, struct database ***ret,
                       size_t *ret_n, size_t *ret_total, struct error *err) MUST_CHECK;

/* ---- databases that another catalog lists ---- */

/* Lives as long as the store. */
struct store_kind {
    const char *folder; /* in the data directory */
    const char *schema; /* SQL that a new file begins with; NULL: none */
    bool limited;       /* by max_database_bytes */
};

/*
 * Makes the database info->uuid, which must be new. add_row runs in a transaction of the control database; from its
 * commit on the database is there, also after a crash. The caller gets the first reference. Blocking.
 */
enum status store_make(struct store *s, const struct store_kind *kind, const struct database_info *info,
                       enum status (*add_row)(struct sqlite3 *db, void *arg, struct error *err), void *arg,
                       struct database **ret, struct error *err) MUST_CHECK;
/* The first reference to one that has a row. At the start. */
struct database *store_known(struct store *s, const struct store_kind *kind, const struct database_info *info);
/* Names or removes what a crash left half made or half deleted. At the start, once the rows are known. */
enum status store_settle(struct store *s, const struct store_kind *kind, bool (*is_known)(void *arg, struct slice id),
                         void *arg, struct error *err) MUST_CHECK;
/*
 * In a turn of the database's queue: `forget` deletes the row and what the catalog has in memory; then the files go. Requests
 * that wait get NODB. The catalog's reference stays the caller's. Blocking.
 */
enum status store_remove(struct database *db, enum status (*forget)(void *arg, struct error *err), void *arg,
                         struct error *err) MUST_CHECK;

/* ---- running SQL ---- */

struct sql_entry {
    struct slice sql;          /* one or more statements */
    const struct json *params; /* first of n_params siblings */
    size_t n_params;
};

/* Filled by the caller up to `done`; owned by the store until done is called or store_run returns true. */
struct sql_request {
    struct database *db; /* a reference of the caller's that outlives the request */
    const struct sql_entry *entries;
    size_t n;
    enum sql_format format;
    bool one_result; /* an entry of several statements gives the last one's result, as the binding has it */
    bool read_only;  /* the caller may only read: anything else is FORBIDDEN */
    /*
     * Instead of entries: code of ours (kv/), on a connection of a database with the OWN profile. It may run again from the
     * start, elsewhere; a reader's may return AGAIN while `may_retry` is set, and then runs in the pool. A writer's sets
     * `wrote`, and can be one of many in a transaction.
     */
    enum status (*fn)(struct sql_conn *c, struct sql_request *r);
    bool fn_writes;
    bool alone;        /* in no group: it is so large that others would wait for it, and the WAL grow without end */
    bool fn_is_atomic; /* changes nothing when it fails: needs no savepoint */
    /* Once its commit is durable and before anyone of the group is answered; on the thread that writes. */
    void (*committed)(struct sql_request *r);
    uint64_t serial; /* for fn on the writer: above that of everything that was committed in this database before */
    _Atomic bool cancelled;              /* nobody waits any more: a slow read may end early. Writes are not undone */
    struct loop *loop;                   /* the caller's */
    void (*done)(struct sql_request *r); /* on `loop` */

    /* The answer. */
    struct buf out; /* what was in it stays; behind it come the result objects, separated by commas */
    enum status status;
    struct error *err; /* the caller's; filled unless OK */
    size_t n_results;
    size_t failed_at; /* the statement that failed, from 1; 0: none did, or it was not a statement */
    uint64_t commit;  /* the database's commit number that the answer has seen */

    /* The store's own. */
    struct job job;
    struct loop_msg msg;
    struct sql_request *next;
    int64_t deadline_ns, queued_ns;
    size_t out_start;
    int64_t ran_ns;
    bool wrote, failed, may_retry; /* fn sets the first and reads the last */
    int kind;
    struct transaction *transaction;
    int64_t transaction_ms;
    char *transaction_id;
    int transaction_how;
};

/*
 * Runs all entries, or fn, as one transaction: all or nothing. True: finished on the spot and `done` is not called. False: `done`
 * will be called. What entries point to must live until then. Loop thread of r->loop.
 */
bool store_run(struct sql_request *r) MUST_CHECK;

/*
 * Runs one entry that only reads, here and now. False: it cannot be told on this loop at once (it is slow, writes, fails, or the
 * database is not open yet), and out is as it was; run it with store_run. Only db, entries, n, format, one_result, loop, out and
 * err of *r count. Loop thread.
 */
bool store_try_read(struct sql_request *r) MUST_CHECK;

/* ---- interactive transactions (wide profile) ---- */

/*
 * begin: waits for the database's writer and holds it; others' writes wait until commit, rollback or `timeout_ms`
 * (1 .. 30000) without one. INVALID: strict profile. `r` carries loop, done, status, err; `ret_id` is filled before done.
 */
void store_transaction_begin(struct sql_request *r, int64_t timeout_ms, char ret_id[UUID_LEN + 1]);
/* Runs r's entries inside transaction `id`; a failing request undoes only itself. NOTFOUND: ended, or timed out. */
void store_transaction_run(struct sql_request *r, struct slice id);
enum transaction_end { TRANSACTION_COMMIT, TRANSACTION_ROLLBACK };
void store_transaction_end(struct sql_request *r, struct slice id, enum transaction_end how);

/* Hands statistics of work outside store_run (an import) to on_stats. Any thread. */
void store_record(struct database *db, struct slice text, const struct sql_stmt_stats *stats, bool is_write);

/* ---- whole-database work ---- */

/*
 * Runs fn alone with an importer connection inside one write transaction, which is committed (and numbered) when fn returns OK and
 * else rolled back. Reads go on and see the old state until then; writes wait. Blocking (call it on the job pool).
 */
enum status store_exclusive(struct database *db, enum status (*fn)(struct sql_conn *c, void *arg, struct error *err),
                            void *arg, uint64_t *ret_commit, struct error *err) MUST_CHECK;
/* Runs fn with a reader that has an open read transaction: one unchanging state. Blocking (job pool). */
enum status store_snapshot(struct database *db, enum status (*fn)(struct sql_conn *c, void *arg, struct error *err),
                           void *arg, uint64_t *ret_commit, struct error *err) MUST_CHECK;

/* Bytes in use and commit number right now. May open the database: blocking when it is cold. */
enum status database_state(struct database *db, int64_t *ret_bytes, uint64_t *ret_commit, int64_t *ret_tables,
                           struct error *err) MUST_CHECK;

/* The commit number as far as memory has it; 0 while the database is not open. Any thread. */
uint64_t database_commit(const struct database *db);

enum { BOOKMARK_LEN = 59 };
/* The bookmark of a commit: "00000085-0000024c-00004c6d-8e61117bf38d7adb71b934ebbf891683". Same input, same text; grows
 * with the commit number. */
void bookmark_format(const char *uuid, uint64_t commit, char ret[BOOKMARK_LEN + 1]);
/* False: the text is no bookmark. *ret_is_own: whether it is the one that bookmark_format gives for that commit of `uuid`. */
bool bookmark_parse(struct slice text, const char *uuid, uint64_t *ret_commit, bool *ret_is_own) MUST_CHECK;

#endif
