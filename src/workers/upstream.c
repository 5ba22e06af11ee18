/* upstream.c - connections to Workers: their answers on the way to the client, and their keep-alive between requests. */
#include "workers/carrier.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* workerd closes a connection that was idle for five seconds; one that we use must not be about to go. */
enum { IDLE_MAX_MS = 2000, TICK_IDLE_MAX_MS = 3000 };

/* ---- the answer's head ---- */

static int on_status(llhttp_t *p, const char *at, size_t len)
{
    struct upstream *u = p->data;

    return head_add_start(&u->head, at, len) ? 0 : HPE_USER;
}

static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
    struct upstream *u = p->data;

    return u->answer_begun || head_add_name(&u->head, at, len) ? 0 : HPE_USER; /* trailers are dropped */
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
    struct upstream *u = p->data;

    return u->answer_begun || head_add_value(&u->head, at, len) ? 0 : HPE_USER;
}

static bool has_no_body(const struct upstream *u)
{
    int status = u->parser.status_code;

    return u->carrier->is_head || status == 204 || status == 304;
}

static void write_headers(struct buf *b, const struct upstream *u, bool switching)
{
    const struct head_reader *h = &u->head;

    for (size_t i = 0; i < h->n_headers; i++) {
        struct slice name = head_slice(h, h->headers[i].name);
        if (!switching && head_is_hop_by_hop(h, name))
            continue;
        buf_append_slice(b, name);
        buf_append(b, ": ", 2);
        buf_append_slice(b, head_slice(h, h->headers[i].value));
        buf_append(b, "\r\n", 2);
    }
}

/* How the client learns where the body ends. */
static void write_framing(struct buf *b, struct upstream *u)
{
    struct carrier *c = u->carrier;
    bool has_length = u->parser.flags & F_CONTENT_LENGTH;

    if (has_length)
        return; /* passed on with the headers */
    if (has_no_body(u)) {
        if (c->is_head && (u->parser.flags & F_CHUNKED))
            buf_append_cstr(b, "Transfer-Encoding: chunked\r\n");
        return;
    }
    if (c->is_http10) {
        c->keep_alive = false;
        return;
    }
    u->chunk_answer = true;
    buf_append_cstr(b, "Transfer-Encoding: chunked\r\n");
}

static void write_answer_head(struct upstream *u)
{
    struct buf *b = &u->share->scratch;
    struct carrier *c = u->carrier;
    bool switching = u->parser.status_code == 101;

    buf_append(b, "HTTP/1.1 ", 9);
    json_write_u64(b, (uint64_t)u->parser.status_code);
    buf_append_char(b, ' ');
    buf_append_slice(b, head_slice(&u->head, u->head.start));
    buf_append(b, "\r\n", 2);
    write_headers(b, u, switching);
    if (!switching) {
        write_framing(b, u);
        if (!c->request_complete || u->share->draining)
            c->keep_alive = false; /* the rest of the request would be in the way of the next */
        if (!c->keep_alive)
            buf_append_cstr(b, "Connection: close\r\n");
        else if (c->is_http10)
            buf_append_cstr(b, "Connection: keep-alive\r\n");
    }
    buf_append(b, "\r\n", 2);
}

static int on_header_value_complete(llhttp_t *p)
{
    struct upstream *u = p->data;

    head_end_value(&u->head);
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    struct upstream *u = p->data;

    u->interim = p->status_code >= 100 && p->status_code < 200 && p->status_code != 101;
    if (u->interim)
        return 0;
    u->answer_begun = true;
    u->carrier->status = p->status_code;
    write_answer_head(u);
    return u->carrier->is_head ? 1 : 0;
}

