/*
 * load.c - see load.h.
 *
 * The time of an import is SQLite's: parsing, then putting rows into pages. What is ours (cutting the text, reading the
 * file) is a few per cent. So every statement goes straight to sqlite3_prepare_v2, from the buffer it was read
 * into; a statement cache would only cost, as the statements of a dump differ in their values.
 */
#include "store/load.h"

#include "base/clock.h"
#include "sql/split.h"

#include "dione_sqlite.h"

#include <errno.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1024 * 1024 };

struct load {
    struct sql_conn *c;
    sqlite3 *db;
    int fd;
    struct progress *p;
    struct load_result *result;
    struct error *err;
};

/* ---- errors ---- */

/* The line that byte `offset` of the file is in. Only read again when an error has to name it. */
static uint64_t line_of(int fd, uint64_t offset)
{
    char chunk[16 * 1024];
    uint64_t line = 1, at = 0;

    while (at < offset) {
        size_t want = offset - at < sizeof(chunk) ? (size_t)(offset - at) : sizeof(chunk);
        ssize_t n = pread(fd, chunk, want, (off_t)at);
        if (n <= 0)
            break; /* what we know so far is better than nothing */
        for (ssize_t i = 0; i < n; i++)
            line += chunk[i] == '\n';
        at += (uint64_t)n;
    }
    return line;
}

/* Puts the place behind the text that clients know from D1. */
static enum status at_statement(struct load *l, uint64_t offset)
{
    if (!l->err)
        return STATUS_SQL;
    struct error at = *l->err;
    return error_set(l->err, at.status, at.native, "%s (statement %llu, line %llu)", at.msg,
                     (unsigned long long)l->result->statements + 1, (unsigned long long)line_of(l->fd, offset));
}

/* The file is one transaction already; SQLite would say the first of these, and do the others. */
static const char *why_refused(struct slice text)
{
    static const struct {
        struct slice word;
        const char *text;
    } words[] = {
        { SLICE_LIT("begin"), "cannot start a transaction within a transaction: SQLITE_ERROR" },
        { SLICE_LIT("commit"),
          "cannot end the transaction that an import is: remove COMMIT from the file: SQLITE_ERROR" },
        { SLICE_LIT("end"), "cannot end the transaction that an import is: remove END from the file: SQLITE_ERROR" },
        { SLICE_LIT("rollback"),
          "cannot roll back the transaction that an import is: remove ROLLBACK from the file: SQLITE_ERROR" },
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_starts_nocase(text, words[i].word))
            return words[i].text;
    return NULL;
}

static enum status failed(struct load *l, int rc, const struct split_statement *st)
{
    const char *refused = (rc & 0xff) == SQLITE_AUTH ? why_refused(st->text) : NULL;
    enum status status;

    if (progress_is_cancelled(l->p))
        return error_set(l->err, STATUS_STOPPING, 0, "The import was cancelled");
    if (refused)
        status = error_set(l->err, STATUS_SQL, rc, "%s", refused);
    else
        status = sql_error(l->c, rc, l->err);
    /* A place in the file explains a fault of the file, not one of the disk. */
    return status == STATUS_SQL ? at_statement(l, st->offset) : status;
}

/* ---- running ---- */

static int run_prepared(struct load *l, sqlite3_stmt *stmt)
{
    uint64_t n_read, n_written;
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        continue;
    dione_stmt_rows(stmt, &n_read, &n_written, 0);
    l->result->rows_read += n_read;
    l->result->rows_written += n_written;
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The splitter gives one statement; should SQLite ever see two in it, both run. */
static enum status run_statement(struct load *l, const struct split_statement *st)
{
    const char *text = st->text.ptr, *end = text + st->text.len;

    while (text < end) {
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(l->db, text, (int)(end - text) + 1, &stmt, &text);
        if (rc == SQLITE_OK && !stmt)
            return STATUS_OK;
        if (rc == SQLITE_OK && sqlite3_bind_parameter_count(stmt) > 0) {
            sqlite3_finalize(stmt);
            error_set(l->err, STATUS_SQL, 0, "Wrong number of parameter bindings for SQL query.");
            return at_statement(l, st->offset);
        }
        if (rc == SQLITE_OK)
            rc = run_prepared(l, stmt);
        enum status status = rc == SQLITE_OK ? STATUS_OK : failed(l, rc, st);
        sqlite3_finalize(stmt); /* repeats the error that is reported */
        if (status != STATUS_OK)
            return status;
        /* INSERT OR ROLLBACK and its like have ended the transaction: nothing may run outside it. */
        if (sqlite3_get_autocommit(l->db))
            return error_set(l->err, STATUS_INTERNAL, 0, "the import's transaction has ended");
        l->result->statements++;
    }
    return STATUS_OK;
}

static enum status read_more(struct load *l, struct split *s)
{
    char *room = split_room(s, CHUNK_BYTES);
    ssize_t n;

    if (!room)
        return error_set(l->err, STATUS_NOMEM, 0, "out of memory while reading the file");
    if (progress_is_cancelled(l->p))
        return error_set(l->err, STATUS_STOPPING, 0, "The import was cancelled");
    do
        n = read(l->fd, room, CHUNK_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(l->err, errno, "cannot read the file");
    if (n == 0)
        split_end(s);
    split_fed(s, (size_t)n);
    atomic_fetch_add_explicit(&l->p->bytes, (uint64_t)n, memory_order_relaxed);
    return STATUS_OK;
}

static enum status run_all(struct load *l, struct split *s)
{
    struct split_statement statement;
    enum status st = STATUS_OK;

    while (st == STATUS_OK) {
        switch (split_next(s, &statement, l->err)) {
        case SPLIT_STATEMENT:
            st = run_statement(l, &statement);
            atomic_store_explicit(&l->p->statements, l->result->statements, memory_order_relaxed);
            break;
        case SPLIT_MORE:
            st = read_more(l, s);
            break;
        case SPLIT_FAILED:
            return at_statement(l, split_offset(s));
        case SPLIT_DONE:
            return STATUS_OK;
        }
    }
    return st;
}

static enum status check_foreign_keys(struct load *l)
{
    if (dione_deferred_fks(l->db) <= 0)
        return STATUS_OK;
    return error_set(
        l->err, STATUS_SQL, SQLITE_CONSTRAINT_FOREIGNKEY,
        "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY) (at the end "
        "of the file)");
}

enum status load_sql(struct sql_conn *c, int fd, struct progress *p, struct load_result *ret, struct error *err)
{
    struct load_result result = { 0 };
    struct load l = { .c = c, .db = sql_conn_handle(c), .fd = fd, .p = p, .result = &result, .err = err };
    int64_t started_ns = clock_mono_ns(), changes = sqlite3_total_changes64(l.db), size_before = 0;
    struct split s;

    sql_conn_set_deadline(c, 0, 0, false);
    enum status st = sql_conn_size(c, &size_before, err);
    if (st != STATUS_OK)
        return st;
    split_init(&s);
    st = run_all(&l, &s);
    split_release(&s);
    if (st == STATUS_OK)
        st = check_foreign_keys(&l);
    if (st == STATUS_OK)
        st = sql_conn_size(c, &result.size_after, err);
    if (st != STATUS_OK)
        return st;
    result.changes = sqlite3_total_changes64(l.db) - changes;
    result.last_row_id = sqlite3_last_insert_rowid(l.db);
    result.changed_db = result.changes != 0 || result.size_after != size_before;
    result.duration_ns = clock_mono_ns() - started_ns;
    *ret = result;
    return STATUS_OK;
}
