/* catalog.c - see catalog.h. Each function is one turn on the control database. */
#include "workers/catalog.h"

#include "base/clock.h"
#include "base/digest.h"
#include "store/control_sql.h"

#include <assert.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS workers(name TEXT PRIMARY KEY, tag TEXT NOT NULL, created_ms INTEGER NOT NULL,"
    " modified_ms INTEGER NOT NULL, last_number INTEGER NOT NULL DEFAULT 0, host_enabled INTEGER NOT NULL DEFAULT 1,"
    " previews_enabled INTEGER NOT NULL DEFAULT 0, settings TEXT NOT NULL DEFAULT '{}') WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS worker_versions(id TEXT PRIMARY KEY, worker TEXT NOT NULL, number INTEGER NOT NULL,"
    " source TEXT NOT NULL, created_ms INTEGER NOT NULL, document TEXT NOT NULL, UNIQUE(worker, number));"
    "CREATE TABLE IF NOT EXISTS worker_deployments(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, worker TEXT NOT"
    " NULL, version TEXT NOT NULL, source TEXT NOT NULL, annotations TEXT NOT NULL, created_ms INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS worker_deployments_of ON worker_deployments(worker, seq);"
    "CREATE TABLE IF NOT EXISTS worker_routes(pattern TEXT PRIMARY KEY, id TEXT NOT NULL, worker TEXT NOT NULL,"
    " zone TEXT NOT NULL, is_domain INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS worker_crons(worker TEXT NOT NULL, cron TEXT NOT NULL, position INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, PRIMARY KEY(worker, cron)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS worker_account(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;";

static enum status create_tables(sqlite3 *db, void *arg UNUSED, struct error *err)
{
    return control_exec(db, schema, err);
}

enum status catalog_open(struct store *s, struct error *err)
{
    return store_control(s, create_tables, NULL, err);
}

/* ---- statements in a line ---- */

#define STMT sqlite3_stmt *stmt CLEANUP(control_finish) = NULL

static enum status prepare_for(sqlite3 *db, const char *sql, struct slice first, sqlite3_stmt **ret, struct error *err)
{
    enum status st = control_prepare(db, sql, ret, err);

    if (st == STATUS_OK && first.ptr)
        control_bind_slice(*ret, 1, first);
    return st;
}

/* A statement with one text parameter and no rows. */
static enum status run_with(sqlite3 *db, const char *sql, struct slice first, struct error *err)
{
    STMT;
    enum status st = prepare_for(db, sql, first, &stmt, err);

    return st == STATUS_OK ? control_run(stmt, err) : st;
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, 0, "out of memory");
}

static enum status no_worker(struct slice name, struct error *err)
{
    return error_set(err, STATUS_WORKER, 0, "This Worker does not exist on your account: %.*s", SLICE_FMT(name));
}

static bool column_copy(sqlite3_stmt *stmt, int column, struct arena *a, struct slice *ret)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    *ret = arena_copy(a, slice_of(text ? text : "", (size_t)sqlite3_column_bytes(stmt, column)));
    return ret->ptr != NULL;
}

/* ---- rows that come as a list ---- */

struct row_list {
    struct arena *a;
    size_t row_bytes, n, cap;
    char *rows;
};

static void *list_add(struct row_list *l)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        char *bigger = arena_zalloc(l->a, cap * l->row_bytes);
        if (!bigger)
            return NULL;
        if (l->n)
            memcpy(bigger, l->rows, l->n * l->row_bytes);
        l->rows = bigger;
        l->cap = cap;
    }
    return l->rows + l->row_bytes * l->n++;
}

/* Every row of stmt goes through `take` into a new element. */
static enum status collect(sqlite3_stmt *stmt, struct row_list *l,
                           enum status (*take)(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err),
                           struct error *err)
{
    bool has_row;
    enum status st;

