/*
 * conn.c - see conn.h.
 *
 * The usual request arrives in one read, is parsed in the loop's shared buffer, answered with one write from the same
 * stack, and leaves nothing behind: no copy, no allocation but what the handler asks of the arena. Only a request that
 * arrives in pieces, or that a handler keeps, is copied into the arena (http_request_keep).
 *
 * llhttp is paused at the end of each message, so that bytes of a pipelined next request stay ours until the answer.
 */
#include "http/conn.h"

#include "base/json.h"
#include "base/log.h"
#include "http/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PENDING_MAX = 128 * 1024,        /* pipelined bytes before we stop reading */
    REQUEST_ARENA_BYTES = 256 << 20, /* a body's tree and its copies */
    LINGER_MS = 5000,
    FILE_CHUNK_BYTES = 256 * 1024,
    LEAST_PROGRESS_BYTES = 64 * 1024, /* of a body, within each request_timeout_ms */
};

static const unsigned next_states[] = {
    [CONN_IDLE] = 1U << CONN_HEAD | 1U << CONN_CLOSED,
    [CONN_HEAD] = 1U << CONN_BODY | 1U << CONN_BUSY | 1U << CONN_SENDING | 1U << CONN_CLOSED,
    [CONN_BODY] = 1U << CONN_BUSY | 1U << CONN_SENDING | 1U << CONN_CLOSED,
    [CONN_BUSY] = 1U << CONN_SENDING | 1U << CONN_CLOSED,
    [CONN_SENDING] = 1U << CONN_IDLE | 1U << CONN_LINGER | 1U << CONN_CLOSED,
    [CONN_LINGER] = 1U << CONN_CLOSED,
    [CONN_CLOSED] = 0,
};

static void conn_move(struct conn *c, enum conn_state next)
{
    if (!(next_states[c->state] & 1U << next)) {
        log_line(LOG_ERROR, "connection moved from state %d to %d", c->state, next);
        abort();
    }
    c->state = next;
}

static void set_deadline(struct conn *c, int64_t in_ms)
{
    c->deadline_ms = in_ms > 0 ? (int64_t)uv_now(&c->share->loop->uv) + in_ms : 0;
}

static struct conn *conn_of(struct http_request *req)
{
    return CONTAINER_OF(req, struct conn, req);
}

/* ---- life ---- */

static void file_answer_free(struct file_answer *f);

/* The loop that accepts reads the other loops' counts. */
static void count_conn(struct loop_share *share, int change)
{
    __atomic_store_n(&share->n_conns, share->n_conns + (size_t)change, __ATOMIC_RELAXED);
}

static void conn_free_if_done(struct conn *c)
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

static void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    const struct http_sink *sink = c->sink;
    bool receiving = c->state == CONN_BODY;

    conn_move(c, CONN_CLOSED);
    c->sink = NULL;
    if (receiving) {
        c->has_request = false;
        if (sink)
            sink->on_abort(&c->req);
    }
    uv_close(&c->uv.handle, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *ret)
{
    struct conn *c = handle->data;

    *ret = uv_buf_init(c->share->receive, sizeof(c->share->receive));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void start_reading(struct conn *c)
{
    if (c->reading || c->state == CONN_CLOSED || c->peer_done)
        return;
    c->reading = uv_read_start(&c->uv.stream, on_alloc, on_read) == 0;
    if (!c->reading)
        conn_close(c);
}

static void stop_reading(struct conn *c)
{
    if (!c->reading)
        return;
    uv_read_stop(&c->uv.stream);
    c->reading = false;
}

/* ---- the head ---- */

static void request_begin(struct conn *c)
{
    c->req = (struct http_request){
        .loop = c->share->loop, .server = c->share->server, .app = c->share->opt->app, .arena = &c->arena
    };
    c->url = SLICE_NONE;
    c->head_bytes = 0;
    c->body_bytes = c->timed_bytes = 0;
    c->body_limit = 0;
    c->sink = NULL;
    c->body_paused = false;
    c->continue_sent = false;
    c->message_complete = false;
    buf_clear(&c->body);
    buf_clear(&c->extra_headers);
    conn_move(c, CONN_HEAD);
    set_deadline(c, c->share->opt->request_timeout_ms);
}

/* Joins a further piece of a span: the same buffer as a rule, a copy when it came with another read. False: the head is
 * too large. */
static bool span_extend(struct conn *c, struct slice *span, const char *at, size_t len)
{
    c->head_bytes += len;
    if (c->head_bytes > HTTP_MAX_HEAD_BYTES)
        return false;
    if (!span->ptr) {
        *span = slice_of(at, len);
        return true;
    }
    if (span->ptr + span->len == at) {
        span->len += len;
        return true;
    }
    struct slice joined = arena_join(&c->arena, *span, slice_of(at, len));
    if (!joined.ptr)
        return false;
    *span = joined;
    return true;
}

static int on_message_begin(llhttp_t *p)
{
    struct conn *c = p->data;

    if (c->state == CONN_IDLE)
        request_begin(c);
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct conn *c = p->data;

    return span_extend(c, &c->url, at, len) ? 0 : HPE_USER;
}

/*
 * Fields beyond the table end the request. Behind a chunked body the same callbacks report trailers: they are no
 * headers, since by then the request was admitted by those that it had.
 */
static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
    struct conn *c = p->data;
    struct http_request *req = &c->req;

    if (c->state != CONN_HEAD)
        return 0;
    bool fresh = req->n_headers == 0 || req->headers[req->n_headers - 1].value.ptr;
    if (fresh) {
        if (req->n_headers == HTTP_MAX_HEADERS)
            return HPE_USER;
        req->headers[req->n_headers++] = (struct http_header){ 0 };
    }
    return span_extend(c, &req->headers[req->n_headers - 1].name, at, len) ? 0 : HPE_USER;
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
    struct conn *c = p->data;
    struct http_request *req = &c->req;

    if (c->state != CONN_HEAD)
        return 0;
    return span_extend(c, &req->headers[req->n_headers - 1].value, at, len) ? 0 : HPE_USER;
}

