/* namespaces.c - which namespaces there are: rows in control.db, and the same in memory for look-ups. */
#include "kv/internal.h"

#include "base/clock.h"
#include "base/digest.h"
#include "store/control_sql.h"

#include <stdio.h>
#include <stdlib.h>

static const struct store_kind kind_kv = { .folder = "kv", .schema = kv_table_schema };

/* ---- one namespace ---- */

static struct kv_namespace *namespace_new(struct kv *kv, const struct kv_namespace_info *info, struct database *db)
{
    struct kv_namespace *ns = calloc(1, sizeof(*ns));

    if (!ns)
        abort();
    ns->kv = kv;
    ns->refs = 1;
    ns->db = db;
    ns->info = *info;
    ns->min_ttl_s = info->min_ttl_s;
    ns->next_expiry_ms = EXPIRY_UNKNOWN;
    return ns;
}

struct kv_namespace *kv_namespace_ref(struct kv_namespace *ns)
{
    atomic_fetch_add_explicit(&ns->refs, 1, memory_order_relaxed);
    return ns;
}

void kv_namespace_unref(struct kv_namespace *ns)
{
    if (!ns || atomic_fetch_sub_explicit(&ns->refs, 1, memory_order_acq_rel) > 1)
        return;
    database_unref(ns->db);
    free(ns);
}

const char *kv_namespace_id(const struct kv_namespace *ns)
{
    return ns->info.id; /* never changes */
}

struct database *kv_namespace_database(struct kv_namespace *ns)
{
    return ns->db;
}

int kv_namespace_min_ttl_s(const struct kv_namespace *ns)
{
    return atomic_load_explicit(&ns->min_ttl_s, memory_order_relaxed);
}

void kv_namespace_info(const struct kv_namespace *ns, struct kv_namespace_info *ret)
{
    pthread_rwlock_rdlock(&ns->kv->lock);
    *ret = ns->info;
    pthread_rwlock_unlock(&ns->kv->lock);
    ret->min_ttl_s = kv_namespace_min_ttl_s(ns);
}

/* ---- in memory ---- */

static void add_locked(struct kv *kv, struct kv_namespace *ns)
{
    struct kv_namespace **link = &kv->first;

    ns->space = ++kv->spaces;
    HASH_ADD_KEYPTR(by_id, kv->by_id, ns->info.id, KV_ID_LEN, ns);
    HASH_ADD_KEYPTR(by_title, kv->by_title, ns->info.title, strlen(ns->info.title), ns);
    while (*link)
        link = &(*link)->next;
    *link = ns;
    kv->n++;
}

static void remove_locked(struct kv *kv, struct kv_namespace *ns)
{
    struct kv_namespace **link = &kv->first;

    HASH_DELETE(by_id, kv->by_id, ns);
    HASH_DELETE(by_title, kv->by_title, ns);
    while (*link != ns)
        link = &(*link)->next;
    *link = ns->next;
    kv->n--;
}

struct kv_namespace *kv_find(struct kv *kv, struct slice id)
{
    struct kv_namespace *ns = NULL;

    if (id.len != KV_ID_LEN)
        return NULL;
    pthread_rwlock_rdlock(&kv->lock);
    HASH_FIND(by_id, kv->by_id, id.ptr, id.len, ns);
    if (ns)
        kv_namespace_ref(ns);
    pthread_rwlock_unlock(&kv->lock);
    return ns;
}

/* Most requests of a loop are for the namespace of the one before: no lock, no count that all loops share. */
struct kv_namespace *kv_find_on_loop(struct kv *kv, int loop_index, struct slice id)
{
    struct last_found *last = &kv->last_found[loop_index];
    uint64_t generation = atomic_load_explicit(&kv->generation, memory_order_acquire);

    if (last->ns && last->generation == generation && slice_eq(slice_of(last->ns->info.id, KV_ID_LEN), id))
        return last->ns;
    kv_namespace_unref(last->ns);
    last->ns = kv_find(kv, id);
    last->generation = generation;
    return last->ns;
}

