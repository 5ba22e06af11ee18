/*
 * websocket.c - see websocket.h.
 *
 * Whatever is sent travels as a message to the loop that owns the connection, also from that loop itself, so that it
 * leaves in the order of the calls. Each holds a reference until libuv has written it.
 */
#include "http/websocket.h"

#include "base/base64.h"
#include "base/digest.h"
#include "http/conn.h"
#include "http/ws_frame.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    DEFAULT_MESSAGE_BYTES = 1 << 20,
    DEFAULT_QUEUE_BYTES = 4 << 20,
    PING_MS = 30 * 1000,    /* without a word from the client; after as long again it counts as dead */
    FAREWELL_MS = 5 * 1000, /* for the client's answer to our close frame */
    KEY_BYTES = 16,
};

struct websocket {
    struct websocket_options opt;
    struct loop *loop;
    _Atomic int refs; /* the caller's, the connection's, one for each message under way */
    _Atomic size_t queued_bytes;
    _Atomic bool closed; /* nothing more goes out */

    /* Owned by: loop. */
    struct conn *conn; /* NULL: gone */
    struct ws_reader reader;
    bool heard;    /* something since the last ping */
    bool said_bye; /* our close frame was sent */
    struct loop_msg start;
};

/* Bytes on their way to the client. */
struct out {
    struct loop_msg msg;
    uv_write_t write;
    struct websocket *ws;
    struct buf bytes;
    bool is_bye;
};

static void ref(struct websocket *ws)
{
    atomic_fetch_add_explicit(&ws->refs, 1, memory_order_relaxed);
}

void websocket_unref(struct websocket *ws)
{
    if (!ws || atomic_fetch_sub(&ws->refs, 1) > 1)
        return;
    ws_reader_release(&ws->reader);
    free(ws);
}

/* ---- out ---- */

static void out_free(struct out *o)
{
    struct websocket *ws = o->ws;

    atomic_fetch_sub(&ws->queued_bytes, o->bytes.len);
    buf_release(&o->bytes);
    free(o);
    websocket_unref(ws);
}

static void on_written(uv_write_t *write, int rc)
{
    struct out *o = write->data;
    struct conn *c = o->ws->conn;

    if (c && rc != 0)
        conn_close(c);
    out_free(o);
}

/* In what order frames reach the client is decided here. */
static void out_send(struct out *o)
{
    struct websocket *ws = o->ws;
    uv_buf_t b = uv_buf_init(o->bytes.ptr, (unsigned)o->bytes.len);

    if (!ws->conn || ws->said_bye) {
        out_free(o);
        return;
    }
    if (o->is_bye) {
        ws->said_bye = true;
        conn_set_deadline(ws->conn, FAREWELL_MS);
    }
    o->write.data = o;
    if (uv_write(&o->write, &ws->conn->uv.stream, &b, 1, on_written) != 0) {
        conn_close(ws->conn);
        out_free(o);
    }
}

static void deliver_out(struct loop_msg *msg)
{
    out_send(CONTAINER_OF(msg, struct out, msg));
}

/* `len` bytes of room are promised. NULL: the queue or the memory is full. */
static struct out *out_new(struct websocket *ws, size_t len)
{
    struct out *o = calloc(1, sizeof(*o));

    if (!o)
        return NULL;
    *o = (struct out){ .msg.deliver = deliver_out, .ws = ws };
    if (buf_try_reserve(&o->bytes, len))
        return o;
    free(o);
    return NULL;
}

static struct out *frame_new(struct websocket *ws, enum ws_kind kind, struct slice payload)
{
    unsigned char head[WS_HEAD_MAX];
    size_t head_len = ws_frame_head(kind, payload.len, head);
    struct out *o = out_new(ws, head_len + payload.len);

    if (!o)
        return NULL;
    buf_append(&o->bytes, head, head_len);
    buf_append_slice(&o->bytes, payload);
    ref(ws);
    atomic_fetch_add(&ws->queued_bytes, o->bytes.len);
    return o;
}

bool websocket_send(struct websocket *ws, struct slice text)
{
    if (atomic_load(&ws->closed) || atomic_load(&ws->queued_bytes) + text.len + WS_HEAD_MAX > ws->opt.max_queue_bytes)
        return false;
    struct out *o = frame_new(ws, WS_TEXT, text);
    if (!o)
        return false;
    loop_post(ws->loop, &o->msg);
    return true;
}

