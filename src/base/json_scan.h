/* json_scan.h - the one loop that JSON's reader and writer share: over plain text, eight bytes at a time. Private to
 * src/base/json_*.c. */
#ifndef DIONE_BASE_JSON_SCAN_H
#define DIONE_BASE_JSON_SCAN_H

#include "base/slice.h"

#define ONES 0x0101010101010101ULL
#define HIGH 0x8080808080808080ULL

/* True when none of the eight bytes is below 0x20, a quote, a backslash or above 0x7E. */
static inline bool word_is_plain(uint64_t w)
{
    uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
    uint64_t low = (w - ONES * 0x20) & ~w;

    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | low | w) & HIGH ? false : true;
}

/* How many bytes from p on need no care in a JSON string: no control character, quote, backslash or byte above 0x7F. */
static inline size_t json_plain_prefix(const char *p, size_t len)
{
    size_t i = 0;
    uint64_t w;

    for (; i + 8 <= len; i += 8) {
        memcpy(&w, p + i, 8);
        if (!word_is_plain(w))
            break;
    }
    while (i < len && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x80 && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

#endif
