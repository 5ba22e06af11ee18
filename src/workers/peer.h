/*
 * peer.h - one end of what the proxy carries: a stream that sends at once what it can, queues the rest, and says when
 * the queue is short again, so that the other end reads only as fast as this one takes. Loop thread. Private to the proxy.
 */
#ifndef DIONE_WORKERS_PEER_H
#define DIONE_WORKERS_PEER_H

#include "base/slice.h"

#include <stdbool.h>
#include <uv.h>

/* Queued bytes at which the other end stops reading, and at which it goes on. */
enum { PEER_HIGH_BYTES = 256 * 1024, PEER_LOW_BYTES = 64 * 1024 };

struct peer {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    char *receive; /* where reads go: the loop's, used up by each on_read before the next */
    size_t receive_cap;
    bool reading, closing;
    uint64_t n_given; /* bytes that peer_send took */
    /* n < 0: the end, or an error. */
    void (*on_read)(struct peer *p, const char *data, ssize_t n);
    /* Below PEER_LOW_BYTES again, or all sent. */
    void (*on_drained)(struct peer *p);
    void (*on_broken)(struct peer *p); /* a write failed */
    void (*on_closed)(struct peer *p); /* libuv is done with it: may free */
};

/* A Unix stream socket connected to `path`, non-blocking: that is at once, or not at all. -1: *ret_errno says why. */
int peer_connect(const char *path, int *ret_errno);
/* Takes fd (on failure too): a TCP or Unix stream socket. The callbacks and `receive` are set. 0, or libuv's error. */
int peer_open(struct peer *p, uv_loop_t *uv, int fd, bool is_tcp);
/* False: it is broken; on_broken is not called for it. */
bool peer_send(struct peer *p, const char *data, size_t len);
size_t peer_queued(const struct peer *p);
static inline bool peer_is_full(const struct peer *p)
{
    return peer_queued(p) > PEER_HIGH_BYTES;
}
void peer_read_start(struct peer *p);
void peer_read_stop(struct peer *p);
/* Says that nothing more comes, behind all that is queued. */
void peer_end(struct peer *p);
void peer_close(struct peer *p);

#endif
