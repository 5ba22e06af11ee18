/*
 * fixture.h - an HTTP server with a handful of routes, and a client that decides byte by byte what it sends. They talk over
 * socket pairs. Include behind ../testing.h.
 *
 *     GET  hello    "hello"
 *     POST echo     what the handler saw of the request
 *     POST small    the same, with a body of at most 10 bytes
 *     POST later    the same, answered by way of a pool thread
 *     GET  gate     answers when the test opens the gate
 *     GET  big      f.big_bytes times 'b'
 *     GET  none     204
 *     POST early    answers 403 at the end of the head
 *     POST sink     counts the bytes of its body; what else it does is in f.sink_*
 *     GET  file     f.file, promised to be f.file_size bytes
 *     GET  ws       what the test wants: f.on_ws
 *
 * and, for requests with the header x-own, in a table of their own:
 *
 *     GET  hello    like echo
 *     POST NAME     like echo
 */
#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

#include "base/json.h"
#include "http/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { TEST_LOOPS = 2, TEST_BODY_LIMIT = 4 << 20 };

static struct {
    struct loop *loops;
    struct http_server *server;
    struct pool *pool;
    size_t big_bytes;
    const char *file;
    uint64_t file_size;
    void (*on_ws)(struct http_request *req);

    /* gate */
    sem_t gate_reached, gate_open;

    /* sink */
    bool sink_pauses;   /* at each piece, until a pool thread has seen it */
    bool sink_waits;    /* at the first piece, until the test calls sink_resume */
    bool sink_stutters; /* pauses and resumes at once */
    bool sink_refuses;  /* answers at the first piece */
    uint64_t sink_limit;
    _Atomic int n_sink_ends, n_sink_aborts;
    sem_t sink_paused;
    struct http_request *sink_req;
} f;

/* ---- handlers ---- */

static void respond_text(struct http_request *req, int status, struct slice text)
{
    struct buf b = { 0 };

    buf_append_slice(&b, text);
    http_respond(req, status, "text/plain", &b);
}

static void describe(struct http_request *req, struct buf *b)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other" };
    struct slice q = http_query(req, "q");

    buf_printf(b, "%s %.*s q=[%.*s]", methods[req->method], SLICE_FMT(req->path), SLICE_FMT(q));
    for (size_t i = 0; i < req->n_headers; i++)
        buf_printf(b, " %.*s=[%.*s]", SLICE_FMT(req->headers[i].name), SLICE_FMT(req->headers[i].value));
    buf_printf(b, " %zu:", req->body.len);
    buf_append_slice(b, req->body);
}

static void on_hello(struct http_request *req)
{
    respond_text(req, 200, SLICE_LIT("hello"));
}

static void on_echo(struct http_request *req)
{
    struct buf b = { 0 };

    describe(req, &b);
    http_respond(req, 200, "text/plain", &b);
}

static void on_none(struct http_request *req)
{
    respond_text(req, 204, SLICE_NONE);
}

static void on_split(struct http_request *req)
{
    http_respond_header(req, "X-Value", SLICE_LIT("one\r\nX-Two: 2\0end"));
    respond_text(req, 200, SLICE_LIT("split"));
}

static void on_big(struct http_request *req)
{
    struct buf b = { 0 };

    buf_reserve(&b, f.big_bytes);
    memset(b.ptr, 'b', f.big_bytes);
    b.len = f.big_bytes;
    http_respond(req, 200, "text/plain", &b);
}

static void on_file(struct http_request *req)
{
    http_respond_file(req, 200, "text/plain", open(f.file, O_RDONLY | O_CLOEXEC), f.file_size);
}

static void on_ws(struct http_request *req)
{
    f.on_ws(req);
}

/* A request that goes to a pool thread and comes back. */
struct trip {
    struct job job;
    struct loop_msg msg;
    struct http_request *req;
    struct buf text;
};

static void trip_back(struct loop_msg *msg)
{
    struct trip *t = CONTAINER_OF(msg, struct trip, msg);

    assert(loop_current() == t->req->loop);
    http_respond(t->req, 200, "text/plain", &t->text);
    free(t);
}

static void trip_out(struct job *job)
{
    struct trip *t = CONTAINER_OF(job, struct trip, job);

    describe(t->req, &t->text);
    loop_post(t->req->loop, &t->msg);
}

static void wait_at_gate(struct job *job)
{
    sem_post(&f.gate_reached);
    sem_wait(&f.gate_open);
    trip_out(job);
}

static void send_on_trip(struct http_request *req, void (*run)(struct job *))
{
    struct trip *t = calloc(1, sizeof(*t));

    if (!http_request_keep(req))
        abort();
    *t = (struct trip){ .job.run = run, .msg.deliver = trip_back, .req = req };
    pool_submit(f.pool, &t->job);
}

