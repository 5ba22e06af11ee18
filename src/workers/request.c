/* request.c - from a client's head to an upstream: who answers it, what is passed on, and the books about it. */
#include "workers/carrier.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/json.h"
#include "workers/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

enum { MAX_ATTEMPTS = 3 };

/* ---- what the request is about ---- */

struct aim {
    struct slice target, path, host; /* target: path and query */
    bool lacks_slash;                /* the target is a query alone: "http://host?x=1" */
    bool is_https;
};

/* Where the host of "host/path" or "host?query" ends. */
static size_t authority_len(struct slice rest)
{
    for (size_t i = 0; i < rest.len; i++)
        if (strchr("/?#", rest.ptr[i]))
            return i;
    return rest.len;
}

/* "http://host/path" says its host itself. */
static struct aim take_aim(const struct carrier *c)
{
    struct aim a = { .target = head_slice(&c->head, c->head.start), .host = head_find(&c->head, "host") };
    static const char *const schemes[] = { "http://", "https://" };

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (!slice_starts_nocase(a.target, slice_cstr(schemes[i])))
            continue;
        struct slice rest = slice_from(a.target, strlen(schemes[i]));
        a.host = slice_of(rest.ptr, authority_len(rest));
        a.target = a.host.len < rest.len ? slice_from(rest, a.host.len) : SLICE_LIT("/");
        a.lacks_slash = a.target.ptr[0] != '/';
    }
    const char *mark = memchr(a.target.ptr, '?', a.target.len);
    a.path = a.lacks_slash ? SLICE_LIT("/") : mark ? slice_of(a.target.ptr, (size_t)(mark - a.target.ptr)) : a.target;
    a.is_https = slice_eq_nocase(head_find(&c->head, "x-forwarded-proto"), SLICE_LIT("https"));
    return a;
}

static struct slice method_of(const struct carrier *c)
{
    return slice_cstr(llhttp_method_name((llhttp_method_t)c->parser.method));
}

/* ---- the books ---- */

static void leave_target(struct carrier *c)
{
    struct target *t = TAKE_PTR(c->target);

    if (!t)
        return;
    atomic_store(&t->last_end_ms, clock_mono_ns() / 1000000);
    atomic_fetch_sub(&t->n_in_flight, 1);
    target_unref(t);
}

/* Takes the reference. Counted before it is looked at again: a target that retires is left alone once nobody is in it. */
static void enter_target(struct carrier *c, struct target *t)
{
    c->target = t;
    atomic_fetch_add(&t->n_in_flight, 1);
    atomic_fetch_add_explicit(&t->n_requests, 1, memory_order_relaxed);
}

void request_end(struct carrier *c)
{
    const struct proxy_options *opt = &c->share->proxy->opt;

    leave_target(c);
    by_hand_forget(c);
    if (!opt->on_access || !c->started_ns)
        return;
    struct runtime_access access = {
        .worker = slice_cstr(c->hit.name),
        .method = method_of(c),
        .target = take_aim(c).target,
        .status = c->status,
        .duration_ns = clock_mono_ns() - c->started_ns,
    };
    opt->on_access(opt->arg, &access);
}

/* ---- the head that goes on ---- */

/* Written by us, or about this connection only. */
static bool is_replaced(const struct carrier *c, struct slice name, bool to_dione)
{
    static const char *const ours[] = { "host",   "x-forwarded-for", "x-forwarded-proto", "cf-connecting-ip",
                                        "expect", CONFIG_CF_HEADER,  "content-length" };

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (slice_eq_nocase(name, slice_cstr(ours[i])))
            return true;
    if (to_dione &&
        (slice_eq_nocase(name, SLICE_LIT("authorization")) || slice_starts_nocase(name, SLICE_LIT("x-dione-")) ||
         slice_starts_nocase(name, SLICE_LIT("x-d1-")) || slice_starts_nocase(name, SLICE_LIT("x-kv-"))))
        return true;
    return head_is_hop_by_hop(&c->head, name);
}

