/* Requests in, answers out: whatever the pieces a request comes in, its answer is the same. */
#include "../testing.h"

#include "fixture.h"

#include <sys/un.h>

#define ECHO_HEAD "POST /echo?q=a%20b&x HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-A:  two words \r\n"

static const char *const requests[] = {
    "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n",
    ECHO_HEAD "Content-Length: 11\r\n\r\nhello world",
    ECHO_HEAD "Content-Length: 0\r\n\r\n",
    ECHO_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: t\r\n\r\n",
    "POST /later?q=+ HTTP/1.1\r\nX-B: 1\r\nContent-Length: 4\r\n\r\nbody",
    "POST /sink HTTP/1.1\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /sink HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
    "HEAD /hello HTTP/1.1\r\n\r\n",
    "GET /none HTTP/1.1\r\n\r\n",
    "GET /nowhere HTTP/1.1\r\n\r\n",
    "DELETE /hello HTTP/1.1\r\n\r\n",
    "GET /hello HTTP/1.1\r\nX-Deny: 1\r\n\r\n",
};

static bool is_head(const char *request)
{
    return strncmp(request, "HEAD", 4) == 0;
}

static void ask_whole(int fd, const char *request, struct buf *out)
{
    struct buf in = { 0 };

    client_say(fd, request);
    assert_int_not_equal(client_take(fd, &in, out, is_head(request)), 0);
    assert_int_equal(in.len, 0);
    buf_release(&in);
}

static void answers_are_what_the_handlers_said(void **state UNUSED)
{
    int fd = client_open();
    struct buf out = { 0 };

    ask_whole(fd, requests[0], &out);
    assert_string_equal(out.ptr, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    client_say(fd, requests[1]);
    CHECK_ANSWER(fd, 200, "POST /echo q=[a b] Host=[h] X-Empty=[] X-A=[two words ] Content-Length=[11] 11:hello world");
    client_say(fd, requests[3]);
    CHECK_ANSWER(fd, 200,
                 "POST /echo q=[a b] Host=[h] X-Empty=[] X-A=[two words ] Transfer-Encoding=[chunked] 11:hello world");
    client_say(fd, requests[4]);
    CHECK_ANSWER(fd, 200, "POST /later q=[ ] X-B=[1] Content-Length=[4] 4:body");
    buf_clear(&out);
    ask_whole(fd, requests[7], &out);
    assert_string_equal(out.ptr, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
    buf_clear(&out);
    ask_whole(fd, requests[8], &out);
    assert_string_equal(out.ptr, "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n");
    client_say(fd, requests[9]);
    CHECK_ANSWER(fd, 404, "Could not route to /nowhere, perhaps your object identifier is invalid?");
    client_say(fd, requests[10]);
    CHECK_ANSWER(fd, 405, "Method not allowed for this route");
    client_say(fd, requests[11]);
    CHECK_ANSWER(fd, 401, "denied");
    buf_release(&out);
    close(fd);
}

static void every_split_of_a_request_gives_the_same_answer(void **state UNUSED)
{
    int fd = client_open();

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct slice request = slice_cstr(requests[i]);
        struct buf want = { 0 };
        ask_whole(fd, requests[i], &want);
        for (size_t cut = 1; cut < request.len; cut++) {
            struct buf in = { 0 }, got = { 0 };
            client_send_apart(fd, slice_of(request.ptr, cut));
            client_send(fd, slice_from(request, cut));
            assert_int_not_equal(client_take(fd, &in, &got, is_head(requests[i])), 0);
            assert_string_equal(got.ptr, want.ptr);
            buf_release(&in);
            buf_release(&got);
        }
        buf_release(&want);
    }
    close(fd);
}

static void byte_by_byte_gives_the_same_answer(void **state UNUSED)
{
    int whole = client_open(), dripped = client_open();

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct buf want = { 0 }, in = { 0 }, got = { 0 };
        ask_whole(whole, requests[i], &want);
        for (const char *p = requests[i]; *p; p++)
            client_send_apart(dripped, slice_of(p, 1));
        assert_int_not_equal(client_take(dripped, &in, &got, is_head(requests[i])), 0);
        assert_string_equal(got.ptr, want.ptr);
        buf_release(&in);
        buf_release(&got);
        buf_release(&want);
    }
    close(whole);
    close(dripped);
}

