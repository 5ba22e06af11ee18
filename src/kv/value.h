/*
 * value.h - what a key holds: made once, never changed, shared by counting references. Any thread.
 */
#ifndef DIONE_KV_VALUE_H
#define DIONE_KV_VALUE_H

#include "base/attrs.h"
#include "base/slice.h"

struct kv_value {
    _Atomic int refs;
    bool absent;       /* the key is not there; nothing below means anything */
    bool has_metadata; /* JSON text, not empty */
    uint64_t version;
    int64_t expires_ms; /* wall clock; 0: never */
    size_t size;        /* of the value, which may be elsewhere */
    size_t bytes_len;   /* `size`, or 0 when the value is too large to be held here */
    size_t metadata_len;
    char bytes[]; /* the value, behind it the metadata */
};

/* With room for both, to be filled. NULL: out of memory. */
struct kv_value *kv_value_new(size_t bytes_len, size_t metadata_len) MUST_CHECK;
struct kv_value *kv_value_copy(struct slice bytes, struct slice metadata) MUST_CHECK;
struct kv_value *kv_value_absent(void) MUST_CHECK;
struct kv_value *kv_value_ref(struct kv_value *v);
/* NULL is fine. */
void kv_value_unref(struct kv_value *v);

static inline struct slice kv_value_bytes(const struct kv_value *v)
{
    return slice_of(v->bytes, v->bytes_len);
}

/* The absent slice when there is none. */
static inline struct slice kv_value_metadata(const struct kv_value *v)
{
    return v->has_metadata ? slice_of(v->bytes + v->bytes_len, v->metadata_len) : SLICE_NONE;
}

static inline bool kv_is_expired(int64_t expires_ms, int64_t now_ms)
{
    return expires_ms && expires_ms <= now_ms;
}

/* A time of expiry as clients are told: at this second the key is gone. */
static inline int64_t kv_expiration_s(int64_t expires_ms)
{
    return (expires_ms + 999) / 1000;
}

#endif
