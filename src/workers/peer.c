/* peer.c - see peer.h. */
#include "workers/peer.h"

#include "base/attrs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { KEEPALIVE_S = 60 };

struct queued {
    uv_write_t write;
    struct peer *peer;
    char bytes[];
};

/* A Unix socket connects at once or not at all: its backlog takes us even while nobody accepts. */
int peer_connect(const char *path, int *ret_errno)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    *ret_errno = errno;
    if (fd >= 0)
        (void)close(fd); /* not connected */
    return -1;
}

static int open_stream(struct peer *p, uv_loop_t *uv, int fd, bool is_tcp)
{
    int rc = is_tcp ? uv_tcp_init(uv, &p->uv.tcp) : uv_pipe_init(uv, &p->uv.pipe, 0);

    if (rc == 0)
        rc = is_tcp ? uv_tcp_open(&p->uv.tcp, fd) : uv_pipe_open(&p->uv.pipe, fd);
    return rc;
}

int peer_open(struct peer *p, uv_loop_t *uv, int fd, bool is_tcp)
{
    int rc = open_stream(p, uv, fd, is_tcp);

    if (rc != 0) {
        (void)close(fd); /* libuv did not take it */
    } else if (is_tcp) {
        (void)uv_tcp_nodelay(&p->uv.tcp, 1);                /* only an optimisation */
        (void)uv_tcp_keepalive(&p->uv.tcp, 1, KEEPALIVE_S); /* finds clients that vanished */
    }
    p->uv.handle.data = p;
    return rc;
}

size_t peer_queued(const struct peer *p)
{
    return uv_stream_get_write_queue_size(&p->uv.stream);
}

static void on_queued_written(uv_write_t *write, int rc)
{
    struct queued *q = CONTAINER_OF(write, struct queued, write);
    struct peer *p = q->peer;

    free(q);
    if (p->closing)
        return;
    if (rc != 0)
        p->on_broken(p);
    else if (peer_queued(p) < PEER_LOW_BYTES)
        p->on_drained(p);
}

bool peer_send(struct peer *p, const char *data, size_t len)
{
    if (p->closing)
        return false;
    p->n_given += len;
    if (peer_queued(p) == 0) {
        uv_buf_t b = uv_buf_init((char *)data, (unsigned)len);
        int sent = uv_try_write(&p->uv.stream, &b, 1);
        if (sent < 0 && sent != UV_EAGAIN)
            return false;
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        }
    }
    if (len == 0)
        return true;
    struct queued *q = malloc(sizeof(*q) + len);
    if (!q)
        return false;
    q->peer = p;
    memcpy(q->bytes, data, len);
    uv_buf_t b = uv_buf_init(q->bytes, (unsigned)len);
    if (uv_write(&q->write, &p->uv.stream, &b, 1, on_queued_written) != 0) {
        free(q);
        return false;
    }
    return true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *ret)
{
    struct peer *p = handle->data;

    *ret = uv_buf_init(p->receive, (unsigned)p->receive_cap);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct peer *p = stream->data;

    if (n < 0)
        peer_read_stop(p);
    if (n != 0)
        p->on_read(p, b->base, n);
}

void peer_read_start(struct peer *p)
{
    if (p->reading || p->closing)
        return;
    p->reading = uv_read_start(&p->uv.stream, on_alloc, on_read) == 0;
}

void peer_read_stop(struct peer *p)
{
    if (!p->reading || p->closing)
        return;
    uv_read_stop(&p->uv.stream);
    p->reading = false;
}

static void on_ended(uv_shutdown_t *end, int rc UNUSED)
{
    free(end);
}

void peer_end(struct peer *p)
{
    uv_shutdown_t *end = malloc(sizeof(*end));

    if (!end || p->closing || uv_shutdown(end, &p->uv.stream, on_ended) != 0)
        free(end);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct peer *p = handle->data;

    p->on_closed(p);
}

void peer_close(struct peer *p)
{
    if (p->closing)
        return;
    p->closing = true;
    p->reading = false;
    uv_close(&p->uv.handle, on_handle_closed);
}
