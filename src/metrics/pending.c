/* pending.c - see pending.h. */
#include "metrics/pending.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(struct pending_key) == UUID_LEN + 4 + sizeof(int64_t), "keys are hashed as bytes");

void stats_add(struct sql_stmt_stats *sum, const struct sql_stmt_stats *more)
{
    sum->count += more->count;
    sum->duration_ns += more->duration_ns;
    sum->rows_read += more->rows_read;
    sum->rows_written += more->rows_written;
    sum->rows_returned += more->rows_returned;
}

/* At most `max` bytes that end where a character ends. */
static size_t cut_length(struct slice text, size_t max)
{
    size_t len = text.len;

    if (len <= max)
        return len;
    len = max;
    while (len && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return len;
}

struct slice pending_trim_text(struct slice text)
{
    text = slice_trim(text);
    return slice_of(text.ptr, cut_length(text, METRICS_TEXT_MAX));
}

/* The entry of a database and hour; NULL: out of memory. */
static struct pending_hour *hour_of(struct pending *p, const struct pending_key *key)
{
    struct pending_hour *h;

    HASH_FIND(hh, p->hours, key, sizeof(*key), h);
    if (h)
        return h;
    h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->key = *key;
    HASH_ADD(hh, p->hours, key, sizeof(h->key), h);
    if (h->hh.tbl)
        return h;
    free(h);
    return NULL;
}

/* The entry of a text; `other` when a bound is reached or memory is out. */
static struct sql_stmt_stats *stats_of(struct pending *p, struct pending_hour *h, struct slice text)
{
    struct pending_text *t;

    HASH_FIND(hh, h->texts, text.ptr, text.len, t);
    if (t)
        return &t->stats;
    if (p->n_texts >= METRICS_PENDING_TEXTS || HASH_COUNT(h->texts) >= METRICS_TEXTS_PER_DAY)
        return &h->other;
    t = calloc(1, sizeof(*t) + text.len);
    if (!t)
        return &h->other;
    t->len = text.len;
    memcpy(t->text, text.ptr, text.len);
    HASH_ADD_KEYPTR(hh, h->texts, t->text, t->len, t);
    if (!t->hh.tbl) {
        free(t);
        return &h->other;
    }
    p->n_texts++;
    return &t->stats;
}

void pending_record(struct pending *p, const char *uuid, int64_t hour, struct slice text,
                    const struct sql_stmt_stats *stats, bool is_write)
{
    struct pending_key key = { .hour = hour };

    memcpy(key.uuid, uuid, UUID_LEN);
    struct pending_hour *h = hour_of(p, &key);
    if (!h)
        return; /* out of memory: statistics are what may go missing */
    *(is_write ? &h->write_queries : &h->read_queries) += stats->count;
    h->rows_read += stats->rows_read;
    h->rows_written += stats->rows_written;
    text = pending_trim_text(text);
    if (text.len)
        stats_add(stats_of(p, h, text), stats);
}

static void hour_free(struct pending *p, struct pending_hour *h)
{
    for (struct pending_text *t = h->texts, *next; t; t = next) {
        next = t->hh.next;
        HASH_DEL(h->texts, t);
        free(t);
        p->n_texts--;
    }
    HASH_DEL(p->hours, h);
    free(h);
}

static void merge_hour(struct pending *p, const struct pending_hour *from)
{
    struct pending_hour *h = hour_of(p, &from->key);

    if (!h)
        return; /* out of memory */
    h->read_queries += from->read_queries;
    h->write_queries += from->write_queries;
    h->rows_read += from->rows_read;
    h->rows_written += from->rows_written;
    stats_add(&h->other, &from->other);
    for (const struct pending_text *t = from->texts; t; t = t->hh.next)
        stats_add(stats_of(p, h, slice_of(t->text, t->len)), &t->stats);
}

void pending_merge(struct pending *p, struct pending *from)
{
    for (struct pending_hour *h = from->hours, *next; h; h = next) {
        next = h->hh.next;
        merge_hour(p, h);
        hour_free(from, h);
    }
}

void pending_forget(struct pending *p, const char *uuid)
{
    for (struct pending_hour *h = p->hours, *next; h; h = next) {
        next = h->hh.next;
        if (memcmp(h->key.uuid, uuid, UUID_LEN) == 0)
            hour_free(p, h);
    }
}

void pending_clear(struct pending *p)
{
    for (struct pending_hour *h = p->hours, *next; h; h = next) {
        next = h->hh.next;
        hour_free(p, h);
    }
}
