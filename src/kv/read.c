/* read.c - reading keys: from the map, else from SQLite on the loop, and large values in the pool. */
#include "kv/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

struct kv_value *kv_peek(struct kv_namespace *ns, struct slice key, struct kv_place *place)
{
    struct kv_value *v = kv_map_get(ns->kv->map, ns->space, key, place);

    if (!v || v->absent || !v->expires_ms || !kv_is_expired(v->expires_ms, clock_wall_ms()))
        return v;
    kv_value_unref(v);
    return kv_value_absent(); /* NULL when memory is out: then the database says the same */
}

static enum status too_slow_for_a_loop(struct error *err)
{
    return error_set(err, STATUS_AGAIN, 0, "not for a loop");
}

/* ---- one key ---- */

/* A file without a name: it goes when it is closed. */
static int unnamed_file(const char *data_dir, struct error *err)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/tmp/kv-XXXXXX", data_dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        IGNORE_RESULT(error_errno(err, errno, "cannot make a temporary file in %s/tmp", data_dir)); /* fills err */
        return -1;
    }
    (void)unlink(path); /* a name that stays is removed at the next start */
    return fd;
}

static int memory_file(struct error *err)
{
    int fd = memfd_create("kv-value", MFD_CLOEXEC);

    if (fd < 0)
        IGNORE_RESULT(error_errno(err, errno, "cannot keep a value in memory")); /* fills err */
    return fd;
}

/* Takes fd; below 0: err says why. */
static enum status copy_to(int fd, struct sql_conn *c, struct kv_read *r, int64_t parts, struct error *err)
{
    if (fd < 0)
        return err->status;
    enum status st = table_copy_parts(c, parts, fd, err);
    if (st == STATUS_OK)
        r->fd = fd;
    else
        (void)close(fd); /* of no use any more */
    return st;
}

/* Copied out of the database, so that a slow client holds up neither a connection nor checkpoints. What is stored can also be
 * read when the disk has no room for a copy. */
static enum status copy_out(struct sql_conn *c, struct kv_read *r, int64_t parts, struct error *err)
{
    enum status st = copy_to(unnamed_file(store_dir(database_store(r->ns->db)), err), c, r, parts, err);

    if (st == STATUS_FULL || st == STATUS_NOTFOUND)
        st = copy_to(memory_file(err), c, r, parts, err);
    return st;
}

static enum status read_key(struct sql_conn *c, struct sql_request *run)
{
    struct kv_read *r = CONTAINER_OF(run, struct kv_read, run);
    struct kv_value *v = NULL;
    int64_t parts;
    enum status st = table_get(c, r->place.key, clock_wall_ms(), r->want_bytes, &v, &parts, run->err);

    if (st == STATUS_OK && parts && r->want_bytes)
        st = run->may_retry ? too_slow_for_a_loop(run->err) : copy_out(c, r, parts, run->err);
    if (st == STATUS_OK)
        r->value = v;
    else
        kv_value_unref(v);
    return st;
}

/* A look without bytes knows less than the map promises. */
static void take_read(struct kv_read *r)
{
    bool whole = r->value && (r->value->absent || r->value->bytes_len == r->value->size);

    if (r->run.status == STATUS_OK && whole && r->want_bytes)
        (void)kv_map_offer(r->ns->kv->map, &r->place, r->value); /* refused when it is old already */
}

static void read_done(struct sql_request *run)
{
    struct kv_read *r = CONTAINER_OF(run, struct kv_read, run);

    take_read(r);
    r->done(r);
}

bool kv_read_start(struct kv_read *r)
{
    r->run.db = r->ns->db;
    r->run.fn = read_key;
    r->run.done = read_done;
    r->fd = -1;
    if (!store_run(&r->run))
        return false;
    take_read(r);
    return true;
}

/* ---- several keys ---- */

enum { LOOP_BYTES = 256 * 1024 /* what a loop collects in one request */ };

