/*
 * Fuzzes the HTTP server over a socket pair. The first byte is the size of the pieces, the rest is what a client sends
 * before it closes its side. Whatever it is, the answers must be the same as for one piece, and be answers.
 */
#include "base/json.h"
#include "http/server.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the server ---- */

static struct http_server *server;

static void answer(struct http_request *req, int status, struct slice text)
{
    struct buf b = { 0 };

    buf_append_slice(&b, text);
    http_respond(req, status, "text/plain", &b);
}

static void on_hello(struct http_request *req)
{
    answer(req, 200, SLICE_LIT("hello"));
}

static void on_echo(struct http_request *req)
{
    struct slice q = http_query(req, "q");
    struct buf b = { 0 };

    json_write_text(&b, req->path);
    json_write_text(&b, q);
    for (size_t i = 0; i < req->n_headers; i++) {
        json_write_text(&b, req->headers[i].name);
        json_write_text(&b, req->headers[i].value);
    }
    for (size_t i = 0; i < HTTP_MAX_PARAMS; i++)
        json_write_text(&b, req->params[i]);
    json_write_text(&b, req->body);
    http_respond(req, 200, "application/json", &b);
}

static void sink_data(struct http_request *req, struct slice data)
{
    req->user = (void *)((uintptr_t)req->user + data.len); /* only a count */
}

static void sink_end(struct http_request *req)
{
    struct buf b = { 0 };

    json_write_u64(&b, (uint64_t)(uintptr_t)req->user);
    http_respond(req, 200, "text/plain", &b);
}

static void sink_abort(struct http_request *req UNUSED)
{
}

static void begin_sink(struct http_request *req)
{
    static const struct http_sink sink = { sink_data, sink_end, sink_abort };

    http_request_stream(req, &sink, 500);
}

static bool admit(struct http_request *req)
{
    if (!http_header(req, "x-deny").ptr)
        return true;
    answer(req, 401, SLICE_LIT("denied"));
    return false;
}

static void on_fail(struct http_request *req, const struct error *err)
{
    answer(req, status_http(err->status), slice_cstr(err->msg));
}

static const struct http_route routes[] = {
    { .method = HTTP_M_GET, .pattern = "hello", .handle = on_hello },
    { .method = HTTP_M_POST, .pattern = "echo", .handle = on_echo, .body_limit = 1000 },
    { .method = HTTP_M_PUT, .pattern = "echo/:a/:b", .handle = on_echo, .body_limit = 10 },
    { .method = HTTP_M_POST, .pattern = "sink", .begin = begin_sink },
    { 0 },
};

static void start(void)
{
    struct http_options opt = { .routes = routes,        .admit = admit, .fail = on_fail, .body_limit = 100, .prefix = "v4/",
                                .request_timeout_ms = 100000, .idle_timeout_ms = 100000, .max_connections = 100 };

    signal(SIGPIPE, SIG_IGN);
    server = http_server_new(&opt, loops_start(1), 1);
}

/* ---- the client ---- */

static void send_pieces(int fd, struct slice text, size_t piece)
{
    while (text.len) {
        size_t part = text.len < piece ? text.len : piece;
        int unread = 1;
        ssize_t n = send(fd, text.ptr, part, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server has closed: it has said why */
        text = slice_from(text, (size_t)n);
        /* So that each piece comes with a read of its own. */
        while (text.len && ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0)
            sched_yield();
    }
}

static struct buf ask(struct slice text, size_t piece)
{
    struct buf out = { 0 };
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0)
        abort();
    http_server_adopt(server, ends[1]);
    send_pieces(ends[0], text, piece);
    (void)shutdown(ends[0], SHUT_WR); /* fails when the server was first */
    for (;;) {
        buf_reserve(&out, 65536);
        ssize_t n = read(ends[0], out.ptr + out.len, 65536);
        if (n <= 0)
            break;
        out.len += (size_t)n;
    }
    (void)close(ends[0]); /* only read from by now */
    return out;
}

/* Each answer starts with a status line. */
static void check_answers(struct slice out)
{
    if (out.len && !slice_starts(out, SLICE_LIT("HTTP/1.1 ")))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 2048)
        return 0;
    if (!server)
        start();
    struct slice text = slice_of((const char *)data + 1, size - 1);
    struct buf whole = ask(text, text.len), pieces = ask(text, data[0] % 64 + 1U);
    check_answers(buf_slice(&whole));
    if (!slice_eq(buf_slice(&whole), buf_slice(&pieces))) {
        fprintf(stderr, "whole:\n%.*s\npieces:\n%.*s\n", SLICE_FMT(buf_slice(&whole)), SLICE_FMT(buf_slice(&pieces)));
        abort();
    }
    buf_release(&whole);
    buf_release(&pieces);
    return 0;
}