static void write_header(struct buf *b, const char *name, struct slice value)
{
    buf_append_cstr(b, name);
    buf_append(b, ": ", 2);
    buf_append_slice(b, value);
    buf_append(b, "\r\n", 2);
}

/* Its IPv4 address, also when it came over an IPv6 socket; NULL: it has none. */
static const unsigned char *ipv4_of(const struct carrier *c)
{
    const struct sockaddr_in6 *v6 = (const void *)&c->address;
    const struct sockaddr_in *v4 = (const void *)&c->address;

    if (c->address.ss_family == AF_INET)
        return (const void *)&v4->sin_addr;
    if (c->address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return v6->sin6_addr.s6_addr + 12;
    return NULL;
}

static bool address_text(const struct carrier *c, char ret[INET6_ADDRSTRLEN])
{
    const struct sockaddr_in6 *v6 = (const void *)&c->address;
    const unsigned char *v4 = ipv4_of(c);

    if (v4)
        return inet_ntop(AF_INET, v4, ret, INET6_ADDRSTRLEN) != NULL;
    if (c->address.ss_family == AF_INET6)
        return inet_ntop(AF_INET6, &v6->sin6_addr, ret, INET6_ADDRSTRLEN) != NULL;
    return false;
}

/* A proxy on this machine (for TLS, as a rule) speaks for the client behind it. */
static bool is_from_loopback(const struct carrier *c)
{
    const struct sockaddr_in6 *v6 = (const void *)&c->address;
    const unsigned char *v4 = ipv4_of(c);

    if (v4)
        return v4[0] == 127;
    return c->address.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* All X-Forwarded-For headers as one list, with ", " behind each; *ret_last is the last address in it. */
static void write_forwarded(const struct carrier *c, struct buf *b, struct slice *ret_last)
{
    const struct head_reader *h = &c->head;

    *ret_last = SLICE_NONE;
    for (size_t i = 0; i < h->n_headers; i++) {
        struct slice rest = head_slice(h, h->headers[i].value);
        if (!rest.len || !slice_eq_nocase(head_slice(h, h->headers[i].name), SLICE_LIT("x-forwarded-for")))
            continue;
        buf_append_slice(b, rest);
        buf_append(b, ", ", 2);
        while (rest.ptr)
            *ret_last = slice_trim(slice_cut(&rest, ','));
    }
}

/* What a client says of itself can be made up: the address that the proxy next to us saw is the last one. */
static void write_origin(struct carrier *c, struct buf *b, const struct aim *aim)
{
    char text[INET6_ADDRSTRLEN] = "";
    struct slice own = address_text(c, text) ? slice_cstr(text) : SLICE_LIT("unknown"), last;
    bool trusted = is_from_loopback(c);

    buf_append_cstr(b, "X-Forwarded-For: ");
    write_forwarded(c, b, &last);
    buf_append_slice(b, own);
    buf_append(b, "\r\n", 2);
    write_header(b, "CF-Connecting-IP", trusted && last.len ? last : own);
    write_header(b, "X-Forwarded-Proto", trusted && aim->is_https ? SLICE_LIT("https") : SLICE_LIT("http"));
}

/* request.cf: the few facts of Cloudflare's that are known here. */
static void write_cf(struct carrier *c, struct buf *b)
{
    struct slice encoding = head_find(&c->head, "accept-encoding");

    buf_append_cstr(b, CONFIG_CF_HEADER ": {\"httpProtocol\":");
    json_write_cstr(b, c->is_http10 ? "HTTP/1.0" : "HTTP/1.1");
    if (encoding.len) {
        buf_append_cstr(b, ",\"clientAcceptEncoding\":");
        json_write_text(b, encoding);
    }
    buf_append_cstr(b, "}\r\n");
}

static void write_framing(struct carrier *c, struct buf *b)
{
    struct slice length = head_find(&c->head, "content-length");

    if (c->chunked_body)
        buf_append_cstr(b, "Transfer-Encoding: chunked\r\n");
    else if (length.ptr)
        write_header(b, "Content-Length", length);
    if (!c->wants_upgrade)
        return;
    write_header(b, "Connection", SLICE_LIT("Upgrade"));
    write_header(b, "Upgrade", head_find(&c->head, "upgrade"));
}

static void write_head(struct carrier *c, const struct aim *aim, bool to_dione)
{
    struct buf *b = &c->out;
    const struct head_reader *h = &c->head;

    buf_clear(b);
    buf_append_slice(b, method_of(c));
    buf_append_cstr(b, aim->lacks_slash ? " /" : " ");
    buf_append_slice(b, aim->target);
    buf_append_cstr(b, " HTTP/1.1\r\n");
    write_header(b, "Host", aim->host);
    for (size_t i = 0; i < h->n_headers; i++) {
        struct slice name = head_slice(h, h->headers[i].name);
        if (is_replaced(c, name, to_dione))
            continue;
        buf_append_slice(b, name);
        buf_append(b, ": ", 2);
        buf_append_slice(b, head_slice(h, h->headers[i].value));
        buf_append(b, "\r\n", 2);
    }
    write_origin(c, b, aim);
    if (to_dione) {
        buf_append_cstr(b, c->target->inject);
        write_header(b, "x-dione-assets", slice_cstr(c->hit.assets_id));
    } else {
        write_cf(c, b);
    }
    write_framing(c, b);
    buf_append(b, "\r\n", 2);
}

/* ---- whom it goes to ---- */

static void refuse_unknown(struct carrier *c, const struct aim *aim)
{
    struct buf known = { 0 };
    struct proxy *p = c->share->proxy;

    directory_describe(p->opt.directory, p->port, &known);
    carrier_answer(c, 404,
                   "There is no Worker at '%.*s'. A Worker answers at http://NAME.localhost%s/ and under its routes. "
                   "Deployed here:\n%s",
                   (int)(aim->host.len > 200 ? 200 : aim->host.len), aim->host.ptr ? aim->host.ptr : "", p->port,
                   known.len ? known.ptr : "  none yet\n");
    buf_release(&known);
}

static bool goes_to_assets(struct carrier *c, const struct aim *aim)
{
    const struct proxy_options *opt = &c->share->proxy->opt;

    if (!c->hit.assets_id[0] || !opt->binding)
        return false;
    if (!c->hit.target)
        return true;
    struct asset_question q = {
        .assets_id = slice_cstr(c->hit.assets_id),
        .method = method_of(c),
        .path = aim->path,
        .navigates = slice_eq_nocase(head_find(&c->head, "sec-fetch-mode"), SLICE_LIT("navigate")),
    };
    return opt->choose_asset && opt->choose_asset(opt->arg, &q) == ASSET_SERVE;
}

/* False: answered. */
static bool find_target(struct carrier *c, const struct aim *aim, bool *ret_to_dione)
{
    const struct proxy_options *opt = &c->share->proxy->opt;

    c->hit = (struct directory_hit){ 0 };
    if (!directory_find(opt->directory, opt->only_worker, aim->is_https, aim->host, aim->path, &c->hit)) {
        refuse_unknown(c, aim);
        return false;
    }
    struct target *t = TAKE_PTR(c->hit.target);
    c->hit.target = t; /* looked at by goes_to_assets */
    *ret_to_dione = goes_to_assets(c, aim);
    c->hit.target = NULL;
    if (*ret_to_dione) {
        target_unref(t);
        t = target_ref(opt->binding);
    }
    if (!t) {
        carrier_answer(c, 503, "The Worker '%s' has neither a script nor assets.", c->hit.name);
        return false;
    }
    enter_target(c, t);
    return true;
}

/* ---- sending ---- */

static void refuse_connection(struct carrier *c, int why)
{
    if (why == EAGAIN || why == EMFILE)
        carrier_answer(c, 503, "The Worker '%s' has too many requests waiting.", c->hit.name);
    else
        carrier_answer(c, 502, "The Worker '%s' cannot be reached: %s.", c->hit.name, strerror(why));
}

static bool send_head(struct carrier *c, bool fresh)
{
    int why = 0;

    c->attempts++;
    c->up = upstream_take(c, fresh, &why);
    if (!c->up) {
        refuse_connection(c, why);
        return false;
    }
    if (peer_send(&c->up->peer, c->out.ptr, c->out.len))
        return true;
    if (!fresh) { /* it was idle, and ended just now: nothing of the request has arrived */
        c->up->carrier = NULL;
        upstream_close(TAKE_PTR(c->up));
        return send_head(c, true);
    }
    c->up->carrier = NULL;
    upstream_close(TAKE_PTR(c->up));
    refuse_connection(c, EPIPE);
    return false;
}

/* The client waits for this before it sends a large body. */
static void send_continue(struct carrier *c)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (c->has_body && slice_eq_nocase(head_find(&c->head, "expect"), SLICE_LIT("100-continue")))
        (void)peer_send(&c->peer, line, sizeof(line) - 1); /* a broken client shows at the next step */
}

static bool route_and_send(struct carrier *c, bool fresh)
{
    struct aim aim = take_aim(c);
    bool to_dione;

    if (!find_target(c, &aim, &to_dione))
        return false;
    write_head(c, &aim, to_dione);
    return send_head(c, fresh);
}

/* What is behind another encoding would arrive as if it were the body itself. */
static bool has_odd_encoding(const struct carrier *c)
{
    struct slice encoding = head_find(&c->head, "transfer-encoding");

    return encoding.ptr && !slice_eq_nocase(slice_trim(encoding), SLICE_LIT("chunked"));
}

static size_t count_headers(const struct head_reader *h, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n_headers; i++)
        n += slice_eq_nocase(head_slice(h, h->headers[i].name), slice_cstr(name));
    return n;
}

