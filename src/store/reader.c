/*
 * reader.c - reads: on the loop when they are quick, in the pool when they are not.
 *
 * Each loop has its own connection to each database it reads from, found in an array by the loop's number: no lock, no
 * hand-off. Past FAST_READ_NS the statement is interrupted, what it wrote to the answer is cut off, and it starts again
 * in the pool; the text is remembered there for a while, so that it does not cost the loop a millisecond each time.
 */
#include "store/internal.h"

#include "sqlite3.h"

/* ---- a loop's connections ---- */

static void lru_remove(struct loop_state *ls, struct loop_reader *lr)
{
    *(lr->newer ? &lr->newer->older : &ls->newest) = lr->older;
    *(lr->older ? &lr->older->newer : &ls->oldest) = lr->newer;
    lr->newer = lr->older = NULL;
}

static void lru_add(struct loop_state *ls, struct loop_reader *lr)
{
    lr->older = ls->newest;
    *(ls->newest ? &ls->newest->newer : &ls->oldest) = lr;
    ls->newest = lr;
}

void loop_reader_close(struct loop_state *ls, struct loop_reader *lr)
{
    struct database *db = lr->db;

    database_collect(db, lr->conn);
    lru_remove(ls, lr);
    ls->n_open--;
    sql_conn_close(TAKE_PTR(lr->conn));
    lr->in_snapshot = false;
    lr->db = NULL;
    database_unref(db);
}

/* The loop's share of the cache memory is dealt evenly to its connections. */
static void share_cache(struct loop_state *ls)
{
    int share = cache_share(READERS_CACHE_KIB / ls->store->opt.n_loops, ls->n_open, READER_CACHE_MIN_KIB);

    if (share == ls->cache_kib)
        return;
    ls->cache_kib = share;
    for (struct loop_reader *lr = ls->newest; lr; lr = lr->older)
        sql_conn_set_cache(lr->conn, share);
}

/* ---- snapshots ---- */

static void end_snapshot(struct loop_reader *lr)
{
    if (lr->in_snapshot && sql_conn_in_transaction(lr->conn))
        IGNORE_RESULT(sql_txn(lr->conn, SQL_COMMIT, NULL)); /* only ends a read */
    lr->in_snapshot = false;
}

void loop_readers_release(struct loop_state *ls)
{
    for (struct loop_reader *lr = ls->newest; lr; lr = lr->older)
        end_snapshot(lr);
    ls->releasing = false;
}

static void on_release(uv_timer_t *timer)
{
    loop_readers_release(timer->data);
}

/*
 * Beginning and ending a read transaction costs more than a point read: file locks, which the loops contend for, and a look
 * at the WAL's index. So a loop keeps the transaction open for up to SNAPSHOT_MS, and uses it as long as no commit has
 * changed the file since it began: a read never misses a write that was answered.
 */
static enum status use_snapshot(struct loop_state *ls, struct loop_reader *lr, struct error *err)
{
    struct database *db = lr->db;
    uint64_t changes = atomic_load_explicit(&db->changes, memory_order_acquire);
    int schema = atomic_load_explicit(&db->schema_epoch, memory_order_acquire);
    enum status st = STATUS_OK;

    if (lr->in_snapshot && (lr->snapshot != changes || !sql_conn_in_transaction(lr->conn)))
        end_snapshot(lr);
    if (schema != lr->schema_epoch) {
        end_snapshot(lr);
        database_collect(db, lr->conn);
        st = sql_conn_use_schema(lr->conn, schema, err);
        if (st != STATUS_OK)
            return st;
        lr->schema_epoch = schema;
    }
    if (lr->in_snapshot)
        return STATUS_OK;
    st = sql_txn(lr->conn, SQL_BEGIN, err);
    lr->in_snapshot = st == STATUS_OK;
    lr->snapshot = changes;
    if (!ls->releasing) {
        ls->releasing = true;
        uv_timer_start(&ls->release, on_release, SNAPSHOT_MS, 0);
    }
    return st;
}

static enum status loop_reader_open(struct loop_state *ls, struct loop_reader *lr, struct database *db,
                                    struct error *err)
{
    int epoch = atomic_load(&db->epoch);
    enum status st = database_open_conn(db, SQL_READER, &lr->conn, err);

    if (st != STATUS_OK)
        return st;
    /* A loop never waits for a lock; the pool does. */
    sqlite3_busy_timeout(sql_conn_handle(lr->conn), 0);
    /* Nor does it work on values so large that one step takes long. */
    sqlite3_limit(sql_conn_handle(lr->conn), SQLITE_LIMIT_LENGTH, LOOP_VALUE_BYTES);
    lr->db = database_ref(db);
    lr->epoch = epoch;
    lr->schema_epoch = -1;
    lru_add(ls, lr);
    ls->n_open++;
    while (ls->n_open > LOOP_READERS_MAX)
        loop_reader_close(ls, ls->oldest);
    share_cache(ls);
    sql_conn_set_cache(lr->conn, ls->cache_kib);
    return STATUS_OK;
}

static enum status loop_reader_get(struct sql_request *r, struct sql_conn **ret)
{
    struct database *db = r->db;
    struct loop_state *ls = &db->store->loops[r->loop->index];
    struct loop_reader *lr = &db->readers[r->loop->index];

    if (lr->conn && lr->epoch != atomic_load_explicit(&db->epoch, memory_order_relaxed))
        loop_reader_close(ls, lr);
    if (!lr->conn) {
        enum status st = loop_reader_open(ls, lr, db, r->err);
        if (st != STATUS_OK)
            return st;
    } else if (ls->newest != lr) {
        lru_remove(ls, lr);
        lru_add(ls, lr);
    }
    lr->used_ms = (int64_t)uv_now(&r->loop->uv);
    *ret = lr->conn;
    return use_snapshot(ls, lr, r->err);
}

