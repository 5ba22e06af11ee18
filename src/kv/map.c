/*
 * map.c - see map.h. Many small maps (stripes), each behind a lock that is held for a few instructions; each forgets what
 * was not asked for lately: a new entry goes to the front, and what is at the back goes, unless it was used since it was
 * last looked at, in which case it moves to the front once more.
 */
#include "kv/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

enum { STRIPES = 64, STAMPS = 256 /* of a stripe */, FIRST_BUCKETS = 64 };

struct node {
    struct node *next; /* in its bucket */
    struct node *newer, *older;
    struct kv_value *value;
    uint64_t space, hash;
    bool used;
    uint16_t key_len;
    char key[];
};

struct stripe {
    pthread_mutex_t lock;
    struct node **buckets;
    size_t n_buckets; /* a power of two */
    size_t n, bytes;
    struct node *newest, *oldest;
    uint64_t stamps[STAMPS];
    uint32_t writing[STAMPS]; /* writes under way */
};

struct kv_map {
    size_t max_bytes; /* of one stripe */
    struct stripe stripes[STRIPES];
};

struct kv_map *kv_map_new(size_t max_bytes)
{
    struct kv_map *m = calloc(1, sizeof(*m));

    if (!m)
        abort();
    m->max_bytes = max_bytes / STRIPES;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&m->stripes[i].lock, NULL);
    return m;
}

void kv_map_free(struct kv_map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < STRIPES; i++) {
        struct stripe *s = &m->stripes[i];
        for (struct node *n = s->newest, *older; n; n = older) {
            older = n->older;
            kv_value_unref(n->value);
            free(n);
        }
        free(s->buckets);
        pthread_mutex_destroy(&s->lock);
    }
    free(m);
}

/* ---- a stripe; its lock is held ---- */

static struct stripe *stripe_of(struct kv_map *m, uint64_t hash)
{
    return &m->stripes[hash >> 58];
}

static size_t stamp_of(uint64_t hash)
{
    return (hash >> 50) % STAMPS;
}

static size_t cost_of(const struct node *n)
{
    return sizeof(*n) + n->key_len + sizeof(*n->value) + n->value->bytes_len + n->value->metadata_len;
}

static struct node **find_locked(struct stripe *s, const struct kv_place *at)
{
    struct node **link;

    if (!s->n_buckets)
        return NULL;
    for (link = &s->buckets[at->hash & (s->n_buckets - 1)]; *link; link = &(*link)->next) {
        const struct node *n = *link;
        if (n->hash == at->hash && n->space == at->space && n->key_len == at->key.len &&
            memcmp(n->key, at->key.ptr, n->key_len) == 0)
            return link;
    }
    return NULL;
}

static void list_remove_locked(struct stripe *s, struct node *n)
{
    *(n->newer ? &n->newer->older : &s->newest) = n->older;
    *(n->older ? &n->older->newer : &s->oldest) = n->newer;
    n->newer = n->older = NULL;
}

static void list_add_locked(struct stripe *s, struct node *n)
{
    n->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = n;
    s->newest = n;
}

static void remove_locked(struct stripe *s, struct node **link)
{
    struct node *n = *link;

    *link = n->next;
    list_remove_locked(s, n);
    s->n--;
    s->bytes -= cost_of(n);
    kv_value_unref(n->value);
    free(n);
}

static void evict_locked(struct stripe *s, size_t max_bytes)
{
    while (s->bytes > max_bytes && s->oldest) {
        struct node *n = s->oldest;
        if (n->used) {
            n->used = false;
            list_remove_locked(s, n);
            list_add_locked(s, n);
            continue;
        }
        struct node **link = &s->buckets[n->hash & (s->n_buckets - 1)];
        while (*link != n)
            link = &(*link)->next;
        remove_locked(s, link);
    }
}

