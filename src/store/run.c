/* run.c - one request's entries on one connection: the part that reads and writes have in common. */
#include "store/internal.h"

#include "sqlite3.h"

void request_restart(struct sql_request *r)
{
    r->out.len = r->out_start;
    r->out.overflowed = false;
    r->n_results = r->failed_at = 0;
    r->wrote = false;
    r->failed = false;
    r->status = STATUS_OK;
}

void request_fail(struct sql_request *r, enum status st, const char *text)
{
    request_restart(r);
    r->failed = true;
    r->status = error_set(r->err, st, 0, "%s", text);
}

static void deliver_done(struct loop_msg *msg)
{
    struct sql_request *r = CONTAINER_OF(msg, struct sql_request, msg);

    r->done(r);
}

void request_finish(struct sql_request *r)
{
    r->msg.deliver = deliver_done;
    loop_post(r->loop, &r->msg);
}

void request_finish_all(struct sql_request *first)
{
    while (first) {
        struct loop *loop = first->loop;
        struct loop_msg *newest = NULL, *oldest = NULL;
        struct sql_request *others = NULL, **link = &others;
        for (struct sql_request *r = first, *next; r; r = next) {
            next = r->next;
            if (r->loop != loop) {
                *link = r;
                link = &r->next;
                continue;
            }
            r->msg = (struct loop_msg){ .deliver = deliver_done, .next = newest };
            newest = &r->msg;
            oldest = oldest ? oldest : newest;
        }
        *link = NULL;
        loop_post_chain(loop, newest, oldest);
        first = others;
    }
}

/* D1 drops entries that hold nothing but white space and line comments. */
static bool is_blank(struct slice text)
{
    while (text.ptr) {
        struct slice line = slice_trim(slice_cut(&text, '\n'));
        if (line.len && !slice_starts(line, SLICE_LIT("--")))
            return false;
    }
    return true;
}

struct entry_run {
    struct sql_conn *conn;
    struct sql_request *r;
    const struct sql_shared_state *shared;
    const struct json *params;
    size_t params_left;
    size_t n_statements;
    size_t out_at;       /* where the entry's results begin */
    bool used_params;    /* a statement of the entry has taken parameters */
    struct sql_meta sum; /* one_result: changes of the entry's statements so far */
    bool needs_writer;
};

static const struct json *skip(const struct json *v, size_t n)
{
    while (n-- && v)
        v = v->next;
    return v;
}

/* The result of the entry's statement before: only the last one's counts. */
static void drop_result(struct entry_run *e)
{
    e->r->out.len = e->out_at;
    e->r->n_results--;
}

/* Its meta, though, is about all of them. */
static enum status add_up(struct entry_run *e, struct sql_meta *meta)
{
    meta->changes += e->sum.changes;
    meta->changed_db |= e->sum.changed_db;
    meta->duration_ns += e->sum.duration_ns;
    e->sum = *meta;
    return e->n_statements ? sql_rewrite_meta(&e->r->out, meta, e->r->err) : STATUS_OK;
}

/*
 * Parameters of an entry with several statements are consumed from left to right; a lone statement gets them all, so
 * that a wrong number is noticed.
 */
static enum status run_statement(struct entry_run *e, struct sql_stmt *s, bool is_only)
{
    struct sql_request *r = e->r;
    size_t want = (size_t)sql_stmt_n_params(s), n = is_only || want > e->params_left ? e->params_left : want;
    struct sql_meta meta;
    size_t before = r->out.len;

    if (r->one_result && e->n_statements)
        drop_result(e);
    if (r->n_results)
        buf_append_char(&r->out, ',');
    enum status st = sql_run(e->conn, s, e->params, n, r->format, e->shared, &r->out, &meta, r->err);
    if (st == STATUS_OK && r->one_result)
        st = add_up(e, &meta);
    if (st != STATUS_OK) {
        r->out.len = before;
        return st;
    }
    e->params = skip(e->params, n);
    e->params_left -= n;
    e->used_params |= want > 0;
    r->n_results++;
    r->wrote |= meta.rows_written > 0 || meta.changes > 0 || meta.changed_db;
    return STATUS_OK;
}

static enum status forbid_write(struct sql_request *r)
{
    return error_set(r->err, STATUS_FORBIDDEN, 0, "Authentication error: this token may not write to this database");
}

/* The first statement of *text, if any; *text moves behind it. */
static enum status run_next(struct entry_run *e, struct slice *text)
{
    struct sql_stmt *s;
    size_t consumed;
    enum status st = sql_prepare(e->conn, *text, &s, &consumed, e->r->err);