/* ---- the answer's body ---- */

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct upstream *u = p->data;
    struct buf *b = &u->share->scratch;

    if (len == 0)
        return 0;
    if (u->chunk_answer)
        buf_printf(b, "%zx\r\n", len);
    buf_append(b, at, len);
    if (u->chunk_answer)
        buf_append(b, "\r\n", 2);
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    struct upstream *u = p->data;

    if (u->interim) {
        head_clear(&u->head);
        return 0;
    }
    if (u->chunk_answer)
        buf_append(&u->share->scratch, "0\r\n\r\n", 5);
    u->answer_complete = true;
    return p->upgrade ? 0 : HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {
    .on_status = on_status,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* What was gathered goes to the client; a client that is slow holds the Worker up. False: the client is lost. */
static bool flush(struct upstream *u)
{
    struct carrier *c = u->carrier;
    struct buf *b = &u->share->scratch;

    if (b->len == 0)
        return true;
    c->answer_begun = true;
    if (!peer_send(&c->peer, b->ptr, b->len)) {
        carrier_close(c);
        return false;
    }
    if (peer_is_full(&c->peer))
        peer_read_stop(&u->peer);
    return true;
}

static void lose(struct upstream *u)
{
    struct carrier *c = u->carrier;

    u->carrier = NULL;
    upstream_close(u);
    if (c) {
        c->up = NULL;
        carrier_on_up_lost(c);
    }
}

static void take_bytes(struct upstream *u, const char *data, size_t len)
{
    buf_clear(&u->share->scratch);
    llhttp_errno_t code = llhttp_execute(&u->parser, data, len);
    const char *stop = code == HPE_OK ? data + len : llhttp_get_error_pos(&u->parser);
    size_t left = (size_t)(data + len - stop);

    if (code != HPE_OK && code != HPE_PAUSED && code != HPE_PAUSED_UPGRADE) {
        lose(u); /* not HTTP */
        return;
    }
    if (!flush(u) || !u->answer_complete)
        return;
    if (code == HPE_PAUSED_UPGRADE) {
        u->switched = true;
        carrier_on_switch(u->carrier, stop, left);
        return;
    }
    carrier_on_answer_end(u->carrier, left == 0);
}

/* The other side has ended: an answer without a length ends so, too. */
static void take_end(struct upstream *u)
{
    buf_clear(&u->share->scratch);
    if (u->answer_begun && !u->answer_complete && llhttp_finish(&u->parser) == HPE_OK && u->answer_complete) {
        if (flush(u))
            carrier_on_answer_end(u->carrier, false);
        return;
    }
    lose(u);
}

static void on_read(struct peer *p, const char *data, ssize_t n)
{
    struct upstream *u = CONTAINER_OF(p, struct upstream, peer);

    if (!u->carrier) {
        upstream_close(u); /* idle: closed by the other side, or bytes that nobody asked for */
        return;
    }
    if (n > 0)
        carrier_count_sign(u->carrier);
    if (u->switched) {
        carrier_on_switch(u->carrier, n > 0 ? data : NULL, n > 0 ? (size_t)n : 0);
        return;
    }
    if (n < 0)
        take_end(u);
    else
        take_bytes(u, data, (size_t)n);
}

static void on_drained(struct peer *p)
{
    struct upstream *u = CONTAINER_OF(p, struct upstream, peer);

    if (u->carrier)
        carrier_on_up_drained(u->carrier);
}

static void on_broken(struct peer *p)
{
    struct upstream *u = CONTAINER_OF(p, struct upstream, peer);

    if (u->switched && u->carrier)
        carrier_close(u->carrier);
    else
        lose(u);
}

/* ---- life ---- */

static void unlink_idle(struct upstream *u)
{
    if (!u->is_idle)
        return;
    if (u->idle_prev)
        u->idle_prev->idle_next = u->idle_next;
    else
        u->target->idle[u->share->loop->index] = u->idle_next;
    if (u->idle_next)
        u->idle_next->idle_prev = u->idle_prev;
    u->idle_prev = u->idle_next = NULL;
    u->is_idle = false;
}

static void on_closed(struct peer *p)
{
    struct upstream *u = CONTAINER_OF(p, struct upstream, peer);
    struct proxy_share *share = u->share;

    if (u->prev)
        u->prev->next = u->next;
    else
        share->upstreams = u->next;
    if (u->next)
        u->next->prev = u->prev;
    share->n_open--;
    atomic_fetch_sub_explicit(&share->proxy->n_files, 1, memory_order_relaxed);
    buf_release(&u->head.bytes);
    target_unref(u->target);
    free(u);
    proxy_share_check_empty(share);
}

void upstream_close(struct upstream *u)
{
    unlink_idle(u);
    peer_close(&u->peer);
}

static struct upstream *upstream_new(struct proxy_share *share, struct target *t, int *ret_errno)
{
    if (atomic_load_explicit(&share->proxy->n_files, memory_order_relaxed) >= share->proxy->opt.max_files) {
        *ret_errno = EMFILE;
        return NULL;
    }
    int fd = peer_connect(t->path, ret_errno);
    if (fd < 0)
        return NULL;
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u) {
        (void)close(fd); /* unused */
        *ret_errno = ENOMEM;
        return NULL;
    }
    u->share = share;
    u->target = target_ref(t);
    u->peer.receive = share->receive;
    u->peer.receive_cap = sizeof(share->receive);
    u->peer.on_read = on_read;
    u->peer.on_drained = on_drained;
    u->peer.on_broken = on_broken;
    u->peer.on_closed = on_closed;
    u->next = share->upstreams;
    if (u->next)
        u->next->prev = u;
    share->upstreams = u;
    share->n_open++;
    atomic_fetch_add_explicit(&share->proxy->n_files, 1, memory_order_relaxed);
    int rc = peer_open(&u->peer, &share->loop->uv, fd, false);
    if (rc != 0) {
        *ret_errno = -rc;
        upstream_close(u);
        return NULL;
    }
    return u;
}

