/* conn.c - opening connections with a role and a profile, deadlines, and our own statements. */
#include "sql/internal.h"

#include "base/clock.h"
#include "sql/wal_vfs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* About ten microseconds of work between two looks at the clock. */
enum { PROGRESS_OPS = 1000, BUSY_TIMEOUT_MS = 10000 };

int64_t conn_now_ns(struct sql_conn *c)
{
    if (c->now_ns == 0)
        c->now_ns = clock_mono_ns();
    return c->now_ns;
}

static bool must_stop(struct sql_conn *c, int64_t deadline_ns, int64_t now_ns)
{
    bool cancelled = c->cancelled && atomic_load_explicit(c->cancelled, memory_order_relaxed);

    if (!cancelled && (deadline_ns == 0 || now_ns < deadline_ns))
        return false;
    c->timed_out = true;
    return true;
}

/* SQLite counts a prepared statement's steps over all its runs, so our own COMMIT comes by here too. */
static int on_progress(void *arg)
{
    struct sql_conn *c = arg;
    int64_t deadline_ns = __atomic_load_n(&c->deadline_ns, __ATOMIC_RELAXED);

    return !c->trusted && must_stop(c, deadline_ns, deadline_ns ? clock_mono_ns() : 0);
}

void sql_conn_set_deadline(struct sql_conn *c, int64_t now_ns, int64_t deadline_ns, bool may_retry)
{
    __atomic_store_n(&c->deadline_ns, deadline_ns, __ATOMIC_RELAXED);
    c->now_ns = now_ns;
    c->may_retry = may_retry;
    c->timed_out = false;
}

enum status sql_conn_check_deadline(struct sql_conn *c, struct error *err)
{
    int64_t deadline_ns = __atomic_load_n(&c->deadline_ns, __ATOMIC_RELAXED);

    return must_stop(c, deadline_ns, deadline_ns ? conn_now_ns(c) : 0) ? sql_error(c, SQLITE_INTERRUPT, err)
                                                                       : STATUS_OK;
}

void sql_conn_set_cancel(struct sql_conn *c, const _Atomic bool *cancelled)
{
    c->cancelled = cancelled;
}

void sql_conn_interrupt(struct sql_conn *c)
{
    __atomic_store_n(&c->deadline_ns, 1, __ATOMIC_RELAXED);
}

/* The function exists on D1, is allowed, and always fails. */
static void load_extension_refused(sqlite3_context *ctx, int n UNUSED, sqlite3_value **args UNUSED)
{
    sqlite3_result_error(ctx, "not authorized", -1);
}

/* D1's sizes and limits count in four KiB. Our own tables have small rows in any order, and each that changes costs a page of WAL. */
static int page_bytes(enum sql_profile profile)
{
    return profile == SQL_OWN ? 2048 : 4096;
}

/* ---- our own statements ---- */

enum status sql_exec_i64(struct sql_conn *c, const char *text, int64_t *ret, struct error *err)
{
    sqlite3_stmt *handle = NULL;
    int64_t value = 0;

    c->size = -1;
    c->trusted = true;
    int rc = sqlite3_prepare_v2(c->db, text, -1, &handle, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(handle);
        if (rc == SQLITE_ROW) {
            value = sqlite3_column_int64(handle, 0);
            while ((rc = sqlite3_step(handle)) == SQLITE_ROW)
                ;
        }
    }
    enum status st = rc == SQLITE_DONE || rc == SQLITE_OK ? STATUS_OK : sql_error(c, rc, err);
    sqlite3_finalize(handle);
    c->trusted = false;
    if (st == STATUS_OK)
        *ret = value;
    return st;
}

enum status sql_exec(struct sql_conn *c, const char *text, struct error *err)
{
    c->size = -1;
    c->trusted = true;
    int rc = sqlite3_exec(c->db, text, NULL, NULL, NULL);
    enum status st = rc == SQLITE_OK ? STATUS_OK : sql_error(c, rc, err);
    c->trusted = false;
    return st;
}

