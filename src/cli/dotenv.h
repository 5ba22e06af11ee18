/*
 * dotenv.h - reads .dev.vars and .env files as the dotenv package does, which wrangler uses.
 *
 * KEY=VALUE a line, `export` before it allowed, # starts a comment. A value in single quotes, double quotes or back
 * quotes may hold # and line ends; only in double quotes do \n and \r mean what they say. Pure functions; any thread.
 */
#ifndef DIONE_CLI_DOTENV_H
#define DIONE_CLI_DOTENV_H

#include "base/arena.h"
#include "base/slice.h"

struct dotenv_entry {
    struct slice key, value;
    struct dotenv_entry *next;
};

struct dotenv {
    struct dotenv_entry *first, *last; /* in the order of the file; a key that comes again replaces the value */
    size_t unread_line;                /* the first line that says nothing we know, counted from 1; 0: none */
};

/*
 * Adds what `text` says to *ret. Entries live in `a` and may point into `text`. Aborts when memory runs out: for the
 * command line.
 */
void dotenv_parse(struct slice text, struct arena *a, struct dotenv *ret);
/*
 * Replaces $NAME, ${NAME} and ${NAME:-default} in the values, from the entries themselves, as .env files have it. False: they
 * refer to each other so that a value grows beyond 1 MiB or 10,000 references.
 */
bool dotenv_expand(struct dotenv *d, struct arena *a) MUST_CHECK;
/* The entry of that key, or NULL. */
struct dotenv_entry *dotenv_find(const struct dotenv *d, struct slice key);

#endif
