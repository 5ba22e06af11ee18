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

/* Aligned for any type; uninitialised. NULL when the limit or the memory is used up. */
void *arena_alloc(struct arena *a, size_t len) MUST_CHECK;
void *arena_zalloc(struct arena *a, size_t len) MUST_CHECK;
/* A NUL-terminated copy; the NUL is not counted in len. ptr is NULL when it did not fit. */
struct slice arena_copy(struct arena *a, struct slice s) MUST_CHECK;
/*
 * s with `more` behind it, terminated as above. When s is what arena_copy or arena_join gave last, it grows in place, so
 * joining in small pieces costs no more than the text; otherwise both are copied.
 */
struct slice arena_join(struct arena *a, struct slice s, struct slice more) MUST_CHECK;

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))

#endif