static enum http_method method_of(const llhttp_t *p)
{
    switch (llhttp_get_method((llhttp_t *)p)) {
    case HTTP_GET:
        return HTTP_M_GET;
    case HTTP_HEAD:
        return HTTP_M_HEAD;
    case HTTP_POST:
        return HTTP_M_POST;
    case HTTP_PUT:
        return HTTP_M_PUT;
    case HTTP_PATCH:
        return HTTP_M_PATCH;
    case HTTP_DELETE:
        return HTTP_M_DELETE;
    default:
        return HTTP_M_OTHER;
    }
}

static void fail(struct conn *c, enum status st, const char *text)
{
    struct error err;

    (void)error_set(&err, st, 0, "%s", text); /* only fills err */
    c->keep_alive = false;
    c->has_request = true;
    c->share->opt->fail(&c->req, &err);
}

static void find_route(struct conn *c)
{
    const struct http_options *opt = c->share->opt;
    struct http_request *req = &c->req;
    bool path_known;

    req->path = c->url;
    const char *mark = memchr(c->url.ptr, '?', c->url.len);
    if (mark) {
        req->path = slice_of(c->url.ptr, (size_t)(mark - c->url.ptr));
        req->query = slice_from(c->url, req->path.len + 1);
    }
    req->route = router_match(opt->routes, opt->prefix, req->method, req->path, req->arena, req->params, &path_known);
    c->has_request = true;
    if (!opt->admit(req))
        return;
    if (!req->route) {
        struct error err;
        (void)error_set(&err, path_known ? STATUS_METHOD : STATUS_NOROUTE, 0,
                        path_known ? "Method not allowed for this route" : "Could not route to %.*s, perhaps your object identifier is invalid?",
                        SLICE_FMT(req->path)); /* only fills err */
        opt->fail(req, &err);
    }
}

/* The client waits for this before it sends a large body. */
static void send_continue(struct conn *c)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t b = uv_buf_init((char *)line, sizeof(line) - 1);

    if (c->continue_sent || !slice_eq_nocase(http_header(&c->req, "expect"), SLICE_LIT("100-continue")))
        return;
    c->continue_sent = true;
    (void)uv_try_write(&c->uv.stream, &b, 1); /* 25 bytes into an empty socket; if it fails, the client goes on anyway */
}

static bool has_body(const llhttp_t *p)
{
    return (p->flags & F_CHUNKED) || ((p->flags & F_CONTENT_LENGTH) && p->content_length > 0);
}

