/*
 * server.h - the whole server in one object: loops, store, tokens, metrics, HTTP. `dione serve` runs one that listens;
 * the commands with --local run one that only they are connected to.
 */
#ifndef DIONE_CONTROL_SERVER_H
#define DIONE_CONTROL_SERVER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct asset_server;
struct loop;
struct runtime;
struct server;

/* Zero means the default. */
struct server_options {
    const char *data_dir;         /* "data" */
    const char *listen;           /* "HOST:PORT"; NULL: listen nowhere */
    const char *token;            /* the root token; NULL: the one in the data directory, made when missing */
    bool allow_plaintext;         /* listen on an address that is not loopback, without TLS */
    int64_t threads;              /* event loops; default: one a core */
    int64_t statement_timeout_ms; /* 30000 */
    int64_t request_timeout_ms;   /* 30000: to send a request */
    int64_t max_body_bytes;       /* 100 MiB */
    int64_t max_result_bytes;     /* 256 MiB */
    int64_t max_database_bytes;   /* 10 GB */
    bool runs_workers;            /* those that are deployed; needs `listen` */
    const char *workers_listen;   /* "HOST:PORT" of their public listener; NULL: as runtime.h has it */
    const char *workerd;          /* the program; NULL: found */
    int64_t worker_memory_bytes;  /* of each Worker's process; 512 MiB */
    int64_t worker_cpu_ms;        /* 30000, as runtime.h has it */
};

/* Starts everything; returns once it accepts. BUSY: another process has the data directory. Main thread. */
enum status server_start(const struct server_options *opt, struct server **ret, struct error *err) MUST_CHECK;
/* "http://HOST:PORT"; NULL when it listens nowhere. Lives as long as the server. */
const char *server_url(const struct server *s);
const char *server_token(const struct server *s);
/*
 * The Unix socket, in a private folder, over which the bindings of Workers reach the server, and the token that grants them
 * everything. Socket NULL: the server listens nowhere, or the folder could not be made (the log says why). They live as
 * long as the server. server_run_dir: that folder, for what else its Workers need; it goes with the server.
 */
const char *server_binding_socket(const struct server *s);
const char *server_binding_key(const struct server *s);
const char *server_run_dir(const struct server *s);
/* Its event loops, for what else runs on them. They end in server_stop. */
struct loop *server_loops(struct server *s, int *ret_n);
/* What runs its Workers; NULL: it runs none. */
struct runtime *server_runtime(const struct server *s);
/* Where the static assets of Workers are served from. Lives as long as the server. */
struct asset_server *server_assets(struct server *s);
/* Whether the data directory was made just now. */
bool server_is_new(const struct server *s);
/* One end of a stream socket whose other end the server serves: speaks HTTP/1.1. -1: errno says why. */
int server_connect_fd(struct server *s);
/* Lets running requests end, closes everything in order, frees. Main thread. */
void server_stop(struct server *s);

#endif