static struct upstream *take_idle(struct proxy_share *share, struct target *t)
{
    struct upstream *u = t->idle[share->loop->index];

    /* The list has the newest first: when that one is too old, all are; the tick closes them. */
    if (!u || (int64_t)uv_now(&share->loop->uv) - u->idle_since_ms > IDLE_MAX_MS)
        return NULL;
    unlink_idle(u);
    return u;
}

struct upstream *upstream_take(struct carrier *c, bool fresh, int *ret_errno)
{
    struct proxy_share *share = c->share;
    struct upstream *u = fresh ? NULL : take_idle(share, c->target);

    if (!u)
        u = upstream_new(share, c->target, ret_errno);
    if (!u)
        return NULL;
    llhttp_init(&u->parser, HTTP_RESPONSE, &parser_settings);
    u->parser.data = u;
    head_clear(&u->head);
    u->interim = u->answer_begun = u->answer_complete = u->chunk_answer = u->switched = false;
    u->carrier = c;
    peer_read_start(&u->peer);
    return u;
}

void upstream_give_back(struct upstream *u, bool reusable)
{
    u->carrier = NULL;
    if (!reusable || !llhttp_should_keep_alive(&u->parser) || u->target->retired || u->share->draining ||
        u->peer.closing || peer_queued(&u->peer)) {
        upstream_close(u);
        return;
    }
    u->is_idle = true;
    u->idle_since_ms = (int64_t)uv_now(&u->share->loop->uv);
    u->idle_prev = NULL;
    u->idle_next = u->target->idle[u->share->loop->index];
    if (u->idle_next)
        u->idle_next->idle_prev = u;
    u->target->idle[u->share->loop->index] = u;
    peer_read_start(&u->peer);
}

void upstream_close_idle(struct proxy_share *share, struct target *t)
{
    struct upstream *u;

    while ((u = t->idle[share->loop->index]) != NULL)
        upstream_close(u);
}

void upstream_tick(struct upstream *u, int64_t now_ms)
{
    if (u->is_idle && now_ms - u->idle_since_ms > TICK_IDLE_MAX_MS)
        upstream_close(u);
}
