/* carrier.c - a client's connection: its requests in order, each with its upstream, and the end of each. */
#include "workers/carrier.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_MS = 30 * 1000,
    IDLE_MS = 120 * 1000,
    BODY_MS = 120 * 1000,  /* without a byte of a request's body */
    STALL_MS = 300 * 1000, /* without the client taking a byte */
    LINGER_MS = 2000,
    HALF_CLOSED_MS = 30 * 1000, /* for the rest of an answer, or of an upgraded connection */
    HOLD_MS = 10 * 1000,        /* that a request waits for a process that is being restarted */
    PENDING_MAX = 64 * 1024,
};

static const unsigned next_states[] = {
    [CARRIER_IDLE] = 1U << CARRIER_HEAD | 1U << CARRIER_LINGER | 1U << CARRIER_CLOSED,
    [CARRIER_HEAD] = 1U << CARRIER_CARRYING | 1U << CARRIER_ANSWERED | 1U << CARRIER_LINGER | 1U << CARRIER_CLOSED,
    [CARRIER_CARRYING] = 1U << CARRIER_IDLE | 1U << CARRIER_LINGER | 1U << CARRIER_SPLICED | 1U << CARRIER_ANSWERED |
                         1U << CARRIER_CLOSED,
    [CARRIER_ANSWERED] = 1U << CARRIER_IDLE | 1U << CARRIER_LINGER | 1U << CARRIER_CLOSED,
    [CARRIER_SPLICED] = 1U << CARRIER_CLOSED,
    [CARRIER_LINGER] = 1U << CARRIER_CLOSED,
    [CARRIER_CLOSED] = 0,
};

static void carrier_move(struct carrier *c, enum carrier_state next)
{
    if (!(next_states[c->state] & 1U << next)) {
        log_line(LOG_ERROR, "Worker connection moved from state %d to %d", c->state, next);
        abort();
    }
    c->state = next;
}

static int64_t now_ms(const struct carrier *c)
{
    return (int64_t)uv_now(&c->share->loop->uv);
}

static void set_deadline(struct carrier *c, int64_t in_ms)
{
    c->deadline_ms = in_ms ? now_ms(c) + in_ms : 0;
}

/* While the Worker works. A client that has closed its side may wait for the answer, or be gone without a word. */
static void await_answer(struct carrier *c)
{
    set_deadline(c, c->peer_done ? HALF_CLOSED_MS : 0);
}

/* While we read a body. When the Worker does not take it, nobody is late. */
static void await_body(struct carrier *c)
{
    if (c->request_complete)
        await_answer(c);
    else
        set_deadline(c, peer_is_full(&c->up->peer) ? 0 : BODY_MS);
}

void carrier_carry(struct carrier *c)
{
    carrier_move(c, CARRIER_CARRYING);
    if (c->request_complete)
        await_answer(c);
    else
        set_deadline(c, BODY_MS);
}

void carrier_wait(struct carrier *c)
{
    carrier_move(c, CARRIER_ANSWERED);
    await_answer(c);
}

static void read_client(struct carrier *c)
{
    if (!c->peer_done)
        peer_read_start(&c->peer);
}

/* ---- the end of a connection ---- */

static void on_closed(struct peer *p)
{
    struct carrier *c = CONTAINER_OF(p, struct carrier, peer);
    struct proxy_share *share = c->share;

    if (c->prev)
        c->prev->next = c->next;
    else
        share->carriers = c->next;
    if (c->next)
        c->next->prev = c->prev;
    share->n_open--;
    atomic_fetch_sub_explicit(&share->proxy->n_files, 1, memory_order_relaxed);
    buf_release(&c->head.bytes);
    buf_release(&c->pending);
    buf_release(&c->out);
    free(c);
    proxy_share_check_empty(share);
}

/* The Worker sees its client go: it loses the connection. */
static void drop_upstream(struct carrier *c)
{
    struct upstream *u = TAKE_PTR(c->up);

    if (u) {
        u->carrier = NULL;
        upstream_close(u);
    }
}

