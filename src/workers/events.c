/* events.c - see events.h. */
#include "workers/events.h"

#include "base/ids.h"
#include "base/json.h"

#include <pthread.h>
#include <stdlib.h>

enum { KEPT_MAX = 100, KEPT_MAX_BYTES = 1 << 20, PARSE_MAX_BYTES = 64 << 20 };

struct events_subscriber {
    struct events_subscriber *next;
    void (*on_event)(void *arg, struct slice json);
    void *arg;
    struct arena arena; /* of the filters */
    char *text;
    struct json *filters; /* array, or NULL */
};

struct events {
    pthread_mutex_t lock; /* guards all below */
    struct buf kept[KEPT_MAX];
    size_t first, n_kept, kept_bytes;
    struct events_subscriber *subscribers;
};

struct events *events_new(void)
{
    struct events *e = calloc(1, sizeof(*e));

    if (!e)
        abort();
    pthread_mutex_init(&e->lock, NULL);
    return e;
}

void events_free(struct events *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < KEPT_MAX; i++)
        buf_release(&e->kept[i]);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ---- filters ---- */

static bool list_has(const struct json *list, struct slice text)
{
    for (const struct json *v = list ? list->child : NULL; v; v = v->next)
        if (slice_eq_nocase(v->text, text))
            return true;
    return false;
}

static const struct json *request_of(const struct json *event)
{
    return json_get(json_get(event, "event"), "request");
}

/* Header names are lower-case in events. */
static struct slice header_of(const struct json *event, struct slice name)
{
    const struct json *headers = json_get(request_of(event), "headers");

    for (const struct json *h = json_is(headers, JSON_OBJECT) ? headers->child : NULL; h; h = h->next)
        if (slice_eq_nocase(h->key, name))
            return h->text;
    return SLICE_NONE;
}

static bool contains(struct slice text, struct slice part)
{
    return part.len == 0 || (text.len && memmem(text.ptr, text.len, part.ptr, part.len));
}

static bool value_contains(const struct json *v, struct slice part)
{
    if (v->type == JSON_STRING || v->type == JSON_NUMBER)
        return contains(v->text, part);
    for (const struct json *child = v->child; child; child = child->next)
        if (value_contains(child, part))
            return true;
    return false;
}

static bool logs_contain(const struct json *event, struct slice part)
{
    const struct json *logs = json_get(event, "logs"), *exceptions = json_get(event, "exceptions");

    for (const struct json *l = logs ? logs->child : NULL; l; l = l->next)
        if (json_get(l, "message") && value_contains(json_get(l, "message"), part))
            return true;
    for (const struct json *x = exceptions ? exceptions->child : NULL; x; x = x->next)
        if (contains(json_get_text(x, "message"), part))
            return true;
    return false;
}

static bool is_sampled(double rate)
{
    uint32_t dice;

    random_bytes(&dice, sizeof(dice));
    return dice < rate * 4294967296.0;
}

/* "self" is whoever tails: here that is anybody. */
static bool ip_passes(const struct json *list, const struct json *event)
{
    return list_has(list, SLICE_LIT("self")) || list_has(list, header_of(event, SLICE_LIT("cf-connecting-ip")));
}

static bool filter_passes(const struct json *f, const struct json *event)
{
    const struct json *rate = json_get(f, "sampling_rate"), *outcome = json_get(f, "outcome");
    const struct json *method = json_get(f, "method"), *ip = json_get(f, "client_ip");
    struct slice key = json_get_text(f, "key"), query = json_get_text(f, "query");

    if (rate)
        return is_sampled(json_double(rate));
    if (outcome)
        return list_has(outcome, json_get_text(event, "outcome"));
    if (method)
        return list_has(method, json_get_text(request_of(event), "method"));
    if (ip)
        return ip_passes(ip, event);
    if (key.ptr)
        return header_of(event, key).ptr && contains(header_of(event, key), query);
    return !query.ptr || logs_contain(event, query);
}

static bool passes(const struct events_subscriber *s, const struct json *event)
{
    for (const struct json *f = s->filters ? s->filters->child : NULL; f; f = f->next)
        if (!filter_passes(f, event))
            return false;
    return true;
}

/* ---- taking ---- */

static void forget_oldest_locked(struct events *e)
{
    e->kept_bytes -= e->kept[e->first].len;
    buf_release(&e->kept[e->first]);
    e->first = (e->first + 1) % KEPT_MAX;
    e->n_kept--;
}

static void keep_locked(struct events *e, struct slice json)
{
    if (json.len > KEPT_MAX_BYTES)
        return;
    while (e->n_kept == KEPT_MAX || (e->n_kept && e->kept_bytes + json.len > KEPT_MAX_BYTES))
        forget_oldest_locked(e);
    struct buf *slot = &e->kept[(e->first + e->n_kept) % KEPT_MAX];
    *slot = (struct buf){ 0 };
    buf_append_slice(slot, json);
    e->kept_bytes += json.len;
    e->n_kept++;
}

