/*
 * conn.c - a connection's life: states, opening and closing, deadlines, and what handlers ask of their requests. What it
 * receives is in parse.c, what it sends in answer.c.
 */
#include "http/conn.h"

#include "base/log.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { REQUEST_ARENA_BYTES = 256 << 20 /* a body's tree and its copies */ };

static const unsigned next_states[] = {
    [CONN_IDLE] = 1U << CONN_HEAD | 1U << CONN_CLOSED,
    [CONN_HEAD] = 1U << CONN_BODY | 1U << CONN_BUSY | 1U << CONN_SENDING | 1U << CONN_CLOSED,
    [CONN_BODY] = 1U << CONN_BUSY | 1U << CONN_SENDING | 1U << CONN_CLOSED,
    [CONN_BUSY] = 1U << CONN_SENDING | 1U << CONN_TUNNEL | 1U << CONN_CLOSED,
    [CONN_SENDING] = 1U << CONN_IDLE | 1U << CONN_LINGER | 1U << CONN_CLOSED,
    [CONN_TUNNEL] = 1U << CONN_LINGER | 1U << CONN_CLOSED,
    [CONN_LINGER] = 1U << CONN_CLOSED,
    [CONN_CLOSED] = 0,
};

void conn_move(struct conn *c, enum conn_state next)
{
    if (!(next_states[c->state] & 1U << next)) {
        log_line(LOG_ERROR, "connection moved from state %d to %d", c->state, next);
        abort();
    }
    c->state = next;
}

void conn_set_deadline(struct conn *c, int64_t in_ms)
{
    c->deadline_ms = in_ms > 0 ? (int64_t)uv_now(&c->share->loop->uv) + in_ms : 0;
}

/* ---- life ---- */

/* The loop that accepts reads the other loops' counts. */
static void count_conn(struct loop_share *share, int change)
{
    __atomic_store_n(&share->n_conns, share->n_conns + (size_t)change, __ATOMIC_RELAXED);
}

