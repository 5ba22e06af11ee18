/* run.c - preparing, binding and running statements, and D1's meta of each. */
#include "sql/internal.h"

#include "base/clock.h"
#include "sql/split.h"

#include <stdlib.h>

/* ---- preparing ---- */

static size_t skip_space(struct slice text, size_t at)
{
    while (at < text.len && text.ptr[at] && strchr(" \t\n\r\v\f", text.ptr[at]))
        at++;
    return at;
}

static struct sql_stmt *stmt_new(struct sql_conn *c, sqlite3_stmt *handle, struct slice text, size_t consumed)
{
    struct sql_stmt *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->text = malloc(consumed + 1);
    if (!s->text) {
        free(s);
        return NULL;
    }
    memcpy(s->text, text.ptr, consumed);
    s->len = consumed;
    s->consumed = consumed;
    s->handle = handle;
    s->n_params = sqlite3_bind_parameter_count(handle);
    s->flags = c->prepare_flags | (sqlite3_stmt_readonly(handle) ? 0 : SQL_STMT_WRITES);
    if (stmt_describe(s))
        return s;
    s->handle = NULL; /* stays the caller's */
    stmt_free(s);
    return NULL;
}

/* A switch takes effect when it is prepared, so a prepared one does nothing. */
static bool may_cache(const struct sql_conn *c, const struct sql_stmt *s)
{
    return c->max_cached > 0 && !(s->flags & SQL_STMT_SETS_STATE);
}

/*
 * The limit is meant for a statement, but SQLite applies it to all the text that it is given. Of a text beyond the
 * limit it gets the first statement only; if that is too long, it says so.
 */
static struct slice first_if_long(struct sql_conn *c, struct slice text)
{
    int limit = sqlite3_limit(c->db, SQLITE_LIMIT_SQL_LENGTH, -1);

    if (text.len <= (size_t)limit)
        return text;
    struct split split;
    struct split_statement first;
    size_t fed = (size_t)limit + 1;

    split_init(&split);
    char *room = split_room(&split, fed);
    if (room) {
        memcpy(room, text.ptr, fed);
        split_fed(&split, fed);
        if (split_next(&split, &first, NULL) == SPLIT_STATEMENT)
            text.len = (size_t)first.offset + first.text.len;
    }
    split_release(&split);
    return text;
}

enum status sql_prepare(struct sql_conn *c, struct slice text, struct sql_stmt **ret_stmt, size_t *ret_consumed,
                        struct error *err)
{
    struct sql_stmt *s = cache_get(c, text);
    sqlite3_stmt *handle = NULL;
    const char *tail;

    c->wants_writer = false;
    if (s) {
        s->in_use = true;
        *ret_stmt = s;
        *ret_consumed = s->consumed;
        return STATUS_OK;
    }
    if (text.len > INT32_MAX)
        return error_set(err, STATUS_SQL, SQLITE_TOOBIG, "statement too long: SQLITE_TOOBIG");
    struct slice given = first_if_long(c, text);
    c->now_ns = 0;
    c->prepare_flags = 0;
    c->transaction_refused = false;
    unsigned persist = c->max_cached > 0 ? SQLITE_PREPARE_PERSISTENT : 0;
    int rc = sqlite3_prepare_v3(c->db, given.ptr, (int)given.len, persist, &handle, &tail);
    if (rc != SQLITE_OK)
        return sql_error(c, rc, err);
    size_t consumed = skip_space(text, (size_t)(tail - text.ptr));
    /* SQLite stops at a NUL. */
    if (consumed < text.len && !text.ptr[consumed]) {
        sqlite3_finalize(handle);
        return error_set(err, STATUS_SQL, 0, "SQL code did not contain a statement.");
    }
    if (!handle) {
        *ret_stmt = NULL;
        *ret_consumed = consumed;
        return STATUS_OK;
    }
    s = stmt_new(c, handle, text, consumed);
    if (!s) {
        sqlite3_finalize(handle);
        return error_set(err, STATUS_NOMEM, 0, "out of memory: SQLITE_NOMEM");
    }
    s->in_use = true;
    if (consumed == text.len && may_cache(c, s) && !sql_cache_find(c, text))
        cache_put(c, s);
    *ret_stmt = s;
    *ret_consumed = consumed;
    return STATUS_OK;
}

