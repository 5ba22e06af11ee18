/* route.c - see route.h. */
#include "workers/route.h"

static bool take_prefix(struct slice *s, struct slice prefix)
{
    if (!slice_starts_nocase(*s, prefix))
        return false;
    *s = slice_from(*s, prefix.len);
    return true;
}

static struct slice without_port(struct slice host)
{
    if (host.len && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        return end ? slice_of(host.ptr, (size_t)(end - host.ptr) + 1) : host;
    }
    const char *colon = memchr(host.ptr, ':', host.len);
    return colon ? slice_of(host.ptr, (size_t)(colon - host.ptr)) : host;
}

static enum status refuse(struct slice pattern, const char *why, struct error *err)
{
    return error_set(err, STATUS_INVALID, 0, "The route pattern '%.*s' %s",
                     (int)(pattern.len > 200 ? 200 : pattern.len), pattern.ptr, why);
}

static bool has_odd_char(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || strchr("?#\"<>\\^`{|}\x7f", s.ptr[i]))
            return true;
    return false;
}

enum status route_parse(struct slice pattern, struct route *ret, struct error *err)
{
    struct slice rest = pattern;
    struct route r = { 0 };

    if (!pattern.len || pattern.len > ROUTE_MAX_LEN)
        return refuse(pattern, "must be 1 to 1024 characters long", err);
    if (take_prefix(&rest, SLICE_LIT("https://")))
        r.needs_scheme = r.needs_https = true;
    else if (take_prefix(&rest, SLICE_LIT("http://")))
        r.needs_scheme = true;
    const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    r.host = slash ? slice_of(rest.ptr, (size_t)(slash - rest.ptr)) : rest;
    r.path = slash ? slice_from(rest, r.host.len) : SLICE_LIT("/");
    r.any_host_start = take_prefix(&r.host, SLICE_LIT("*"));
    if (r.path.len && r.path.ptr[r.path.len - 1] == '*') {
        r.any_path_end = true;
        r.path.len--;
    }
    if (!r.host.len && !r.any_host_start)
        return refuse(pattern, "has no host name", err);
    if (memchr(r.host.ptr, '*', r.host.len) || memchr(r.path.ptr, '*', r.path.len))
        return refuse(pattern, "may have a '*' only at the start of its host and at the end of its path", err);
    if (has_odd_char(r.host) || has_odd_char(r.path))
        return refuse(pattern, "has a character that a host or path cannot have; a query cannot be matched", err);
    r.has_port = without_port(r.host).len != r.host.len;
    *ret = r;
    return STATUS_OK;
}

/* "*example.com" takes example.com, a.example.com and notexample.com; "*.example.com" only the second. */
static bool host_matches(const struct route *r, struct slice host)
{
    if (!r->has_port)
        host = without_port(host);
    if (!r->any_host_start)
        return slice_eq_nocase(host, r->host);
    return host.len >= r->host.len && slice_eq_nocase(slice_from(host, host.len - r->host.len), r->host);
}

bool route_matches(const struct route *r, bool is_https, struct slice host, struct slice path)
{
    if (r->needs_scheme && r->needs_https != is_https)
        return false;
    if (!host_matches(r, host))
        return false;
    return r->any_path_end ? slice_starts(path, r->path) : slice_eq(path, r->path);
}

static int more_first(size_t a, size_t b)
{
    return a == b ? 0 : a > b ? -1 : 1;
}

int route_compare(const struct route *a, const struct route *b)
{
    if (a->any_host_start != b->any_host_start)
        return a->any_host_start ? 1 : -1;
    if (a->host.len != b->host.len)
        return more_first(a->host.len, b->host.len);
    if (a->any_path_end != b->any_path_end && a->path.len == b->path.len)
        return a->any_path_end ? 1 : -1;
    if (a->path.len != b->path.len)
        return more_first(a->path.len, b->path.len);
    return (int)b->needs_scheme - (int)a->needs_scheme;
}
