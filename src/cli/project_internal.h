/* project_internal.h - what the parts of project.c share. */
#ifndef DIONE_CLI_PROJECT_INTERNAL_H
#define DIONE_CLI_PROJECT_INTERNAL_H

#include "cli/project.h"

/* A copy in the project's arena. */
struct slice project_keep(struct project *p, struct slice s);
/* Zeroed memory of the arena. */
void *project_alloc(struct project *p, size_t n, size_t size);
/* The path, absolute: it starts at `folder` unless it is absolute already; "." and ".." are worked out. */
struct slice project_path(struct project *p, struct slice folder, struct slice path);
/* INVALID, or `st`, with the file's name before it. */
enum status project_invalid(const struct project *p, struct error *err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Fills p->bindings from the configuration and --var. */
enum status project_read_bindings(struct project *p, const struct option_list *vars, struct error *err) MUST_CHECK;
/* Adds them to the bindings. INVALID: a name is taken by something that is no variable. */
enum status project_add_secrets(struct project *p, const struct dotenv *secrets, struct error *err) MUST_CHECK;

#endif
