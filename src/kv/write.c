/*
 * write.c - writing keys: code that runs in the queue of the namespace's database. Each write is one request of the
 * group commit; conditions and counters look at the key inside the same transaction, so nothing comes between.
 */
#include "kv/internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the key as it is ---- */

static enum status check_condition(const struct kv_write *w, const struct kv_value *now, struct error *err)
{
    if (w->condition == KV_IF_ABSENT && !now->absent)
        return error_set(err, STATUS_CHANGED, 0, "the key exists: its version is \"%" PRIu64 "\"", now->version);
    if (w->condition == KV_IF_PRESENT && now->absent)
        return error_set(err, STATUS_CHANGED, 0, "the key does not exist");
    if (w->condition != KV_IF_VERSION || (!now->absent && now->version == w->if_version))
        return STATUS_OK;
    if (now->absent)
        return error_set(err, STATUS_CHANGED, 0, "the key does not exist, so its version is not \"%" PRIu64 "\"",
                         w->if_version);
    return error_set(err, STATUS_CHANGED, 0, "the key's version is \"%" PRIu64 "\", not \"%" PRIu64 "\"", now->version,
                     w->if_version);
}

/* ---- counters ---- */

/* Metadata stays; so does the expiry unless the request sets one. May run again, on another state. */
static enum status add(struct kv_write *w, const struct kv_value *now, struct error *err)
{
    int64_t old = 0;

    if (!now->absent && !slice_to_i64(kv_value_bytes(now), &old))
        return error_set(err, STATUS_KVINVALID, 0, "the value of this key is not a decimal number of 64 bits");
    if (__builtin_add_overflow(old, w->add, &w->sum))
        return error_set(err, STATUS_KVINVALID, 0, "%" PRId64 " and %" PRId64 " is more than 64 bits hold", old,
                         w->add);
    int len = snprintf(w->sum_text, sizeof(w->sum_text), "%" PRId64, w->sum);
    w->put.value = slice_of(w->sum_text, (size_t)len);
    w->put.metadata = now->absent ? SLICE_NONE : kv_value_metadata(now);
    if (!w->sets_expiry)
        w->put.expires_ms = now->absent ? 0 : now->expires_ms;
    return STATUS_OK;
}

/* ---- one key ---- */

static enum status apply(struct sql_conn *c, struct kv_write *w)
{
    struct error *err = w->run.err;
    enum status st;

    if (!w->under_way)
        w->was_hot = kv_map_write_begins(w->ns->kv->map, w->ns->space, w->put.key);
    w->under_way = true;
    if (w->kind == KV_DELETE)
        return table_delete(c, &w->ns->parts, w->put.key, &w->run.wrote, err);
    w->put.version = w->run.serial;
    st = table_put(c, &w->ns->parts, &w->put, err);
    w->run.wrote = st == STATUS_OK;
    w->version = w->run.serial;
    return st;
}

static enum status write_key(struct sql_conn *c, struct sql_request *run)
{
    struct kv_write *w = CONTAINER_OF(run, struct kv_write, run);
    struct kv_value *now = NULL;
    int64_t parts;
    enum status st = STATUS_OK;

    if (w->condition != KV_ALWAYS || w->kind == KV_ADD)
        st = table_get(c, w->put.key, clock_wall_ms(), w->kind == KV_ADD, &now, &parts, run->err);
    if (st == STATUS_OK && now)
        st = check_condition(w, now, run->err);
    if (st == STATUS_OK && w->kind == KV_ADD)
        st = add(w, now, run->err);
    if (st == STATUS_OK)
        st = apply(c, w);
    if (w->kind == KV_ADD)
        w->put.metadata = SLICE_NONE; /* it is part of `now` */
    kv_value_unref(now);
    return st;
}

/* Once it is committed, or has failed. */
static void write_over(struct kv_write *w)
{
    if (w->under_way)
        kv_map_write_ends(w->ns->kv->map, w->ns->space, w->put.key, &w->place);
    w->under_way = false;
}

