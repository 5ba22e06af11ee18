/*
 * load.h - runs a file of SQL text on an importer's connection.
 *
 * The caller holds the transaction (store_exclusive) and rolls it back on an error, so a file is applied whole or not at
 * all. The file is read in pieces; memory holds one statement.
 */
#ifndef DIONE_STORE_LOAD_H
#define DIONE_STORE_LOAD_H

#include "sql/sql.h"
#include "store/progress.h"

struct load_result {
    uint64_t statements, rows_read, rows_written;
    int64_t changes, last_row_id, size_after;
    int64_t duration_ns;
    bool changed_db;
};

/*
 * Runs all of fd from its beginning. Blocking. Errors of a statement: SQLite's text in D1's words, then the statement's
 * number and the line that it begins in. STOPPING when cancelled.
 */
enum status load_sql(struct sql_conn *c, int fd, struct progress *p, struct load_result *ret,
                     struct error *err) MUST_CHECK;

#endif
