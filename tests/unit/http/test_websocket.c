/* A WebSocket over a real connection: the handshake, both directions, and every way in which it can end. */
#include "../testing.h"

#include "fixture.h"

#include "http/websocket.h"
#include "http/ws_frame.h"

#define HANDSHAKE \
    "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static struct {
    struct websocket_options opt;
    struct websocket *_Atomic socket;
    _Atomic int n_closed, n_texts;
    char last_text[200]; /* settled once n_texts has counted it */
} t;

static void on_text(void *arg, struct slice text)
{
    assert_ptr_equal(arg, &t);
    assert_true(text.len < sizeof(t.last_text));
    memcpy(t.last_text, text.ptr, text.len);
    t.last_text[text.len] = '\0';
    atomic_fetch_add(&t.n_texts, 1);
    if (strcmp(t.last_text, "close me") == 0)
        websocket_close(t.socket, 4321, "as you wish");
    else if (strncmp(t.last_text, "no echo", 7) != 0)
        assert_true(websocket_send(t.socket, text));
}

static void on_closed(void *arg)
{
    assert_ptr_equal(arg, &t);
    atomic_fetch_add(&t.n_closed, 1);
}

static void accept_socket(struct http_request *req)
{
    t.socket = websocket_accept(req, &t.opt);
}

static int setup(void **state UNUSED)
{
    memset(&t, 0, sizeof(t));
    t.opt = (struct websocket_options){ .protocol = "trace-v1", .arg = &t, .on_text = on_text, .on_closed = on_closed };
    start_server(100000, 100000);
    f.on_ws = accept_socket;
    return 0;
}

static int teardown(void **state UNUSED)
{
    stop_server();
    websocket_unref(t.socket);
    return 0;
}

/* ---- the client ---- */

static void say_frame(int fd, enum ws_kind kind, struct slice payload)
{
    unsigned char head[WS_HEAD_MAX];
    size_t len = ws_frame_head(kind, payload.len, head);

    assert_int_equal(send(fd, head, len, MSG_NOSIGNAL), len);
    if (payload.len)
        assert_int_equal(send(fd, payload.ptr, payload.len, MSG_NOSIGNAL), payload.len);
}

static void read_exactly(int fd, void *to, size_t len)
{
    for (char *p = to; len;) {
        ssize_t n = read(fd, p, len);
        assert_true(n > 0);
        p += n;
        len -= (size_t)n;
    }
}

/* One frame of at most 65535 bytes; its first byte. */
static unsigned hear_frame(int fd, char *ret, size_t *ret_len)
{
    unsigned char head[4];

    read_exactly(fd, head, 2);
    *ret_len = head[1];
    assert_true(head[1] <= 126);
    if (head[1] == 126) {
        read_exactly(fd, head + 2, 2);
        *ret_len = (size_t)head[2] << 8 | head[3];
    }
    read_exactly(fd, ret, *ret_len);
    ret[*ret_len] = '\0';
    return head[0];
}

static void check_frame(int fd, unsigned first, struct slice payload, const char *file, int line)
{
    static char text[65536];
    size_t len;
    unsigned got = hear_frame(fd, text, &len);

    if (got != first || !slice_eq(slice_of(text, len), payload)) {
        print_error("got  %02x %.*s\nwant %02x %.*s\n", got, (int)len, text, first, SLICE_FMT(payload));
        _fail(file, line);
    }
}

#define CHECK_FRAME(fd, first, text) check_frame((fd), (first), SLICE_LIT(text), __FILE__, __LINE__)

/* The answer's head, up to its empty line, and not a byte more. */
static void hear_head(int fd, char ret[1000])
{
    size_t n = 0;

    do {
        assert_true(n < 999);
        read_exactly(fd, ret + n, 1);
        ret[++n] = '\0';
    } while (!strstr(ret, "\r\n\r\n"));
}

