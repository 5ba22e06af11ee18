/*
 * entrypoints.h - which named exports of a Worker need sockets of their own, since others are bound to them. Private to
 * the runtime.
 *
 * A wish lasts as long as a deployed Worker, or one that is being deployed, has such a binding; wishes are counted.
 */
#ifndef DIONE_WORKERS_ENTRYPOINTS_H
#define DIONE_WORKERS_ENTRYPOINTS_H

#include "workers/process.h"
#include "workers/spec.h"

enum { ENTRYPOINTS_MAX = PROCESS_MAX_SOCKETS - 2 }; /* beside "http" and "cron" */

/* Names; zeroed it has none. */
struct entrypoints {
    struct slice names[ENTRYPOINTS_MAX]; /* each owned */
    size_t n;
};

/* The name is copied; one that is there already is not added again. False: there are too many. */
bool entrypoints_add(struct entrypoints *e, struct slice name);
bool entrypoints_have(const struct entrypoints *e, struct slice name);
/* Takes out those that workerd, in its words for a start that failed, says the script does not export. True: any. */
bool entrypoints_remove_missing(struct entrypoints *e, const char *words);
/* It is empty afterwards. */
void entrypoints_clear(struct entrypoints *e);

struct runtime;

/* All that spec is bound to; LIMIT: one of them would have too many, and nothing is taken. Any thread. */
enum status wishes_take(struct runtime *rt, const struct worker_spec *spec, struct error *err) MUST_CHECK;
void wishes_drop(struct runtime *rt, const struct worker_spec *spec);
/* Adds what others wish of this Worker. */
void wishes_collect(struct runtime *rt, const char *worker, struct entrypoints *ret);
/* Whether this binding of spec's needs a socket of another Worker. */
bool wishes_binding(const struct worker_spec *spec, const struct worker_binding *b);
/* At the end. */
void wishes_clear(struct runtime *rt);

#endif