/* A statement out of a longer text: its own text may be cached, or become so. False: s is gone. */
static bool cache_late(struct sql_conn *c, struct sql_stmt *s)
{
    struct sql_stmt *same = sql_cache_find(c, slice_of(s->text, s->len));

    if (!same && may_cache(c, s)) {
        cache_put(c, s);
        return true;
    }
    if (same) {
        same->stats.count += s->stats.count;
        same->stats.duration_ns += s->stats.duration_ns;
        same->stats.rows_read += s->stats.rows_read;
        same->stats.rows_written += s->stats.rows_written;
        same->stats.rows_returned += s->stats.rows_returned;
    }
    stmt_free(s);
    return false;
}

void sql_stmt_done(struct sql_conn *c, struct sql_stmt *s)
{
    if (!s)
        return;
    s->in_use = false;
    if (!s->cached && !cache_late(c, s))
        return;
    sqlite3_reset(s->handle); /* repeats the error that sql_run has reported */
    sqlite3_clear_bindings(s->handle);
}

unsigned sql_stmt_flags(const struct sql_stmt *s)
{
    return s->flags;
}

int sql_stmt_n_params(const struct sql_stmt *s)
{
    return s->n_params;
}

struct slice sql_stmt_text(const struct sql_stmt *s)
{
    return slice_of(s->text, s->len);
}

unsigned char *sql_stmt_slow(struct sql_stmt *s)
{
    return &s->slow;
}

/* ---- binding ---- */

/* A JSON array stands for bytes; numbers wrap as in a Uint8Array. */
static enum status bind_bytes(struct sql_stmt *s, int at, const struct json *v, int *ret_rc, struct error *err)
{
    unsigned char *bytes = malloc(v->n ? v->n : 1);
    size_t n = 0;

    if (!bytes)
        return error_set(err, STATUS_NOMEM, 0, "out of memory: SQLITE_NOMEM");
    for (const struct json *e = v->child; e; e = e->next) {
        if (e->type != JSON_NUMBER) {
            free(bytes);
            return error_set(err, STATUS_INVALID, 0,
                             "The request is malformed: parameter %d is an array and stands for bytes, so it may hold "
                             "numbers only",
                             at);
        }
        double d = json_double(e);
        bytes[n++] = (d > -9.2e18 && d < 9.2e18) ? (unsigned char)(int64_t)d : 0;
    }
    *ret_rc = sqlite3_bind_blob64(s->handle, at, bytes, n, free);
    return STATUS_OK;
}

/*
 * Numbers bind as REAL, as JavaScript has no other. An integer that a double can't hold keeps its value instead: nothing is
 * rounded on the way in.
 */
static int bind_number(struct sql_stmt *s, int at, const struct json *v)
{
    int64_t i;

    if (json_i64(v, &i)) {
        if (i > 9007199254740992 || i < -9007199254740992)
            return sqlite3_bind_int64(s->handle, at, i);
        return sqlite3_bind_double(s->handle, at, (double)i);
    }
    return sqlite3_bind_double(s->handle, at, json_double(v));
}

static enum status bind_one(struct sql_conn *c, struct sql_stmt *s, int at, const struct json *v, struct error *err)
{
    int rc = SQLITE_OK;