/* The large ones are short of bytes: they come whole. */
static enum status read_large(struct sql_conn *c, const struct kv_value *look, int64_t parts, struct kv_value **ret,
                              struct error *err)
{
    struct slice metadata = kv_value_metadata(look);
    struct kv_value *v = kv_value_new(look->size, metadata.len);

    if (!v)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    v->version = look->version;
    v->expires_ms = look->expires_ms;
    if (metadata.len)
        memcpy(v->bytes + v->bytes_len, metadata.ptr, metadata.len);
    enum status st = table_read_parts(c, parts, v->bytes, v->size, err);
    if (st == STATUS_OK)
        *ret = v;
    else
        kv_value_unref(v);
    return st;
}

static enum status read_one_of(struct sql_conn *c, struct kv_bulk_read *r, size_t i, size_t *bytes)
{
    struct error *err = r->run.err;
    struct kv_value *v = NULL;
    int64_t parts;
    enum status st = table_get(c, r->keys[i], clock_wall_ms(), true, &v, &parts, err);

    if (st != STATUS_OK)
        return st;
    *bytes += v->absent ? 0 : v->size;
    if (*bytes > r->max_bytes)
        st = error_set(err, STATUS_TOOBIG, 0, "Total size of request exceeds the limit of %zuMB", r->max_bytes >> 20);
    else if (r->run.may_retry && *bytes > LOOP_BYTES)
        st = too_slow_for_a_loop(err);
    else if (parts)
        st = read_large(c, v, parts, &r->values[i], err);
    else
        r->values[i] = TAKE_PTR(v);
    kv_value_unref(v);
    return st;
}

static void forget_values(struct kv_bulk_read *r)
{
    for (size_t i = 0; i < r->n; i++)
        kv_value_unref(TAKE_PTR(r->values[i]));
}

static enum status read_keys(struct sql_conn *c, struct sql_request *run)
{
    struct kv_bulk_read *r = CONTAINER_OF(run, struct kv_bulk_read, run);
    enum status st = STATUS_OK;
    size_t bytes = 0;

    for (size_t i = 0; i < r->n && st == STATUS_OK; i++)
        st = read_one_of(c, r, i, &bytes);
    if (st != STATUS_OK)
        forget_values(r);
    return st;
}

static void bulk_read_done(struct sql_request *run)
{
    struct kv_bulk_read *r = CONTAINER_OF(run, struct kv_bulk_read, run);

    r->done(r);
}

bool kv_bulk_read_start(struct kv_bulk_read *r)
{
    r->run.db = r->ns->db;
    r->run.fn = read_keys;
    r->run.done = bulk_read_done;
    return store_run(&r->run);
}

/* ---- lists ---- */

static void take_listed(void *arg, const struct kv_listed *key)
{
    struct kv_list *l = arg;

    if (l->n++)
        buf_append_char(&l->run.out, ',');
    l->write_key(&l->run.out, key);
    buf_clear(&l->last);
    buf_append_slice(&l->last, key->key);
}

static enum status list_keys(struct sql_conn *c, struct sql_request *run)
{
    struct kv_list *l = CONTAINER_OF(run, struct kv_list, run);

    l->n = 0;
    enum status st = table_list(c, l->prefix, l->after, l->limit, clock_wall_ms(), take_listed, l, &l->more, run->err);
    if (st == STATUS_OK && (run->out.overflowed || l->last.overflowed))
        st = error_set(run->err, STATUS_TOOBIG, 0, "The list is too long for one answer: ask for fewer keys");
    return st;
}

static void list_done(struct sql_request *run)
{
    struct kv_list *l = CONTAINER_OF(run, struct kv_list, run);

    l->done(l);
}

bool kv_list_start(struct kv_list *l)
{
    l->run.db = l->ns->db;
    l->run.fn = list_keys;
    l->run.done = list_done;
    return store_run(&l->run);
}
