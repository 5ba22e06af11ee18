/* Time limits, shutting down, and real listening sockets. */
#include "../testing.h"

#include "fixture.h"

#include <netinet/in.h>
#include <pthread.h>

static int impatient_server(void **state UNUSED)
{
    start_server(60, 100000);
    return 0;
}

static int forgetful_server(void **state UNUSED)
{
    start_server(100000, 60);
    return 0;
}

/* ---- time limits ---- */

static void a_request_that_does_not_arrive_is_answered_408(void **state UNUSED)
{
    static const char *const parts[] = { "G", "GET /hello HTTP/1.1\r\nX-A:", "POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nbo",
                                         "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
                                         "POST /sink HTTP/1.1\r\nContent-Length: 4\r\n\r\nbo" };

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        int fd = client_open();
        client_say(fd, parts[i]);
        CHECK_ANSWER(fd, 408, "The request did not arrive within the time limit");
        assert_true(client_is_closed(fd));
        close(fd);
    }
    assert_int_equal(f.n_sink_aborts, 1);
}

static void a_handler_may_take_longer_than_a_request(void **state UNUSED)
{
    int fd = client_open(), slow = client_open();

    client_say(fd, "GET /gate HTTP/1.1\r\n\r\n");
    sem_wait(&f.gate_reached);
    client_say(slow, "G"); /* its 408 shows that the time has passed */
    assert_int_equal(client_status(slow), 408);
    sem_post(&f.gate_open);
    assert_int_equal(client_status(fd), 200);
    close(fd);
    close(slow);
}

static void a_paused_body_has_no_time_limit(void **state UNUSED)
{
    int fd = client_open(), slow = client_open();

    f.sink_waits = true;
    client_say(fd, "POST /sink HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
    sem_wait(&f.sink_paused);
    client_say(slow, "G");
    assert_int_equal(client_status(slow), 408);
    sink_resume();
    client_say(fd, "cd");
    assert_int_equal(client_status(fd), 200);
    close(fd);
    close(slow);
}

static void a_client_that_takes_nothing_of_its_answer_is_cut_off(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 };

    f.big_bytes = 32 << 20;
    client_say(fd, "GET /big HTTP/1.1\r\n\r\n");
    struct pollfd p = { .fd = fd, .events = 0 };
    while (!(p.revents & POLLHUP)) /* the server has closed, though we never read */
        assert_true(poll(&p, 1, -1) >= 0);
    while (client_read(fd, &in))
        continue;
    assert_true(in.len < f.big_bytes);
    buf_release(&in);
    close(fd);
}

static void an_idle_connection_is_closed_without_a_word(void **state UNUSED)
{
    int fresh = client_open(), used = client_open();

    client_say(used, "GET /hello HTTP/1.1\r\n\r\n");
    CHECK_ANSWER(used, 200, "hello");
    assert_true(client_is_closed(used));
    assert_true(client_is_closed(fresh));
    close(fresh);
    close(used);
}

/* ---- draining ---- */

static _Atomic bool drained;

static void *drain(void *grace_ms)
{
    http_server_drain(f.server, (int64_t)(intptr_t)grace_ms);
    atomic_store(&drained, true);
    return NULL;
}

static pthread_t start_draining(intptr_t grace_ms)
{
    pthread_t t;

    atomic_store(&drained, false);
    assert_int_equal(pthread_create(&t, NULL, drain, (void *)grace_ms), 0);
    return t;
}

static void draining_closes_idle_connections_and_lets_requests_end(void **state UNUSED)
{
    start_server(100000, 100000);
    int idle = client_open(), half = client_open(), busy = client_open(), uploading = client_open();
    struct buf in = { 0 }, out = { 0 };

    client_say(idle, "GET /hello HTTP/1.1\r\n\r\n");
    CHECK_ANSWER(idle, 200, "hello");
    client_send_apart(half, SLICE_LIT("GET /hel"));
    client_send_apart(uploading, SLICE_LIT("POST /sink HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"));
    client_say(busy, "GET /gate HTTP/1.1\r\n\r\n");
    sem_wait(&f.gate_reached);
    pthread_t t = start_draining(100000);
    assert_true(client_is_closed(idle));
    assert_true(client_is_closed(half));
    assert_false(atomic_load(&drained));
    sem_post(&f.gate_open);
    assert_int_equal(client_take(busy, &in, &out, false), 200);
    assert_non_null(strstr(out.ptr, "Connection: close\r\n"));
    assert_true(client_is_closed(busy));
    assert_false(atomic_load(&drained));
    client_say(uploading, "cd");
    assert_int_equal(client_status(uploading), 200);
    close(idle);
    close(half);
    close(busy);
    close(uploading);
    pthread_join(t, NULL);
    int late = client_open();
    assert_true(client_is_closed(late));
    close(late);
    buf_release(&in);
    buf_release(&out);
    stop_drained_server();
}

static void past_the_grace_connections_are_closed_and_handlers_waited_for(void **state UNUSED)
{
    start_server(100000, 100000);
    int busy = client_open(), uploading = client_open(), big = client_open();

    client_send_apart(uploading, SLICE_LIT("POST /sink HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"));
    client_send_apart(big, SLICE_LIT("GET /big HTTP/1.1\r\n\r\n"));
    client_say(busy, "GET /gate HTTP/1.1\r\n\r\n");
    sem_wait(&f.gate_reached);
    pthread_t t = start_draining(10);
    assert_true(client_is_closed(uploading));
    assert_int_equal(f.n_sink_aborts, 1);
    assert_true(client_is_closed(busy));
    assert_false(atomic_load(&drained));
    sem_post(&f.gate_open);
    pthread_join(t, NULL);
    close(busy);
    close(uploading);
    close(big);
    stop_drained_server();
}

