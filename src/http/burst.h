/*
 * burst.h - sends on many sockets with one system call, through io_uring.
 *
 * What it is for: the first byte of the first answer wakes the client, and a client on the same machine then takes the
 * processor from us between two answers. Inside one system call nobody is woken into our way, and the calls themselves
 * are saved. Where the kernel has no io_uring, or a container forbids it, there is no burst and answers go one by one.
 *
 * Threads: one loop makes, fills and sends a burst; burst_free on any thread once the loop has ended.
 */
#ifndef DIONE_HTTP_BURST_H
#define DIONE_HTTP_BURST_H

#include <uv.h>

enum { BURST_MAX = 32 };

struct burst;

/* NULL: this system can't. */
struct burst *burst_new(void);
void burst_free(struct burst *b);
/* Adds a send of at most two buffers, which stay the caller's and must live until burst_send. At most BURST_MAX. */
void burst_add(struct burst *b, int fd, const uv_buf_t *bufs, unsigned n);
/* Sends what was added, without waiting for any peer, and empties the burst. ret[i]: bytes that the i-th socket took, or a
 * negative libuv error; UV_EAGAIN when it took none. */
void burst_send(struct burst *b, int *ret);

#endif