static int on_headers_complete(llhttp_t *p)
{
    struct conn *c = p->data;
    struct http_request *req = &c->req;

    c->keep_alive = llhttp_should_keep_alive(p) && !c->share->draining;
    req->method = method_of(p);
    find_route(c);
    if (c->state != CONN_HEAD)
        return HPE_PAUSED;
    conn_move(c, CONN_BODY);
    c->body_limit = req->route->body_limit ? req->route->body_limit : c->share->opt->body_limit;
    if (req->route->begin) {
        req->route->begin(req);
        if (c->state != CONN_BODY)
            return HPE_PAUSED;
    }
    if ((p->flags & F_CONTENT_LENGTH) && p->content_length > c->body_limit) {
        const struct http_sink *sink = c->sink;
        c->sink = NULL;
        if (sink)
            sink->on_abort(req);
        char text[96];
        snprintf(text, sizeof(text), "The request body is larger than the limit of %llu bytes",
                 (unsigned long long)c->body_limit);
        fail(c, STATUS_TOOBIG, text);
        return HPE_PAUSED;
    }
    if (has_body(p))
        send_continue(c);
    return 0;
}

/* ---- the body ---- */

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct conn *c = p->data;

    if (c->state != CONN_BODY)
        return HPE_PAUSED;
    if (len == 0)
        return 0;
    c->body_bytes += len;
    if (c->body_bytes > c->body_limit)
        return HPE_USER;
    /* A drip does not count as progress. */
    if (c->body_bytes - c->timed_bytes >= LEAST_PROGRESS_BYTES) {
        c->timed_bytes = c->body_bytes;
        set_deadline(c, c->share->opt->request_timeout_ms);
    }
    if (c->sink) {
        c->sink->on_data(&c->req, slice_of(at, len));
        return c->body_paused || c->state != CONN_BODY ? HPE_PAUSED : 0;
    }
    /* In one piece: lent. In several: collected. */
    if (c->body_bytes == len && ((p->flags & F_CONTENT_LENGTH) && p->content_length == 0)) {
        c->req.body = slice_of(at, len);
        return 0;
    }
    buf_append(&c->body, at, len);
    return c->body.overflowed ? HPE_USER : 0;
}

static int on_message_complete(llhttp_t *p)
{
    struct conn *c = p->data;

    if (c->state == CONN_BODY && !c->req.body.ptr)
        c->req.body = buf_slice(&c->body);
    c->message_complete = true;
    return HPE_PAUSED;
}

static void dispatch(struct conn *c)
{
    const struct http_sink *sink = c->sink;

    conn_move(c, CONN_BUSY);
    c->deadline_ms = 0;
    c->sink = NULL;
    if (sink)
        sink->on_end(&c->req);
    else
        c->req.route->handle(&c->req);
}

/* ---- parsing ---- */

static void parse_failed(struct conn *c, llhttp_errno_t code)
{
    const struct http_sink *sink = c->sink;

    if (c->state == CONN_IDLE)
        request_begin(c);
    c->sink = NULL;
    if (sink)
        sink->on_abort(&c->req);
    if (code == HPE_USER && c->state == CONN_HEAD)
        fail(c, STATUS_HEAD, "The request head is larger than 64 KiB or has more than 64 headers");
    else if (code == HPE_USER)
        fail(c, STATUS_TOOBIG, "The request body is larger than the limit");
    else
        fail(c, STATUS_INVALID, "The request is not valid HTTP/1.1");
}

/* Copies *s into the arena when it points into the bytes being parsed. */
static bool keep_slice(struct conn *c, struct slice *s)
{
    if (s->ptr < c->lent || s->ptr >= c->lent_end)
        return true;
    *s = arena_copy(&c->arena, *s);
    return s->ptr != NULL;
}

static bool keep_head(struct conn *c)
{
    struct http_request *req = &c->req;
    bool ok = keep_slice(c, &c->url) && keep_slice(c, &req->path) && keep_slice(c, &req->query);

    for (size_t i = 0; ok && i < req->n_headers; i++)
        ok = keep_slice(c, &req->headers[i].name) && keep_slice(c, &req->headers[i].value);
    for (size_t i = 0; ok && i < HTTP_MAX_PARAMS; i++)
        ok = keep_slice(c, &req->params[i]);
    return ok;
}

bool http_request_keep(struct http_request *req)
{
    struct conn *c = conn_of(req);

    return keep_head(c) && keep_slice(c, &req->body);
}

bool http_request_keep_body(struct http_request *req)
{
    return keep_slice(conn_of(req), &req->body);
}

/* The rest of the request comes with another read. */
static void keep_partial(struct conn *c)
{
    if (c->state != CONN_HEAD && c->state != CONN_BODY)
        return;
    if (!keep_head(c))
        fail(c, STATUS_NOMEM, "The request needs more memory than a request may use");
}

