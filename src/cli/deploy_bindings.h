/* deploy_bindings.h - a project's bindings as an upload names them. */
#ifndef DIONE_CLI_DEPLOY_BINDINGS_H
#define DIONE_CLI_DEPLOY_BINDINGS_H

#include "cli/form.h"
#include "cli/project.h"
#include "cli/remote_worker.h"

/* NOTIMPL, naming the binding: Dione has nothing like it. Nothing is sent. */
enum status deploy_check_bindings(const struct project *p, struct error *err) MUST_CHECK;
/*
 * Appends the JSON objects of all bindings to `list`, commas between them. Databases and namespaces without an id are those
 * that the Worker has already, or are found by name, or made, as wrangler does. Files that bindings name become parts of
 * `form`.
 */
enum status deploy_add_bindings(struct project *p, struct session *s, const struct remote_worker *w, struct buf *list,
                                struct form *form, struct error *err) MUST_CHECK;
/* The opening of one: {"name":...,"type":... ; the caller adds members and the brace. */
void deploy_open_binding(struct buf *list, struct slice name, const char *type);
/* Lines for people: "env.DB (D1 database) guestbook-db". */
void deploy_print_bindings(struct project *p);

#endif
