/* table.c - see table.h. */
#include "kv/table.h"

#include <errno.h>
#include <sqlite3.h>
#include <unistd.h>

enum {
    PART_BYTES = 256 * 1024,
    PARTS_MAX = 256, /* of one value: room between the ids of two */
    SWEEP_BYTES = 16 * 1024 * 1024,
};

/* Columns that lists need come first, so that a list does not read values. */
const char kv_table_schema[] =
    "CREATE TABLE entries(key BLOB PRIMARY KEY, version INTEGER NOT NULL, expires_ms INTEGER, metadata TEXT,"
    " size INTEGER NOT NULL, parts INTEGER, value BLOB) WITHOUT ROWID;"
    "CREATE INDEX entries_by_expiry ON entries(expires_ms) WHERE expires_ms IS NOT NULL;"
    "CREATE TABLE parts(id INTEGER PRIMARY KEY, data BLOB NOT NULL);";

enum slot {
    SLOT_GET,
    SLOT_LOOK,
    SLOT_PUT,
    SLOT_DELETE,
    SLOT_NEW_PARTS,
    SLOT_ADD_PART,
    SLOT_PARTS,
    SLOT_DELETE_PARTS,
    SLOT_SWEPT_PARTS,
    SLOT_SWEEP,
    SLOT_NEXT,
    SLOT_LIST
};

static const char *const texts[] = {
    [SLOT_GET] = "SELECT version, expires_ms, metadata, size, parts, value FROM entries WHERE key = ?1",
    [SLOT_LOOK] = "SELECT version, expires_ms, metadata, size, parts FROM entries WHERE key = ?1",
    [SLOT_PUT] =
        "INSERT INTO entries(key, version, expires_ms, metadata, size, parts, value) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        " ON CONFLICT(key) DO UPDATE SET version = ?2, expires_ms = ?3, metadata = ?4, size = ?5, parts = ?6, value = ?7",
    [SLOT_DELETE] = "DELETE FROM entries WHERE key = ?1",
    [SLOT_NEW_PARTS] = "SELECT coalesce(max(id), 0) / 256 + 1 FROM parts",
    [SLOT_ADD_PART] = "INSERT INTO parts VALUES(?1, ?2)",
    [SLOT_PARTS] = "SELECT data FROM parts WHERE id BETWEEN ?1 * 256 AND ?1 * 256 + 255 ORDER BY id",
    [SLOT_DELETE_PARTS] = "DELETE FROM parts WHERE id BETWEEN ?1 * 256 AND ?1 * 256 + 255",
    [SLOT_SWEPT_PARTS] = "SELECT parts, size FROM entries WHERE expires_ms <= ?1 ORDER BY expires_ms, key LIMIT ?2",
    [SLOT_SWEEP] =
        "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE expires_ms <= ?1 ORDER BY expires_ms, key LIMIT ?2)",
    [SLOT_NEXT] = "SELECT min(expires_ms) FROM entries WHERE expires_ms IS NOT NULL",
    [SLOT_LIST] = "SELECT key, expires_ms, metadata FROM entries WHERE key >= ?1 AND key < ?2"
                  " AND (expires_ms IS NULL OR expires_ms > ?3) ORDER BY key LIMIT ?4",
};

static enum status begin(struct sql_conn *c, enum slot slot, sqlite3_stmt **ret, struct error *err)
{
    return sql_own(c, (int)slot, texts[slot], ret, err);
}

static void bind_blob(sqlite3_stmt *stmt, int param, struct slice s)
{
    sqlite3_bind_blob64(stmt, param, s.ptr ? s.ptr : "", s.len, SQLITE_STATIC);
}

static struct slice column_blob(sqlite3_stmt *stmt, int column)
{
    const void *p = sqlite3_column_blob(stmt, column);

    return p ? slice_of(p, (size_t)sqlite3_column_bytes(stmt, column)) : SLICE_NONE;
}

/* Runs a statement without rows to its end. */
static enum status run(struct sql_conn *c, sqlite3_stmt *stmt, struct error *err)
{
    int rc = sqlite3_step(stmt);
    enum status st = rc == SQLITE_DONE || rc == SQLITE_ROW ? STATUS_OK : sql_error(c, rc, err);

    sql_own_done(stmt);
    return st;
}

/* ---- reading ---- */

static struct kv_value *take_row(sqlite3_stmt *row, bool want_bytes)
{
    bool elsewhere = !want_bytes || sqlite3_column_type(row, 4) != SQLITE_NULL;
    struct kv_value *v = kv_value_copy(elsewhere ? SLICE_NONE : column_blob(row, 5), column_blob(row, 2));

    if (!v)
        return NULL;
    v->version = (uint64_t)sqlite3_column_int64(row, 0);
    v->expires_ms = sqlite3_column_int64(row, 1);
    v->size = (size_t)sqlite3_column_int64(row, 3);
    return v;
}

