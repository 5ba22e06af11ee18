/*
 * tails.c - see tails.h.
 *
 * One mutex guards all. It is not held while the runtime is asked, since its supervisor calls on_event, which takes it.
 * A tail is freed by whoever lets go last: the list, or the connection.
 */
#include "workers/tails.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/ids.h"
#include "http/envelope.h"
#include "http/websocket.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct tail {
    struct tails *all;
    struct tail *next;
    struct tail_info info;
    char worker[64];
    struct runtime_tail *source;
    struct websocket *ws; /* NULL: nobody is connected */
    bool claimed;         /* somebody is, or is about to be */
    int64_t alone_since_ns;
    int refs;
};

struct tails {
    struct runtime *rt;
    pthread_mutex_t lock;
    struct tail *list; /* newest first */
    bool stopped;
};

struct tails *tails_new(struct runtime *rt)
{
    struct tails *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->rt = rt;
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void unref_locked(struct tail *x)
{
    if (--x->refs == 0)
        free(x);
}

/* ---- events ---- */

static void on_event(void *arg, struct slice json)
{
    struct tail *x = arg;

    pthread_mutex_lock(&x->all->lock);
    if (x->ws)
        (void)websocket_send(x->ws, json); /* who does not keep up loses events */
    pthread_mutex_unlock(&x->all->lock);
}

static void on_closed(void *arg)
{
    struct tail *x = arg;
    struct tails *t = x->all;

    pthread_mutex_lock(&t->lock);
    websocket_unref(x->ws);
    x->ws = NULL;
    x->claimed = false;
    x->alone_since_ns = clock_mono_ns();
    unref_locked(x);
    pthread_mutex_unlock(&t->lock);
}

/* ---- begin and end ---- */

static struct tail **find_locked(struct tails *t, struct slice id)
{
    struct tail **link = &t->list;

