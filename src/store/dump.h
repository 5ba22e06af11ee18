/*
 * dump.h - a database as SQL text, as D1's export writes it, but of every database.
 *
 * Where D1's text would lose something, ours differs: integers are exact, reals stay reals, text that a literal cannot hold
 * comes as CAST(X'..' AS TEXT), rowids are written where they are not 1, 2, 3, ..., and FTS5 and R*Tree tables are there.
 * Loading the text into an empty database gives the same database.
 */
#ifndef DIONE_STORE_DUMP_H
#define DIONE_STORE_DUMP_H

#include "sql/sql.h"
#include "store/progress.h"

struct dump_options {
    bool no_schema, no_data;
    const struct slice *tables; /* names to export; n_tables 0: everything */
    size_t n_tables;
};

/*
 * Writes the dump to fd from its current position. `c` must be inside a read transaction when the dump is to be of one
 * moment. Blocking. Errors: those of the SQL (also for a name in `tables` that nothing has), IO or FULL of the file, STOPPING when cancelled; the file is then incomplete.
 */
enum status dump_write(struct sql_conn *c, const struct dump_options *opt, int fd, struct progress *p,
                       struct error *err) MUST_CHECK;

#endif
