/* proxy.c - see proxy.h. Listening, the loops' shares, and the end. */
#include "workers/carrier.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 500, ACCEPT_BURST = 64 };

struct share_msg {
    struct loop_msg msg;
    struct proxy_share *share;
    int fd;
    struct target *target;
};

static void post(struct proxy_share *share, void (*deliver)(struct loop_msg *), int fd, struct target *t)
{
    struct share_msg *m = malloc(sizeof(*m));

    if (!m)
        abort(); /* a hundred bytes */
    *m = (struct share_msg){ .msg.deliver = deliver, .share = share, .fd = fd, .target = t };
    loop_post(share->loop, &m->msg);
}

/* ---- accepting ---- */

static void deliver_fd(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);

    carrier_open(m->share, m->fd);
    free(m);
}

/* True: there may be more to accept. */
static bool accept_one(struct proxy *p)
{
    int fd = accept4(p->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    /* A connection with a request takes two. */
    if (fd >= 0 && atomic_load_explicit(&p->n_files, memory_order_relaxed) >= p->opt.max_files / 4 * 3) {
        static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        (void)send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL); /* a courtesy */
        (void)close(fd);                                      /* refused */
        return true;
    }
    if (fd >= 0) {
        post(&p->shares[p->next_loop++ % (unsigned)p->opt.n_loops], deliver_fd, fd, NULL);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE) {
        log_line(LOG_WARN, "out of file descriptors; new connections to Workers wait until others close");
        uv_poll_stop(&p->accept_poll);
        p->accept_paused = true;
    }
    return errno == EINTR || errno == ECONNABORTED;
}

static void on_acceptable(uv_poll_t *poll, int rc UNUSED, int events UNUSED)
{
    for (int i = 0; i < ACCEPT_BURST && accept_one(poll->data); i++)
        ;
}

static void deliver_listen(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);
    struct proxy *p = m->share->proxy;

    p->listen_fd = m->fd;
    p->accept_poll.data = p;
    if (uv_poll_init(&m->share->loop->uv, &p->accept_poll, m->fd) == 0)
        p->accepting = uv_poll_start(&p->accept_poll, UV_READABLE, on_acceptable) == 0;
    if (!p->accepting)
        log_line(LOG_ERROR, "cannot watch the Workers' listening socket");
    free(m);
}

void proxy_listen(struct proxy *p, int fd, int port)
{
    snprintf(p->port, sizeof(p->port), ":%d", port);
    post(&p->shares[0], deliver_listen, fd, NULL);
}

/* ---- shares ---- */

static void on_tick(uv_timer_t *timer)
{
    struct proxy_share *share = timer->data;
    struct proxy *p = share->proxy;
    int64_t now = (int64_t)uv_now(&share->loop->uv);

    /* What is closed stays in its list until libuv has let go, so `next` is good. */
    for (struct carrier *c = share->carriers; c; c = c->next)
        carrier_tick(c, now);
    for (struct upstream *u = share->upstreams; u; u = u->next)
        upstream_tick(u, now);
    if (share->loop->index == 0 && p->accept_paused && !share->draining) {
        p->accept_paused = false;
        uv_poll_start(&p->accept_poll, UV_READABLE, on_acceptable);
    }
}

static void deliver_start(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);
    struct proxy_share *share = m->share;

    uv_timer_init(&share->loop->uv, &share->tick);
    share->tick.data = share;
    uv_timer_start(&share->tick, on_tick, TICK_MS, TICK_MS);
    free(m);
}

struct proxy *proxy_new(const struct proxy_options *opt)
{
    struct proxy *p = calloc(1, sizeof(*p));

    if (!p || !(p->shares = calloc((size_t)opt->n_loops, sizeof(*p->shares))))
        abort();
    p->opt = *opt;
    p->listen_fd = -1;
    sem_init(&p->drained, 0, 0);
    for (int i = 0; i < opt->n_loops; i++) {
        p->shares[i].loop = &opt->loops[i];
        p->shares[i].proxy = p;
        post(&p->shares[i], deliver_start, -1, NULL);
    }
    return p;
}

static void deliver_close_idle(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);

    upstream_close_idle(m->share, m->target);
    target_unref(m->target);
    free(m);
}

void proxy_close_idle(struct proxy *p, struct target *t)
{
    for (int i = 0; i < p->opt.n_loops; i++)
        post(&p->shares[i], deliver_close_idle, -1, target_ref(t));
}

/* ---- the end ---- */

void proxy_share_check_empty(struct proxy_share *share)
{
    if (!share->draining || share->n_open)
        return;
    share->n_open = SIZE_MAX; /* said once */
    if (atomic_fetch_sub(&share->proxy->n_open_shares, 1) == 1)
        sem_post(&share->proxy->drained);
}

static void close_idle_upstreams(struct proxy_share *share)
{
    for (struct upstream *u = share->upstreams; u; u = u->next)
        if (u->is_idle)
            upstream_close(u);
}

static void deliver_drain(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);
    struct proxy_share *share = m->share;
    struct proxy *p = share->proxy;

    if (share->loop->index == 0 && p->accepting)
        uv_close((uv_handle_t *)&p->accept_poll, NULL);
    share->draining = true;
    for (struct carrier *c = share->carriers; c; c = c->next)
        carrier_drain(c);
    close_idle_upstreams(share);
    proxy_share_check_empty(share);
    free(m);
}

static void deliver_close(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);

    for (struct carrier *c = m->share->carriers; c; c = c->next)
        carrier_close(c);
    free(m);
}

static bool wait_drained(struct proxy *p, int64_t ms)
{
    struct timespec until;
    int rc;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    do {
        rc = sem_timedwait(&p->drained, &until);
    } while (rc != 0 && errno == EINTR);
    return rc == 0;
}

void proxy_drain(struct proxy *p, int64_t grace_ms)
{
    atomic_store(&p->n_open_shares, (size_t)p->opt.n_loops);
    for (int i = 0; i < p->opt.n_loops; i++)
        post(&p->shares[i], deliver_drain, -1, NULL);
    if (wait_drained(p, grace_ms))
        sem_post(&p->drained); /* for proxy_close */
}

void proxy_close(struct proxy *p)
{
    for (int i = 0; i < p->opt.n_loops; i++)
        post(&p->shares[i], deliver_close, -1, NULL);
    while (sem_wait(&p->drained) != 0)
        ;
}

void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    if (p->listen_fd >= 0)
        (void)close(p->listen_fd); /* nothing was written to it */
    for (int i = 0; i < p->opt.n_loops; i++)
        buf_release(&p->shares[i].scratch);
    sem_destroy(&p->drained);
    free(p->shares);
    free(p);
}