/* ---- lists ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct kv_namespace_info *)a)->id, ((const struct kv_namespace_info *)b)->id);
}

static int by_title(const void *a, const void *b)
{
    return strcmp(((const struct kv_namespace_info *)a)->title, ((const struct kv_namespace_info *)b)->title);
}

static void turn_round(struct kv_namespace_info *list, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        struct kv_namespace_info swap = list[i];
        list[i] = list[n - 1 - i];
        list[n - 1 - i] = swap;
    }
}

/* All of them, so that they can be sorted. */
static struct kv_namespace_info *copy_all(struct kv *kv, const char *only_id, size_t *ret_n)
{
    size_t n = 0;

    pthread_rwlock_rdlock(&kv->lock);
    struct kv_namespace_info *list = calloc(kv->n + 1, sizeof(*list));
    for (struct kv_namespace *ns = kv->first; list && ns; ns = ns->next) {
        if (only_id && strcmp(ns->info.id, only_id) != 0)
            continue;
        list[n] = ns->info;
        list[n++].min_ttl_s = kv_namespace_min_ttl_s(ns);
    }
    pthread_rwlock_unlock(&kv->lock);
    *ret_n = n;
    return list;
}

enum status kv_list_namespaces(struct kv *kv, const struct kv_list_options *opt, struct kv_namespace_info **ret,
                               size_t *ret_n, size_t *ret_total, struct error *err)
{
    size_t total;
    struct kv_namespace_info *list = copy_all(kv, opt->only_id, &total);

    if (!list)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    if (opt->order != KV_BY_AGE)
        qsort(list, total, sizeof(*list), opt->order == KV_BY_ID ? by_id : by_title);
    if (opt->descending)
        turn_round(list, total);
    size_t from = opt->offset < total ? opt->offset : total;
    size_t n = total - from < opt->limit ? total - from : opt->limit;
    memmove(list, list + from, n * sizeof(*list));
    *ret = list;
    *ret_n = n;
    *ret_total = total;
    return STATUS_OK;
}

/* ---- rows ---- */

static enum status make_table(sqlite3 *db, void *arg UNUSED, struct error *err)
{
    return control_exec(db,
                        "CREATE TABLE IF NOT EXISTS namespaces(id TEXT PRIMARY KEY, title TEXT NOT NULL UNIQUE,"
                        " created_ms INTEGER NOT NULL, min_ttl_s INTEGER NOT NULL)",
                        err);
}

static enum status load_rows(sqlite3 *db, void *arg, struct error *err)
{
    struct kv *kv = arg;
    CLEANUP(control_finish) sqlite3_stmt *row = NULL;
    bool has_row = true;
    enum status st = control_prepare(
        db, "SELECT id, title, created_ms, min_ttl_s FROM namespaces ORDER BY created_ms, rowid", &row, err);

    while (st == STATUS_OK && (st = control_step(row, &has_row, err)) == STATUS_OK && has_row) {
        struct kv_namespace_info info = { .created_ms = sqlite3_column_int64(row, 2),
                                          .min_ttl_s = sqlite3_column_int(row, 3) };
        struct database_info of = { .created_ms = info.created_ms, .profile = SQL_OWN };
        control_column_text(row, 0, info.id, sizeof(info.id));
        control_column_text(row, 1, info.title, sizeof(info.title));
        snprintf(of.uuid, sizeof(of.uuid), "%s", info.id);
        snprintf(of.name, sizeof(of.name), "KV namespace %s", info.id);
        add_locked(kv, namespace_new(kv, &info, store_known(kv->store, &kind_kv, &of)));
    }
    return st;
}

static enum status insert_row(sqlite3 *db, void *arg, struct error *err)
{
    const struct kv_namespace_info *info = arg;
    CLEANUP(control_finish) sqlite3_stmt *stmt = NULL;
    enum status st = control_prepare(db, "INSERT INTO namespaces VALUES(?,?,?,?)", &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(info->id));
    control_bind_slice(stmt, 2, slice_cstr(info->title));
    sqlite3_bind_int64(stmt, 3, info->created_ms);
    sqlite3_bind_int(stmt, 4, info->min_ttl_s);
    return control_run(stmt, err);
}