static void pipelined_requests_are_answered_in_order_however_they_are_cut(void **state UNUSED)
{
    uint64_t seed = test_seed();
    struct buf all = { 0 }, want = { 0 };
    int fd = client_open();

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
            buf_append_cstr(&all, requests[i]);
            ask_whole(fd, requests[i], &want);
        }
    }
    for (int cuts = 0; cuts < 60; cuts++) {
        struct buf in = { 0 }, got = { 0 };
        struct slice left = buf_slice(&all);
        for (int n = cuts % 6; n > 0; n--) {
            size_t part = test_random(&seed) % left.len;
            if (cuts % 2)
                client_send_apart(fd, slice_of(left.ptr, part));
            else
                client_send(fd, slice_of(left.ptr, part));
            left = slice_from(left, part);
        }
        client_send(fd, left);
        for (size_t i = 0; i < 3 * ARRAY_LEN(requests); i++)
            assert_int_not_equal(client_take(fd, &in, &got, is_head(requests[i % ARRAY_LEN(requests)])), 0);
        assert_string_equal(got.ptr, want.ptr);
        assert_int_equal(in.len, 0);
        buf_release(&in);
        buf_release(&got);
    }
    buf_release(&all);
    buf_release(&want);
    close(fd);
}

/* More than the server keeps for one connection: it must stop reading and go on. */
static void a_long_pipeline_behind_a_slow_answer_is_served(void **state UNUSED)
{
    enum { N = 40000 };
    struct buf all = { 0 }, in = { 0 }, out = { 0 };
    int fd = client_open(), sent = 0;

    client_say(fd, "GET /gate HTTP/1.1\r\n\r\n");
    sem_wait(&f.gate_reached);
    for (int i = 0; i < N; i++)
        buf_append_cstr(&all, requests[0]);
    struct slice left = buf_slice(&all);
    while (left.len) {
        ssize_t n = send(fd, left.ptr, left.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            if (!sent++)
                sem_post(&f.gate_open); /* the server reads no more: now it may answer */
            struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
            poll(&p, 1, -1);
            if (p.revents & POLLIN)
                assert_true(client_read(fd, &in));
            continue;
        }
        left = slice_from(left, (size_t)n);
    }
    assert_true(sent > 0);
    for (int i = 0; i < N + 1; i++)
        assert_int_equal(client_take(fd, &in, &out, false), 200);
    buf_release(&all);
    buf_release(&in);
    buf_release(&out);
    close(fd);
}

static void large_bodies_arrive_whole(void **state UNUSED)
{
    int fd = client_open();
    struct buf request = { 0 }, want = { 0 };
    char head[128];

    for (int later = 0; later < 2; later++) {
        buf_clear(&request);
        buf_clear(&want);
        snprintf(head, sizeof(head), "POST /%s HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n", later ? "later" : "echo");
        buf_append_cstr(&request, head);
        buf_printf(&want, "POST /%s q=[] Content-Length=[3000000] 3000000:", later ? "later" : "echo");
        for (int i = 0; i < 300000; i++) {
            buf_printf(&request, "%09d,", i);
            buf_printf(&want, "%09d,", i);
        }
        client_send(fd, buf_slice(&request));
        CHECK_ANSWER(fd, 200, want.ptr);
    }
    buf_release(&request);
    buf_release(&want);
    close(fd);
}

static void a_long_header_in_small_pieces_costs_little_memory(void **state UNUSED)
{
    int fd = client_open();
    char piece[4] = "abcd";

    client_say(fd, "GET /hello HTTP/1.1\r\nX-Long: ");
    for (int i = 0; i < 15000; i++)
        client_send_apart(fd, slice_of(piece, sizeof(piece)));
    client_say(fd, "\r\n\r\n");
    CHECK_ANSWER(fd, 200, "hello");
    close(fd);
}

/* ---- refusals ---- */

