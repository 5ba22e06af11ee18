/* collect.h - statistics on demand: for questions that want to see what ran a moment ago. */
#ifndef DIONE_STORE_COLLECT_H
#define DIONE_STORE_COLLECT_H

#include "store/store.h"

/*
 * Hands out (store_options.on_stats) what `db`, or every open database when it is NULL, has used up to now; without it,
 * statistics come about a second late. Statements that still run, and those of an open interactive transaction, come
 * later. Blocking; not from a loop.
 */
void store_collect_now(struct store *s, struct database *db);

#endif
