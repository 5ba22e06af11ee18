/*
 * server.c - see server.h.
 *
 * The sockets that listen are watched by the first loop; accepted connections are dealt to the loops in turn, so a handful
 * of busy connections spreads evenly, which SO_REUSEPORT's hash does not promise.
 */
#include "http/server.h"

#include "base/log.h"
#include "http/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 4096, MIN_TICK_MS = 20, MAX_TICK_MS = 1000, ACCEPT_BURST = 64 };

enum { LISTEN_TCP, LISTEN_UNIX, N_LISTENERS };

struct listener {
    struct http_server *server;
    int fd;         /* -1: none */
    uv_poll_t poll; /* loop 0 */
    bool accepting; /* loop 0 */
    bool paused;    /* loop 0: until the next tick */
};

struct http_server {
    struct http_options opt;
    struct loop_share *shares;
    struct loop *loops;
    int n_loops;
    struct listener listeners[N_LISTENERS];
    unsigned next_loop; /* loop 0 */
    _Atomic unsigned next_adopted;
    _Atomic size_t n_open_shares;
    sem_t drained; /* posted by the last share to become empty */
};

/* ---- messages to a loop ---- */

struct share_msg {
    struct loop_msg msg;
    struct loop_share *share;
    int fd;
};

static void post(struct loop_share *share, void (*deliver)(struct loop_msg *), int fd)
{
    struct share_msg *m = malloc(sizeof(*m));

    if (!m) {
        if (fd >= 0)
            (void)close(fd); /* no memory for this connection */
        return;
    }
    *m = (struct share_msg){ .msg.deliver = deliver, .share = share, .fd = fd };
    loop_post(share->loop, &m->msg);
}

static void deliver_fd(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);

    conn_open(m->share, m->fd);
    free(m);
}

static void on_acceptable(uv_poll_t *poll, int rc, int events);

static void on_tick(uv_timer_t *timer)
{
    struct loop_share *share = timer->data;

    conn_check_deadlines(share);
    if (share->loop->index != 0 || share->draining)
        return;
    for (int i = 0; i < N_LISTENERS; i++) {
        struct listener *l = &share->server->listeners[i];
        if (l->paused)
            uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
        l->paused = false;
    }
}

/* Right before the loop may sleep: whatever answered in this turn, nothing stays behind. */
static void on_turn_end(uv_prepare_t *flush)
{
    share_flush(flush->data);
}

static void deliver_start(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);
    struct loop_share *share = m->share;
    int64_t ms = share->opt->request_timeout_ms / 4;
    uint64_t every = ms < MIN_TICK_MS ? MIN_TICK_MS : ms > MAX_TICK_MS ? MAX_TICK_MS : (uint64_t)ms;

    uv_timer_init(&share->loop->uv, &share->tick);
    share->tick.data = share;
    uv_timer_start(&share->tick, on_tick, every, every);
    uv_prepare_init(&share->loop->uv, &share->flush);
    share->flush.data = share;
    share->burst = burst_new();
    uv_prepare_start(&share->flush, on_turn_end);
    free(m);
}

struct http_server *http_server_new(const struct http_options *opt, struct loop *loops, int n_loops)
{
    struct http_server *s = calloc(1, sizeof(*s));

    if (!s || !(s->shares = calloc((size_t)n_loops, sizeof(*s->shares))))
        abort();
    s->opt = *opt;
    s->loops = loops;
    s->n_loops = n_loops;
    for (int i = 0; i < N_LISTENERS; i++)
        s->listeners[i] = (struct listener){ .server = s, .fd = -1 };
    sem_init(&s->drained, 0, 0);
    for (int i = 0; i < n_loops; i++) {
        s->shares[i].loop = &loops[i];
        s->shares[i].server = s;
        s->shares[i].opt = &s->opt;
        post(&s->shares[i], deliver_start, -1);
    }
    return s;
}

