/*
 * kv.h - namespaces, and what is done with their keys.
 *
 * A namespace is a database of the store (data/kv/<id>) with one table (table.h). A read looks into the map (map.h) first,
 * then asks SQLite on the loop that asks; a write goes through the database's queue and its group commit. A read that
 * begins after a write was acknowledged sees it, on whatever connection.
 * Ownership: struct kv_namespace is reference-counted. Threads: requests start and end on the loop that asks.
 */
#ifndef DIONE_KV_KV_H
#define DIONE_KV_KV_H

#include "kv/map.h"
#include "kv/table.h"
#include "kv/value.h"
#include "store/store.h"

struct kv;
struct kv_namespace;

enum {
    KV_ID_LEN = 32,
    KV_TITLE_MAX = 512,
    KV_KEY_MAX = 512,
    KV_VALUE_MAX = 25 * 1024 * 1024,
    KV_METADATA_MAX = 1024,
    KV_TTL_MIN_S = 60, /* unless the namespace allows less */
    KV_LIST_MAX = 1000,
    KV_BULK_GET_MAX = 100,
    KV_BULK_MAX = 10000,
    KV_MAP_BYTES = 64 * 1024 * 1024,
};

/* Loads the catalog. Blocking. */
enum status kv_open(struct store *s, int n_loops, size_t map_bytes, struct kv **ret, struct error *err) MUST_CHECK;
/* Begins to sweep expired keys, with a timer on this loop. */
void kv_start_sweeping(struct kv *kv, struct loop *loop);
/* Before the store is drained. NULL is fine. Blocking. */
void kv_stop_sweeping(struct kv *kv);
/* Between the end of the loops and store_close. NULL is fine. */
void kv_close(struct kv *kv);
struct kv_map *kv_map_of(struct kv *kv);

/* ---- namespaces ---- */

struct kv_namespace_info {
    char id[KV_ID_LEN + 1];
    char title[KV_TITLE_MAX + 1];
    int64_t created_ms;
    int min_ttl_s; /* 1 .. 60 */
};

/* NULL when there is none; else the caller gives the reference back. Any thread. */
struct kv_namespace *kv_find(struct kv *kv, struct slice id);
/* The same through a cache of the loop's own, without a reference: it is there until the next event of this loop. Loop thread. */
struct kv_namespace *kv_find_on_loop(struct kv *kv, int loop_index, struct slice id);
struct kv_namespace *kv_namespace_ref(struct kv_namespace *ns);
void kv_namespace_unref(struct kv_namespace *ns);
const char *kv_namespace_id(const struct kv_namespace *ns);
struct database *kv_namespace_database(struct kv_namespace *ns);
int kv_namespace_min_ttl_s(const struct kv_namespace *ns);
/* Any thread. A copy, since it can be renamed. */
void kv_namespace_info(const struct kv_namespace *ns, struct kv_namespace_info *ret);

/* Fills created_ms, and id when it is empty. KVTITLE, EXISTS: there is one of that title, id. INVALID: no title for one.
 * Blocking. */
enum status kv_create(struct kv *kv, struct kv_namespace_info *info, struct error *err) MUST_CHECK;
/* Takes title and min_ttl_s from *info. KVTITLE, INVALID. Blocking. */
enum status kv_update(struct kv *kv, struct kv_namespace *ns, const struct kv_namespace_info *info,
                      struct error *err) MUST_CHECK;
/* With all keys. NODB: it is gone already. Blocking. */
enum status kv_delete(struct kv *kv, struct kv_namespace *ns, struct error *err) MUST_CHECK;

enum kv_order { KV_BY_AGE, KV_BY_ID, KV_BY_TITLE };
struct kv_list_options {
    enum kv_order order;
    bool descending;
    size_t offset, limit;
    const char *only_id; /* NULL: all */
};
/* *ret is freed by the caller. Any thread. */
enum status kv_list_namespaces(struct kv *kv, const struct kv_list_options *opt, struct kv_namespace_info **ret,
                               size_t *ret_n, size_t *ret_total, struct error *err) MUST_CHECK;

