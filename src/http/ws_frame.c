/*
 * ws_frame.c - see ws_frame.h. A frame on the wire:
 *
 *     fin:1 reserved:3 opcode:4 | masked:1 len:7 | [len:16 or len:64] | [mask:32] | payload
 */
#include "http/ws_frame.h"

#include "base/utf8.h"

enum { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0F, MASKED = 0x80, LENGTH = 0x7F, LENGTH_16 = 126, LENGTH_64 = 127 };
enum { CONTROL_MAX = 125 };

struct frame {
    bool fin;
    unsigned opcode;
    const unsigned char *mask; /* NULL: none */
    unsigned char *payload;
    uint64_t len;
    size_t total; /* with its head */
};

static bool is_control(unsigned opcode)
{
    return opcode & 8;
}

bool ws_reader_feed(struct ws_reader *r, struct slice bytes)
{
    /* What was read is dropped here and not after each frame, whose payload the caller may still hold. */
    if (r->in_at) {
        memmove(r->in.ptr, r->in.ptr + r->in_at, r->in.len - r->in_at);
        r->in.len -= r->in_at;
        r->in_at = 0;
    }
    if (!buf_try_reserve(&r->in, bytes.len))
        return false;
    buf_append_slice(&r->in, bytes);
    return true;
}

void ws_reader_release(struct ws_reader *r)
{
    buf_release(&r->in);
    buf_release(&r->parts);
}

