/*
 * transaction.c - interactive transactions: one client holds a database's writer over several requests.
 *
 * The drainer begins the transaction and leaves the queue HELD; statements of the transaction bypass the queue, one at a
 * time, on a pool thread. Commit, rollback or the time limit give the writer back and let the queue go on. Each
 * request inside has a savepoint, so a failing one undoes only itself.
 */
#include "store/internal.h"

#include <stdlib.h>

static const char ended_text[] = "The transaction is not open: it was committed, rolled back, or passed its time limit";

/* Gives the writer back. The caller no longer touches t. */
static void release_writer(struct database *db, struct transaction *t)
{
    pthread_mutex_lock(&db->lock);
    db->transaction = NULL;
    db->state = WRITER_DRAINING;
    pthread_mutex_unlock(&db->lock);
    free(t);
    pool_submit(db->store->write_pool, &db->drain);
}

/* ---- begin ---- */

struct transaction_begin {
    int64_t timeout_ms;
    char *ret_id;
};

bool transaction_start(struct database *db, struct sql_request *r)
{
    struct transaction *t = calloc(1, sizeof(*t));
    enum status st = t ? database_writer(db, r->err) : error_set(r->err, STATUS_NOMEM, 0, "out of memory");

    if (st == STATUS_OK && atomic_load(&db->deleted))
        st = error_set(r->err, STATUS_NODB, 0, "The database was deleted");
    if (st == STATUS_OK && atomic_load(&r->cancelled))
        st = error_set(r->err, STATUS_NOTFOUND, 0, "the client has gone");
    if (st == STATUS_OK)
        st = sql_txn(db->writer, SQL_BEGIN_IMMEDIATE, r->err);
    r->status = st;
    r->commit = atomic_load(&db->commit);
    if (st != STATUS_OK) {
        free(t);
        request_finish(r);
        return false;
    }
    uuid_new(t->id);
    t->db = db;
    t->deadline_ns = clock_mono_ns() + r->transaction_ms * 1000000;
    memcpy(r->transaction_id, t->id, sizeof(t->id));
    pthread_mutex_lock(&db->lock);
    db->transaction = t;
    db->state = WRITER_HELD;
    pthread_mutex_unlock(&db->lock);
    request_finish(r);
    return true;
}

void store_transaction_begin(struct sql_request *r, int64_t timeout_ms, char ret_id[UUID_LEN + 1])
{
    if (database_profile(r->db) != SQL_WIDE) {
        request_fail(r, STATUS_INVALID,
                     "Transactions over several requests need the wide profile: PATCH the database with "
                     "{\"profile\":\"wide\"}, or send the statements as one batch");
        request_finish(r);
        return;
    }
    r->transaction_ms = timeout_ms;
    r->transaction_id = ret_id;
    r->out_start = r->out.len;
    writer_enqueue(r, REQUEST_BEGIN);
}

/* ---- statements ---- */

/* Claims the open transaction for one request; NULL when there is none of that id, or it is busy. */
static struct transaction *claim(struct database *db, struct slice id, const char **ret_why)
{
    struct transaction *t;

    pthread_mutex_lock(&db->lock);
    t = db->transaction;
    *ret_why = ended_text;
    /* Past its time it has ended, even if the sweep has not come by yet. */
    if (t && (!slice_eq(slice_cstr(t->id), id) || (!t->busy && clock_mono_ns() > t->deadline_ns)))
        t = NULL;
    if (t && t->busy) {
        *ret_why = "The transaction is busy with another request; send its statements one after the other";
        t = NULL;
    }
    if (t)
        t->busy = true;
    pthread_mutex_unlock(&db->lock);
    return t;
}

static void unclaim(struct transaction *t)
{
    struct database *db = t->db;

    pthread_mutex_lock(&db->lock);
    t->busy = false;
    pthread_mutex_unlock(&db->lock);
}

static void run_inside(struct job *job)
{
    struct sql_request *r = CONTAINER_OF(job, struct sql_request, job);
    struct transaction *t = r->transaction;
    struct sql_conn *c = t->db->writer;
    int64_t limit = clock_mono_ns() + t->db->store->opt.statement_limit_ms * 1000000;
    bool ignored;

    enum status st = sql_txn(c, SQL_SAVEPOINT, r->err);
    if (st == STATUS_OK) {
        sql_conn_set_deadline(c, 0, t->deadline_ns < limit ? t->deadline_ns : limit, false);
        st = run_entries(c, r, NULL, &ignored);
        sql_conn_set_deadline(c, 0, 0, false);
        sql_conn_reset_state(c);
    }
    if (st != STATUS_OK) {
        r->out.len = r->out_start;
        r->status = st;
    } else {
        t->changed |= r->wrote;
    }
    r->commit = atomic_load(&t->db->commit);
    if (!sql_conn_in_transaction(c)) {
        release_writer(t->db, t); /* SQLite has rolled all of it back; the error says why */
    } else {
        /* The savepoint is there, so neither fails. */
        if (st != STATUS_OK)
            IGNORE_RESULT(sql_txn(c, SQL_ROLLBACK_TO, NULL));
        IGNORE_RESULT(sql_txn(c, SQL_RELEASE, NULL));
        unclaim(t);
    }
    request_finish(r);
}

void store_transaction_run(struct sql_request *r, struct slice id)
{
    const char *why;

    r->out_start = r->out.len;
    r->transaction = claim(r->db, id, &why);
    if (!r->transaction) {
        request_fail(r, STATUS_NOTFOUND, why);
        request_finish(r);
        return;
    }
    r->job.run = run_inside;
    pool_submit(r->db->store->write_pool, &r->job);
}

/* ---- the end ---- */

static void run_end(struct job *job)
{
    struct sql_request *r = CONTAINER_OF(job, struct sql_request, job);
    struct transaction *t = r->transaction;
    struct database *db = t->db;

    if (r->transaction_how == TRANSACTION_COMMIT)
        r->status = writer_commit(db, db->writer, t->changed, r->err);
    else
        r->status = sql_txn(db->writer, SQL_ROLLBACK, r->err);
    r->commit = atomic_load(&db->commit);
    release_writer(db, t);
    request_finish(r);
}

void store_transaction_end(struct sql_request *r, struct slice id, enum transaction_end how)
{
    const char *why;

    r->out_start = r->out.len;
    r->transaction = claim(r->db, id, &why);
    if (!r->transaction) {
        request_fail(r, STATUS_NOTFOUND, why);
        request_finish(r);
        return;
    }
    r->transaction_how = how;
    r->job.run = run_end;
    pool_submit(r->db->store->write_pool, &r->job);
}

/* ---- the time limit ---- */

static void run_expire(struct job *job)
{
    struct transaction *t = CONTAINER_OF(job, struct transaction, expire);

    IGNORE_RESULT(sql_txn(t->db->writer, SQL_ROLLBACK, NULL)); /* nobody waits for it */
    release_writer(t->db, t);
}

void transaction_sweep(struct database *db, int64_t now_ns)
{
    struct transaction *expired = NULL;

    pthread_mutex_lock(&db->lock);
    if (db->transaction && !db->transaction->busy && now_ns > db->transaction->deadline_ns) {
        expired = db->transaction;
        expired->busy = true;
    }
    pthread_mutex_unlock(&db->lock);
    if (!expired)
        return;
    expired->expire.run = run_expire;
    pool_submit(db->store->write_pool, &expired->expire);
}