/* Staying small when there is no memory for more only makes it slower. */
static void grow_locked(struct stripe *s)
{
    size_t n_buckets = s->n_buckets ? s->n_buckets * 2 : FIRST_BUCKETS;
    struct node **buckets = calloc(n_buckets, sizeof(struct node *));

    if (!buckets)
        return;
    for (struct node *n = s->newest; n; n = n->older) {
        struct node **at = &buckets[n->hash & (n_buckets - 1)];
        n->next = *at;
        *at = n;
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n_buckets;
}

static void insert_locked(struct stripe *s, struct node *n)
{
    struct node **at = &s->buckets[n->hash & (s->n_buckets - 1)];

    n->next = *at;
    *at = n;
    list_add_locked(s, n);
    s->n++;
    s->bytes += cost_of(n);
}

/* ---- the map ---- */

static struct stripe *place(struct kv_map *m, uint64_t space, struct slice key, struct kv_place *ret)
{
    uint64_t hash = XXH3_64bits_withSeed(key.ptr, key.len, space);

    *ret = (struct kv_place){ .space = space, .hash = hash, .key = key };
    return stripe_of(m, hash);
}

struct kv_value *kv_map_get(struct kv_map *m, uint64_t space, struct slice key, struct kv_place *ret)
{
    struct stripe *s = place(m, space, key, ret);
    struct kv_value *v = NULL;

    pthread_mutex_lock(&s->lock);
    ret->stamp = s->stamps[stamp_of(ret->hash)];
    struct node **link = find_locked(s, ret);
    if (link) {
        if (!(*link)->used)
            (*link)->used = true; /* only then: other processors read this, too */
        v = kv_value_ref((*link)->value);
    }
    pthread_mutex_unlock(&s->lock);
    return v;
}

bool kv_map_write_begins(struct kv_map *m, uint64_t space, struct slice key)
{
    struct kv_place at;
    struct stripe *s = place(m, space, key, &at);

    pthread_mutex_lock(&s->lock);
    struct node **link = find_locked(s, &at);
    if (link)
        remove_locked(s, link);
    s->writing[stamp_of(at.hash)]++;
    pthread_mutex_unlock(&s->lock);
    return link != NULL;
}

void kv_map_write_ends(struct kv_map *m, uint64_t space, struct slice key, struct kv_place *ret)
{
    struct stripe *s = place(m, space, key, ret);

    pthread_mutex_lock(&s->lock);
    s->writing[stamp_of(ret->hash)]--;
    ret->stamp = ++s->stamps[stamp_of(ret->hash)];
    pthread_mutex_unlock(&s->lock);
}

static struct node *node_new(const struct kv_place *at, struct kv_value *v)
{
    struct node *n = malloc(sizeof(*n) + at->key.len);

    if (!n)
        return NULL;
    *n = (struct node){
        .value = kv_value_ref(v), .space = at->space, .hash = at->hash, .key_len = (uint16_t)at->key.len
    };
    memcpy(n->key, at->key.ptr, at->key.len);
    return n;
}

bool kv_map_offer(struct kv_map *m, const struct kv_place *at, struct kv_value *v)
{
    struct stripe *s = stripe_of(m, at->hash);
    struct node *n = v->size <= KV_MAP_VALUE_MAX && at->key.len <= UINT16_MAX ? node_new(at, v) : NULL;
    size_t stamp = stamp_of(at->hash);
    bool taken = false;

    if (!n)
        return false;
    pthread_mutex_lock(&s->lock);
    if (s->n >= s->n_buckets)
        grow_locked(s);
    if (s->stamps[stamp] == at->stamp && !s->writing[stamp] && s->n_buckets) {
        struct node **link = find_locked(s, at);
        if (link)
            remove_locked(s, link); /* another reader was quicker, with the same */
        insert_locked(s, n);
        taken = true;
        evict_locked(s, m->max_bytes);
    }
    pthread_mutex_unlock(&s->lock);
    if (!taken) {
        kv_value_unref(n->value);
        free(n);
    }
    return taken;
}

struct kv_map_counts kv_map_count(struct kv_map *m)
{
    struct kv_map_counts all = { 0 };

    for (size_t i = 0; i < STRIPES; i++) {
        struct stripe *s = &m->stripes[i];
        pthread_mutex_lock(&s->lock);
        all.n += s->n;
        all.bytes += s->bytes;
        pthread_mutex_unlock(&s->lock);
    }
    return all;
}
