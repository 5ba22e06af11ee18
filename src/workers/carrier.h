/*
 * carrier.h - a client's connection and the upstream connection of its current request. Private to the proxy.
 *
 * States of a carrier (carrier_move is the only writer):
 *
 *     IDLE --first byte--> HEAD --end of head--> CARRYING --answer over--> IDLE | LINGER
 *                            \                      \--101--> SPLICED
 *                             \--refused--> ANSWERED --------------------> IDLE | LINGER --> CLOSED
 *
 * CARRYING has an upstream; ANSWERED waits for an answer that Dione itself gives. LINGER, to which IDLE and HEAD may go
 * as well, ends when the client has what is queued for it. Any state goes to CLOSED.
 */
#ifndef DIONE_WORKERS_CARRIER_H
#define DIONE_WORKERS_CARRIER_H

#include "base/buf.h"
#include "workers/peer.h"
#include "workers/proxy.h"

#include <llhttp.h>
#include <netinet/in.h>
#include <semaphore.h>

enum { CARRIER_MAX_HEADERS = 128, CARRIER_MAX_HEAD_BYTES = 128 * 1024 };

struct span {
    uint32_t at, len; /* in a buf that may move */
};

struct header_spans {
    struct span name, value;
};

/* Collects the head of a message while the parser reports it in pieces. */
struct head_reader {
    struct buf bytes;
    struct span start; /* request target, or reason phrase */
    struct header_spans headers[CARRIER_MAX_HEADERS];
    size_t n_headers;
    bool in_value, too_large;
};

void head_clear(struct head_reader *h);
bool head_add_start(struct head_reader *h, const char *at, size_t len);
bool head_add_name(struct head_reader *h, const char *at, size_t len);
bool head_add_value(struct head_reader *h, const char *at, size_t len);
/* Also behind an empty value, for which no bytes are reported: what comes next is another name. */
static inline void head_end_value(struct head_reader *h)
{
    h->in_value = true;
}
static inline struct slice head_slice(const struct head_reader *h, struct span s)
{
    return slice_of(h->bytes.ptr + s.at, s.len);
}
/* By case-insensitive name; the absent slice when there is none. */
struct slice head_find(const struct head_reader *h, const char *name);
/* Whether a header is about this connection alone and must not be passed on. Does not count Upgrade as such. */
bool head_is_hop_by_hop(const struct head_reader *h, struct slice name);

enum carrier_state {
    CARRIER_IDLE,
    CARRIER_HEAD,
    CARRIER_CARRYING,
    CARRIER_ANSWERED,
    CARRIER_SPLICED,
    CARRIER_LINGER,
    CARRIER_CLOSED
};

struct upstream;
struct by_hand;

struct carrier {
    struct peer peer;
    struct carrier *prev, *next; /* in proxy_share.carriers */
    struct proxy_share *share;
    enum carrier_state state;
    struct sockaddr_storage address; /* of the client */
    int64_t deadline_ms;             /* loop time; 0: none */
    llhttp_t parser;
    struct head_reader head;
    struct buf pending; /* bytes behind the current request, which wait for its answer */
    size_t pending_at;  /* what is before has been taken */
    bool peer_done;     /* the client closed its side */
    bool parsing;
    bool head_complete, request_complete;
    uint64_t stalled_at; /* bytes that had gone to the client at the last tick */
    int64_t stalled_since_ms;

    /* the request */
    struct directory_hit hit;
    struct target *target; /* counted as in flight there; its reference is ours */
    struct upstream *up;
    struct by_hand *by_hand; /* ANSWERED only */
    struct buf out;          /* to the upstream: the head, kept while the request may be sent again */
    int64_t started_ns;
    int attempts;
    int status;
    bool keep_alive, is_http10, is_head, wants_upgrade, chunked_body, has_body, can_repeat;
    bool answer_begun; /* bytes of the answer have gone to the client */
};

struct upstream {
    struct peer peer;
    struct upstream *prev, *next;           /* in proxy_share.upstreams */
    struct upstream *idle_prev, *idle_next; /* in target->idle[loop] */
    struct proxy_share *share;
    struct target *target;   /* a reference */
    struct carrier *carrier; /* NULL: idle, or on its way out */
    llhttp_t parser;
    struct head_reader head;
    int64_t idle_since_ms;
    bool is_idle;
    bool interim; /* the head just read was a 1xx one */
    bool answer_begun, answer_complete, chunk_answer, switched;
};

struct proxy_share {
    struct loop *loop;
    struct proxy *proxy;
    struct carrier *carriers;
    struct upstream *upstreams;
    size_t n_open; /* of both */
    bool draining;
    uv_timer_t tick;
    struct buf scratch; /* what goes to a client, gathered during one read */
    char receive[64 * 1024];
};

struct proxy {
    struct proxy_options opt;
    struct proxy_share *shares;
    int listen_fd;
    char port[8];          /* ":8787", for people */
    uv_poll_t accept_poll; /* loop 0 */
    bool accepting, accept_paused;
    _Atomic size_t n_files; /* open connections, to clients and to Workers */
    unsigned next_loop;
    _Atomic size_t n_open_shares;
    sem_t drained;
};

/* ---- carrier.c: the client's side ---- */

/* Takes fd. */
void carrier_open(struct proxy_share *share, int fd);
void carrier_close(struct carrier *c);
void carrier_tick(struct carrier *c, int64_t now_ms);
void carrier_drain(struct carrier *c);
/* A request is on its way to an upstream, or waits for an answer of Dione itself. */
void carrier_carry(struct carrier *c);
void carrier_wait(struct carrier *c);
/* Answers for Dione itself: plain text, with a newline behind it. The request must not have been answered. */
void carrier_answer(struct carrier *c, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The upstream has more to say than the client takes right now, or it takes again. */
void carrier_on_up_drained(struct carrier *c);
/* The answer is over; `reusable`: the upstream connection may serve another request. */
void carrier_on_answer_end(struct carrier *c, bool reusable);
/* The upstream connection was lost before the answer was over. */
void carrier_on_up_lost(struct carrier *c);
/* The upstream switched protocols: from now on both sides are spliced; `data` came behind its head. */
void carrier_on_switch(struct carrier *c, const char *data, size_t len);
void carrier_count_sign(struct carrier *c);

/* ---- request.c: from a client's head to an upstream ---- */

/* The head of the request is complete. Routes it, and gives it to an upstream or refuses it. */
void request_begin(struct carrier *c);
/* Sends the kept head to a fresh upstream. False: refused. */
bool request_send_again(struct carrier *c);
/* Ends the accounting of a request. */
void request_end(struct carrier *c);

/* ---- by_hand.c: crons by hand, for `dione dev` ---- */

/* Whether the request asks for a cron: then it is answered, or waits for it. */
bool by_hand_take(struct carrier *c, struct slice target);
/* The request is over: the cron's end is of no interest any more. */
void by_hand_forget(struct carrier *c);

/* ---- upstream.c ---- */

/* An idle connection or a new one. NULL: *ret_errno says why. */
struct upstream *upstream_take(struct carrier *c, bool fresh, int *ret_errno);
/* Ends its request: kept when `reusable`, closed otherwise. */
void upstream_give_back(struct upstream *u, bool reusable);
void upstream_close(struct upstream *u);
void upstream_close_idle(struct proxy_share *share, struct target *t);
void upstream_tick(struct upstream *u, int64_t now_ms);

/* When the last connection of a draining share is gone. In proxy.c. */
void proxy_share_check_empty(struct proxy_share *share);

#endif
