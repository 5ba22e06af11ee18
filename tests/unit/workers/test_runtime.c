/* Workers on the real workerd: deploys, exchanges, crashes, limits, crons, tails. Without workerd it says so and passes. */
#include "../testing.h"

#include "base/buf.h"
#include "base/clock.h"
#include "event/loop.h"
#include "workers/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEST_LOOPS = 2 };

#if defined(__aarch64__)
#define WORKERD UNIT_DIR "/../../deps/node_modules/@cloudflare/workerd-linux-arm64/bin/workerd"
#else
#define WORKERD UNIT_DIR "/../../deps/node_modules/@cloudflare/workerd-linux-64/bin/workerd"
#endif

#if defined(__SANITIZE_THREAD__)
const char *__tsan_default_suppressions(void);

/* libuv closes files by a bare system call, which the sanitizer does not see: it takes the next file of the same number, on
 * another thread, for the same one. */
const char *__tsan_default_suppressions(void)
{
    return "race:process_start\nrace:on_run_handle_closed\n";
}
#endif

static struct {
    struct loop *loops;
    struct runtime *rt;
    char dir[64];
    int port;
} f;

static void open_runtime(struct runtime_options opt)
{
    struct error err;
    char socket_path[96];

    f.loops = loops_start(TEST_LOOPS);
    snprintf(f.dir, sizeof(f.dir), "/tmp/dione-rt-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    snprintf(socket_path, sizeof(socket_path), "%s/bindings", f.dir);
    opt.loops = f.loops;
    opt.n_loops = TEST_LOOPS;
    opt.run_dir = f.dir;
    opt.workerd = WORKERD;
    opt.listen = "127.0.0.1:0";
    opt.binding_socket = socket_path;
    opt.binding_key = "test-key";
    opt.linger_ms = opt.linger_ms ? opt.linger_ms : 200;
    if (runtime_open(&opt, &f.rt, &err) != STATUS_OK)
        fail_msg("runtime_open: %s", err.msg);
    f.port = atoi(strrchr(runtime_url(f.rt), ':') + 1);
}

/* After runtime_drain. */
static void end_loops(void)
{
    char command[128];

    loops_stop(f.loops, TEST_LOOPS);
    runtime_close(f.rt);
    snprintf(command, sizeof(command), "rm -r %s", f.dir);
    assert_int_equal(system(command), 0);
}

static void close_runtime(void)
{
    runtime_drain(f.rt, 1000);
    end_loops();
}

/* A script of one module, written to a file of its own. */
static enum status deploy_with(const char *name, const char *code, struct worker_spec more, struct error *err)
{
    static int n;
    char path[128];

    snprintf(path, sizeof(path), "%s/script-%d.js", f.dir, n++);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(code, file);
    fclose(file);
    struct worker_module module = { SLICE_LIT("index.js"), MODULE_ES, slice_cstr(path) };
    more.name = slice_cstr(name);
    more.version_id = SLICE_LIT("0d1f6ee2-9e2f-4f8e-9c0f-7b8f6f1c2d3e");
    more.modules = &module;
    more.n_modules = 1;
    if (!more.compatibility_date.ptr)
        more.compatibility_date = SLICE_LIT("2026-01-31");
    return runtime_deploy(f.rt, &more, err);
}

static void deploy(const char *name, const char *code)
{
    struct error err;

    if (deploy_with(name, code, (struct worker_spec){ 0 }, &err) != STATUS_OK)
        fail_msg("deploy: %s", err.msg);
}

static int dial(void)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)f.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* the runtime starts processes */

    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void say(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        text += n;
        len -= (size_t)n;
    }
}

/* Everything until the other side closes. */
static void take_all(int fd, struct buf *ret)
{
    char bytes[65536];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        buf_append(ret, bytes, (size_t)n);
    close(fd);
}

static struct buf ask(const char *host, const char *method_and_path, const char *more)
{
    struct buf request = { 0 }, answer = { 0 };
    int fd = dial();

