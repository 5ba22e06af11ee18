/*
 * source_map.h - from a place in a bundle back to the place in the file it was made from (source map, revision 3).
 *
 * workerd knows only the bundle, so its stack traces name lines of that. Reads what esbuild writes: one section, names
 * ignored.
 */
#ifndef DIONE_CLI_SOURCE_MAP_H
#define DIONE_CLI_SOURCE_MAP_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>

struct source_map;

/* NULL: no such file, or no source map. The result is the caller's to free. */
struct source_map *source_map_read(const char *path);
struct source_map *source_map_parse(struct slice text);
void source_map_free(struct source_map *m); /* NULL is fine */

struct source_place {
    struct slice file;     /* as the map has it; lives as long as the map */
    uint32_t line, column; /* from 1 */
};

/* Line and column count from 1. False: nothing of the project's is there. */
bool source_map_find(const struct source_map *m, uint32_t line, uint32_t column, struct source_place *ret);
/*
 * Appends a line of output. In one of a stack trace ("    at name (index.js:10:5)") the place is translated; `m` may be
 * NULL: then none is.
 */
void source_map_append_translated(const struct source_map *m, struct slice line, struct buf *out);

#endif
