/*
 * catalog.c - which databases there are: rows in control.db, and the same in memory for look-ups.
 *
 * A database is made in a folder `.new-<uuid>`, and leaves through one called `.gone-<uuid>`; the row in control.db, written
 * in between, decides. So after a crash each such folder is known to be wanted (it gets its name) or not (it
 * goes), and a row never lacks its file. A folder without row and mark is nobody's business but a person's.
 */
#include "store/internal.h"

#include "base/log.h"
#include "store/control_sql.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_NEW ".new-"
#define MARK_GONE ".gone-"

/* ---- in memory ---- */

static void add_locked(struct store *s, struct database *db)
{
    HASH_ADD_KEYPTR(by_uuid, s->by_uuid, db->info.uuid, UUID_LEN, db);
    HASH_ADD_KEYPTR(by_name, s->by_name, db->info.name, strlen(db->info.name), db);
    *(s->last ? &s->last->next_created : &s->first) = db;
    s->last = db;
    s->n_databases++;
}

static void remove_locked(struct store *s, struct database *db)
{
    struct database **link = &s->first, *before = NULL;

    HASH_DELETE(by_uuid, s->by_uuid, db);
    HASH_DELETE(by_name, s->by_name, db);
    while (*link != db) {
        before = *link;
        link = &before->next_created;
    }
    *link = db->next_created;
    if (s->last == db)
        s->last = before;
    s->n_databases--;
}

static struct database *find_locked(struct store *s, struct slice key)
{
    struct database *db = NULL;

    if (key.len == UUID_LEN)
        HASH_FIND(by_uuid, s->by_uuid, key.ptr, key.len, db);
    if (!db)
        HASH_FIND(by_name, s->by_name, key.ptr, key.len, db);
    return db;
}

struct database *store_find(struct store *s, struct slice id_or_name)
{
    pthread_rwlock_rdlock(&s->catalog_lock);
    struct database *db = find_locked(s, id_or_name);
    if (db)
        database_ref(db);
    pthread_rwlock_unlock(&s->catalog_lock);
    return db;
}

static bool contains_nocase(const char *text, struct slice part)
{
    for (size_t len = strlen(text), i = 0; i + part.len <= len; i++)
        if (slice_eq_nocase(slice_of(text + i, part.len), part))
            return true;
    return false;
}

enum status store_list(struct store *s, struct slice filter, size_t offset, size_t limit, struct database ***ret,
                       size_t *ret_n, size_t *ret_total, struct error *err)
{
    pthread_rwlock_rdlock(&s->catalog_lock);
    size_t total = 0, n = 0, most = limit < s->n_databases ? limit : s->n_databases;
    struct database **list = calloc(most + 1, sizeof(struct database *));
    for (struct database *db = s->first; list && db; db = db->next_created) {
        if (filter.ptr && !contains_nocase(db->info.name, filter))
            continue;
        if (total++ >= offset && n < limit)
            list[n++] = database_ref(db);
    }
    pthread_rwlock_unlock(&s->catalog_lock);
    if (!list)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    *ret = list;
    *ret_n = n;
    *ret_total = total;
    return STATUS_OK;
}

/* ---- rows ---- */

static enum status insert_row(sqlite3 *db, void *arg, struct error *err)
{
    const struct database_info *info = arg;
    CLEANUP(control_finish) sqlite3_stmt *stmt = NULL;
    enum status st = control_prepare(db, "INSERT INTO databases VALUES(?,?,?,?,?,?,?)", &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(info->uuid));
    control_bind_slice(stmt, 2, slice_cstr(info->name));
    sqlite3_bind_int64(stmt, 3, info->created_ms);
    sqlite3_bind_int(stmt, 4, (int)info->profile);
    control_bind_slice(stmt, 5, slice_cstr(info->region));
    control_bind_slice(stmt, 6, slice_cstr(info->jurisdiction));
    control_bind_slice(stmt, 7, slice_cstr(info->replication));
    return control_run(stmt, err);
}

static enum status update_row(sqlite3 *db, void *arg, struct error *err)
{
    const struct database_info *info = arg;
    CLEANUP(control_finish) sqlite3_stmt *stmt = NULL;
    enum status st = control_prepare(db, "UPDATE databases SET profile=?, replication=? WHERE uuid=?", &stmt, err);

    if (st != STATUS_OK)
        return st;
    sqlite3_bind_int(stmt, 1, (int)info->profile);
    control_bind_slice(stmt, 2, slice_cstr(info->replication));
    control_bind_slice(stmt, 3, slice_cstr(info->uuid));
    return control_run(stmt, err);
}

static enum status delete_row(sqlite3 *db, void *arg, struct error *err)
{
    CLEANUP(control_finish) sqlite3_stmt *stmt = NULL;
    enum status st = control_prepare(db, "DELETE FROM databases WHERE uuid=?", &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(arg));
    return control_run(stmt, err);
}