    while ((st = control_step(stmt, &has_row, err)) == STATUS_OK && has_row) {
        void *row = list_add(l);
        st = row ? take(stmt, l->a, row, err) : no_memory(err);
        if (st != STATUS_OK)
            return st;
    }
    return st;
}

static enum status query(sqlite3 *db, const char *sql, struct slice first, struct row_list *l,
                         enum status (*take)(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err),
                         struct error *err)
{
    STMT;
    enum status st = prepare_for(db, sql, first, &stmt, err);

    return st == STATUS_OK ? collect(stmt, l, take, err) : st;
}

static enum status take_text(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err)
{
    return column_copy(stmt, 0, a, row) ? STATUS_OK : no_memory(err);
}

static enum status take_version(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err)
{
    struct version *v = row;
    struct slice text;
    struct json *document;

    if (!column_copy(stmt, 0, a, &v->id) || !column_copy(stmt, 2, a, &v->source) || !column_copy(stmt, 4, a, &text))
        return no_memory(err);
    v->number = sqlite3_column_int64(stmt, 1);
    v->created_ms = sqlite3_column_int64(stmt, 3);
    if (json_parse(text, JSON_STRICT, a, &document, err) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, 0, "the document of the version %.*s is damaged", SLICE_FMT(v->id));
    v->document = document;
    return STATUS_OK;
}

static enum status take_deployment(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err)
{
    struct deployment *d = row;

    d->created_ms = sqlite3_column_int64(stmt, 4);
    return column_copy(stmt, 0, a, &d->id) && column_copy(stmt, 1, a, &d->version_id) &&
                   column_copy(stmt, 2, a, &d->source) && column_copy(stmt, 3, a, &d->annotations)
               ? STATUS_OK
               : no_memory(err);
}

static enum status take_route(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err)
{
    struct route *r = row;

    r->is_domain = sqlite3_column_int(stmt, 4);
    return column_copy(stmt, 0, a, &r->id) && column_copy(stmt, 1, a, &r->worker) &&
                   column_copy(stmt, 2, a, &r->pattern) && column_copy(stmt, 3, a, &r->zone)
               ? STATUS_OK
               : no_memory(err);
}

static enum status take_cron(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err)
{
    struct cron_row *c = row;

    c->created_ms = sqlite3_column_int64(stmt, 1);
    c->modified_ms = sqlite3_column_int64(stmt, 2);
    return column_copy(stmt, 0, a, &c->cron) ? STATUS_OK : no_memory(err);
}

/* ---- reading ---- */

struct find {
    struct slice name;
    struct arena *a;
    struct worker *ret;
};

static enum status load_head(sqlite3 *db, struct find *f, struct worker *w, struct error *err)
{
    STMT;
    struct slice settings;
    struct json *parsed;
    bool has_row = false;
    enum status st = prepare_for(db,
                                 "SELECT name, tag, created_ms, modified_ms, host_enabled, previews_enabled, settings"
                                 " FROM workers WHERE name = ?1",
                                 f->name, &stmt, err);

    if (st == STATUS_OK)
        st = control_step(stmt, &has_row, err);
    if (st != STATUS_OK)
        return st;
    if (!has_row)
        return no_worker(f->name, err);
    w->created_ms = sqlite3_column_int64(stmt, 2);
    w->modified_ms = sqlite3_column_int64(stmt, 3);
    w->host_enabled = sqlite3_column_int(stmt, 4);
    w->previews_enabled = sqlite3_column_int(stmt, 5);
    if (!column_copy(stmt, 0, f->a, &w->name) || !column_copy(stmt, 1, f->a, &w->tag) ||
        !column_copy(stmt, 6, f->a, &settings))
        return no_memory(err);
    if (json_parse(settings, JSON_STRICT, f->a, &parsed, err) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, 0, "the settings of the Worker %.*s are damaged", SLICE_FMT(w->name));
    w->settings = parsed;
    return STATUS_OK;
}