static void tell_locked(struct events *e, const struct json *event, struct slice json)
{
    keep_locked(e, json);
    for (struct events_subscriber *s = e->subscribers; s; s = s->next)
        if (passes(s, event))
            s->on_event(s->arg, json);
}

static void write_item(struct buf *b, const struct json *item, struct slice worker, struct slice version)
{
    buf_append_cstr(b, "{\"scriptName\":");
    json_write_text(b, worker);
    buf_append_cstr(b, ",\"scriptVersion\":{\"id\":");
    json_write_text(b, version);
    buf_append_char(b, '}');
    for (const struct json *m = item->child; m; m = m->next) {
        if (slice_eq(m->key, SLICE_LIT("scriptName")) || slice_eq(m->key, SLICE_LIT("scriptVersion")))
            continue;
        buf_append_char(b, ',');
        json_write_text(b, m->key);
        buf_append_char(b, ':');
        json_write_value(b, m);
    }
    buf_append_char(b, '}');
}

size_t events_take_items(struct events *e, struct slice items, struct slice worker, struct slice version)
{
    struct arena arena;
    struct json *list;
    struct buf text = { 0 };
    size_t n = 0;

    arena_init(&arena, PARSE_MAX_BYTES);
    if (json_parse(items, JSON_STRICT, &arena, &list, NULL) == STATUS_OK && list->type == JSON_ARRAY) {
        n = list->n;
        pthread_mutex_lock(&e->lock);
        for (const struct json *item = list->child; item; item = item->next) {
            buf_clear(&text);
            write_item(&text, item, worker, version);
            tell_locked(e, item, buf_slice(&text));
        }
        pthread_mutex_unlock(&e->lock);
    }
    buf_release(&text);
    arena_release(&arena);
    return n;
}

void events_take(struct events *e, struct slice json)
{
    struct arena arena;
    struct json *event;

    arena_init(&arena, PARSE_MAX_BYTES);
    if (json_parse(json, JSON_STRICT, &arena, &event, NULL) == STATUS_OK) {
        pthread_mutex_lock(&e->lock);
        tell_locked(e, event, json);
        pthread_mutex_unlock(&e->lock);
    }
    arena_release(&arena);
}

void events_recent(struct events *e, struct buf *ret)
{
    pthread_mutex_lock(&e->lock);
    buf_append_char(ret, '[');
    for (size_t i = 0; i < e->n_kept; i++) {
        buf_append_cstr(ret, i ? "," : "");
        buf_append_slice(ret, buf_slice(&e->kept[(e->first + i) % KEPT_MAX]));
    }
    buf_append_char(ret, ']');
    pthread_mutex_unlock(&e->lock);
}

/* ---- subscribers ---- */

static void subscriber_free(struct events_subscriber *s)
{
    arena_release(&s->arena);
    free(s->text);
    free(s);
}

static enum status check_filters(const struct json *filters, struct error *err)
{
    if (!json_is(filters, JSON_ARRAY))
        return error_set(err, STATUS_INVALID, 0, "The filters of a tail must be an array");
    for (const struct json *f = filters->child; f; f = f->next) {
        if (f->type != JSON_OBJECT)
            return error_set(err, STATUS_INVALID, 0, "Each filter of a tail must be an object");
        const struct json *rate = json_get(f, "sampling_rate");
        if (rate && (rate->type != JSON_NUMBER || json_double(rate) < 0 || json_double(rate) > 1))
            return error_set(err, STATUS_INVALID, 0, "A tail's sampling_rate must be a number from 0 to 1");
    }
    return STATUS_OK;
}

static enum status parse_filters(struct events_subscriber *s, struct slice filters, struct error *err)
{
    if (!filters.ptr)
        return STATUS_OK;
    s->text = strndup(filters.ptr, filters.len);
    if (!s->text)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    enum status st = json_parse(slice_of(s->text, filters.len), JSON_STRICT, &s->arena, &s->filters, err);
    return st == STATUS_OK ? check_filters(s->filters, err) : st;
}

enum status events_subscribe(struct events *e, struct slice filters, void (*on_event)(void *arg, struct slice json),
                             void *arg, struct events_subscriber **ret, struct error *err)
{
    struct events_subscriber *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    s->on_event = on_event;
    s->arg = arg;
    arena_init(&s->arena, 1 << 20);
    enum status st = parse_filters(s, filters, err);
    if (st != STATUS_OK) {
        subscriber_free(s);
        return st;
    }
    pthread_mutex_lock(&e->lock);
    s->next = e->subscribers;
    e->subscribers = s;
    pthread_mutex_unlock(&e->lock);
    *ret = s;
    return STATUS_OK;
}

size_t events_unsubscribe(struct events *e, struct events_subscriber *gone)
{
    size_t n = 0;

    pthread_mutex_lock(&e->lock);
    struct events_subscriber **at = &e->subscribers;
    while (*at && *at != gone)
        at = &(*at)->next;
    if (*at)
        *at = gone->next;
    for (struct events_subscriber *s = e->subscribers; s; s = s->next)
        n++;
    pthread_mutex_unlock(&e->lock);
    subscriber_free(gone);
    return n;
}
