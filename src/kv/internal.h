/* internal.h - what the files of src/kv share below the handlers. Lock order: kv.change_lock, then kv.lock. */
#ifndef DIONE_KV_INTERNAL_H
#define DIONE_KV_INTERNAL_H

#include "kv/kv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

enum { EXPIRY_UNKNOWN = -1, EXPIRY_NONE = 0 };

struct kv_namespace {
    struct kv *kv;
    _Atomic int refs;
    uint64_t space; /* in the map: never used again */
    struct database *db;
    struct kv_parts parts;         /* owned by: the drainer of db */
    struct kv_namespace_info info; /* title: guarded by kv.lock */
    _Atomic int min_ttl_s;
    _Atomic int64_t next_expiry_ms; /* of the first key to expire, or earlier */
    _Atomic bool sweeping;
    struct kv_namespace *next; /* order of creation; guarded by kv.lock */
    UT_hash_handle by_id, by_title;
};

struct sweeper;

/* The namespace that a loop was asked for last. Owned by: that loop. */
struct last_found {
    struct kv_namespace *ns; /* a reference */
    uint64_t generation;     /* of the catalog then */
    char padding[48];        /* a cache line each */
};

struct kv {
    struct store *store;
    struct kv_map *map;
    struct sweeper *sweeper;
    pthread_mutex_t change_lock; /* one change of the catalog at a time */
    pthread_rwlock_t lock;
    struct kv_namespace *by_id, *by_title, *first;
    size_t n;
    uint64_t spaces;
    _Atomic uint64_t generation; /* grows when a namespace goes */
    int n_loops;
    struct last_found *last_found; /* [n_loops] */
};

/* sweep.c: a key was stored that expires then. Any thread. */
void kv_expiry_noted(struct kv_namespace *ns, int64_t expires_ms);

#endif
