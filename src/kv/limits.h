/*
 * limits.h - what keys, values, metadata and times may be, and the texts that say what is wrong: those of Cloudflare, which
 * programs and people know. Pure; any thread.
 */
#ifndef DIONE_KV_LIMITS_H
#define DIONE_KV_LIMITS_H

#include "base/error.h"
#include "base/slice.h"

/* Not empty, not "." or "..", UTF-8, at most KV_KEY_MAX bytes. */
enum status kv_check_key(struct slice key, struct error *err) MUST_CHECK;
/* A prefix is as a key, but may be empty. */
enum status kv_check_prefix(struct slice prefix, struct error *err) MUST_CHECK;
enum status kv_check_value(uint64_t size, struct error *err) MUST_CHECK;
enum status kv_check_metadata(size_t len, struct error *err) MUST_CHECK;

/*
 * When a key expires: `ttl` seconds from now, or else at second `expiration`; absent slices: never (0). A TTL of a
 * minute or more counts from the second that runs, as Cloudflare counts; a shorter one is exact.
 */
enum status kv_take_expiry(struct slice expiration, struct slice ttl, int min_ttl_s, int64_t now_ms,
                           int64_t *ret_expires_ms, struct error *err) MUST_CHECK;
/* 1 .. KV_LIST_MAX, which it also is when the slice is absent. */
enum status kv_take_limit(struct slice limit, int *ret, struct error *err) MUST_CHECK;
/* Is only looked at: nothing is cached away from the data. Absent is fine. */
enum status kv_check_cache_ttl(struct slice cache_ttl, struct error *err) MUST_CHECK;

#endif