static enum status load_history(sqlite3 *db, struct arena *a, struct worker *w, struct error *err)
{
    struct row_list versions = { .a = a, .row_bytes = sizeof(struct version) };
    struct row_list deployments = { .a = a, .row_bytes = sizeof(struct deployment) };
    enum status st = query(db,
                           "SELECT id, number, source, created_ms, document FROM worker_versions WHERE worker = ?1"
                           " ORDER BY number DESC",
                           w->name, &versions, take_version, err);

    if (st == STATUS_OK)
        st = query(db,
                   "SELECT id, version, source, annotations, created_ms FROM worker_deployments WHERE worker = ?1"
                   " ORDER BY seq DESC",
                   w->name, &deployments, take_deployment, err);
    w->versions = (struct version *)versions.rows;
    w->n_versions = versions.n;
    w->deployments = (struct deployment *)deployments.rows;
    w->n_deployments = deployments.n;
    return st;
}

static enum status load_triggers(sqlite3 *db, struct arena *a, struct worker *w, struct error *err)
{
    struct row_list routes = { .a = a, .row_bytes = sizeof(struct route) };
    struct row_list crons = { .a = a, .row_bytes = sizeof(struct cron_row) };
    enum status st = query(db,
                           "SELECT id, worker, pattern, zone, is_domain FROM worker_routes WHERE worker = ?1"
                           " ORDER BY pattern",
                           w->name, &routes, take_route, err);

    if (st == STATUS_OK)
        st = query(db, "SELECT cron, created_ms, modified_ms FROM worker_crons WHERE worker = ?1 ORDER BY position",
                   w->name, &crons, take_cron, err);
    w->routes = (struct route *)routes.rows;
    w->n_routes = routes.n;
    w->crons = (struct cron_row *)crons.rows;
    w->n_crons = crons.n;
    return st;
}

static enum status find_worker(sqlite3 *db, void *arg, struct error *err)
{
    struct find *f = arg;
    struct worker *w = ARENA_NEW(f->a, struct worker);
    enum status st = w ? load_head(db, f, w, err) : no_memory(err);

    if (st == STATUS_OK)
        st = load_history(db, f->a, w, err);
    if (st == STATUS_OK)
        st = load_triggers(db, f->a, w, err);
    f->ret = w;
    return st;
}

enum status catalog_find(struct store *s, struct slice name, struct arena *a, struct worker **ret, struct error *err)
{
    struct find f = { .name = name, .a = a };
    enum status st = store_control(s, find_worker, &f, err);

    if (st == STATUS_OK)
        *ret = f.ret;
    return st;
}

/* A list by a fixed query. */
struct listing {
    const char *sql;
    struct slice first;
    struct row_list list;
    enum status (*take)(sqlite3_stmt *stmt, struct arena *a, void *row, struct error *err);
};

static enum status run_listing(sqlite3 *db, void *arg, struct error *err)
{
    struct listing *l = arg;

    return query(db, l->sql, l->first, &l->list, l->take, err);
}

static enum status list_texts(struct store *s, const char *sql, struct slice first, struct arena *a, struct slice **ret,
                              size_t *ret_n, struct error *err)
{
    struct listing l = {
        .sql = sql, .first = first, .list = { .a = a, .row_bytes = sizeof(struct slice) }, .take = take_text
    };
    enum status st = store_control(s, run_listing, &l, err);

    if (st == STATUS_OK) {
        *ret = (struct slice *)l.list.rows;
        *ret_n = l.list.n;
    }
    return st;
}

enum status catalog_names(struct store *s, struct arena *a, struct slice **ret, size_t *ret_n, struct error *err)
{
    return list_texts(s, "SELECT name FROM workers ORDER BY name", SLICE_NONE, a, ret, ret_n, err);
}

enum status catalog_routes(struct store *s, struct arena *a, struct route **ret, size_t *ret_n, struct error *err)
{
    struct listing l = { .sql = "SELECT id, worker, pattern, zone, is_domain FROM worker_routes ORDER BY pattern",
                         .list = { .a = a, .row_bytes = sizeof(struct route) },
                         .take = take_route };
    enum status st = store_control(s, run_listing, &l, err);

