/* by_hand.c - GET /__scheduled and /cdn-cgi/handler/scheduled: runs a cron now, as wrangler's dev server does. */
#include "workers/carrier.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { CRON_TEXT_MAX = 200 };

struct by_hand {
    struct loop_msg msg;
    struct proxy_share *share;
    struct carrier *carrier; /* NULL: the client left */
    const char *outcome;     /* NULL: failed */
    struct error err;
    bool is_short; /* /cdn-cgi/handler/scheduled answers with the outcome alone */
};

void by_hand_forget(struct carrier *c)
{
    if (c->by_hand)
        c->by_hand->carrier = NULL;
    c->by_hand = NULL;
}

static void deliver(struct loop_msg *msg)
{
    struct by_hand *w = CONTAINER_OF(msg, struct by_hand, msg);
    struct carrier *c = w->carrier;
    struct proxy_share *share = w->share;

    if (c) {
        c->by_hand = NULL;
        bool ok = w->outcome && strcmp(w->outcome, "ok") == 0;
        if (!w->outcome)
            carrier_answer(c, 500, "%s", w->err.msg);
        else if (w->is_short)
            carrier_answer(c, ok ? 200 : 500, "%s", w->outcome);
        else
            carrier_answer(c, ok ? 200 : 500, ok ? "Ran scheduled event" : "The scheduled event ended with '%s'",
                           w->outcome);
    }
    free(w);
    share->n_open--;
    proxy_share_check_empty(share);
}

static void on_done(void *arg, const char *outcome, const struct error *err)
{
    struct by_hand *w = arg;

    w->outcome = outcome;
    if (!outcome)
        w->err = *err;
    loop_post(w->share->loop, &w->msg);
}

/* %XX and + as in a form; false when it does not fit. */
static bool decode(struct slice s, char *ret, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++, n++) {
        unsigned code;
        if (n + 1 >= cap)
            return false;
        ret[n] = s.ptr[i] == '+' ? ' ' : s.ptr[i];
        if (s.ptr[i] == '%' && i + 2 < s.len && sscanf(s.ptr + i + 1, "%2x", &code) == 1) {
            ret[n] = (char)code;
            i += 2;
        }
    }
    ret[n] = '\0';
    return true;
}

static struct slice find_parameter(struct slice query, const char *name)
{
    while (query.ptr) {
        struct slice value = slice_cut(&query, '&'), key = slice_cut(&value, '=');
        if (slice_eq(key, slice_cstr(name)))
            return value;
    }
    return SLICE_NONE;
}

bool by_hand_take(struct carrier *c, struct slice target)
{
    const struct proxy_options *opt = &c->share->proxy->opt;
    struct slice query = target, path = slice_cut(&query, '?');
    bool is_short = slice_eq(path, SLICE_LIT("/cdn-cgi/handler/scheduled"));
    char cron[CRON_TEXT_MAX];
    uint64_t when;

    if (!opt->only_worker || (!is_short && !slice_eq(path, SLICE_LIT("/__scheduled"))))
        return false;
    if (!decode(find_parameter(query, "cron"), cron, sizeof(cron))) {
        carrier_answer(c, 400, "The cron is too long.");
        return true;
    }
    struct by_hand *w = calloc(1, sizeof(*w));
    if (!w) {
        carrier_answer(c, 503, "Out of memory.");
        return true;
    }
    if (!slice_to_u64(find_parameter(query, "time"), INT64_MAX, &when))
        when = (uint64_t)clock_wall_ms();
    *w = (struct by_hand){ .msg.deliver = deliver, .share = c->share, .carrier = c, .is_short = is_short };
    c->by_hand = w;
    c->share->n_open++;
    carrier_wait(c);
    opt->run_cron(opt->cron_arg, slice_cstr(opt->only_worker), slice_cstr(cron), (int64_t)when, on_done, w);
    return true;
}