void conn_free_if_done(struct conn *c)
{
    struct loop_share *share = c->share;

    if (!c->handle_closed || c->has_request || c->file)
        return;
    if (c->prev)
        c->prev->next = c->next;
    else
        share->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    count_conn(share, -1);
    arena_release(&c->arena);
    buf_release(&c->body);
    buf_release(&c->pending);
    buf_release(&c->extra_headers);
    buf_release(&c->reason);
    buf_release(&c->head);
    buf_release(&c->answer);
    free(c);
    if (share->draining && share->n_conns == 0)
        share_on_empty(share);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;

    c->handle_closed = true;
    conn_free_if_done(c);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    const struct http_sink *sink = c->sink;
    const struct conn_tunnel *tunnel = TAKE_PTR(c->tunnel);
    bool receiving = c->state == CONN_BODY;

    conn_move(c, CONN_CLOSED);
    c->sink = NULL;
    if (receiving) {
        c->has_request = false;
        if (sink)
            sink->on_abort(&c->req);
    }
    if (tunnel)
        tunnel->on_closed(c);
    uv_close(&c->uv.handle, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *ret)
{
    struct conn *c = handle->data;

    *ret = uv_buf_init(c->share->receive, sizeof(c->share->receive));
}

void conn_start_reading(struct conn *c)
{
    if (c->reading || c->state == CONN_CLOSED || c->peer_done)
        return;
    c->reading = uv_read_start(&c->uv.stream, on_alloc, conn_on_read) == 0;
    if (!c->reading)
        conn_close(c);
}

void conn_stop_reading(struct conn *c)
{
    if (!c->reading)
        return;
    uv_read_stop(&c->uv.stream);
    c->reading = false;
}

/* ---- tunnels ---- */

void conn_open_tunnel(struct conn *c, const struct conn_tunnel *tunnel, void *arg)
{
    conn_move(c, CONN_TUNNEL);
    c->tunnel = tunnel;
    c->tunnel_arg = arg;
    c->tunnel_waits = true;
    c->has_request = false;
    arena_reset(&c->arena);
    buf_release(&c->body);
}

void conn_tunnel_go_on(struct conn *c)
{
    struct buf waiting = buf_take(&c->pending);

    c->tunnel_waits = false;
    conn_start_reading(c);
    if (c->state == CONN_TUNNEL && waiting.len)
        c->tunnel->on_data(c, buf_slice(&waiting));
    buf_release(&waiting);
}

/* ---- requests, as handlers ask of them ---- */

struct slice http_header(const struct http_request *req, const char *name)
{
    struct slice want = slice_cstr(name);

    for (size_t i = 0; i < req->n_headers; i++)
        if (slice_eq_nocase(req->headers[i].name, want))
            return req->headers[i].value;
    return SLICE_NONE;
}

bool http_query_is_valid(const struct http_request *req)
{
    struct slice rest = req->query;
    const char *mark;

    while (rest.len && (mark = memchr(rest.ptr, '%', rest.len))) {
        rest = slice_from(rest, (size_t)(mark - rest.ptr) + 1);
        if (rest.len < 2 || !isxdigit((unsigned char)rest.ptr[0]) || !isxdigit((unsigned char)rest.ptr[1]))
            return false;
    }
    return true;
}

struct slice http_query(struct http_request *req, const char *name)
{
    struct slice rest = req->query, want = slice_cstr(name);

    while (rest.ptr) {
        struct slice value = slice_cut(&rest, '&'), key = slice_cut(&value, '=');
        if (slice_eq(key, want))
            return http_percent_decode(req->arena, value.ptr ? value : SLICE_LIT(""), true);
    }
    return SLICE_NONE;
}

int64_t http_content_length(const struct http_request *req)
{
    const struct conn *c = CONTAINER_OF(req, struct conn, req);

    if (c->parser.flags & F_CHUNKED)
        return -1;
    return c->parser.flags & F_CONTENT_LENGTH ? (int64_t)c->parser.content_length : 0;
}

void http_request_stream(struct http_request *req, const struct http_sink *sink, uint64_t limit)
{
    struct conn *c = conn_of(req);

    c->sink = sink;
    c->body_limit = limit;
}

void http_body_pause(struct http_request *req)
{
    struct conn *c = conn_of(req);

    c->body_paused = true;
    c->deadline_ms = 0;
}

void http_body_resume(struct http_request *req)
{
    struct conn *c = conn_of(req);

    c->body_paused = false;
    if (c->state != CONN_BODY)
        return;
    conn_set_deadline(c, c->share->opt->request_timeout_ms);
    if (!c->parsing)
        conn_parse_on(c);
}

/* ---- all connections of a loop ---- */

static int open_handle(struct conn *c, int fd)
{
    uv_loop_t *uv = &c->share->loop->uv;
    int rc;

    if (uv_guess_handle(fd) == UV_NAMED_PIPE) {
        rc = uv_pipe_init(uv, &c->uv.pipe, 0);
        return rc ? rc : uv_pipe_open(&c->uv.pipe, fd);
    }
    rc = uv_tcp_init(uv, &c->uv.tcp);
    if (rc == 0)
        rc = uv_tcp_open(&c->uv.tcp, fd);
    if (rc == 0)
        (void)uv_tcp_nodelay(&c->uv.tcp, 1); /* only an optimisation */
    return rc;
}

void conn_open(struct loop_share *share, int fd)
{
    struct conn *c = share->draining ? NULL : calloc(1, sizeof(*c));

    if (!c) {
        (void)close(fd); /* no memory for it, or going down: the client sees a closed connection */
        return;
    }
    c->share = share;
    arena_init(&c->arena, REQUEST_ARENA_BYTES);
    llhttp_init(&c->parser, HTTP_REQUEST, conn_parser_settings());
    c->parser.data = c;
    c->next = share->conns;
    if (c->next)
        c->next->prev = c;
    share->conns = c;
    count_conn(share, 1);
    int rc = open_handle(c, fd);
    c->uv.handle.data = c;
    conn_set_deadline(c, share->opt->idle_timeout_ms);
    if (rc != 0) {
        (void)close(fd); /* libuv did not take it */
        conn_close(c);
        return;
    }
    conn_start_reading(c);
}

/* False: the client takes nothing any more. */
static bool is_still_sending(struct conn *c)
{
    size_t unsent = uv_stream_get_write_queue_size(&c->uv.stream);
    bool progress = c->unsent_bytes == 0 || unsent < c->unsent_bytes;

    c->unsent_bytes = unsent;
    return progress;
}

static void deadline_passed(struct conn *c)
{
    const struct http_sink *sink = c->sink;

    switch (c->state) {
    case CONN_HEAD:
    case CONN_BODY:
        c->sink = NULL;
        if (sink)
            sink->on_abort(&c->req);
        conn_fail(c, STATUS_SLOW, "The request did not arrive within the time limit");
        return;
    case CONN_SENDING:
        if (is_still_sending(c)) {
            conn_set_deadline(c, c->share->opt->request_timeout_ms);
            return;
        }
        break;
    case CONN_TUNNEL:
        c->deadline_ms = 0;
        c->tunnel->on_deadline(c);
        return;
    case CONN_IDLE:
    case CONN_LINGER:
    case CONN_BUSY:
    case CONN_CLOSED:
        break;
    }
    conn_close(c);
}

void conn_check_deadlines(struct loop_share *share)
{
    int64_t now = (int64_t)uv_now(&share->loop->uv);

    for (struct conn *c = share->conns, *next; c; c = next) {
        next = c->next;
        if (c->deadline_ms && now >= c->deadline_ms && c->state != CONN_CLOSED && c->state != CONN_BUSY)
            deadline_passed(c);
    }
}

void conn_drain_all(struct loop_share *share)
{
    share->draining = true;
    for (struct conn *c = share->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_IDLE || c->state == CONN_HEAD || c->state == CONN_LINGER)
            conn_close(c);
        else if (c->state == CONN_TUNNEL)
            c->tunnel->on_drain(c);
    }
}

void conn_close_all(struct loop_share *share)
{
    for (struct conn *c = share->conns, *next; c; c = next) {
        next = c->next;
        conn_close(c);
    }
}
