/* utf8.h - the little that JSON and SQL text need to know of UTF-8. Pure functions. */
#ifndef DIONE_BASE_UTF8_H
#define DIONE_BASE_UTF8_H

#include "base/slice.h"

/*
 * Looks at the sequence that starts at p (len >= 1). Returns its length when it is well-formed; else 0, and *ret_skip is
 * the length of the maximal ill-formed part, which WHATWG decoders replace by one U+FFFD.
 */
size_t utf8_sequence(const unsigned char *p, size_t len, size_t *ret_skip);

/* Writes code point cp (a scalar value) to ret; returns 1 to 4 bytes. */
size_t utf8_encode(uint32_t cp, char ret[4]);

#endif
