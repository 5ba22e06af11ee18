/*
 * transfers.c - see transfers.h.
 *
 * Lock order: transfers.lock is taken alone and never held while SQL runs, a file is read or written, or foreign code is
 * called; the exceptions are sql_conn_interrupt, which only sets a number, and loop_post, which only pushes on a list.
 */
#include "store/transfers.h"

#include "base/clock.h"
#include "base/digest.h"
#include "store/dump.h"
#include "store/sqlite_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    JOB_THREADS = 4,
    UPLOAD_THREADS = 2,
    NICENESS = 5, /* behind the loops when the machine is full */
    KEEP_MS = 60 * 60 * 1000,
    UNPOLLED_MS = 60 * 1000, /* then a running export is cancelled, as D1 does */
    UNPOLLED_IMPORT_MS = 600 * 1000,
    MAX_TRANSFERS = 1000,
};

/* Of finished exports and uploads together; past it the oldest export goes. */
static const uint64_t max_kept_bytes = 32ULL << 30;

struct waiter {
    struct loop_msg msg;
    uv_timer_t timer;
    struct transfer *transfer; /* a reference */
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    struct waiter *next;
};

struct transfer {
    struct transfers *registry;
    struct transfer *next; /* newest first */
    enum transfer_kind kind;
    char id[TRANSFER_ID_LEN + 1];
    char etag[MD5_HEX_LEN + 1];
    char *path;
    struct database *db;      /* a reference */
    struct dump_options dump; /* owned copies */
    struct progress progress;
    struct job job;

    /* Guarded by registry.lock. */
    int refs;
    bool listed;
    enum transfer_state state;
    int64_t touched_ms;
    char bookmark[BOOKMARK_LEN + 1];
    uint64_t size; /* of the file, once it is complete */
    struct load_result result;
    struct error err;
    struct waiter *waiters;
    struct sql_conn *conn; /* while its work runs: for interrupting it */
};

struct transfers {
    struct store *store;
    struct pool *jobs, *uploads;
    char *dir;
    pthread_mutex_t lock; /* guards the rest and the transfers */
    struct transfer *first;
    size_t n;
    bool stopping;
};

static int64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

/* ---- life of a transfer ---- */

static void transfer_free(struct transfer *x)
{
    if (!x)
        return;
    /* A file outlives its export only by its reader's descriptor. */
    if (x->path)
        (void)unlink(x->path); /* may be gone already */
    for (size_t i = 0; i < x->dump.n_tables; i++)
        free((char *)x->dump.tables[i].ptr);
    free((struct slice *)x->dump.tables);
    free(x->path);
    if (x->db)
        database_unref(x->db);
    free(x);
}

struct transfer *transfer_ref(struct transfer *x)
{
    pthread_mutex_lock(&x->registry->lock);
    x->refs++;
    pthread_mutex_unlock(&x->registry->lock);
    return x;
}

void transfer_unref(struct transfer *x)
{
    if (!x)
        return;
    struct transfers *t = x->registry;
    pthread_mutex_lock(&t->lock);
    bool last = --x->refs == 0;
    pthread_mutex_unlock(&t->lock);
    if (last)
        transfer_free(x);
}

/* Takes x out of the list; the list's reference becomes the caller's. */
static void unlist_locked(struct transfers *t, struct transfer *x)
{
    for (struct transfer **link = &t->first; *link; link = &(*link)->next)
        if (*link == x) {
            *link = x->next;
            x->next = NULL;
            x->listed = false;
            t->n--;
            return;
        }
}

static bool copy_tables(struct transfer *x, const struct slice *tables, size_t n)
{
    struct slice *copies = calloc(n + 1, sizeof(*copies));

    if (!copies)
        return false;
    x->dump.tables = copies;
    for (size_t i = 0; i < n; i++) {
        char *text = malloc(tables[i].len + 1);
        if (!text)
            return false;
        memcpy(text, tables[i].ptr, tables[i].len);
        copies[i] = slice_of(text, tables[i].len);
        x->dump.n_tables = i + 1;
    }
    return true;
}

static void new_id(char ret[TRANSFER_ID_LEN + 1])
{
    unsigned char bytes[TRANSFER_ID_LEN / 2];

    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), ret);
}

static void work(struct job *job);

