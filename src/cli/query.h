/* query.h - sending SQL and showing what came back. */
#ifndef DIONE_CLI_QUERY_H
#define DIONE_CLI_QUERY_H

#include "cli/session.h"

/*
 * How rows come back. Objects are what programs get from wrangler --json; arrays keep two columns of one name
 * apart and name the columns of an empty result, so they are what tables are drawn from.
 */
enum query_form { QUERY_OBJECTS, QUERY_ARRAYS };

/* `sql` may hold several statements: one atomic batch. `param` is bound as text when present. */
enum status query_send(struct session *s, const struct database *d, enum query_form form, struct slice sql,
                       struct slice param, struct api_answer *ret, struct error *err) MUST_CHECK;

/*
 * Says in err which statement of `sql` failed, and in which line, when there are several and the server knows:
 * " (statement 2, line 4)" behind the text. Right after a query_send that failed.
 */
void query_name_failed(const struct session *s, struct slice sql, struct error *err);

/* A table per statement that has columns; `answer` is of QUERY_ARRAYS. */
void query_print_tables(const struct api_answer *answer);
/* RFC 4180, with a heading line per statement; NULL is empty, a blob is its hex digits. QUERY_ARRAYS. */
void query_print_csv(const struct api_answer *answer);
/* The result array as JSON, laid out. */
void query_print_json(const struct api_answer *answer);
/* "Executed 2 commands in 0.31 ms (5 rows read, 0 rows written)", as a note. */
void query_print_summary(const struct api_answer *answer);

/* Draws an array of objects: a column for every key that occurs, in the order of first occurrence. */
void print_objects(const struct json *array);

/* "name" with its quotes doubled, 'text' likewise. */
void sql_append_identifier(struct buf *sql, struct slice name);
void sql_append_text(struct buf *sql, struct slice text);

#endif
