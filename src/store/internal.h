/*
 * internal.h - what the files of src/store share.
 *
 * Lock order: store.create_lock, store.control_lock, store.catalog_lock, store.open_lock, database.lock. None but the first
 * two is held while SQLite runs; control_lock is what serialises the control database.
 */
#ifndef DIONE_STORE_INTERNAL_H
#define DIONE_STORE_INTERNAL_H

#include "store/store.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

enum {
    FORMAT_VERSION = 1,
    LOOP_READERS_MAX = 64,      /* open reader connections of one loop */
    READER_IDLE_MS = 60 * 1000, /* a connection unused for so long is closed */
    WRITER_IDLE_MS = 60 * 1000,
    POOL_READERS_MAX = 4, /* kept per database for slow reads */
    CACHED_STATEMENTS = 64,
    READERS_CACHE_KIB = 20 * 1024, /* page caches of all loops' readers together */
    READER_CACHE_MIN_KIB = 512,
    POOL_READER_CACHE_KIB = 1024,
    WRITERS_CACHE_KIB = 16 * 1024, /* page caches of all writers together */
    WRITER_CACHE_MIN_KIB = 1024,
    SNAPSHOT_MS = 2,               /* how long a loop keeps a read transaction open for the next read */
    FAST_READ_NS = 1000 * 1000,    /* what a read may take on a loop */
    LOOP_VALUE_BYTES = 512 * 1024, /* the largest value that a loop reads */
    SLOW_STRIKES = 16,             /* runs in the pool before a slow text is tried on the loop again */
    GROUP_MAX = 512,               /* requests in one group commit */
    QUEUE_MAX = 20000,             /* requests that may wait for one database */
};

enum request_kind { REQUEST_SQL, REQUEST_BEGIN, REQUEST_EXCLUSIVE };

/* A loop's connection to one database. Owned by: that loop. */
struct loop_reader {
    struct sql_conn *conn;
    struct database *db;
    int epoch;        /* of the database when it was opened */
    int schema_epoch; /* of the database when it last loaded the schema */
    int64_t used_ms;
    bool in_snapshot; /* a read transaction is open, begun when database.changes was `snapshot` */
    uint64_t snapshot;
    struct loop_reader *newer, *older;
};

/* Owned by: its loop. */
struct loop_state {
    struct store *store;
    struct loop *loop;
    struct loop_reader *newest, *oldest; /* open ones */
    int n_open;
    int cache_kib;  /* of each open one */
    bool releasing; /* `release` will end the snapshots */
    uv_timer_t sweep, release;
    unsigned sweeps;
};

/*
 *      IDLE --request--> DRAINING --queue empty--> IDLE
 *                          |  ^
 *                  begin   v  |   commit, rollback, time limit
 *                       HELD (an interactive transaction has the writer)
 */
enum writer_state { WRITER_IDLE, WRITER_DRAINING, WRITER_HELD };

struct transaction {
    char id[UUID_LEN + 1];
    int64_t deadline_ns;
    bool busy; /* a statement or its end runs in the pool */
    bool changed;
    struct database *db;
    struct job expire;
};

struct database {
    struct store *store;
    const struct store_kind *kind;
    struct database_info info; /* guarded by store.catalog_lock */
    char *dir, *path;
    _Atomic int refs;
    _Atomic int epoch;  /* grows when open connections must be renewed */
    _Atomic bool going; /* its deletion waits for its turn */
    _Atomic bool deleted;
    _Atomic bool warm; /* the file was opened once: recovered, in WAL mode, the numbers below known */
    _Atomic int64_t last_row_id, size_bytes;
    _Atomic uint64_t commit;
    _Atomic uint64_t changes;    /* grows with each commit that changed the file: readers' snapshots age by it */
    _Atomic int schema_epoch;    /* grows with each commit that changed the schema */
    unsigned n_run;              /* requests in the open transaction. Owned by: the drainer */
    uint32_t schema_cookie;      /* SQLite's, after the last commit. Owned by: the drainer */
    struct loop_reader *readers; /* [n_loops] */

    pthread_mutex_t lock; /* guards what follows */
    enum writer_state state;
    struct sql_request *first, **link;
    int n_queued;
    struct transaction *transaction;
    struct sql_conn *pool_readers[POOL_READERS_MAX];
    int n_pool_readers;
    int64_t writer_used_ms;

