/*
 * arena.h - memory that is freed whole.
 *
 * One arena per request: what a request allocates dies with it. An arena has a byte limit, so nothing that a peer sends
 * can grow without end; past it arena_alloc returns NULL and the request fails with NOMEM. One thread at a time; an
 * arena moves between threads only together with its request.
 */
#ifndef DIONE_BASE_ARENA_H
#define DIONE_BASE_ARENA_H

#include "base/attrs.h"
#include "base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    char *next, *end;           /* free part of the newest block */
    size_t used_bytes;          /* in all blocks */
    size_t limit_bytes;
};

void arena_init(struct arena *a, size_t limit_bytes);
/* Frees everything but one small block, for the next request. */
void arena_reset(struct arena *a);
void arena_release(struct arena *a);

enum { ARENA_ALIGN_BYTES = 16 };

void *arena_alloc_slow(struct arena *a, size_t len) MUST_CHECK;

/* Aligned for any type; uninitialised. NULL when the limit or the memory is used up. */
MUST_CHECK static inline void *arena_alloc(struct arena *a, size_t len)
{
    size_t padded = (len + ARENA_ALIGN_BYTES - 1) & ~(size_t)(ARENA_ALIGN_BYTES - 1);

    if (padded < len || (size_t)(a->end - a->next) < padded)
        return arena_alloc_slow(a, len);
    void *p = a->next;
    a->next += padded;
    return p;
}

MUST_CHECK static inline void *arena_zalloc(struct arena *a, size_t len)
{
    void *p = arena_alloc(a, len);

    return p ? memset(p, 0, len) : NULL;
}

/* A NUL-terminated copy; the NUL is not counted in len. ptr is NULL when it did not fit. */
struct slice arena_copy(struct arena *a, struct slice s) MUST_CHECK;
/*
 * s with `more` behind it, terminated as above. When s is what arena_copy or arena_join gave last, it grows in place, so
 * joining in small pieces costs no more than the text; otherwise both are copied.
 */
struct slice arena_join(struct arena *a, struct slice s, struct slice more) MUST_CHECK;

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))

#endif