static struct out *bye_new(struct websocket *ws, int code, struct slice reason)
{
    char payload[125] = { (char)(code >> 8), (char)code };
    size_t len = reason.len > sizeof(payload) - 2 ? sizeof(payload) - 2 : reason.len;

    if (len)
        memcpy(payload + 2, reason.ptr, len);
    struct out *o = frame_new(ws, WS_CLOSE, code == WS_CLOSE_NONE ? SLICE_LIT("") : slice_of(payload, 2 + len));
    if (o)
        o->is_bye = true;
    return o;
}

void websocket_close(struct websocket *ws, int code, const char *reason)
{
    if (atomic_exchange(&ws->closed, true))
        return;
    struct out *o = bye_new(ws, code, slice_cstr(reason));
    if (o)
        loop_post(ws->loop, &o->msg); /* without memory for it, the next ping ends the connection */
}

/* ---- in: loop thread ---- */

/* A frame of our own, at once. False: no memory, and the connection is closed. */
static bool say(struct websocket *ws, struct out *o)
{
    if (!o) {
        conn_close(ws->conn);
        return false;
    }
    out_send(o);
    return ws->conn != NULL;
}

/* Says bye (unless we did) and lets go of the socket, which libuv does only behind what is still to be written. */
static void part(struct websocket *ws, int code)
{
    atomic_store(&ws->closed, true);
    if (!ws->said_bye && !say(ws, bye_new(ws, code, SLICE_NONE)))
        return;
    conn_linger(ws->conn);
}

/* False: the connection is over. */
static bool take_message(struct websocket *ws, const struct ws_message *m)
{
    switch (m->kind) {
    case WS_TEXT:
        if (ws->opt.on_text && !ws->said_bye)
            ws->opt.on_text(ws->opt.arg, m->payload.ptr ? m->payload : SLICE_LIT(""));
        return ws->conn != NULL;
    case WS_BINARY:
        part(ws, WS_CLOSE_UNSUPPORTED);
        return false;
    case WS_PING:
        /* Whoever asks and never reads the answers is not listening. */
        if (atomic_load(&ws->queued_bytes) > ws->opt.max_queue_bytes) {
            conn_close(ws->conn);
            return false;
        }
        return say(ws, frame_new(ws, WS_PONG, m->payload));
    case WS_PONG:
        return true;
    case WS_CLOSE:
        part(ws, m->code);
        return false;
    }
    return false;
}

static void take_messages(struct websocket *ws)
{
    struct ws_message m;
    enum ws_read r;

    while ((r = ws_reader_next(&ws->reader, &m)) == WS_READ_MESSAGE)
        if (!take_message(ws, &m))
            return;
    if (r == WS_READ_FAILED)
        part(ws, m.code);
}

static void on_data(struct conn *c, struct slice data)
{
    struct websocket *ws = c->tunnel_arg;

    ws->heard = true;
    if (!ws_reader_feed(&ws->reader, data)) {
        conn_close(c);
        return;
    }
    ref(ws); /* a callback may close it */
    take_messages(ws);
    websocket_unref(ws);
}

static void on_deadline(struct conn *c)
{
    struct websocket *ws = c->tunnel_arg;

    if (ws->said_bye || atomic_load(&ws->closed) || !ws->heard) {
        conn_close(c);
        return;
    }
    ws->heard = false;
    conn_set_deadline(c, PING_MS);
    ref(ws);                                                       /* it may be closed in here */
    IGNORE_RESULT(say(ws, frame_new(ws, WS_PING, SLICE_LIT("")))); /* without memory it is closed */
    websocket_unref(ws);
}

static void on_drain(struct conn *c)
{
    struct websocket *ws = c->tunnel_arg;

    ref(ws); /* it may be closed in here */
    part(ws, WS_CLOSE_GOING_AWAY);
    websocket_unref(ws);
}

static void on_closed(struct conn *c)
{
    struct websocket *ws = c->tunnel_arg;

    ws->conn = NULL;
    atomic_store(&ws->closed, true);
    if (ws->opt.on_closed)
        ws->opt.on_closed(ws->opt.arg);
    websocket_unref(ws);
}

static const struct conn_tunnel tunnel = { on_data, on_deadline, on_drain, on_closed };

/* ---- the handshake ---- */

