/*
 * bookmark.c - names for states of a database.
 *
 * Four hex groups as D1 has them. The first two are the commit number (64 bits), so text order is age order; the third
 * is kept zero, since the same state must always have the same name; the last ties the bookmark to its database.
 */
#include "store/store.h"

#include <stdio.h>
#include <xxhash.h>

void bookmark_format(const char *uuid, uint64_t commit, char ret[BOOKMARK_LEN + 1])
{
    XXH128_hash_t h = XXH3_128bits_withSeed(uuid, strlen(uuid), commit);

    snprintf(ret, BOOKMARK_LEN + 1, "%08x-%08x-%08x-%016llx%016llx", (unsigned)(commit >> 32), (unsigned)commit, 0U,
             (unsigned long long)h.high64, (unsigned long long)h.low64);
}

/* Lower-case hex; of many digits the last sixteen count. */
static bool take_hex(struct slice text, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (digit > 15)
            return false;
        v = v << 4 | digit;
    }
    *ret = v;
    return true;
}

bool bookmark_parse(struct slice text, const char *uuid, uint64_t *ret_commit, bool *ret_is_own)
{
    static const size_t lengths[] = { 8, 8, 8, 32 };
    uint64_t groups[ARRAY_LEN(lengths)];
    struct slice rest = text;
    char own[BOOKMARK_LEN + 1];

    if (text.len != BOOKMARK_LEN)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct slice group = slice_cut(&rest, '-');
        if (group.len != lengths[i] || !take_hex(group, &groups[i]))
            return false;
    }
    *ret_commit = groups[0] << 32 | groups[1];
    bookmark_format(uuid, *ret_commit, own);
    *ret_is_own = slice_eq(text, slice_of(own, BOOKMARK_LEN));
    return true;
}
