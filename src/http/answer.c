/*
 * answer.c - what a connection sends: answers from memory with one write, files in pieces, and the end of a request.
 */
#include "http/conn.h"

#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    LINGER_MS = 5000,
    FILE_CHUNK_BYTES = 256 * 1024,
    REASON_MAX = 512,
    GATHER_BYTES = 16 * 1024,      /* a longer one goes at once */
    BEHIND_HEAD_BYTES = 4 * 1024,  /* a longer body is not copied into the head's buffer */
    KEPT_BUFFER_BYTES = 16 * 1024, /* of a connection without a request */
};

/* ---- answers ---- */

static void on_shutdown(uv_shutdown_t *shutdown, int rc UNUSED)
{
    free(shutdown);
}

void conn_linger(struct conn *c)
{
    uv_shutdown_t *shutdown = calloc(1, sizeof(*shutdown));

    conn_move(c, CONN_LINGER);
    conn_set_deadline(c, LINGER_MS);
    if (!shutdown || c->peer_done || uv_shutdown(shutdown, &c->uv.stream, on_shutdown) != 0) {
        free(shutdown);
        conn_close(c);
        return;
    }
    conn_start_reading(c);
}

static void request_end(struct conn *c)
{
    c->has_request = false;
    c->unsent_bytes = 0;
    arena_reset(&c->arena);
    if (c->body.cap > KEPT_BUFFER_BYTES)
        buf_release(&c->body);
    if (c->head.cap > KEPT_BUFFER_BYTES)
        buf_release(&c->head);
    buf_release(&c->answer);
    if (c->state == CONN_CLOSED) {
        conn_free_if_done(c);
        return;
    }
    if (!c->keep_alive || c->share->draining) {
        conn_linger(c);
        return;
    }
    conn_move(c, CONN_IDLE);
    conn_set_deadline(c, c->share->opt->idle_timeout_ms);
}