    if (st == STATUS_OK) {
        *ret = (struct route *)l.list.rows;
        *ret_n = l.list.n;
    }
    return st;
}

enum status catalog_users_of(struct store *s, struct slice name, struct arena *a, struct slice **ret, size_t *ret_n,
                             struct error *err)
{
    return list_texts(s,
                      "SELECT w.name FROM workers AS w JOIN worker_versions AS v ON v.id = (SELECT version FROM"
                      " worker_deployments WHERE worker = w.name ORDER BY seq DESC LIMIT 1)"
                      " WHERE w.name <> ?1 AND EXISTS (SELECT 1 FROM json_each(v.document, '$.bindings') AS b WHERE"
                      " b.value ->> 'type' = 'service' AND b.value ->> 'service' = ?1) ORDER BY w.name",
                      name, a, ret, ret_n, err);
}

static enum status find_secret(sqlite3 *db, void *arg, struct error *err)
{
    STMT;
    enum status st = control_prepare(db,
                                     "SELECT 1 FROM worker_versions AS v, json_each(v.document, '$.bindings') AS b"
                                     " WHERE b.value ->> 'type' = 'secret_text' LIMIT 1",
                                     &stmt, err);

    return st == STATUS_OK ? control_step(stmt, arg, err) : st;
}

enum status catalog_has_secrets(struct store *s, bool *ret, struct error *err)
{
    return store_control(s, find_secret, ret, err);
}

const struct version *worker_version(const struct worker *w, struct slice id)
{
    for (size_t i = 0; i < w->n_versions; i++)
        if (slice_eq(w->versions[i].id, id))
            return &w->versions[i];
    return NULL;
}

const struct version *worker_active(const struct worker *w)
{
    return w->n_deployments ? worker_version(w, w->deployments[0].version_id) : NULL;
}

const struct version *worker_latest(const struct worker *w)
{
    return w->n_versions ? &w->versions[0] : NULL;
}

/* ---- versions and deployments ---- */

struct new_version {
    struct slice name, id, source, document;
    int64_t now_ms, number;
};

/* The Worker's row, with the next number taken. */
static enum status touch_worker(sqlite3 *db, struct new_version *v, struct error *err)
{
    STMT;
    unsigned char tag[16];
    char hex[33];
    bool has_row = false;
    enum status st = prepare_for(db,
                                 "INSERT INTO workers(name, tag, created_ms, modified_ms, last_number)"
                                 " VALUES(?1, ?2, ?3, ?3, 1) ON CONFLICT(name) DO UPDATE SET"
                                 " modified_ms = ?3, last_number = last_number + 1 RETURNING last_number",
                                 v->name, &stmt, err);

    if (st != STATUS_OK)
        return st;
    random_bytes(tag, sizeof(tag));
    hex_encode(tag, sizeof(tag), hex);
    control_bind_slice(stmt, 2, slice_cstr(hex));
    sqlite3_bind_int64(stmt, 3, v->now_ms);
    st = control_step(stmt, &has_row, err);
    if (st == STATUS_OK)
        v->number = sqlite3_column_int64(stmt, 0);
    return st;
}

static enum status insert_version(sqlite3 *db, void *arg, struct error *err)
{
    struct new_version *v = arg;
    STMT;
    enum status st = touch_worker(db, v, err);

    if (st == STATUS_OK)
        st = prepare_for(db,
                         "INSERT INTO worker_versions(id, worker, number, source, created_ms, document)"
                         " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                         v->id, &stmt, err);
    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 2, v->name);
    sqlite3_bind_int64(stmt, 3, v->number);
    control_bind_slice(stmt, 4, v->source);
    sqlite3_bind_int64(stmt, 5, v->now_ms);
    control_bind_slice(stmt, 6, v->document);
    return control_run(stmt, err);
}

