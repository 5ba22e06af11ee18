/* print.h - what the commands say on standard output, and the questions they ask. */
#ifndef DIONE_CLI_PRINT_H
#define DIONE_CLI_PRINT_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Appends JSON text laid out as JSON.stringify(value, null, 2) does. `text` is well-formed JSON; strings and
 * numbers are kept as written.
 */
void json_indent(struct slice text, struct buf *out);
/* The same to standard output, with a newline. */
void print_json(struct slice text);

/* To standard output, up to its end or to Ctrl-C. */
void print_text(struct slice text);

/* A remark for people: standard error, so that piped output holds nothing but results. */
void print_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

/*
 * Asks for y or n on the terminal. Without one, n or no on standard input refuses; else *ret is `unattended`, and the
 * note says so.
 * STOPPING: Ctrl-C.
 */
enum status ask(const char *question, bool unattended, bool *ret, struct error *err) MUST_CHECK;
/* Asks for something that is not shown while it is typed; appends the line. INVALID: no terminal. STOPPING: Ctrl-C. */
enum status ask_secret(const char *prompt, struct buf *ret, struct error *err) MUST_CHECK;

#endif