static struct transfer *transfer_new(struct transfers *t, struct database *db, enum transfer_kind kind)
{
    struct transfer *x = calloc(1, sizeof(*x));
    size_t room = strlen(t->dir) + TRANSFER_ID_LEN + 16;

    if (!x)
        return NULL;
    x->registry = t;
    x->kind = kind;
    x->refs = 1;
    x->touched_ms = now_ms();
    x->job.run = work;
    x->db = database_ref(db);
    new_id(x->id);
    /* No commit has this number, so it is nobody's bookmark but ours. */
    snprintf(x->bookmark, sizeof(x->bookmark), "00000000-00000000-00000000-%s", x->id);
    x->path = malloc(room);
    if (!x->path) {
        transfer_free(x);
        return NULL;
    }
    snprintf(x->path, room, "%s/%s", t->dir, x->id);
    return x;
}

/* ---- room ---- */

static bool is_resting(const struct transfer *x)
{
    return x->state != TRANSFER_RUNNING && x->state != TRANSFER_UPLOADING && !x->waiters;
}

/* The oldest resting transfer, of exports only when asked so. */
static struct transfer *oldest_locked(struct transfers *t, bool exports_only)
{
    struct transfer *oldest = NULL;

    for (struct transfer *x = t->first; x; x = x->next)
        if (is_resting(x) && (!exports_only || (x->kind != TRANSFER_IMPORT && x->size)) &&
            (!oldest || x->touched_ms < oldest->touched_ms))
            oldest = x;
    return oldest;
}

static uint64_t kept_bytes_locked(const struct transfers *t)
{
    uint64_t sum = 0;

    for (const struct transfer *x = t->first; x; x = x->next)
        sum += x->size;
    return sum;
}

static bool is_expired(const struct transfer *x, int64_t now)
{
    return is_resting(x) && now - x->touched_ms > KEEP_MS;
}

/* Takes one transfer out that has to go, or returns NULL. */
static struct transfer *take_superfluous_locked(struct transfers *t, int64_t now)
{
    struct transfer *x;

    for (x = t->first; x; x = x->next)
        if (is_expired(x, now))
            break;
    if (!x && kept_bytes_locked(t) > max_kept_bytes)
        x = oldest_locked(t, true);
    if (!x && t->n > MAX_TRANSFERS)
        x = oldest_locked(t, false);
    if (x)
        unlist_locked(t, x);
    return x;
}

static void cancel_locked(struct transfer *x)
{
    atomic_store(&x->progress.cancelled, true);
    if (x->conn)
        sql_conn_interrupt(x->conn);
}