enum status sql_txn(struct sql_conn *c, enum sql_txn op, struct error *err)
{
    static const char *const texts[SQL_N_TXN] = {
        [SQL_BEGIN] = "BEGIN",
        [SQL_BEGIN_IMMEDIATE] = "BEGIN IMMEDIATE",
        [SQL_COMMIT] = "COMMIT",
        [SQL_ROLLBACK] = "ROLLBACK",
        [SQL_SAVEPOINT] = "SAVEPOINT dione",
        [SQL_RELEASE] = "RELEASE dione",
        [SQL_ROLLBACK_TO] = "ROLLBACK TO dione",
    };
    int rc = SQLITE_OK;

    c->size = -1;
    c->trusted = true;
    if (!c->txn[op])
        rc = sqlite3_prepare_v3(c->db, texts[op], -1, SQLITE_PREPARE_PERSISTENT, &c->txn[op], NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(c->txn[op]);
    enum status st = rc == SQLITE_DONE ? STATUS_OK : sql_error(c, rc, err);
    sqlite3_reset(c->txn[op]); /* repeats the error */
    c->trusted = false;
    return st;
}

enum status sql_own(struct sql_conn *c, int slot, const char *text, sqlite3_stmt **ret, struct error *err)
{
    if (!c->own[slot]) {
        int rc = sqlite3_prepare_v3(c->db, text, -1, SQLITE_PREPARE_PERSISTENT, &c->own[slot], NULL);
        if (rc != SQLITE_OK)
            return sql_error(c, rc, err);
    }
    *ret = c->own[slot];
    return STATUS_OK;
}

void sql_own_done(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt); /* repeats the error, which was reported */
    sqlite3_clear_bindings(stmt);
}

void sql_conn_reset_state(struct sql_conn *c)
{
    if (!c->state_set)
        return;
    c->state_set = false;
    cache_clear(c); /* statements were compiled under the switches */
    /* None of these can fail: they set flags of the connection. */
    IGNORE_RESULT(sql_exec(c,
                           "PRAGMA defer_foreign_keys=0;PRAGMA case_sensitive_like=0;PRAGMA ignore_check_constraints=0;"
                           "PRAGMA legacy_alter_table=0;PRAGMA recursive_triggers=0;PRAGMA reverse_unordered_selects=0",
                           NULL));
}

bool sql_conn_wants_writer(const struct sql_conn *c)
{
    return c->wants_writer;
}

enum status sql_conn_use_schema(struct sql_conn *c, int epoch, struct error *err)
{
    int64_t ignored;

    if (c->schema_epoch == epoch)
        return STATUS_OK;
    cache_clear(c);
    enum status st = sql_exec_i64(c, "SELECT 1 FROM sqlite_schema LIMIT 1", &ignored, err);
    if (st == STATUS_OK)
        c->schema_epoch = epoch;
    return st;
}

bool sql_conn_in_transaction(struct sql_conn *c)
{
    return !sqlite3_get_autocommit(c->db);
}

enum status sql_conn_size(struct sql_conn *c, int64_t *ret_bytes, struct error *err)
{
    uint32_t pages, free_pages;
    int rc = dione_db_pages(c->db, &pages, &free_pages);

    if (rc != SQLITE_OK)
        return error_set(err, rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? STATUS_CORRUPT : STATUS_IO, rc,
                         "cannot read the database's size: %s", sqlite3_errstr(rc));
    *ret_bytes = ((int64_t)pages - free_pages) * page_bytes(c->profile);
    return STATUS_OK;
}

static int on_commit(void *arg, sqlite3 *db UNUSED, const char *name UNUSED, int pages)
{
    struct sql_conn *c = arg;

    c->wal_pages = pages;
    c->commits++;
    return SQLITE_OK;
}

uint64_t sql_conn_commits(const struct sql_conn *c)
{
    return c->commits;
}

int sql_conn_wal_pages(const struct sql_conn *c)
{
    return c->wal_pages;
}

void sql_conn_set_query_only(struct sql_conn *c, bool on)
{
    dione_query_only(c->db, on);
}

void sql_conn_set_cache(struct sql_conn *c, int kib)
{
    char text[64];

    snprintf(text, sizeof(text), "PRAGMA cache_size=-%d", kib);
    IGNORE_RESULT(sql_exec(c, text, NULL)); /* sets a number */
}

/* ---- opening ---- */

static enum status set_up_file(struct sql_conn *c, const struct sql_conn_options *opt, struct error *err)
{
    char text[128];
    int64_t ignored;

