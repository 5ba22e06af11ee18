/* asset_rules.c - see asset_rules.h. */
#include "workers/asset_rules.h"

enum {
    HEADER_RULES_MAX = 100,
    REDIRECTS_MAX = 2100,
    LINE_MAX_BYTES = 2000,
    MATCH_STEPS = 100000, /* of trying; a pattern that needs more fits nothing */
};

/* ---- patterns ---- */

struct matcher {
    struct rule_match *m;
    int steps;
    bool in_host;
};

static bool is_name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && ((c >= '0' && c <= '9') || c == '_'));
}

static size_t name_len(struct slice s)
{
    size_t n = 0;

    while (n < s.len && is_name_char(s.ptr[n], n == 0))
        n++;
    return n;
}

static bool match_from(struct matcher *x, struct slice p, struct slice s);

/* Tries the longest first. */
static bool match_capture(struct matcher *x, struct slice name, struct slice rest, struct slice s, size_t least,
                          const char *stops)
{
    size_t most = 0, at = x->m->n;

    if (at == RULE_CAPTURES_MAX)
        return false;
    while (most < s.len && !(stops && strchr(stops, s.ptr[most])))
        most++;
    for (size_t n = most + 1; n-- > least;) {
        x->m->names[at] = name;
        x->m->values[at] = slice_of(s.ptr, n);
        x->m->n = at + 1;
        if (match_from(x, rest, slice_from(s, n)))
            return true;
        x->m->n = at;
    }
    return false;
}

static bool match_from(struct matcher *x, struct slice p, struct slice s)
{
    while (p.len) {
        if (--x->steps < 0)
            return false;
        if (p.ptr[0] == '*')
            return match_capture(x, SLICE_LIT("splat"), slice_from(p, 1), s, 0, NULL);
        size_t n = p.ptr[0] == ':' ? name_len(slice_from(p, 1)) : 0;
        if (n)
            return match_capture(x, slice_of(p.ptr + 1, n), slice_from(p, n + 1), s, 1, x->in_host ? "/." : "/");
        if (!s.len || s.ptr[0] != p.ptr[0])
            return false;
        p = slice_from(p, 1);
        s = slice_from(s, 1);
    }
    return s.len == 0;
}

bool rule_matches(struct slice pattern, struct slice host, struct slice path, struct rule_match *ret)
{
    static const struct slice scheme = { "https://", 8 };
    struct matcher x = { .m = ret, .steps = MATCH_STEPS };

    ret->n = 0;
    if (!slice_starts(pattern, scheme))
        return match_from(&x, pattern, path);
    struct slice rest = slice_from(pattern, scheme.len);
    struct slice wanted_host = slice_cut(&rest, '/');
    x.in_host = true;
    if (!match_from(&x, wanted_host, host))
        return false;
    x.in_host = false;
    if (!rest.ptr)
        return path.len <= 1;
    return path.len && match_from(&x, rest, slice_from(path, 1));
}

bool route_glob_matches(struct slice pattern, struct slice path)
{
    struct slice star = SLICE_NONE, mark = SLICE_NONE;

    while (path.len) {
        if (pattern.len && pattern.ptr[0] == '*') {
            star = pattern = slice_from(pattern, 1);
            mark = path;
        } else if (pattern.len && pattern.ptr[0] == path.ptr[0]) {
            pattern = slice_from(pattern, 1);
            path = slice_from(path, 1);
        } else if (star.ptr) {
            pattern = star;
            path = mark = slice_from(mark, 1);
        } else {
            return false;
        }
    }
    while (pattern.len && pattern.ptr[0] == '*')
        pattern = slice_from(pattern, 1);
    return pattern.len == 0;
}

void rule_expand(struct buf *b, struct slice text, const struct rule_match *m)
{
    while (text.len) {
        size_t n = text.ptr[0] == ':' ? name_len(slice_from(text, 1)) : 0, i = 0;
        while (n && i < m->n && !slice_eq(m->names[i], slice_of(text.ptr + 1, n)))
            i++;
        if (n && i < m->n) {
            buf_append_slice(b, m->values[i]);
            text = slice_from(text, n + 1);
        } else {
            buf_append_char(b, text.ptr[0]);
            text = slice_from(text, 1);
        }
    }
}

/* ---- files ---- */

static bool is_pattern(struct slice line)
{
    size_t stars = 0;

    for (size_t i = 0; i < line.len; i++)
        stars += line.ptr[i] == '*';
    return stars <= 1 && (slice_starts(line, SLICE_LIT("/")) || slice_starts(line, SLICE_LIT("https://")));
}

