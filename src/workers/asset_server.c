/* asset_server.c - sites by id, and answers from them. See assets.h. */
#include "workers/asset_site.h"

#include "base/utf8.h"
#include "http/envelope.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>
#include <unistd.h>

struct entry {
    struct asset_site *site;
    UT_hash_handle hh;
    char id[];
};

struct asset_server {
    pthread_rwlock_t lock;
    struct entry *sites;
};

struct asset_server *asset_server_new(void)
{
    struct asset_server *s = calloc(1, sizeof(*s));

    if (s)
        pthread_rwlock_init(&s->lock, NULL);
    return s;
}

static void entry_free(struct entry *e)
{
    if (!e)
        return;
    asset_site_unref(e->site);
    free(e);
}

void asset_server_free(struct asset_server *s)
{
    struct entry *e, *next;

    if (!s)
        return;
    HASH_ITER(hh, s->sites, e, next)
    {
        HASH_DEL(s->sites, e);
        entry_free(e);
    }
    pthread_rwlock_destroy(&s->lock);
    free(s);
}

static struct entry *find_locked(struct asset_server *s, struct slice id)
{
    struct entry *e;

    HASH_FIND(hh, s->sites, id.ptr, id.len, e);
    return e;
}

enum status asset_server_put(struct asset_server *s, struct slice id, struct asset_site *site, struct error *err)
{
    struct entry *e = calloc(1, sizeof(*e) + id.len + 1);

    if (!e) {
        asset_site_unref(site);
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    }
    memcpy(e->id, id.ptr, id.len);
    e->site = site;
    pthread_rwlock_wrlock(&s->lock);
    struct entry *old = find_locked(s, id);
    if (old)
        HASH_DEL(s->sites, old);
    HASH_ADD_KEYPTR(hh, s->sites, e->id, id.len, e);
    pthread_rwlock_unlock(&s->lock);
    entry_free(old);
    return STATUS_OK;
}

void asset_server_drop(struct asset_server *s, struct slice id)
{
    pthread_rwlock_wrlock(&s->lock);
    struct entry *e = find_locked(s, id);
    if (e)
        HASH_DEL(s->sites, e);
    pthread_rwlock_unlock(&s->lock);
    entry_free(e);
}

/* A reference, or NULL. */
static struct asset_site *get_site(struct asset_server *s, struct slice id)
{
    pthread_rwlock_rdlock(&s->lock);
    struct entry *e = find_locked(s, id);
    struct asset_site *site = e ? e->site : NULL;
    if (site)
        atomic_fetch_add(&site->refs, 1);
    pthread_rwlock_unlock(&s->lock);
    return site;
}

/* ---- paths ---- */

static bool is_utf8(struct slice s)
{
    size_t skip;

    while (s.len) {
        size_t n = utf8_sequence((const unsigned char *)s.ptr, s.len, &skip);
        if (!n)
            return false;
        s = slice_from(s, n);
    }
    return true;
}

/* A segment that is no good percent-encoding of UTF-8 stays as it is. */
static bool decode_segment(struct arena *a, struct slice segment, struct buf *to)
{
    struct slice decoded = memchr(segment.ptr, '%', segment.len) ? http_percent_decode(a, segment, false) : segment;

    buf_append_slice(to, decoded.ptr && is_utf8(decoded) ? decoded : segment);
    return !to->overflowed;
}

/* Decodes the path segment by segment and makes one slash of several. Absent: out of memory. */
static struct slice decode_path(struct arena *a, struct slice path)
{
    struct buf out CLEANUP(buf_release) = { 0 };

    for (struct slice rest = path; rest.ptr;) {
        struct slice segment = slice_cut(&rest, '/');
        if (segment.len && !decode_segment(a, segment, &out))
            return SLICE_NONE;
        if (rest.ptr && (!out.len || out.ptr[out.len - 1] != '/'))
            buf_append_char(&out, '/');
    }
    return out.overflowed ? SLICE_NONE : arena_copy(a, buf_slice(&out));
}

