/*
 * tails.h - clients that follow a Worker's events live (wrangler tail).
 *
 * POST makes a tail: from then on the Worker's events are caught. Its URL, which holds 128 random bits and needs no
 * token, takes one WebSocket at a time; events of the time without one are lost. A tail ends with DELETE, when nobody has
 * been connected for a minute, or when it expires.
 */
#ifndef DIONE_WORKERS_TAILS_H
#define DIONE_WORKERS_TAILS_H

#include "http/http.h"
#include "workers/runtime.h"

struct tails;

enum { TAIL_ID_LEN = 32, TAILS_PER_WORKER = 10, TAIL_LIFE_MS = 6 * 3600 * 1000, TAIL_ALONE_MS = 60 * 1000 };

struct tail_info {
    char id[TAIL_ID_LEN + 1];
    int64_t expires_ms; /* wall clock */
};

struct tails *tails_new(struct runtime *rt);
/* Ends all; nobody may begin one any more. Before the runtime is closed. Blocking. */
void tails_stop(struct tails *t);
/* After the loops have ended. NULL is fine. */
void tails_free(struct tails *t);

/* `filters`: the array of the API as JSON, or absent. NOTFOUND: the Worker does not run. INVALID, RATE. Blocking. */
enum status tails_begin(struct tails *t, struct slice worker, struct slice filters, struct tail_info *ret,
                        struct error *err) MUST_CHECK;
/* NOTFOUND. Blocking. */
enum status tails_end(struct tails *t, struct slice worker, struct slice id, struct error *err) MUST_CHECK;
/* All tails of the Worker, which goes. Blocking. */
void tails_end_all(struct tails *t, struct slice worker);
/* The newest of the Worker. False: none. Any thread. */
bool tails_newest(struct tails *t, struct slice worker, struct tail_info *ret);
/* Ends what is too old. Now and then. Blocking. */
void tails_sweep(struct tails *t);

/* Takes the connection of a request that asks for a tail by params[0]; answers when it cannot. Loop thread. */
void tails_connect(struct tails *t, struct http_request *req);

#endif