enum status table_get(struct sql_conn *c, struct slice key, int64_t now_ms, bool want_bytes, struct kv_value **ret,
                      int64_t *ret_parts, struct error *err)
{
    sqlite3_stmt *row;
    struct kv_value *v = NULL;
    int64_t parts = 0;
    enum status st = begin(c, want_bytes ? SLOT_GET : SLOT_LOOK, &row, err);

    if (st != STATUS_OK)
        return st;
    bind_blob(row, 1, key);
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW && !kv_is_expired(sqlite3_column_int64(row, 1), now_ms)) {
        v = take_row(row, want_bytes);
        parts = sqlite3_column_int64(row, 4);
    } else if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        v = kv_value_absent();
    } else {
        st = sql_error(c, rc, err);
    }
    sql_own_done(row);
    if (st == STATUS_OK && !v)
        st = error_set(err, STATUS_NOMEM, 0, "out of memory");
    if (st != STATUS_OK)
        return st;
    *ret = v;
    *ret_parts = parts;
    return STATUS_OK;
}

static enum status write_all(int fd, struct slice bytes, struct error *err)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "cannot write to a temporary file");
        bytes = slice_from(bytes, (size_t)n);
    }
    return STATUS_OK;
}

/* Hands the pieces of a large value to `take`, in order. */
static enum status each_part(struct sql_conn *c, int64_t parts,
                             enum status (*take)(void *arg, struct slice piece, struct error *err), void *arg,
                             struct error *err)
{
    sqlite3_stmt *row;
    int rc = SQLITE_DONE;
    enum status st = begin(c, SLOT_PARTS, &row, err);

    if (st != STATUS_OK)
        return st;
    sqlite3_bind_int64(row, 1, parts);
    while (st == STATUS_OK && (rc = sqlite3_step(row)) == SQLITE_ROW)
        st = take(arg, column_blob(row, 0), err);
    if (st == STATUS_OK && rc != SQLITE_DONE)
        st = sql_error(c, rc, err);
    sql_own_done(row);
    return st;
}

static enum status part_to_file(void *arg, struct slice piece, struct error *err)
{
    return write_all(*(int *)arg, piece, err);
}

enum status table_copy_parts(struct sql_conn *c, int64_t parts, int fd, struct error *err)
{
    return each_part(c, parts, part_to_file, &fd, err);
}

static enum status part_to_memory(void *arg, struct slice piece, struct error *err)
{
    struct slice *room = arg;

    if (piece.len > room->len)
        return error_set(err, STATUS_CORRUPT, 0, "a value is longer than its row says");
    memcpy((char *)room->ptr, piece.ptr, piece.len);
    *room = slice_from(*room, piece.len);
    return STATUS_OK;
}

enum status table_read_parts(struct sql_conn *c, int64_t parts, char *to, size_t len, struct error *err)
{
    struct slice room = slice_of(to, len);
    enum status st = each_part(c, parts, part_to_memory, &room, err);

    if (st == STATUS_OK && room.len)
        st = error_set(err, STATUS_CORRUPT, 0, "a value is shorter than its row says");
    return st;
}

/* ---- large values ---- */

/* Whether there are any; asked once, since nobody else writes. */
static enum status any_parts(struct sql_conn *c, struct kv_parts *parts, bool *ret, struct error *err)
{
    int64_t n = 0;

    if (!parts->known) {
        enum status st = sql_exec_i64(c, "SELECT EXISTS(SELECT 1 FROM parts)", &n, err);
        if (st != STATUS_OK)
            return st;
        parts->known = true;
        parts->any = n != 0;
    }
    *ret = parts->any;
    return STATUS_OK;
}

static enum status delete_parts(struct sql_conn *c, int64_t parts, struct error *err)
{
    sqlite3_stmt *stmt;
    enum status st = parts ? begin(c, SLOT_DELETE_PARTS, &stmt, err) : STATUS_OK;

    if (st != STATUS_OK || !parts)
        return st;
    sqlite3_bind_int64(stmt, 1, parts);
    return run(c, stmt, err);
}

/* Those of what stands under the key now, expired or not. */
static enum status delete_parts_of(struct sql_conn *c, struct slice key, struct error *err)
{
    struct kv_value *old = NULL;
    int64_t parts;
    enum status st = table_get(c, key, 0, false, &old, &parts, err);

    if (st == STATUS_OK)
        st = delete_parts(c, parts, err);
    kv_value_unref(old);
    return st;
}

/* ---- writing ---- */

static enum status new_parts(struct sql_conn *c, int64_t *ret, struct error *err)
{
    sqlite3_stmt *row;
    enum status st = begin(c, SLOT_NEW_PARTS, &row, err);