static struct slice next_line(struct slice *rest)
{
    return slice_trim(slice_cut(rest, '\n'));
}

static size_t count_lines(struct slice text)
{
    size_t n = 1;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\n';
    return n;
}

/* "Name: value", or "! Name". False: neither. */
static bool read_header_line(struct slice line, struct header_line *ret)
{
    if (line.ptr[0] == '!') {
        *ret = (struct header_line){ .name = slice_trim(slice_from(line, 1)) };
        return ret->name.len > 0;
    }
    struct slice rest = line, name = slice_trim(slice_cut(&rest, ':'));
    if (!rest.ptr || !name.len || memchr(name.ptr, ' ', name.len))
        return false;
    *ret = (struct header_line){ name, slice_trim(rest) };
    if (!ret->value.ptr)
        ret->value = SLICE_LIT("");
    return true;
}

static bool read_headers(struct slice text, struct arena *a, struct asset_rules *r)
{
    size_t n_lines = count_lines(text);
    struct header_line *lines = arena_zalloc(a, n_lines * sizeof(*lines));
    struct header_rule *now = NULL;

    r->headers = arena_zalloc(a, HEADER_RULES_MAX * sizeof(*r->headers));
    if (!lines || !r->headers)
        return false;
    while (text.ptr) {
        struct slice line = next_line(&text);
        if (!line.len || line.ptr[0] == '#' || line.len > LINE_MAX_BYTES)
            continue;
        if (line.ptr[0] == '/' || slice_starts(line, SLICE_LIT("https://"))) {
            now = is_pattern(line) && r->n_headers < HEADER_RULES_MAX ? &r->headers[r->n_headers++] : NULL;
            if (now)
                *now = (struct header_rule){ .pattern = line, .lines = lines };
        } else if (now && read_header_line(line, lines)) {
            lines++;
            now->n++;
        }
    }
    return true;
}

static bool is_redirect_status(uint64_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308 || status == 200;
}

static struct slice next_word(struct slice *rest)
{
    *rest = slice_trim(*rest);
    size_t n = 0;
    while (n < rest->len && !strchr(" \t", rest->ptr[n]))
        n++;
    struct slice word = slice_of(rest->ptr, n);
    *rest = slice_from(*rest, n);
    return word;
}

static bool read_redirect(struct slice line, struct redirect_rule *ret)
{
    struct slice from = next_word(&line), to = next_word(&line), code = next_word(&line);
    uint64_t status = 302;

    if (!is_pattern(from) || !to.len || (code.len && code.ptr[0] != '#' && !slice_to_u64(code, 999, &status)))
        return false;
    *ret = (struct redirect_rule){ .pattern = from, .to = to, .status = (int)status };
    ret->is_static = !memchr(from.ptr, '*', from.len);
    for (size_t i = slice_starts(from, SLICE_LIT("https://")) ? 6 : 0; i + 1 < from.len; i++)
        ret->is_static = ret->is_static && !(from.ptr[i] == ':' && name_len(slice_from(from, i + 1)));
    return is_redirect_status(status);
}

static bool read_redirects(struct slice text, struct arena *a, struct asset_rules *r)
{
    size_t n = count_lines(text);

    r->redirects = arena_zalloc(a, (n < REDIRECTS_MAX ? n : REDIRECTS_MAX) * sizeof(*r->redirects));
    if (!r->redirects)
        return false;
    while (text.ptr && r->n_redirects < REDIRECTS_MAX) {
        struct slice line = next_line(&text);
        if (line.len && line.ptr[0] != '#' && line.len <= LINE_MAX_BYTES &&
            read_redirect(line, &r->redirects[r->n_redirects]))
            r->n_redirects++;
    }
    return true;
}

bool asset_rules_read(struct slice headers, struct slice redirects, struct arena *a, struct asset_rules *ret)
{
    *ret = (struct asset_rules){ 0 };
    return read_headers(headers, a, ret) && read_redirects(redirects, a, ret);
}

const struct redirect_rule *asset_rules_redirect(const struct asset_rules *r, struct slice host, struct slice path,
                                                 struct rule_match *ret)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < r->n_redirects; i++)
            if (r->redirects[i].is_static == (pass == 0) && rule_matches(r->redirects[i].pattern, host, path, ret))
                return &r->redirects[i];
    return NULL;
}