static void check_refused(const char *request, int status, const char *text)
{
    int fd = client_open();

    client_say(fd, request);
    CHECK_ANSWER(fd, status, text);
    assert_true(client_is_closed(fd));
    close(fd);
}

static void what_is_not_http_is_refused_and_the_connection_closed(void **state UNUSED)
{
    static const char *const bad[] = {
        "\x16\x03\x01\x02", "GET\r\n\r\n", "GET / HTTP/3.0\r\n\r\n", "get /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nBad Header: x\r\n\r\n", "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /sink HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naxyz\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET /hello HTTP/1.1\r\nX: a\x01\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_refused(bad[i], 400, "The request is not valid HTTP/1.1");
    assert_int_equal(f.n_sink_aborts, 1);
}

static void heads_have_a_limit(void **state UNUSED)
{
    static const char text[] = "The request head is larger than 64 KiB or has more than 64 headers";
    struct buf b = { 0 };

    buf_append_cstr(&b, "GET /hello HTTP/1.1\r\nX: ");
    for (int i = 0; i < 66000; i++)
        buf_append_char(&b, 'x');
    check_refused(b.ptr, 431, text);
    buf_clear(&b);
    buf_append_cstr(&b, "GET /");
    for (int i = 0; i < 66000; i++)
        buf_append_char(&b, 'x');
    check_refused(b.ptr, 431, text);
    for (int n = 64; n <= 65; n++) {
        buf_clear(&b);
        buf_append_cstr(&b, "GET /hello HTTP/1.1\r\n");
        for (int i = 0; i < n; i++)
            buf_printf(&b, "X-%d: %d\r\n", i, i);
        buf_append_cstr(&b, "\r\n");
        if (n == 65) {
            check_refused(b.ptr, 431, text);
        } else {
            int fd = client_open();
            client_say(fd, b.ptr);
            CHECK_ANSWER(fd, 200, "hello");
            close(fd);
        }
    }
    buf_release(&b);
}

static void bodies_have_the_limit_of_their_route(void **state UNUSED)
{
    check_refused("POST /small HTTP/1.1\r\nContent-Length: 11\r\n\r\n", 413,
                  "The request body is larger than the limit of 10 bytes");
    check_refused("POST /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n", 413,
                  "The request body is larger than the limit");
    check_refused("POST /echo HTTP/1.1\r\nContent-Length: 4194305\r\n\r\n", 413,
                  "The request body is larger than the limit of 4194304 bytes");
    int fd = client_open();
    client_say(fd, "POST /small HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789");
    CHECK_ANSWER(fd, 200, "POST /small q=[] Content-Length=[10] 10:0123456789");
    close(fd);
}

/* The client goes on sending the body that nobody wants; it must read the answer and not a reset. */
static void an_early_answer_reaches_a_client_that_still_sends(void **state UNUSED)
{
    static const char *const heads[] = {
        "POST /early HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n",
        "POST /echo HTTP/1.1\r\nX-Deny: 1\r\nContent-Length: 3000000\r\n\r\n",
        "POST /echo HTTP/1.1\r\nX-Deny: 1\r\nTransfer-Encoding: chunked\r\n\r\n2dc6c0\r\n",
        "POST /nowhere HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n",
    };
    static const int status[] = { 403, 401, 401, 404 };
    static char body[1000000];

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        int fd = client_open();
        struct buf in = { 0 }, out = { 0 };
        client_say(fd, heads[i]);
        for (int k = 0; k < 3; k++)
            client_send(fd, slice_of(body, sizeof(body)));
        assert_int_equal(client_take(fd, &in, &out, false), status[i]);
        assert_non_null(strstr(out.ptr, "Connection: close\r\n"));
        assert_true(client_is_closed(fd));
        buf_release(&in);
        buf_release(&out);
        close(fd);
    }
}

