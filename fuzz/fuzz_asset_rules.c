/*
 * Fuzzes the readers of _headers and _redirects and the matching of their patterns. The first line is "HOST PATH", then come,
 * parted by a form feed, the two files. What matches must expand to text of a sensible size, and a pattern without
 * placeholders fits itself alone.
 */
#include "workers/asset_rules.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_plain(struct slice pattern)
{
    return !memchr(pattern.ptr, '*', pattern.len) && !memchr(pattern.ptr, ':', pattern.len);
}

static void check_pattern(struct slice pattern, struct slice host, struct slice path)
{
    struct rule_match m;
    struct buf b = { 0 };
    bool fits = rule_matches(pattern, host, path, &m);

    if (is_plain(pattern) && fits != slice_eq(pattern, path))
        abort();
    if (fits) {
        if (m.n > RULE_CAPTURES_MAX)
            abort();
        rule_expand(&b, pattern, &m);
        if (b.len > (pattern.len + 1) * (host.len + path.len + 2))
            abort();
    }
    buf_release(&b);
    IGNORE_RESULT(route_glob_matches(pattern, path)); /* only that it ends */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size), line = slice_cut(&rest, '\n');
    struct slice host = slice_cut(&line, ' '), redirects = rest, headers = slice_cut(&redirects, '\f');
    struct asset_rules r;
    struct rule_match m;
    struct arena arena;

    arena_init(&arena, 8 << 20);
    if (asset_rules_read(headers, redirects, &arena, &r)) {
        for (size_t i = 0; i < r.n_headers; i++)
            check_pattern(r.headers[i].pattern, host, line);
        for (size_t i = 0; i < r.n_redirects; i++)
            check_pattern(r.redirects[i].pattern, host, line);
        const struct redirect_rule *found = asset_rules_redirect(&r, host, line, &m);
        if (found && !rule_matches(found->pattern, host, line, &m))
            abort();
    }
    arena_release(&arena);
    return 0;
}