/* 1: ".", 2: "..", also percent-encoded; 0: neither. */
static int count_dots(struct slice segment)
{
    int n = 0;

    while (segment.len) {
        size_t len = segment.ptr[0] == '.' ? 1 : slice_starts_nocase(segment, SLICE_LIT("%2e")) ? 3 : 0;
        if (!len || ++n > 2)
            return 0;
        segment = slice_from(segment, len);
    }
    return n;
}

/* Without "." and "..", as URLs have it. Absent: out of memory. */
static struct slice resolve_dots(struct arena *a, struct slice path)
{
    struct buf out CLEANUP(buf_release) = { 0 };

    if (!memmem(path.ptr, path.len, "/.", 2) && !memmem(path.ptr, path.len, "/%2", 3))
        return path;
    struct slice rest = slice_from(path, 1);
    while (rest.ptr) {
        struct slice segment = slice_cut(&rest, '/');
        int dots = count_dots(segment);
        if (!dots) {
            buf_append_char(&out, '/');
            buf_append_slice(&out, segment);
        } else {
            while (dots == 2 && out.len && out.ptr[--out.len] != '/')
                ;
            if (!rest.ptr)
                buf_append_char(&out, '/');
        }
    }
    return out.overflowed ? SLICE_NONE : arena_copy(a, buf_slice(&out));
}

static void encode_path(struct buf *b, struct slice path)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("/-_.!~*'()", c))) {
            buf_append_char(b, (char)c);
        } else {
            char escape[3] = { '%', digits[c >> 4], digits[c & 15] };
            buf_append(b, escape, 3);
        }
    }
}

static struct slice host_of(const struct http_request *req)
{
    struct slice host = http_header(req, "host");

    return slice_cut(&host, ':');
}

/* ---- who serves it ---- */

static bool any_fits(const struct slice *patterns, size_t n, struct slice path)
{
    for (size_t i = 0; i < n; i++)
        if (route_glob_matches(patterns[i], path))
            return true;
    return false;
}

static bool has_answer(const struct asset_site *site, struct slice path, bool navigates, struct arena *a)
{
    struct rule_match m;
    bool configured = site->n_worker_paths > 0 || (navigates && site->navigation_first);

    if (asset_rules_redirect(&site->rules, SLICE_NONE, path, &m))
        return true;
    struct slice decoded = decode_path(a, path);
    if (!decoded.ptr)
        return false;
    struct asset_intent intent = asset_site_intent(site, decoded, configured ? FALLBACK_AS_CONFIGURED : FALLBACK_NONE,
                                                   a);
    return intent.file || intent.redirect.ptr;
}

static bool is_for_assets(const struct asset_site *site, struct slice path, bool navigates, struct arena *a)
{
    if (!site->has_worker)
        return true;
    if (site->worker_first)
        return false;
    if (any_fits(site->asset_paths, site->n_asset_paths, path))
        return true;
    if (any_fits(site->worker_paths, site->n_worker_paths, path))
        return false;
    return has_answer(site, path, navigates, a);
}

/* The method does not matter: a POST to an asset is refused by the asset server, not given to the Worker. */
enum asset_choice asset_server_choose(void *arg, const struct asset_question *q)
{
    struct asset_site *site = get_site(arg, q->assets_id);
    struct arena arena;

    if (!site)
        return ASSET_NONE;
    arena_init(&arena, 1 << 20);
    struct slice path = resolve_dots(&arena, q->path);
    bool serve = path.ptr && is_for_assets(site, path, q->navigates, &arena);
    arena_release(&arena);
    asset_site_unref(site);
    return serve ? ASSET_SERVE : ASSET_NONE;
}

/* ---- the answer ---- */

enum { ANSWER_HEADERS_MAX = 64 };

/* The headers being put together: rules may replace, add to and remove what is there. */
struct answer {
    struct http_request *req;
    const struct asset_site *site;
    struct slice path; /* the request's, without dots */
    struct header_line headers[ANSWER_HEADERS_MAX];
    size_t n;
};

