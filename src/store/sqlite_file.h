/*
 * sqlite_file.h - a database as the plain SQLite file that any tool opens.
 *
 * Pages are copied, not rows: rowids, free pages and the layout of FTS5 indexes stay as they are.
 */
#ifndef DIONE_STORE_SQLITE_FILE_H
#define DIONE_STORE_SQLITE_FILE_H

#include "sql/sql.h"
#include "store/progress.h"

enum { SQLITE_FILE_MAGIC_LEN = 16 };

/* Whether the first bytes of a file are those of an SQLite database. */
bool sqlite_file_is(struct slice head);

/*
 * Writes what c's open read transaction sees to a new file at `path`: rollback journal mode, user_version and
 * application_id 0 (the store keeps its commit number there). Blocks no writer. STOPPING: cancelled. On an error the
 * file is removed.
 */
enum status sqlite_file_write(struct sql_conn *c, const char *path, struct progress *p, struct error *err) MUST_CHECK;

/*
 * Makes the file at `path`, which is ours to change, ready for sqlite_file_apply: checks it whole, and gives it 4 KiB
 * pages. SQL: not a database, damaged, or with something in it that cannot be served; the text says what.
 */
enum status sqlite_file_check(const char *path, struct progress *p, struct error *err) MUST_CHECK;

/*
 * Replaces everything that c's database holds with the checked file, inside c's open write transaction; the store's
 * commit number stays. c must be closed behind that transaction: what it knows of the schema is no longer true.
 */
enum status sqlite_file_apply(struct sql_conn *c, const char *path, struct progress *p, int64_t *ret_size,
                              struct error *err) MUST_CHECK;

#endif
