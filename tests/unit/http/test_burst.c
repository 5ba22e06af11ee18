/* Sends on many sockets at once: each result belongs to its socket, and one that fails or is full harms no other. */
#include "../testing.h"

#include "http/burst.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static void open_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
}

static void close_pair(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static struct burst *burst_or_skip(void)
{
    struct burst *b = burst_new();

    if (!b)
        skip();
    return b;
}

static void every_socket_gets_its_own(void **state UNUSED)
{
    struct burst *b = burst_or_skip();
    int ends[BURST_MAX][2], sent[BURST_MAX];
    char text[BURST_MAX][8], head[] = "head ", got[16];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BURST_MAX; i++) {
            open_pair(ends[i]);
            snprintf(text[i], sizeof(text[i]), "%d", i * 7 + round);
            uv_buf_t bufs[2] = { uv_buf_init(head, 5), uv_buf_init(text[i], (unsigned)strlen(text[i])) };
            burst_add(b, ends[i][0], bufs, i % 2 ? 2 : 1);
        }
        burst_send(b, sent);
        for (int i = 0; i < BURST_MAX; i++) {
            char want[16];
            snprintf(want, sizeof(want), "head %s", i % 2 ? text[i] : "");
            ssize_t n = read(ends[i][1], got, sizeof(got));
            assert_int_equal(n, strlen(want));
            assert_int_equal(sent[i], n);
            assert_memory_equal(got, want, (size_t)n);
            close_pair(ends[i]);
        }
    }
    burst_free(b);
}

static void a_full_and_a_broken_socket_harm_no_other(void **state UNUSED)
{
    struct burst *b = burst_or_skip();
    static char big[1 << 20];
    int full[2], broken[2], small[2], sent[4];
    uv_buf_t all = uv_buf_init(big, sizeof(big)), some = uv_buf_init(big, 1);

    open_pair(full);
    open_pair(broken);
    open_pair(small);
    close(broken[1]);
    while (write(full[0], big, sizeof(big)) > 0)
        ;
    burst_add(b, full[0], &all, 1);
    burst_add(b, broken[0], &some, 1);
    burst_add(b, small[0], &some, 1);
    burst_add(b, -1, &some, 1);
    burst_send(b, sent);
    assert_int_equal(sent[0], UV_EAGAIN);
    assert_int_equal(sent[1], UV_EPIPE);
    assert_int_equal(sent[2], 1);
    assert_int_equal(sent[3], UV_EBADF);
    burst_add(b, small[0], &all, 1);
    burst_send(b, sent);
    assert_in_range(sent[0], 1, sizeof(big) - 1); /* a part: the socket took what it could */
    close_pair(full);
    close_pair(small);
    close(broken[0]);
    burst_free(b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_socket_gets_its_own),
        cmocka_unit_test(a_full_and_a_broken_socket_harm_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