static void header_remove(struct answer *x, struct slice name)
{
    size_t kept = 0;

    for (size_t i = 0; i < x->n; i++)
        if (!slice_eq_nocase(x->headers[i].name, name))
            x->headers[kept++] = x->headers[i];
    x->n = kept;
}

static void header_add(struct answer *x, struct slice name, struct slice value)
{
    if (x->n < ANSWER_HEADERS_MAX)
        x->headers[x->n++] = (struct header_line){ name, value };
}

/* Those that are ours to say. */
static bool is_framing(struct slice name)
{
    return slice_eq_nocase(name, SLICE_LIT("content-length")) || slice_eq_nocase(name, SLICE_LIT("connection")) ||
           slice_eq_nocase(name, SLICE_LIT("transfer-encoding"));
}

static bool was_set(const struct slice *names, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_nocase(names[i], name))
            return true;
    return false;
}

static void apply_header_rule(struct answer *x, const struct header_rule *rule, const struct rule_match *m,
                              struct slice *set, size_t *n_set)
{
    for (size_t i = 0; i < rule->n; i++)
        if (!rule->lines[i].value.ptr)
            header_remove(x, rule->lines[i].name);
    for (size_t i = 0; i < rule->n; i++) {
        struct slice name = rule->lines[i].name;
        struct buf value CLEANUP(buf_release) = { 0 };
        if (!rule->lines[i].value.ptr || is_framing(name))
            continue;
        rule_expand(&value, rule->lines[i].value, m);
        if (!was_set(set, *n_set, name)) {
            header_remove(x, name);
            if (*n_set < ANSWER_HEADERS_MAX)
                set[(*n_set)++] = name;
        }
        header_add(x, name, arena_copy(x->req->arena, buf_slice(&value)));
    }
}

static void apply_rules(struct answer *x)
{
    struct slice set[ANSWER_HEADERS_MAX], host = host_of(x->req);
    struct rule_match m;
    size_t n_set = 0;

    for (size_t i = 0; i < x->site->rules.n_headers; i++)
        if (rule_matches(x->site->rules.headers[i].pattern, host, x->path, &m))
            apply_header_rule(x, &x->site->rules.headers[i], &m, set, &n_set);
}

static bool is_header_text(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return s.ptr != NULL;
}

static void send_headers(struct answer *x)
{
    apply_rules(x);
    for (size_t i = 0; i < x->n; i++) {
        struct slice name = arena_copy(x->req->arena, x->headers[i].name);
        if (name.ptr && is_header_text(name) && is_header_text(x->headers[i].value))
            http_respond_header(x->req, name.ptr, x->headers[i].value);
    }
}

static void send_empty(struct answer *x, int status)
{
    struct buf none = { 0 };

    send_headers(x);
    http_respond(x->req, status, NULL, &none);
}

/* The target with the request's query, unless it has its own. */
static void send_redirect(struct answer *x, int status, struct buf *location)
{
    struct slice text = buf_slice(location), fragment = SLICE_NONE;
    const char *hash = text.len ? memchr(text.ptr, '#', text.len) : NULL;

    if (hash) {
        fragment = arena_copy(x->req->arena, slice_of(hash, (size_t)(text.ptr + text.len - hash)));
        location->len = (size_t)(hash - text.ptr);
    }
    if (x->req->query.len && (!location->len || !memchr(location->ptr, '?', location->len))) {
        buf_append_char(location, '?');
        buf_append_slice(location, x->req->query);
    }
    buf_append_slice(location, fragment);
    header_add(x, SLICE_LIT("Location"), buf_slice(location));
    send_empty(x, status);
}

static bool not_modified(const struct http_request *req, struct slice etag)
{
    struct slice sent = http_header(req, "if-none-match");

    if (slice_starts(sent, SLICE_LIT("W/")))
        sent = slice_from(sent, 2);
    return sent.len == etag.len + 2 && sent.ptr[0] == '"' && slice_eq(slice_of(sent.ptr + 1, etag.len), etag);
}

