/*
 * query.c - see query.h. This is the hot path: body to entries in the request's arena, one call of the store, and as
 * a rule the answer on the same stack.
 */
#include "d1/query.h"

#include "api/api.h"
#include "d1/entries.h"

#include <stdatomic.h>
#include <stdio.h>

enum { TRANSACTION_DEFAULT_MS = 5000, TRANSACTION_MAX_MS = 30000 };

/* Lives in the request's arena. */
struct query {
    struct sql_request run;
    struct http_request *req;
    struct error err;
    char transaction_id[UUID_LEN + 1];
    void (*then)(struct query *q);
};

/* ---- the body ---- */

static enum status malformed(struct error *err, const char *text)
{
    return error_set(err, STATUS_INVALID, 0, "The request is malformed: %s", text);
}

static enum status take_body(struct http_request *req, const struct json *body, struct sql_request *r,
                             struct error *err)
{
    const struct json *batch = json_get(body, "batch");

    if (!batch || batch->type == JSON_NULL)
        return entries_take(body, "the body", req->arena, r, err);
    if (batch->type != JSON_ARRAY)
        return malformed(err, "batch must be an array");
    if (json_get(body, "sql"))
        return malformed(err, "give either sql or batch, not both");
    return entries_take(batch, "batch", req->arena, r, err);
}

/* ---- the answer ---- */

/* D1's texts do not say which of several statements failed; a header of our own does. */
static void name_statement(struct query *q)
{
    char number[24];

    if (!q->run.failed_at)
        return;
    snprintf(number, sizeof(number), "%zu", q->run.failed_at);
    http_respond_header(q->req, "X-Dione-Statement", slice_cstr(number));
}

static void answer(struct query *q)
{
    struct http_request *req = q->req;
    struct buf out = buf_take(&q->run.out);

    database_unref(q->run.db);
    if (q->run.status != STATUS_OK) {
        buf_release(&out);
        name_statement(q);
        envelope_error(req, &q->err);
        return;
    }
    out.limit = 0;
    buf_append(&out, "]}", 2);
    envelope_send(req, &out);
}

static void on_done(struct sql_request *r)
{
    answer(CONTAINER_OF(r, struct query, run));
}

static void on_gone(struct http_request *req)
{
    struct query *q = req->user;

    atomic_store(&q->run.cancelled, true);
}

/* A query for the database of the path, without entries yet. NULL: it has answered. */
static struct query *query_new(struct http_request *req, enum api_right right)
{
    struct query *q = ARENA_NEW(req->arena, struct query);

    if (!q) {
        api_fail(req, STATUS_NOMEM, "out of memory");
        return NULL;
    }
    struct database *db = api_database(req, right);
    if (!db)
        return NULL;
    q->req = req;
    q->run = (struct sql_request){ .db = db, .loop = req->loop, .done = on_done, .err = &q->err };
    return q;
}

static void open_answer(struct query *q)
{
    q->run.out.limit = store_max_result_bytes(api_of(q->req)->store);
    buf_append_slice(&q->run.out, ENVELOPE_OPEN);
    buf_append_char(&q->run.out, '[');
}

static enum status parse(struct query *q)
{
    const struct json *body;
    enum status st = envelope_parse(q->req, &body, &q->err);

    return st == STATUS_OK ? take_body(q->req, body, &q->run, &q->err) : st;
}

static void go_on(struct query *q)
{
    if (q->run.status == STATUS_OK) {
        open_answer(q);
        q->then(q);
        return;
    }
    database_unref(q->run.db);
    envelope_error(q->req, &q->err);
}

static void deliver_parsed(struct loop_msg *msg)
{
    go_on(CONTAINER_OF(msg, struct query, run.msg));
}

static void parse_in_pool(struct job *job)
{
    struct query *q = CONTAINER_OF(job, struct query, run.job);

    q->run.status = parse(q);
    q->run.msg.deliver = deliver_parsed;
    loop_post(q->req->loop, &q->run.msg);
}