/* Whether a comma-separated header value has this token. */
static bool has_token(struct slice value, struct slice token)
{
    while (value.ptr)
        if (slice_eq_nocase(slice_trim(slice_cut(&value, ',')), token))
            return true;
    return false;
}

static bool is_key(struct slice key)
{
    struct buf bytes = { .limit = 64 };
    bool ok = base64_decode(&bytes, key) && bytes.len == KEY_BYTES;

    buf_release(&bytes);
    return ok;
}

static bool is_handshake(const struct http_request *req)
{
    return req->method == HTTP_M_GET && has_token(http_header(req, "connection"), SLICE_LIT("upgrade")) &&
           has_token(http_header(req, "upgrade"), SLICE_LIT("websocket")) &&
           slice_eq(slice_trim(http_header(req, "sec-websocket-version")), SLICE_LIT("13")) &&
           is_key(slice_trim(http_header(req, "sec-websocket-key")));
}

static void refuse(struct http_request *req)
{
    struct buf text = { 0 };

    buf_append_cstr(&text, "This address speaks WebSocket, version 13\n");
    http_respond_header(req, "Upgrade", SLICE_LIT("websocket"));
    http_respond_header(req, "Sec-WebSocket-Version", SLICE_LIT("13"));
    http_respond(req, 426, "text/plain", &text);
}

/* RFC 6455, 4.2.2: what proves that we have read the key. */
static void append_proof(struct buf *to, struct slice key)
{
    struct buf text = { 0 };
    unsigned char digest[SHA1_BYTES];

    buf_append_slice(&text, key);
    buf_append_cstr(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1(buf_slice(&text), digest);
    base64_encode(to, slice_of((const char *)digest, sizeof(digest)));
    buf_release(&text);
}

static struct out *welcome_new(struct websocket *ws, const struct http_request *req)
{
    struct out *o = out_new(ws, 512);

    if (!o)
        return NULL;
    buf_append_cstr(&o->bytes, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: ");
    append_proof(&o->bytes, slice_trim(http_header(req, "sec-websocket-key")));
    if (ws->opt.protocol && has_token(http_header(req, "sec-websocket-protocol"), slice_cstr(ws->opt.protocol))) {
        buf_append_cstr(&o->bytes, "\r\nSec-WebSocket-Protocol: ");
        buf_append_cstr(&o->bytes, ws->opt.protocol);
    }
    buf_append_cstr(&o->bytes, "\r\n\r\n");
    ref(ws);
    atomic_fetch_add(&ws->queued_bytes, o->bytes.len);
    return o;
}

static struct websocket *websocket_new(const struct http_request *req, const struct websocket_options *opt)
{
    struct websocket *ws = calloc(1, sizeof(*ws));

    if (!ws)
        return NULL;
    ws->opt = *opt;
    ws->opt.max_queue_bytes = opt->max_queue_bytes ? opt->max_queue_bytes : DEFAULT_QUEUE_BYTES;
    ws->reader.max_bytes = opt->max_message_bytes ? opt->max_message_bytes : DEFAULT_MESSAGE_BYTES;
    ws->loop = req->loop;
    ws->heard = true;
    atomic_store(&ws->refs, 2); /* the caller's and the connection's */
    return ws;
}

static void deliver_start(struct loop_msg *msg)
{
    struct websocket *ws = CONTAINER_OF(msg, struct websocket, start);

    if (ws->conn)
        conn_tunnel_go_on(ws->conn);
    websocket_unref(ws);
}

struct websocket *websocket_accept(struct http_request *req, const struct websocket_options *opt)
{
    struct conn *c = conn_of(req);

    if (c->state == CONN_CLOSED || !is_handshake(req)) {
        refuse(req);
        return NULL;
    }
    struct websocket *ws = websocket_new(req, opt);
    struct out *welcome = ws ? welcome_new(ws, req) : NULL;
    if (!welcome) {
        free(ws);
        conn_fail(c, STATUS_NOMEM, "out of memory");
        return NULL;
    }
    ws->conn = c;
    conn_open_tunnel(c, &tunnel, ws);
    conn_set_deadline(c, PING_MS);
    loop_post(ws->loop, &welcome->msg);
    /* Nothing is heard, not even the end, before the caller has its socket. */
    ref(ws);
    ws->start.deliver = deliver_start;
    loop_post(ws->loop, &ws->start);
    return ws;
}
