/*
 * control_sql.h - statements on the control database, for the functions that store_control runs. Our own fixed text only.
 */
#ifndef DIONE_STORE_CONTROL_SQL_H
#define DIONE_STORE_CONTROL_SQL_H

#include "base/error.h"
#include "base/slice.h"

#include <sqlite3.h>

/* The last error of db, as "control database: ...". */
enum status control_error(sqlite3 *db, struct error *err);
/* Runs all statements of text. */
enum status control_exec(sqlite3 *db, const char *text, struct error *err) MUST_CHECK;
enum status control_prepare(sqlite3 *db, const char *text, sqlite3_stmt **ret, struct error *err) MUST_CHECK;
/* The next row, if there is one. */
enum status control_step(sqlite3_stmt *stmt, bool *ret_has_row, struct error *err) MUST_CHECK;
/* Runs a statement that gives no rows, and makes it ready to be bound and run again. */
enum status control_run(sqlite3_stmt *stmt, struct error *err) MUST_CHECK;
/* For CLEANUP. */
void control_finish(sqlite3_stmt **stmt);

/* Copies the text of a column, cut to `cap` - 1 bytes; "" for NULL. */
void control_column_text(sqlite3_stmt *stmt, int column, char *ret, size_t cap);
static inline void control_bind_slice(sqlite3_stmt *stmt, int param, struct slice s)
{
    sqlite3_bind_text(stmt, param, s.ptr ? s.ptr : "", (int)s.len, SQLITE_STATIC);
}
/* NULL for 0, as times have it. */
static inline void control_bind_time(sqlite3_stmt *stmt, int param, int64_t ms)
{
    if (ms)
        sqlite3_bind_int64(stmt, param, ms);
    else
        sqlite3_bind_null(stmt, param);
}

#endif