/* After an answer that was not sent from within conn_parse: the next request may be waiting. */
static void conn_go_on(struct conn *c)
{
    if (c->state == CONN_IDLE)
        conn_parse_on(c);
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

/* What is in head and answer, as buffers. Returns how many. */
static unsigned answer_buffers(struct conn *c, uv_buf_t ret[2])
{
    ret[0] = uv_buf_init(c->head.ptr, (unsigned)c->head.len);
    ret[1] = uv_buf_init(c->answer.ptr, (unsigned)c->answer.len);
    return c->answer.len ? 2 : 1;
}

/* Sends what `sent` bytes (or a negative error) have left of head and answer. True when nothing was. */
static bool send_rest(struct conn *c, int sent, uv_write_cb then)
{
    uv_buf_t bufs[2];
    unsigned n = answer_buffers(c, bufs);

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

/* Sends what is in head and answer. True when all of it went at once. */
static bool send_answer(struct conn *c, uv_write_cb then)
{
    uv_buf_t bufs[2];
    unsigned n = answer_buffers(c, bufs);

    return send_rest(c, uv_try_write(&c->uv.stream, bufs, n), then);
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
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
    case 412:
        return "Precondition Failed";
    case 413:
        return "Payload Too Large";
    case 414:
        return "URI Too Long";
    case 426:
        return "Upgrade Required";
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
    case 507:
        return "Insufficient Storage";
    default:
        return "Status";
    }
}

static void build_head(struct conn *c, int status, const char *content_type, uint64_t length)
{
    struct buf *h = &c->head;

    buf_clear(h);
    if (status == 200 && !c->reason.len) {
        buf_append(h, "HTTP/1.1 200 OK\r\n", 17);
    } else {
        buf_append_cstr(h, "HTTP/1.1 ");
        json_write_u64(h, (uint64_t)status);
        buf_append_char(h, ' ');
        if (c->reason.len)
            buf_append_slice(h, buf_slice(&c->reason));
        else
            buf_append_cstr(h, reason(status));
        buf_append_cstr(h, "\r\n");
    }
    if (content_type) {
        buf_append_cstr(h, "Content-Type: ");
        buf_append_cstr(h, content_type);
        buf_append(h, "\r\n", 2);
    }
    if (status != 204 && status != 304) {
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
    if ((c->state == CONN_HEAD || c->state == CONN_BODY) && conn_has_body(&c->parser))
        c->keep_alive = false;
    if (c->share->draining)
        c->keep_alive = false;
    conn_move(c, CONN_SENDING);
    conn_set_deadline(c, c->share->opt->request_timeout_ms);
}

static void answer_sent(struct conn *c)
{
    bool closed = c->state == CONN_CLOSED; /* then request_end may free it */

    request_end(c);
    if (!closed && !c->parsing)
        conn_go_on(c);
}

void http_respond_reason(struct http_request *req, struct slice text)
{
    struct buf *b = &conn_of(req)->reason;

    buf_clear(b);
    for (size_t i = 0; i < text.len && b->len < REASON_MAX; i++)
        buf_append_char(b, (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127 ? ' ' : text.ptr[i]);
}

static void send_now(struct conn *c)
{
    if (send_answer(c, on_written))
        answer_sent(c);
}

/* Short answers of one turn of the loop go out together at its end (burst.h says why). */
static void gather(struct conn *c)
{
    struct loop_share *share = c->share;

    share->unsent[share->n_unsent++] = c;
    if (share->n_unsent == BURST_MAX)
        share_flush(share);
}

/* What was built. */
static void send_or_gather(struct conn *c)
{
    if (c->pipelined || c->head.len + c->answer.len > GATHER_BYTES)
        send_now(c);
    else
        gather(c);
}

static void send_burst(struct burst *burst, struct conn **conns, unsigned n)
{
    int sent[BURST_MAX];

    for (unsigned i = 0; i < n; i++) {
        uv_buf_t bufs[2];
        uv_os_fd_t fd = -1;

        IGNORE_RESULT(uv_fileno(&conns[i]->uv.handle, &fd)); /* -1 once it is closing: then the send fails */
        burst_add(burst, fd, bufs, answer_buffers(conns[i], bufs));
    }
    burst_send(burst, sent);
    for (unsigned i = 0; i < n; i++)
        if (send_rest(conns[i], sent[i], on_written))
            answer_sent(conns[i]);
}

void share_flush(struct loop_share *share)
{
    struct conn *conns[BURST_MAX];

    /* Whoever is answered may have sent its next request already, and be answered again. */
    while (share->n_unsent) {
        unsigned n = share->n_unsent, open = 0;

        for (unsigned i = 0; i < n; i++)
            if (share->unsent[i]->state != CONN_CLOSED)
                conns[open++] = share->unsent[i];
            else
                request_end(share->unsent[i]);
        share->n_unsent = 0;
        if (open > 1 && share->burst)
            send_burst(share->burst, conns, open);
        else
            for (unsigned i = 0; i < open; i++)
                send_now(conns[i]);
    }
}

void http_respond_header(struct http_request *req, const char *name, struct slice value)
{
    struct buf *h = &conn_of(req)->extra_headers;

    buf_append_cstr(h, name);
    buf_append(h, ": ", 2);
    size_t at = h->len;
    buf_append_slice(h, value);
    for (; at < h->len; at++)
        if (h->ptr[at] == '\r' || h->ptr[at] == '\n' || !h->ptr[at])
            h->ptr[at] = ' ';
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
    send_or_gather(c);
}

void http_respond_bytes(struct http_request *req, int status, const char *content_type, struct slice body)
{
    struct conn *c = conn_of(req);

    if (c->state == CONN_CLOSED) {
        request_end(c);
        return;
    }
    begin_answer(c);
    build_head(c, status, content_type, body.len);
    buf_clear(&c->answer);
    if (req->method != HTTP_M_HEAD)
        buf_append_slice(body.len > BEHIND_HEAD_BYTES ? &c->answer : &c->head, body);
    send_or_gather(c);
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
    ssize_t n; /* bytes read, or -errno */
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

    conn_set_deadline(c, c->share->opt->request_timeout_ms);
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
    *f = (struct file_answer){ .job.run = read_chunk,
                               .msg.deliver = send_chunk,
                               .conn = c,
                               .fd = fd,
                               .size = req->method == HTTP_M_HEAD ? 0 : size,
                               .chunk = chunk };
    begin_answer(c);
    build_head(c, status, content_type, size);
    c->file = f;
    if (!send_answer(c, on_chunk_written))
        return;
    c->write.data = c;
    on_chunk_written(&c->write, c->state == CONN_CLOSED ? UV_EPIPE : 0);
}