void carrier_close(struct carrier *c)
{
    if (c->state == CARRIER_CLOSED)
        return;
    bool has_request = c->state == CARRIER_CARRYING || c->state == CARRIER_ANSWERED || c->state == CARRIER_SPLICED;
    carrier_move(c, CARRIER_CLOSED);
    drop_upstream(c);
    if (has_request)
        request_end(c);
    peer_close(&c->peer);
}

static void close_when_sent(struct carrier *c)
{
    if (c->state == CARRIER_LINGER && c->peer_done && peer_queued(&c->peer) == 0)
        carrier_close(c);
}

/* Closing at once, with bytes of the client unread, would take from it what is still on its way to it. */
static void linger(struct carrier *c)
{
    carrier_move(c, CARRIER_LINGER);
    set_deadline(c, LINGER_MS); /* from when all is sent: carrier_tick */
    peer_end(&c->peer);
    read_client(c);
    close_when_sent(c);
}

/* ---- the end of a request ---- */

static size_t parse(struct carrier *c, const char *data, size_t len);

/* Whether the answer to the current request must be over before more of what the client sends is looked at. */
static bool waits(const struct carrier *c)
{
    return c->state == CARRIER_ANSWERED || (c->state == CARRIER_CARRYING && c->request_complete) ||
           (c->state == CARRIER_IDLE && peer_is_full(&c->peer)); /* it sends requests, and does not take the answers */
}

/* Takes up what has come already; only then reads more. So what a client may leave here has an end. */
static void go_on(struct carrier *c)
{
    if (c->pending_at < c->pending.len && !waits(c))
        c->pending_at += parse(c, c->pending.ptr + c->pending_at, c->pending.len - c->pending_at);
    if (c->state == CARRIER_CLOSED || c->state == CARRIER_LINGER)
        return;
    if (c->pending_at < c->pending.len) {
        if (c->state == CARRIER_IDLE)
            peer_read_stop(&c->peer);
        return;
    }
    buf_clear(&c->pending);
    c->pending_at = 0;
    if (c->state == CARRIER_IDLE && c->peer_done)
        linger(c);
    else if (c->state == CARRIER_IDLE && waits(c))
        peer_read_stop(&c->peer);
    else if (c->state != CARRIER_CARRYING || c->request_complete || !c->up || !peer_is_full(&c->up->peer))
        read_client(c);
}

/* The answer is on its way; makes ready for the next request. */
static void next_request(struct carrier *c)
{
    request_end(c);
    if (!c->keep_alive || c->share->draining || !c->request_complete) {
        linger(c);
        return;
    }
    carrier_move(c, CARRIER_IDLE);
    set_deadline(c, IDLE_MS); /* from when all is sent: carrier_tick */
    if (!c->parsing)
        go_on(c);
}

/* "SERVICE_UNAVAILABLE" as people write it. */
static void write_reason(struct buf *b, int status)
{
    const char *name = llhttp_status_name((llhttp_status_t)status);
    bool starts = true;

    for (const char *at = name; *at; at++) {
        buf_append_char(b, *at == '_' ? ' ' : starts || !name[2] ? *at : (char)(*at | 0x20)); /* OK stays */
        starts = *at == '_';
    }
}

void carrier_answer(struct carrier *c, int status, const char *fmt, ...)
{
    struct buf body = { 0 }, head = { 0 };
    char text[4096];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_printf(&body, "%s\n", text);
    if (!c->request_complete)
        c->keep_alive = false;
    buf_printf(&head, "HTTP/1.1 %d ", status);
    write_reason(&head, status);
    buf_printf(&head,
               "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
               "%s%s\r\n",
               body.len, status == 503 ? "Retry-After: 1\r\n" : "", c->keep_alive ? "" : "Connection: close\r\n");
    if (!c->is_head)
        buf_append_slice(&head, buf_slice(&body));
    c->status = status;
    if (c->state != CARRIER_ANSWERED)
        carrier_move(c, CARRIER_ANSWERED);
    bool sent = peer_send(&c->peer, head.ptr, head.len);
    buf_release(&body);
    buf_release(&head);
    if (sent)
        next_request(c);
    else
        carrier_close(c);
}

void carrier_on_answer_end(struct carrier *c, bool reusable)
{
    struct upstream *u = TAKE_PTR(c->up);

    upstream_give_back(u, reusable && c->request_complete);
    next_request(c);
}