enum status catalog_add_version(struct store *s, struct slice name, struct slice id, struct slice source,
                                struct slice document, int64_t now_ms, int64_t *ret_number, struct error *err)
{
    struct new_version v = { .name = name, .id = id, .source = source, .document = document, .now_ms = now_ms };
    enum status st = store_control(s, insert_version, &v, err);

    if (st == STATUS_OK)
        *ret_number = v.number;
    return st;
}

static enum status drop_version(sqlite3 *db, void *arg, struct error *err)
{
    const struct new_version *v = arg;
    enum status st = run_with(db, "DELETE FROM worker_versions WHERE id = ?1", v->id, err);

    if (st == STATUS_OK)
        st = run_with(db,
                      "DELETE FROM workers WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM worker_versions WHERE worker ="
                      " ?1)",
                      v->name, err);
    return st;
}

enum status catalog_drop_version(struct store *s, struct slice name, struct slice id, struct error *err)
{
    struct new_version v = { .name = name, .id = id };

    return store_control(s, drop_version, &v, err);
}

struct new_deployment {
    struct slice name;
    const struct deployment *d;
};

static enum status insert_deployment(sqlite3 *db, void *arg, struct error *err)
{
    const struct new_deployment *n = arg;
    STMT;
    enum status st = prepare_for(db,
                                 "INSERT INTO worker_deployments(id, worker, version, source, annotations, created_ms)"
                                 " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                                 n->d->id, &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 2, n->name);
    control_bind_slice(stmt, 3, n->d->version_id);
    control_bind_slice(stmt, 4, n->d->source);
    control_bind_slice(stmt, 5, n->d->annotations.ptr ? n->d->annotations : SLICE_LIT("{}"));
    sqlite3_bind_int64(stmt, 6, n->d->created_ms);
    st = control_run(stmt, err);
    if (st == STATUS_OK)
        st = run_with(db,
                      "DELETE FROM worker_deployments WHERE worker = ?1 AND seq <= (SELECT seq FROM worker_deployments"
                      " WHERE worker = ?1 ORDER BY seq DESC LIMIT 1 OFFSET 100)",
                      n->name, err);
    return st;
}
static_assert(CATALOG_DEPLOYMENTS_KEPT == 100, "the statement above says it too");

enum status catalog_deploy(struct store *s, struct slice name, const struct deployment *d, struct error *err)
{
    struct new_deployment n = { .name = name, .d = d };

    return store_control(s, insert_deployment, &n, err);
}

static enum status drop_deployment(sqlite3 *db, void *arg, struct error *err)
{
    const struct slice *id = arg;

    return run_with(db, "DELETE FROM worker_deployments WHERE id = ?1", *id, err);
}

enum status catalog_drop_deployment(struct store *s, struct slice id, struct error *err)
{
    return store_control(s, drop_deployment, &id, err);
}

static const char doomed[] =
    "SELECT id FROM worker_versions WHERE worker = ?1 AND id IS NOT (SELECT version FROM worker_deployments WHERE worker ="
    " ?1 ORDER BY seq DESC LIMIT 1) AND number <= (SELECT number FROM worker_versions WHERE worker = ?1"
    " ORDER BY number DESC LIMIT 1 OFFSET 20)";
static_assert(CATALOG_VERSIONS_KEPT == 20, "the statement above says it too");

static enum status prune(sqlite3 *db, void *arg, struct error *err)
{
    struct listing *l = arg;
    const struct slice *ids;
    enum status st = run_listing(db, l, err);

    ids = (const struct slice *)l->list.rows;
    for (size_t i = 0; st == STATUS_OK && i < l->list.n; i++) {
        st = run_with(db, "DELETE FROM worker_deployments WHERE version = ?1", ids[i], err);
        if (st == STATUS_OK)
            st = run_with(db, "DELETE FROM worker_versions WHERE id = ?1", ids[i], err);
    }
    return st;
}

enum status catalog_prune(struct store *s, struct slice name, struct arena *a, struct slice **ret, size_t *ret_n,
                          struct error *err)
{
    struct listing l = {
        .sql = doomed, .first = name, .list = { .a = a, .row_bytes = sizeof(struct slice) }, .take = take_text
    };
    enum status st = store_control(s, prune, &l, err);

