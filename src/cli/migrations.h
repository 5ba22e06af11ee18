/* migrations.h - what other commands ask about the migrations of a database. */
#ifndef DIONE_CLI_MIGRATIONS_H
#define DIONE_CLI_MIGRATIONS_H

#include "cli/session.h"

/*
 * How many migrations of `database` (a name, id or binding of the configuration) are not applied yet. Changes nothing but
 * that a configured database comes to life, see database_find. A project without a migrations folder has none.
 */
enum status migrations_count_pending(struct session *s, const char *database, size_t *ret, struct error *err) MUST_CHECK;
/* The folder they lie in, whether it is there or not. The caller frees it. */
enum status migrations_folder(const struct config *config, const char *database, char **ret,
                              struct error *err) MUST_CHECK;

#endif