/* ---- what the upstream does ---- */

void carrier_on_up_drained(struct carrier *c)
{
    bool takes_body = c->state == CARRIER_CARRYING && !c->request_complete;

    if (takes_body)
        await_body(c);
    if (takes_body || c->state == CARRIER_SPLICED)
        read_client(c);
}

void carrier_count_sign(struct carrier *c)
{
    if (c->target)
        atomic_fetch_add_explicit(&c->target->n_signs, 1, memory_order_relaxed);
}

void carrier_on_up_lost(struct carrier *c)
{
    const char *why = c->target ? atomic_load(&c->target->why_down) : NULL;
    /* It may be the cause: not once more. */
    bool overrun = why && c->started_ns / 1000000 <= atomic_load(&c->target->limit_hit_ms);

    if (c->answer_begun || c->state != CARRIER_CARRYING) {
        carrier_close(c); /* only a cut tells the client that it has not got all */
        return;
    }
    if (c->can_repeat && !overrun) {
        (void)request_send_again(c); /* refuses by itself */
        return;
    }
    carrier_answer(c, overrun ? 503 : 502, "The Worker '%s' %s before it answered.", c->hit.name,
                   why ? why : "closed the connection");
}

/* ---- upgraded connections ---- */

static void splice_to_upstream(struct carrier *c, const char *data, size_t len)
{
    if (!peer_send(&c->up->peer, data, len))
        carrier_close(c);
    else if (peer_is_full(&c->up->peer))
        peer_read_stop(&c->peer);
}

void carrier_on_switch(struct carrier *c, const char *data, size_t len)
{
    if (c->state != CARRIER_SPLICED) {
        carrier_move(c, CARRIER_SPLICED);
        c->deadline_ms = 0;
        if (c->peer_done) {
            carrier_close(c);
            return;
        }
        read_client(c);
        if (c->pending.len > c->pending_at)
            splice_to_upstream(c, c->pending.ptr + c->pending_at, c->pending.len - c->pending_at);
        buf_release(&c->pending);
        if (len == 0 || c->state != CARRIER_SPLICED)
            return;
    }
    if (!data) {
        set_deadline(c, HALF_CLOSED_MS);
        peer_end(&c->peer);
        if (c->peer_done)
            carrier_close(c);
        return;
    }
    if (!peer_send(&c->peer, data, len))
        carrier_close(c);
    else if (peer_is_full(&c->peer))
        peer_read_stop(&c->up->peer);
}

/* ---- what the client sends ---- */

static int on_message_begin(llhttp_t *p)
{
    struct carrier *c = p->data;

    head_clear(&c->head);
    buf_clear(&c->out);
    c->head_complete = c->request_complete = false;
    c->answer_begun = c->is_head = false;
    c->attempts = c->status = 0;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct carrier *c = p->data;

    return head_add_start(&c->head, at, len) ? 0 : HPE_USER;
}

static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
    struct carrier *c = p->data;

    return c->head_complete || head_add_name(&c->head, at, len) ? 0 : HPE_USER; /* trailers are dropped */
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
    struct carrier *c = p->data;

    return c->head_complete || head_add_value(&c->head, at, len) ? 0 : HPE_USER;
}

static int on_header_value_complete(llhttp_t *p)
{
    struct carrier *c = p->data;

    head_end_value(&c->head);
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    struct carrier *c = p->data;

    c->head_complete = true;
    c->keep_alive = llhttp_should_keep_alive(p);
    c->is_http10 = p->http_major == 1 && p->http_minor == 0;
    c->is_head = p->method == HTTP_HEAD;
    c->chunked_body = p->flags & F_CHUNKED;
    c->has_body = c->chunked_body || ((p->flags & F_CONTENT_LENGTH) && p->content_length > 0);
    c->wants_upgrade = p->upgrade;
    return c->has_body ? HPE_PAUSED : 0;
}