    switch (v->type) {
    case JSON_NULL:
        rc = sqlite3_bind_null(s->handle, at);
        break;
    case JSON_FALSE:
    case JSON_TRUE:
        rc = sqlite3_bind_double(s->handle, at, v->type == JSON_TRUE ? 1.0 : 0.0);
        break;
    case JSON_NUMBER:
        rc = bind_number(s, at, v);
        break;
    case JSON_STRING:
        rc = sqlite3_bind_text64(s->handle, at, v->text.ptr, v->text.len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case JSON_ARRAY: {
        enum status st = bind_bytes(s, at, v, &rc, err);
        if (st != STATUS_OK)
            return st;
        break;
    }
    case JSON_OBJECT:
        return error_set(err, STATUS_INVALID, 0,
                         "The request is malformed: parameter %d is an object; parameters are strings, numbers, "
                         "booleans, null or arrays of bytes",
                         at);
    }
    return rc == SQLITE_OK ? STATUS_OK : sql_error(c, rc, err);
}

static enum status bind_all(struct sql_conn *c, struct sql_stmt *s, const struct json *params, size_t n,
                            struct error *err)
{
    enum status st = STATUS_OK;

    if (n != (size_t)s->n_params)
        return error_set(err, STATUS_SQL, 0, "Wrong number of parameter bindings for SQL query.");
    for (int at = 1; st == STATUS_OK && at <= s->n_params; at++, params = params->next)
        st = bind_one(c, s, at, params, err);
    return st;
}

/* ---- running ---- */

/* The connection's counters before a statement, to tell what the statement did. */
struct before {
    int64_t started_ns, changes, last_row_id, size;
};

static int64_t size_in_use(struct sql_conn *c)
{
    int64_t bytes;

    return sql_conn_size(c, &bytes, NULL) == STATUS_OK ? bytes : 0;
}

static struct before look_before(struct sql_conn *c, bool shared)
{
    struct before b = { .started_ns = conn_now_ns(c) };

    if (!shared) {
        b.changes = sqlite3_total_changes64(c->db);
        b.last_row_id = sqlite3_last_insert_rowid(c->db);
        b.size = c->size >= 0 ? c->size : size_in_use(c);
    }
    c->size = -1;
    return b;
}

static void fill_meta(struct sql_conn *c, struct sql_stmt *s, const struct before *b,
                      const struct sql_shared_state *shared, struct sql_meta *m)
{
    dione_stmt_rows(s->handle, &m->rows_read, &m->rows_written, 1);
    c->now_ns = clock_mono_ns();
    m->duration_ns = c->now_ns - b->started_ns;
    if (shared) {
        m->last_row_id = shared->last_row_id;
        m->size_after = shared->size_bytes;
        return;
    }
    m->changes = sqlite3_total_changes64(c->db) - b->changes;
    m->last_row_id = sqlite3_last_insert_rowid(c->db);
    m->size_after = size_in_use(c);
    if (sql_conn_in_transaction(c))
        c->size = m->size_after; /* nothing else can change it before the next statement */
    m->changed_db = m->changes != 0 || m->last_row_id != b->last_row_id || m->size_after != b->size;
}

#define APPEND_LIT(out, text) buf_append((out), "" text, sizeof(text) - 1)

static void render_meta(struct buf *out, const struct sql_meta *m)
{
    char ms[32];
    size_t at, n;

    APPEND_LIT(out, "\"meta\":{\"served_by\":\"dione\",\"served_by_region\":\"LOCAL\",\"served_by_colo\":\"LOC\","
                    "\"served_by_primary\":true,\"timings\":{\"sql_duration_ms\":");
    at = out->len;
    json_write_ms(out, m->duration_ns);
    n = out->len - at;
    memcpy(ms, out->ptr + at, n);
    APPEND_LIT(out, "},\"duration\":");
    buf_append(out, ms, n);
    APPEND_LIT(out, ",\"changes\":");
    json_write_i64(out, m->changes);
    APPEND_LIT(out, ",\"last_row_id\":");
    json_write_i64(out, m->last_row_id);
    if (m->changed_db)
        APPEND_LIT(out, ",\"changed_db\":true,\"size_after\":");
    else
        APPEND_LIT(out, ",\"changed_db\":false,\"size_after\":");
    json_write_i64(out, m->size_after);
    APPEND_LIT(out, ",\"rows_read\":");
    json_write_u64(out, m->rows_read);
    APPEND_LIT(out, ",\"rows_written\":");
    json_write_u64(out, m->rows_written);
    APPEND_LIT(out, ",\"total_attempts\":1}");
}

/* The first step. A statement that was prepared under an older schema re-prepares itself in it, and its columns may be
 * others. */
static enum status first_step(struct sql_stmt *s, int *ret_rc, struct error *err)
{
    *ret_rc = sqlite3_step(s->handle);
    if (sqlite3_stmt_status(s->handle, SQLITE_STMTSTATUS_REPREPARE, 1) && !stmt_describe(s))
        return error_set(err, STATUS_NOMEM, 0, "out of memory: SQLITE_NOMEM");
    return STATUS_OK;
}

static void open_rows(struct sql_stmt *s, enum sql_format format, struct buf *out)
{
    if (format == SQL_OBJECTS) {
        buf_append_char(out, '[');
        return;
    }
    APPEND_LIT(out, "{\"columns\":[");
    buf_append_slice(out, buf_slice(&s->columns));
    APPEND_LIT(out, "],\"rows\":[");
}

static enum status too_big(const struct buf *out, struct error *err)
{
    return error_set(err, STATUS_TOOBIG, 0,
                     "The result is larger than %zu MiB; read it in parts with LIMIT, or export the database",
                     out->limit >> 20);
}

enum status sql_rewrite_meta(struct buf *out, const struct sql_meta *m, struct error *err)
{
    out->len = m->at;
    render_meta(out, m);
    buf_append_char(out, '}');
    return out->overflowed ? too_big(out, err) : STATUS_OK;
}

static enum status render_rows(struct sql_conn *c, struct sql_stmt *s, enum sql_format format, struct buf *out,
                               uint64_t *ret_rows, struct error *err)
{
    uint64_t n = 0;
    int rc;
    enum status st = first_step(s, &rc, err);

    if (st != STATUS_OK)
        return st;
    open_rows(s, format, out);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(s->handle)) {
        if (n++)
            buf_append_char(out, ',');
        render_row(out, s, format);
        if (out->overflowed)
            return too_big(out, err);
    }
    if (rc != SQLITE_DONE)
        return sql_error(c, rc, err);
    *ret_rows = n;
    return STATUS_OK;
}

