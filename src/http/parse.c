/*
 * parse.c - bytes to requests: llhttp's callbacks, bodies, pipelining.
 *
 * The usual request arrives in one read, is parsed in the loop's shared buffer, answered with one write from the same
 * stack, and leaves nothing behind: no copy, no allocation but what the handler asks of the arena. Only a request that
 * arrives in pieces, or that a handler keeps, is copied into the arena (http_request_keep).
 *
 * llhttp is paused at the end of each message, so that bytes of a pipelined next request stay ours until the answer.
 */
#include "http/conn.h"

#include "http/router.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PENDING_MAX = 128 * 1024,         /* pipelined bytes before we stop reading */
    LEAST_PROGRESS_BYTES = 64 * 1024, /* of a body, within each request_timeout_ms */
};

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
    buf_clear(&c->reason);
    conn_move(c, CONN_HEAD);
    conn_set_deadline(c, c->share->opt->request_timeout_ms);
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

void conn_fail(struct conn *c, enum status st, const char *text)
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
    const struct http_route *own = opt->routes_by_header ? opt->routes_by_header(req) : NULL;
    bool path_known;

    req->path = c->url;
    const char *mark = memchr(c->url.ptr, '?', c->url.len);
    if (mark) {
        req->path = slice_of(c->url.ptr, (size_t)(mark - c->url.ptr));
        req->query = slice_from(c->url, req->path.len + 1);
    }
    req->route = router_match(own ? own : opt->routes, own ? NULL : opt->prefix, req->method, req->path, req->arena,
                              req->params, &path_known);
    c->has_request = true;
    if (!opt->admit(req))
        return;
    if (!req->route) {
        struct error err;
        (void)error_set(&err, path_known ? STATUS_METHOD : STATUS_NOROUTE, 0,
                        path_known ? "Method not allowed for this route"
                                   : "Could not route to %.*s, perhaps your object identifier is invalid?",
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
    (void)uv_try_write(&c->uv.stream, &b,
                       1); /* 25 bytes into an empty socket; if it fails, the client goes on anyway */
}

bool conn_has_body(const llhttp_t *p)
{
    return (p->flags & F_CHUNKED) || ((p->flags & F_CONTENT_LENGTH) && p->content_length > 0);
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

/* Without the request: it is refused instead. */
static void drop_sink(struct conn *c)
{
    const struct http_sink *sink = TAKE_PTR(c->sink);

    if (sink)
        sink->on_abort(&c->req);
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
    /* Even a body that comes whole with its head may be worked on later. */
    if (c->sink && !keep_head(c)) {
        drop_sink(c);
        conn_fail(c, STATUS_NOMEM, "The request needs more memory than a request may use");
        return HPE_PAUSED;
    }
    if ((p->flags & F_CONTENT_LENGTH) && p->content_length > c->body_limit) {
        drop_sink(c);
        char text[96];
        snprintf(text, sizeof(text), "The request body is larger than the limit of %llu bytes",
                 (unsigned long long)c->body_limit);
        conn_fail(c, STATUS_TOOBIG, text);
        return HPE_PAUSED;
    }
    if (conn_has_body(p))
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
        conn_set_deadline(c, c->share->opt->request_timeout_ms);
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
    if (c->state == CONN_IDLE)
        request_begin(c);
    drop_sink(c);
    if (code == HPE_USER && c->state == CONN_HEAD)
        conn_fail(c, STATUS_HEAD, "The request head is larger than 64 KiB or has more than 64 headers");
    else if (code == HPE_USER)
        conn_fail(c, STATUS_TOOBIG, "The request body is larger than the limit");
    else
        conn_fail(c, STATUS_INVALID, "The request is not valid HTTP/1.1");
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
        conn_fail(c, STATUS_NOMEM, "The request needs more memory than a request may use");
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
    c->pipelined = *len > 0;
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
    if (len && c->state <= CONN_TUNNEL) {
        buf_append(&c->pending, data, len);
        if (c->pending.overflowed)
            conn_close(c);
        else if (c->pending.len > PENDING_MAX || c->body_paused)
            conn_stop_reading(c);
    }
}

void conn_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;

    if (n == 0)
        return;
    if (n < 0) {
        conn_stop_reading(c);
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
    if (c->state == CONN_TUNNEL && !c->tunnel_waits) {
        c->tunnel->on_data(c, slice_of(buf->base, (size_t)n));
        return;
    }
    if (c->state == CONN_BUSY || c->state == CONN_SENDING || c->state == CONN_TUNNEL || c->body_paused) {
        buf_append(&c->pending, buf->base, (size_t)n);
        if (c->pending.len > PENDING_MAX)
            conn_stop_reading(c);
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

/* Takes the bytes that have waited; then more must come, and from a client that has closed its side none will. */
void conn_parse_on(struct conn *c)
{
    parse_pending(c);
    if (c->state > CONN_BODY || c->body_paused)
        return;
    if (c->peer_done)
        conn_close(c);
    else
        conn_start_reading(c);
}

const llhttp_settings_t *conn_parser_settings(void)
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