static int open_socket(void)
{
    int fd = client_open();
    char head[1000];

    client_say(fd, HANDSHAKE "\r\n");
    hear_head(fd, head);
    assert_string_equal(head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    WAIT_UNTIL(t.socket);
    return fd;
}

/* ---- tests ---- */

static void the_subprotocol_is_echoed_when_it_is_offered(void **state UNUSED)
{
    int fd = client_open();
    char head[1000];

    client_say(fd, HANDSHAKE "Sec-WebSocket-Protocol: other, trace-v1\r\n\r\n");
    hear_head(fd, head);
    assert_non_null(strstr(head, "\r\nSec-WebSocket-Protocol: trace-v1\r\n"));
    close(fd);
    WAIT_UNTIL(t.n_closed == 1);
    websocket_unref(atomic_exchange(&t.socket, NULL));
    fd = client_open();
    client_say(fd, HANDSHAKE "Sec-WebSocket-Protocol: other\r\n\r\n");
    hear_head(fd, head);
    assert_null(strstr(head, "Sec-WebSocket-Protocol"));
    close(fd);
    WAIT_UNTIL(t.n_closed == 2);
}

static void no_proper_handshake_is_refused(void **state UNUSED)
{
    static const char *const requests[] = {
        "GET /ws HTTP/1.1\r\n\r\n",
        "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n",
        "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        int fd = client_open();
        client_say(fd, requests[i]);
        CHECK_ANSWER(fd, 426, "This address speaks WebSocket, version 13\n");
        close(fd);
        assert_null(t.socket);
    }
}

static void messages_go_both_ways(void **state UNUSED)
{
    int fd = open_socket();

    say_frame(fd, WS_TEXT, SLICE_LIT("hello"));
    CHECK_FRAME(fd, 0x81, "hello");
    say_frame(fd, WS_PING, SLICE_LIT("still there?"));
    CHECK_FRAME(fd, 0x8a, "still there?");
    say_frame(fd, WS_PONG, SLICE_LIT("unasked"));
    assert_true(websocket_send(t.socket, SLICE_LIT("from another thread")));
    CHECK_FRAME(fd, 0x81, "from another thread");
    assert_int_equal(t.n_texts, 1);
    close(fd);
    WAIT_UNTIL(t.n_closed == 1);
    assert_false(websocket_send(t.socket, SLICE_LIT("too late")));
}

static void what_comes_with_the_handshake_is_heard(void **state UNUSED)
{
    int fd = client_open();
    char head[1000];

    client_say(fd, HANDSHAKE "\r\n\x81\x05"
                             "early");
    hear_head(fd, head);
    CHECK_FRAME(fd, 0x81, "early");
    close(fd);
}

static void many_messages_keep_their_order(void **state UNUSED)
{
    int fd = open_socket();
    char text[20], got[65536];
    size_t len;

    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "no %d", i);
        assert_true(websocket_send(t.socket, slice_cstr(text)));
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "no %d", i);
        assert_int_equal(hear_frame(fd, got, &len), 0x81);
        assert_string_equal(got, text);
    }
    close(fd);
}

static void a_client_that_does_not_read_loses_messages_not_our_memory(void **state UNUSED)
{
    static char text[60000];
    int n = 0;

    t.opt.max_queue_bytes = 1 << 20;
    int fd = open_socket();
    memset(text, 'x', sizeof(text));
    while (websocket_send(t.socket, slice_of(text, sizeof(text)))) {
        n++;
        assert_true(n < 1000);
        test_yield();
    }
    assert_true(n >= 10);
    /* Each that was promised is there. */
    for (int i = 0; i < n; i++) {
        static char got[65536];
        size_t len;
        assert_int_equal(hear_frame(fd, got, &len), 0x81);
        assert_int_equal(len, sizeof(text));
    }
    WAIT_UNTIL(websocket_send(t.socket, SLICE_LIT("again")));
    CHECK_FRAME(fd, 0x81, "again");
    close(fd);
}

static void the_client_s_close_is_answered(void **state UNUSED)
{
    int fd = open_socket();

    say_frame(fd, WS_CLOSE,
              SLICE_LIT("\x0f\xa0"
                        "bye"));
    CHECK_FRAME(fd, 0x88, "\x0f\xa0");
    assert_true(client_is_closed(fd));
    close(fd);
    WAIT_UNTIL(t.n_closed == 1);
}

