/*
 * proxy.h - the public listener: carries HTTP/1.1 requests to Workers and their answers back, as streams both ways, and
 * passes upgraded connections (WebSocket) through.
 *
 * A connection belongs to one of the server's loops for life. Bodies are never collected: each side is read as fast as
 * the other takes it. A request that reaches a Worker whose process is being restarted waits; one whose process died
 * under it is sent again when that is harmless (GET, HEAD and OPTIONS without a body) and is answered with 502 otherwise.
 */
#ifndef DIONE_WORKERS_PROXY_H
#define DIONE_WORKERS_PROXY_H

#include "workers/directory.h"
#include "workers/runtime.h"

struct proxy;

struct proxy_options {
    struct loop *loops;
    int n_loops;
    struct directory *directory;
    struct target *binding; /* Dione's own server, for assets; NULL: none */
    size_t max_files;       /* connections to clients and to Workers together; the databases' server needs some, too */
    const char *only_worker;
    bool test_scheduled;
    void *arg;
    enum asset_choice (*choose_asset)(void *arg, const struct asset_question *q);
    void (*on_access)(void *arg, const struct runtime_access *access);
    /* Runs a cron and calls `done` (any thread, once). `outcome`: "ok", ...; NULL: it failed, err says why. */
    void *cron_arg;
    void (*run_cron)(void *cron_arg, struct slice worker, struct slice cron, int64_t scheduled_ms,
                     void (*done)(void *done_arg, const char *outcome, const struct error *err), void *done_arg);
};

struct proxy *proxy_new(const struct proxy_options *opt);
/* Takes fd, a listening TCP socket, and accepts from then on. Any thread, once. */
void proxy_listen(struct proxy *p, int fd, int port);
/* Closes the idle connections to a target that is retired. Any thread. */
void proxy_close_idle(struct proxy *p, struct target *t);
/* Stops accepting, and lets requests end for at most grace_ms. Blocks. */
void proxy_drain(struct proxy *p, int64_t grace_ms);
/* After proxy_drain: closes what is left. Blocks until nothing is. */
void proxy_close(struct proxy *p);
/* After the loops have ended. */
void proxy_free(struct proxy *p);

#endif
