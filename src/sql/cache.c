/* cache.c - prepared statements by text, least recently used out first. */
#include "sql/internal.h"

#include <stdlib.h>

void stmt_free(struct sql_stmt *s)
{
    if (!s)
        return;
    sqlite3_finalize(s->handle);
    buf_release(&s->keys);
    buf_release(&s->columns);
    free(s->order);
    free(s->text);
    free(s);
}

static void lru_remove(struct sql_conn *c, struct sql_stmt *s)
{
    *(s->newer ? &s->newer->older : &c->newest) = s->older;
    *(s->older ? &s->older->newer : &c->oldest) = s->newer;
    s->newer = s->older = NULL;
}

static void lru_add(struct sql_conn *c, struct sql_stmt *s)
{
    s->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = s;
    c->newest = s;
}

static void cache_drop(struct sql_conn *c, struct sql_stmt *s)
{
    HASH_DEL(c->by_text, s);
    lru_remove(c, s);
    c->n_cached--;
    s->cached = false;
    if (!s->in_use)
        stmt_free(s);
}

void cache_clear(struct sql_conn *c)
{
    while (c->oldest)
        cache_drop(c, c->oldest);
}

struct sql_stmt *sql_cache_find(struct sql_conn *c, struct slice text)
{
    struct sql_stmt *s = NULL;

    HASH_FIND(hh, c->by_text, text.ptr, text.len, s);
    return s;
}

struct sql_stmt *cache_get(struct sql_conn *c, struct slice text)
{
    struct sql_stmt *s = sql_cache_find(c, text);

    if (!s || s->in_use)
        return NULL;
    if (c->newest != s) {
        lru_remove(c, s);
        lru_add(c, s);
    }
    return s;
}

void cache_put(struct sql_conn *c, struct sql_stmt *s)
{
    while (c->n_cached >= c->max_cached)
        cache_drop(c, c->oldest);
    HASH_ADD_KEYPTR(hh, c->by_text, s->text, s->len, s);
    lru_add(c, s);
    c->n_cached++;
    s->cached = true;
}

void sql_cache_collect(struct sql_conn *c,
                       void (*fn)(struct slice text, const struct sql_stmt_stats *stats, bool is_write, void *arg),
                       void *arg)
{
    for (struct sql_stmt *s = c->newest; s; s = s->older) {
        if (s->stats.count == 0)
            continue;
        fn(slice_of(s->text, s->len), &s->stats, (s->flags & SQL_STMT_WRITES) != 0, arg);
        s->stats = (struct sql_stmt_stats){ 0 };
    }
}
