/* limits.c - see limits.h. */
#include "kv/limits.h"

#include "base/utf8.h"
#include "kv/kv.h"

#include <stdio.h>

enum { CACHE_TTL_MIN_S = 30 };

static const int64_t max_seconds = INT64_MAX / 1000000; /* so that milliseconds, and sums of them, never overflow */

static bool is_utf8(struct slice s)
{
    size_t skip;

    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_sequence((const unsigned char *)s.ptr + i, s.len - i, &skip);
        if (!n)
            return false;
    }
    return true;
}

enum status kv_check_prefix(struct slice prefix, struct error *err)
{
    if (prefix.len > KV_KEY_MAX)
        return error_set(err, STATUS_KVKEY, 0, "UTF-8 encoded length of %zu exceeds key length limit of %d.",
                         prefix.len, KV_KEY_MAX);
    if (!is_utf8(prefix))
        return error_set(err, STATUS_KVINVALID, 0, "Could not URL-decode key name");
    return STATUS_OK;
}

enum status kv_check_key(struct slice key, struct error *err)
{
    if (!key.len)
        return error_set(err, STATUS_KVINVALID, 0, "Key names must not be empty");
    if (slice_eq(key, SLICE_LIT(".")) || slice_eq(key, SLICE_LIT("..")))
        return error_set(err, STATUS_KVINVALID, 0, "Illegal key name \"%.*s\". Please use a different name.",
                         SLICE_FMT(key));
    return kv_check_prefix(key, err);
}

enum status kv_check_value(uint64_t size, struct error *err)
{
    if (size <= KV_VALUE_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_KVVALUE, 0, "Value length of %llu exceeds limit of %d.", (unsigned long long)size,
                     KV_VALUE_MAX);
}

enum status kv_check_metadata(size_t len, struct error *err)
{
    if (len <= KV_METADATA_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_KVVALUE, 0, "Metadata length of %zu exceeds limit of %d.", len, KV_METADATA_MAX);
}

/* ---- numbers ---- */

static enum status invalid(struct error *err, const char *name, struct slice text, const char *why)
{
    return error_set(err, STATUS_KVINVALID, 0, "Invalid %s of %.*s. %s", name, (int)(text.len > 64 ? 64 : text.len),
                     text.ptr, why);
}

/* A whole number above 0. */
static bool take_seconds(struct slice text, int64_t *ret)
{
    uint64_t v;

    if (!slice_to_u64(text, (uint64_t)max_seconds, &v) || v == 0)
        return false;
    *ret = (int64_t)v;
    return true;
}

static enum status take_ttl(struct slice text, int min_ttl_s, int64_t now_ms, int64_t *ret_ms, struct error *err)
{
    char why[80];
    int64_t ttl;

    if (!take_seconds(text, &ttl))
        return invalid(err, "expiration_ttl", text, "Please specify integer greater than 0.");
    snprintf(why, sizeof(why), "Expiration TTL must be at least %d.", min_ttl_s);
    if (ttl < min_ttl_s)
        return invalid(err, "expiration_ttl", text, why);
    *ret_ms = ttl >= KV_TTL_MIN_S ? (now_ms / 1000 + ttl) * 1000 : now_ms + ttl * 1000;
    return STATUS_OK;
}

static enum status take_expiration(struct slice text, int min_ttl_s, int64_t now_ms, int64_t *ret_ms, struct error *err)
{
    char why[80];
    int64_t at, now = now_ms / 1000;

    if (!take_seconds(text, &at) || at <= now)
        return invalid(err, "expiration", text,
                       "Please specify integer greater than the current number of seconds since the UNIX epoch.");
    snprintf(why, sizeof(why), "Expiration times must be at least %d seconds in the future.", min_ttl_s);
    if (at < now + min_ttl_s)
        return invalid(err, "expiration", text, why);
    *ret_ms = at * 1000;
    return STATUS_OK;
}

enum status kv_take_expiry(struct slice expiration, struct slice ttl, int min_ttl_s, int64_t now_ms,
                           int64_t *ret_expires_ms, struct error *err)
{
    if (ttl.ptr)
        return take_ttl(ttl, min_ttl_s, now_ms, ret_expires_ms, err);
    if (expiration.ptr)
        return take_expiration(expiration, min_ttl_s, now_ms, ret_expires_ms, err);
    *ret_expires_ms = 0;
    return STATUS_OK;
}

enum status kv_take_limit(struct slice limit, int *ret, struct error *err)
{
    uint64_t v = KV_LIST_MAX;

    if (limit.ptr && (!slice_to_u64(limit, UINT32_MAX, &v) || v == 0))
        return invalid(err, "key_count_limit", limit, "Please specify an integer greater than 0.");
    if (v > KV_LIST_MAX)
        return invalid(err, "key_count_limit", limit, "Please specify an integer less than 1000.");
    *ret = (int)v;
    return STATUS_OK;
}

enum status kv_check_cache_ttl(struct slice cache_ttl, struct error *err)
{
    uint64_t v = CACHE_TTL_MIN_S;

    if (!cache_ttl.ptr || (slice_to_u64(cache_ttl, UINT64_MAX, &v) && v >= CACHE_TTL_MIN_S))
        return STATUS_OK;
    return invalid(err, "cache_ttl", cache_ttl, "Cache TTL must be at least 30.");
}