/* Parses the body into q; then, if it is good, calls `then`, and else answers. */
static void with_body(struct query *q, enum sql_format format, void (*then)(struct query *q))
{
    struct http_request *req = q->req;
    bool large = req->body.len > API_LARGE_BODY_BYTES;

    q->run.format = format;
    q->then = then;
    if (!(large ? http_request_keep(req) : http_request_keep_body(req))) {
        q->run.status = error_set(&q->err, STATUS_NOMEM, 0, "out of memory");
        go_on(q);
    } else if (large) {
        q->run.job.run = parse_in_pool;
        pool_submit(store_job_pool(api_of(req)->store), &q->run.job);
    } else {
        q->run.status = parse(q);
        go_on(q);
    }
}

/* ---- query and raw ---- */

static void run(struct query *q)
{
    q->req->user = q;
    q->req->on_gone = on_gone;
    if (store_run(&q->run))
        answer(q);
}

static void run_query(struct http_request *req, enum sql_format format)
{
    struct query *q = query_new(req, API_READ);

    if (!q)
        return;
    q->run.read_only = !grant_allows(req->auth, database_uuid(q->run.db), true);
    with_body(q, format, run);
}

void query_objects(struct http_request *req)
{
    run_query(req, SQL_OBJECTS);
}

void query_arrays(struct http_request *req)
{
    run_query(req, SQL_ARRAYS);
}

/* ---- interactive transactions ---- */

static void on_begun(struct sql_request *r)
{
    struct query *q = CONTAINER_OF(r, struct query, run);
    struct http_request *req = q->req;
    struct buf result = { 0 };

    database_unref(r->db);
    if (r->status != STATUS_OK) {
        envelope_error(req, &q->err);
        return;
    }
    buf_printf(&result, "{\"id\":\"%s\",\"timeout_ms\":%lld}", q->transaction_id, (long long)r->transaction_ms);
    envelope_ok(req, buf_slice(&result), SLICE_NONE);
    buf_release(&result);
}

void transaction_begin(struct http_request *req)
{
    struct query *q = query_new(req, API_WRITE);
    const struct json *body;
    int64_t timeout_ms = TRANSACTION_DEFAULT_MS;

    if (!q)
        return;
    if (!envelope_body(req, &body)) {
        database_unref(q->run.db);
        return;
    }
    const struct json *wish = json_get(body, "timeout_ms");
    if (wish && (!json_i64(wish, &timeout_ms) || timeout_ms < 1 || timeout_ms > TRANSACTION_MAX_MS)) {
        database_unref(q->run.db);
        api_fail(req, STATUS_INVALID, "The request is malformed: timeout_ms must be a whole number from 1 to %d",
                 TRANSACTION_MAX_MS);
        return;
    }
    q->run.done = on_begun;
    req->user = q;
    req->on_gone = on_gone;
    store_transaction_begin(&q->run, timeout_ms, q->transaction_id);
}

static void run_inside(struct query *q)
{
    store_transaction_run(&q->run, q->req->params[2]);
}

static void run_in_transaction(struct http_request *req, enum sql_format format)
{
    struct query *q = query_new(req, API_WRITE);

    if (q)
        with_body(q, format, run_inside);
}

void transaction_query(struct http_request *req)
{
    run_in_transaction(req, SQL_OBJECTS);
}

void transaction_raw(struct http_request *req)
{
    run_in_transaction(req, SQL_ARRAYS);
}

static void on_ended(struct sql_request *r)
{
    struct query *q = CONTAINER_OF(r, struct query, run);
    char bookmark[BOOKMARK_LEN + 1];
    struct buf result = { 0 };

    bookmark_format(database_uuid(r->db), r->commit, bookmark);
    database_unref(r->db);
    if (r->status != STATUS_OK) {
        envelope_error(q->req, &q->err);
        return;
    }
    buf_printf(&result, "{\"bookmark\":\"%s\"}", bookmark);
    envelope_ok(q->req, buf_slice(&result), SLICE_NONE);
    buf_release(&result);
}

static void end_transaction(struct http_request *req, enum transaction_end how)
{
    struct query *q = query_new(req, API_WRITE);

    if (!q)
        return;
    q->run.done = on_ended;
    store_transaction_end(&q->run, req->params[2], how);
}

void transaction_commit(struct http_request *req)
{
    end_transaction(req, TRANSACTION_COMMIT);
}

void transaction_rollback(struct http_request *req)
{
    end_transaction(req, TRANSACTION_ROLLBACK);
}