    buf_printf(&request, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s", method_and_path, host, more);
    say(fd, request.ptr, request.len);
    take_all(fd, &answer);
    buf_release(&request);
    return answer;
}

static void check_contains(const char *host, const char *method_and_path, const char *more, const char *status,
                           const char *part)
{
    struct buf answer = ask(host, method_and_path, more);

    if (!answer.ptr || strncmp(answer.ptr + 9, status, 3) != 0 || !strstr(answer.ptr, part))
        fail_msg("%s %s: wanted %s with '%s', got: %s", host, method_and_path, status, part,
                 answer.ptr ? answer.ptr : "(nothing)");
    buf_release(&answer);
}

#define CHECK_GET(host, path, status, part) check_contains(host, "GET " path, "\r\n", status, part)

static const char hello[] = "export default { fetch(request) { return new Response('hello ' + request.url) } }";

/* ---- tests ---- */

static void a_deployed_worker_answers_at_its_host_name(void **state UNUSED)
{
    deploy("one", hello);
    CHECK_GET("one.localhost", "/x?y=1", "200", "hello http://one.localhost/x?y=1");
    CHECK_GET("ONE.localhost:8787", "/", "200", "hello");
    CHECK_GET("two.localhost", "/", "404", "http://one.localhost:");
    CHECK_GET("localhost", "/", "404", "There is no Worker at 'localhost'");
}

static void a_new_deploy_takes_over_and_a_broken_one_does_not(void **state UNUSED)
{
    struct error err;

    deploy("swap", "export default { fetch() { return new Response('v1') } }");
    CHECK_GET("swap.localhost", "/", "200", "v1");
    deploy("swap", "export default { fetch() { return new Response('v2') } }");
    CHECK_GET("swap.localhost", "/", "200", "v2");
    assert_int_equal(deploy_with("swap", "export default {\n  fetch( {\n}", (struct worker_spec){ 0 }, &err),
                     STATUS_INVALID);
    assert_non_null(strstr(err.msg, "SyntaxError"));
    assert_non_null(strstr(err.msg, "index.js:3"));
    assert_int_equal(deploy_with("swap", "throw new TypeError('at start')", (struct worker_spec){ 0 }, &err),
                     STATUS_INVALID);
    assert_non_null(strstr(err.msg, "TypeError: at start"));
    assert_int_equal(
        deploy_with("swap", "import x from './gone.js'; export default {}", (struct worker_spec){ 0 }, &err),
        STATUS_INVALID);
    assert_non_null(strstr(err.msg, "No such module \"gone.js\""));
    CHECK_GET("swap.localhost", "/", "200", "v2");
}

static void wrong_dates_and_experimental_flags_are_refused(void **state UNUSED)
{
    struct error err;
    struct slice experimental = SLICE_LIT("unsafe_module"), unknown = SLICE_LIT("no_such_flag"),
                 node = SLICE_LIT("nodejs_compat");
    struct worker_spec more = { .compatibility_date = SLICE_LIT("2999-01-01") };

    assert_int_equal(deploy_with("dates", hello, more, &err), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "2999-01-01 is in the future"));
    more.compatibility_date = SLICE_LIT("yesterday");
    assert_int_equal(deploy_with("dates", hello, more, &err), STATUS_INVALID);
    more = (struct worker_spec){ .compatibility_flags = &experimental, .n_compatibility_flags = 1 };
    assert_int_equal(deploy_with("dates", hello, more, &err), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "unsafe_module is experimental"));
    more.compatibility_flags = &unknown;
    assert_int_equal(deploy_with("dates", hello, more, &err), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "No such compatibility flag: no_such_flag"));
    more.compatibility_flags = &node;
    assert_int_equal(deploy_with("dates", hello, more, &err), STATUS_OK);
    CHECK_GET("dates.localhost", "/", "200", "hello");
}

static void bodies_stream_both_ways(void **state UNUSED)
{
    deploy("echo", "export default { fetch(request) { return new Response(request.body, { headers: {"
                   " 'x-seen': request.method + ' ' + request.headers.get('content-length') + ' '"
                   " + request.headers.get('cf-connecting-ip') + ' ' + JSON.stringify(request.cf) } }) } }");
    check_contains("echo.localhost", "POST /", "Content-Length: 5\r\n\r\nhello", "200", "hello");
    check_contains("echo.localhost", "POST /", "Content-Length: 5\r\n\r\nhello", "200",
                   "POST 5 127.0.0.1 {\"httpProtocol");
    check_contains("echo.localhost", "PUT /", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                   "200", "PUT null");
    check_contains("echo.localhost", "POST /", "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok", "100", "200 OK");
    struct buf big = { 0 };
    size_t size = 3 << 20;
    buf_printf(&big, "Content-Length: %zu\r\n\r\n", size);
    size_t head = big.len;
    buf_reserve(&big, size);
    memset(big.ptr + head, 'z', size);
    big.len += size;
    big.ptr[big.len] = '\0';
    struct buf answer = ask("echo.localhost", "POST /big", big.ptr);
    const char *body = strstr(answer.ptr, "\r\n\r\n");
    size_t n = 0;
    for (const char *p = body; p && *p; p++)
        n += *p == 'z';
    assert_int_equal(n, size);
    buf_release(&answer);
    buf_release(&big);
}

static void requests_may_come_in_any_pieces(void **state UNUSED)
{
    static const char request[] =
        "POST /p HTTP/1.1\r\nHost: echo.localhost\r\nX-Empty:\r\nX-Full:  a b \r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n"
        "GET /g HTTP/1.1\r\nHost: echo.localhost\r\nConnection: close\r\n\r\n";

    deploy(
        "echo",
        "export default { async fetch(request) { const { method, headers } = request;"
        " return new Response(method + ' [' + await request.text() + '] ' + headers.get('x-empty') + headers.get('x-full'),"
        " { headers: { 'x-none': '', 'x-some': 'some' } }) } }");
    for (size_t piece = 1; piece < 40; piece += piece < 4 ? 1 : 9) {
        struct buf answer = { 0 };
        int fd = dial();
        for (size_t at = 0; at < sizeof(request) - 1; at += piece) {
            size_t left = sizeof(request) - 1 - at;
            say(fd, request + at, left < piece ? left : piece);
            if (piece < 3)
                test_yield(); /* or the kernel joins them again */
        }
        take_all(fd, &answer);
        assert_non_null(strstr(answer.ptr, "POST [abcde] a b"));
        assert_non_null(strstr(answer.ptr, "x-none: \r\n"));
        assert_non_null(strstr(answer.ptr, "x-some: some\r\n"));
        assert_non_null(strstr(answer.ptr, "GET []"));
        buf_release(&answer);
    }
}

