/*
 * writer.c - one queue per database, and group commit.
 *
 * Whoever enqueues into an idle queue submits the drain job; one pool thread at a time drains. It takes what is there, runs
 * each request in a savepoint of one transaction, commits with one sync, and only then answers all of them. While
 * it syncs, the next group gathers. A lone client pays one sync; a thousand share it.
 *
 * What can go wrong inside a group, and what it does to the others:
 *  - A request fails: it is rolled back to its savepoint; the others stand.
 *  - Deferred foreign keys are checked at COMMIT, which is the group's. So they are counted after each request, and a
 *    request that leaves some unresolved fails there.
 *  - INSERT OR ROLLBACK, RAISE(ROLLBACK), a full disk, an I/O error, an interrupt: SQLite ends the whole transaction. The
 *    requests that had passed were not answered yet, so they run again, each in a transaction of its own.
 *  - COMMIT fails: the same.
 *
 * The commit number lives in the file's own header (user_version low, application_id high), so it is durable and
 * undone with the very transaction that it counts.
 */
#include "store/internal.h"

#include "base/log.h"

#include "dione_sqlite.h"

#include <stdlib.h>

enum {
    CHECKPOINT_PAGES = 4000,          /* of WAL: then move it into the file, without waiting for readers */
    CHECKPOINT_RESTART_PAGES = 64000, /* 250 MiB: now wait a moment for readers, so that it can start over */
    GROUPS_PER_TURN = 16,             /* then other databases get the thread */
};

/* ---- the queue ---- */

void writer_enqueue(struct sql_request *r, enum request_kind kind)
{
    struct database *db = r->db;
    const char *refusal = NULL;
    bool start = false;

    r->kind = kind;
    r->next = NULL;
    r->queued_ns = clock_mono_ns();
    pthread_mutex_lock(&db->lock);
    if (db->n_queued >= QUEUE_MAX && kind != REQUEST_EXCLUSIVE) {
        refusal = "D1 DB is overloaded. Too many requests queued.";
    } else {
        *db->link = r;
        db->link = &r->next;
        db->n_queued++;
        start = db->state == WRITER_IDLE;
        if (start)
            db->state = WRITER_DRAINING;
    }
    pthread_mutex_unlock(&db->lock);
    if (refusal) {
        request_fail(r, STATUS_BUSY, refusal);
        request_finish(r);
    } else if (start) {
        database_ref(db); /* until the queue is idle again */
        pool_submit(db->store->write_pool, &db->drain);
    }
}

static bool may_share(const struct sql_request *r)
{
    return r->kind == REQUEST_SQL && !r->alone;
}

/* The next requests of the same kind: a run of SQL requests, or one of another kind. NULL: the queue is empty. */
static struct sql_request *take_group_locked(struct database *db, int *ret_n)
{
    struct sql_request *first = db->first, **link = &db->first;
    int n = 0;

    while (*link && n < GROUP_MAX && (n == 0 || (may_share(*link) && may_share(first)))) {
        link = &(*link)->next;
        n++;
    }
    db->first = *link;
    *link = NULL;
    if (!db->first)
        db->link = &db->first;
    db->n_queued -= n;
    *ret_n = n;
    return first;
}

/* ---- commit ---- */

static enum status number_commit(struct database *db, struct sql_conn *c, uint64_t number, struct error *err)
{
    sqlite3 *handle = sql_conn_handle(c);
    int rc = dione_db_meta_set(handle, DIONE_META_USER_VERSION, (uint32_t)number);

    if (rc == SQLITE_OK && (number >> 32) != (atomic_load(&db->commit) >> 32))
        rc = dione_db_meta_set(handle, DIONE_META_APPLICATION_ID, (uint32_t)(number >> 32));
    if (rc == SQLITE_OK)
        return STATUS_OK;
    return error_set(err, rc == SQLITE_FULL ? STATUS_FULL : STATUS_IO, rc, "%s", sqlite3_errstr(rc));
}

enum status writer_commit(struct database *db, struct sql_conn *c, bool changed, struct error *err)
{
    uint64_t number = atomic_load(&db->commit) + 1, commits = sql_conn_commits(c);
    struct database_view view;

    database_look(c, &view); /* inside the transaction, where it costs no locks */
    changed |= view.schema_cookie != db->schema_cookie;
    enum status st = changed ? number_commit(db, c, number, err) : STATUS_OK;
    bool look_again = dione_virtual_in_transaction(sql_conn_handle(c));
    if (st == STATUS_OK)
        st = sql_txn(c, SQL_COMMIT, err);
    if (st != STATUS_OK) {
        if (sql_conn_in_transaction(c))
            IGNORE_RESULT(sql_txn(c, SQL_ROLLBACK, NULL)); /* nothing was promised; the next BEGIN would say it */
        return st;
    }
    if (changed)
        atomic_store(&db->commit, number);
    /* Last: whoever sees that something changed finds the rest in place. */
    if (sql_conn_commits(c) != commits) {
        if (look_again)
            database_look(c, &view);
        database_note_change(db, &view);
    }
    return STATUS_OK;
}

