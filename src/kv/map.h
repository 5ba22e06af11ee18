/*
 * map.h - hot keys in memory, bounded, shared by all loops. Any thread.
 *
 * The rule that keeps it right: a value enters only if no write of its key was under way or committed since the one who
 * brings it began to look. Each key falls on a stamp. A writer calls kv_map_write_begins inside its transaction: what is
 * there goes, and whoever asks now asks the database. Once the commit is durable, and before anyone is answered, or when
 * the write has failed, it calls kv_map_write_ends, and the stamp grows. A reader that misses gets the stamp as it is, reads
 * the database after that, and offers what it found with the stamp; so does the writer itself, with the stamp that its end
 * returned. When the stamp has grown meanwhile, or a write is under way, the offer is refused.
 * So an entry is always what the database holds, durably: an acknowledged write is never followed by the value before it,
 * and nobody who has seen a new value in the database is given the old one by the map.
 */
#ifndef DIONE_KV_MAP_H
#define DIONE_KV_MAP_H

#include "kv/value.h"

struct kv_map;

/* Where a key is in the map. `space` tells namespaces apart. */
struct kv_place {
    uint64_t space, hash;
    struct slice key;
    uint64_t stamp;
};

enum { KV_MAP_VALUE_MAX = 64 * 1024 }; /* larger values are not held */

/* Never NULL: it is made at start-up. */
struct kv_map *kv_map_new(size_t max_bytes);
void kv_map_free(struct kv_map *m);

/* Finds the key and takes a reference, or returns NULL; fills *ret. ret->key is the caller's and must outlive it. */
struct kv_value *kv_map_get(struct kv_map *m, uint64_t space, struct slice key, struct kv_place *ret);
/* Before the commit of a write of the key; each call is followed by one of the other. True: the key was there. */
bool kv_map_write_begins(struct kv_map *m, uint64_t space, struct slice key);
/* See above. Fills *ret. */
void kv_map_write_ends(struct kv_map *m, uint64_t space, struct slice key, struct kv_place *ret);
/* Offers a value for the place; the map takes a reference of its own. True: it is in. */
bool kv_map_offer(struct kv_map *m, const struct kv_place *at, struct kv_value *v);

struct kv_map_counts {
    size_t n, bytes;
};
struct kv_map_counts kv_map_count(struct kv_map *m);

#endif