enum status sql_run(struct sql_conn *c, struct sql_stmt *s, const struct json *params, size_t n, enum sql_format format,
                    const struct sql_shared_state *shared, struct buf *out, struct sql_meta *ret_meta,
                    struct error *err)
{
    size_t start = out->len;
    struct before before = look_before(c, shared != NULL);
    struct sql_meta meta = { 0 };
    enum status st = bind_all(c, s, params, n, err);

    if (st == STATUS_OK) {
        APPEND_LIT(out, "{\"results\":");
        st = render_rows(c, s, format, out, &meta.rows_returned, err);
    }
    if (st != STATUS_OK) {
        dione_stmt_rows(s->handle, NULL, NULL, 1);
        out->len = start;
        out->overflowed = false;
        return st;
    }
    if (format == SQL_ARRAYS)
        APPEND_LIT(out, "]},\"success\":true,");
    else
        APPEND_LIT(out, "],\"success\":true,");
    /* The end of the statement, not of its rows, is what others may see. */
    sqlite3_reset(s->handle);
    fill_meta(c, s, &before, shared, &meta);
    meta.at = out->len;
    render_meta(out, &meta);
    buf_append_char(out, '}');
    if (out->overflowed) {
        out->len = start;
        out->overflowed = false;
        return too_big(out, err);
    }
    s->stats.count++;
    s->stats.duration_ns += (uint64_t)meta.duration_ns;
    s->stats.rows_read += meta.rows_read;
    s->stats.rows_written += meta.rows_written;
    s->stats.rows_returned += meta.rows_returned;
    *ret_meta = meta;
    return STATUS_OK;
}