/* ---- one request ---- */

static enum status check_deferred_keys(struct sql_conn *c, struct sql_request *r)
{
    if (dione_deferred_fks(sql_conn_handle(c)) <= 0)
        return STATUS_OK;
    return error_set(r->err, STATUS_SQL, SQLITE_CONSTRAINT_FOREIGNKEY,
                     "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)");
}

/* The commit number to be, and the place in its transaction. */
static uint64_t next_serial(struct database *db)
{
    return (atomic_load(&db->commit) + 1) * GROUP_MAX + db->n_run++;
}

/* Runs r inside the open transaction; leaves the verdict in r. */
static void run_request(struct database *db, struct sql_request *r)
{
    struct sql_conn *c = db->writer;
    bool ignored;

    request_restart(r);
    r->serial = next_serial(db);
    int64_t now = clock_mono_ns();
    sql_conn_set_deadline(c, now, now + db->store->opt.statement_limit_ms * 1000000, false);
    enum status st = run_entries(c, r, NULL, &ignored);
    if (st == STATUS_OK)
        st = check_deferred_keys(c, r);
    sql_conn_set_deadline(c, 0, 0, false);
    sql_conn_reset_state(c);
    if (st != STATUS_OK) {
        r->failed = true;
        r->status = st;
        r->wrote = false;
        r->out.len = r->out_start;
    }
}

static bool waited_too_long(struct database *db, struct sql_request *r)
{
    if (clock_mono_ns() - r->queued_ns < db->store->opt.statement_limit_ms * 1000000)
        return false;
    request_fail(r, STATUS_BUSY, "D1 DB is overloaded. Requests queued for too long.");
    return true;
}

/* Runs r in a transaction of its own. */
static void run_alone(struct database *db, struct sql_request *r)
{
    struct sql_conn *c = db->writer;
    enum status st = sql_txn(c, SQL_BEGIN_IMMEDIATE, r->err);

    db->n_run = 0;
    if (st == STATUS_OK) {
        run_request(db, r);
        st = r->status;
        if (st == STATUS_OK)
            st = writer_commit(db, c, r->wrote, r->err);
        else if (sql_conn_in_transaction(c))
            IGNORE_RESULT(sql_txn(c, SQL_ROLLBACK, NULL)); /* its error is reported already */
    }
    if (st != STATUS_OK) {
        r->out.len = r->out_start;
        r->failed = true;
        r->status = st;
    }
}

/* ---- a group ---- */

enum group_result { GROUP_RAN, GROUP_LOST };

/* One request in its savepoint. LOST: SQLite has ended the whole transaction. */
static enum group_result run_in_savepoint(struct database *db, struct sql_request *r)
{
    struct sql_conn *c = db->writer;

    if (r->fn_is_atomic) {
        run_request(db, r);
        return sql_conn_in_transaction(c) ? GROUP_RAN : GROUP_LOST;
    }
    if (sql_txn(c, SQL_SAVEPOINT, r->err) != STATUS_OK) {
        r->failed = true;
        r->status = r->err->status;
        return sql_conn_in_transaction(c) ? GROUP_RAN : GROUP_LOST;
    }
    run_request(db, r);
    if (!sql_conn_in_transaction(c))
        return GROUP_LOST;
    if (!r->failed)
        return sql_txn(c, SQL_RELEASE, NULL) == STATUS_OK ? GROUP_RAN : GROUP_LOST;
    bool undone = sql_txn(c, SQL_ROLLBACK_TO, NULL) == STATUS_OK && sql_txn(c, SQL_RELEASE, NULL) == STATUS_OK;
    return undone ? GROUP_RAN : GROUP_LOST;
}

/* A constraint, or a condition in code of ours, may have failed on a row of another request that is undone now. */
static bool verdict_stands(const struct sql_request *r)
{
    return r->failed && !r->fn && (r->err->native & 0xFF) != SQLITE_CONSTRAINT;
}

/* The verdict on `first` .. before `end` is void, except for those that failed by themselves. */
static void run_each_alone(struct database *db, struct sql_request *first, const struct sql_request *end)
{
    if (sql_conn_in_transaction(db->writer))
        IGNORE_RESULT(sql_txn(db->writer, SQL_ROLLBACK, NULL)); /* what it would undo runs again anyway */
    for (struct sql_request *r = first; r != end; r = r->next)
        if (!verdict_stands(r))
            run_alone(db, r);
}

