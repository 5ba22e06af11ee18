/* entries.h - statements with their parameters, out of a request's JSON. */
#ifndef DIONE_D1_ENTRIES_H
#define DIONE_D1_ENTRIES_H

#include "store/store.h"

/*
 * Fills r->entries from {"sql":"...","params":[...]} or an array of such objects. What the entries point to is in the arena
 * or in the JSON. INVALID: says what is wrong, calling the array `name`.
 */
enum status entries_take(const struct json *v, const char *name, struct arena *a, struct sql_request *r,
                         struct error *err) MUST_CHECK;

#endif