    if (st != STATUS_OK)
        return st;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(row, 0);
    else
        st = sql_error(c, rc, err);
    sql_own_done(row);
    return st;
}

static enum status add_parts(struct sql_conn *c, struct slice value, int64_t *ret_parts, struct error *err)
{
    sqlite3_stmt *stmt;
    int64_t parts = 0;
    enum status st = new_parts(c, &parts, err);

    if (st == STATUS_OK && value.len > (size_t)PART_BYTES * PARTS_MAX)
        st = error_set(err, STATUS_INTERNAL, 0, "a value of %zu bytes has too many parts", value.len);
    for (int64_t id = parts * PARTS_MAX; st == STATUS_OK && value.len; id++) {
        size_t n = value.len < PART_BYTES ? value.len : PART_BYTES;
        st = begin(c, SLOT_ADD_PART, &stmt, err);
        if (st != STATUS_OK)
            break;
        sqlite3_bind_int64(stmt, 1, id);
        bind_blob(stmt, 2, slice_of(value.ptr, n));
        st = run(c, stmt, err);
        value = slice_from(value, n);
    }
    if (st == STATUS_OK)
        *ret_parts = parts;
    return st;
}

static enum status put_row(struct sql_conn *c, const struct kv_put *put, int64_t parts, struct error *err)
{
    sqlite3_stmt *stmt;
    enum status st = begin(c, SLOT_PUT, &stmt, err);

    if (st != STATUS_OK)
        return st;
    bind_blob(stmt, 1, put->key);
    sqlite3_bind_int64(stmt, 2, (int64_t)put->version);
    if (put->expires_ms)
        sqlite3_bind_int64(stmt, 3, put->expires_ms);
    if (put->metadata.len)
        sqlite3_bind_text64(stmt, 4, put->metadata.ptr, put->metadata.len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(stmt, 5, (int64_t)put->value.len);
    if (parts)
        sqlite3_bind_int64(stmt, 6, parts);
    else
        bind_blob(stmt, 7, put->value);
    return run(c, stmt, err);
}

static enum status put_with_parts(struct sql_conn *c, const struct kv_put *put, struct error *err)
{
    int64_t parts = 0;
    enum status st = delete_parts_of(c, put->key, err);

    if (st == STATUS_OK && put->value.len > KV_SMALL_MAX)
        st = add_parts(c, put->value, &parts, err);
    return st == STATUS_OK ? put_row(c, put, parts, err) : st;
}

static enum status delete_row(struct sql_conn *c, struct slice key, bool *ret_deleted, struct error *err)
{
    sqlite3_stmt *stmt;
    enum status st = begin(c, SLOT_DELETE, &stmt, err);

    if (st != STATUS_OK)
        return st;
    bind_blob(stmt, 1, key);
    st = run(c, stmt, err);
    if (st == STATUS_OK)
        *ret_deleted = sqlite3_changes(sql_conn_handle(c)) > 0;
    return st;
}

/* Several statements become one that fails as a whole. */
static enum status end_savepoint(struct sql_conn *c, enum status st)
{
    if (!sql_conn_in_transaction(c))
        return st; /* SQLite has ended all of it, and the error says so */
    if (st != STATUS_OK)
        IGNORE_RESULT(sql_txn(c, SQL_ROLLBACK_TO, NULL)); /* the savepoint is there */
    IGNORE_RESULT(sql_txn(c, SQL_RELEASE, NULL));         /* the same */
    return st;
}

enum status table_put(struct sql_conn *c, struct kv_parts *parts, const struct kv_put *put, struct error *err)
{
    bool large = put->value.len > KV_SMALL_MAX, any = false;
    enum status st = any_parts(c, parts, &any, err);

    if (st != STATUS_OK)
        return st;
    if (!any && !large)
        return put_row(c, put, 0, err);
    parts->any |= large; /* also when it is undone: it only costs a look */
    st = sql_txn(c, SQL_SAVEPOINT, err);
    return st == STATUS_OK ? end_savepoint(c, put_with_parts(c, put, err)) : st;
}

enum status table_delete(struct sql_conn *c, struct kv_parts *parts, struct slice key, bool *ret_deleted,
                         struct error *err)
{
    bool any = false;
    enum status st = any_parts(c, parts, &any, err);

    if (st != STATUS_OK)
        return st;
    if (!any)
        return delete_row(c, key, ret_deleted, err);
    st = sql_txn(c, SQL_SAVEPOINT, err);
    if (st != STATUS_OK)
        return st;
    st = delete_parts_of(c, key, err);
    if (st == STATUS_OK)
        st = delete_row(c, key, ret_deleted, err);
    return end_savepoint(c, st);
}

/* ---- expiry ---- */

static enum status next_expiry(struct sql_conn *c, int64_t *ret_ms, struct error *err)
{
    sqlite3_stmt *row;
    enum status st = begin(c, SLOT_NEXT, &row, err);