/* Returns the first request that has not run yet, NULL when all have. */
static struct sql_request *run_transaction(struct database *db, struct sql_request *first)
{
    struct error err;
    struct sql_request *r = first;
    bool changed = false, any = false;

    db->n_run = 0;
    if (sql_txn(db->writer, SQL_BEGIN_IMMEDIATE, &err) != STATUS_OK) {
        for (; r; r = r->next)
            request_fail(r, err.status, err.msg);
        return NULL;
    }
    for (; r; r = r->next) {
        if (waited_too_long(db, r))
            continue;
        if (run_in_savepoint(db, r) == GROUP_LOST) {
            run_each_alone(db, first, r);
            if (!r->failed)
                run_alone(db, r);
            return r->next;
        }
        any |= !r->failed;
        changed |= r->wrote;
    }
    if (!any) {
        IGNORE_RESULT(sql_txn(db->writer, SQL_ROLLBACK, NULL)); /* nothing in it */
        return NULL;
    }
    if (writer_commit(db, db->writer, changed, &err) != STATUS_OK) {
        log_line(LOG_WARN, "database %s: group commit failed, running its requests one by one: %s", db->info.uuid,
                 err.msg);
        run_each_alone(db, first, NULL);
    }
    return NULL;
}

static void answer(struct database *db, struct sql_request *first)
{
    uint64_t commit = atomic_load(&db->commit);

    /* Also a write that failed may have moved it, as on D1. */
    if (db->writer)
        atomic_store(&db->last_row_id, sqlite3_last_insert_rowid(sql_conn_handle(db->writer)));
    for (struct sql_request *r = first; r; r = r->next) {
        r->commit = commit;
        if (r->committed && !r->failed)
            r->committed(r);
    }
    request_finish_all(first);
}

static void fail_all(struct database *db, struct sql_request *first, const struct error *err)
{
    for (struct sql_request *r = first; r; r = r->next)
        request_fail(r, err->status, err->msg);
    answer(db, first);
}

/* The writer's connection is the only one that checkpoints. Failing is no one's error: the WAL keeps everything. */
static void checkpoint(struct database *db, int pages)
{
    sqlite3 *handle = sql_conn_handle(db->writer);
    int in_wal = 0, moved = 0;

    if (pages < CHECKPOINT_PAGES)
        return;
    if (pages < CHECKPOINT_RESTART_PAGES) {
        (void)sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &moved);
        return;
    }
    sqlite3_busy_timeout(handle, 200);
    (void)sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, &in_wal, &moved);
    sqlite3_busy_timeout(handle, 10000);
}

static void run_group(struct database *db, struct sql_request *first, int n)
{
    struct error err;

    if (atomic_load(&db->deleted)) {
        IGNORE_RESULT(error_set(&err, STATUS_NODB, 0, "The database was deleted")); /* fills err */
        fail_all(db, first, &err);
        return;
    }
    if (database_writer(db, &err) != STATUS_OK) {
        fail_all(db, first, &err);
        return;
    }
    if (n == 1 && !waited_too_long(db, first)) {
        run_alone(db, first);
    } else {
        for (struct sql_request *rest = first; rest;)
            rest = run_transaction(db, rest);
    }
    answer(db, first);
    checkpoint(db, sql_conn_wal_pages(db->writer));
}

/* ---- draining ---- */

static void run_exclusive(struct database *db, struct sql_request *r);

/* True: the writer is now held by a transaction. */
static bool run_turn(struct database *db, struct sql_request *first, int n)
{
    switch ((enum request_kind)first->kind) {
    case REQUEST_SQL:
        run_group(db, first, n);
        return false;
    case REQUEST_EXCLUSIVE:
        run_exclusive(db, first);
        return false;
    case REQUEST_BEGIN:
        return transaction_start(db, first);
    }
    return false;
}

static void collect_now_and_then(struct database *db)
{
    int64_t now = clock_wall_ms();

    if (!db->writer || now - db->stats_ms < 1000)
        return;
    db->stats_ms = now;
    database_collect(db, db->writer);
}

/* By the drainer. Also goes on after a transaction has ended. */
void drain_run(struct job *job)
{
    struct database *db = CONTAINER_OF(job, struct database, drain);
    bool held = false;
    int n;

    for (int turns = 0; turns < GROUPS_PER_TURN && !held; turns++) {
        pthread_mutex_lock(&db->lock);
        struct sql_request *first = take_group_locked(db, &n);
        if (!first) {
            if (db->writer)
                database_collect(db, db->writer);
            db->state = WRITER_IDLE;
            db->writer_used_ms = clock_mono_ns() / 1000000;
            pthread_mutex_unlock(&db->lock);
            database_unref(db);
            return;
        }
        pthread_mutex_unlock(&db->lock);
        held = run_turn(db, first, n);
        if (!held)
            collect_now_and_then(db);
    }
    if (!held)
        pool_submit(db->store->write_pool, &db->drain);
}

