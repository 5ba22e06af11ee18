/* ws_client.c - see ws_client.h. */
#include "cli/ws_client.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/ids.h"
#include "cli/curl_lib.h"
#include "cli/interrupt.h"
#include "http/ws_frame.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { CONNECT_TIMEOUT_MS = 15000, HANDSHAKE_MAX_BYTES = 16 * 1024, MESSAGE_MAX_BYTES = 16 * 1024 * 1024 };
enum { MASK_BYTES = 4, MASK_BIT = 0x80 };

struct ws_client {
    const struct curl_lib *lib;
    CURL *curl;
    curl_socket_t fd;
    struct ws_reader reader;
};

/* ---- bytes ---- */

static enum status wait_for(struct ws_client *c, short events, int timeout_ms, struct error *err)
{
    struct pollfd p = { .fd = c->fd, .events = events };
    int n = poll(&p, 1, timeout_ms);

    if (interrupt_requested())
        return interrupt_error(err);
    if (n < 0 && errno != EINTR)
        return error_errno(err, errno, "cannot wait for the server");
    return n > 0 ? STATUS_OK : error_set(err, STATUS_TIMEOUT, 0, "the server says nothing");
}

static enum status send_all(struct ws_client *c, struct slice bytes, struct error *err)
{
    while (bytes.len) {
        size_t n = 0;
        CURLcode rc = c->lib->easy_send(c->curl, bytes.ptr, bytes.len, &n);
        if (rc == CURLE_AGAIN) {
            enum status st = wait_for(c, POLLOUT, CONNECT_TIMEOUT_MS, err);
            if (st != STATUS_OK)
                return st;
            continue;
        }
        if (rc != CURLE_OK)
            return error_set(err, STATUS_IO, (int)rc, "the connection is lost: %s", c->lib->easy_strerror(rc));
        bytes = slice_from(bytes, n);
    }
    return STATUS_OK;
}

/* At least one byte, within the time. TIMEOUT; IO: the end. */
static enum status receive(struct ws_client *c, char *into, size_t room, size_t *ret_n, int timeout_ms,
                           struct error *err)
{
    for (;;) {
        CURLcode rc = c->lib->easy_recv(c->curl, into, room, ret_n);
        if (rc == CURLE_OK && *ret_n > 0)
            return STATUS_OK;
        if (rc != CURLE_AGAIN)
            return error_set(err, STATUS_IO, (int)rc, "the connection is lost: %s",
                             rc == CURLE_OK ? "the server closed it" : c->lib->easy_strerror(rc));
        enum status st = wait_for(c, POLLIN, timeout_ms, err);
        if (st != STATUS_OK)
            return st;
    }
}

/* ---- the handshake ---- */

struct address {
    char *url; /* for libcurl: http or https, without the path */
    struct slice host, path;
};

static enum status parse_address(const char *url, struct address *ret, struct error *err)
{
    struct slice rest = slice_cstr(url);
    bool secure = slice_starts(rest, SLICE_LIT("wss://"));

    if (!secure && !slice_starts(rest, SLICE_LIT("ws://")))
        return error_set(err, STATUS_INVALID, 0, "'%s' is no address of a WebSocket", url);
    rest = slice_from(rest, secure ? 6 : 5);
    const char *slash = memchr(rest.ptr, '/', rest.len);
    ret->host = slice_of(rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len);
    ret->path = slash ? slice_from(rest, ret->host.len) : SLICE_LIT("/");
    if (asprintf(&ret->url, "%s://%.*s/", secure ? "https" : "http", SLICE_FMT(ret->host)) < 0)
        abort();
    return STATUS_OK;
}

static enum status connect_to(struct ws_client *c, const struct address *a, struct error *err)
{
    char detail[CURL_ERROR_SIZE] = "";

