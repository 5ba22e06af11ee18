/*
 * target.h - where the proxy sends requests: a Unix socket, what it needs to know about who is behind it, and the idle
 * connections to it. One target for each started version of a Worker, one for Dione's own binding socket.
 *
 * The socket outlives the process behind it: while that is being restarted, connections wait in the backlog.
 * Counted references; counters and state are atomics that any thread reads.
 */
#ifndef DIONE_WORKERS_TARGET_H
#define DIONE_WORKERS_TARGET_H

#include "event/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/un.h>

struct upstream;

enum target_state {
    TARGET_UP,
    TARGET_DOWN, /* being restarted: requests wait for a while */
};

struct target {
    _Atomic int refs;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char *inject; /* header lines for each request, each with its CRLF; NULL: none. Owned */
    _Atomic int state;
    _Atomic int64_t down_since_ms; /* monotonic */
    const char *_Atomic why_down;  /* static text for people: "crashed", "exceeded its memory limit", ... */
    _Atomic int64_t
        limit_hit_ms; /* monotonic: when it was ended for a limit, with why_down; requests before count as the cause */
    _Atomic bool retired;        /* connections are not kept */
    _Atomic int64_t n_in_flight; /* requests under way */
    _Atomic uint64_t n_requests;
    _Atomic uint64_t n_signs;    /* of life: pieces of answers that came from it */
    _Atomic int64_t last_end_ms; /* monotonic: when the last request ended */
    int n_loops;
    struct upstream *idle[]; /* of loop i, touched by its thread only */
};

/* One reference is the caller's. NULL: out of memory, or the path is too long. */
struct target *target_new(const char *path, int n_loops) MUST_CHECK;
struct target *target_ref(struct target *t);
/* NULL is fine. When the last one goes, no loop has a connection to it any more. */
void target_unref(struct target *t);

#endif
