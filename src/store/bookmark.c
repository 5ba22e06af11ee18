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