    if (st == STATUS_OK) {
        *ret = (struct slice *)l.list.rows;
        *ret_n = l.list.n;
    }
    return st;
}

enum status catalog_delete(sqlite3 *db, struct slice name, struct error *err)
{
    static const char *const statements[] = {
        "DELETE FROM worker_versions WHERE worker = ?1", "DELETE FROM worker_deployments WHERE worker = ?1",
        "DELETE FROM worker_routes WHERE worker = ?1",   "DELETE FROM worker_crons WHERE worker = ?1",
        "DELETE FROM workers WHERE name = ?1",
    };
    enum status st = STATUS_OK;

    for (size_t i = 0; st == STATUS_OK && i < ARRAY_LEN(statements); i++)
        st = run_with(db, statements[i], name, err);
    return st;
}

/* ---- settings and triggers ---- */

struct setting {
    struct slice name, json;
    bool enabled, previews;
};

/* Of an UPDATE by name. */
static enum status run_on_worker(sqlite3 *db, sqlite3_stmt *stmt, struct slice name, struct error *err)
{
    enum status st = control_run(stmt, err);

    return st == STATUS_OK && sqlite3_changes(db) == 0 ? no_worker(name, err) : st;
}

static enum status update_settings(sqlite3 *db, void *arg, struct error *err)
{
    const struct setting *x = arg;
    STMT;
    enum status st = prepare_for(db, "UPDATE workers SET settings = ?2 WHERE name = ?1", x->name, &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 2, x->json);
    return run_on_worker(db, stmt, x->name, err);
}

enum status catalog_set_settings(struct store *s, struct slice name, struct slice json, struct error *err)
{
    struct setting x = { .name = name, .json = json };

    return store_control(s, update_settings, &x, err);
}

static enum status update_host(sqlite3 *db, void *arg, struct error *err)
{
    const struct setting *x = arg;
    STMT;
    enum status st = prepare_for(db, "UPDATE workers SET host_enabled = ?2, previews_enabled = ?3 WHERE name = ?1",
                                 x->name, &stmt, err);

    if (st != STATUS_OK)
        return st;
    sqlite3_bind_int(stmt, 2, x->enabled);
    sqlite3_bind_int(stmt, 3, x->previews);
    return run_on_worker(db, stmt, x->name, err);
}

enum status catalog_set_host(struct store *s, struct slice name, bool enabled, bool previews, struct error *err)
{
    struct setting x = { .name = name, .enabled = enabled, .previews = previews };

    return store_control(s, update_host, &x, err);
}

struct new_crons {
    struct slice name;
    const struct slice *crons;
    size_t n;
    int64_t now_ms;
};

/* What stays keeps its time of creation. Positions are negative while the new ones come in, which marks the old ones. */
static enum status replace_crons(sqlite3 *db, void *arg, struct error *err)
{
    const struct new_crons *c = arg;
    STMT;
    enum status st = run_with(db, "UPDATE worker_crons SET position = -1 WHERE worker = ?1", c->name, err);

    if (st == STATUS_OK)
        st = prepare_for(db,
                         "INSERT INTO worker_crons(worker, cron, position, created_ms, modified_ms) VALUES(?1, ?2, ?3,"
                         " ?4, ?4) ON CONFLICT DO UPDATE SET position = ?3, modified_ms = ?4",
                         c->name, &stmt, err);
    for (size_t i = 0; st == STATUS_OK && i < c->n; i++) {
        control_bind_slice(stmt, 2, c->crons[i]);
        sqlite3_bind_int64(stmt, 3, (int64_t)i);
        sqlite3_bind_int64(stmt, 4, c->now_ms);
        st = control_run(stmt, err);
    }
    if (st == STATUS_OK)
        st = run_with(db, "DELETE FROM worker_crons WHERE worker = ?1 AND position < 0", c->name, err);
    return st;
}

enum status catalog_set_crons(struct store *s, struct slice name, const struct slice *crons, size_t n,
                              struct error *err)
{
    struct new_crons c = { .name = name, .crons = crons, .n = n, .now_ms = clock_wall_ms() };