static void write_committed(struct sql_request *run)
{
    struct kv_write *w = CONTAINER_OF(run, struct kv_write, run);

    write_over(w);
    if (w->kind != KV_DELETE && w->put.expires_ms)
        kv_expiry_noted(w->ns, w->put.expires_ms);
}

static void write_done(struct sql_request *run)
{
    struct kv_write *w = CONTAINER_OF(run, struct kv_write, run);

    write_over(w);
    if (run->status == STATUS_OK && w->cached && w->was_hot) {
        w->cached->version = w->version;
        (void)kv_map_offer(w->ns->kv->map, &w->place, w->cached); /* refused when a later write was quicker */
    }
    kv_value_unref(TAKE_PTR(w->cached));
    w->done(w);
}

/* What the map will hold; the statement binds its bytes, so they are copied once. */
static enum status keep_copy(struct kv_write *w)
{
    if (w->kind != KV_PUT || w->put.value.len > KV_SMALL_MAX)
        return STATUS_OK;
    w->cached = kv_value_copy(w->put.value, w->put.metadata);
    if (!w->cached)
        return error_set(w->run.err, STATUS_NOMEM, 0, "out of memory");
    w->cached->expires_ms = w->put.expires_ms;
    w->put.value = kv_value_bytes(w->cached);
    if (w->put.metadata.len)
        w->put.metadata = kv_value_metadata(w->cached);
    return STATUS_OK;
}

void kv_write_start(struct kv_write *w)
{
    bool large = w->kind == KV_PUT && w->put.value.len > KV_SMALL_MAX;

    w->run.status = keep_copy(w);
    if (w->run.status != STATUS_OK) {
        write_done(&w->run);
        return;
    }
    w->run.db = w->ns->db;
    w->run.fn = write_key;
    w->run.fn_writes = true;
    w->run.fn_is_atomic = true;
    w->run.alone = large;
    w->run.committed = write_committed;
    w->run.done = write_done;
    if (!store_run(&w->run))
        return;
    write_done(&w->run); /* refused at once: the database is gone */
}

/* ---- many keys ---- */

static enum status write_keys(struct sql_conn *c, struct sql_request *run)
{
    struct kv_bulk_write *w = CONTAINER_OF(run, struct kv_bulk_write, run);
    enum status st = STATUS_OK;
    bool deleted;

    for (size_t i = 0; i < w->n && st == STATUS_OK; i++) {
        w->puts[i].version = run->serial;
        if (i == w->n_under_way) {
            (void)kv_map_write_begins(w->ns->kv->map, w->ns->space, w->puts[i].key);
            w->n_under_way++;
        }
        if (w->deletes)
            st = table_delete(c, &w->ns->parts, w->puts[i].key, &deleted, run->err);
        else
            st = table_put(c, &w->ns->parts, &w->puts[i], run->err);
    }
    run->wrote = st == STATUS_OK && w->n > 0;
    return st;
}

static void bulk_over(struct kv_bulk_write *w)
{
    struct kv_place ignored;

    while (w->n_under_way)
        kv_map_write_ends(w->ns->kv->map, w->ns->space, w->puts[--w->n_under_way].key, &ignored);
}

static void bulk_committed(struct sql_request *run)
{
    struct kv_bulk_write *w = CONTAINER_OF(run, struct kv_bulk_write, run);

    bulk_over(w);
    for (size_t i = 0; i < w->n; i++)
        if (!w->deletes && w->puts[i].expires_ms)
            kv_expiry_noted(w->ns, w->puts[i].expires_ms);
}

static void bulk_done(struct sql_request *run)
{
    struct kv_bulk_write *w = CONTAINER_OF(run, struct kv_bulk_write, run);

    bulk_over(w);
    w->done(w);
}

void kv_bulk_write_start(struct kv_bulk_write *w)
{
    w->run.db = w->ns->db;
    w->run.fn = write_keys;
    w->run.fn_writes = true;
    w->run.alone = true;
    w->run.committed = bulk_committed;
    w->run.done = bulk_done;
    if (store_run(&w->run))
        bulk_done(&w->run); /* refused at once: the database is gone */
}