static enum status update_row(sqlite3 *db, void *arg, struct error *err)
{
    const struct kv_namespace_info *info = arg;
    CLEANUP(control_finish) sqlite3_stmt *stmt = NULL;
    enum status st = control_prepare(db, "UPDATE namespaces SET title=?, min_ttl_s=? WHERE id=?", &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(info->title));
    sqlite3_bind_int(stmt, 2, info->min_ttl_s);
    control_bind_slice(stmt, 3, slice_cstr(info->id));
    return control_run(stmt, err);
}

static enum status delete_row(sqlite3 *db, void *arg, struct error *err)
{
    const struct kv_namespace_info *info = arg;
    CLEANUP(control_finish) sqlite3_stmt *stmt = NULL;
    enum status st = control_prepare(db, "DELETE FROM namespaces WHERE id=?", &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(info->id));
    return control_run(stmt, err);
}

/* ---- making, changing, removing ---- */

static enum status check_info(const struct kv_namespace_info *info, struct error *err)
{
    if (!info->title[0])
        return error_set(err, STATUS_INVALID, 0, "The request is malformed: title must not be empty");
    if (info->min_ttl_s < 1 || info->min_ttl_s > KV_TTL_MIN_S)
        return error_set(err, STATUS_INVALID, 0,
                         "The request is malformed: minimum_ttl must be a whole number of seconds from 1 to %d",
                         KV_TTL_MIN_S);
    return STATUS_OK;
}

/* By whoever holds change_lock, so that the answer stays true. */
static enum status reserve_title(struct kv *kv, const char *title, const struct kv_namespace *but, struct error *err)
{
    struct kv_namespace *other = NULL;

    pthread_rwlock_rdlock(&kv->lock);
    HASH_FIND(by_title, kv->by_title, title, strlen(title), other);
    pthread_rwlock_unlock(&kv->lock);
    if (other && other != but)
        return error_set(err, STATUS_KVTITLE, 0, "a namespace with this account ID and title already exists");
    return STATUS_OK;
}

static enum status reserve_id(struct kv *kv, const char *id, struct error *err)
{
    struct kv_namespace *other = kv_find(kv, slice_cstr(id));

    kv_namespace_unref(other);
    return other ? error_set(err, STATUS_EXISTS, 0, "a namespace with the id %s already exists", id) : STATUS_OK;
}

static enum status create_alone(struct kv *kv, struct kv_namespace_info *info, struct error *err)
{
    struct database_info of = { .created_ms = info->created_ms, .profile = SQL_OWN };
    struct database *db;
    enum status st = reserve_title(kv, info->title, NULL, err);

    if (st == STATUS_OK)
        st = reserve_id(kv, info->id, err);
    snprintf(of.uuid, sizeof(of.uuid), "%s", info->id);
    snprintf(of.name, sizeof(of.name), "KV namespace %s", info->id);
    if (st == STATUS_OK)
        st = store_make(kv->store, &kind_kv, &of, insert_row, info, &db, err);
    if (st != STATUS_OK)
        return st;
    struct kv_namespace *ns = namespace_new(kv, info, db);
    pthread_rwlock_wrlock(&kv->lock);
    add_locked(kv, ns);
    pthread_rwlock_unlock(&kv->lock);
    return STATUS_OK;
}

enum status kv_create(struct kv *kv, struct kv_namespace_info *info, struct error *err)
{
    unsigned char id[KV_ID_LEN / 2];
    enum status st = check_info(info, err);

    if (st != STATUS_OK)
        return st;
    if (!info->id[0]) {
        random_bytes(id, sizeof(id));
        hex_encode(id, sizeof(id), info->id);
    }
    info->created_ms = clock_wall_ms();
    pthread_mutex_lock(&kv->change_lock);
    st = create_alone(kv, info, err);
    pthread_mutex_unlock(&kv->change_lock);
    return st;
}

