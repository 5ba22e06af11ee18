/*
 * Fuzzes the WebSocket reader: the first byte picks the size of the pieces, the rest is what a client sends. The messages
 * must be those of one piece, within the limit, and text in them UTF-8.
 */
#include "http/ws_frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_BYTES = 300 };

/* All that was read, one line a message. */
static struct buf read_all(struct slice bytes, size_t piece)
{
    struct ws_reader r = { .max_bytes = MAX_BYTES };
    struct ws_message m;
    struct buf told = { 0 };
    enum ws_read result = WS_READ_MORE;

    while (bytes.len && result != WS_READ_FAILED) {
        size_t n = bytes.len < piece ? bytes.len : piece;
        if (!ws_reader_feed(&r, slice_of(bytes.ptr, n)))
            abort();
        bytes = slice_from(bytes, n);
        while ((result = ws_reader_next(&r, &m)) == WS_READ_MESSAGE) {
            if (m.payload.len > MAX_BYTES)
                abort();
            buf_printf(&told, "%d %d %zu ", m.kind, m.kind == WS_CLOSE ? m.code : 0, m.payload.len);
            buf_append_slice(&told, m.payload);
        }
    }
    if (result == WS_READ_FAILED)
        buf_printf(&told, "failed %d", m.code);
    ws_reader_release(&r);
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;
    struct slice bytes = slice_of((const char *)data + 1, size - 1);
    struct buf whole = read_all(bytes, bytes.len), pieces = read_all(bytes, data[0] % 32 + 1U);
    if (!slice_eq(buf_slice(&whole), buf_slice(&pieces)))
        abort();
    buf_release(&whole);
    buf_release(&pieces);
    return 0;
}
