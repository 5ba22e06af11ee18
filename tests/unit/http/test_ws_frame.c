/* WebSocket frames: whatever pieces they come in, the messages are the same; what the protocol forbids is refused. */
#include "../testing.h"

#include "http/ws_frame.h"

enum { MAX_BYTES = 1000 };

/* ---- making frames ---- */

static struct buf made;

/* `first`: the first byte. The length is written in its shortest form. */
static void frame(unsigned first, bool masked, struct slice payload)
{
    static const unsigned char mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
    unsigned char head[WS_HEAD_MAX];
    size_t len = ws_frame_head(WS_TEXT, payload.len, head);

    head[0] = (unsigned char)first;
    if (masked)
        head[1] |= 0x80;
    buf_append(&made, head, len);
    if (masked)
        buf_append(&made, mask, 4);
    for (size_t i = 0; i < payload.len; i++)
        buf_append_char(&made, (char)(payload.ptr[i] ^ (masked ? mask[i & 3] : 0)));
}

/* ---- reading them ---- */

static const char *const names[] = { "text", "binary", "ping", "pong", "close" };

/* What is read when `bytes` come in pieces of `piece`, as text. */
static char *read_in_pieces(struct slice bytes, size_t piece)
{
    struct ws_reader r = { .max_bytes = MAX_BYTES };
    struct ws_message m;
    struct buf told = { 0 };
    enum ws_read result = WS_READ_MORE;

    buf_append_cstr(&told, "");
    while (bytes.len && result != WS_READ_FAILED) {
        size_t n = bytes.len < piece ? bytes.len : piece;
        assert_true(ws_reader_feed(&r, slice_of(bytes.ptr, n)));
        bytes = slice_from(bytes, n);
        while ((result = ws_reader_next(&r, &m)) == WS_READ_MESSAGE) {
            buf_printf(&told, "%s[%.*s]", names[m.kind], m.payload.len > 40 ? 40 : (int)m.payload.len, m.payload.ptr);
            if (m.kind == WS_CLOSE || m.payload.len > 40)
                buf_printf(&told, "%zu", m.kind == WS_CLOSE ? (size_t)m.code : m.payload.len);
        }
    }
    if (result == WS_READ_FAILED)
        buf_printf(&told, "failed %d", m.code);
    ws_reader_release(&r);
    return told.ptr;
}

static void check_read(const char *want, const char *file, int line)
{
    for (size_t piece = 1; piece <= made.len; piece += piece < 8 ? 1 : piece) {
        char *got = read_in_pieces(buf_slice(&made), piece);
        if (strcmp(got, want) != 0) {
            print_error("in pieces of %zu\ngot  %s\nwant %s\n", piece, got, want);
            _fail(file, line);
        }
        free(got);
    }
    buf_release(&made);
    made = (struct buf){ 0 };
}

#define CHECK_READ(want) check_read((want), __FILE__, __LINE__)

static void messages_are_read_masked_or_not(void **state UNUSED)
{
    frame(0x81, true, SLICE_LIT("hello"));
    frame(0x81, false, SLICE_LIT("world"));
    frame(0x82, true, SLICE_LIT("bytes"));
    frame(0x81, true, SLICE_LIT(""));
    frame(0x89, true, SLICE_LIT("are you there"));
    frame(0x8a, false, SLICE_LIT("yes"));
    CHECK_READ("text[hello]text[world]binary[bytes]text[]ping[are you there]pong[yes]");
}