static void pipelined_and_kept_alive_requests_are_answered_in_order(void **state UNUSED)
{
    struct buf answer = { 0 };
    int fd = dial();
    const char *text =
        "GET /1 HTTP/1.1\r\nHost: one.localhost\r\n\r\nGET /2 HTTP/1.1\r\nHost: one.localhost\r\n\r\n"
        "HEAD /3 HTTP/1.1\r\nHost: one.localhost\r\n\r\nGET /4 HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n"
        "GET /5 HTTP/1.1\r\nHost: one.localhost\r\nConnection: close\r\n\r\n";

    deploy("one", hello);
    say(fd, text, strlen(text));
    take_all(fd, &answer);
    const char *at = answer.ptr;
    const char *const parts[] = { "/1", "/2", "HTTP/1.1 200", "no Worker at 'nobody", "/5" };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        at = strstr(at, parts[i]);
        assert_non_null(at);
    }
    assert_null(strstr(answer.ptr, "/3"));
    buf_release(&answer);
}

/* A number of the Worker's in runtime_list. */
static long look_up(const char *name, const char *member)
{
    struct buf list = { 0 };
    char start[64];
    long value = -1;

    runtime_list(f.rt, &list);
    snprintf(start, sizeof(start), "{\"name\":\"%s\"", name);
    const char *at = strstr(list.ptr, start);
    snprintf(start, sizeof(start), "\"%s\":", member);
    at = at ? strstr(at, start) : NULL;
    if (at)
        value = atol(at + strlen(start));
    buf_release(&list);
    return value;
}

/* Reads until `part` has come. */
static void take_until(int fd, struct buf *ret, const char *part)
{
    char bytes[4096];

    while (!ret->len || !memmem(ret->ptr, ret->len, part, strlen(part))) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n <= 0)
            fail_msg("closed before '%s' came", part);
        buf_append(ret, bytes, (size_t)n);
    }
}