static void read_row(sqlite3_stmt *stmt, struct database_info *ret)
{
    *ret = (struct database_info){ .created_ms = sqlite3_column_int64(stmt, 2),
                                   .profile = sqlite3_column_int(stmt, 3) == SQL_WIDE ? SQL_WIDE : SQL_STRICT };
    control_column_text(stmt, 0, ret->uuid, sizeof(ret->uuid));
    control_column_text(stmt, 1, ret->name, sizeof(ret->name));
    control_column_text(stmt, 4, ret->region, sizeof(ret->region));
    control_column_text(stmt, 5, ret->jurisdiction, sizeof(ret->jurisdiction));
    control_column_text(stmt, 6, ret->replication, sizeof(ret->replication));
}

enum status catalog_load(struct store *s, struct error *err)
{
    CLEANUP(control_finish) sqlite3_stmt *stmt = NULL;
    struct database_info info;
    bool has_row = true;
    enum status st = control_prepare(sql_conn_handle(s->control), "SELECT * FROM databases ORDER BY created_ms, rowid",
                                     &stmt, err);

    while (st == STATUS_OK && (st = control_step(stmt, &has_row, err)) == STATUS_OK && has_row) {
        read_row(stmt, &info);
        add_locked(s, database_new(s, &info));
    }
    return st;
}

void catalog_free(struct store *s)
{
    HASH_CLEAR(by_uuid, s->by_uuid);
    HASH_CLEAR(by_name, s->by_name);
    while (s->first) {
        struct database *db = s->first;
        s->first = db->next_created;
        database_unref(db);
    }
}

/* ---- making ---- */

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > DATABASE_NAME_MAX || name[0] == '.' || name[0] == '-' || uuid_is_valid(slice_cstr(name)))
        return false;
    for (const char *p = name; *p; p++) {
        bool alnum = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!alnum && !strchr("_-.", *p))
            return false;
    }
    return true;
}

static enum status sync_dir(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    enum status st = rc == 0 ? STATUS_OK : error_errno(err, errno, "cannot sync folder %s", path);

    if (fd >= 0)
        (void)close(fd); /* only synced */
    return st;
}

/* d1/<mark><uuid> */
static void marked_path(const struct store *s, const char *mark, const char *uuid, char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%s/d1/%s%s", s->dir, mark, uuid);
}

static enum status rename_dir(const char *from, const char *to, struct error *err)
{
    if (rename(from, to) == 0)
        return STATUS_OK;
    return error_errno(err, errno, "cannot rename folder %s", from);
}

/* Only what we put there; what stays behind is reported. */
static void remove_dir(const char *dir)
{
    static const char *const names[] = { "db.sqlite-wal", "db.sqlite-shm", "db.sqlite-journal", "db.sqlite" };
    char path[PATH_MAX + 32];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            log_line(LOG_WARN, "cannot remove %s: %s; it is no longer needed", path, strerror(errno));
    }
    if (rmdir(dir) != 0 && errno != ENOENT)
        log_line(LOG_WARN, "cannot remove %s: %s; it is no longer needed", dir, strerror(errno));
}

static enum status sync_parent(struct store *s, struct error *err)
{
    char parent[PATH_MAX];

    snprintf(parent, sizeof(parent), "%s/d1", s->dir);
    return sync_dir(parent, err);
}

/* The file as it will stay: WAL mode, one page, synced. */
static enum status make_files(struct store *s, const struct database_info *info, struct error *err)
{
    char dir[PATH_MAX], path[PATH_MAX + 32];
    struct sql_conn *c = NULL;

    marked_path(s, MARK_NEW, info->uuid, dir);
    snprintf(path, sizeof(path), "%s/db.sqlite", dir);
    if (mkdir(dir, 0700) != 0)
        return error_errno(err, errno, "cannot make folder %s", dir);
    struct sql_conn_options opt = { .path = path, .role = SQL_WRITER, .profile = info->profile, .cache_kib = 64 };
    enum status st = sql_conn_open(&opt, &c, err); /* choosing WAL mode writes page 1 */
    sql_conn_close(c);
    if (st == STATUS_OK)
        st = sync_dir(dir, err);
    if (st == STATUS_OK)
        st = sync_parent(s, err);
    return st;
}

/* Before the row there is only the marked folder; after it the database exists, whatever happens. */
static enum status make_database(struct store *s, struct database_info *info, struct database **ret, struct error *err)
{
    char marked[PATH_MAX];
    enum status st = make_files(s, info, err);

    marked_path(s, MARK_NEW, info->uuid, marked);
    if (st == STATUS_OK)
        st = store_control(s, insert_row, info, err);
    if (st != STATUS_OK) {
        remove_dir(marked);
        return st;
    }
    struct database *db = database_new(s, info);
    st = rename_dir(marked, db->dir, err);
    if (st == STATUS_OK) {
        *ret = db;
        return st;
    }
    database_unref(db);
    return st;
}

