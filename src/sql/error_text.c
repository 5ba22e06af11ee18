/* error_text.c - SQLite's errors in D1's words. The names are part of the protocol: programs match on them. */
#include "sql/internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

enum { ALMOST_FULL_BYTES = 1 << 20 };

#define NAME(code) \
    case code: \
        return #code

const char *primary_name(int code)
{
    switch (code) {
        NAME(SQLITE_ERROR);
        NAME(SQLITE_INTERNAL);
        NAME(SQLITE_PERM);
        NAME(SQLITE_ABORT);
        NAME(SQLITE_BUSY);
        NAME(SQLITE_LOCKED);
        NAME(SQLITE_NOMEM);
        NAME(SQLITE_READONLY);
        NAME(SQLITE_INTERRUPT);
        NAME(SQLITE_IOERR);
        NAME(SQLITE_CORRUPT);
        NAME(SQLITE_NOTFOUND);
        NAME(SQLITE_FULL);
        NAME(SQLITE_CANTOPEN);
        NAME(SQLITE_PROTOCOL);
        NAME(SQLITE_EMPTY);
        NAME(SQLITE_SCHEMA);
        NAME(SQLITE_TOOBIG);
        NAME(SQLITE_CONSTRAINT);
        NAME(SQLITE_MISMATCH);
        NAME(SQLITE_MISUSE);
        NAME(SQLITE_NOLFS);
        NAME(SQLITE_AUTH);
        NAME(SQLITE_FORMAT);
        NAME(SQLITE_RANGE);
        NAME(SQLITE_NOTADB);
    default:
        return "SQLITE_UNKNOWN_ERROR_CODE";
    }
}

const char *extended_name(int code)
{
    switch (code) {
        NAME(SQLITE_ABORT_ROLLBACK);
        NAME(SQLITE_AUTH_USER);
        NAME(SQLITE_BUSY_RECOVERY);
        NAME(SQLITE_BUSY_SNAPSHOT);
        NAME(SQLITE_BUSY_TIMEOUT);
        NAME(SQLITE_CANTOPEN_CONVPATH);
        NAME(SQLITE_CANTOPEN_DIRTYWAL);
        NAME(SQLITE_CANTOPEN_FULLPATH);
        NAME(SQLITE_CANTOPEN_ISDIR);
        NAME(SQLITE_CANTOPEN_NOTEMPDIR);
        NAME(SQLITE_CANTOPEN_SYMLINK);
        NAME(SQLITE_CONSTRAINT_CHECK);
        NAME(SQLITE_CONSTRAINT_COMMITHOOK);
        NAME(SQLITE_CONSTRAINT_DATATYPE);
        NAME(SQLITE_CONSTRAINT_FOREIGNKEY);
        NAME(SQLITE_CONSTRAINT_FUNCTION);
        NAME(SQLITE_CONSTRAINT_NOTNULL);
        NAME(SQLITE_CONSTRAINT_PINNED);
        NAME(SQLITE_CONSTRAINT_PRIMARYKEY);
        NAME(SQLITE_CONSTRAINT_ROWID);
        NAME(SQLITE_CONSTRAINT_TRIGGER);
        NAME(SQLITE_CONSTRAINT_UNIQUE);
        NAME(SQLITE_CONSTRAINT_VTAB);
        NAME(SQLITE_CORRUPT_INDEX);
        NAME(SQLITE_CORRUPT_SEQUENCE);
        NAME(SQLITE_CORRUPT_VTAB);
        NAME(SQLITE_ERROR_MISSING_COLLSEQ);
        NAME(SQLITE_ERROR_RETRY);
        NAME(SQLITE_ERROR_SNAPSHOT);
        NAME(SQLITE_IOERR_ACCESS);
        NAME(SQLITE_IOERR_CLOSE);
        NAME(SQLITE_IOERR_CORRUPTFS);
        NAME(SQLITE_IOERR_DATA);
        NAME(SQLITE_IOERR_DELETE);
        NAME(SQLITE_IOERR_DIR_FSYNC);
        NAME(SQLITE_IOERR_FSTAT);
        NAME(SQLITE_IOERR_FSYNC);
        NAME(SQLITE_IOERR_GETTEMPPATH);
        NAME(SQLITE_IOERR_LOCK);
        NAME(SQLITE_IOERR_NOMEM);
        NAME(SQLITE_IOERR_RDLOCK);
        NAME(SQLITE_IOERR_READ);
        NAME(SQLITE_IOERR_SEEK);
        NAME(SQLITE_IOERR_SHMLOCK);
        NAME(SQLITE_IOERR_SHMMAP);
        NAME(SQLITE_IOERR_SHMOPEN);
        NAME(SQLITE_IOERR_SHMSIZE);
        NAME(SQLITE_IOERR_SHORT_READ);
        NAME(SQLITE_IOERR_TRUNCATE);
        NAME(SQLITE_IOERR_UNLOCK);
        NAME(SQLITE_IOERR_VNODE);
        NAME(SQLITE_IOERR_WRITE);
        NAME(SQLITE_LOCKED_SHAREDCACHE);
        NAME(SQLITE_LOCKED_VTAB);
        NAME(SQLITE_READONLY_CANTINIT);
        NAME(SQLITE_READONLY_CANTLOCK);
        NAME(SQLITE_READONLY_DBMOVED);
        NAME(SQLITE_READONLY_DIRECTORY);
        NAME(SQLITE_READONLY_RECOVERY);
        NAME(SQLITE_READONLY_ROLLBACK);
    default:
        return NULL;
    }
}