void loop_readers_sweep(struct loop_state *ls, int64_t now_ms)
{
    for (struct loop_reader *lr = ls->newest, *older; lr; lr = older) {
        older = lr->older;
        if (now_ms - lr->used_ms > READER_IDLE_MS || atomic_load(&lr->db->deleted))
            loop_reader_close(ls, lr);
        else
            database_collect(lr->db, lr->conn);
    }
    share_cache(ls);
}

/* ---- in the pool ---- */

static struct sql_shared_state shared_state(const struct database *db)
{
    return (struct sql_shared_state){
        .last_row_id = atomic_load_explicit(&db->last_row_id, memory_order_relaxed),
        .size_bytes = atomic_load_explicit(&db->size_bytes, memory_order_relaxed),
    };
}

/* Back on the loop: a text that has become quick gets another chance there, after enough good runs. */
static void deliver_slow(struct loop_msg *msg)
{
    struct sql_request *r = CONTAINER_OF(msg, struct sql_request, msg);
    struct loop_reader *lr = &r->db->readers[r->loop->index];

    for (size_t i = 0; lr->conn && i < r->n; i++) {
        struct sql_stmt *s = sql_cache_find(lr->conn, r->entries[i].sql);
        if (s && *sql_stmt_slow(s))
            *sql_stmt_slow(s) = r->ran_ns < FAST_READ_NS ? *sql_stmt_slow(s) - 1 : SLOW_STRIKES;
    }
    r->done(r);
}

static void read_slowly(struct job *job)
{
    struct sql_request *r = CONTAINER_OF(job, struct sql_request, job);
    struct database *db = r->db;
    bool needs_writer = false;

    request_restart(r);
    r->may_retry = false;
    r->status = database_warm(db, r->err);
    struct sql_conn *c = r->status == STATUS_OK ? pool_reader_take(db, r->err) : NULL;
    if (c) {
        struct sql_shared_state shared = shared_state(db);
        int64_t started = clock_mono_ns();
        sql_conn_set_deadline(c, 0, r->deadline_ns, false);
        sql_conn_set_cancel(c, &r->cancelled);
        r->status = sql_txn(c, SQL_BEGIN, r->err);
        if (r->status == STATUS_OK)
            IGNORE_RESULT(run_entries(c, r, &shared, &needs_writer)); /* leaves its verdict in r */
        if (sql_conn_in_transaction(c))
            IGNORE_RESULT(sql_txn(c, SQL_COMMIT, NULL)); /* only ends a read */
        r->ran_ns = clock_mono_ns() - started;
        sql_conn_set_cancel(c, NULL);
        r->commit = atomic_load(&db->commit);
        pool_reader_give(db, c);
    } else if (r->status == STATUS_OK) {
        r->status = r->err->status;
    }
    if (needs_writer) {
        writer_enqueue(r, REQUEST_SQL);
        return;
    }
    r->msg.deliver = deliver_slow;
    loop_post(r->loop, &r->msg);
}

void read_on_pool(struct sql_request *r)
{
    r->job.run = read_slowly;
    pool_submit(r->db->store->read_pool, &r->job);
}

/* ---- on the loop ---- */

bool store_run(struct sql_request *r)
{
    struct database *db = r->db;
    struct sql_conn *c;
    bool needs_writer = false;
    int64_t now = clock_mono_ns();

    r->out_start = r->out.len;
    r->deadline_ns = now + db->store->opt.statement_limit_ms * 1000000;
    r->may_retry = true;
    if (atomic_load_explicit(&db->deleted, memory_order_relaxed)) {
        request_fail(r, STATUS_NODB, "The database was deleted");
        return true;
    }
    if (r->fn_writes) {
        writer_enqueue(r, REQUEST_SQL);
        return false;
    }
    if (!atomic_load_explicit(&db->warm, memory_order_acquire)) {
        read_on_pool(r);
        return false;
    }
    enum status st = loop_reader_get(r, &c);
    if (st == STATUS_OK) {
        struct sql_shared_state shared = shared_state(db);
        sql_conn_set_deadline(c, now, now + FAST_READ_NS, true);
        st = run_entries(c, r, &shared, &needs_writer);
    }
    if (needs_writer) {
        request_restart(r);
        writer_enqueue(r, REQUEST_SQL);
        return false;
    }
    if (st == STATUS_AGAIN || st == STATUS_BUSY) {
        read_on_pool(r);
        return false;
    }
    r->status = st;
    r->commit = atomic_load_explicit(&db->commit, memory_order_relaxed);
    return true;
}

bool store_try_read(struct sql_request *r)
{
    struct database *db = r->db;
    struct sql_conn *c;
    bool needs_writer = false;

    r->out_start = r->out.len;
    r->may_retry = true;
    r->read_only = true;
    if (atomic_load_explicit(&db->deleted, memory_order_relaxed) ||
        !atomic_load_explicit(&db->warm, memory_order_acquire) || loop_reader_get(r, &c) != STATUS_OK)
        return false;
    struct sql_shared_state shared = shared_state(db);
    int64_t now = clock_mono_ns();

    sql_conn_set_deadline(c, now, now + FAST_READ_NS, true);
    if (run_entries(c, r, &shared, &needs_writer) == STATUS_OK && !needs_writer)
        return true;
    request_restart(r);
    return false;
}