    /* Owned by: whoever drains the queue. */
    struct sql_conn *writer;
    int writer_epoch;
    int writer_cache_kib;
    int64_t stats_ms;
    struct job drain, close;

    bool listed_open; /* in store.open; guarded by store.open_lock */
    struct database *next_open;
    struct database *next_created; /* catalog order; guarded by store.catalog_lock */
    UT_hash_handle by_uuid, by_name;
};

struct store {
    struct store_options opt;
    char *dir;
    int lock_fd;
    struct pool *write_pool, *read_pool, *job_pool;
    struct loop_state *loops;

    pthread_rwlock_t catalog_lock;
    struct database *by_uuid, *by_name, *first, *last;
    size_t n_databases;

    pthread_mutex_t create_lock; /* one creation at a time; taken before any other */
    pthread_mutex_t control_lock;
    struct sql_conn *control;

    pthread_mutex_t open_lock; /* guards the list of databases whose writer may be open or held */
    struct database *open;
    _Atomic int n_writers; /* that are open */
};

/* run.c: runs the entries on one connection. With `shared` it is a reader: a statement that needs the writer ends it with
 * *ret_needs_writer, everything undone. */
enum status run_entries(struct sql_conn *c, struct sql_request *r, const struct sql_shared_state *shared,
                        bool *ret_needs_writer);
void request_restart(struct sql_request *r);
void request_fail(struct sql_request *r, enum status st, const char *text);
/* Hands the finished request back to its loop. */
void request_finish(struct sql_request *r);
/* The same for a list of them, in order; each loop wakes once. */
void request_finish_all(struct sql_request *first);

/* database.c */
struct database *database_new(struct store *s, const struct store_kind *kind, const struct database_info *info);
/* Opens the file once, so that it is recovered and its numbers are known. Blocking. */
enum status database_warm(struct database *db, struct error *err) MUST_CHECK;
enum status database_open_conn(struct database *db, enum sql_role role, struct sql_conn **ret,
                               struct error *err) MUST_CHECK;
/* Deals `all_kib` to n connections, rounded so that it changes seldom, at least least_kib. */
int cache_share(int all_kib, int n, int least_kib);
/* The writer's connection, opened or renewed when needed. By: whoever drains. */
enum status database_writer(struct database *db, struct error *err) MUST_CHECK;
/* What readers are told of the file: as the connection's transaction sees it. */
struct database_view {
    int64_t last_row_id, size_bytes;
    uint32_t schema_cookie;
};
void database_look(struct sql_conn *c, struct database_view *ret);
/* Publishes it after the commit. By: the drainer. */
void database_note_change(struct database *db, const struct database_view *view);
void database_collect(struct database *db, struct sql_conn *c);
struct sql_conn *pool_reader_take(struct database *db, struct error *err);
void pool_reader_give(struct database *db, struct sql_conn *c);
void database_close_pool_readers(struct database *db);
/* Checkpoints what can be and closes. By: the drainer, or at the end. */
void database_close_writer(struct database *db);
void database_list_open(struct database *db);

/* reader.c */
void loop_reader_close(struct loop_state *ls, struct loop_reader *lr);
/* Ends the read transactions that the loop keeps open. */
void loop_readers_release(struct loop_state *ls);
void loop_readers_sweep(struct loop_state *ls, int64_t now_ms);
void read_on_pool(struct sql_request *r);

/* writer.c */
void writer_enqueue(struct sql_request *r, enum request_kind kind);
void writer_sweep(struct store *s, int64_t now_ms);
void drain_run(struct job *job);
/* COMMIT with the next commit number, when something changed. */
enum status writer_commit(struct database *db, struct sql_conn *c, bool changed, struct error *err) MUST_CHECK;

/* Runs fn in a turn of the queue with the writer's connection, NULL when it cannot be opened; no transaction around it. Blocking. */
enum status store_turn(struct database *db, enum status (*fn)(struct sql_conn *c, void *arg, struct error *err),
                       void *arg, struct error *err) MUST_CHECK;

/* catalog.c: the D1 databases. */
enum status catalog_load(struct store *s, struct error *err) MUST_CHECK;
/* Names or removes what a crash left half made or half deleted. After catalog_load. */
enum status catalog_settle(struct store *s, struct error *err) MUST_CHECK;
void catalog_free(struct store *s);

/* transaction.c: by the drainer; true when the writer is now held. */
bool transaction_start(struct database *db, struct sql_request *begin);
void transaction_sweep(struct database *db, int64_t now_ns);

#endif