static void send_file(struct answer *x, const struct asset_file *file, int status)
{
    struct http_request *req = x->req;
    struct slice path = arena_copy(req->arena, file->file), tag = arena_copy(req->arena, SLICE_LIT("\""));

    tag = tag.ptr ? arena_join(req->arena, tag, file->etag) : tag;
    tag = tag.ptr ? arena_join(req->arena, tag, SLICE_LIT("\"")) : tag;
    int fd = path.ptr ? open(path.ptr, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || !tag.ptr) {
        struct error err;
        IGNORE_RESULT(error_set(&err, STATUS_IO, errno, "the asset %.*s cannot be read", SLICE_FMT(file->path)));
        if (fd >= 0)
            (void)close(fd); /* only read */
        envelope_error(req, &err);
        return;
    }
    header_add(x, SLICE_LIT("ETag"), tag);
    if (file->type.len)
        header_add(x, SLICE_LIT("Content-Type"), file->type);
    if (!http_header(req, "range").ptr)
        header_add(x, SLICE_LIT("Cache-Control"), SLICE_LIT("public, max-age=0, must-revalidate"));
    if (not_modified(req, file->etag)) {
        (void)close(fd); /* only read */
        send_empty(x, 304);
        return;
    }
    send_headers(x);
    http_respond_file(req, status, NULL, fd, file->size);
}

static void answer_path(struct answer *x, struct slice path, bool rewritten)
{
    struct http_request *req = x->req;
    struct slice decoded = decode_path(req->arena, path);
    struct buf location CLEANUP(buf_release) = { 0 };

    if (!decoded.ptr) {
        send_empty(x, 503);
        return;
    }
    struct asset_intent intent = asset_site_intent(x->site, decoded, FALLBACK_AS_CONFIGURED, req->arena);
    if (!intent.file && !intent.redirect.ptr) {
        send_empty(x, 404);
        return;
    }
    if (req->method != HTTP_M_GET && req->method != HTTP_M_HEAD) {
        header_add(x, SLICE_LIT("Allow"), SLICE_LIT("GET, HEAD"));
        send_empty(x, 405);
        return;
    }
    encode_path(&location, intent.redirect.ptr ? intent.redirect : decoded);
    if (intent.redirect.ptr || !(rewritten || slice_eq(buf_slice(&location), path)))
        send_redirect(x, 307, &location);
    else
        send_file(x, intent.file, intent.status);
}

/* The path of a target such as "/a", "//a" or "https://host/a?b". */
static struct slice target_path(struct slice to)
{
    const char *scheme = to.len ? memmem(to.ptr, to.len, "://", 3) : NULL;

    if (scheme) {
        struct slice rest = slice_from(to, (size_t)(scheme - to.ptr) + 3);
        const char *slash = memchr(rest.ptr, '/', rest.len);
        to = slash ? slice_of(slash, (size_t)(rest.ptr + rest.len - slash)) : SLICE_LIT("/");
    }
    size_t n = 0;
    while (n < to.len && !strchr("?#", to.ptr[n]))
        n++;
    return slice_of(to.ptr, n);
}

static void answer(struct answer *x)
{
    struct http_request *req = x->req;
    struct rule_match m;
    const struct redirect_rule *rule = asset_rules_redirect(&x->site->rules, host_of(req), x->path, &m);
    struct buf to CLEANUP(buf_release) = { 0 };

    if (!rule) {
        answer_path(x, x->path, false);
        return;
    }
    rule_expand(&to, rule->to, &m);
    if (rule->status == 200)
        answer_path(x, target_path(buf_slice(&to)), true);
    else
        send_redirect(x, rule->status, &to);
}

void asset_serve(struct asset_server *s, struct http_request *req)
{
    struct asset_site *site = get_site(s, http_header(req, ASSETS_HEADER));
    struct answer x = { .req = req, .site = site, .path = resolve_dots(req->arena, req->path) };
    struct buf none = { 0 };

    if (!site || !x.path.ptr) {
        asset_site_unref(site);
        http_respond(req, site ? 503 : 404, NULL, &none);
        return;
    }
    answer(&x);
    asset_site_unref(site); /* what is being sent needs nothing of it any more */
}
