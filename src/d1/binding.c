/*
 * binding.c - see binding.h. The same way to the store as query.c has, with the binding's own body, answer and errors.
 *
 * Everything but a wait for a bookmark happens on the stack of the handler, up to the call of the store.
 */
#include "d1/binding.h"

#include "api/api.h"
#include "base/clock.h"
#include "d1/entries.h"

#include <stdatomic.h>

enum {
    BOOKMARK_LOOK_MS = 10,
    SHARED_MAX_BYTES = 1 << 20,      /* of the answers to reads that share a request */
    SHARED_MAX_NS = 4 * 1000 * 1000, /* that they may take together, since the loop serves others too */
};

/* Lives in the request's arena. */
struct call {
    struct sql_request run;
    struct http_request *req;
    struct error err;
    bool in_session;

    /* The wait for a bookmark. */
    uint64_t wanted; /* commit number; 0: none */
    int64_t give_up_ns;
    struct job job;
    struct loop_msg msg;
    uv_timer_t timer;
};

/* ---- the answer ---- */

void binding_error(struct http_request *req, const struct error *err)
{
    struct buf b = { 0 };

    buf_append_cstr(&b, "{\"success\":false,\"error\":");
    json_write_cstr(&b, err->msg);
    buf_append_char(&b, '}');
    http_respond(req, status_http(err->status), "application/json", &b);
}

static void fail(struct call *c)
{
    database_unref(c->run.db);
    binding_error(c->req, &c->err);
}

static void answer(struct call *c)
{
    struct http_request *req = c->req;
    char bookmark[BOOKMARK_LEN + 1];
    struct buf out = buf_take(&c->run.out);

    if (c->run.status != STATUS_OK) {
        buf_release(&out);
        fail(c);
        return;
    }
    if (c->in_session) {
        bookmark_format(database_uuid(c->run.db), c->run.commit, bookmark);
        http_respond_header(req, D1_SESSION_HEADER, slice_of(bookmark, BOOKMARK_LEN));
    }
    database_unref(c->run.db);
    out.limit = 0;
    buf_append_char(&out, ']');
    http_respond(req, 200, "application/json", &out);
}

static void on_done(struct sql_request *r)
{
    answer(CONTAINER_OF(r, struct call, run));
}

static void on_gone(struct http_request *req)
{
    struct call *c = req->user;

    atomic_store(&c->run.cancelled, true);
}

static void run(struct call *c)
{
    c->run.out.limit = store_max_result_bytes(api_of(c->req)->store);
    buf_append_char(&c->run.out, '[');
    if (store_run(&c->run))
        answer(c);
}

/* ---- the wait for a bookmark ---- */

static bool is_reached(const struct call *c)
{
    return database_commit(c->run.db) >= c->wanted;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct call *c = handle->data;

    if (is_reached(c)) {
        run(c);
        return;
    }
    IGNORE_RESULT(error_set(&c->err, STATUS_BUSY, 0,
                            "The session's bookmark names a state that this database has not reached within %d ms",
                            BINDING_BOOKMARK_WAIT_MS)); /* fills err */
    fail(c);
}

static void look_again(uv_timer_t *timer)
{
    struct call *c = timer->data;

    if (is_reached(c) || clock_mono_ns() >= c->give_up_ns || atomic_load(&c->run.cancelled))
        uv_close((uv_handle_t *)timer, on_timer_closed);
}

static void wait_for_commit(struct call *c)
{
    c->give_up_ns = clock_mono_ns() + BINDING_BOOKMARK_WAIT_MS * 1000000LL;
    uv_timer_init(&c->run.loop->uv, &c->timer);
    c->timer.data = c;
    uv_timer_start(&c->timer, look_again, BOOKMARK_LOOK_MS, BOOKMARK_LOOK_MS);
}

static void on_opened(struct loop_msg *msg)
{
    struct call *c = CONTAINER_OF(msg, struct call, msg);

    if (c->run.status != STATUS_OK)
        fail(c);
    else if (is_reached(c))
        run(c);
    else
        wait_for_commit(c);
}

static void open_database(struct job *job)
{
    struct call *c = CONTAINER_OF(job, struct call, job);
    int64_t bytes;
    uint64_t commit;

    c->run.status = database_state(c->run.db, &bytes, &commit, NULL, &c->err);
    loop_post(c->run.loop, &c->msg);
}

/* The commit number in memory is 0 until the database is open, so an unreached bookmark is looked at twice. */
static void wait_for_bookmark(struct call *c)
{
    c->job.run = open_database;
    c->msg.deliver = on_opened;
    pool_submit(store_job_pool(api_of(c->req)->store), &c->job);
}

/* ---- the request ---- */