void http_server_adopt(struct http_server *s, int fd)
{
    unsigned turn = atomic_fetch_add_explicit(&s->next_adopted, 1, memory_order_relaxed);

    post(&s->shares[turn % (unsigned)s->n_loops], deliver_fd, fd);
}

/* ---- accepting ---- */

static size_t count_connections(const struct http_server *s)
{
    size_t n = 0;

    for (int i = 0; i < s->n_loops; i++)
        n += __atomic_load_n(&s->shares[i].n_conns, __ATOMIC_RELAXED); /* a count for a limit may be slightly old */
    return n;
}

/* The socket stays readable, so watching it on would spin. The next tick tries again. */
static void pause_accepting(struct listener *l)
{
    log_line(LOG_WARN, "out of file descriptors; new connections wait until others close");
    uv_poll_stop(&l->poll);
    l->paused = true;
}

/* True: there may be more to accept. */
static bool accept_one(struct listener *l)
{
    struct http_server *s = l->server;
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            pause_accepting(l);
        return errno == EINTR || errno == ECONNABORTED;
    }
    if (count_connections(s) >= s->opt.max_connections) {
        static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        (void)send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL); /* a courtesy */
        (void)close(fd);                                      /* refused */
        return true;
    }
    post(&s->shares[s->next_loop++ % (unsigned)s->n_loops], deliver_fd, fd);
    return true;
}

static void on_acceptable(uv_poll_t *poll, int rc UNUSED, int events UNUSED)
{
    for (int i = 0; i < ACCEPT_BURST && accept_one(poll->data); i++)
        ;
}

struct listen_msg {
    struct loop_msg msg;
    struct listener *listener;
};

static void deliver_listen(struct loop_msg *msg)
{
    struct listen_msg *m = CONTAINER_OF(msg, struct listen_msg, msg);
    struct listener *l = m->listener;

    if (uv_poll_init(&l->server->loops[0].uv, &l->poll, l->fd) == 0) {
        l->poll.data = l;
        l->accepting = uv_poll_start(&l->poll, UV_READABLE, on_acceptable) == 0;
    }
    if (!l->accepting)
        log_line(LOG_ERROR, "cannot watch the listening socket");
    free(m);
}

/* Takes fd, which listens. */
static enum status start_accepting(struct listener *l, int fd, struct error *err)
{
    struct listen_msg *m = malloc(sizeof(*m));

    if (!m) {
        (void)close(fd); /* nobody has connected */
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    }
    l->fd = fd;
    *m = (struct listen_msg){ .msg.deliver = deliver_listen, .listener = l };
    loop_post(&l->server->loops[0], &m->msg);
    return STATUS_OK;
}