static void on_later(struct http_request *req)
{
    send_on_trip(req, trip_out);
}

static void on_gate(struct http_request *req)
{
    send_on_trip(req, wait_at_gate);
}

static void begin_early(struct http_request *req)
{
    respond_text(req, 403, SLICE_LIT("early"));
}

/* ---- the sink ---- */

struct sink_count {
    uint64_t bytes, sum;
    bool answered;
    struct job job;
    struct loop_msg msg;
    struct http_request *req;
};

static void sink_go_on(struct loop_msg *msg)
{
    http_body_resume(CONTAINER_OF(msg, struct sink_count, msg)->req);
}

static void sink_seen(struct job *job)
{
    struct sink_count *s = CONTAINER_OF(job, struct sink_count, job);

    loop_post(s->req->loop, &s->msg);
}

static void sink_data(struct http_request *req, struct slice data)
{
    struct sink_count *s = req->user;

    for (size_t i = 0; i < data.len; i++)
        s->sum = s->sum * 31 + (unsigned char)data.ptr[i];
    s->bytes += data.len;
    if (f.sink_refuses) {
        free(s);
        respond_text(req, 403, SLICE_LIT("refused"));
    } else if (f.sink_stutters) {
        http_body_pause(req);
        http_body_resume(req);
    } else if (f.sink_pauses) {
        http_body_pause(req);
        pool_submit(f.pool, &s->job);
    } else if (f.sink_waits && !f.sink_req) {
        http_body_pause(req);
        f.sink_req = req;
        sem_post(&f.sink_paused);
    }
}

static void sink_end(struct http_request *req)
{
    struct sink_count *s = req->user;
    struct buf b = { 0 };

    buf_printf(&b, "%llu %llu", (unsigned long long)s->bytes, (unsigned long long)s->sum);
    free(s);
    atomic_fetch_add(&f.n_sink_ends, 1);
    http_respond(req, 200, "text/plain", &b);
}

static void sink_abort(struct http_request *req)
{
    free(req->user);
    atomic_fetch_add(&f.n_sink_aborts, 1);
}

static void begin_sink(struct http_request *req)
{
    static const struct http_sink sink = { sink_data, sink_end, sink_abort };
    struct sink_count *s = calloc(1, sizeof(*s));

    s->req = req;
    s->job.run = sink_seen;
    s->msg.deliver = sink_go_on;
    req->user = s;
    http_request_stream(req, &sink, f.sink_limit);
}

UNUSED static void sink_resume(void)
{
    struct sink_count *s = f.sink_req->user;

    loop_post(f.sink_req->loop, &s->msg);
}

/* ---- the server ---- */

static bool admit(struct http_request *req)
{
    if (!http_header(req, "x-deny").ptr)
        return true;
    respond_text(req, 401, SLICE_LIT("denied"));
    return false;
}

static void on_fail(struct http_request *req, const struct error *err)
{
    respond_text(req, status_http(err->status), slice_cstr(err->msg));
}

static const struct http_route test_routes[] = {
    { .method = HTTP_M_GET, .pattern = "hello", .handle = on_hello },
    { .method = HTTP_M_POST, .pattern = "echo", .handle = on_echo },
    { .method = HTTP_M_POST, .pattern = "small", .handle = on_echo, .body_limit = 10 },
    { .method = HTTP_M_POST, .pattern = "later", .handle = on_later },
    { .method = HTTP_M_GET, .pattern = "gate", .handle = on_gate },
    { .method = HTTP_M_GET, .pattern = "split", .handle = on_split },
    { .method = HTTP_M_GET, .pattern = "big", .handle = on_big },
    { .method = HTTP_M_GET, .pattern = "none", .handle = on_none },
    { .method = HTTP_M_POST, .pattern = "early", .begin = begin_early },
    { .method = HTTP_M_POST, .pattern = "sink", .begin = begin_sink },
    { .method = HTTP_M_GET, .pattern = "file", .handle = on_file },
    { .method = HTTP_M_GET, .pattern = "ws", .handle = on_ws },
    { 0 },
};

static const struct http_route own_routes[] = {
    { .method = HTTP_M_GET, .pattern = "hello", .handle = on_echo },
    { .method = HTTP_M_POST, .pattern = ":name", .handle = on_echo },
    { 0 },
};

static const struct http_route *routes_by_header(const struct http_request *req)
{
    return http_header(req, "x-own").ptr ? own_routes : NULL;
}

