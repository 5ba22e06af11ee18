/*
 * What Dione needs from SQLite and the public API does not give: row counts per statement, page
 * counts and header values without running SQL, and the page table for chosen connections only.
 *
 * Every function follows the rule of the connection it is called on (SQLITE_THREADSAFE=2): one
 * thread at a time. None of them keeps a pointer, none allocates for the caller. Functions that can
 * fail return an SQLite result code and write their outputs only on SQLITE_OK; they do not touch
 * sqlite3_errmsg().
 */
#ifndef DIONE_SQLITE_H
#define DIONE_SQLITE_H

#include <stdint.h>

#include "sqlite3.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Rows the statement has read and written since it was prepared or last counted with `reset`.
 * sqlite3_reset() does not clear them, a re-prepare after a schema change keeps them.
 *
 * Counts    a read for every row a cursor comes to rest on, a write for every table row and every
 *           index entry that goes in or out of a stored b-tree (temporary structures are free).
 * Outputs   either pointer may be NULL. `reset` != 0 sets both counters back to zero, also the one
 *           that was not asked for.
 */
void dione_stmt_rows(sqlite3_stmt *stmt, uint64_t *ret_read, uint64_t *ret_written, int reset);

/*
 * Size of database `main` in pages and how many of those are on the free list, as the current
 * transaction sees them, its own uncommitted changes included. Without a transaction a read one is
 * opened for the moment of the call.
 *
 * Outputs   either pointer may be NULL.
 * Errors    those of beginning a read transaction: SQLITE_BUSY (the busy handler was asked),
 *           SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_CANTOPEN, SQLITE_NOMEM.
 */
int dione_db_pages(sqlite3 *db, uint32_t *ret_pages, uint32_t *ret_free);

/* Values of the database header. Two belong to the application. The numbers are SQLite's own positions
 * in the header's table of values. */
enum dione_meta {
    DIONE_META_SCHEMA_VERSION = 1, /* read only: SQLite's own schema cookie */
    DIONE_META_USER_VERSION = 6,
    DIONE_META_APPLICATION_ID = 8,
};

/*
 * Reads a header value of database `main`; the same view and the same errors as dione_db_pages(),
 * plus SQLITE_RANGE for an index that is not in the enum.
 */
int dione_db_meta_get(sqlite3 *db, int idx, uint32_t *ret_value);

/* Whether virtual tables take part in the current transaction: those may write within COMMIT itself. */
int dione_virtual_in_transaction(sqlite3 *db);

/*
 * Writes a header value of database `main` inside the caller's write transaction; it becomes
 * durable, or is undone, with that transaction or the savepoint it stands in.
 *
 * Errors    SQLITE_MISUSE without a write transaction on `main` (BEGIN IMMEDIATE), SQLITE_RANGE for
 *           an index that is not in the enum, else SQLITE_IOERR, SQLITE_FULL, SQLITE_NOMEM.
 */
int dione_db_meta_set(sqlite3 *db, int idx, uint32_t value);

/*
 * Foreign key violations that the open transaction still owes: the ones a COMMIT would refuse.
 * Zero when there is nothing to fix, and outside a transaction.
 */
int64_t dione_deferred_fks(sqlite3 *db);

/*
 * As PRAGMA query_only, but without expiring the connection's prepared statements, so it can be
 * switched for a single request.
 */
void dione_query_only(sqlite3 *db, int on);

/*
 * Makes the table-valued sqlite_dbpage available on this connection. Other connections do not have
 * it: for them the name does not exist, as on a SQLite built without it.
 */
int dione_dbpage_enable(sqlite3 *db);

#ifdef __cplusplus
}
#endif

#endif
