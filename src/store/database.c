/* database.c - one database's life between catalog and connections: opening, warming, counting references. */
#include "store/internal.h"

#include "base/log.h"

#include "dione_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- life ---- */

struct database *database_new(struct store *s, const struct store_kind *kind, const struct database_info *info)
{
    struct database *db = calloc(1, sizeof(*db));
    struct buf text = { 0 };

    if (!db || !(db->readers = calloc((size_t)s->opt.n_loops, sizeof(*db->readers))))
        abort();
    db->store = s;
    db->kind = kind;
    db->info = *info;
    db->refs = 1;
    db->link = &db->first;
    db->drain.run = drain_run;
    pthread_mutex_init(&db->lock, NULL);
    buf_reserve(&text, strlen(s->dir) + 64);
    buf_printf(&text, "%s/%s/%s", s->dir, kind->folder, info->uuid);
    db->dir = text.ptr;
    text = (struct buf){ 0 };
    buf_reserve(&text, strlen(db->dir) + 16);
    buf_printf(&text, "%s/db.sqlite", db->dir);
    db->path = text.ptr;
    return db;
}

struct database *database_ref(struct database *db)
{
    atomic_fetch_add_explicit(&db->refs, 1, memory_order_relaxed);
    return db;
}

void database_unref(struct database *db)
{
    if (!db || atomic_fetch_sub_explicit(&db->refs, 1, memory_order_acq_rel) > 1)
        return;
    database_close_pool_readers(db);
    if (db->writer)
        atomic_fetch_sub(&db->store->n_writers, 1);
    sql_conn_close(db->writer); /* rolls an open transaction back */
    free(db->transaction);
    pthread_mutex_destroy(&db->lock);
    free(db->readers);
    free(db->dir);
    free(db->path);
    free(db);
}

const char *database_uuid(const struct database *db)
{
    return db->info.uuid; /* never changes */
}

struct database *store_known(struct store *s, const struct store_kind *kind, const struct database_info *info)
{
    return database_new(s, kind, info);
}

const char *database_dir(const struct database *db)
{
    return db->dir;
}

struct store *database_store(const struct database *db)
{
    return db->store;
}

void database_info(const struct database *db, struct database_info *ret)
{
    pthread_rwlock_rdlock(&db->store->catalog_lock);
    *ret = db->info;
    pthread_rwlock_unlock(&db->store->catalog_lock);
}

enum sql_profile database_profile(const struct database *db)
{
    pthread_rwlock_rdlock(&db->store->catalog_lock);
    enum sql_profile profile = db->info.profile;
    pthread_rwlock_unlock(&db->store->catalog_lock);
    return profile;
}

/* ---- connections ---- */

enum status database_open_conn(struct database *db, enum sql_role role, struct sql_conn **ret, struct error *err)
{
    struct sql_conn_options opt = {
        .path = db->path,
        .role = role,
        .profile = database_profile(db),
        .max_bytes = db->kind->limited ? db->store->opt.max_database_bytes : 0,
        .cache_statements = role == SQL_IMPORTER ? 0 : CACHED_STATEMENTS,
        .cache_kib = role == SQL_READER ? POOL_READER_CACHE_KIB : WRITERS_CACHE_KIB,
    };

    /* SQLite would make an empty database in place of a lost one. */
    if (access(db->path, F_OK) != 0) {
        if (atomic_load(&db->going))
            return error_set(err, STATUS_NODB, 0, "The database was deleted");
        log_line(LOG_ERROR, "the file of database %s is missing: %s", db->info.uuid, db->path);
        return error_set(err, STATUS_CORRUPT, 0, "The database's file is missing");
    }
    return sql_conn_open(&opt, ret, err);
}

void database_look(struct sql_conn *c, struct database_view *ret)
{
    *ret = (struct database_view){ .last_row_id = sqlite3_last_insert_rowid(sql_conn_handle(c)) };
    /* A failure here leaves zeros, which the next look puts right. */
    IGNORE_RESULT(sql_conn_size(c, &ret->size_bytes, NULL));
    (void)dione_db_meta_get(sql_conn_handle(c), DIONE_META_SCHEMA_VERSION, &ret->schema_cookie);
}