static void an_early_answer_to_a_request_without_body_keeps_the_connection(void **state UNUSED)
{
    int fd = client_open();

    for (int i = 0; i < 3; i++) {
        client_say(fd, "POST /early HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\nX-Deny: 1\r\n\r\nGET /hello HTTP/1.1\r\n\r\n");
        struct buf in = { 0 }, out = { 0 };
        assert_int_equal(client_take(fd, &in, &out, false), 403);
        assert_int_equal(client_take(fd, &in, &out, false), 401);
        assert_int_equal(client_take(fd, &in, &out, false), 200);
        buf_release(&in);
        buf_release(&out);
    }
    close(fd);
}

/* ---- Expect: 100-continue ---- */

static void a_client_that_asks_is_told_to_go_on(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 }, out = { 0 };

    for (int i = 0; i < 2; i++) {
        client_say(fd, "POST /echo HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n");
        assert_int_equal(client_take(fd, &in, &out, false), 100);
        client_say(fd, "body");
        assert_int_equal(client_take(fd, &in, &out, false), 200);
        assert_non_null(strstr(out.ptr, "4:body"));
        buf_clear(&out);
    }
    buf_release(&in);
    buf_release(&out);
    close(fd);
}

static void a_client_that_will_be_refused_is_not_told_to_go_on(void **state UNUSED)
{
    check_refused("POST /small HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n", 413,
                  "The request body is larger than the limit of 10 bytes");
    check_refused("POST /echo HTTP/1.1\r\nX-Deny: 1\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n", 401, "denied");
    check_refused("POST /early HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n", 403, "early");
}

/* ---- keeping the connection ---- */