static void web_sockets_are_passed_through(void **state UNUSED)
{
    static const char hi[] = "\x81\x82\x01\x02\x03\x04\x69\x6b"; /* "hi", masked */
    const char *upgrade = "GET / HTTP/1.1\r\nHost: ws.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct buf answer = { 0 };
    int fd = dial();

    deploy("ws",
           "export default { fetch() { const [client, server] = Object.values(new WebSocketPair()); server.accept();"
           " server.addEventListener('message', (e) => server.send('got ' + e.data));"
           " return new Response(null, { status: 101, webSocket: client }) } }");
    say(fd, upgrade, strlen(upgrade));
    say(fd, hi, 8);
    take_until(fd, &answer, "\x81\x06got hi");
    assert_non_null(strstr(answer.ptr, "HTTP/1.1 101 Switching Protocols"));
    assert_non_null(strstr(answer.ptr, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    /* A new version leaves it alone. */
    deploy("ws", hello);
    buf_clear(&answer);
    say(fd, hi, 8);
    take_until(fd, &answer, "\x81\x06got hi");
    close(fd);
    CHECK_GET("ws.localhost", "/", "200", "hello");
    buf_release(&answer);
}

static void an_answer_streams_and_ends_when_the_client_leaves(void **state UNUSED)
{
    struct buf answer = { 0 };
    int fd = dial();
    const char *request = "GET /stream HTTP/1.1\r\nHost: sse.localhost\r\n\r\n";

    deploy("sse", "export default { fetch(r) { let n = 0; return new Response(new ReadableStream({ async pull(c) {"
                  " await scheduler.wait(5); c.enqueue(new TextEncoder().encode('piece ' + n++ + '.')) } })) } }");
    say(fd, request, strlen(request));
    take_until(fd, &answer, "piece 3.");
    assert_int_equal(look_up("sse", "in_flight"), 1);
    close(fd);
    WAIT_UNTIL(look_up("sse", "in_flight") == 0);
    buf_release(&answer);
}

static void requests_of_the_version_before_end_in_peace(void **state UNUSED)
{
    struct buf answer = { 0 };
    int fd = dial();
    const char *request = "POST / HTTP/1.1\r\nHost: slow.localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab";

    deploy("slow", "export default { async fetch(r) { return new Response('old ' + await r.text()) } }");
    say(fd, request, strlen(request));
    CHECK_GET("slow.localhost", "/", "200", "old");
    deploy("slow", "export default { fetch() { return new Response('new') } }");
    CHECK_GET("slow.localhost", "/", "200", "new");
    say(fd, "cd", 2);
    take_all(fd, &answer);
    assert_non_null(strstr(answer.ptr, "old abcd"));
    buf_release(&answer);
}

static void old_clients_are_answered_in_their_way(void **state UNUSED)
{
    struct buf answer = { 0 };
    int fd = dial();
    const char *request = "GET / HTTP/1.0\r\nHost: old.localhost\r\n\r\n";

    deploy("old", "export default { fetch() { return new Response(new ReadableStream({ async pull(c) {"
                  " c.enqueue(new TextEncoder().encode('streamed')); c.close() } })) } }");
    say(fd, request, strlen(request));
    take_all(fd, &answer);
    assert_null(strstr(answer.ptr, "chunked"));
    assert_string_equal(strstr(answer.ptr, "\r\n\r\n"), "\r\n\r\nstreamed");
    buf_release(&answer);
}

/* With a short queue at the client's side, so that most of an answer waits at the other. */
static int dial_narrow(void)
{
    int fd = dial(), bytes = 32 * 1024;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
    return fd;
}

static void a_slow_client_gets_the_end_of_an_answer_before_its_connection_closes(void **state UNUSED)
{
    static char bytes[64 * 1024];
    size_t size = 8 << 20, got = 0;
    int fd = dial_narrow();
    const char *request = "GET / HTTP/1.1\r\nHost: long.localhost\r\nConnection: close\r\n\r\n";
    ssize_t n;

    deploy("long", "export default { fetch() { return new Response('x'.repeat(8 << 20)) } }");
    say(fd, request, strlen(request));
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        got += (size_t)n;
        if (got > size / 2)
            nanosleep(&(struct timespec){ .tv_nsec = 40 * 1000 * 1000 }, NULL); /* several seconds for the rest */
    }
    close(fd);
    assert_true(got > size);
}

static void a_client_that_has_closed_its_side_is_answered(void **state UNUSED)
{
    struct buf answer = { 0 };
    const char *requests =
        "GET /1 HTTP/1.1\r\nHost: one.localhost\r\n\r\nGET /2 HTTP/1.1\r\nHost: one.localhost\r\n\r\n";

    deploy("one", hello);
    int fd = dial();
    say(fd, requests, strlen(requests));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    take_all(fd, &answer);
    assert_non_null(strstr(answer.ptr, "hello http://one.localhost/1"));
    assert_non_null(strstr(answer.ptr, "hello http://one.localhost/2"));
    buf_release(&answer);
}

/* Sends whole requests until nothing more is taken. */
static size_t send_all_that_fits(int fd, struct slice request, size_t most)
{
    size_t n = 0, at = 0;

    for (int quiet = 0; quiet < 400 && n < most;) {
        ssize_t sent = send(fd, request.ptr + at, request.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        quiet = sent > 0 ? 0 : quiet + 1;
        at += sent > 0 ? (size_t)sent : 0;
        if (sent <= 0)
            test_yield();
        n += at == request.len;
        at %= request.len;
    }
    assert_true(n < most);
    return n;
}

static void a_client_that_takes_no_answers_is_not_read_without_end(void **state UNUSED)
{
    struct buf request = { 0 };
    static char bytes[64 * 1024];
    size_t n_answers = 0, keep = 0;
    int fd = dial_narrow();
    ssize_t n;

    deploy("wide", "export default { fetch() { return new Response('x'.repeat(60000) + 'END') } }");
    buf_append_cstr(&request, "GET / HTTP/1.1\r\nHost: wide.localhost\r\nx-pad: ");
    for (int i = 0; i < 30000; i++)
        buf_append_char(&request, 'p');
    buf_append_cstr(&request, "\r\n\r\n");
    size_t n_sent = send_all_that_fits(fd, buf_slice(&request), 4000); /* 120 MB */
    assert_int_equal(shutdown(fd, SHUT_WR), 0);                        /* the last one is not whole */
    while ((n = recv(fd, bytes + keep, sizeof(bytes) - keep, 0)) > 0) {
        struct slice rest = slice_of(bytes, keep + (size_t)n);
        const char *end;
        while ((end = memmem(rest.ptr, rest.len, "END", 3)) != NULL) {
            n_answers++;
            rest = slice_from(rest, (size_t)(end - rest.ptr) + 3);
        }
        keep = rest.len < 2 ? rest.len : 2;
        memmove(bytes, rest.ptr + rest.len - keep, keep);
    }
    close(fd);
    assert_int_equal(n_answers, n_sent);
    buf_release(&request);
}

static void a_target_may_name_its_host(void **state UNUSED)
{
    deploy("one", hello);
    check_contains("other", "GET http://one.localhost/p?q", "\r\n", "200", "hello http://one.localhost/p?q");
    check_contains("other", "GET http://one.localhost?q=1", "\r\n", "200", "hello http://one.localhost/?q=1");
    check_contains("other", "GET http://one.localhost", "\r\n", "200", "hello http://one.localhost/");
    check_contains("other", "GET http://u@one.localhost/", "\r\n", "400", "user name");
}

static void the_client_is_who_the_proxy_in_front_saw(void **state UNUSED)
{
    deploy("who", "export default { fetch(r) { return new Response(r.headers.get('cf-connecting-ip') + ' of ' +"
                  " r.headers.get('x-forwarded-for')) } }");
    CHECK_GET("who.localhost", "/", "200", "127.0.0.1 of 127.0.0.1");
    check_contains("who.localhost", "GET /", "CF-Connecting-IP: 6.6.6.6\r\n\r\n", "200", "127.0.0.1 of 127.0.0.1");
    check_contains("who.localhost", "GET /",
                   "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7, 203.0.113.9\r\n\r\n", "200",
                   "203.0.113.9 of 6.6.6.6, 7.7.7.7, 203.0.113.9, 127.0.0.1");
}

static void malformed_requests_are_refused(void **state UNUSED)
{
    struct buf answer = { 0 };
    int fd = dial();

    say(fd, "NONSENSE\r\n\r\n", 12);
    take_all(fd, &answer);
    assert_non_null(strstr(answer.ptr, "HTTP/1.1 400"));
    buf_clear(&answer);
    check_contains("x", "POST /", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501", "chunked");
    check_contains("x", "POST /", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400",
                   "not valid");
    check_contains("x", "CONNECT x:80", "\r\n", "405", "CONNECT");
    check_contains("x", "POST /", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400", "not valid");
    check_contains("x", "POST /", "Host: y\r\n\r\n", "400", "several Host");
    check_contains("u@one.localhost", "GET /", "\r\n", "400", "user name");
    fd = dial();
    say(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    take_all(fd, &answer);
    assert_non_null(strstr(answer.ptr, "HTTP/1.1 400"));
    buf_clear(&answer);
    const char *old = "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    fd = dial();
    say(fd, old, strlen(old));
    take_all(fd, &answer);
    assert_non_null(strstr(answer.ptr, "HTTP/1.1 400"));
    buf_clear(&answer);
    deploy("sink", "export default { async fetch(r) { await r.text(); return new Response('all') } }");
    check_contains("sink.localhost", "POST /", "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "400", "body is not valid");
    fd = dial();
    struct buf head = { 0 };
    buf_append_cstr(&head, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 200; i++)
        buf_printf(&head, "x-%d: y\r\n", i);
    buf_append_cstr(&head, "\r\n");
    say(fd, head.ptr, head.len);
    take_all(fd, &answer);
    assert_non_null(strstr(answer.ptr, "HTTP/1.1 431"));
    buf_release(&head);
    buf_release(&answer);
}

static void routes_choose_the_most_specific_worker(void **state UNUSED)
{
    struct error err;
    struct slice wide = SLICE_LIT("*example.com/*"), narrow = SLICE_LIT("api.example.com/v1/*"),
                 bad = SLICE_LIT("a*b/");

    deploy("wide", "export default { fetch() { return new Response('wide') } }");
    deploy("narrow", "export default { fetch() { return new Response('narrow') } }");
    assert_int_equal(runtime_set_routes(f.rt, SLICE_LIT("wide"), &wide, 1, &err), STATUS_OK);
    assert_int_equal(runtime_set_routes(f.rt, SLICE_LIT("narrow"), &narrow, 1, &err), STATUS_OK);
    CHECK_GET("www.example.com", "/", "200", "wide");
    CHECK_GET("api.example.com", "/v1/x?y", "200", "narrow");
    CHECK_GET("api.example.com", "/v2", "200", "wide");
    assert_int_equal(runtime_set_routes(f.rt, SLICE_LIT("wide"), &bad, 1, &err), STATUS_INVALID);
    CHECK_GET("www.example.com", "/", "200", "wide");
    assert_int_equal(runtime_set_host_enabled(f.rt, SLICE_LIT("wide"), false, &err), STATUS_OK);
    CHECK_GET("wide.localhost", "/", "404", "no Worker");
    assert_int_equal(runtime_remove(f.rt, SLICE_LIT("wide"), &err), STATUS_OK);
    CHECK_GET("www.example.com", "/", "404", "no Worker");
    assert_int_equal(runtime_remove(f.rt, SLICE_LIT("wide"), &err), STATUS_NOTFOUND);
}

static void a_killed_process_is_replaced_and_nobody_notices(void **state UNUSED)
{
    deploy("killed", hello);
    CHECK_GET("killed.localhost", "/", "200", "hello");
    for (int i = 0; i < 3; i++) {
        long pid = look_up("killed", "pid");
        int64_t start = clock_mono_ns();
        if (pid > 0)
            assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
        CHECK_GET("killed.localhost", "/", "200", "hello");
        assert_true(clock_mono_ns() - start < 2000000000LL);
    }
}

static void a_worker_that_spins_is_ended_and_the_next_request_works(void **state UNUSED)
{
    struct worker_spec more = { .limits.cpu_ms = 300 };
    struct error err;

    assert_int_equal(
        deploy_with("spin",
                    "export default { fetch(r) { while (r.url.endsWith('/spin')); return new Response('ok') } }", more,
                    &err),
        STATUS_OK);
    CHECK_GET("spin.localhost", "/spin", "503", "exceeded its CPU time limit");
    CHECK_GET("spin.localhost", "/", "200", "ok");
    struct buf recent = { 0 };
    assert_int_equal(runtime_tail_recent(f.rt, SLICE_LIT("spin"), &recent, &err), STATUS_OK);
    assert_non_null(strstr(recent.ptr, "exceededCpu"));
    buf_release(&recent);
}

static void a_worker_that_takes_too_much_memory_is_ended(void **state UNUSED)
{
    struct worker_spec more = { .limits.memory_bytes = 160 << 20 };
    struct error err;

    assert_int_equal(deploy_with("fat",
                                 "const kept = []; export default { async fetch(r) { if (r.url.endsWith('/eat'))"
                                 " for (;;) { kept.push(new Uint8Array(4 << 20).fill(7)); await scheduler.wait(1); }"
                                 " return new Response('ok') } }",
                                 more, &err),
                     STATUS_OK);
    CHECK_GET("fat.localhost", "/", "200", "ok");
    CHECK_GET("fat.localhost", "/eat", "503", "exceeded its memory limit");
    CHECK_GET("fat.localhost", "/", "200", "ok");
    assert_int_equal(deploy_with("fat",
                                 "const kept = []; for (;;) { kept.push(new Uint8Array(4 << 20).fill(7));"
                                 " for (let i = 0; i < 3e7; i++); } export default {}",
                                 more, &err),
                     STATUS_INVALID);
    assert_non_null(strstr(err.msg, "exceeded its memory limit"));
    CHECK_GET("fat.localhost", "/", "200", "ok");
}

static void crons_run_by_hand_and_their_outcome_is_known(void **state UNUSED)
{
    const char *outcome;
    struct error err;
    struct buf recent = { 0 };

    deploy("cron", "let seen = ''; export default { fetch() { return new Response('seen ' + seen) },"
                   " async scheduled(c) { if (c.cron === 'bad') throw new Error('no'); await scheduler.wait(5);"
                   " seen = c.cron + ' ' + c.scheduledTime } }");
    assert_int_equal(runtime_run_cron(f.rt, SLICE_LIT("cron"), SLICE_LIT("*/5 * * * *"), 1234567, &outcome, &err),
                     STATUS_OK);
    assert_string_equal(outcome, "ok");
    CHECK_GET("cron.localhost", "/", "200", "seen */5 * * * * 1234567");
    assert_int_equal(runtime_run_cron(f.rt, SLICE_LIT("cron"), SLICE_LIT("bad"), 1, &outcome, &err), STATUS_OK);
    assert_string_equal(outcome, "exception");
    assert_int_equal(runtime_tail_recent(f.rt, SLICE_LIT("cron"), &recent, &err), STATUS_OK);
    assert_non_null(strstr(recent.ptr, "\"event\":{\"cron\":\"*/5 * * * *\",\"scheduledTime\":1234567}"));
    buf_release(&recent);
    assert_int_equal(runtime_run_cron(f.rt, SLICE_LIT("nobody"), SLICE_LIT("bad"), 1, &outcome, &err), STATUS_NOTFOUND);
}

static sem_t told;
static struct buf told_events[8];
static int n_told; /* of the supervisor's thread */

static void on_event(void *arg UNUSED, struct slice json)
{
    buf_append_slice(&told_events[n_told++], json);
    sem_post(&told);
}

static const char *next_event(void)
{
    static int n;

    while (sem_wait(&told) != 0)
        ;
    return told_events[n++].ptr;
}

static void tails_tell_logs_exceptions_and_outcomes(void **state UNUSED)
{
    struct runtime_tail *tail;
    struct error err;
    const char *event;

    sem_init(&told, 0, 0);
    deploy("tail", "export default { fetch(r) { console.log('a log', { n: 1 }); console.error('bad');"
                   " if (r.url.endsWith('/throw')) throw new RangeError('too far'); return new Response('ok') },"
                   " scheduled() { console.warn('tick') } }");
    assert_int_equal(runtime_tail_subscribe(f.rt, SLICE_LIT("tail"), SLICE_LIT("[{\"sampling_rate\":2}]"), on_event,
                                            NULL, &tail, &err),
                     STATUS_INVALID);
    assert_int_equal(runtime_tail_subscribe(f.rt, SLICE_LIT("tail"),
                                            SLICE_LIT("[{\"outcome\":[\"ok\",\"exception\"]}]"), on_event, NULL, &tail,
                                            &err),
                     STATUS_OK);
    check_contains("tail.localhost", "GET /x", "Authorization: secret\r\n\r\n", "200", "ok");
    event = next_event();
    assert_non_null(strstr(event, "\"scriptName\":\"tail\""));
    assert_non_null(strstr(event, "{\"message\":[\"a log\",{\"n\":1}],\"level\":\"log\""));
    assert_non_null(strstr(event, "\"url\":\"http://tail.localhost/x\""));
    assert_non_null(strstr(event, "\"response\":{\"status\":200}"));
    assert_null(strstr(event, "secret"));
    CHECK_GET("tail.localhost", "/throw", "500", "Internal Server Error");
    event = next_event();
    assert_non_null(strstr(event, "\"outcome\":\"exception\""));
    assert_non_null(strstr(event, "too far"));
    assert_non_null(strstr(event, "index.js:1:"));
    const char *outcome;
    assert_int_equal(runtime_run_cron(f.rt, SLICE_LIT("tail"), SLICE_LIT("0 0 * * *"), 5, &outcome, &err), STATUS_OK);
    event = next_event();
    assert_non_null(strstr(event, "\"cron\":\"0 0 * * *\""));
    assert_non_null(strstr(event, "tick"));
    runtime_tail_unsubscribe(tail);
    for (size_t i = 0; i < ARRAY_LEN(told_events); i++)
        buf_release(&told_events[i]);
    sem_destroy(&told);
}

static void workers_call_each_other(void **state UNUSED)
{
    struct error err;
    struct worker_binding bindings[] = {
        { .name = SLICE_LIT("OTHER"), .kind = BINDING_SERVICE, .value = SLICE_LIT("callee") },
        { .name = SLICE_LIT("NAMED"),
          .kind = BINDING_SERVICE,
          .value = SLICE_LIT("callee"),
          .entrypoint = SLICE_LIT("Adder") },
        { .name = SLICE_LIT("TEXT"), .kind = BINDING_TEXT, .value = SLICE_LIT("a \"quoted\" \\ text\n\x01 \xc3\xa9") },
        { .name = SLICE_LIT("OBJ"), .kind = BINDING_JSON, .value = SLICE_LIT("{\"a\":[1,\"x\"]}") },
        { .name = SLICE_LIT("VER"), .kind = BINDING_VERSION_METADATA },
    };
    struct worker_spec more = { .bindings = bindings, .n_bindings = 5 };
    const char *caller = "export default { async fetch(r, env) {"
                         " const a = await (await env.OTHER.fetch('http://x/path')).text();"
                         " const b = await env.NAMED.add(2, 3);"
                         " return Response.json({ a, b, text: env.TEXT, obj: env.OBJ, id: env.VER.id }) } }";

    deploy("callee", "import { WorkerEntrypoint } from 'cloudflare:workers';"
                     "export class Adder extends WorkerEntrypoint { add(a, b) { return a + b } }"
                     "export default { fetch(r) { return new Response('called ' + new URL(r.url).pathname) } }");
    if (deploy_with("caller", caller, more, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    CHECK_GET(
        "caller.localhost", "/", "200",
        "{\"a\":\"called /path\",\"b\":5,\"text\":\"a \\\"quoted\\\" \\\\ text\\n\\u0001 \xc3\xa9\",\"obj\":{\"a\":[1,\"x\"]},"
        "\"id\":\"0d1f6ee2-9e2f-4f8e-9c0f-7b8f6f1c2d3e\"}");
    deploy("callee", "import { WorkerEntrypoint } from 'cloudflare:workers';"
                     "export class Adder extends WorkerEntrypoint { add(a, b) { return 10 * (a + b) } }"
                     "export default { fetch(r) { return new Response('again') } }");
    CHECK_GET("caller.localhost", "/", "200", "\"a\":\"again\",\"b\":50");
    bindings[1].entrypoint = SLICE_LIT("Nobody");
    assert_int_equal(deploy_with("caller", caller, more, &err), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "Nobody"));
    CHECK_GET("caller.localhost", "/", "200", "again");
}

#define EXPORTS(name) "export class " name " extends WorkerEntrypoint { hi() { return '" name " is here' } }"
#define CALLEE(exports, text) \
    "import { WorkerEntrypoint } from 'cloudflare:workers';" exports \
    "export default { fetch() { return new Response('" text "') } }"

static enum status deploy_caller(const char *name, const char *entrypoint, struct error *err)
{
    struct worker_binding binding = { .name = SLICE_LIT("O"),
                                      .kind = BINDING_SERVICE,
                                      .value = SLICE_LIT("exporter"),
                                      .entrypoint = slice_cstr(entrypoint) };

    return deploy_with(name,
                       "export default { async fetch(r, env) { try { return new Response(await env.O.hi()) }"
                       " catch (e) { return new Response('lost', { status: 500 }) } } }",
                       (struct worker_spec){ .bindings = &binding, .n_bindings = 1 }, err);
}

static void a_lost_entrypoint_is_lost_for_its_own_callers_alone(void **state UNUSED)
{
    struct error err;

    deploy("exporter", CALLEE(EXPORTS("Foo") EXPORTS("Bar"), "first"));
    assert_int_equal(deploy_caller("calls-foo", "Foo", &err), STATUS_OK);
    assert_int_equal(deploy_caller("calls-bar", "Bar", &err), STATUS_OK);
    CHECK_GET("calls-foo.localhost", "/", "200", "Foo is here");
    CHECK_GET("calls-bar.localhost", "/", "200", "Bar is here");
    deploy("exporter", CALLEE(EXPORTS("Foo"), "second"));
    CHECK_GET("exporter.localhost", "/", "200", "second");
    CHECK_GET("calls-foo.localhost", "/", "200", "Foo is here");
    CHECK_GET("calls-bar.localhost", "/", "500", "lost");
    assert_int_equal(deploy_caller("calls-bar-too", "Bar", &err), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "Bar"));
    CHECK_GET("calls-foo.localhost", "/", "200", "Foo is here");
    deploy("exporter", CALLEE(EXPORTS("Foo") EXPORTS("Bar"), "third"));
    CHECK_GET("calls-bar.localhost", "/", "200", "Bar is here");
    assert_int_equal(runtime_remove(f.rt, SLICE_LIT("calls-bar"), &err), STATUS_OK);
    deploy("exporter", CALLEE(EXPORTS("Foo"), "fourth"));
    CHECK_GET("calls-foo.localhost", "/", "200", "Foo is here");
}

static void too_many_entrypoints_of_one_worker_are_refused(void **state UNUSED)
{
    struct worker_binding bindings[40];
    char names[40][8];
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(bindings); i++) {
        snprintf(names[i], sizeof(names[i]), "E%zu", i);
        bindings[i] = (struct worker_binding){ .name = slice_cstr(names[i]),
                                               .kind = BINDING_SERVICE,
                                               .value = SLICE_LIT("not-there-yet"),
                                               .entrypoint = slice_cstr(names[i]) };
    }
    struct worker_spec more = { .bindings = bindings, .n_bindings = 31 };
    assert_int_equal(deploy_with("calls-many", hello, more, &err), STATUS_LIMIT);
    more.n_bindings = 30; /* nothing is left of those that were refused */
    assert_int_equal(deploy_with("calls-many", hello, more, &err), STATUS_OK);
    more.bindings = bindings + 1;
    assert_int_equal(deploy_with("calls-another", hello, more, &err), STATUS_LIMIT);
    assert_int_equal(runtime_remove(f.rt, SLICE_LIT("calls-many"), &err), STATUS_OK);
    assert_int_equal(deploy_with("calls-another", hello, more, &err), STATUS_OK);
}

static void a_check_tells_the_handlers_and_leaves_no_worker(void **state UNUSED)
{
    char path[128];
    struct arena arena;
    struct slice handlers;
    struct error err;

    arena_init(&arena, 1 << 20);
    snprintf(path, sizeof(path), "%s/check.js", f.dir);
    FILE *file = fopen(path, "w");
    fputs("export default { fetch() {}, async scheduled() {}, helper: 3 }", file);
    fclose(file);
    struct worker_module module = { SLICE_LIT("src/check.js"), MODULE_ES, slice_cstr(path) };
    struct worker_spec spec = {
        .name = SLICE_LIT("checked"), .modules = &module, .n_modules = 1, .compatibility_date = SLICE_LIT("2026-01-31")
    };
    if (runtime_check(f.rt, &spec, &arena, &handlers, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    assert_true(slice_eq(handlers, SLICE_LIT("[\"fetch\",\"scheduled\"]")));
    CHECK_GET("checked.localhost", "/", "404", "no Worker");
    arena_release(&arena);
}

static void what_is_behind_an_answer_ends_before_the_runtime_does(void **state UNUSED)
{
    struct runtime_tail *tail;
    struct error err;

    sem_init(&told, 0, 0);
    n_told = 0;
    open_runtime((struct runtime_options){ .linger_ms = 30000, .always_tail = true });
    deploy("behind",
           "export default { fetch(r, env, ctx) { ctx.waitUntil(scheduler.wait(300).then(() => console.log('done')));"
           " return new Response('soon') } }");
    assert_int_equal(runtime_tail_subscribe(f.rt, SLICE_LIT("behind"), SLICE_NONE, on_event, NULL, &tail, &err),
                     STATUS_OK);
    CHECK_GET("behind.localhost", "/", "200", "soon");
    runtime_drain(f.rt, 1000);
    assert_int_equal(n_told, 1);
    assert_non_null(strstr(told_events[0].ptr, "done"));
    runtime_tail_unsubscribe(tail);
    buf_release(&told_events[0]);
    sem_destroy(&told);
    end_loops();
}

static int open_all(void **state UNUSED)
{
    open_runtime((struct runtime_options){ 0 });
    return 0;
}

static int close_all(void **state UNUSED)
{
    close_runtime();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deployed_worker_answers_at_its_host_name),
        cmocka_unit_test(a_new_deploy_takes_over_and_a_broken_one_does_not),
        cmocka_unit_test(wrong_dates_and_experimental_flags_are_refused),
        cmocka_unit_test(bodies_stream_both_ways),
        cmocka_unit_test(requests_may_come_in_any_pieces),
        cmocka_unit_test(pipelined_and_kept_alive_requests_are_answered_in_order),
        cmocka_unit_test(web_sockets_are_passed_through),
        cmocka_unit_test(an_answer_streams_and_ends_when_the_client_leaves),
        cmocka_unit_test(requests_of_the_version_before_end_in_peace),
        cmocka_unit_test(old_clients_are_answered_in_their_way),
        cmocka_unit_test(a_slow_client_gets_the_end_of_an_answer_before_its_connection_closes),
        cmocka_unit_test(a_client_that_has_closed_its_side_is_answered),
        cmocka_unit_test(a_client_that_takes_no_answers_is_not_read_without_end),
        cmocka_unit_test(a_target_may_name_its_host),
        cmocka_unit_test(the_client_is_who_the_proxy_in_front_saw),
        cmocka_unit_test(malformed_requests_are_refused),
        cmocka_unit_test(routes_choose_the_most_specific_worker),
        cmocka_unit_test(a_killed_process_is_replaced_and_nobody_notices),
        cmocka_unit_test(a_worker_that_spins_is_ended_and_the_next_request_works),
        cmocka_unit_test(a_worker_that_takes_too_much_memory_is_ended),
        cmocka_unit_test(crons_run_by_hand_and_their_outcome_is_known),
        cmocka_unit_test(tails_tell_logs_exceptions_and_outcomes),
        cmocka_unit_test(workers_call_each_other),
        cmocka_unit_test(a_lost_entrypoint_is_lost_for_its_own_callers_alone),
        cmocka_unit_test(too_many_entrypoints_of_one_worker_are_refused),
        cmocka_unit_test(a_check_tells_the_handlers_and_leaves_no_worker),
    };

    if (access(WORKERD, X_OK) != 0) {
        print_message("skipped: workerd is not installed in deps/\n");
        return 0;
    }
    const struct CMUnitTest own[] = {
        cmocka_unit_test(what_is_behind_an_answer_ends_before_the_runtime_does),
    };
    int failed = cmocka_run_group_tests(tests, open_all, close_all);
    return failed + cmocka_run_group_tests(own, NULL, NULL);
}