    while (*link && !slice_eq(slice_cstr((*link)->info.id), id))
        link = &(*link)->next;
    return link;
}

static bool is_of(const struct tail *x, struct slice worker)
{
    return slice_eq(slice_cstr(x->worker), worker);
}

/* Out of the list, without a source and with its connection closing. Not under the lock. */
static void finish(struct tails *t, struct tail *x)
{
    runtime_tail_unsubscribe(x->source);
    pthread_mutex_lock(&t->lock);
    x->source = NULL;
    if (x->ws)
        websocket_close(x->ws, 1000, "the tail has ended");
    unref_locked(x);
    pthread_mutex_unlock(&t->lock);
}

/* Ends those for which `over` is true, one after the other. */
static void end_where(struct tails *t, bool (*over)(const struct tail *x, struct slice worker), struct slice worker)
{
    for (;;) {
        pthread_mutex_lock(&t->lock);
        struct tail **link = &t->list;
        while (*link && !over(*link, worker))
            link = &(*link)->next;
        struct tail *x = *link;
        if (x)
            *link = x->next;
        pthread_mutex_unlock(&t->lock);
        if (!x)
            return;
        finish(t, x);
    }
}

static bool is_any(const struct tail *x, struct slice worker)
{
    (void)x;
    (void)worker;
    return true;
}

static bool is_over(const struct tail *x, struct slice worker)
{
    (void)worker;
    return x->info.expires_ms <= clock_wall_ms() ||
           (!x->ws && clock_mono_ns() - x->alone_since_ns > TAIL_ALONE_MS * 1000000LL);
}

void tails_sweep(struct tails *t)
{
    end_where(t, is_over, SLICE_NONE);
}

void tails_end_all(struct tails *t, struct slice worker)
{
    end_where(t, is_of, worker);
}

void tails_stop(struct tails *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopped = true;
    pthread_mutex_unlock(&t->lock);
    end_where(t, is_any, SLICE_NONE);
}

void tails_free(struct tails *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static bool has_room(struct tails *t, struct slice worker)
{
    int n = 0;

    pthread_mutex_lock(&t->lock);
    for (struct tail *x = t->list; x; x = x->next)
        n += is_of(x, worker);
    bool room = n < TAILS_PER_WORKER && !t->stopped;
    pthread_mutex_unlock(&t->lock);
    return room;
}

enum status tails_begin(struct tails *t, struct slice worker, struct slice filters, struct tail_info *ret,
                        struct error *err)
{
    unsigned char id[TAIL_ID_LEN / 2];
    struct tail *x = calloc(1, sizeof(*x));

    if (!x)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    tails_sweep(t);
    if (!has_room(t, worker)) {
        free(x);
        return error_set(err, STATUS_RATE, 0, "The Worker has %d tails already, which is the limit", TAILS_PER_WORKER);
    }
    *x = (struct tail){ .all = t, .refs = 1, .alone_since_ns = clock_mono_ns() };
    random_bytes(id, sizeof(id));
    hex_encode(id, sizeof(id), x->info.id);
    x->info.expires_ms = clock_wall_ms() + TAIL_LIFE_MS;
    snprintf(x->worker, sizeof(x->worker), "%.*s", SLICE_FMT(worker));
    enum status st = runtime_tail_subscribe(t->rt, worker, filters, on_event, x, &x->source, err);
    if (st != STATUS_OK) {
        free(x);
        return st;
    }
    *ret = x->info;
    pthread_mutex_lock(&t->lock);
    bool late = t->stopped;
    x->next = t->list;
    if (!late)
        t->list = x;
    pthread_mutex_unlock(&t->lock);
    if (late)
        finish(t, x);
    return late ? error_set(err, STATUS_STOPPING, 0, "server is stopping") : STATUS_OK;
}

enum status tails_end(struct tails *t, struct slice worker, struct slice id, struct error *err)
{
    pthread_mutex_lock(&t->lock);
    struct tail **link = find_locked(t, id), *x = *link;
    if (x && !is_of(x, worker))
        x = NULL;
    if (x)
        *link = x->next;
    pthread_mutex_unlock(&t->lock);
    if (!x)
        return error_set(err, STATUS_NOTFOUND, 0, "The tail %.*s does not exist", SLICE_FMT(id));
    finish(t, x);
    return STATUS_OK;
}

bool tails_newest(struct tails *t, struct slice worker, struct tail_info *ret)
{
    pthread_mutex_lock(&t->lock);
    struct tail *x = t->list;
    while (x && !is_of(x, worker))
        x = x->next;
    if (x)
        *ret = x->info;
    pthread_mutex_unlock(&t->lock);
    return x != NULL;
}

/* ---- the connection ---- */

/* A reference for the connection, or NULL. *ret_taken: there is another one. */
static struct tail *claim(struct tails *t, struct slice id, bool *ret_taken)
{
    pthread_mutex_lock(&t->lock);
    struct tail *x = *find_locked(t, id);
    *ret_taken = x && x->claimed;
    if (*ret_taken)
        x = NULL;
    if (x) {
        x->claimed = true;
        x->refs++;
    }
    pthread_mutex_unlock(&t->lock);
    return x;
}

static void refuse(struct http_request *req, enum status st, const char *text)
{
    struct error err;

    IGNORE_RESULT(error_set(&err, st, 0, "%s", text)); /* fills err */
    envelope_error(req, &err);
}

void tails_connect(struct tails *t, struct http_request *req)
{
    bool taken;
    struct tail *x = claim(t, req->params[0], &taken);

    if (!x) {
        refuse(req, taken ? STATUS_BUSY : STATUS_NOTFOUND,
               taken ? "Somebody follows this tail already" : "The tail does not exist, or has expired");
        return;
    }
    struct websocket_options opt = { .protocol = "trace-v1", .arg = x, .on_closed = on_closed };
    struct websocket *ws = websocket_accept(req, &opt);
    pthread_mutex_lock(&t->lock);
    x->ws = ws;
    if (!ws) {
        x->claimed = false;
        unref_locked(x);
    } else if (!x->source) { /* it has ended meanwhile */
        websocket_close(ws, 1000, "the tail has ended");
    }
    pthread_mutex_unlock(&t->lock);
}