static void start_server(int64_t request_timeout_ms, int64_t idle_timeout_ms)
{
    memset(&f, 0, sizeof(f));
    f.big_bytes = 8 << 20;
    f.sink_limit = 64 << 20;
    sem_init(&f.gate_reached, 0, 0);
    sem_init(&f.gate_open, 0, 0);
    sem_init(&f.sink_paused, 0, 0);
    f.pool = pool_new(&(struct pool_options){ .name = "test", .max_threads = 3 });
    f.loops = loops_start(TEST_LOOPS);
    struct http_options opt = {
        .routes = test_routes,
        .routes_by_header = routes_by_header,
        .admit = admit,
        .fail = on_fail,
        .file_pool = f.pool,
        .body_limit = TEST_BODY_LIMIT,
        .request_timeout_ms = request_timeout_ms,
        .idle_timeout_ms = idle_timeout_ms,
        .max_connections = 3,
    };
    f.server = http_server_new(&opt, f.loops, TEST_LOOPS);
}

/* For tests that have drained by themselves. */
static void stop_drained_server(void)
{
    pool_free(f.pool);
    loops_stop(f.loops, TEST_LOOPS);
    http_server_free(f.server);
    sem_destroy(&f.gate_reached);
    sem_destroy(&f.gate_open);
    sem_destroy(&f.sink_paused);
}

UNUSED static void stop_server(void)
{
    http_server_drain(f.server, 60000);
    stop_drained_server();
}

/* So long that only what hangs meets it. */
UNUSED static int patient_server(void **state UNUSED)
{
    start_server(100000, 100000);
    return 0;
}

UNUSED static int teardown_server(void **state UNUSED)
{
    sem_post(&f.gate_open); /* a test that failed may have left a request there */
    stop_server();
    return 0;
}

/* ---- the client ---- */

static int client_open(void)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    http_server_adopt(f.server, ends[1]);
    return ends[0];
}

static void client_send(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            fail_msg("send: %s", strerror(errno));
        bytes = slice_from(bytes, (size_t)n);
    }
}

UNUSED static void client_say(int fd, const char *text)
{
    client_send(fd, slice_cstr(text));
}

/* Sends bytes and waits until the server has read them, so that what is sent next comes with another read. */
UNUSED static void client_send_apart(int fd, struct slice bytes)
{
    int unread = 1;

    client_send(fd, bytes);
    while (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0)
        sched_yield();
}

/* One more read into *in. False: the server has closed. */
static bool client_read(int fd, struct buf *in)
{
    buf_reserve(in, 65536);
    ssize_t n = read(fd, in->ptr + in->len, 65536);
    if (n < 0 && errno != ECONNRESET)
        fail_msg("read: %s", strerror(errno));
    if (n <= 0)
        return false;
    in->len += (size_t)n;
    in->ptr[in->len] = '\0';
    return true;
}

/* Takes the next answer, head and body, out of *in and appends it to *out. `head_only`: it answers a HEAD request. Returns its
 * status; 0: the server closed first. */
static int client_take(int fd, struct buf *in, struct buf *out, bool head_only)
{
    char *end;

    while (!in->len || !(end = memmem(in->ptr, in->len, "\r\n\r\n", 4)))
        if (!client_read(fd, in))
            return 0;
    size_t head = (size_t)(end - in->ptr) + 4, body = 0;
    int status = atoi(in->ptr + 9);
    const char *length = memmem(in->ptr, head, "Content-Length: ", 16);
    if (length && !head_only)
        body = strtoull(length + 16, NULL, 10);
    while (in->len < head + body)
        if (!client_read(fd, in))
            return 0;
    buf_append(out, in->ptr, head + body);
    in->len -= head + body;
    memmove(in->ptr, in->ptr + head + body, in->len);
    return status;
}

/* The status of the next answer when nothing else is of interest. */
UNUSED static int client_status(int fd)
{
    struct buf in = { 0 }, out = { 0 };
    int status = client_take(fd, &in, &out, false);

    assert_int_equal(in.len, 0);
    buf_release(&in);
    buf_release(&out);
    return status;
}

UNUSED static bool client_is_closed(int fd)
{
    struct buf in = { 0 };
    bool closed = !client_read(fd, &in);

    buf_release(&in);
    return closed;
}

static void check_answer(int fd, int status, const char *body, const char *file, int line)
{
    struct buf in = { 0 }, out = { 0 };
    int got = client_take(fd, &in, &out, false);
    const char *text = got ? strstr(out.ptr, "\r\n\r\n") + 4 : "(closed)";

    if (got != status || strcmp(text, body) != 0 || in.len) {
        print_error("got  %d %.400s\nwant %d %s\n", got, text, status, body);
        _fail(file, line);
    }
    buf_release(&in);
    buf_release(&out);
}

#define CHECK_ANSWER(fd, status, body) check_answer((fd), (status), (body), __FILE__, __LINE__)

#endif