    if (st != STATUS_OK && e->shared && sql_conn_wants_writer(e->conn)) {
        e->needs_writer = true;
        return STATUS_OK;
    }
    if (st != STATUS_OK)
        return st;
    bool is_last = consumed >= text->len;
    *text = consumed ? slice_from(*text, consumed) : SLICE_LIT("");
    if (!s)
        return STATUS_OK;
    if (e->r->one_result && e->used_params)
        st = error_set(e->r->err, STATUS_SQL, 0,
                       "When executing multiple SQL statements in a single call, only the last statement can have "
                       "parameters.");
    else if (e->r->read_only && (sql_stmt_flags(s) & SQL_STMT_WRITES))
        st = forbid_write(e->r);
    else if (e->shared && (sql_stmt_flags(s) & (SQL_STMT_WRITES | SQL_STMT_NEEDS_WRITER)))
        e->needs_writer = true;
    else if (e->shared && e->r->may_retry && (*sql_stmt_slow(s) || (sql_stmt_flags(s) & SQL_STMT_MAY_STALL)))
        st = error_set(e->r->err, STATUS_AGAIN, 0, "not for a loop");
    if (st == STATUS_OK && !e->needs_writer)
        st = sql_conn_check_deadline(e->conn, e->r->err); /* many small statements never meet it inside one */
    if (st == STATUS_OK && !e->needs_writer) {
        st = run_statement(e, s, is_last && e->n_statements == 0);
        if (st != STATUS_OK && e->shared && sql_conn_wants_writer(e->conn)) {
            e->needs_writer = true;
            st = STATUS_OK;
        }
    }
    if (st == STATUS_AGAIN && !*sql_stmt_slow(s) && !(sql_stmt_flags(s) & SQL_STMT_MAY_STALL))
        *sql_stmt_slow(s) = SLOW_STRIKES;
    e->n_statements++;
    sql_stmt_done(e->conn, s);
    return st;
}

static enum status run_entry(struct entry_run *e, struct slice text)
{
    enum status st = STATUS_OK;

    e->n_statements = 0;
    e->used_params = false;
    e->out_at = e->r->out.len;
    e->sum = (struct sql_meta){ 0 };
    while (st == STATUS_OK && text.len && !e->needs_writer)
        st = run_next(e, &text);
    if (st != STATUS_OK || e->needs_writer)
        return st;
    if (e->n_statements == 0)
        return error_set(e->r->err, STATUS_SQL, 0, "SQL code did not contain a statement.");
    if (e->params_left)
        return error_set(e->r->err, STATUS_SQL, 0, "Wrong number of parameter bindings for SQL query.");
    return STATUS_OK;
}

static enum status run_fn(struct sql_conn *c, struct sql_request *r)
{
    r->status = r->fn(c, r);
    r->failed = r->status != STATUS_OK;
    if (r->failed)
        r->out.len = r->out_start;
    return r->status;
}

enum status run_entries(struct sql_conn *c, struct sql_request *r, const struct sql_shared_state *shared,
                        bool *ret_needs_writer)
{
    if (r->fn) {
        *ret_needs_writer = false;
        return run_fn(c, r);
    }
    struct entry_run e = { .conn = c, .r = r, .shared = shared };
    enum status st = STATUS_OK;
    size_t n_run = 0;

    /* Some reads need the writer's connection; the token still may not write on it. */
    if (r->read_only && !shared)
        sql_conn_set_query_only(c, true);
    for (size_t i = 0; i < r->n && st == STATUS_OK && !e.needs_writer; i++) {
        if (is_blank(r->entries[i].sql))
            continue;
        e.params = r->entries[i].params;
        e.params_left = r->entries[i].n_params;
        st = run_entry(&e, r->entries[i].sql);
        if (st != STATUS_OK)
            r->failed_at = r->n_results + 1;
        n_run++;
    }
    if (r->read_only && !shared) {
        sql_conn_set_query_only(c, false);
        if (st != STATUS_OK && (r->err->native & 0xFF) == SQLITE_READONLY)
            st = forbid_write(r);
    }
    if (st == STATUS_OK && n_run == 0)
        st = error_set(r->err, STATUS_SQL, 0, "No SQL statements detected.");
    if (st != STATUS_OK)
        r->out.len = r->out_start;
    r->status = st;
    r->failed = st != STATUS_OK;
    *ret_needs_writer = e.needs_writer;
    return st;
}
