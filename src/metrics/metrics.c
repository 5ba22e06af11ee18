/*
 * metrics.c - see metrics.h: recording and writing. What is written is asked for in questions.c.
 *
 * Texts are rows of their day, so that a day's bound and its end touch nothing else; an hour of a text is 0 to 23, and 24 stands
 * for the whole day once its hours were added up.
 */
#include "metrics/internal.h"

#include "base/clock.h"
#include "store/control_sql.h"

#include <stdlib.h>
#include <xxhash.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS usage_hours(database TEXT NOT NULL, hour INTEGER NOT NULL, "
    "read_queries INTEGER NOT NULL, write_queries INTEGER NOT NULL, rows_read INTEGER NOT NULL, "
    "rows_written INTEGER NOT NULL, PRIMARY KEY(database, hour)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS query_texts(id INTEGER PRIMARY KEY, database TEXT NOT NULL, day INTEGER NOT NULL, "
    "hash INTEGER NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE INDEX IF NOT EXISTS query_texts_by_hash ON query_texts(database, day, hash);"
    "CREATE TABLE IF NOT EXISTS query_hours(text INTEGER NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL, "
    "duration_ns INTEGER NOT NULL, rows_read INTEGER NOT NULL, rows_written INTEGER NOT NULL, "
    "rows_returned INTEGER NOT NULL, PRIMARY KEY(text, hour)) STRICT, WITHOUT ROWID;";

/* ---- opening and recording ---- */

static enum status make_tables(sqlite3 *db, void *arg, struct error *err)
{
    (void)arg; /* store_control's */
    return control_exec(db, schema, err);
}

enum status metrics_open(struct store *s, struct metrics **ret, struct error *err)
{
    struct metrics *m = calloc(1, sizeof(*m));

    if (!m)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    m->store = s;
    pthread_mutex_init(&m->flush, NULL);
    pthread_mutex_init(&m->lock, NULL);
    enum status st = store_control(s, make_tables, NULL, err);
    if (st != STATUS_OK)
        metrics_close(m);
    else
        *ret = m;
    return st;
}

void metrics_close(struct metrics *m)
{
    if (!m)
        return;
    pending_clear(&m->pending);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->flush);
    free(m);
}

void metrics_record(struct metrics *m, const struct database *db, struct slice text, const struct sql_stmt_stats *stats,
                    bool is_write)
{
    int64_t hour = clock_wall_ms() / HOUR_MS;

    pthread_mutex_lock(&m->lock);
    pending_record(&m->pending, database_uuid(db), hour, text, stats, is_write);
    pthread_mutex_unlock(&m->lock);
}

/* ---- writing ---- */

struct statements {
    sqlite3_stmt *add_hour, *find_text, *count_texts, *add_text, *add_text_hour;
};

static void statements_finish(struct statements *s)
{
    sqlite3_finalize(s->add_hour);
    sqlite3_finalize(s->find_text);
    sqlite3_finalize(s->count_texts);
    sqlite3_finalize(s->add_text);
    sqlite3_finalize(s->add_text_hour);
}

static enum status statements_prepare(sqlite3 *db, struct statements *s, struct error *err)
{
    const struct {
        sqlite3_stmt **stmt;
        const char *sql;
    } rows[] = {
        { &s->add_hour, "INSERT INTO usage_hours VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET "
                        "read_queries = read_queries + ?3, write_queries = write_queries + ?4, "
                        "rows_read = rows_read + ?5, rows_written = rows_written + ?6" },
        { &s->find_text, "SELECT id FROM query_texts WHERE database = ?1 AND day = ?2 AND hash = ?3 AND text = ?4" },
        { &s->count_texts, "SELECT count(*) FROM query_texts WHERE database = ?1 AND day = ?2" },
        { &s->add_text, "INSERT INTO query_texts(database, day, hash, text) VALUES(?1, ?2, ?3, ?4)" },
        { &s->add_text_hour, "INSERT INTO query_hours VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET "
                             "count = count + ?3, duration_ns = duration_ns + ?4, rows_read = rows_read + ?5, "
                             "rows_written = rows_written + ?6, rows_returned = rows_returned + ?7" },
    };
    enum status st = STATUS_OK;

    for (size_t i = 0; i < ARRAY_LEN(rows) && st == STATUS_OK; i++)
        st = control_prepare(db, rows[i].sql, rows[i].stmt, err);
    return st;
}

