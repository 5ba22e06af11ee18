/*
 * buf.h - owned bytes that grow.
 *
 * `ptr[len]` is always a spare NUL once anything was reserved, so a buf that holds text can be used as a C string.
 * Two ways to grow, so that a reader sees which one a peer can drive: buf_reserve aborts when memory runs out (start-up,
 * the command line, small fixed text); buf_try_reserve reports it. A buf with `limit` > 0 refuses to grow past it and
 * then stays `overflowed`; appends to an overflowed buf do nothing, so a writer checks once, at the end.
 * Not thread-safe; belongs to whoever owns the struct.
 */
#ifndef DIONE_BASE_BUF_H
#define DIONE_BASE_BUF_H

#include "base/attrs.h"
#include "base/slice.h"

struct buf {
    char *ptr;
    size_t len, cap;
    size_t limit;    /* bytes; 0: none */
    bool overflowed; /* the limit or the memory ran out; the content is incomplete */
};

void buf_release(struct buf *b);
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflowed = false;
}

/* Makes room for `more` bytes after len. False: limit or memory; the content is untouched. */
bool buf_try_reserve(struct buf *b, size_t more);
/* The same, but memory that cannot be had ends the process. Ignores `limit`. */
void buf_reserve(struct buf *b, size_t more);

void buf_append_slow(struct buf *b, const void *p, size_t len);

static inline void buf_append(struct buf *b, const void *p, size_t len)
{
    if (b->cap - b->len > len && !b->overflowed) {
        memcpy(b->ptr + b->len, p, len);
        b->len += len;
        b->ptr[b->len] = '\0';
        return;
    }
    buf_append_slow(b, p, len);
}

static inline void buf_append_slice(struct buf *b, struct slice s)
{
    if (s.len)
        buf_append(b, s.ptr, s.len);
}

static inline void buf_append_cstr(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

static inline void buf_append_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){ b->ptr, b->len };
}

/* Moves the content out; *b is empty and usable afterwards. */
static inline struct buf buf_take(struct buf *b)
{
    struct buf taken = *b;
    *b = (struct buf){ .limit = taken.limit };
    return taken;
}

#endif
