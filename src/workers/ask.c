/* ask.c - see ask.h. */
#include "workers/ask.h"

#include "base/buf.h"
#include "workers/peer.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>

enum { BODY_MAX = 1 << 20 };

struct ask {
    struct peer peer;
    struct ask_options opt;
    uv_timer_t timer;
    llhttp_t parser;
    struct buf body;
    int n_handles;
    bool complete, over;
    char why[160];
    char receive[16 * 1024];
};

static void release(struct ask *k)
{
    if (--k->n_handles)
        return;
    k->opt.done(k->opt.arg, k->complete ? (int)k->parser.status_code : 0, buf_slice(&k->body), k->why);
    buf_release(&k->body);
    free(k);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_peer_closed(struct peer *p)
{
    release(CONTAINER_OF(p, struct ask, peer));
}

static void finish(struct ask *k, const char *why)
{
    if (k->over)
        return;
    k->over = true;
    snprintf(k->why, sizeof(k->why), "%s", why);
    uv_close((uv_handle_t *)&k->timer, on_timer_closed);
    peer_close(&k->peer);
}

static void on_timeout(uv_timer_t *timer)
{
    finish(timer->data, "it did not answer in time");
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct ask *k = p->data;

    buf_append(&k->body, at, len);
    return k->body.overflowed ? HPE_USER : 0;
}

static int on_message_complete(llhttp_t *p)
{
    struct ask *k = p->data;

    k->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = { .on_body = on_body, .on_message_complete = on_message_complete };

static void on_read(struct peer *p, const char *data, ssize_t n)
{
    struct ask *k = CONTAINER_OF(p, struct ask, peer);

    if (n < 0) {
        finish(k, "it ended before it answered");
        return;
    }
    llhttp_errno_t code = llhttp_execute(&k->parser, data, (size_t)n);
    if (k->complete)
        finish(k, "");
    else if (code != HPE_OK)
        finish(k, "its answer is not HTTP, or too long");
}

static void on_drained(struct peer *p UNUSED)
{
}

static void on_broken(struct peer *p)
{
    finish(CONTAINER_OF(p, struct ask, peer), "it ended before it took the request");
}

static void send_request(struct ask *k)
{
    struct buf b = { 0 };

    if (k->opt.body.ptr)
        buf_printf(&b,
                   "POST / HTTP/1.1\r\nHost: dione\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                   k->opt.body.len);
    else
        buf_append_cstr(&b, "GET / HTTP/1.1\r\nHost: dione\r\n\r\n");
    buf_append_slice(&b, k->opt.body);
    bool sent = peer_send(&k->peer, b.ptr, b.len);
    buf_release(&b);
    if (sent)
        peer_read_start(&k->peer);
    else
        finish(k, "it ended before it took the request");
}

void ask_start(const struct ask_options *opt)
{
    struct ask *k = calloc(1, sizeof(*k));
    int why = 0, fd = peer_connect(opt->path, &why);

    if (!k)
        abort(); /* on behalf of an administrator */
    k->opt = *opt;
    k->body.limit = BODY_MAX;
    k->peer.receive = k->receive;
    k->peer.receive_cap = sizeof(k->receive);
    k->peer.on_read = on_read;
    k->peer.on_drained = on_drained;
    k->peer.on_broken = on_broken;
    k->peer.on_closed = on_peer_closed;
    k->n_handles = 2;
    llhttp_init(&k->parser, HTTP_RESPONSE, &parser_settings);
    k->parser.data = k;
    uv_timer_init(&opt->loop->uv, &k->timer);
    k->timer.data = k;
    int rc = peer_open(&k->peer, &opt->loop->uv, fd, false);
    if (fd < 0 || rc != 0) {
        finish(k, fd < 0 ? strerror(why) : uv_strerror(rc));
        return;
    }
    uv_timer_start(&k->timer, on_timeout, (uint64_t)opt->timeout_ms, 0);
    send_request(k);
}
