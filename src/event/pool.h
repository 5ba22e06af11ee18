/*
 * pool.h - threads that may block.
 *
 * A pool runs jobs in the order they came, on up to `max_threads` threads that start when needed and leave when they
 * have been idle for a while. There are several pools (lanes), so that slow reads never keep writes from a thread.
 */
#ifndef DIONE_EVENT_POOL_H
#define DIONE_EVENT_POOL_H

#include "base/attrs.h"

struct pool;

/* Embedded in what the job is about. The pool does not touch it again once run() was entered, so run() may free it. */
struct job {
    void (*run)(struct job *job);
    struct job *next;
};

struct pool_options {
    const char *name; /* of its threads; at most 12 characters */
    int max_threads;
    int idle_ms; /* before an idle thread leaves; 0: ten seconds */
    int nice;    /* added to the threads' niceness: work that must not slow the loops down */
};

/* Never NULL: running out of memory at start-up ends the process. */
struct pool *pool_new(const struct pool_options *opt);
/* Waits until every job that was submitted has run, then frees the pool. Nobody may submit any more. */
void pool_free(struct pool *p);
/* Any thread. The job belongs to the pool until run() is entered. */
void pool_submit(struct pool *p, struct job *job);

#endif