/* ---- reading a key ---- */

/*
 * What memory knows of the key: a reference to its value (perhaps an absent one), or NULL: ask kv_read_start, with *place
 * as it was filled here. Any thread.
 */
struct kv_value *kv_peek(struct kv_namespace *ns, struct slice key, struct kv_place *place) MUST_CHECK;

struct kv_read {
    struct kv_namespace *ns;         /* a reference of the caller's that outlives the request */
    struct kv_place place;           /* from kv_peek; its key must live as long */
    bool want_bytes;                 /* else version, expiry and metadata only */
    struct sql_request run;          /* loop and err are the caller's */
    void (*done)(struct kv_read *r); /* on the loop; run.status tells */
    /* The answer, the caller's to give back. */
    struct kv_value *value;
    int fd; /* a file that holds the bytes when value does not: close it; -1: none */
};
/* True: finished on the spot, and done is not called. Loop thread. */
bool kv_read_start(struct kv_read *r) MUST_CHECK;

/* ---- writing a key ---- */

enum kv_write_kind { KV_PUT, KV_DELETE, KV_ADD /* to a decimal number, 0 when there is none */ };
/* What must be true of the key, else CHANGED and nothing is done. */
enum kv_condition { KV_ALWAYS, KV_IF_VERSION, KV_IF_PRESENT, KV_IF_ABSENT };

struct kv_write {
    struct kv_namespace *ns; /* a reference of the caller's that outlives the request */
    enum kv_write_kind kind;
    /* The key, and a value above KV_SMALL_MAX with its metadata, must outlive the request; smaller ones are copied. */
    struct kv_put put; /* PUT: all but the version. ADD, DELETE: the key; ADD: expires_ms when sets_expiry */
    enum kv_condition condition;
    uint64_t if_version;
    int64_t add;
    bool sets_expiry;
    struct sql_request run; /* loop and err are the caller's */
    void (*done)(struct kv_write *w);
    /* The answer. */
    uint64_t version; /* of what stands there now */
    int64_t sum;      /* ADD */
    /* Its own. */
    struct kv_place place;
    struct kv_value *cached;
    bool under_way; /* for the map */
    bool was_hot;   /* only what was asked for goes back into the map */
    char sum_text[24];
};
void kv_write_start(struct kv_write *w);

/* ---- many keys ---- */

/* All or nothing. A key that comes twice keeps what comes last. */
struct kv_bulk_write {
    struct kv_namespace *ns;
    struct kv_put *puts; /* [n]; versions are filled here */
    size_t n;
    bool deletes; /* the keys; the rest of each put is not looked at */
    struct sql_request run;
    void (*done)(struct kv_bulk_write *w);
    size_t n_under_way; /* its own, for the map */
};
void kv_bulk_write_start(struct kv_bulk_write *w);

/* Reads n keys as one state of the namespace. Bytes above KV_SMALL_MAX come too, up to max_bytes in all: TOOBIG. */
struct kv_bulk_read {
    struct kv_namespace *ns;
    const struct slice *keys;
    size_t n;
    size_t max_bytes;
    struct kv_value **values; /* [n], NULL at first; the caller gives back what is in it */
    struct sql_request run;
    void (*done)(struct kv_bulk_read *r);
};
bool kv_bulk_read_start(struct kv_bulk_read *r) MUST_CHECK;

struct kv_list {
    struct kv_namespace *ns;
    struct slice prefix, after; /* `after` absent: from the start */
    int limit;
    void (*write_key)(struct buf *out, const struct kv_listed *key); /* appends to run.out; commas are put between */
    struct sql_request run; /* its `out` gets the keys, and has a limit: TOOBIG */
    void (*done)(struct kv_list *l);
    /* The answer. */
    size_t n;
    bool more;
    struct buf last; /* key; the caller releases it */
};
bool kv_list_start(struct kv_list *l) MUST_CHECK;

#endif
