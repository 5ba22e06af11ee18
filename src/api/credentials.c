/* credentials.c - see credentials.h. */
#include "api/credentials.h"

static struct slice bearer(struct slice value)
{
    struct slice scheme = SLICE_LIT("Bearer ");

    if (!slice_starts_nocase(value, scheme))
        return SLICE_NONE;
    value = slice_trim(slice_from(value, scheme.len));
    return value.len ? value : SLICE_NONE;
}

struct slice credentials_secret(const struct http_request *req)
{
    static const char *const keys[] = { "X-API-Key", "X-Auth-Key", "X-Auth-User-Service-Key" };
    struct slice value = http_header(req, "Authorization");

    if (value.ptr)
        return bearer(value);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        value = http_header(req, keys[i]);
        if (value.ptr)
            return slice_trim(value);
    }
    return SLICE_NONE;
}
