/* buf.c - see buf.h. Capacity doubles, so appending n bytes costs O(n) in all. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_MIN_CAP = 256 };

void buf_release(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){ .limit = b->limit };
}

static bool buf_grow(struct buf *b, size_t more)
{
    size_t need, cap;

    if (__builtin_add_overflow(b->len, more, &need) || __builtin_add_overflow(need, 1U, &need))
        return false;
    if (need <= b->cap)
        return true;
    cap = b->cap ? b->cap * 2 : BUF_MIN_CAP;
    /* The fast path of buf_append looks at cap alone, so that is where the limit must show. */
    if (b->limit && cap > b->limit)
        cap = b->limit + 1;
    if (cap < need)
        cap = need;
    char *grown = realloc(b->ptr, cap);
    if (!grown)
        return false;
    b->ptr = grown;
    b->cap = cap;
    return true;
}

bool buf_try_reserve(struct buf *b, size_t more)
{
    if (b->overflowed || (b->limit && (more > b->limit || b->len > b->limit - more)))
        return false;
    return buf_grow(b, more);
}

void buf_reserve(struct buf *b, size_t more)
{
    if (buf_grow(b, more))
        return;
    fputs("dione: out of memory\n", stderr);
    abort();
}

void buf_append_slow(struct buf *b, const void *p, size_t len)
{
    if (!buf_try_reserve(b, len)) {
        b->overflowed = true;
        return;
    }
    if (len)
        memcpy(b->ptr + b->len, p, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    int n;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n >= 0) {
        if (buf_try_reserve(b, (size_t)n))
            b->len += (size_t)vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
        else
            b->overflowed = true;
    }
    va_end(again);
}
