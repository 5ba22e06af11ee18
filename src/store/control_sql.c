/* control_sql.c - see control_sql.h. */
#include "store/control_sql.h"

#include <stdio.h>

enum status control_error(sqlite3 *db, struct error *err)
{
    int rc = sqlite3_extended_errcode(db);

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return error_set(err, STATUS_FULL, rc, "control database: %s", sqlite3_errmsg(db));
    case SQLITE_NOMEM:
        return error_set(err, STATUS_NOMEM, rc, "control database: %s", sqlite3_errmsg(db));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(err, STATUS_CORRUPT, rc, "control database: %s", sqlite3_errmsg(db));
    default:
        return error_set(err, STATUS_IO, rc, "control database: %s", sqlite3_errmsg(db));
    }
}

enum status control_exec(sqlite3 *db, const char *text, struct error *err)
{
    return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK : control_error(db, err);
}

enum status control_prepare(sqlite3 *db, const char *text, sqlite3_stmt **ret, struct error *err)
{
    return sqlite3_prepare_v2(db, text, -1, ret, NULL) == SQLITE_OK ? STATUS_OK : control_error(db, err);
}

enum status control_step(sqlite3_stmt *stmt, bool *ret_has_row, struct error *err)
{
    int rc = sqlite3_step(stmt);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return control_error(sqlite3_db_handle(stmt), err);
    *ret_has_row = rc == SQLITE_ROW;
    return STATUS_OK;
}

enum status control_run(sqlite3_stmt *stmt, struct error *err)
{
    bool has_row;
    enum status st = control_step(stmt, &has_row, err);

    sqlite3_reset(stmt);
    return st;
}

void control_finish(sqlite3_stmt **stmt)
{
    sqlite3_finalize(*stmt);
}

void control_column_text(sqlite3_stmt *stmt, int column, char *ret, size_t cap)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);

    snprintf(ret, cap, "%s", text ? (const char *)text : "");
}