/* What could be understood in two ways. NULL: nothing. */
static const char *find_ambiguity(const struct carrier *c, struct slice host)
{
    size_t n_hosts = count_headers(&c->head, "host");

    if (n_hosts > 1)
        return "The request has several Host headers.";
    if (n_hosts == 0 && !c->is_http10)
        return "The request has no Host header.";
    if (memchr(host.ptr ? host.ptr : "", '@', host.len))
        return "The request's host has a user name.";
    if (c->is_http10 && head_find(&c->head, "transfer-encoding").ptr)
        return "Transfer-Encoding is not part of HTTP/1.0.";
    return NULL;
}

/* False: refused. */
static bool check_head(struct carrier *c)
{
    const char *ambiguity = find_ambiguity(c, take_aim(c).host);

    if (c->parser.method != HTTP_CONNECT && !ambiguity && !has_odd_encoding(c))
        return true;
    c->keep_alive = false;
    if (c->parser.method == HTTP_CONNECT)
        carrier_answer(c, 405, "CONNECT is not for Workers.");
    else if (ambiguity)
        carrier_answer(c, 400, "%s", ambiguity);
    else
        carrier_answer(c, 501, "A request's Transfer-Encoding can only be 'chunked'.");
    return false;
}

void request_begin(struct carrier *c)
{
    bool is_safe = c->parser.method == HTTP_GET || c->parser.method == HTTP_HEAD || c->parser.method == HTTP_OPTIONS;

    c->started_ns = clock_mono_ns();
    c->can_repeat = is_safe && !c->has_body && !c->wants_upgrade;
    c->hit = (struct directory_hit){ 0 };
    carrier_carry(c);
    if (!check_head(c))
        return;
    if (c->share->proxy->opt.test_scheduled && by_hand_take(c, take_aim(c).target))
        return;
    if (!route_and_send(c, false))
        return;
    if (!c->can_repeat)
        buf_clear(&c->out);
    send_continue(c);
}

bool request_send_again(struct carrier *c)
{
    leave_target(c);
    if (c->attempts >= MAX_ATTEMPTS) {
        carrier_answer(c, 502, "The Worker '%s' ended before it answered, %d times.", c->hit.name, c->attempts);
        return false;
    }
    return route_and_send(c, true);
}
