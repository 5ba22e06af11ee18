/* catalog.c - which D1 databases there are: rows in control.db, and the same in memory for look-ups. */
#include "store/internal.h"

#include "store/control_sql.h"
#include "store/folder.h"

#include <stdio.h>
#include <stdlib.h>

static const struct store_kind kind_d1 = { .folder = "d1", .limited = true };

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
        add_locked(s, database_new(s, &kind_d1, &info));
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

/* Before the row there is only the marked folder; after it the database exists, whatever happens. */
enum status store_make(struct store *s, const struct store_kind *kind, const struct database_info *info,
                       enum status (*add_row)(sqlite3 *db, void *arg, struct error *err), void *arg,
                       struct database **ret, struct error *err)
{
    enum status st = database_folder_make(s, kind, info, err);

    if (st != STATUS_OK)
        return st;
    st = store_control(s, add_row, arg, err);
    if (st != STATUS_OK) {
        database_folder_drop_new(s, kind, info->uuid);
        return st;
    }
    st = database_folder_keep(s, kind, info->uuid, err);
    if (st == STATUS_OK)
        *ret = database_new(s, kind, info);
    return st;
}

static bool is_listed(void *arg, struct slice id)
{
    return find_locked(arg, id) != NULL; /* at the start there is nobody to lock out */
}

enum status catalog_settle(struct store *s, struct error *err)
{
    return store_settle(s, &kind_d1, is_listed, s, err);
}

static enum status reserve(struct store *s, const char *word, const char *what, struct error *err)
{
    struct database *other = store_find(s, slice_cstr(word));

    database_unref(other);
    if (other)
        return error_set(err, STATUS_EXISTS, 0, "A database with the %s '%s' already exists", what, word);
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
    if (!info->uuid[0])
        uuid_new(info->uuid);
    info->created_ms = clock_wall_ms();
    pthread_mutex_lock(&s->create_lock);
    enum status st = reserve(s, info->uuid, "id", err);
    struct database *db = NULL;
    if (st == STATUS_OK)
        st = reserve(s, info->name, "name", err);
    if (st == STATUS_OK)
        st = store_make(s, &kind_d1, info, insert_row, info, &db, err);
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

static enum status forget(void *arg, struct error *err)
{
    struct database *db = arg;
    struct store *s = db->store;
    enum status st = store_control(s, delete_row, db->info.uuid, err);

    if (st != STATUS_OK)
        return st;
    pthread_rwlock_wrlock(&s->catalog_lock);
    remove_locked(s, db);
    pthread_rwlock_unlock(&s->catalog_lock);
    return STATUS_OK;
}

enum status store_delete(struct store *s UNUSED, struct database *db, struct error *err)
{
    enum status st = store_remove(db, forget, db, err);

    if (st == STATUS_OK)
        database_unref(db); /* the catalog's */
    return st;
}

/* ---- removing, of any kind ---- */

struct removal {
    struct database *db;
    enum status (*forget)(void *arg, struct error *err);
    void *arg;
};

static enum status take_out(struct sql_conn *c UNUSED, void *arg, struct error *err)
{
    struct removal *removal = arg;
    struct database *db = removal->db;
    enum status st = database_folder_mark_gone(db->store, db->kind, db->info.uuid, err);

    if (st != STATUS_OK)
        return st;
    st = removal->forget(removal->arg, err);
    if (st != STATUS_OK)
        database_folder_unmark_gone(db->store, db->kind, db->info.uuid);
    else
        atomic_store(&db->deleted, true);
    return st;
}

/*
 * Takes its turn in the queue, so every write that came before is answered. Connections that still read keep the
 * unlinked files open until they close, which the sweep sees to.
 */
enum status store_remove(struct database *db, enum status (*forget_row)(void *arg, struct error *err), void *arg,
                         struct error *err)
{
    struct removal removal = { db, forget_row, arg };

    if (atomic_exchange(&db->going, true))
        return error_set(err, STATUS_NODB, 0, "The database is being deleted");
    enum status st = store_turn(db, take_out, &removal, err);
    if (st == STATUS_OK)
        database_folder_drop_gone(db->store, db->kind, db->info.uuid);
    else
        atomic_store(&db->going, false);
    return st;
}
