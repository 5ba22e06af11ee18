/*
 * slice.h - borrowed bytes, and a cursor that reads them.
 *
 * A slice owns nothing and is not NUL-terminated; who lends it says how long it lives. NULL with length 0 is the
 * absent slice. All protocol bytes travel as slices.
 */
#ifndef DIONE_BASE_SLICE_H
#define DIONE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE_LIT(s) ((struct slice){ "" s, sizeof(s) - 1 })
#define SLICE_NONE ((struct slice){ NULL, 0 })
/* For "%.*s". Text longer than INT_MAX never reaches a format string. */
#define SLICE_FMT(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *ptr, size_t len)
{
    return (struct slice){ ptr, len };
}

static inline struct slice slice_cstr(const char *s)
{
    return (struct slice){ s, s ? strlen(s) : 0 };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

static inline bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && strncasecmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

/* The part of s from `from` on; empty when `from` is past the end. */
static inline struct slice slice_from(struct slice s, size_t from)
{
    return from >= s.len ? (struct slice){ s.ptr + s.len, 0 } : (struct slice){ s.ptr + from, s.len - from };
}

/* Splits at the first `sep`: returns what is before it, and leaves what is after it in *rest. Without a separator
 * everything is returned and *rest becomes the absent slice. */
static inline struct slice slice_cut(struct slice *rest, char sep)
{
    struct slice s = *rest;
    const char *at = s.len ? memchr(s.ptr, sep, s.len) : NULL;

    if (!at) {
        *rest = SLICE_NONE;
        return s;
    }
    *rest = slice_of(at + 1, s.len - (size_t)(at - s.ptr) - 1);
    return slice_of(s.ptr, (size_t)(at - s.ptr));
}

/* Without leading and trailing ASCII white space. */
static inline struct slice slice_trim(struct slice s)
{
    while (s.len && strchr(" \t\r\n\v\f", s.ptr[0]) && s.ptr[0])
        s = slice_of(s.ptr + 1, s.len - 1);
    while (s.len && strchr(" \t\r\n\v\f", s.ptr[s.len - 1]) && s.ptr[s.len - 1])
        s.len--;
    return s;
}

/* Decimal digits only, no sign, no spaces, value at most `max`. */
static inline bool slice_to_u64(struct slice s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.ptr[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(v, 10U, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    if (v > max)
        return false;
    *ret = v;
    return true;
}

/* The same with an optional minus, within 64 bits. */
static inline bool slice_to_i64(struct slice s, int64_t *ret)
{
    bool negative = s.len && s.ptr[0] == '-';
    uint64_t magnitude;

    if (!slice_to_u64(negative ? slice_from(s, 1) : s, (uint64_t)INT64_MAX + negative, &magnitude))
        return false;
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

#endif