static void set_info(struct kv *kv, struct kv_namespace *ns, const struct kv_namespace_info *info)
{
    pthread_rwlock_wrlock(&kv->lock);
    HASH_DELETE(by_title, kv->by_title, ns);
    memcpy(ns->info.title, info->title, sizeof(ns->info.title));
    HASH_ADD_KEYPTR(by_title, kv->by_title, ns->info.title, strlen(ns->info.title), ns);
    pthread_rwlock_unlock(&kv->lock);
    atomic_store(&ns->min_ttl_s, info->min_ttl_s);
}

enum status kv_update(struct kv *kv, struct kv_namespace *ns, const struct kv_namespace_info *info, struct error *err)
{
    struct kv_namespace_info changed = *info;
    enum status st = check_info(info, err);

    if (st != STATUS_OK)
        return st;
    memcpy(changed.id, ns->info.id, sizeof(changed.id));
    pthread_mutex_lock(&kv->change_lock);
    struct kv_namespace *still = kv_find(kv, slice_cstr(ns->info.id));
    if (!still)
        st = error_set(err, STATUS_KVNONAMESPACE, 0, "namespace not found");
    else
        st = reserve_title(kv, changed.title, ns, err);
    if (st == STATUS_OK)
        st = store_control(kv->store, update_row, &changed, err);
    if (st == STATUS_OK)
        set_info(kv, ns, &changed);
    pthread_mutex_unlock(&kv->change_lock);
    kv_namespace_unref(still);
    return st;
}

static enum status forget(void *arg, struct error *err)
{
    struct kv_namespace *ns = arg;
    struct kv *kv = ns->kv;
    enum status st = store_control(kv->store, delete_row, &ns->info, err);

    if (st != STATUS_OK)
        return st;
    pthread_rwlock_wrlock(&kv->lock);
    remove_locked(kv, ns);
    atomic_fetch_add(&kv->generation, 1);
    pthread_rwlock_unlock(&kv->lock);
    return STATUS_OK;
}

enum status kv_delete(struct kv *kv, struct kv_namespace *ns, struct error *err)
{
    pthread_mutex_lock(&kv->change_lock);
    enum status st = store_remove(ns->db, forget, ns, err);
    pthread_mutex_unlock(&kv->change_lock);
    if (st == STATUS_OK)
        kv_namespace_unref(ns); /* the catalog's */
    return st;
}

/* ---- life ---- */

static bool is_listed(void *arg, struct slice id)
{
    struct kv_namespace *ns = kv_find(arg, id);

    kv_namespace_unref(ns);
    return ns != NULL;
}

enum status kv_open(struct store *s, int n_loops, size_t map_bytes, struct kv **ret, struct error *err)
{
    struct kv *kv = calloc(1, sizeof(*kv));

    if (!kv || !(kv->last_found = calloc((size_t)n_loops, sizeof(*kv->last_found))))
        abort();
    kv->store = s;
    kv->n_loops = n_loops;
    kv->map = kv_map_new(map_bytes);
    pthread_mutex_init(&kv->change_lock, NULL);
    pthread_rwlock_init(&kv->lock, NULL);
    enum status st = store_control(s, make_table, NULL, err);
    if (st == STATUS_OK)
        st = store_control(s, load_rows, kv, err);
    if (st == STATUS_OK)
        st = store_settle(s, &kind_kv, is_listed, kv, err);
    if (st != STATUS_OK) {
        kv_close(kv);
        return st;
    }
    *ret = kv;
    return STATUS_OK;
}

void kv_close(struct kv *kv)
{
    if (!kv)
        return;
    for (int i = 0; i < kv->n_loops; i++)
        kv_namespace_unref(kv->last_found[i].ns);
    free(kv->last_found);
    HASH_CLEAR(by_id, kv->by_id);
    HASH_CLEAR(by_title, kv->by_title);
    while (kv->first) {
        struct kv_namespace *ns = kv->first;
        kv->first = ns->next;
        kv_namespace_unref(ns);
    }
    kv_map_free(kv->map);
    free(kv->sweeper);
    pthread_mutex_destroy(&kv->change_lock);
    pthread_rwlock_destroy(&kv->lock);
    free(kv);
}

struct kv_map *kv_map_of(struct kv *kv)
{
    return kv->map;
}
