/* store.c - opening and closing a data directory, its control database, and the housekeeping timers. */
#include "store/internal.h"

#include "base/log.h"
#include "sqlite3.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SWEEP_MS = 250, WRITE_THREADS = 8, READ_THREADS = 16, JOB_THREADS = 16, SLOW_READ_NICE = 10 };

/* ---- the directory ---- */

static char *join(const char *dir, const char *name)
{
    struct buf b = { 0 };

    buf_reserve(&b, strlen(dir) + strlen(name) + 2);
    buf_printf(&b, "%s/%s", dir, name);
    return b.ptr;
}

static enum status make_dir(const char *path, struct error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make the data directory %s", path);
    if (access(path, R_OK | W_OK | X_OK) != 0)
        return error_errno(err, errno, "cannot use the data directory %s", path);
    return STATUS_OK;
}

static bool is_empty_dir(const char *dir, const char *name)
{
    char *path = join(dir, name);
    DIR *d = opendir(path);
    int entries = 0;

    free(path);
    while (d && entries < 3 && readdir(d))
        entries++;
    if (d)
        (void)closedir(d);    /* was only read */
    return d && entries <= 2; /* "." and ".." */
}

/* What a start that was cut short may have left in a folder that has no control database yet. */
static bool may_be_ours(const char *dir, const char *name)
{
    static const char *const files[] = { ".", "..", "lock", "token", "lost+found" };

    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (strcmp(name, files[i]) == 0)
            return true;
    return (strcmp(name, "d1") == 0 || strcmp(name, "tmp") == 0) && is_empty_dir(dir, name);
}

/* We keep house in a data directory, so it must be ours: new, empty, or with a control database. */
static enum status check_is_ours(const char *dir, struct error *err)
{
    char *control = join(dir, "control.db");
    bool known = access(control, F_OK) == 0;
    DIR *d = known ? NULL : opendir(dir);
    enum status st = STATUS_OK;

    free(control);
    for (struct dirent *e; d && st == STATUS_OK && (e = readdir(d));)
        if (!may_be_ours(dir, e->d_name))
            st = error_set(
                err, STATUS_INVALID, 0,
                "%s is not a data directory of Dione, and not empty (it holds %s): choose another with --data", dir,
                e->d_name);
    if (d)
        (void)closedir(d); /* was only read */
    return st;
}

static enum status make_dirs(const char *dir, struct error *err)
{
    char *d1 = join(dir, "d1"), *tmp = join(dir, "tmp");
    enum status st = check_is_ours(dir, err);

    if (st == STATUS_OK)
        st = make_dir(dir, err);
    if (st == STATUS_OK)
        st = make_dir(d1, err);
    if (st == STATUS_OK)
        st = make_dir(tmp, err);
    free(d1);
    free(tmp);
    return st;
}

/* Two processes on one directory would each believe to be the only writer. */
static enum status lock_dir(struct store *s, struct error *err)
{
    char *path = join(s->dir, "lock");

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    enum status st = STATUS_OK;
    if (s->lock_fd < 0)
        st = error_errno(err, errno, "cannot write in the data directory %s", s->dir);
    else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        st = error_set(err, STATUS_BUSY, errno, "the data directory %s is in use by another dione process", s->dir);
    free(path);
    return st;
}

/* ---- the control database ---- */