static void a_server_without_connections_drains_at_once(void **state UNUSED)
{
    for (int i = 0; i < 10; i++) {
        start_server(100000, 100000);
        stop_server();
    }
}

static void draining_while_files_are_sent_ends_cleanly(void **state UNUSED)
{
    static char path[] = "/tmp/dione-unit-drain-XXXXXX";
    int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, 16 << 20), 0);
    for (int round = 0; round < 20; round++) {
        start_server(100000, 100000);
        f.file = path;
        f.file_size = 16 << 20;
        int fds[4];
        for (int i = 0; i < 4; i++) {
            fds[i] = client_open();
            client_send_apart(fds[i], SLICE_LIT("GET /file HTTP/1.1\r\n\r\n"));
        }
        http_server_drain(f.server, round % 2);
        for (int i = 0; i < 4; i++)
            close(fds[i]);
        stop_drained_server();
    }
    close(file);
    unlink(path);
}

/* ---- listening ---- */

static int tcp_connect(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void a_free_port_is_taken_and_told(void **state UNUSED)
{
    struct error err;
    int port = 0, other = 0;

    start_server(100000, 100000);
    assert_int_equal(http_server_listen(f.server, "127.0.0.1:0", &port, &err), STATUS_OK);
    assert_true(port > 0);
    for (int i = 0; i < 6; i++) { /* more than one loop's turn, one after the other */
        int fd = tcp_connect(port);
        client_say(fd, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
        CHECK_ANSWER(fd, 200, "hello");
        assert_true(client_is_closed(fd));
        close(fd);
    }
    /* The address is taken, and the text says so. */
    struct http_options opt = { .routes = test_routes, .admit = admit, .fail = on_fail, .request_timeout_ms = 1000 };
    struct http_server *second = http_server_new(&opt, f.loops, TEST_LOOPS);
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    assert_int_equal(http_server_listen(second, address, &other, &err), STATUS_IO);
    assert_non_null(strstr(err.msg, "the address is in use"));
    assert_int_equal(other, 0);
    http_server_drain(second, 1000);
    http_server_drain(f.server, 10000);
    stop_drained_server();
    http_server_free(second);
}

static void connections_beyond_the_limit_are_told_so(void **state UNUSED)
{
    struct error err;
    int port, fds[3];

    start_server(100000, 100000);
    assert_int_equal(http_server_listen(f.server, "127.0.0.1:0", &port, &err), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        fds[i] = tcp_connect(port);
        client_say(fds[i], "GET /hello HTTP/1.1\r\n\r\n");
        CHECK_ANSWER(fds[i], 200, "hello");
    }
    int fourth = tcp_connect(port);
    assert_int_equal(client_status(fourth), 503);
    assert_true(client_is_closed(fourth));
    close(fourth);
    close(fds[0]);
    for (int status = 0; status != 200;) { /* until the server has noticed */
        int again = tcp_connect(port);
        (void)!send(again, "GET /hello HTTP/1.1\r\n\r\n", 23, MSG_NOSIGNAL); /* may be refused already */
        status = client_status(again);
        close(again);
    }
    close(fds[1]);
    close(fds[2]);
    stop_server();
}

static void addresses_that_make_no_sense_are_refused(void **state UNUSED)
{
    static const char *const bad[] = { "", ":", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:x", "127.0.0.1:70000",
                                       "127.0.0.1:123456", "300.1.1.1:80", "[::1:80" };
    struct error err;
    int port = 7;

    start_server(1000, 1000);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(http_server_listen(f.server, bad[i], &port, &err), STATUS_INVALID);
        assert_int_equal(port, 7);
    }
    assert_true(http_address_is_loopback("127.0.0.1:80"));
    assert_true(http_address_is_loopback("127.9.9.9:0"));
    assert_true(http_address_is_loopback("[::1]:80"));
    assert_false(http_address_is_loopback("0.0.0.0:80"));
    assert_false(http_address_is_loopback("[::]:80"));
    assert_false(http_address_is_loopback("192.0.2.1:80"));
    stop_server();
}

int main(void)
{
#define WITH(setup, fn) cmocka_unit_test_setup_teardown(fn, setup, teardown_server)
    const struct CMUnitTest tests[] = {
        WITH(impatient_server, a_request_that_does_not_arrive_is_answered_408),
        WITH(impatient_server, a_handler_may_take_longer_than_a_request),
        WITH(impatient_server, a_paused_body_has_no_time_limit),
        WITH(impatient_server, a_client_that_takes_nothing_of_its_answer_is_cut_off),
        WITH(forgetful_server, an_idle_connection_is_closed_without_a_word),
        cmocka_unit_test(draining_closes_idle_connections_and_lets_requests_end),
        cmocka_unit_test(past_the_grace_connections_are_closed_and_handlers_waited_for),
        cmocka_unit_test(a_server_without_connections_drains_at_once),
        cmocka_unit_test(draining_while_files_are_sent_ends_cleanly),
        cmocka_unit_test(a_free_port_is_taken_and_told),
        cmocka_unit_test(connections_beyond_the_limit_are_told_so),
        cmocka_unit_test(addresses_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
