/* arena.c - see arena.h. Blocks double in size up to a bound; a large request gets a block of its own. */
#include "base/arena.h"

#include <stdlib.h>

enum { FIRST_BLOCK_BYTES = 4096, MAX_BLOCK_BYTES = 256 * 1024 };

struct arena_block {
    struct arena_block *older;
    size_t len; /* bytes after this header */
    _Alignas(ARENA_ALIGN_BYTES) char bytes[];
};

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){ .limit_bytes = limit_bytes };
}

static void blocks_free(struct arena_block *b)
{
    while (b) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->blocks;

    while (keep && (keep->older || keep->len > FIRST_BLOCK_BYTES)) {
        struct arena_block *older = keep->older;
        free(keep);
        keep = older;
    }
    a->blocks = keep;
    a->next = keep ? keep->bytes : NULL;
    a->end = keep ? keep->bytes + keep->len : NULL;
    a->used_bytes = keep ? keep->len : 0;
}

void arena_release(struct arena *a)
{
    blocks_free(a->blocks);
    *a = (struct arena){ .limit_bytes = a->limit_bytes };
}

static bool arena_add_block(struct arena *a, size_t need)
{
    size_t len = a->blocks ? a->blocks->len * 2 : FIRST_BLOCK_BYTES;

    if (len > MAX_BLOCK_BYTES)
        len = MAX_BLOCK_BYTES;
    if (len < need)
        len = need;
    if (len > a->limit_bytes || a->used_bytes > a->limit_bytes - len)
        return false;
    struct arena_block *b = malloc(sizeof(*b) + len);
    if (!b)
        return false;
    b->older = a->blocks;
    b->len = len;
    a->blocks = b;
    a->next = b->bytes;
    a->end = b->bytes + len;
    a->used_bytes += len;
    return true;
}

/* What arena_alloc takes for len bytes; 0: no such size. */
static size_t padded_len(size_t len)
{
    size_t padded;

    if (__builtin_add_overflow(len, ARENA_ALIGN_BYTES - 1U, &padded))
        return 0;
    return padded & ~(size_t)(ARENA_ALIGN_BYTES - 1);
}

/* The newest block is too small, or there is none. */
void *arena_alloc_slow(struct arena *a, size_t len)
{
    size_t padded = padded_len(len);

    if ((len && !padded) || !arena_add_block(a, padded))
        return NULL;
    return arena_alloc(a, len);
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.len + 1);

    if (!p)
        return SLICE_NONE;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return slice_of(p, s.len);
}

struct slice arena_join(struct arena *a, struct slice s, struct slice more)
{
    size_t len;

    if (__builtin_add_overflow(s.len, more.len, &len) || len == SIZE_MAX)
        return SLICE_NONE;
    char *p = NULL;
    if (s.ptr && a->next == s.ptr + padded_len(s.len + 1) && padded_len(len + 1) <= (size_t)(a->end - s.ptr)) {
        p = a->next - padded_len(s.len + 1);
        a->next = p + padded_len(len + 1);
    } else {
        p = arena_alloc(a, len + 1);
        if (!p)
            return SLICE_NONE;
        if (s.len)
            memcpy(p, s.ptr, s.len);
    }
    if (more.len)
        memcpy(p + s.len, more.ptr, more.len);
    p[len] = '\0';
    return slice_of(p, len);
}