void transfers_sweep(struct transfers *t)
{
    int64_t now = now_ms();
    struct transfer *x;

    pthread_mutex_lock(&t->lock);
    for (x = t->first; x; x = x->next) {
        /* An import that never ends would hold its database; one that nobody asks about is not waited for. */
        if (x->kind == TRANSFER_IMPORT && x->state == TRANSFER_RUNNING && !x->waiters &&
            now - x->touched_ms > UNPOLLED_IMPORT_MS)
            cancel_locked(x);
        if (x->kind == TRANSFER_EXPORT_SQL && x->state == TRANSFER_RUNNING && !x->waiters &&
            now - x->touched_ms > UNPOLLED_MS)
            cancel_locked(x);
    }
    while ((x = take_superfluous_locked(t, now))) {
        pthread_mutex_unlock(&t->lock);
        transfer_unref(x); /* removes the file: not under the lock */
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
}

/* Lists x. The list takes a reference of its own. */
static enum status enlist(struct transfer *x, enum transfer_state state, struct error *err)
{
    struct transfers *t = x->registry;
    enum status st = STATUS_OK;

    pthread_mutex_lock(&t->lock);
    if (t->stopping) {
        st = error_set(err, STATUS_STOPPING, 0, "The server is stopping");
    } else if (t->n >= MAX_TRANSFERS && !oldest_locked(t, false)) {
        st = error_set(err, STATUS_BUSY, 0, "%d exports and imports are under way; try again later", MAX_TRANSFERS);
    } else {
        x->state = state;
        x->listed = true;
        x->refs++;
        x->next = t->first;
        t->first = x;
        t->n++;
    }
    pthread_mutex_unlock(&t->lock);
    return st;
}

/* ---- waiting ---- */

static void on_waiter_closed(uv_handle_t *timer)
{
    struct waiter *w = timer->data;

    transfer_unref(w->transfer);
    free(w);
}

static void waiter_fire(struct waiter *w)
{
    uv_timer_stop(&w->timer);
    w->fn(w->arg);
    uv_close((uv_handle_t *)&w->timer, on_waiter_closed);
}

static void waiter_deliver(struct loop_msg *msg)
{
    waiter_fire(CONTAINER_OF(msg, struct waiter, msg));
}

/* Whoever takes a waiter out of the list answers it: the timer at once, the end of the work by a message. */
static void on_waiter_timer(uv_timer_t *timer)
{
    struct waiter *w = timer->data;
    struct transfers *t = w->transfer->registry;
    bool is_ours = false;

    pthread_mutex_lock(&t->lock);
    for (struct waiter **link = &w->transfer->waiters; *link; link = &(*link)->next)
        if (*link == w) {
            *link = w->next;
            is_ours = true;
            break;
        }
    w->transfer->touched_ms = now_ms();
    pthread_mutex_unlock(&t->lock);
    if (is_ours)
        waiter_fire(w);
}

bool transfer_wait(struct transfer *x, struct loop *loop, uint64_t timeout_ms, void (*fn)(void *arg), void *arg)
{
    struct waiter *w = calloc(1, sizeof(*w));
    struct transfers *t = x->registry;

    if (!w)
        return false;
    *w = (struct waiter){ .msg.deliver = waiter_deliver, .transfer = x, .loop = loop, .fn = fn, .arg = arg };
    pthread_mutex_lock(&t->lock);
    bool waits = x->state == TRANSFER_RUNNING && !t->stopping;
    if (waits) {
        x->refs++;
        w->next = x->waiters;
        x->waiters = w;
    }
    pthread_mutex_unlock(&t->lock);
    if (!waits) {
        free(w);
        return false;
    }
    /* The work may have ended meanwhile: its message comes after this function, on this thread. */
    uv_timer_init(&loop->uv, &w->timer);
    w->timer.data = w;
    if (timeout_ms)
        uv_timer_start(&w->timer, on_waiter_timer, timeout_ms, 0);
    return true;
}

static void post_waiters(struct waiter *w)
{
    while (w) {
        struct waiter *next = w->next;
        loop_post(w->loop, &w->msg);
        w = next;
    }
}

/* ---- the work ---- */

static void set_conn(struct transfer *x, struct sql_conn *c)
{
    pthread_mutex_lock(&x->registry->lock);
    x->conn = c;
    if (c && progress_is_cancelled(&x->progress))
        sql_conn_interrupt(c);
    pthread_mutex_unlock(&x->registry->lock);
}

static enum status export_sql(struct sql_conn *c, struct transfer *x, struct error *err)
{
    int fd = open(x->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_errno(err, errno, "cannot create the export's file");
    enum status st = dump_write(c, &x->dump, fd, &x->progress, err);
    if (close(fd) != 0 && st == STATUS_OK)
        st = error_errno(err, errno, "cannot write the export");
    return st;
}

static enum status export_with(struct sql_conn *c, void *arg, struct error *err)
{
    struct transfer *x = arg;

    set_conn(x, c);
    enum status st = x->kind == TRANSFER_EXPORT_SQL ? export_sql(c, x, err)
                                                    : sqlite_file_write(c, x->path, &x->progress, err);
    set_conn(x, NULL);
    return st;
}

static enum status import_sql_with(struct sql_conn *c, void *arg, struct error *err)
{
    struct transfer *x = arg;
    struct load_result result;
    int fd = open(x->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(err, errno, "cannot read the uploaded file");
    set_conn(x, c);
    enum status st = load_sql(c, fd, &x->progress, &result, err);
    set_conn(x, NULL);
    (void)close(fd); /* only read from */
    if (st == STATUS_OK)
        x->result = result; /* nobody looks at it while the state is RUNNING */
    return st;
}

/* An import is one write in the metrics: its statements are not worth an entry each. */
static void record_import(struct transfer *x)
{
    const struct load_result *r = &x->result;
    struct sql_stmt_stats stats = {
        .count = 1, .duration_ns = (uint64_t)r->duration_ns, .rows_read = r->rows_read, .rows_written = r->rows_written
    };

    store_record(x->db, SLICE_LIT("(import)"), &stats, true);
}

static enum status import_sqlite_with(struct sql_conn *c, void *arg, struct error *err)
{
    struct transfer *x = arg;
    int64_t started_ns = clock_mono_ns(), size = 0;

    set_conn(x, c);
    enum status st = sqlite_file_apply(c, x->path, &x->progress, &size, err);
    set_conn(x, NULL);
    if (st == STATUS_OK)
        x->result = (struct load_result){
            .statements = 1, .size_after = size, .changed_db = true, .duration_ns = clock_mono_ns() - started_ns
        };
    return st;
}

static enum status is_sqlite_file(const struct transfer *x, bool *ret, struct error *err)
{
    char head[SQLITE_FILE_MAGIC_LEN];
    int fd = open(x->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(err, errno, "cannot read the uploaded file");
    ssize_t n = pread(fd, head, sizeof(head), 0);
    (void)close(fd); /* only read from */
    if (n < 0)
        return error_errno(err, errno, "cannot read the uploaded file");
    *ret = sqlite_file_is(slice_of(head, (size_t)n));
    return STATUS_OK;
}

static enum status import(struct transfer *x, uint64_t *ret_commit, struct error *err)
{
    bool is_sqlite = false;
    enum status st = is_sqlite_file(x, &is_sqlite, err);

    if (st == STATUS_OK && is_sqlite)
        st = sqlite_file_check(x->path, &x->progress, err);
    if (st != STATUS_OK)
        return st;
    st = store_exclusive(x->db, is_sqlite ? import_sqlite_with : import_sql_with, x, ret_commit, err);
    if (st == STATUS_OK)
        record_import(x);
    return st;
}

static uint64_t file_size(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static void finish(struct transfer *x, enum status st, uint64_t commit, const struct error *err)
{
    struct transfers *t = x->registry;
    uint64_t size = 0;

    /* An import's file has done its duty; a failed export's is of no use. */
    if (x->kind == TRANSFER_IMPORT || st != STATUS_OK)
        (void)unlink(x->path); /* may be gone already */
    else
        size = file_size(x->path);
    pthread_mutex_lock(&t->lock);
    x->state = st == STATUS_OK ? TRANSFER_DONE : TRANSFER_FAILED;
    x->size = size;
    x->touched_ms = now_ms();
    if (st == STATUS_OK)
        bookmark_format(database_uuid(x->db), commit, x->bookmark);
    else
        x->err = *err;
    struct waiter *waiters = x->waiters;
    x->waiters = NULL;
    pthread_mutex_unlock(&t->lock);
    post_waiters(waiters);
}

static void work(struct job *job)
{
    struct transfer *x = CONTAINER_OF(job, struct transfer, job);
    uint64_t commit = 0;
    struct error err;
    enum status st = x->kind == TRANSFER_IMPORT ? import(x, &commit, &err)
                                                : store_snapshot(x->db, export_with, x, &commit, &err);

    /* What an interrupted statement says of itself is not the reason. */
    if (st != STATUS_OK && progress_is_cancelled(&x->progress))
        st = error_set(&err, STATUS_STOPPING, 0, "%s was cancelled",
                       x->kind == TRANSFER_IMPORT ? "The import" : "The export");
    finish(x, st, commit, &err);
    transfer_unref(x);
}

/* ---- asking ---- */

void transfer_view(struct transfer *x, struct transfer_view *ret)
{
    pthread_mutex_lock(&x->registry->lock);
    x->touched_ms = now_ms();
    ret->state = x->state;
    snprintf(ret->id, sizeof(ret->id), "%s", x->id);
    snprintf(ret->bookmark, sizeof(ret->bookmark), "%s", x->bookmark);
    ret->bytes = atomic_load(&x->progress.bytes);
    ret->statements = atomic_load(&x->progress.statements);
    if (x->state == TRANSFER_DONE)
        ret->result = x->result;
    if (x->state == TRANSFER_FAILED)
        ret->err = x->err;
    pthread_mutex_unlock(&x->registry->lock);
}

/* A finished transfer is also known by the bookmark that it had while it ran. */
static bool is_called(const struct transfer *x, struct slice name)
{
    struct slice running = SLICE_LIT("00000000-00000000-00000000-");

    return slice_eq(name, slice_cstr(x->id)) || slice_eq(name, slice_cstr(x->bookmark)) ||
           (slice_starts(name, running) && slice_eq(slice_from(name, running.len), slice_cstr(x->id)));
}

struct transfer *transfers_find(struct transfers *t, const struct database *db, enum transfer_kind kind,
                                struct slice id_or_bookmark)
{
    struct transfer *x;

    pthread_mutex_lock(&t->lock);
    for (x = t->first; x; x = x->next)
        if (x->kind == kind && (!db || x->db == db) && is_called(x, id_or_bookmark))
            break;
    if (x) {
        x->refs++;
        x->touched_ms = now_ms();
    }
    pthread_mutex_unlock(&t->lock);
    return x;
}

void transfer_forget(struct transfer *x)
{
    struct transfers *t = x->registry;

    pthread_mutex_lock(&t->lock);
    bool was_listed = x->listed && is_resting(x);
    if (was_listed)
        unlist_locked(t, x);
    pthread_mutex_unlock(&t->lock);
    if (was_listed)
        transfer_unref(x);
}

void transfer_database_uuid(const struct transfer *x, char ret[UUID_LEN + 1])
{
    snprintf(ret, UUID_LEN + 1, "%s", database_uuid(x->db));
}

/* ---- exports ---- */

enum status transfers_export(struct transfers *t, struct database *db, const struct transfer_export *opt,
                             struct transfer **ret, struct error *err)
{
    struct transfer *x = transfer_new(t, db, opt->kind);

    if (!x || !copy_tables(x, opt->tables, opt->n_tables)) {
        transfer_free(x);
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    }
    x->dump.no_schema = opt->no_schema;
    x->dump.no_data = opt->no_data;
    x->refs++; /* the job's */
    enum status st = enlist(x, TRANSFER_RUNNING, err);
    if (st != STATUS_OK) {
        transfer_free(x);
        return st;
    }
    pool_submit(t->jobs, &x->job);
    *ret = x;
    return STATUS_OK;
}

enum status transfer_open_file(struct transfer *x, int *ret_fd, uint64_t *ret_size, struct error *err)
{
    struct transfers *t = x->registry;

    pthread_mutex_lock(&t->lock);
    bool is_there = x->state == TRANSFER_DONE && x->kind != TRANSFER_IMPORT;
    uint64_t size = x->size;
    x->touched_ms = now_ms();
    pthread_mutex_unlock(&t->lock);
    if (!is_there)
        return error_set(err, STATUS_NOTFOUND, 0, "The export is not finished");
    int fd = open(x->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot read the export");
    *ret_fd = fd;
    *ret_size = size;
    return STATUS_OK;
}

/* ---- imports ---- */

static struct transfer *find_uploaded(struct transfers *t, const struct database *db, struct slice etag)
{
    struct transfer *x;

    pthread_mutex_lock(&t->lock);
    for (x = t->first; x; x = x->next)
        if (x->kind == TRANSFER_IMPORT && x->state == TRANSFER_UPLOADED && x->db == db &&
            slice_eq(slice_cstr(x->etag), etag))
            break;
    if (x)
        x->refs++;
    pthread_mutex_unlock(&t->lock);
    return x;
}

enum status transfers_import(struct transfers *t, struct database *db, struct slice etag, struct transfer **ret,
                             struct error *err)
{
    struct transfer *x = find_uploaded(t, db, etag);

    if (x) {
        *ret = x;
        return STATUS_OK;
    }
    x = transfer_new(t, db, TRANSFER_IMPORT);
    if (!x)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    snprintf(x->etag, sizeof(x->etag), "%.*s", SLICE_FMT(etag));
    enum status st = enlist(x, TRANSFER_AWAITING, err);
    if (st != STATUS_OK) {
        transfer_free(x);
        return st;
    }
    *ret = x;
    return STATUS_OK;
}

enum status transfer_upload_begin(struct transfer *x, struct error *err)
{
    struct transfers *t = x->registry;
    enum status st = STATUS_OK;

    pthread_mutex_lock(&t->lock);
    if (t->stopping)
        st = error_set(err, STATUS_STOPPING, 0, "The server is stopping");
    else if (x->state != TRANSFER_AWAITING && x->state != TRANSFER_UPLOADED)
        st = error_set(err, STATUS_BUSY, 0, "This file is being uploaded or imported already");
    else
        x->state = TRANSFER_UPLOADING;
    pthread_mutex_unlock(&t->lock);
    return st;
}

const char *transfer_path(const struct transfer *x)
{
    return x->path;
}

const char *transfer_etag(const struct transfer *x)
{
    return x->etag;
}

void transfer_upload_end(struct transfer *x, bool complete)
{
    uint64_t size = complete ? file_size(x->path) : 0;

    pthread_mutex_lock(&x->registry->lock);
    x->state = complete ? TRANSFER_UPLOADED : TRANSFER_AWAITING;
    x->size = size;
    x->touched_ms = now_ms();
    pthread_mutex_unlock(&x->registry->lock);
}

enum status transfer_ingest(struct transfer *x, struct error *err)
{
    struct transfers *t = x->registry;
    enum status st = STATUS_OK;
    bool start = false;

    pthread_mutex_lock(&t->lock);
    if (t->stopping) {
        st = error_set(err, STATUS_STOPPING, 0, "The server is stopping");
    } else if (x->state == TRANSFER_AWAITING || x->state == TRANSFER_UPLOADING) {
        st = error_set(err, STATUS_INVALID, 0, "The file was not uploaded");
    } else if (x->state == TRANSFER_UPLOADED) {
        x->state = TRANSFER_RUNNING;
        x->refs++; /* the job's */
        start = true;
    }
    pthread_mutex_unlock(&t->lock);
    if (start)
        pool_submit(t->jobs, &x->job);
    return st;
}

/* ---- start and end ---- */

/* What a crash or a stop has left. Transfers don't outlive the server, so their files are of no use. */
static enum status empty_dir(const char *path, struct error *err)
{
    DIR *dir = opendir(path);

    if (!dir)
        return error_errno(err, errno, "cannot read %s", path);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && unlinkat(dirfd(dir), e->d_name, 0) != 0 && errno != EISDIR && errno != EPERM) {
            enum status st = error_errno(err, errno, "cannot remove %s/%s", path, e->d_name);
            (void)closedir(dir); /* only read from */
            return st;
        }
    (void)closedir(dir); /* only read from */
    return STATUS_OK;
}

enum status transfers_open(struct store *s, struct transfers **ret, struct error *err)
{
    struct transfers *t = calloc(1, sizeof(*t));
    size_t room = strlen(store_dir(s)) + sizeof("/tmp");

    if (t)
        t->dir = malloc(room);
    if (!t || !t->dir) {
        free(t);
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    }
    snprintf(t->dir, room, "%s/tmp", store_dir(s));
    t->store = s;
    pthread_mutex_init(&t->lock, NULL);
    t->jobs = pool_new(&(struct pool_options){ .name = "transfer", .max_threads = JOB_THREADS, .nice = NICENESS });
    t->uploads = pool_new(&(struct pool_options){ .name = "upload", .max_threads = UPLOAD_THREADS });
    enum status st = STATUS_OK;
    if (mkdir(t->dir, 0700) != 0 && errno != EEXIST)
        st = error_errno(err, errno, "cannot make %s", t->dir);
    else
        st = empty_dir(t->dir, err);
    if (st != STATUS_OK) {
        transfers_close(t);
        return st;
    }
    *ret = t;
    return STATUS_OK;
}

struct pool *transfers_upload_pool(struct transfers *t)
{
    return t->uploads;
}

void transfers_cancel_all(struct transfers *t)
{
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    for (struct transfer *x = t->first; x; x = x->next) {
        cancel_locked(x);
        post_waiters(x->waiters);
        x->waiters = NULL;
    }
    pthread_mutex_unlock(&t->lock);
}

void transfers_cancel_database(struct transfers *t, const struct database *db)
{
    pthread_mutex_lock(&t->lock);
    for (struct transfer *x = t->first; x; x = x->next)
        if (x->db == db)
            cancel_locked(x);
    pthread_mutex_unlock(&t->lock);
}

void transfers_drain(struct transfers *t)
{
    if (!t)
        return;
    transfers_cancel_all(t);
    pool_free(TAKE_PTR(t->uploads));
    pool_free(TAKE_PTR(t->jobs));
}

void transfers_close(struct transfers *t)
{
    if (!t)
        return;
    transfers_drain(t);
    while (t->first) {
        struct transfer *x = t->first;
        unlist_locked(t, x);
        transfer_unref(x);
    }
    pthread_mutex_destroy(&t->lock);
    free(t->dir);
    free(t);
}
