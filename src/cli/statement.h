/*
 * statement.h - SQL text as it is typed: where a statement ends, what a line leaves open.
 *
 * Whether a text is complete is SQLite's own question (sqlite3_complete knows triggers); the rest is here.
 * Pure functions.
 */
#ifndef DIONE_CLI_STATEMENT_H
#define DIONE_CLI_STATEMENT_H

#include "base/slice.h"

enum sql_state {
    SQL_PLAIN,
    SQL_IN_QUOTE,   /* '...', "...", `...` or [...] */
    SQL_IN_COMMENT, /* the kind that ends by itself: slash, star */
};

struct sql_scan {
    enum sql_state state; /* at the end of the text */
    bool has_text;        /* there is more than white space and comments */
    bool has_comment;
};

struct sql_scan sql_scan(struct slice text);
/* Whether the text can run: it ends in ';', outside of quotes, comments and trigger bodies. NUL-terminated. */
bool sql_is_complete(const char *text);
/* The length of the first statement up to and with its ';'; 0: none is complete. `text` is as before afterwards. */
size_t sql_first_statement(char *text);
/* The line, from 1, on which statement `number` (from 1) begins; 0: there are fewer. Comments are no statements. */
size_t sql_line_of(struct slice text, size_t number);

#endif
