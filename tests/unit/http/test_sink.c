/* Bodies that go to a sink piece by piece: pauses, refusals, clients that leave, and limits. */
#include "../testing.h"

#include "fixture.h"

enum { BIG = 3000000 };

static struct buf big_request(bool chunked, struct buf *want)
{
    struct buf b = { 0 };
    uint64_t sum = 0;

    if (chunked)
        buf_printf(&b, "POST /sink HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", BIG);
    else
        buf_printf(&b, "POST /sink HTTP/1.1\r\nContent-Length: %d\r\n\r\n", BIG);
    for (int i = 0; i < BIG; i++) {
        char c = (char)(i * 7 + i / 251);
        buf_append_char(&b, c);
        sum = sum * 31 + (unsigned char)c;
    }
    if (chunked)
        buf_append_cstr(&b, "\r\n0\r\n\r\n");
    buf_printf(want, "%d %llu", BIG, (unsigned long long)sum);
    return b;
}

/* Writes while it reads, since the server may stop reading for a while. */
static void check_big_upload(void)
{
    for (int chunked = 0; chunked < 2; chunked++) {
        struct buf want = { 0 }, request = big_request(chunked, &want);
        int fd = client_open();
        for (int i = 0; i < 2; i++) {
            client_send(fd, buf_slice(&request));
            CHECK_ANSWER(fd, 200, want.ptr);
        }
        close(fd);
        buf_release(&want);
        buf_release(&request);
    }
    assert_int_equal(f.n_sink_ends, 4);
    assert_int_equal(f.n_sink_aborts, 0);
}

static void a_sink_sees_every_byte_once(void **state UNUSED)
{
    check_big_upload();
}

static void a_sink_that_pauses_at_each_piece_sees_every_byte_once(void **state UNUSED)
{
    f.sink_pauses = true;
    check_big_upload();
}

static void a_sink_may_resume_before_its_callback_returns(void **state UNUSED)
{
    f.sink_stutters = true;
    check_big_upload();
}

