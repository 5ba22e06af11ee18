/*
 * conn.h - one connection: bytes in, requests out, answers in order. Private to src/http.
 *
 * States (conn_move is the only writer):
 *
 *     IDLE --first byte--> HEAD --end of head--> BODY --end of body--> BUSY --http_respond--> SENDING --sent--> IDLE
 *                            \________________________ an early answer ______________________^   \
 *                                                                            not kept alive: LINGER --> CLOSED
 *
 * From BUSY a handler may open a TUNNEL: the connection has left HTTP, and its bytes go to who opened it.
 * BUSY means that a handler has the request. LINGER drains what the client still sends, so that it reads our answer
 * instead of a reset. Any state goes to CLOSED when the peer is lost; memory is freed when no handler has the request.
 */
#ifndef DIONE_HTTP_CONN_H
#define DIONE_HTTP_CONN_H

#include "http/burst.h"
#include "http/http.h"

#include <llhttp.h>

enum conn_state { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_BUSY, CONN_SENDING, CONN_TUNNEL, CONN_LINGER, CONN_CLOSED };

struct loop_share; /* what the connections of one loop have in common */
struct file_answer;
struct conn;

/* The owner of a connection that has left HTTP. Loop thread. */
struct conn_tunnel {
    void (*on_data)(struct conn *c, struct slice data);
    void (*on_deadline)(struct conn *c); /* that was set with conn_set_deadline */
    void (*on_drain)(struct conn *c);    /* the server stops: end it */
    void (*on_closed)(struct conn *c);   /* once; c is not to be used any more */
};

struct conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct conn *prev, *next; /* in loop_share.conns */
    struct loop_share *share;
    enum conn_state state;
    bool handle_closed; /* libuv is done with uv */
    bool has_request;   /* a handler may still answer */
    bool peer_done;     /* read end of file */
    bool reading;
    bool parsing;   /* conn_parse is on the stack and goes on by itself */
    bool pipelined; /* bytes of the next request came with this one */
    bool body_paused;
    bool keep_alive;
    bool continue_sent;
    bool message_complete;
    int64_t deadline_ms; /* loop time; 0: none */

    llhttp_t parser;
    struct slice url; /* while the head comes in */
    struct http_request req;
    struct arena arena;
    struct buf body;
    struct buf pending;          /* bytes behind the current request */
    const char *lent, *lent_end; /* what conn_parse was given: slices into it die when it returns */
    size_t head_bytes;
    uint64_t body_bytes, body_limit;
    uint64_t timed_bytes; /* body_bytes when the deadline was last set */
    const struct http_sink *sink;

    struct buf extra_headers, reason;
    struct buf head, answer; /* being sent */
    uv_write_t write;
    size_t unsent_bytes; /* at the last deadline check */
    struct file_answer *file;

    const struct conn_tunnel *tunnel; /* from its opening until on_closed; else NULL */
    void *tunnel_arg;
    bool tunnel_waits; /* what comes is kept in pending */
};

struct loop_share {
    struct loop *loop;
    struct http_server *server;
    const struct http_options *opt;
    struct conn *conns;
    size_t n_conns;
    struct conn *unsent[BURST_MAX]; /* whose answers wait for share_flush */
    unsigned n_unsent;
    struct burst *burst; /* NULL where there is none */
    bool draining;
    uv_timer_t tick;
    uv_prepare_t flush;
    char receive[64 * 1024]; /* one read at a time, so all connections share it */
};

static inline struct conn *conn_of(struct http_request *req)
{
    return CONTAINER_OF(req, struct conn, req);
}

/* ---- conn.c ---- */

/* The only writer of c->state. */
void conn_move(struct conn *c, enum conn_state next);
/* 0: none. */
void conn_set_deadline(struct conn *c, int64_t in_ms);
/* Gives the socket up; a handler that has the request may still answer. */
void conn_close(struct conn *c);
/* Frees c once libuv, the handler and the file are done with it. */
void conn_free_if_done(struct conn *c);
void conn_start_reading(struct conn *c);
void conn_stop_reading(struct conn *c);

/* Ends the request that the handler has without an HTTP answer. Nothing is given to on_data before conn_tunnel_go_on. */
void conn_open_tunnel(struct conn *c, const struct conn_tunnel *tunnel, void *arg);
void conn_tunnel_go_on(struct conn *c);

/* ---- answer.c ---- */

/* Our side is said, once what is being written has left; gives the client time to read it before the socket goes. */
void conn_linger(struct conn *c);

/* ---- parse.c ---- */

const llhttp_settings_t *conn_parser_settings(void);
void conn_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
/* Takes the bytes that came while a request was under way; then reads on. */
void conn_parse_on(struct conn *c);
bool conn_has_body(const llhttp_t *p);
/* Answers for the server itself, through http_options.fail. */
void conn_fail(struct conn *c, enum status st, const char *text);

/* ---- answer.c ---- */

/* Sends the answers that wait. */
void share_flush(struct loop_share *share);

/* ---- all connections of a loop ---- */

/* Takes fd. Loop thread of `share`. */
void conn_open(struct loop_share *share, int fd);
/* Closes those that have no request; the others close when they have answered. */
void conn_drain_all(struct loop_share *share);
void conn_close_all(struct loop_share *share);
/* Closes what is past its deadline. */
void conn_check_deadlines(struct loop_share *share);
/* When the last connection of a draining share is gone. In server.c. */
void share_on_empty(struct loop_share *share);

#endif
