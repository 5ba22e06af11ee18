/* limits.c - the numbers of the two profiles (see docs/d1-compatibility.md for where each comes from). */
#include "sql/internal.h"

/* An import must be able to take back what an export wrote: a value in hex is twice its size. */
enum { IMPORT_SQL_BYTES = 600 * 1000 * 1000 };

static const struct {
    int id, strict, wide;
} limits[] = {
    { SQLITE_LIMIT_LENGTH, 8 * 1024 * 1024 + 34, 256 * 1024 * 1024 },
    { SQLITE_LIMIT_SQL_LENGTH, 100000, 64 * 1024 * 1024 },
    { SQLITE_LIMIT_COLUMN, 100, 2000 },
    { SQLITE_LIMIT_EXPR_DEPTH, 100, 1000 },
    { SQLITE_LIMIT_COMPOUND_SELECT, 5, 500 },
    { SQLITE_LIMIT_VDBE_OP, 250000, 250000000 },
    { SQLITE_LIMIT_FUNCTION_ARG, 127, 127 },
    { SQLITE_LIMIT_ATTACHED, 0, 0 },
    { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50, 50000 },
    { SQLITE_LIMIT_VARIABLE_NUMBER, 100, 32766 },
    { SQLITE_LIMIT_TRIGGER_DEPTH, 10, 1000 },
    { SQLITE_LIMIT_WORKER_THREADS, 0, 0 },
};

void limits_apply(struct sql_conn *c)
{
    if (c->role == SQL_INTERNAL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        sqlite3_limit(c->db, limits[i].id, c->profile == SQL_STRICT ? limits[i].strict : limits[i].wide);
    if (c->role == SQL_IMPORTER)
        sqlite3_limit(c->db, SQLITE_LIMIT_SQL_LENGTH, IMPORT_SQL_BYTES);
}