/* Framed for the upstream. */
static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct carrier *c = p->data;

    if (len == 0 || !c->up)
        return 0;
    if (c->chunked_body)
        buf_printf(&c->out, "%zx\r\n", len);
    buf_append(&c->out, at, len);
    if (c->chunked_body)
        buf_append(&c->out, "\r\n", 2);
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    struct carrier *c = p->data;

    c->request_complete = true;
    if (c->chunked_body && c->up)
        buf_append(&c->out, "0\r\n\r\n", 5);
    return p->upgrade ? 0 : HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* Sends the pieces of body that were read just now. */
static void forward_body(struct carrier *c)
{
    if (c->out.len == 0 || !c->up || c->can_repeat)
        return;
    bool sent = peer_send(&c->up->peer, c->out.ptr, c->out.len);
    buf_clear(&c->out);
    if (!sent)
        return; /* its answer may have come before it stopped reading; reading tells */
    await_body(c);
    if (!c->request_complete && peer_is_full(&c->up->peer))
        peer_read_stop(&c->peer);
}

static void refuse_head(struct carrier *c)
{
    c->keep_alive = c->request_complete = false;
    c->hit = (struct directory_hit){ 0 };
    c->target = NULL;
    c->started_ns = 0;
    if (c->head.too_large)
        carrier_answer(c, 431, "The request head is larger than %d KiB or has more than %d headers.",
                       CARRIER_MAX_HEAD_BYTES / 1024, CARRIER_MAX_HEADERS);
    else
        carrier_answer(c, 400, "The request is not valid HTTP/1.1.");
}

static void parse_failed(struct carrier *c)
{
    if (c->state == CARRIER_HEAD) {
        refuse_head(c);
    } else if (c->state == CARRIER_CARRYING && !c->answer_begun) {
        drop_upstream(c); /* the Worker sees a cut */
        c->keep_alive = false;
        carrier_answer(c, 400, "The request's body is not valid HTTP/1.1.");
    } else {
        carrier_close(c); /* now the client sees it, too */
    }
}

/* One call of the parser. True: there may be more to parse now. */
static bool parse_step(struct carrier *c, const char **data, size_t *len)
{
    llhttp_errno_t code = llhttp_execute(&c->parser, *data, *len);
    const char *stop = code == HPE_OK ? *data + *len : llhttp_get_error_pos(&c->parser);

    *len -= (size_t)(stop - *data);
    *data = stop;
    if (code == HPE_PAUSED)
        llhttp_resume(&c->parser);
    else if (code == HPE_PAUSED_UPGRADE)
        llhttp_resume_after_upgrade(&c->parser);
    else if (code != HPE_OK) {
        parse_failed(c);
        return false;
    }
    if (c->state == CARRIER_HEAD && c->head_complete)
        request_begin(c);
    else
        forward_body(c);
    return code != HPE_OK && ((c->state == CARRIER_IDLE && !peer_is_full(&c->peer)) ||
                              (c->state == CARRIER_CARRYING && !c->request_complete));
}

/* Takes bytes up to the end of a request, whose answer comes before what is behind it. Gives how many it took. */
static size_t parse(struct carrier *c, const char *data, size_t len)
{
    const char *start = data;
    bool more = true;

    c->parsing = true;
    while (more && len > 0) {
        if (c->state == CARRIER_IDLE) {
            carrier_move(c, CARRIER_HEAD);
            set_deadline(c, HEAD_MS);
        }
        more = parse_step(c, &data, &len);
    }
    c->parsing = false;
    return (size_t)(data - start);
}

/* The client sends no more. It may still read: answers under way go on. */
static void take_end(struct carrier *c)
{
    c->peer_done = true;
    if (c->state == CARRIER_SPLICED && c->up) {
        set_deadline(c, HALF_CLOSED_MS);
        peer_end(&c->up->peer);
    } else if (c->state == CARRIER_LINGER) {
        close_when_sent(c);
    } else if (c->state == CARRIER_IDLE) {
        go_on(c);
    } else if (waits(c)) {
        await_answer(c);
    } else {
        carrier_close(c); /* half a request */
    }
}