/* After a crash: see the top. */
static void settle_folder(struct store *s, const char *mark, const char *name)
{
    char marked[PATH_MAX], plain[PATH_MAX];
    const char *uuid = name + strlen(mark);
    struct error err;

    marked_path(s, mark, uuid, marked);
    marked_path(s, "", uuid, plain);
    if (!find_locked(s, slice_cstr(uuid)))
        remove_dir(marked);
    else if (rename_dir(marked, plain, &err) != STATUS_OK)
        log_line(LOG_ERROR, "%s", err.msg);
}

enum status catalog_settle(struct store *s, struct error *err)
{
    char parent[PATH_MAX];

    snprintf(parent, sizeof(parent), "%s/d1", s->dir);
    DIR *dir = opendir(parent);
    if (!dir)
        return error_errno(err, errno, "cannot read folder %s", parent);
    for (struct dirent *e; (e = readdir(dir));) {
        if (slice_starts(slice_cstr(e->d_name), SLICE_LIT(MARK_NEW)))
            settle_folder(s, MARK_NEW, e->d_name);
        else if (slice_starts(slice_cstr(e->d_name), SLICE_LIT(MARK_GONE)))
            settle_folder(s, MARK_GONE, e->d_name);
    }
    (void)closedir(dir); /* was only read */
    return STATUS_OK;
}

static enum status reserve_name(struct store *s, const char *name, struct error *err)
{
    struct database *other = store_find(s, slice_cstr(name));

    database_unref(other);
    if (other)
        return error_set(err, STATUS_EXISTS, 0, "A database with the name '%s' already exists", name);
    return STATUS_OK;
}

enum status store_create(struct store *s, struct database_info *info, struct database **ret, struct error *err)
{
    if (!name_is_valid(info->name))
        return error_set(
            err, STATUS_INVALID, 0,
            "The request is malformed: a database name has 1 to %d letters, digits, '_', '-' or '.', starts "
            "with a letter, a digit or '_', and is no UUID",
            DATABASE_NAME_MAX);
    uuid_new(info->uuid);
    info->created_ms = clock_wall_ms();
    pthread_mutex_lock(&s->create_lock);
    enum status st = reserve_name(s, info->name, err);
    struct database *db = NULL;
    if (st == STATUS_OK)
        st = make_database(s, info, &db, err);
    if (st == STATUS_OK) {
        pthread_rwlock_wrlock(&s->catalog_lock);
        add_locked(s, db);
        database_ref(db);
        pthread_rwlock_unlock(&s->catalog_lock);
        *ret = db;
    }
    pthread_mutex_unlock(&s->create_lock);
    return st;
}

/* ---- changing and removing ---- */

enum status store_update(struct store *s, struct database *db, const struct database_info *info, struct error *err)
{
    struct database_info copy = *info;
    enum status st = store_control(s, update_row, &copy, err);

    if (st != STATUS_OK)
        return st;
    pthread_rwlock_wrlock(&s->catalog_lock);
    db->info.profile = info->profile;
    memcpy(db->info.replication, info->replication, sizeof(db->info.replication));
    pthread_rwlock_unlock(&s->catalog_lock);
    atomic_fetch_add(&db->epoch, 1);
    return STATUS_OK;
}

static enum status take_out(struct sql_conn *c UNUSED, void *arg, struct error *err)
{
    struct database *db = arg;
    struct store *s = db->store;
    char gone[PATH_MAX];

    marked_path(s, MARK_GONE, db->info.uuid, gone);
    enum status st = rename_dir(db->dir, gone, err);
    if (st == STATUS_OK) {
        st = store_control(s, delete_row, db->info.uuid, err);
        if (st != STATUS_OK && rename(gone, db->dir) != 0)
            log_line(LOG_ERROR, "cannot rename %s back: %s; the next start will", gone, strerror(errno));
    }
    if (st != STATUS_OK)
        return st;
    pthread_rwlock_wrlock(&s->catalog_lock);
    remove_locked(s, db);
    pthread_rwlock_unlock(&s->catalog_lock);
    atomic_store(&db->deleted, true);
    return STATUS_OK;
}

/*
 * Takes its turn in the queue, so every write that came before is answered. Connections that still read keep the
 * unlinked files open until they close, which the sweep sees to.
 */
enum status store_delete(struct store *s, struct database *db, struct error *err)
{
    char gone[PATH_MAX];
    enum status st;

    if (atomic_exchange(&db->going, true))
        return error_set(err, STATUS_NODB, 0, "The database is being deleted");
    st = store_turn(db, take_out, db, err);
    if (st != STATUS_OK) {
        atomic_store(&db->going, false);
        return st;
    }
    marked_path(s, MARK_GONE, db->info.uuid, gone);
    remove_dir(gone);
    database_unref(db); /* the catalog's */
    return STATUS_OK;
}
