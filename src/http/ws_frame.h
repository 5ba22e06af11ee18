/*
 * ws_frame.h - the frames of RFC 6455: bytes to messages, and heads of frames to send. Pure; one thread at a time.
 *
 * Reads what clients send to a server, with one liberty: frames need not be masked, since wrangler asks for unmasked ones.
 * No extensions are spoken, so a reserved bit is an error.
 */
#ifndef DIONE_HTTP_WS_FRAME_H
#define DIONE_HTTP_WS_FRAME_H

#include "base/buf.h"

enum ws_kind { WS_TEXT, WS_BINARY, WS_PING, WS_PONG, WS_CLOSE };

enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NONE = 1005, /* never sent: the peer's close frame had no code */
    WS_CLOSE_NOT_UTF8 = 1007,
    WS_CLOSE_TOO_BIG = 1009,
};

struct ws_message {
    enum ws_kind kind;
    struct slice payload; /* of a CLOSE: its reason. Valid until the reader is used again */
    int code;             /* CLOSE */
};

/* Zero it and set max_bytes. */
struct ws_reader {
    size_t max_bytes; /* of a message */
    struct buf in;    /* received, from in_at on not yet looked at */
    size_t in_at;
    struct buf parts; /* of a fragmented message */
    enum ws_kind parts_kind;
    bool in_parts;
};

enum ws_read {
    WS_READ_MORE,    /* needs more bytes */
    WS_READ_MESSAGE, /* *ret is filled */
    WS_READ_FAILED,  /* ret->code says what to close with; nothing more can be read */
};

/* False: out of memory. */
bool ws_reader_feed(struct ws_reader *r, struct slice bytes) MUST_CHECK;
enum ws_read ws_reader_next(struct ws_reader *r, struct ws_message *ret);
void ws_reader_release(struct ws_reader *r);

enum { WS_HEAD_MAX = 10 };
/* The head of an unfragmented, unmasked frame; returns its length. */
size_t ws_frame_head(enum ws_kind kind, uint64_t payload_bytes, unsigned char ret[WS_HEAD_MAX]);

#endif
