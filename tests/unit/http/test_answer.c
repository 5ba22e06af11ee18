/* Answers that are larger than a socket takes at once, files, and clients that do not wait for them. */
#include "../testing.h"

#include "fixture.h"

static char path[] = "/tmp/dione-unit-answer-XXXXXX";

static void make_file(size_t len)
{
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    char *bytes = malloc(len + 1);

    assert_true(fd >= 0);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + i % 26 + i / 100000 % 5);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
    free(bytes);
    f.file = path;
    f.file_size = len;
}

/* The body of the next answer is what make_file wrote. */
static void check_file_answer(int fd, size_t len)
{
    struct buf in = { 0 }, out = { 0 };

    assert_int_equal(client_take(fd, &in, &out, false), 200);
    const char *body = strstr(out.ptr, "\r\n\r\n") + 4;
    assert_int_equal(out.len - (size_t)(body - out.ptr), len);
    for (size_t i = 0; i < len; i++)
        if (body[i] != (char)('a' + i % 26 + i / 100000 % 5))
            fail_msg("byte %zu differs", i);
    assert_int_equal(in.len, 0);
    buf_release(&in);
    buf_release(&out);
}

static void answers_larger_than_the_socket_arrive_whole(void **state UNUSED)
{
    int fd = client_open();

    for (int i = 0; i < 3; i++) {
        struct buf in = { 0 }, out = { 0 };
        client_say(fd, "GET /big HTTP/1.1\r\n\r\n");
        assert_int_equal(client_take(fd, &in, &out, false), 200);
        assert_int_equal(out.len - (size_t)(strstr(out.ptr, "\r\n\r\n") + 4 - out.ptr), f.big_bytes);
        for (size_t at = out.len - f.big_bytes; at < out.len; at++)
            if (out.ptr[at] != 'b')
                fail();
        buf_release(&in);
        buf_release(&out);
    }
    close(fd);
}

static void requests_behind_a_large_answer_wait_for_it(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 }, out = { 0 };

    client_say(fd, "GET /big HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\n\r\nGET /big HTTP/1.1\r\n\r\n");
    client_say(fd, "GET /hello HTTP/1.1\r\n\r\n");
    for (int i = 0; i < 4; i++)
        assert_int_equal(client_take(fd, &in, &out, false), 200);
    assert_int_equal(in.len, 0);
    buf_release(&in);
    buf_release(&out);
    close(fd);
}

static void clients_may_leave_in_the_middle_of_an_answer(void **state UNUSED)
{
    char some[1000];

    for (int i = 0; i < 10; i++) {
        int fd = client_open();
        client_say(fd, "GET /big HTTP/1.1\r\n\r\n");
        if (i % 2)
            assert_true(read(fd, some, sizeof(some)) > 0);
        close(fd);
    }
}

static void clients_may_leave_while_a_handler_has_the_request(void **state UNUSED)
{
    for (int i = 0; i < 10; i++) {
        int fd = client_open();
        client_say(fd, "GET /gate HTTP/1.1\r\n\r\n");
        sem_wait(&f.gate_reached);
        close(fd);
        sem_post(&f.gate_open);
    }
}

static void files_arrive_whole_and_leave_the_connection_usable(void **state UNUSED)
{
    static const size_t sizes[] = { 0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 2000000 };
    int fd = client_open();

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        make_file(sizes[i]);
        client_say(fd, "GET /file HTTP/1.1\r\n\r\n");
        check_file_answer(fd, sizes[i]);
        client_say(fd, "GET /hello HTTP/1.1\r\n\r\n");
        CHECK_ANSWER(fd, 200, "hello");
        unlink(path);
    }
    close(fd);
}

static void a_head_request_tells_a_files_size_and_sends_nothing(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 }, out = { 0 };

    make_file(500000);
    client_say(fd, "HEAD /file HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\n\r\n");
    assert_int_equal(client_take(fd, &in, &out, true), 200);
    assert_non_null(strstr(out.ptr, "Content-Length: 500000\r\n"));
    assert_int_equal(client_take(fd, &in, &out, false), 200);
    assert_string_equal(out.ptr + out.len - 5, "hello");
    buf_release(&in);
    buf_release(&out);
    unlink(path);
    close(fd);
}

static void a_header_is_one_line(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 }, out = { 0 };

    client_say(fd, "GET /split HTTP/1.1\r\n\r\n");
    assert_int_equal(client_take(fd, &in, &out, false), 200);
    assert_non_null(strstr(out.ptr, "\r\nX-Value: one  X-Two: 2 end\r\n"));
    buf_release(&in);
    buf_release(&out);
    close(fd);
}

static void pipelined_files_and_texts_stay_in_order(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 }, out = { 0 };

    make_file(700000);
    for (int i = 0; i < 3; i++)
        client_say(fd, "GET /file HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\n\r\n");
    for (int i = 0; i < 6; i++) {
        buf_clear(&out);
        assert_int_equal(client_take(fd, &in, &out, false), 200);
        assert_int_equal(out.len > 700000, i % 2 == 0);
    }
    buf_release(&in);
    buf_release(&out);
    unlink(path);
    close(fd);
}

static void a_file_that_is_shorter_than_promised_ends_the_connection(void **state UNUSED)
{
    int fd = client_open();
    struct buf in = { 0 };

    make_file(300000);
    f.file_size = 400000;
    client_say(fd, "GET /file HTTP/1.1\r\n\r\n");
    while (client_read(fd, &in))
        continue;
    assert_non_null(strstr(in.ptr, "Content-Length: 400000\r\n"));
    assert_int_equal(in.ptr + in.len - (strstr(in.ptr, "\r\n\r\n") + 4), 300000);
    buf_release(&in);
    unlink(path);
    close(fd);
}

static void clients_may_leave_in_the_middle_of_a_file(void **state UNUSED)
{
    char some[1000];

    make_file(3000000);
    for (int i = 0; i < 10; i++) {
        int fd = client_open();
        client_say(fd, "GET /file HTTP/1.1\r\n\r\n");
        if (i % 2)
            assert_true(read(fd, some, sizeof(some)) > 0);
        close(fd);
    }
    unlink(path);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, patient_server, teardown_server)
    const struct CMUnitTest tests[] = {
        TEST(answers_larger_than_the_socket_arrive_whole),
        TEST(requests_behind_a_large_answer_wait_for_it),
        TEST(clients_may_leave_in_the_middle_of_an_answer),
        TEST(clients_may_leave_while_a_handler_has_the_request),
        TEST(files_arrive_whole_and_leave_the_connection_usable),
        TEST(a_head_request_tells_a_files_size_and_sends_nothing),
        TEST(a_header_is_one_line),
        TEST(pipelined_files_and_texts_stay_in_order),
        TEST(a_file_that_is_shorter_than_promised_ends_the_connection),
        TEST(clients_may_leave_in_the_middle_of_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
