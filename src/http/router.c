/* router.c - see router.h. A linear walk: some forty short comparisons, less than one cache miss of anything cleverer. */
#include "http/router.h"

struct slice http_percent_decode(struct arena *a, struct slice s, bool plus)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    if (!out)
        return SLICE_NONE;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int v = 0;
            if (s.len - i < 3)
                return SLICE_NONE;
            for (int k = 1; k <= 2; k++) {
                char d = s.ptr[i + (size_t)k];
                if (d >= '0' && d <= '9')
                    v = v * 16 + (d - '0');
                else if ((d | 32) >= 'a' && (d | 32) <= 'f')
                    v = v * 16 + ((d | 32) - 'a' + 10);
                else
                    return SLICE_NONE;
            }
            c = (char)v;
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return slice_of(out, n);
}

/* Compares segment by segment; captures stay undecoded. */
static bool pattern_fits(const char *pattern, struct slice path, struct slice raw[HTTP_MAX_PARAMS])
{
    size_t n = 0;

    for (;;) {
        if (pattern[0] == '*')
            return true;
        struct slice segment = slice_cut(&path, '/');
        const char *end = strchrnul(pattern, '/');
        struct slice want = slice_of(pattern, (size_t)(end - pattern));
        if (want.len && want.ptr[0] == ':') {
            if (!segment.len || n == HTTP_MAX_PARAMS)
                return false;
            raw[n++] = segment;
        } else if (!slice_eq(segment, want)) {
            return false;
        }
        if (!*end || !path.ptr)
            return !*end && !path.ptr;
        pattern = end + 1;
    }
}

static bool decode_params(struct arena *a, struct slice params[HTTP_MAX_PARAMS])
{
    for (size_t i = 0; i < HTTP_MAX_PARAMS; i++) {
        if (!params[i].len || !memchr(params[i].ptr, '%', params[i].len))
            continue;
        params[i] = http_percent_decode(a, params[i], false);
        if (!params[i].ptr)
            return false;
    }
    return true;
}

const struct http_route *router_match(const struct http_route *routes, const char *prefix, enum http_method method,
                                      struct slice path, struct arena *a, struct slice ret_params[HTTP_MAX_PARAMS],
                                      bool *ret_path_known)
{
    struct slice raw[HTTP_MAX_PARAMS];

    *ret_path_known = false;
    if (path.len && path.ptr[0] == '/')
        path = slice_from(path, 1);
    if (prefix && slice_starts(path, slice_cstr(prefix)))
        path = slice_from(path, strlen(prefix));
    for (; routes->pattern; routes++) {
        for (size_t i = 0; i < HTTP_MAX_PARAMS; i++)
            raw[i] = SLICE_NONE;
        if (!pattern_fits(routes->pattern, path, raw))
            continue;
        *ret_path_known = true;
        if (routes->method != method && !(method == HTTP_M_HEAD && routes->method == HTTP_M_GET))
            continue;
        if (!decode_params(a, raw)) {
            *ret_path_known = false; /* another method would not help */
            return NULL;
        }
        memcpy(ret_params, raw, sizeof(raw));
        return routes;
    }
    return NULL;
}