static const char wide_transaction_text[] =
    "Transactions are begun and ended by requests, not by SQL: POST .../transaction, then .../transaction/{id}/query, "
    ".../commit or .../rollback. A batch is a transaction of its own: SQLITE_AUTH";

static enum status status_of(int primary)
{
    switch (primary) {
    case SQLITE_FULL:
        return STATUS_FULL;
    case SQLITE_NOMEM:
        return STATUS_NOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STATUS_CORRUPT;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PROTOCOL:
        return STATUS_IO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STATUS_BUSY;
    default:
        return STATUS_SQL;
    }
}

static const char transaction_text[] =
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs "
    "instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will "
    "automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic "
    "write coalescing.";

static bool disk_is_full(struct sql_conn *c)
{
    const char *path = sqlite3_db_filename(c->db, "main");
    struct statvfs disk;

    return path && statvfs(path, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < ALMOST_FULL_BYTES;
}

/*
 * SQLite says "full" for both; a person must know which of the two to mend. The statement is undone by now, so a single
 * large one has left the database small again, and temporary files have left the disk.
 */
static const char *why_full(struct sql_conn *c)
{
    uint32_t pages = 0;

    if (!c->max_bytes || disk_is_full(c))
        return " (no space is left on the disk that holds the data directory)";
    if (dione_db_pages(c->db, &pages, NULL) == SQLITE_OK && ((uint64_t)pages + 16) * 4096 >= c->max_bytes)
        return " (the database has reached its size limit)";
    return " (the database would pass its size limit, or temporary files the space on the disk)";
}

enum status sql_error(struct sql_conn *c, int rc, struct error *err)
{
    int primary = rc & 0xFF, extended = sqlite3_extended_errcode(c->db), offset = sqlite3_error_offset(c->db);
    char at[32] = "";

    if (c->timed_out) {
        c->timed_out = false;
        if (c->may_retry)
            return error_set(err, STATUS_AGAIN, rc, "too slow for the fast path");
        return error_set(err, STATUS_TIMEOUT, rc,
                         "D1 DB storage operation exceeded timeout which caused object to be reset.");
    }
    if (primary == SQLITE_TOOBIG && c->may_retry)
        return error_set(err, STATUS_AGAIN, rc, "too large for the fast path");
    if (primary == SQLITE_AUTH && c->transaction_refused)
        return error_set(err, STATUS_SQL, rc, "%s", c->profile == SQL_WIDE ? wide_transaction_text : transaction_text);
    if (offset >= 0)
        snprintf(at, sizeof(at), " at offset %d", offset);
    const char *more = extended != primary && (extended & 0xFF) == primary ? extended_name(extended) : NULL;
    return error_set(err, status_of(primary), extended, "%s%s: %s%s%s%s%s", sqlite3_errmsg(c->db), at,
                     primary_name(primary), more ? " (extended: " : "", more ? more : "", more ? ")" : "",
                     primary == SQLITE_FULL ? why_full(c) : "");
}