static void a_paused_body_holds_the_sender_and_not_the_memory(void **state UNUSED)
{
    static char piece[65536];
    int fd = client_open();
    size_t sent = 0, total = 32 << 20;

    f.sink_waits = true;
    client_say(fd, "POST /sink HTTP/1.1\r\nContent-Length: 33554432\r\n\r\n");
    client_send(fd, SLICE_LIT("x"));
    sem_wait(&f.sink_paused);
    sent = 1;
    for (ssize_t n; (n = send(fd, piece, sizeof(piece), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0;)
        sent += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    assert_true(sent < 4 << 20);
    sink_resume();
    while (sent < total) {
        size_t part = total - sent < sizeof(piece) ? total - sent : sizeof(piece);
        client_send(fd, slice_of(piece, part));
        sent += part;
    }
    assert_int_equal(client_status(fd), 200);
    close(fd);
}

static void pipelined_requests_wait_behind_a_paused_body(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 }, out = { 0 };

    f.sink_waits = true;
    client_send_apart(fd, SLICE_LIT("POST /sink HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"));
    sem_wait(&f.sink_paused);
    client_send_apart(fd, SLICE_LIT("cdGET /hello HTTP/1.1\r\n\r\nPOST /later HTTP/1.1\r\n\r\n"));
    sink_resume();
    assert_int_equal(client_take(fd, &in, &out, false), 200);
    assert_non_null(strstr(out.ptr, "\r\n\r\n4 "));
    assert_int_equal(client_take(fd, &in, &out, false), 200);
    assert_int_equal(client_take(fd, &in, &out, false), 200);
    buf_release(&in);
    buf_release(&out);
    close(fd);
}

/* The whole body is there, only the sink has not taken it yet. */
static void a_client_that_closes_its_side_behind_the_body_is_answered(void **state UNUSED)
{
    for (int all_at_once = 0; all_at_once < 2; all_at_once++) {
        int fd = client_open();
        f.sink_waits = true;
        f.sink_req = NULL;
        client_send_apart(fd, SLICE_LIT("POST /sink HTTP/1.1\r\nContent-Length: 4\r\n\r\n"));
        client_send_apart(fd, all_at_once ? SLICE_LIT("abcd") : SLICE_LIT("ab"));
        sem_wait(&f.sink_paused);
        if (!all_at_once)
            client_send_apart(fd, SLICE_LIT("cd"));
        shutdown(fd, SHUT_WR);
        /* Another request of the same loop's connections: by then the end of file was seen, if it ever will be. */
        for (int i = 0; i < TEST_LOOPS; i++) {
            int other = client_open();
            client_say(other, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
            CHECK_ANSWER(other, 200, "hello");
            close(other);
        }
        assert_int_equal(f.n_sink_aborts, 0);
        sink_resume();
        assert_int_equal(client_status(fd), 200);
        assert_true(client_is_closed(fd));
        close(fd);
    }
}

static void a_client_that_leaves_in_the_body_aborts_the_sink(void **state UNUSED)
{
    for (int i = 0; i < 20; i++) {
        int fd = client_open();
        client_send_apart(fd, SLICE_LIT("POST /sink HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc"));
        if (i % 2)
            shutdown(fd, SHUT_WR);
        close(fd);
        WAIT_UNTIL(atomic_load(&f.n_sink_aborts) == i + 1);
    }
    assert_int_equal(f.n_sink_ends, 0);
}

static void a_client_that_leaves_while_its_body_is_paused_aborts_the_sink(void **state UNUSED)
{
    f.sink_pauses = true;
    for (int i = 0; i < 20; i++) {
        int fd = client_open();
        client_send_apart(fd, SLICE_LIT("POST /sink HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc"));
        client_send(fd, SLICE_LIT("def"));
        close(fd);
        WAIT_UNTIL(atomic_load(&f.n_sink_aborts) == i + 1);
    }
}

static void a_sink_may_refuse_in_the_middle(void **state UNUSED)
{
    static char rest[1000000];

    f.sink_refuses = true;
    for (int i = 0; i < 5; i++) {
        int fd = client_open();
        struct buf in = { 0 }, out = { 0 };
        client_say(fd, "POST /sink HTTP/1.1\r\nContent-Length: 1000003\r\n\r\nabc");
        client_send(fd, slice_of(rest, sizeof(rest)));
        assert_int_equal(client_take(fd, &in, &out, false), 403);
        assert_true(client_is_closed(fd));
        buf_release(&in);
        buf_release(&out);
        close(fd);
    }
    assert_int_equal(f.n_sink_aborts, 0);
    assert_int_equal(f.n_sink_ends, 0);
}

static void a_sink_has_a_limit_of_its_own(void **state UNUSED)
{
    static const char *const requests[] = {
        "POST /sink HTTP/1.1\r\nContent-Length: 11\r\n\r\n",
        "POST /sink HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n",
    };

    f.sink_limit = 10;
    for (int i = 0; i < 2; i++) {
        int fd = client_open();
        client_say(fd, requests[i]);
        assert_int_equal(client_status(fd), 413);
        assert_true(client_is_closed(fd));
        assert_int_equal(f.n_sink_aborts, i + 1);
        close(fd);
    }
}

static void an_empty_body_ends_at_once(void **state UNUSED)
{
    int fd = client_open();

    client_say(fd, "POST /sink HTTP/1.1\r\n\r\n");
    CHECK_ANSWER(fd, 200, "0 0");
    client_say(fd, "POST /sink HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    CHECK_ANSWER(fd, 200, "0 0");
    close(fd);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, patient_server, teardown_server)
    const struct CMUnitTest tests[] = {
        TEST(a_sink_sees_every_byte_once),
        TEST(a_sink_that_pauses_at_each_piece_sees_every_byte_once),
        TEST(a_sink_may_resume_before_its_callback_returns),
        TEST(a_paused_body_holds_the_sender_and_not_the_memory),
        TEST(pipelined_requests_wait_behind_a_paused_body),
        TEST(a_client_that_closes_its_side_behind_the_body_is_answered),
        TEST(a_client_that_leaves_in_the_body_aborts_the_sink),
        TEST(a_client_that_leaves_while_its_body_is_paused_aborts_the_sink),
        TEST(a_sink_may_refuse_in_the_middle),
        TEST(a_sink_has_a_limit_of_its_own),
        TEST(an_empty_body_ends_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