static void take_session(struct call *c)
{
    struct slice token = slice_trim(http_header(c->req, D1_SESSION_HEADER));
    uint64_t commit;
    bool is_own;

    c->in_session = token.len > 0;
    if (c->in_session && bookmark_parse(token, database_uuid(c->run.db), &commit, &is_own) && is_own)
        c->wanted = commit;
}

static enum status take_body(struct call *c)
{
    struct http_request *req = c->req;
    struct json *v;

    if (!http_request_keep_body(req))
        return error_set(&c->err, STATUS_NOMEM, 0, "out of memory");
    enum status st = json_parse(req->body, JSON_STRICT, req->arena, &v, &c->err);
    if (st == STATUS_INVALID)
        return error_prefix(&c->err, "The request is malformed: the body is not valid JSON");
    return st == STATUS_OK ? entries_take(v, "the body", req->arena, &c->run, &c->err) : st;
}

/* Unknown formats get objects, as in D1. */
static enum sql_format format_of(struct http_request *req)
{
    return slice_eq(http_query(req, "resultsFormat"), SLICE_LIT("ROWS_AND_COLUMNS")) ? SQL_ARRAYS : SQL_OBJECTS;
}

static enum status take_request(struct call *c)
{
    enum status st = take_body(c);

    if (st != STATUS_OK)
        return st;
    take_session(c);
    c->run.format = format_of(c->req);
    c->run.one_result = true;
    c->run.read_only = !grant_allows(c->req->auth, database_uuid(c->run.db), true);
    c->run.loop = c->req->loop;
    c->run.done = on_done;
    c->run.err = &c->err;
    return STATUS_OK;
}

/* A call for the database that the request names. NULL: it has answered. */
static struct call *call_new(struct http_request *req)
{
    struct call *c = ARENA_NEW(req->arena, struct call);
    struct error err;

    if (!c) {
        IGNORE_RESULT(error_set(&err, STATUS_NOMEM, 0, "out of memory")); /* fills err */
        binding_error(req, &err);
        return NULL;
    }
    c->req = req;
    c->run.db = api_find_database(req, slice_trim(http_header(req, D1_BINDING_HEADER)), API_READ, &c->err);
    if (c->run.db)
        return c;
    binding_error(req, &c->err);
    return NULL;
}

static void go_on(struct call *c)
{
    if (c->run.status != STATUS_OK) {
        fail(c);
        return;
    }
    c->req->user = c;
    c->req->on_gone = on_gone;
    if (c->wanted && !is_reached(c))
        wait_for_bookmark(c);
    else
        run(c);
}

static void deliver_taken(struct loop_msg *msg)
{
    go_on(CONTAINER_OF(msg, struct call, msg));
}

static void take_in_pool(struct job *job)
{
    struct call *c = CONTAINER_OF(job, struct call, job);

    c->run.status = take_request(c);
    c->msg.deliver = deliver_taken;
    loop_post(c->req->loop, &c->msg);
}

void binding_query(struct http_request *req)
{
    struct call *c = call_new(req);

    if (!c)
        return;
    if (req->body.len <= API_LARGE_BODY_BYTES) {
        c->run.status = take_request(c);
        go_on(c);
    } else if (http_request_keep(req)) {
        c->job.run = take_in_pool;
        pool_submit(store_job_pool(api_of(req)->store), &c->job);
    } else {
        c->run.status = error_set(&c->err, STATUS_NOMEM, 0, "out of memory");
        fail(c);
    }
}

/* ---- reads that share a request ---- */

static void run_shared(struct call *c)
{
    struct http_request *req = c->req;
    struct sql_request r = { .db = c->run.db, .n = 1, .format = SQL_ARRAYS, .one_result = true, .loop = req->loop };

    int64_t until = clock_mono_ns() + SHARED_MAX_NS;

    r.err = &c->err;
    buf_append_char(&r.out, '[');
    for (size_t i = 0; i < c->run.n; i++) {
        r.entries = &c->run.entries[i];
        r.n_results = 0;
        if (i)
            buf_append_char(&r.out, ',');
        r.out.limit = SHARED_MAX_BYTES;
        bool told = clock_mono_ns() < until && store_try_read(&r);
        r.out.limit = 0;
        if (!told)
            buf_append_cstr(&r.out, "{\"success\":false}");
    }
    buf_append_char(&r.out, ']');
    database_unref(r.db);
    http_respond(req, 200, "application/json", &r.out);
}

void binding_reads(struct http_request *req)
{
    struct call *c = call_new(req);

    if (!c)
        return;
    if (take_body(c) != STATUS_OK)
        fail(c);
    else
        run_shared(c);
}

void binding_dump(struct http_request *req)
{
    struct error err;

    IGNORE_RESULT(error_set(&err, STATUS_NOTFOUND, 0,
                            "dump() was for D1's alpha databases; use `dione d1 export`")); /* fills err */
    binding_error(req, &err);
}