void database_note_change(struct database *db, const struct database_view *view)
{
    atomic_store(&db->last_row_id, view->last_row_id);
    atomic_store(&db->size_bytes, view->size_bytes);
    if (view->schema_cookie != db->schema_cookie) {
        db->schema_cookie = view->schema_cookie;
        atomic_fetch_add(&db->schema_epoch, 1);
    }
    atomic_fetch_add(&db->changes, 1);
}

void database_list_open(struct database *db)
{
    struct store *s = db->store;

    pthread_mutex_lock(&s->open_lock);
    if (!db->listed_open) {
        db->listed_open = true;
        db->next_open = s->open;
        s->open = database_ref(db);
    }
    pthread_mutex_unlock(&s->open_lock);
}

static enum status read_commit_number(struct sql_conn *c, uint64_t *ret, struct error *err)
{
    uint32_t low = 0, high = 0;
    int rc = dione_db_meta_get(sql_conn_handle(c), DIONE_META_USER_VERSION, &low);

    if (rc == SQLITE_OK)
        rc = dione_db_meta_get(sql_conn_handle(c), DIONE_META_APPLICATION_ID, &high);
    if (rc != SQLITE_OK)
        return error_set(err, rc == SQLITE_IOERR ? STATUS_IO : STATUS_CORRUPT, rc, "%s", sqlite3_errstr(rc));
    *ret = (uint64_t)high << 32 | low;
    return STATUS_OK;
}

/* Corruption shows up here first: say which database, and keep SQLite's words. */
static enum status open_writer(struct database *db, struct error *err)
{
    int epoch = atomic_load(&db->epoch);
    struct sql_conn *c = NULL;
    uint64_t commit = 0;
    enum status st = database_open_conn(db, SQL_WRITER, &c, err);

    if (st == STATUS_OK)
        st = read_commit_number(c, &commit, err);
    if (st != STATUS_OK) {
        sql_conn_close(c);
        return error_prefix(err, "Cannot open database '%s' (%s)", db->info.name, db->info.uuid);
    }
    struct database_view view;
    atomic_store(&db->commit, commit);
    database_look(c, &view);
    database_note_change(db, &view);
    db->writer = c;
    atomic_fetch_add(&db->store->n_writers, 1);
    db->writer_epoch = epoch;
    database_list_open(db);
    return STATUS_OK;
}

int cache_share(int all_kib, int n, int least_kib)
{
    int shares = 1;

    while (shares < n)
        shares *= 2;
    return all_kib / shares > least_kib ? all_kib / shares : least_kib;
}

static void share_writer_cache(struct database *db)
{
    int kib = cache_share(WRITERS_CACHE_KIB, atomic_load(&db->store->n_writers), WRITER_CACHE_MIN_KIB);

    if (kib == db->writer_cache_kib)
        return;
    db->writer_cache_kib = kib;
    sql_conn_set_cache(db->writer, kib);
}

enum status database_writer(struct database *db, struct error *err)
{
    if (db->writer && db->writer_epoch != atomic_load(&db->epoch)) {
        db->writer_epoch = atomic_load(&db->epoch);
        sql_conn_set_profile(db->writer, database_profile(db));
    }
    enum status st = db->writer ? STATUS_OK : open_writer(db, err);
    if (st != STATUS_OK)
        return st;
    share_writer_cache(db);
    atomic_store_explicit(&db->warm, true, memory_order_release);
    return STATUS_OK;
}

static enum status open_in_turn(struct sql_conn *c UNUSED, void *arg, struct error *err)
{
    return database_writer(arg, err);
}

/* The drainer alone may open the writer, so warming is a turn in the queue. */
enum status database_warm(struct database *db, struct error *err)
{
    if (atomic_load_explicit(&db->warm, memory_order_acquire))
        return STATUS_OK;
    return store_turn(db, open_in_turn, db, err);
}

/* ---- readers of the pool ---- */

struct sql_conn *pool_reader_take(struct database *db, struct error *err)
{
    struct sql_conn *c = NULL;
    int epoch = atomic_load(&db->epoch);

    pthread_mutex_lock(&db->lock);
    if (db->n_pool_readers)
        c = db->pool_readers[--db->n_pool_readers];
    pthread_mutex_unlock(&db->lock);
    if (c && sql_conn_tag(c) != epoch) {
        sql_conn_close(c);
        c = NULL;
    }
    if (!c && database_open_conn(db, SQL_READER, &c, err) != STATUS_OK)
        return NULL;
    sql_conn_set_tag(c, epoch);
    if (sql_conn_use_schema(c, atomic_load(&db->schema_epoch), err) == STATUS_OK)
        return c;
    sql_conn_close(c);
    return NULL;
}