static void connections_close_when_the_client_asks_for_it(void **state UNUSED)
{
    static const struct {
        const char *request;
        bool closes;
    } rows[] = {
        { "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n", true },
        { "GET /hello HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", false },
        { "GET /hello HTTP/1.0\r\n\r\n", true },
        { "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false },
        { "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\nGET /hello HTTP/1.1\r\n\r\n", true },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = client_open();
        client_say(fd, rows[i].request);
        CHECK_ANSWER(fd, 200, "hello");
        if (rows[i].closes) {
            assert_true(client_is_closed(fd));
        } else {
            client_say(fd, requests[0]);
            CHECK_ANSWER(fd, 200, "hello");
        }
        close(fd);
    }
}

static void an_upgrade_is_answered_as_a_plain_request(void **state UNUSED)
{
    int fd = client_open();

    for (int i = 0; i < 2; i++) {
        client_say(fd, "GET /hello HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        CHECK_ANSWER(fd, 200, "hello");
    }
    close(fd);
}

static void a_client_that_has_said_its_last_still_gets_its_answers(void **state UNUSED)
{
    static const char *const last[] = { "GET /hello HTTP/1.1\r\n\r\n", "POST /later HTTP/1.1\r\n\r\n" };

    for (size_t i = 0; i < ARRAY_LEN(last); i++) {
        int fd = client_open();
        client_say(fd, "POST /later HTTP/1.1\r\n\r\n");
        client_say(fd, last[i]);
        shutdown(fd, SHUT_WR);
        struct buf in = { 0 }, out = { 0 };
        assert_int_equal(client_take(fd, &in, &out, false), 200);
        assert_int_equal(client_take(fd, &in, &out, false), 200);
        assert_true(client_is_closed(fd));
        buf_release(&in);
        buf_release(&out);
        close(fd);
    }
}

static void half_a_request_behind_the_last_one_does_not_hold_the_connection(void **state UNUSED)
{
    int fd = client_open();

    client_say(fd, "GET /gate HTTP/1.1\r\n\r\n");
    sem_wait(&f.gate_reached);
    client_say(fd, "GET /hel");
    shutdown(fd, SHUT_WR);
    sem_post(&f.gate_open);
    assert_int_equal(client_status(fd), 200);
    assert_true(client_is_closed(fd));
    close(fd);
}

static void a_header_leads_to_a_table_of_its_own(void **state UNUSED)
{
    int fd = client_open();

    client_say(fd, "GET /hello HTTP/1.1\r\nX-Own: 1\r\n\r\n");
    CHECK_ANSWER(fd, 200, "GET /hello q=[] X-Own=[1] 0:");
    client_say(fd, "POST /any%2fthing HTTP/1.1\r\nx-own:\r\nContent-Length: 1\r\n\r\nx");
    CHECK_ANSWER(fd, 200, "POST /any%2fthing q=[] x-own=[] Content-Length=[1] 1:x");
    client_say(fd, "DELETE /hello HTTP/1.1\r\nX-Own: 1\r\n\r\n");
    CHECK_ANSWER(fd, 405, "Method not allowed for this route");
    client_say(fd, "GET /big/one HTTP/1.1\r\nX-Own: 1\r\n\r\n");
    CHECK_ANSWER(fd, 404, "Could not route to /big/one, perhaps your object identifier is invalid?");
    client_say(fd, "GET /hello HTTP/1.1\r\nX-Own: 1\r\nX-Deny: 1\r\n\r\n");
    CHECK_ANSWER(fd, 401, "denied");
    client_say(fd, "GET /hello HTTP/1.1\r\n\r\n");
    CHECK_ANSWER(fd, 200, "hello");
    close(fd);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void a_unix_socket_serves_beside_the_address(void **state UNUSED)
{
    char dir[64], path[80], too_long[200] = "/tmp/";
    struct error err;
    int port;

    test_dir_make(dir);
    snprintf(path, sizeof(path), "%s/s", dir);
    memset(too_long + 5, 'x', sizeof(too_long) - 6);
    assert_int_equal(http_server_listen_unix(f.server, too_long, &err), STATUS_INVALID);
    assert_int_equal(http_server_listen(f.server, "127.0.0.1:0", &port, &err), STATUS_OK);
    assert_int_equal(http_server_listen_unix(f.server, path, &err), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        int fd = connect_unix(path);
        assert_true(fd >= 0);
        client_say(fd, "POST /later HTTP/1.1\r\nContent-Length: 2\r\n\r\nab");
        CHECK_ANSWER(fd, 200, "POST /later q=[] Content-Length=[2] 2:ab");
        client_say(fd, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
        CHECK_ANSWER(fd, 200, "hello");
        assert_true(client_is_closed(fd));
        close(fd);
    }
    test_dir_remove(dir);
}

static void a_unix_socket_that_is_there_is_not_taken_over(void **state UNUSED)
{
    char dir[64], path[80];
    struct error err;

    test_dir_make(dir);
    snprintf(path, sizeof(path), "%s/s", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(http_server_listen_unix(f.server, path, &err), STATUS_IO);
    assert_non_null(strstr(err.msg, path));
    test_dir_remove(dir);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, patient_server, teardown_server)
    const struct CMUnitTest tests[] = {
        TEST(answers_are_what_the_handlers_said),
        TEST(every_split_of_a_request_gives_the_same_answer),
        TEST(byte_by_byte_gives_the_same_answer),
        TEST(pipelined_requests_are_answered_in_order_however_they_are_cut),
        TEST(a_long_pipeline_behind_a_slow_answer_is_served),
        TEST(large_bodies_arrive_whole),
        TEST(a_long_header_in_small_pieces_costs_little_memory),
        TEST(what_is_not_http_is_refused_and_the_connection_closed),
        TEST(heads_have_a_limit),
        TEST(bodies_have_the_limit_of_their_route),
        TEST(an_early_answer_reaches_a_client_that_still_sends),
        TEST(an_early_answer_to_a_request_without_body_keeps_the_connection),
        TEST(a_client_that_asks_is_told_to_go_on),
        TEST(a_client_that_will_be_refused_is_not_told_to_go_on),
        TEST(connections_close_when_the_client_asks_for_it),
        TEST(an_upgrade_is_answered_as_a_plain_request),
        TEST(a_client_that_has_said_its_last_still_gets_its_answers),
        TEST(half_a_request_behind_the_last_one_does_not_hold_the_connection),
        cmocka_unit_test_setup_teardown(a_header_leads_to_a_table_of_its_own, patient_server, teardown_server),
        cmocka_unit_test_setup_teardown(a_unix_socket_serves_beside_the_address, patient_server, teardown_server),
        cmocka_unit_test_setup_teardown(a_unix_socket_that_is_there_is_not_taken_over, patient_server, teardown_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