static void the_example_of_the_standard_is_read(void **state UNUSED)
{
    buf_append(&made, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    CHECK_READ("text[Hello]");
}

static void lengths_of_each_form_are_read(void **state UNUSED)
{
    char text[MAX_BYTES];

    memset(text, 'x', sizeof(text));
    frame(0x81, true, slice_of(text, 125));
    frame(0x81, true, slice_of(text, 126));
    frame(0x82, false, slice_of(text, MAX_BYTES));
    CHECK_READ("text[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]125text[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]126"
               "binary[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]1000");
}

static void heads_are_written_in_their_shortest_form(void **state UNUSED)
{
    unsigned char head[WS_HEAD_MAX];

    assert_int_equal(ws_frame_head(WS_TEXT, 0, head), 2);
    assert_memory_equal(head, "\x81\x00", 2);
    assert_int_equal(ws_frame_head(WS_CLOSE, 125, head), 2);
    assert_memory_equal(head, "\x88\x7d", 2);
    assert_int_equal(ws_frame_head(WS_BINARY, 126, head), 4);
    assert_memory_equal(head, "\x82\x7e\x00\x7e", 4);
    assert_int_equal(ws_frame_head(WS_PING, 65535, head), 4);
    assert_memory_equal(head, "\x89\x7e\xff\xff", 4);
    assert_int_equal(ws_frame_head(WS_PONG, 65536, head), 10);
    assert_memory_equal(head, "\x8a\x7f\0\0\0\0\0\x01\0\0", 10);
}

static void fragments_are_joined_around_pings(void **state UNUSED)
{
    frame(0x01, true, SLICE_LIT("one "));
    frame(0x89, true, SLICE_LIT("p"));
    frame(0x00, false, SLICE_LIT("two \xc3"));
    frame(0x00, true, SLICE_LIT(""));
    frame(0x80, true, SLICE_LIT("\xb8"));
    frame(0x02, true, SLICE_LIT(""));
    frame(0x80, true, SLICE_LIT("b"));
    CHECK_READ("ping[p]text[one two \xc3\xb8]binary[b]");
}

static void close_frames_are_read_with_code_and_reason(void **state UNUSED)
{
    frame(0x88, true, SLICE_LIT(""));
    CHECK_READ("close[]1005");
    frame(0x88, true, SLICE_LIT("\x03\xe8"));
    CHECK_READ("close[]1000");
    frame(0x88, false, SLICE_LIT("\x0f\x9fwhy not"));
    CHECK_READ("close[why not]3999");
}

static void close_frames_with_no_good_code_are_refused(void **state UNUSED)
{
    static const char codes[][2] = { { 0x03, (char)0xe7 }, { 0x03, (char)0xec },
                                     { 0x03, (char)0xed }, { 0x03, (char)0xee },
                                     { 0x03, (char)0xf7 }, { 0x07, (char)0xd0 },
                                     { 0x13, (char)0x88 }, { 0, 0 } };

    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        frame(0x88, true, slice_of(codes[i], 2));
        CHECK_READ("failed 1002");
    }
    frame(0x88, true, SLICE_LIT("\x03"));
    CHECK_READ("failed 1002");
    frame(0x88, true, SLICE_LIT("\x03\xe8\xff"));
    CHECK_READ("failed 1007");
}

static void what_the_protocol_forbids_is_refused(void **state UNUSED)
{
    static const unsigned char first[] = {
        0xc1, 0xa1, 0x91,             /* reserved bits */
        0x83, 0x84, 0x87, 0x8b, 0x8f, /* unknown kinds */
        0x80, 0x00,                   /* the rest of nothing */
        0x09, 0x08,                   /* a control frame in parts */
    };

    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        frame(0x81, true, SLICE_LIT("ok"));
        frame(first[i], true, SLICE_LIT("x"));
        CHECK_READ("text[ok]failed 1002");
    }
    frame(0x01, true, SLICE_LIT("a"));
    frame(0x81, true, SLICE_LIT("b")); /* a new message inside one */
    CHECK_READ("failed 1002");
    char text[126] = { 0 };
    frame(0x89, true, slice_of(text, sizeof(text))); /* a long ping */
    CHECK_READ("failed 1002");
}

static void lengths_that_lie_are_refused(void **state UNUSED)
{
    buf_append(&made, "\x81\x7e\x00\x05hello", 9); /* 5 in two bytes */
    CHECK_READ("failed 1002");
    buf_append(&made, "\x81\x7f\0\0\0\0\0\0\x01\x00", 10); /* 256 in eight */
    CHECK_READ("failed 1002");
    buf_append(&made, "\x81\x7f\x80\0\0\0\0\x01\0\0", 10); /* more than there is */
    CHECK_READ("failed 1002");
}

static void messages_have_a_limit(void **state UNUSED)
{
    char text[MAX_BYTES + 1];

    memset(text, 'x', sizeof(text));
    frame(0x81, true, slice_of(text, MAX_BYTES + 1));
    CHECK_READ("failed 1009");
    frame(0x01, true, slice_of(text, MAX_BYTES));
    frame(0x80, true, SLICE_LIT("y"));
    CHECK_READ("failed 1009");
    buf_append(&made, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10);
    CHECK_READ("failed 1009");
}

static void text_must_be_utf8(void **state UNUSED)
{
    frame(0x81, true, SLICE_LIT("caf\xe9"));
    CHECK_READ("failed 1007");
    frame(0x01, true, SLICE_LIT("caf\xc3"));
    frame(0x80, true, SLICE_LIT("x"));
    CHECK_READ("failed 1007");
    frame(0x82, true, SLICE_LIT("caf\xe9"));
    CHECK_READ("binary[caf\xe9]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read_masked_or_not),
        cmocka_unit_test(the_example_of_the_standard_is_read),
        cmocka_unit_test(lengths_of_each_form_are_read),
        cmocka_unit_test(heads_are_written_in_their_shortest_form),
        cmocka_unit_test(fragments_are_joined_around_pings),
        cmocka_unit_test(close_frames_are_read_with_code_and_reason),
        cmocka_unit_test(close_frames_with_no_good_code_are_refused),
        cmocka_unit_test(what_the_protocol_forbids_is_refused),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(messages_have_a_limit),
        cmocka_unit_test(text_must_be_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