void pool_reader_give(struct database *db, struct sql_conn *c)
{
    database_collect(db, c);
    database_list_open(db); /* so that the sweep closes it when nobody comes any more */
    pthread_mutex_lock(&db->lock);
    db->writer_used_ms = clock_mono_ns() / 1000000;
    bool is_current = sql_conn_tag(c) == atomic_load(&db->epoch) && !atomic_load(&db->deleted);
    if (is_current && db->n_pool_readers < POOL_READERS_MAX)
        db->pool_readers[db->n_pool_readers++] = TAKE_PTR(c);
    pthread_mutex_unlock(&db->lock);
    sql_conn_close(c);
}

void database_close_writer(struct database *db)
{
    database_close_pool_readers(db);
    if (!db->writer)
        return;
    database_collect(db, db->writer);
    /* So that the file alone is the database, as far as readers on the loops let it be. */
    sqlite3_busy_timeout(sql_conn_handle(db->writer), 0);
    (void)sqlite3_wal_checkpoint_v2(sql_conn_handle(db->writer), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sql_conn_close(TAKE_PTR(db->writer));
    atomic_fetch_sub(&db->store->n_writers, 1);
    db->writer_cache_kib = 0;
}

void database_close_pool_readers(struct database *db)
{
    pthread_mutex_lock(&db->lock);
    while (db->n_pool_readers)
        sql_conn_close(db->pool_readers[--db->n_pool_readers]);
    pthread_mutex_unlock(&db->lock);
}

/* ---- statistics and state ---- */

void store_record(struct database *db, struct slice text, const struct sql_stmt_stats *stats, bool is_write)
{
    if (db->store->opt.on_stats)
        db->store->opt.on_stats(db->store->opt.stats_arg, db, text, stats, is_write);
}

static void forward_stats(struct slice text, const struct sql_stmt_stats *stats, bool is_write, void *arg)
{
    store_record(arg, text, stats, is_write);
}

void database_collect(struct database *db, struct sql_conn *c)
{
    if (db->store->opt.on_stats)
        sql_cache_collect(c, forward_stats, db);
}

static enum status count_tables(struct sql_conn *c, void *arg, struct error *err)
{
    return sql_exec_i64(
        c, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'", arg,
        err);
}

uint64_t database_commit(const struct database *db)
{
    return atomic_load(&db->commit);
}

enum status database_state(struct database *db, int64_t *ret_bytes, uint64_t *ret_commit, int64_t *ret_tables,
                           struct error *err)
{
    enum status st = database_warm(db, err);
    int64_t tables = 0;

    if (st == STATUS_OK && ret_tables)
        st = store_snapshot(db, count_tables, &tables, NULL, err);
    if (st != STATUS_OK)
        return st;
    if (ret_tables)
        *ret_tables = tables;
    *ret_bytes = atomic_load(&db->size_bytes);
    *ret_commit = atomic_load(&db->commit);
    return STATUS_OK;
}

enum status store_snapshot(struct database *db, enum status (*fn)(struct sql_conn *c, void *arg, struct error *err),
                           void *arg, uint64_t *ret_commit, struct error *err)
{
    enum status st = database_warm(db, err);
    uint64_t commit;
    int64_t ignored;

    if (st != STATUS_OK)
        return st;
    struct sql_conn *c = pool_reader_take(db, err);
    if (!c)
        return err ? err->status : STATUS_IO;
    sql_conn_set_deadline(c, 0, 0, false);
    st = sql_txn(c, SQL_BEGIN, err);
    if (st == STATUS_OK)
        st = sql_exec_i64(c, "SELECT count(*) FROM sqlite_schema", &ignored, err); /* takes the snapshot */
    if (st == STATUS_OK)
        st = read_commit_number(c, &commit, err);
    if (st == STATUS_OK)
        st = fn(c, arg, err);
    if (st == STATUS_OK && ret_commit)
        *ret_commit = commit;
    if (sql_conn_in_transaction(c))
        IGNORE_RESULT(sql_txn(c, SQL_ROLLBACK, NULL)); /* only ends a read */
    pool_reader_give(db, c);
    return st;
}