static void on_read(struct peer *p, const char *data, ssize_t n)
{
    struct carrier *c = CONTAINER_OF(p, struct carrier, peer);

    if (n == UV_EOF) {
        take_end(c);
    } else if (n < 0) {
        carrier_close(c); /* gone: nobody waits for an answer */
    } else if (c->state == CARRIER_SPLICED) {
        splice_to_upstream(c, data, (size_t)n);
    } else if (c->state != CARRIER_LINGER) {
        size_t taken = waits(c) ? 0 : parse(c, data, (size_t)n);
        buf_append(&c->pending, data + taken, (size_t)n - taken);
        if (c->pending.len > PENDING_MAX)
            peer_read_stop(p);
        if (taken)
            go_on(c);
    }
}

static void on_drained(struct peer *p)
{
    struct carrier *c = CONTAINER_OF(p, struct carrier, peer);

    if (c->up)
        peer_read_start(&c->up->peer);
    else if (c->state == CARRIER_IDLE)
        go_on(c);
    else
        close_when_sent(c);
}

static void on_broken(struct peer *p)
{
    carrier_close(CONTAINER_OF(p, struct carrier, peer));
}

/* ---- life ---- */

void carrier_open(struct proxy_share *share, int fd)
{
    struct carrier *c = share->draining ? NULL : calloc(1, sizeof(*c));
    socklen_t len = sizeof(c->address);

    if (!c) {
        (void)close(fd); /* no memory for it, or going down: the client sees a closed connection */
        return;
    }
    c->share = share;
    (void)getpeername(fd, (struct sockaddr *)&c->address, &len); /* stays AF_UNSPEC when the client left already */
    c->peer.receive = share->receive;
    c->peer.receive_cap = sizeof(share->receive);
    c->peer.on_read = on_read;
    c->peer.on_drained = on_drained;
    c->peer.on_broken = on_broken;
    c->peer.on_closed = on_closed;
    llhttp_init(&c->parser, HTTP_REQUEST, &parser_settings);
    c->parser.data = c;
    c->next = share->carriers;
    if (c->next)
        c->next->prev = c;
    share->carriers = c;
    share->n_open++;
    atomic_fetch_add_explicit(&share->proxy->n_files, 1, memory_order_relaxed);
    if (peer_open(&c->peer, &share->loop->uv, fd, true) != 0) {
        carrier_close(c);
        return;
    }
    set_deadline(c, IDLE_MS);
    peer_read_start(&c->peer);
}

void carrier_drain(struct carrier *c)
{
    bool between = c->state == CARRIER_IDLE || c->state == CARRIER_HEAD;

    if (between && peer_queued(&c->peer))
        linger(c); /* the end of an answer is still on its way */
    else if (between || c->state == CARRIER_SPLICED || (c->state == CARRIER_LINGER && !peer_queued(&c->peer)))
        carrier_close(c);
}

/* The client takes nothing of what is queued for it. */
static bool is_stalled(struct carrier *c, int64_t now)
{
    size_t queued = peer_queued(&c->peer);
    uint64_t taken = c->peer.n_given - queued;

    if (queued == 0 || taken != c->stalled_at) {
        c->stalled_at = taken;
        c->stalled_since_ms = now;
    }
    return queued && now - c->stalled_since_ms > STALL_MS;
}

static void check_hold(struct carrier *c, int64_t now)
{
    if (c->state != CARRIER_CARRYING || c->answer_begun || !c->target || c->target->state == TARGET_UP)
        return;
    if (now - atomic_load(&c->target->down_since_ms) < HOLD_MS)
        return;
    const char *why = atomic_load(&c->target->why_down);
    drop_upstream(c);
    carrier_answer(c, 503, "The Worker '%s' %s and could not be started again yet.", c->hit.name,
                   why ? why : "stopped");
}

void carrier_tick(struct carrier *c, int64_t now)
{
    if (c->state == CARRIER_CLOSED)
        return;
    if (peer_queued(&c->peer) && (c->state == CARRIER_IDLE || c->state == CARRIER_LINGER))
        set_deadline(c, c->state == CARRIER_IDLE ? IDLE_MS : LINGER_MS); /* these begin when all is sent */
    if ((c->deadline_ms && now >= c->deadline_ms) || is_stalled(c, now)) {
        carrier_close(c);
        return;
    }
    check_hold(c, clock_mono_ns() / 1000000);
}