static void a_close_without_a_code_is_answered_without_one(void **state UNUSED)
{
    int fd = open_socket();

    say_frame(fd, WS_CLOSE, SLICE_LIT(""));
    CHECK_FRAME(fd, 0x88, "");
    assert_true(client_is_closed(fd));
    close(fd);
}

static void our_close_waits_for_the_client_s(void **state UNUSED)
{
    int fd = open_socket();

    say_frame(fd, WS_TEXT, SLICE_LIT("close me"));
    CHECK_FRAME(fd, 0x88,
                "\x10\xe1"
                "as you wish");
    assert_false(websocket_send(t.socket, SLICE_LIT("too late")));
    say_frame(fd, WS_TEXT, SLICE_LIT("no echo: on its way when we closed"));
    say_frame(fd, WS_CLOSE, SLICE_LIT("\x10\xe1"));
    assert_true(client_is_closed(fd));
    close(fd);
    WAIT_UNTIL(t.n_closed == 1);
    assert_int_equal(t.n_texts, 1);
}

static void what_is_queued_leaves_before_the_close(void **state UNUSED)
{
    int fd = open_socket();

    assert_true(websocket_send(t.socket, SLICE_LIT("last words")));
    websocket_close(t.socket, 1000, "");
    websocket_close(t.socket, 1001, "only the first counts");
    CHECK_FRAME(fd, 0x81, "last words");
    CHECK_FRAME(fd, 0x88, "\x03\xe8");
    say_frame(fd, WS_CLOSE, SLICE_LIT("\x03\xe8"));
    assert_true(client_is_closed(fd));
    close(fd);
}

static void broken_frames_end_the_connection(void **state UNUSED)
{
    int fd = open_socket();

    client_say(fd, "\xff\xff nonsense");
    CHECK_FRAME(fd, 0x88, "\x03\xea");
    assert_true(client_is_closed(fd));
    close(fd);
    WAIT_UNTIL(t.n_closed == 1);
}

static void binary_messages_are_not_taken(void **state UNUSED)
{
    int fd = open_socket();

    say_frame(fd, WS_BINARY, SLICE_LIT("bytes"));
    CHECK_FRAME(fd, 0x88, "\x03\xeb");
    assert_true(client_is_closed(fd));
    close(fd);
}

static void stopping_the_server_says_going_away(void **state UNUSED)
{
    int fd = open_socket();

    http_server_drain(f.server, 60000);
    CHECK_FRAME(fd, 0x88, "\x03\xe9");
    assert_true(client_is_closed(fd));
    close(fd);
    assert_int_equal(t.n_closed, 1);
}

static int teardown_drained(void **state UNUSED)
{
    stop_drained_server();
    websocket_unref(t.socket);
    return 0;
}

/* A server whose clock for requests runs fast, as pings and deadlines use the same one. */
static void a_socket_outlives_the_time_limits_of_requests(void **state UNUSED)
{
    int fd = open_socket();

    /* Several ticks of the deadline check pass while others are served. */
    for (int i = 0; i < 60; i++) {
        int other = client_open();
        client_say(other, "GET /hello HTTP/1.1\r\n\r\n");
        CHECK_ANSWER(other, 200, "hello");
        close(other);
        test_yield();
    }
    say_frame(fd, WS_TEXT, SLICE_LIT("hello"));
    CHECK_FRAME(fd, 0x81, "hello");
    close(fd);
}

static int setup_hasty(void **state UNUSED)
{
    setup(NULL);
    stop_server();
    start_server(20, 20);
    f.on_ws = accept_socket;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_subprotocol_is_echoed_when_it_is_offered, setup, teardown),
        cmocka_unit_test_setup_teardown(no_proper_handshake_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_go_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(what_comes_with_the_handshake_is_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(many_messages_keep_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_does_not_read_loses_messages_not_our_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(the_client_s_close_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_close_without_a_code_is_answered_without_one, setup, teardown),
        cmocka_unit_test_setup_teardown(our_close_waits_for_the_client_s, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_queued_leaves_before_the_close, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_frames_end_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(binary_messages_are_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_the_server_says_going_away, setup, teardown_drained),
        cmocka_unit_test_setup_teardown(a_socket_outlives_the_time_limits_of_requests, setup_hasty, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