    c->lib->easy_setopt(c->curl, CURLOPT_URL, a->url);
    c->lib->easy_setopt(c->curl, CURLOPT_CONNECT_ONLY, 1L);
    c->lib->easy_setopt(c->curl, CURLOPT_HTTPPROXYTUNNEL, 1L); /* a proxy must not look into it */
    c->lib->easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    c->lib->easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    c->lib->easy_setopt(c->curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode rc = c->lib->easy_perform(c->curl);
    c->lib->easy_setopt(c->curl, CURLOPT_ERRORBUFFER, NULL);
    if (rc == CURLE_OK)
        rc = c->lib->easy_getinfo(c->curl, CURLINFO_ACTIVESOCKET, &c->fd);
    if (rc == CURLE_OK)
        return STATUS_OK;
    return error_set(err, STATUS_IO, (int)rc, "no connection to %s: %s", a->url,
                     detail[0] ? detail : c->lib->easy_strerror(rc));
}

/* What the server must answer to our key. */
static void expected_accept(const char *key, struct buf *ret)
{
    unsigned char digest[SHA1_BYTES];
    struct buf text = { 0 };

    buf_printf(&text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(buf_slice(&text), digest);
    base64_encode(ret, slice_of((const char *)digest, sizeof(digest)));
    buf_release(&text);
}

static enum status read_head(struct ws_client *c, struct buf *head, size_t *ret_len, struct error *err)
{
    char chunk[1024];
    size_t n;

    for (;;) {
        enum status st = receive(c, chunk, sizeof(chunk), &n, CONNECT_TIMEOUT_MS, err);
        if (st != STATUS_OK)
            return st;
        buf_append(head, chunk, n);
        const char *end = memmem(head->ptr, head->len, "\r\n\r\n", 4);
        if (end) {
            *ret_len = (size_t)(end - head->ptr) + 4;
            return STATUS_OK;
        }
        if (head->len > HANDSHAKE_MAX_BYTES)
            return error_set(err, STATUS_IO, 0, "the server's answer is no WebSocket handshake");
    }
}

static struct slice header_of(struct slice head, const char *name)
{
    while (head.ptr) {
        struct slice value = slice_trim(slice_cut(&head, '\n')), key = slice_cut(&value, ':');
        if (value.ptr && slice_eq_nocase(key, slice_cstr(name)))
            return slice_trim(value);
    }
    return SLICE_NONE;
}

static enum status check_head(struct slice head, const char *key, struct error *err)
{
    struct slice rest = head, status = slice_trim(slice_cut(&rest, '\n'));
    struct buf accept = { 0 };

    expected_accept(key, &accept);
    bool good = slice_starts(status, SLICE_LIT("HTTP/1.1 101")) &&
                slice_eq(header_of(rest, "Sec-WebSocket-Accept"), buf_slice(&accept));
    buf_release(&accept);
    if (good)
        return STATUS_OK;
    return error_set(err, STATUS_IO, 0, "the server opens no WebSocket: %.*s", SLICE_FMT(status));
}

static enum status shake_hands(struct ws_client *c, const struct address *a, const char *protocol, struct error *err)
{
    struct buf key = { 0 }, request = { 0 }, head = { 0 };
    char random[16];
    size_t head_len = 0;

    random_bytes(random, sizeof(random));
    base64_encode(&key, slice_of(random, sizeof(random)));
    buf_printf(
        &request,
        "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\nUser-Agent: dione\r\n\r\n",
        SLICE_FMT(a->path), SLICE_FMT(a->host), key.ptr, protocol);
    enum status st = send_all(c, buf_slice(&request), err);
    if (st == STATUS_OK)
        st = read_head(c, &head, &head_len, err);
    if (st == STATUS_OK)
        st = check_head(slice_of(head.ptr, head_len), key.ptr, err);
    /* The first messages may have come with it. */
    if (st == STATUS_OK && !ws_reader_feed(&c->reader, slice_from(buf_slice(&head), head_len)))
        abort();
    buf_release(&key);
    buf_release(&request);
    buf_release(&head);
    return st;
}

enum status ws_client_open(const char *url, const char *protocol, struct ws_client **ret, struct error *err)
{
    struct ws_client *c = calloc(1, sizeof(*c));
    struct address a = { 0 };

    if (!c)
        abort();
    c->reader.max_bytes = MESSAGE_MAX_BYTES;
    enum status st = parse_address(url, &a, err);
    if (st == STATUS_OK)
        st = curl_lib_get(&c->lib, err);
    if (st == STATUS_OK) {
        c->curl = c->lib->easy_init();
        st = c->curl ? connect_to(c, &a, err) : error_set(err, STATUS_NOMEM, 0, "libcurl does not start");
    }
    if (st == STATUS_OK)
        st = shake_hands(c, &a, protocol, err);
    free(a.url);
    if (st != STATUS_OK) {
        ws_client_free(c);
        return st;
    }
    *ret = c;
    return STATUS_OK;
}

void ws_client_free(struct ws_client *c)
{
    if (!c)
        return;
    if (c->curl)
        c->lib->easy_cleanup(c->curl);
    ws_reader_release(&c->reader);
    free(c);
}

/* ---- messages ---- */

/* A client masks what it sends. */
static enum status send_frame(struct ws_client *c, enum ws_kind kind, struct slice payload, struct error *err)
{
    unsigned char head[WS_HEAD_MAX], mask[MASK_BYTES];
    struct buf frame = { 0 };
    size_t len = ws_frame_head(kind, payload.len, head);

    head[1] |= MASK_BIT;
    random_bytes(mask, sizeof(mask));
    buf_append(&frame, head, len);
    buf_append(&frame, mask, sizeof(mask));
    for (size_t i = 0; i < payload.len; i++)
        buf_append_char(&frame, (char)((unsigned char)payload.ptr[i] ^ mask[i % MASK_BYTES]));
    enum status st = send_all(c, buf_slice(&frame), err);
    buf_release(&frame);
    return st;
}

enum status ws_client_send_text(struct ws_client *c, struct slice text, struct error *err)
{
    return send_frame(c, WS_TEXT, text, err);
}

enum status ws_client_ping(struct ws_client *c, struct error *err)
{
    return send_frame(c, WS_PING, SLICE_LIT("dione"), err);
}

static enum ws_event closed(struct ws_client *c, const struct ws_message *m, struct error *err)
{
    struct error ignored;

    (void)send_frame(c, WS_CLOSE, SLICE_LIT(""), &ignored); /* the polite answer; the server has left anyway */
    if (m->code == WS_CLOSE_NORMAL)
        return WS_EVENT_CLOSED;
    (void)error_set(err, STATUS_IO, 0, "the server closed the connection (%d) %.*s", m->code, SLICE_FMT(m->payload));
    return WS_EVENT_LOST;
}

/* What the reader holds already. IDLE: it needs more bytes. */
static enum ws_event next_message(struct ws_client *c, struct slice *ret_text, struct error *err)
{
    struct ws_message m;

    for (;;) {
        switch (ws_reader_next(&c->reader, &m)) {
        case WS_READ_MORE:
            return WS_EVENT_IDLE;
        case WS_READ_FAILED:
            (void)error_set(err, STATUS_IO, 0, "the server sent what is no WebSocket message (%d)", m.code);
            return WS_EVENT_LOST;
        case WS_READ_MESSAGE:
            break;
        }
        switch (m.kind) {
        case WS_TEXT:
        case WS_BINARY: /* Cloudflare sends its JSON so */
            *ret_text = m.payload;
            return WS_EVENT_TEXT;
        case WS_PONG:
            return WS_EVENT_PONG;
        case WS_CLOSE:
            return closed(c, &m, err);
        case WS_PING:
            if (send_frame(c, WS_PONG, m.payload, err) != STATUS_OK)
                return WS_EVENT_LOST;
        }
    }
}

enum ws_event ws_client_next(struct ws_client *c, int timeout_ms, struct slice *ret_text, struct error *err)
{
    int64_t until_ns = clock_mono_ns() + (int64_t)timeout_ms * 1000000;
    char chunk[16 * 1024];

    for (;;) {
        enum ws_event event = next_message(c, ret_text, err);
        int64_t left_ms = (until_ns - clock_mono_ns()) / 1000000;
        size_t n;
        if (event != WS_EVENT_IDLE || left_ms < 0)
            return event;
        enum status st = receive(c, chunk, sizeof(chunk), &n, (int)left_ms, err);
        if (st == STATUS_TIMEOUT)
            return WS_EVENT_IDLE;
        if (st != STATUS_OK)
            return WS_EVENT_LOST;
        if (!ws_reader_feed(&c->reader, slice_of(chunk, n)))
            abort();
    }
}