    if (st != STATUS_OK)
        return st;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        *ret_ms = sqlite3_column_int64(row, 0);
    else
        st = sql_error(c, rc, err);
    sql_own_done(row);
    return st;
}

/* Of the first *n keys that the sweep will take, since the index has one order; fewer when they hold much. */
static enum status sweep_parts(struct sql_conn *c, int64_t now_ms, int *n, struct error *err)
{
    sqlite3_stmt *row;
    int rc = SQLITE_DONE, n_looked = 0;
    int64_t left = SWEEP_BYTES;
    enum status st = begin(c, SLOT_SWEPT_PARTS, &row, err);

    if (st != STATUS_OK)
        return st;
    sqlite3_bind_int64(row, 1, now_ms);
    sqlite3_bind_int(row, 2, *n);
    while (st == STATUS_OK && left > 0 && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        int64_t parts = sqlite3_column_int64(row, 0);
        left -= parts ? sqlite3_column_int64(row, 1) : 0;
        st = delete_parts(c, parts, err);
        n_looked++;
    }
    if (st == STATUS_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
        st = sql_error(c, rc, err);
    sql_own_done(row);
    *n = n_looked;
    return st;
}

enum status table_sweep(struct sql_conn *c, struct kv_parts *parts, int64_t now_ms, int n, int *ret_deleted,
                        int64_t *ret_next_ms, struct error *err)
{
    sqlite3_stmt *stmt;
    bool any = false;
    enum status st = any_parts(c, parts, &any, err);

    if (st == STATUS_OK && any)
        st = sweep_parts(c, now_ms, &n, err);
    if (st == STATUS_OK)
        st = begin(c, SLOT_SWEEP, &stmt, err);
    if (st != STATUS_OK)
        return st;
    sqlite3_bind_int64(stmt, 1, now_ms);
    sqlite3_bind_int(stmt, 2, n);
    st = run(c, stmt, err);
    if (st != STATUS_OK)
        return st;
    *ret_deleted = sqlite3_changes(sql_conn_handle(c));
    return next_expiry(c, ret_next_ms, err);
}

/* ---- lists ---- */

enum { BOUND_MAX = 1024 };

/* The least text above everything that begins with prefix. Keys are UTF-8, so no byte 0xFF is in one. */
static struct slice end_of_prefix(struct slice prefix, char room[BOUND_MAX])
{
    size_t n = prefix.len;

    while (n && (unsigned char)prefix.ptr[n - 1] == 0xFF)
        n--;
    if (!n)
        return SLICE_LIT("\xFF");
    memcpy(room, prefix.ptr, n);
    room[n - 1] = (char)((unsigned char)room[n - 1] + 1);
    return slice_of(room, n);
}

static bool is_before(struct slice a, struct slice b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    return order < 0 || (order == 0 && a.len < b.len);
}

/* The least text that is above `after` and not before prefix. */
static struct slice start_of_list(struct slice prefix, struct slice after, char room[BOUND_MAX])
{
    if (!after.ptr || is_before(after, prefix))
        return prefix;
    memcpy(room, after.ptr, after.len);
    room[after.len] = '\0';
    return slice_of(room, after.len + 1);
}

enum status table_list(struct sql_conn *c, struct slice prefix, struct slice after, int limit, int64_t now_ms,
                       void (*fn)(void *arg, const struct kv_listed *key), void *arg, bool *ret_more, struct error *err)
{
    char from_room[BOUND_MAX], to_room[BOUND_MAX];
    sqlite3_stmt *row;
    bool more = false;
    int n = 0, rc;

    if (!prefix.ptr)
        prefix = SLICE_LIT("");
    if (prefix.len >= BOUND_MAX || after.len >= BOUND_MAX)
        return error_set(err, STATUS_INTERNAL, 0, "a list's bounds are too long");
    enum status st = begin(c, SLOT_LIST, &row, err);
    if (st != STATUS_OK)
        return st;
    bind_blob(row, 1, start_of_list(prefix, after, from_room));
    bind_blob(row, 2, end_of_prefix(prefix, to_room));
    sqlite3_bind_int64(row, 3, now_ms);
    sqlite3_bind_int(row, 4, limit + 1);
    while ((rc = sqlite3_step(row)) == SQLITE_ROW && !(more = n == limit)) {
        fn(arg, &(struct kv_listed){ .key = column_blob(row, 0),
                                     .expires_ms = sqlite3_column_int64(row, 1),
                                     .metadata = column_blob(row, 2) });
        n++;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        st = sql_error(c, rc, err);
    sql_own_done(row);
    if (st == STATUS_OK)
        *ret_more = more;
    return st;
}