static uint64_t big_endian(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* The length in a head whose first two bytes are there; `size`: of the bytes that hold it. False: written too long. */
static bool take_length(const unsigned char *p, size_t size, struct frame *f)
{
    static const uint64_t least[] = { [0] = 0, [2] = LENGTH_16, [8] = 65536 };

    f->len = size ? big_endian(p + 2, size) : p[1] & LENGTH;
    return f->len >= least[size] && f->len <= INT64_MAX;
}

static enum ws_read fail(struct ws_message *ret, int code)
{
    ret->code = code;
    return WS_READ_FAILED;
}

static bool is_known(unsigned char first)
{
    unsigned opcode = first & OPCODE;

    return !(first & RESERVED) && (opcode <= OP_BINARY || (opcode >= OP_CLOSE && opcode <= OP_PONG));
}

/* What can be told from the head alone. 0: fine; else the code to close with. */
static int check_head(const struct ws_reader *r, const struct frame *f)
{
    if (is_control(f->opcode))
        return f->fin && f->len <= CONTROL_MAX ? 0 : WS_CLOSE_PROTOCOL;
    if (r->in_parts != (f->opcode == OP_CONTINUATION))
        return WS_CLOSE_PROTOCOL;
    return f->len > r->max_bytes - r->parts.len ? WS_CLOSE_TOO_BIG : 0;
}

static enum ws_read take_frame(struct ws_reader *r, struct frame *f, struct ws_message *ret)
{
    unsigned char *p = (unsigned char *)r->in.ptr + r->in_at;
    size_t left = r->in.len - r->in_at;

    if (left && !is_known(p[0]))
        return fail(ret, WS_CLOSE_PROTOCOL);
    if (left < 2)
        return WS_READ_MORE;
    size_t length_size = (p[1] & LENGTH) == LENGTH_16 ? 2 : (p[1] & LENGTH) == LENGTH_64 ? 8 : 0;
    size_t head = 2 + length_size + (p[1] & MASKED ? 4 : 0);
    if (left < head)
        return WS_READ_MORE;
    *f = (struct frame){ .fin = p[0] & FIN, .opcode = p[0] & OPCODE, .payload = p + head };
    if (!take_length(p, length_size, f))
        return fail(ret, WS_CLOSE_PROTOCOL);
    int code = check_head(r, f);
    if (code)
        return fail(ret, code);
    if (left - head < f->len)
        return WS_READ_MORE;
    f->mask = p[1] & MASKED ? p + head - 4 : NULL;
    f->total = head + f->len;
    return WS_READ_MESSAGE;
}

static void unmask(struct frame *f)
{
    for (uint64_t i = 0; f->mask && i < f->len; i++)
        f->payload[i] ^= f->mask[i & 3];
}

static bool is_utf8(struct slice s)
{
    size_t i = 0, skip;

    while (i < s.len) {
        size_t n = utf8_sequence((const unsigned char *)s.ptr + i, s.len - i, &skip);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* Codes that a close frame may carry: the registered ones, and those for libraries and applications. */
static bool is_close_code(int code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_read take_close(struct slice payload, struct ws_message *ret)
{
    *ret = (struct ws_message){ .kind = WS_CLOSE, .code = WS_CLOSE_NONE };
    if (payload.len == 0)
        return WS_READ_MESSAGE;
    if (payload.len == 1)
        return fail(ret, WS_CLOSE_PROTOCOL);
    ret->code = (int)big_endian((const unsigned char *)payload.ptr, 2);
    ret->payload = slice_from(payload, 2);
    if (!is_close_code(ret->code))
        return fail(ret, WS_CLOSE_PROTOCOL);
    return is_utf8(ret->payload) ? WS_READ_MESSAGE : fail(ret, WS_CLOSE_NOT_UTF8);
}

static enum ws_read take_control(unsigned opcode, struct slice payload, struct ws_message *ret)
{
    if (opcode == OP_CLOSE)
        return take_close(payload, ret);
    *ret = (struct ws_message){ .kind = opcode == OP_PING ? WS_PING : WS_PONG, .payload = payload };
    return WS_READ_MESSAGE;
}

static enum ws_read finish(struct ws_message *ret, enum ws_kind kind, struct slice payload)
{
    *ret = (struct ws_message){ .kind = kind, .payload = payload };
    return kind == WS_TEXT && !is_utf8(payload) ? fail(ret, WS_CLOSE_NOT_UTF8) : WS_READ_MESSAGE;
}

/* A frame of a message. MORE: the message goes on. */
static enum ws_read take_data(struct ws_reader *r, const struct frame *f, struct slice payload, struct ws_message *ret)
{
    if (f->opcode != OP_CONTINUATION) {
        r->parts_kind = f->opcode == OP_TEXT ? WS_TEXT : WS_BINARY;
        if (f->fin)
            return finish(ret, r->parts_kind, payload);
        r->in_parts = true;
    }
    if (!buf_try_reserve(&r->parts, payload.len))
        return fail(ret, WS_CLOSE_TOO_BIG);
    buf_append_slice(&r->parts, payload);
    if (!f->fin)
        return WS_READ_MORE;
    r->in_parts = false;
    enum ws_read result = finish(ret, r->parts_kind, buf_slice(&r->parts));
    r->parts.len = 0; /* the bytes stay for the caller until the next frame */
    return result;
}

enum ws_read ws_reader_next(struct ws_reader *r, struct ws_message *ret)
{
    enum ws_read result;
    struct frame f;

    do {
        result = take_frame(r, &f, ret);
        if (result != WS_READ_MESSAGE)
            return result;
        unmask(&f);
        r->in_at += f.total;
        struct slice payload = slice_of((const char *)f.payload, f.len);
        result = is_control(f.opcode) ? take_control(f.opcode, payload, ret) : take_data(r, &f, payload, ret);
    } while (result == WS_READ_MORE);
    return result;
}

size_t ws_frame_head(enum ws_kind kind, uint64_t payload_bytes, unsigned char ret[WS_HEAD_MAX])
{
    static const unsigned char opcodes[] = {
        [WS_TEXT] = OP_TEXT, [WS_BINARY] = OP_BINARY, [WS_PING] = OP_PING, [WS_PONG] = OP_PONG, [WS_CLOSE] = OP_CLOSE
    };
    size_t size = payload_bytes < LENGTH_16 ? 0 : payload_bytes < 65536 ? 2 : 8;

    ret[0] = (unsigned char)(FIN | opcodes[kind]);
    ret[1] = (unsigned char)(size == 0 ? payload_bytes : size == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = 0; i < size; i++)
        ret[2 + i] = (unsigned char)(payload_bytes >> (8 * (size - 1 - i)));
    return 2 + size;
}