    if (opt->role == SQL_READER)
        return STATUS_OK;
    /* Only a new file takes it. */
    snprintf(text, sizeof(text), "PRAGMA page_size=%d", page_bytes(opt->profile));
    enum status st = sql_exec_i64(c, text, &ignored, err);
    if (st == STATUS_OK)
        st = sql_exec_i64(c, "PRAGMA journal_mode=WAL", &ignored, err);
    if (st == STATUS_OK)
        st = sql_exec_i64(c, "PRAGMA synchronous=FULL", &ignored, err);
    if (st == STATUS_OK && opt->max_bytes) {
        snprintf(text, sizeof(text), "PRAGMA max_page_count=%llu", (unsigned long long)opt->max_bytes / 4096);
        st = sql_exec_i64(c, text, &ignored, err);
    }
    return st;
}

static enum status set_up(struct sql_conn *c, const struct sql_conn_options *opt, struct error *err)
{
    char text[64];
    int64_t ignored;

    sqlite3_busy_timeout(c->db, BUSY_TIMEOUT_MS);
    sqlite3_extended_result_codes(c->db, 0);
    snprintf(text, sizeof(text), "PRAGMA cache_size=-%d", opt->cache_kib);
    enum status st = sql_exec_i64(c, text, &ignored, err);
    if (st == STATUS_OK)
        st = set_up_file(c, opt, err);
    /* Checkpoints are the writer's decision; the others must not even do one when they close. */
    if (opt->role != SQL_INTERNAL)
        sqlite3_wal_hook(c->db, on_commit, c);
    if (opt->keep_wal || (opt->role != SQL_WRITER && opt->role != SQL_INTERNAL))
        sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (opt->role == SQL_INTERNAL || st != STATUS_OK)
        return st;
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, opt->role != SQL_IMPORTER, NULL);
    sqlite3_create_function(c->db, "load_extension", 1, SQLITE_UTF8, NULL, load_extension_refused, NULL, NULL);
    sqlite3_create_function(c->db, "load_extension", 2, SQLITE_UTF8, NULL, load_extension_refused, NULL, NULL);
    limits_apply(c);
    if (opt->role == SQL_READER)
        sql_conn_set_query_only(c, true);
    sqlite3_set_authorizer(c->db, authorize, c);
    sqlite3_progress_handler(c->db, PROGRESS_OPS, on_progress, c);
    return STATUS_OK;
}

enum status sql_conn_open(const struct sql_conn_options *opt, struct sql_conn **ret, struct error *err)
{
    struct sql_conn *c = calloc(1, sizeof(*c));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

    if (!c)
        return error_set(err, STATUS_NOMEM, 0, "out of memory while opening a database");
    c->size = -1;
    c->role = opt->role;
    c->profile = opt->profile;
    c->max_bytes = opt->max_bytes;
    c->max_cached = opt->cache_statements;
    if (opt->role != SQL_READER)
        flags |= SQLITE_OPEN_CREATE;
    bool writes = opt->role == SQL_WRITER || opt->role == SQL_IMPORTER;
    int rc = sqlite3_open_v2(opt->path, &c->db, flags, writes ? wal_vfs_name() : NULL);
    enum status st = rc == SQLITE_OK ? set_up(c, opt, err) : sql_error(c, rc, err);
    if (st != STATUS_OK) {
        sql_conn_close(c);
        return st;
    }
    *ret = c;
    return STATUS_OK;
}

void sql_conn_set_profile(struct sql_conn *c, enum sql_profile profile)
{
    cache_clear(c);
    c->profile = profile;
    limits_apply(c);
}

void sql_conn_close(struct sql_conn *c)
{
    if (!c)
        return;
    cache_clear(c);
    for (int i = 0; i < SQL_N_TXN; i++)
        sqlite3_finalize(c->txn[i]);
    for (int i = 0; i < SQL_OWN_SLOTS; i++)
        sqlite3_finalize(c->own[i]);
    sqlite3_close(c->db);
    free(c);
}

void sql_conn_set_tag(struct sql_conn *c, int tag)
{
    c->tag = tag;
}

int sql_conn_tag(const struct sql_conn *c)
{
    return c->tag;
}

sqlite3 *sql_conn_handle(struct sql_conn *c)
{
    return c->db;
}
