/* ask.h - one small HTTP request over a Unix socket, for what Dione itself asks of a Worker's process. Loop thread. */
#ifndef DIONE_WORKERS_ASK_H
#define DIONE_WORKERS_ASK_H

#include "base/slice.h"
#include "event/loop.h"

struct ask_options {
    struct loop *loop;
    const char *path;  /* of the socket */
    struct slice body; /* sent with POST; absent: GET */
    int64_t timeout_ms;
    /* Once, never from within ask_start. status 0: it failed, `why` says how. */
    void (*done)(void *arg, int status, struct slice body, const char *why);
    void *arg;
};

void ask_start(const struct ask_options *opt);

#endif
