/*
 * literal.h - names and values as SQL text that reads back as exactly what it was, type included.
 *
 * The forms are those of D1's export where these lose nothing. Appending to an overflowed buf does nothing, as
 * everywhere. Any thread; pure but for literal_column.
 */
#ifndef DIONE_SQL_LITERAL_H
#define DIONE_SQL_LITERAL_H

#include "base/buf.h"

struct sqlite3_stmt;

/* "a""b" */
void literal_name(struct buf *b, struct slice name);
/* X'00ff' */
void literal_blob(struct buf *b, struct slice bytes);
/* 'it''s', with replace() around it where there are line ends; CAST(X'..' AS TEXT) where no literal can hold it. */
void literal_text(struct buf *b, struct slice s);
/* `column_is_real`: it goes into a column of REAL affinity, where 1 may stand for 1.0. Infinities are 9e999. */
void literal_real(struct buf *b, double v, bool column_is_real);
/* Column i of the row that stmt stands on. */
void literal_column(struct buf *b, struct sqlite3_stmt *stmt, int i, bool column_is_real);

#endif