/* Splits "HOST:PORT" or "[V6]:PORT". */
static bool split_address(const char *address, char host[256], char port[8])
{
    const char *colon = strrchr(address, ':');
    uint64_t number;

    if (!colon || colon == address || strlen(colon + 1) > 5 || !slice_to_u64(slice_cstr(colon + 1), 65535, &number))
        return false;
    size_t len = (size_t)(colon - address);
    if (address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (len >= 256)
        return false;
    memcpy(host, address, len);
    host[len] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static int resolve(const char *address, struct addrinfo **ret)
{
    char host[256], port[8];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };

    if (!split_address(address, host, port))
        return EAI_NONAME;
    return getaddrinfo(host, port, &hints, ret);
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24 == 127;
    return sa->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

bool http_address_is_loopback(const char *address)
{
    struct addrinfo *list;

    if (resolve(address, &list) != 0)
        return true; /* listening on it will say what is wrong */
    bool all = true;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        all = all && is_loopback(a->ai_addr);
    freeaddrinfo(list);
    return all;
}

static int bound_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return 0;
    if (sa.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
    return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

enum status http_open_listener(const char *address, const char *option, int *ret_fd, int *ret_port, struct error *err)
{
    struct addrinfo *list;
    int on = 1, rc = resolve(address, &list);

    if (rc != 0)
        return error_set(err, STATUS_INVALID, 0,
                         "cannot listen on '%s': it is no HOST:PORT, such as 127.0.0.1:8310 or [::1]:8310", address);
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* if it fails, bind says so */
    bool ok = fd >= 0 && bind(fd, list->ai_addr, list->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int why = errno;
    freeaddrinfo(list);
    if (!ok) {
        if (fd >= 0)
            (void)close(fd); /* never listened */
        if (why == EADDRINUSE)
            return error_set(err, STATUS_IO, why,
                             "cannot listen on %s: the address is in use; stop the other server or choose another port "
                             "with %s",
                             address, option);
        return error_errno(err, why, "cannot listen on %s", address);
    }
    *ret_port = bound_port(fd);
    *ret_fd = fd;
    return STATUS_OK;
}

enum status http_server_listen(struct http_server *s, const char *address, int *ret_port, struct error *err)
{
    int fd;
    enum status st = http_open_listener(address, "--listen", &fd, ret_port, err);

    return st == STATUS_OK ? start_accepting(&s->listeners[LISTEN_TCP], fd, err) : st;
}

enum status http_server_listen_unix(struct http_server *s, const char *path, struct error *err)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(sa.sun_path))
        return error_set(err, STATUS_INVALID, 0, "cannot listen on '%s': a Unix socket's path has less than %zu bytes",
                         path, sizeof(sa.sun_path));
    memcpy(sa.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, BACKLOG) == 0)
        return start_accepting(&s->listeners[LISTEN_UNIX], fd, err);
    int why = errno;
    if (fd >= 0)
        (void)close(fd); /* never listened */
    return error_errno(err, why, "cannot listen on %s", path);
}

/* ---- shutting down ---- */

void share_on_empty(struct loop_share *share)
{
    if (atomic_fetch_sub(&share->server->n_open_shares, 1) == 1)
        sem_post(&share->server->drained);
}

static void deliver_drain(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);
    struct loop_share *share = m->share;

    for (int i = 0; share->loop->index == 0 && i < N_LISTENERS; i++)
        if (share->server->listeners[i].accepting)
            uv_close((uv_handle_t *)&share->server->listeners[i].poll, NULL);
    bool empty = share->n_conns == 0;
    conn_drain_all(share);
    if (empty)
        share_on_empty(share);
    free(m);
}

static void deliver_close(struct loop_msg *msg)
{
    struct share_msg *m = CONTAINER_OF(msg, struct share_msg, msg);

    conn_close_all(m->share);
    free(m);
}

static bool wait_drained(struct http_server *s, int64_t ms)
{
    struct timespec until;
    int rc;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    do {
        rc = sem_timedwait(&s->drained, &until);
    } while (rc != 0 && errno == EINTR);
    return rc == 0;
}

void http_server_drain(struct http_server *s, int64_t grace_ms)
{
    atomic_store(&s->n_open_shares, (size_t)s->n_loops);
    for (int i = 0; i < s->n_loops; i++)
        post(&s->shares[i], deliver_drain, -1);
    if (wait_drained(s, grace_ms))
        return;
    log_line(LOG_WARN, "requests still run after %lld ms; closing their connections", (long long)grace_ms);
    for (int i = 0; i < s->n_loops; i++)
        post(&s->shares[i], deliver_close, -1);
    /* A connection goes when its handler has answered, and every handler has a time limit. */
    while (sem_wait(&s->drained) != 0)
        ;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    for (int i = 0; i < N_LISTENERS; i++)
        if (s->listeners[i].fd >= 0)
            (void)close(s->listeners[i].fd); /* nothing was written to it */
    for (int i = 0; i < s->n_loops; i++)
        burst_free(s->shares[i].burst);
    sem_destroy(&s->drained);
    free(s->shares);
    free(s);
}