    return store_control(s, replace_crons, &c, err);
}

struct new_routes {
    struct slice name;
    bool domains, take_over;
    const struct route *routes;
    size_t n;
};

static enum status check_owner(sqlite3 *db, const struct new_routes *r, struct slice pattern, struct error *err)
{
    STMT;
    bool has_row = false;
    enum status st = prepare_for(db, "SELECT worker FROM worker_routes WHERE pattern = ?1 AND worker <> ?2", pattern,
                                 &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 2, r->name);
    st = control_step(stmt, &has_row, err);
    if (st == STATUS_OK && has_row && !r->take_over)
        return error_set(err, STATUS_ROUTE, 0,
                         "A route with the same pattern already exists: %.*s belongs to the Worker %s",
                         SLICE_FMT(pattern), (const char *)sqlite3_column_text(stmt, 0));
    return st;
}

/* The id depends on the pattern alone, so that it stays the same. */
static enum status insert_route(sqlite3 *db, const struct new_routes *r, const struct route *row, struct error *err)
{
    STMT;
    char id[SHA256_HEX_LEN + 1];
    enum status st = check_owner(db, r, row->pattern, err);

    if (st == STATUS_OK)
        st = prepare_for(db,
                         "INSERT OR REPLACE INTO worker_routes(pattern, id, worker, zone, is_domain)"
                         " VALUES(?1, ?2, ?3, ?4, ?5)",
                         row->pattern, &stmt, err);
    if (st != STATUS_OK)
        return st;
    sha256_hex(row->pattern, id);
    control_bind_slice(stmt, 2, slice_of(id, 32));
    control_bind_slice(stmt, 3, r->name);
    control_bind_slice(stmt, 4, row->zone);
    sqlite3_bind_int(stmt, 5, r->domains);
    return control_run(stmt, err);
}

static enum status replace_routes(sqlite3 *db, void *arg, struct error *err)
{
    const struct new_routes *r = arg;
    enum status st = run_with(db,
                              r->domains ? "DELETE FROM worker_routes WHERE worker = ?1 AND is_domain"
                                         : "DELETE FROM worker_routes WHERE worker = ?1 AND NOT is_domain",
                              r->name, err);

    for (size_t i = 0; st == STATUS_OK && i < r->n; i++)
        st = insert_route(db, r, &r->routes[i], err);
    return st;
}

enum status catalog_set_routes(struct store *s, struct slice name, bool domains, bool take_over,
                               const struct route *routes, size_t n, struct error *err)
{
    struct new_routes r = { .name = name, .domains = domains, .take_over = take_over, .routes = routes, .n = n };

    return store_control(s, replace_routes, &r, err);
}

/* ---- the account ---- */

enum status catalog_subdomain(struct store *s, struct arena *a, struct slice *ret, struct error *err)
{
    struct slice *rows;
    size_t n;
    enum status st = list_texts(s, "SELECT value FROM worker_account WHERE key = ?1", SLICE_LIT("subdomain"), a, &rows,
                                &n, err);

    if (st == STATUS_OK)
        *ret = n ? rows[0] : SLICE_LIT("local");
    return st;
}

static enum status update_subdomain(sqlite3 *db, void *arg, struct error *err)
{
    const struct slice *name = arg;

    return run_with(db, "INSERT OR REPLACE INTO worker_account(key, value) VALUES('subdomain', ?1)", *name, err);
}

enum status catalog_set_subdomain(struct store *s, struct slice name, struct error *err)
{
    return store_control(s, update_subdomain, &name, err);
}