/* ---- exclusive work ---- */

struct exclusive {
    struct sql_request r;
    enum { TURN_PLAIN, TURN_TRANSACTION } turn;
    enum status (*fn)(struct sql_conn *c, void *arg, struct error *err);
    void *arg;
    struct error *err;
    enum status status;
    uint64_t commit;
    int wal_pages;
    uv_sem_t done;
};

static enum status in_transaction(struct database *db, struct exclusive *x)
{
    struct sql_conn *c = NULL;
    enum status st = database_writer(db, x->err); /* so that the file is recovered and numbered */

    if (st == STATUS_OK)
        st = database_open_conn(db, SQL_IMPORTER, &c, x->err);
    if (st == STATUS_OK)
        st = sql_txn(c, SQL_BEGIN_IMMEDIATE, x->err);
    if (st == STATUS_OK)
        st = x->fn(c, x->arg, x->err);
    if (st == STATUS_OK)
        st = writer_commit(db, c, true, x->err);
    else if (c && sql_conn_in_transaction(c))
        IGNORE_RESULT(sql_txn(c, SQL_ROLLBACK, NULL)); /* the first error is the one to report */
    x->wal_pages = c ? sql_conn_wal_pages(c) : 0;
    sql_conn_close(c);
    return st;
}

static void run_exclusive(struct database *db, struct sql_request *r)
{
    struct exclusive *x = CONTAINER_OF(r, struct exclusive, r);

    if (atomic_load(&db->deleted))
        x->status = error_set(x->err, STATUS_NODB, 0, "The database was deleted");
    else
        x->status = x->turn == TURN_PLAIN ? x->fn(db->writer, x->arg, x->err) : in_transaction(db, x);
    x->commit = atomic_load(&db->commit);
    if (db->writer)
        checkpoint(db, x->wal_pages);
    uv_sem_post(&x->done); /* x is gone now */
}

static enum status wait_for_turn(struct exclusive *x)
{
    uv_sem_init(&x->done, 0);
    writer_enqueue(&x->r, REQUEST_EXCLUSIVE);
    uv_sem_wait(&x->done);
    uv_sem_destroy(&x->done);
    return x->status;
}

enum status store_turn(struct database *db, enum status (*fn)(struct sql_conn *c, void *arg, struct error *err),
                       void *arg, struct error *err)
{
    struct exclusive x = { .r.db = db, .turn = TURN_PLAIN, .fn = fn, .arg = arg, .err = err };

    return wait_for_turn(&x);
}

enum status store_exclusive(struct database *db, enum status (*fn)(struct sql_conn *c, void *arg, struct error *err),
                            void *arg, uint64_t *ret_commit, struct error *err)
{
    struct exclusive x = { .r.db = db, .turn = TURN_TRANSACTION, .fn = fn, .arg = arg, .err = err };
    enum status st = wait_for_turn(&x);

    if (ret_commit)
        *ret_commit = x.commit;
    return st;
}

/* ---- idle writers ---- */

static bool close_if_idle(struct database *db, int64_t now_ms)
{
    bool idle;

    pthread_mutex_lock(&db->lock);
    idle = db->state == WRITER_IDLE && (now_ms - db->writer_used_ms > WRITER_IDLE_MS || atomic_load(&db->deleted));
    if (idle)
        db->state = WRITER_DRAINING; /* ours while we close */
    pthread_mutex_unlock(&db->lock);
    return idle;
}

static void close_writer(struct job *job)
{
    struct database *db = CONTAINER_OF(job, struct database, close);

    database_close_writer(db);
    drain_run(&db->drain); /* something may have queued up meanwhile; gives the reference back */
}

void writer_sweep(struct store *s, int64_t now_ms)
{
    struct database *keep = NULL, *db, *next;

    pthread_mutex_lock(&s->open_lock);
    for (db = s->open; db; db = next) {
        next = db->next_open;
        transaction_sweep(db, now_ms * 1000000);
        if (close_if_idle(db, now_ms)) {
            db->listed_open = false;
            db->close.run = close_writer;
            pool_submit(s->write_pool, &db->close); /* takes over the list's reference */
            continue;
        }
        db->next_open = keep;
        keep = db;
    }
    s->open = keep;
    pthread_mutex_unlock(&s->open_lock);
}