static const char control_schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS databases(uuid TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL,"
    " profile INTEGER NOT NULL, region TEXT NOT NULL, jurisdiction TEXT NOT NULL, replication TEXT NOT NULL);"
    "INSERT OR IGNORE INTO meta VALUES('format', 1);";

/* Before anything is written: a later version's directory stays as it is. A new one has no table yet. */
static enum status check_format(struct store *s, struct error *err)
{
    int64_t known = 0, format = FORMAT_VERSION;
    enum status st = sql_exec_i64(s->control, "SELECT count(*) FROM sqlite_schema WHERE name='meta'", &known, err);

    if (st == STATUS_OK && known)
        st = sql_exec_i64(s->control, "SELECT value FROM meta WHERE key='format'", &format, err);
    if (st == STATUS_OK && format != FORMAT_VERSION)
        return error_set(err, STATUS_INVALID, 0,
                         "the data directory %s has format %lld; this version of dione knows format %d only", s->dir,
                         (long long)format, FORMAT_VERSION);
    return st;
}

static enum status open_control(struct store *s, struct error *err)
{
    char *path = join(s->dir, "control.db");
    struct sql_conn_options opt = { .path = path, .role = SQL_INTERNAL, .cache_kib = 256, .keep_wal = s->opt.brief };
    enum status st = sql_conn_open(&opt, &s->control, err);

    free(path);
    if (st == STATUS_OK)
        st = check_format(s, err);
    if (st == STATUS_OK)
        st = sql_exec(s->control, control_schema, err);
    if (st == STATUS_OK)
        return STATUS_OK;
    return error_prefix(err, "cannot open the control database in %s", s->dir);
}

enum status store_control(struct store *s, enum status (*fn)(sqlite3 *db, void *arg, struct error *err), void *arg,
                          struct error *err)
{
    pthread_mutex_lock(&s->control_lock);
    enum status st = sql_txn(s->control, SQL_BEGIN_IMMEDIATE, err);
    if (st == STATUS_OK) {
        st = fn(sql_conn_handle(s->control), arg, err);
        if (st == STATUS_OK)
            st = sql_txn(s->control, SQL_COMMIT, err);
        if (st != STATUS_OK && sql_conn_in_transaction(s->control))
            IGNORE_RESULT(sql_txn(s->control, SQL_ROLLBACK, NULL)); /* the first error is the one to report */
    }
    pthread_mutex_unlock(&s->control_lock);
    return st;
}

/* ---- housekeeping on the loops ---- */

static void on_sweep(uv_timer_t *timer)
{
    struct loop_state *ls = timer->data;

    if (ls->sweeps++ % (1000 / SWEEP_MS) == 0)
        loop_readers_sweep(ls, (int64_t)uv_now(&ls->loop->uv));
    if (ls->loop->index == 0)
        writer_sweep(ls->store, clock_mono_ns() / 1000000);
}

struct sweep_msg {
    struct loop_msg msg;
    struct loop_state *ls;
};

static void deliver_sweep(struct loop_msg *msg)
{
    struct sweep_msg *m = CONTAINER_OF(msg, struct sweep_msg, msg);

    uv_timer_init(&m->ls->loop->uv, &m->ls->release);
    m->ls->release.data = m->ls;
    uv_timer_init(&m->ls->loop->uv, &m->ls->sweep);
    m->ls->sweep.data = m->ls;
    uv_timer_start(&m->ls->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    free(m);
}

static void start_sweeps(struct store *s)
{
    for (int i = 0; i < s->opt.n_loops; i++) {
        struct sweep_msg *m = calloc(1, sizeof(*m));
        if (!m)
            abort();
        s->loops[i].store = s;
        s->loops[i].loop = &s->opt.loops[i];
        m->ls = &s->loops[i];
        m->msg.deliver = deliver_sweep;
        loop_post(&s->opt.loops[i], &m->msg);
    }
}

struct sweep_stop {
    struct loop_msg msg;
    struct loop_state *ls;
    uv_sem_t stopped;
};

static void deliver_stop(struct loop_msg *msg)
{
    struct sweep_stop *m = CONTAINER_OF(msg, struct sweep_stop, msg);

    uv_timer_stop(&m->ls->sweep);
    uv_sem_post(&m->stopped); /* m is gone now */
}

/* The first loop's sweep submits jobs to the pools, so it ends before they do. */
static void stop_sweep(struct store *s)
{
    struct sweep_stop m = { .msg.deliver = deliver_stop, .ls = &s->loops[0] };

    uv_sem_init(&m.stopped, 0);
    loop_post(m.ls->loop, &m.msg);
    uv_sem_wait(&m.stopped);
    uv_sem_destroy(&m.stopped);
}

/* ---- life ---- */

const char *store_dir(const struct store *s)
{
    return s->dir;
}

size_t store_max_result_bytes(const struct store *s)
{
    return s->opt.max_result_bytes;
}

struct pool *store_job_pool(struct store *s)
{
    return s->job_pool;
}

/* Big sorts spill to files; they belong with the data, whose disk was chosen for it. */
static void place_temporary_files(struct store *s)
{
    char *tmp = join(s->dir, "tmp");

    if (!sqlite3_temp_directory)
        sqlite3_temp_directory = sqlite3_mprintf("%s", tmp);
    free(tmp);
}

enum status store_open(const struct store_options *opt, struct store **ret, struct error *err)
{
    struct store *s = calloc(1, sizeof(*s));

    if (!s || !(s->loops = calloc((size_t)opt->n_loops, sizeof(*s->loops))))
        abort();
    s->opt = *opt;
    s->lock_fd = -1;
    s->dir = strdup(opt->dir);
    pthread_rwlock_init(&s->catalog_lock, NULL);
    pthread_mutex_init(&s->control_lock, NULL);
    pthread_mutex_init(&s->open_lock, NULL);
    pthread_mutex_init(&s->create_lock, NULL);
    enum status st = make_dirs(s->dir, err);
    if (st == STATUS_OK)
        st = lock_dir(s, err);
    if (st == STATUS_OK) {
        place_temporary_files(s);
        st = open_control(s, err);
    }
    if (st == STATUS_OK)
        st = catalog_load(s, err);
    if (st == STATUS_OK)
        st = catalog_settle(s, err);
    if (st != STATUS_OK) {
        store_close(s);
        return st;
    }
    s->write_pool = pool_new(&(struct pool_options){ .name = "write", .max_threads = WRITE_THREADS });
    s->read_pool = pool_new(
        &(struct pool_options){ .name = "slow-read", .max_threads = READ_THREADS, .nice = SLOW_READ_NICE });
    s->job_pool = pool_new(&(struct pool_options){ .name = "job", .max_threads = JOB_THREADS, .nice = SLOW_READ_NICE });
    start_sweeps(s);
    *ret = s;
    return STATUS_OK;
}

void store_drain(struct store *s)
{
    stop_sweep(s);
    /* Jobs may pass work on to their own lane and to those below, never to those above. So a lane is there until it is empty. */
    pool_free(s->job_pool);
    pool_free(s->read_pool);
    pool_free(s->write_pool);
    s->job_pool = s->read_pool = s->write_pool = NULL;
}

void store_collect(struct store *s)
{
    for (int i = 0; i < s->opt.n_loops; i++)
        for (struct loop_reader *lr = s->loops[i].newest; lr; lr = lr->older)
            database_collect(lr->db, lr->conn);
    for (struct database *db = s->open; db; db = db->next_open)
        if (db->writer)
            database_collect(db, db->writer);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    s->opt.on_stats = NULL;
    for (int i = 0; i < s->opt.n_loops; i++)
        while (s->loops[i].newest)
            loop_reader_close(&s->loops[i], s->loops[i].newest);
    while (s->open) {
        struct database *db = s->open;
        s->open = db->next_open;
        database_close_writer(db);
        if (db->state == WRITER_HELD)
            database_unref(db); /* the drainer's: a transaction that was left open has ended with the writer */
        database_unref(db);
    }
    catalog_free(s);
    sql_conn_close(s->control);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd); /* gives up the lock */
    pthread_rwlock_destroy(&s->catalog_lock);
    pthread_mutex_destroy(&s->control_lock);
    pthread_mutex_destroy(&s->open_lock);
    pthread_mutex_destroy(&s->create_lock);
    free(s->loops);
    free(s->dir);
    free(s);
}