/* One database and hour on its way to the tables. */
struct hour_write {
    sqlite3 *db;
    struct statements *s;
    const struct pending_hour *hour;
    int64_t n_texts; /* of the database's day; -1: not counted yet */
};

static void bind_u64(sqlite3_stmt *stmt, int param, uint64_t v)
{
    sqlite3_bind_int64(stmt, param, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

static void bind_day(sqlite3_stmt *stmt, const struct hour_write *w)
{
    control_bind_slice(stmt, 1, slice_cstr(w->hour->key.uuid));
    sqlite3_bind_int64(stmt, 2, w->hour->key.hour / 24);
}

/* The first column of the only row; *ret_found says whether there was one. */
static enum status read_number(sqlite3_stmt *stmt, bool *ret_found, int64_t *ret, struct error *err)
{
    enum status st = control_step(stmt, ret_found, err);

    if (st == STATUS_OK && *ret_found)
        *ret = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return st;
}

static enum status is_day_full(struct hour_write *w, bool *ret, struct error *err)
{
    enum status st = STATUS_OK;
    bool found;

    if (w->n_texts < 0) {
        bind_day(w->s->count_texts, w);
        st = read_number(w->s->count_texts, &found, &w->n_texts, err);
    }
    *ret = w->n_texts >= METRICS_TEXTS_PER_DAY;
    return st;
}

/* The text's id, made when there is room for one more or `must`; 0: no room. */
static enum status text_id(struct hour_write *w, struct slice text, bool must, int64_t *ret, struct error *err)
{
    int64_t hash = (int64_t)XXH3_64bits(text.ptr, text.len);
    bool found, full = false;

    bind_day(w->s->find_text, w);
    sqlite3_bind_int64(w->s->find_text, 3, hash);
    control_bind_slice(w->s->find_text, 4, text);
    enum status st = read_number(w->s->find_text, &found, ret, err);
    if (st != STATUS_OK || found)
        return st;
    st = is_day_full(w, &full, err);
    *ret = 0;
    if (st != STATUS_OK || (full && !must))
        return st;
    bind_day(w->s->add_text, w);
    sqlite3_bind_int64(w->s->add_text, 3, hash);
    control_bind_slice(w->s->add_text, 4, text);
    st = control_run(w->s->add_text, err);
    *ret = sqlite3_last_insert_rowid(w->db);
    w->n_texts++;
    return st;
}

static enum status write_text_hour(struct hour_write *w, int64_t id, const struct sql_stmt_stats *stats,
                                   struct error *err)
{
    sqlite3_stmt *stmt = w->s->add_text_hour;

    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, w->hour->key.hour % 24);
    bind_u64(stmt, 3, stats->count);
    bind_u64(stmt, 4, stats->duration_ns);
    bind_u64(stmt, 5, stats->rows_read);
    bind_u64(stmt, 6, stats->rows_written);
    bind_u64(stmt, 7, stats->rows_returned);
    return control_run(stmt, err);
}

static enum status write_texts(struct hour_write *w, struct error *err)
{
    struct sql_stmt_stats other = w->hour->other;
    enum status st = STATUS_OK;
    int64_t id;

    for (const struct pending_text *t = w->hour->texts; t && st == STATUS_OK; t = t->hh.next) {
        st = text_id(w, slice_of(t->text, t->len), false, &id, err);
        if (st == STATUS_OK && id)
            st = write_text_hour(w, id, &t->stats, err);
        else
            stats_add(&other, &t->stats);
    }
    if (st != STATUS_OK || other.count == 0)
        return st;
    st = text_id(w, METRICS_OTHER, true, &id, err);
    return st == STATUS_OK ? write_text_hour(w, id, &other, err) : st;
}

static enum status write_hour(struct hour_write *w, struct error *err)
{
    sqlite3_stmt *stmt = w->s->add_hour;

    control_bind_slice(stmt, 1, slice_cstr(w->hour->key.uuid));
    sqlite3_bind_int64(stmt, 2, w->hour->key.hour);
    bind_u64(stmt, 3, w->hour->read_queries);
    bind_u64(stmt, 4, w->hour->write_queries);
    bind_u64(stmt, 5, w->hour->rows_read);
    bind_u64(stmt, 6, w->hour->rows_written);
    enum status st = control_run(stmt, err);
    return st == STATUS_OK ? write_texts(w, err) : st;
}

/* Once a day: drops what is too old, and adds up the hours of days that are two days back. */
static enum status tidy(sqlite3 *db, int64_t today, struct error *err)
{
    static const char sql[] =
        "DELETE FROM usage_hours WHERE hour < (%1$lld) * 24;"
        "DELETE FROM query_hours WHERE text IN (SELECT id FROM query_texts WHERE day < %1$lld);"
        "DELETE FROM query_texts WHERE day < %1$lld;"
        "INSERT INTO query_hours SELECT h.text, 24, sum(h.count), sum(h.duration_ns), sum(h.rows_read), "
        "sum(h.rows_written), sum(h.rows_returned) FROM query_hours h JOIN query_texts t ON t.id = h.text "
        "WHERE t.day <= %2$lld AND h.hour < 24 GROUP BY h.text ON CONFLICT DO UPDATE SET "
        "count = count + excluded.count, duration_ns = duration_ns + excluded.duration_ns, "
        "rows_read = rows_read + excluded.rows_read, rows_written = rows_written + excluded.rows_written, "
        "rows_returned = rows_returned + excluded.rows_returned;"
        "DELETE FROM query_hours WHERE hour < 24 AND text IN (SELECT id FROM query_texts WHERE day <= %2$lld);";
    char text[sizeof(sql) + 5 * 20];

    snprintf(text, sizeof(text), sql, (long long)(today - METRICS_DAYS), (long long)(today - METRICS_HOURLY_DAYS));
    return control_exec(db, text, err);
}

struct flush {
    struct pending *pending;
    int64_t today;
    bool tidy;
};

static enum status write_pending(sqlite3 *db, void *arg, struct error *err)
{
    const struct flush *f = arg;
    struct statements s CLEANUP(statements_finish) = { 0 };
    enum status st = statements_prepare(db, &s, err);

    for (const struct pending_hour *h = f->pending->hours; h && st == STATUS_OK; h = h->hh.next)
        st = write_hour(&(struct hour_write){ .db = db, .s = &s, .hour = h, .n_texts = -1 }, err);
    if (st == STATUS_OK && f->tidy)
        st = tidy(db, f->today, err);
    return st;
}

static enum status flush_locked(struct metrics *m, int64_t now_ms, struct error *err)
{
    struct pending taken;
    struct flush f = { .pending = &taken, .today = now_ms / HOUR_MS / 24 };

    pthread_mutex_lock(&m->lock);
    taken = m->pending;
    m->pending = (struct pending){ 0 };
    pthread_mutex_unlock(&m->lock);
    f.tidy = m->tidied_day != f.today;
    if (!taken.hours && !f.tidy)
        return STATUS_OK;
    enum status st = store_control(m->store, write_pending, &f, err);
    if (st == STATUS_OK) {
        m->tidied_day = f.today;
        pending_clear(&taken);
        return STATUS_OK;
    }
    pthread_mutex_lock(&m->lock);
    pending_merge(&m->pending, &taken);
    pthread_mutex_unlock(&m->lock);
    return st;
}

enum status metrics_flush(struct metrics *m, struct error *err)
{
    pthread_mutex_lock(&m->flush);
    enum status st = flush_locked(m, clock_wall_ms(), err);
    pthread_mutex_unlock(&m->flush);
    return st;
}

static enum status delete_database(sqlite3 *db, void *arg, struct error *err)
{
    static const char *const sql[] = {
        "DELETE FROM usage_hours WHERE database = ?1",
        "DELETE FROM query_hours WHERE text IN (SELECT id FROM query_texts WHERE database = ?1)",
        "DELETE FROM query_texts WHERE database = ?1",
    };

    for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
        sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
        enum status st = control_prepare(db, sql[i], &stmt, err);
        if (st != STATUS_OK)
            return st;
        control_bind_slice(stmt, 1, slice_cstr(arg));
        st = control_run(stmt, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

enum status metrics_forget(struct metrics *m, const char *uuid, struct error *err)
{
    char key[UUID_LEN + 1];

    snprintf(key, sizeof(key), "%s", uuid);
    pthread_mutex_lock(&m->flush); /* so that no flush that is under way brings it back */
    pthread_mutex_lock(&m->lock);
    pending_forget(&m->pending, key);
    pthread_mutex_unlock(&m->lock);
    enum status st = store_control(m->store, delete_database, key, err);
    pthread_mutex_unlock(&m->flush);
    return st;
}
