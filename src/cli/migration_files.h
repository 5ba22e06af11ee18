/*
 * migration_files.h - the files of a migrations folder, found and ordered as wrangler does it.
 */
#ifndef DIONE_CLI_MIGRATION_FILES_H
#define DIONE_CLI_MIGRATION_FILES_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct migration_files {
    char **names; /* relative to the folder, "0001_start.sql"; in the order they apply */
    size_t n;
};

/*
 * The files below `folder` that match `pattern`, a shell pattern relative to it: "*.sql", or one that goes
 * through folders, as drizzle's layout needs. By the number before the first '_', then by name; names without
 * a number come last. NOTFOUND: the folder does not exist.
 */
enum status migration_files_find(const char *folder, const char *pattern, struct migration_files *ret,
                                 struct error *err) MUST_CHECK;
void migration_files_release(struct migration_files *f);

/* The number before the first '_', as parseInt reads it; -1: there is none. */
int64_t migration_number(const char *name);

#endif