/* One call of the parser. False: stop. `*data` and `*len` move on. */
static bool parse_step(struct conn *c, const char **data, size_t *len)
{
    llhttp_errno_t code = llhttp_execute(&c->parser, *data, *len);
    const char *stop = code == HPE_OK ? *data + *len : llhttp_get_error_pos(&c->parser);

    *len -= (size_t)(stop - *data);
    *data = stop;
    switch (code) {
    case HPE_OK:
        return false;
    case HPE_PAUSED:
        llhttp_resume(&c->parser);
        break;
    case HPE_PAUSED_UPGRADE:
        llhttp_resume_after_upgrade(&c->parser); /* we never upgrade: answered as a plain request */
        break;
    default:
        parse_failed(c, code);
        return false;
    }
    if (c->state == CONN_BODY && c->message_complete)
        dispatch(c);
    return c->state <= CONN_BODY && !c->body_paused;
}

/* Takes one read; goes on with pipelined requests as long as each is answered at once. Runs the parser at least
 * once, since it may have stopped right before the end of a message. */
static void conn_parse(struct conn *c, const char *data, size_t len)
{
    bool more = c->state <= CONN_BODY && !c->body_paused;

    c->lent = data;
    c->lent_end = data + len;
    c->parsing = true;
    while (more)
        more = parse_step(c, &data, &len) && (len > 0 || c->state != CONN_IDLE);
    keep_partial(c);
    c->parsing = false;
    c->lent = c->lent_end = NULL;
    if (len && c->state <= CONN_SENDING) {
        buf_append(&c->pending, data, len);
        if (c->pending.overflowed)
            conn_close(c);
        else if (c->pending.len > PENDING_MAX || c->body_paused)
            stop_reading(c);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;

    if (n == 0)
        return;
    if (n < 0) {
        stop_reading(c);
        c->peer_done = true;
        if (c->state == CONN_BUSY && c->req.on_gone)
            c->req.on_gone(&c->req);
        /* Half-closed clients still get the answer that is under way, also to a body that waits for its sink. */
        if (c->state != CONN_BUSY && c->state != CONN_SENDING && !c->body_paused)
            conn_close(c);
        return;
    }
    if (c->state == CONN_LINGER)
        return;
    if (c->state == CONN_BUSY || c->state == CONN_SENDING || c->body_paused) {
        buf_append(&c->pending, buf->base, (size_t)n);
        if (c->pending.len > PENDING_MAX)
            stop_reading(c);
        return;
    }
    conn_parse(c, buf->base, (size_t)n);
}

/* Bytes that came while a request was under way. */
static void parse_pending(struct conn *c)
{
    struct buf bytes = buf_take(&c->pending);

    /* Never NULL: llhttp would take it for "no span is open" and report the rest of a body from address 0. */
    conn_parse(c, bytes.ptr ? bytes.ptr : "", bytes.len);
    buf_release(&bytes);
}

/* ---- answers ---- */

static void on_shutdown(uv_shutdown_t *shutdown, int rc UNUSED)
{
    free(shutdown);
}

/* Our side is said; gives the client time to read it before the socket goes. */
static void linger(struct conn *c)
{
    uv_shutdown_t *shutdown = calloc(1, sizeof(*shutdown));

    conn_move(c, CONN_LINGER);
    set_deadline(c, LINGER_MS);
    if (!shutdown || c->peer_done || uv_shutdown(shutdown, &c->uv.stream, on_shutdown) != 0) {
        free(shutdown);
        conn_close(c);
        return;
    }
    start_reading(c);
}

static void request_end(struct conn *c)
{
    c->has_request = false;
    c->unsent_bytes = 0;
    arena_reset(&c->arena);
    if (c->body.cap > 16 * 1024)
        buf_release(&c->body);
    buf_release(&c->answer);
    if (c->state == CONN_CLOSED) {
        conn_free_if_done(c);
        return;
    }
    if (!c->keep_alive || c->share->draining) {
        linger(c);
        return;
    }
    conn_move(c, CONN_IDLE);
    set_deadline(c, c->share->opt->idle_timeout_ms);
}

/* Takes the bytes that have waited; then more must come, and from a client that has closed its side none will. */
static void parse_on(struct conn *c)
{
    parse_pending(c);
    if (c->state > CONN_BODY || c->body_paused)
        return;
    if (c->peer_done)
        conn_close(c);
    else
        start_reading(c);
}

/* After an answer that was not sent from within conn_parse: the next request may be waiting. */
static void conn_go_on(struct conn *c)
{
    if (c->state == CONN_IDLE)
        parse_on(c);
}

static void on_written(uv_write_t *write, int rc)
{
    struct conn *c = write->data;

    if (rc != 0)
        conn_close(c);
    request_end(c);
    if (rc == 0)
        conn_go_on(c);
}

/* Sends what is in head and answer. True when all of it went at once. */
static bool send_answer(struct conn *c, uv_write_cb then)
{
    uv_buf_t bufs[2] = { uv_buf_init(c->head.ptr, (unsigned)c->head.len),
                         uv_buf_init(c->answer.ptr, (unsigned)c->answer.len) };
    unsigned n = c->answer.len ? 2 : 1;

    int sent = uv_try_write(&c->uv.stream, bufs, n);
    if (sent < 0 && sent != UV_EAGAIN) {
        conn_close(c);
        return true;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == c->head.len + c->answer.len)
        return true;
    for (unsigned i = 0; i < n && done; i++) {
        size_t part = done < bufs[i].len ? done : bufs[i].len;
        bufs[i].base += part;
        bufs[i].len -= part;
        done -= part;
    }
    unsigned first = bufs[0].len ? 0 : 1;
    c->write.data = c;
    if (uv_write(&c->write, &c->uv.stream, bufs + first, n - first, then) != 0) {
        conn_close(c);
        return true;
    }
    return false;
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Payload Too Large";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static void build_head(struct conn *c, int status, const char *content_type, uint64_t length)
{
    struct buf *h = &c->head;

    buf_clear(h);
    if (status == 200) {
        buf_append(h, "HTTP/1.1 200 OK\r\n", 17);
    } else {
        buf_append_cstr(h, "HTTP/1.1 ");
        json_write_u64(h, (uint64_t)status);
        buf_append_char(h, ' ');
        buf_append_cstr(h, reason(status));
        buf_append_cstr(h, "\r\n");
    }
    if (content_type) {
        buf_append_cstr(h, "Content-Type: ");
        buf_append_cstr(h, content_type);
        buf_append(h, "\r\n", 2);
    }
    if (status != 204) {
        buf_append_cstr(h, "Content-Length: ");
        json_write_u64(h, length);
        buf_append(h, "\r\n", 2);
    }
    if (!c->keep_alive)
        buf_append_cstr(h, "Connection: close\r\n");
    buf_append_slice(h, buf_slice(&c->extra_headers));
    buf_append(h, "\r\n", 2);
}

/* An answer before the whole body came would leave the rest of it in the way of the next request. */
static void begin_answer(struct conn *c)
{
    if ((c->state == CONN_HEAD || c->state == CONN_BODY) && has_body(&c->parser))
        c->keep_alive = false;
    if (c->share->draining)
        c->keep_alive = false;
    conn_move(c, CONN_SENDING);
    set_deadline(c, c->share->opt->request_timeout_ms);
}

static void answer_sent(struct conn *c)
{
    bool closed = c->state == CONN_CLOSED; /* then request_end may free it */

    request_end(c);
    if (!closed && !c->parsing)
        conn_go_on(c);
}

void http_respond_header(struct http_request *req, const char *name, struct slice value)
{
    struct buf *h = &conn_of(req)->extra_headers;

    buf_append_cstr(h, name);
    buf_append(h, ": ", 2);
    buf_append_slice(h, value);
    buf_append(h, "\r\n", 2);
}

void http_respond(struct http_request *req, int status, const char *content_type, struct buf *body)
{
    struct conn *c = conn_of(req);

    if (c->state == CONN_CLOSED) {
        buf_release(body);
        request_end(c);
        return;
    }
    begin_answer(c);
    build_head(c, status, content_type, body->len);
    buf_release(&c->answer);
    c->answer = buf_take(body);
    if (req->method == HTTP_M_HEAD)
        buf_clear(&c->answer);
    if (send_answer(c, on_written))
        answer_sent(c);
}

/* ---- files ---- */

/*
 * A file goes out in pieces: a pool thread reads one, the loop sends it, and only then the next is read, so a slow
 * client costs one piece of memory.
 */
struct file_answer {
    struct job job;
    struct loop_msg msg;
    struct conn *conn;
    int fd;
    uint64_t at, size;
    ssize_t n;         /* bytes read, or -errno */
    char *chunk;
};

static void file_answer_free(struct file_answer *f)
{
    if (!f)
        return;
    (void)close(f->fd); /* only read from */
    free(f->chunk);
    free(f);
}

/* `complete`: the client got all of it. */
static void file_end(struct conn *c, bool complete)
{
    file_answer_free(TAKE_PTR(c->file));
    if (!complete)
        conn_close(c); /* the length was promised: only a cut tells the client */
    answer_sent(c);
}

static void on_chunk_written(uv_write_t *write, int rc)
{
    struct conn *c = write->data;

    set_deadline(c, c->share->opt->request_timeout_ms);
    if (rc != 0 || c->state == CONN_CLOSED)
        file_end(c, false);
    else if (c->file->at == c->file->size)
        file_end(c, true);
    else
        pool_submit(c->share->opt->file_pool, &c->file->job);
}

static void send_chunk(struct loop_msg *msg)
{
    struct file_answer *f = CONTAINER_OF(msg, struct file_answer, msg);
    struct conn *c = f->conn;

    if (c->state == CONN_CLOSED || f->n <= 0) {
        if (f->n <= 0)
            log_line(LOG_ERROR, "file answer cut short: %s", f->n ? strerror((int)-f->n) : "file became shorter");
        file_end(c, false);
        return;
    }
    uv_buf_t b = uv_buf_init(f->chunk, (unsigned)f->n);
    f->at += (uint64_t)f->n;
    c->write.data = c;
    if (uv_write(&c->write, &c->uv.stream, &b, 1, on_chunk_written) != 0)
        file_end(c, false);
}

static void read_chunk(struct job *job)
{
    struct file_answer *f = CONTAINER_OF(job, struct file_answer, job);
    uint64_t left = f->size - f->at;

    f->n = pread(f->fd, f->chunk, left < FILE_CHUNK_BYTES ? left : FILE_CHUNK_BYTES, (off_t)f->at);
    if (f->n < 0)
        f->n = -errno;
    loop_post(f->conn->share->loop, &f->msg);
}

static void on_file_head_written(uv_write_t *write, int rc)
{
    on_chunk_written(write, rc);
}

void http_respond_file(struct http_request *req, int status, const char *content_type, int fd, uint64_t size)
{
    struct conn *c = conn_of(req);
    struct file_answer *f = calloc(1, sizeof(*f));
    char *chunk = malloc(FILE_CHUNK_BYTES);

    if (!f || !chunk || c->state == CONN_CLOSED) {
        struct buf empty = { 0 };
        free(f);
        free(chunk);
        (void)close(fd); /* only read from */
        http_respond(req, 503, NULL, &empty);
        return;
    }
    *f = (struct file_answer){ .job.run = read_chunk, .msg.deliver = send_chunk, .conn = c, .fd = fd,
                               .size = req->method == HTTP_M_HEAD ? 0 : size, .chunk = chunk };
    begin_answer(c);
    build_head(c, status, content_type, size);
    c->file = f;
    if (!send_answer(c, on_file_head_written))
        return;
    c->write.data = c;
    on_chunk_written(&c->write, c->state == CONN_CLOSED ? UV_EPIPE : 0);
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
    set_deadline(c, c->share->opt->request_timeout_ms);
    if (!c->parsing)
        parse_on(c);
}

/* ---- all connections of a loop ---- */

static const llhttp_settings_t *settings(void)
{
    static const llhttp_settings_t table = {
        .on_message_begin = on_message_begin,
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };

    return &table;
}

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
    llhttp_init(&c->parser, HTTP_REQUEST, settings());
    c->parser.data = c;
    c->next = share->conns;
    if (c->next)
        c->next->prev = c;
    share->conns = c;
    count_conn(share, 1);
    int rc = open_handle(c, fd);
    c->uv.handle.data = c;
    set_deadline(c, share->opt->idle_timeout_ms);
    if (rc != 0) {
        (void)close(fd); /* libuv did not take it */
        conn_close(c);
        return;
    }
    start_reading(c);
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
        fail(c, STATUS_SLOW, "The request did not arrive within the time limit");
        return;
    case CONN_SENDING:
        if (is_still_sending(c)) {
            set_deadline(c, c->share->opt->request_timeout_ms);
            return;
        }
        break;
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
    }
}

void conn_close_all(struct loop_share *share)
{
    for (struct conn *c = share->conns, *next; c; c = next) {
        next = c->next;
        conn_close(c);
    }
}
