/*
 * import.c - the import protocol: init gives a URL to upload to, ingest starts the import of what was uploaded, poll tells
 * how far it is. The file may be SQL text or an SQLite database; its first bytes tell.
 *
 * An upload goes to disk in turns: pieces gather in one buffer while a pool thread writes (and digests) the other, and the
 * client is held back when the disk is slower than it.
 */
#include "d1/transfers.h"

#include "base/digest.h"
#include "api/api.h"
#include "store/transfers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { GATHER_BYTES = 1024 * 1024 };

static const uint64_t max_upload_bytes = 5000ULL * 1000 * 1000; /* D1's limit */

/* A request that waits; in its arena. */
struct poll {
    struct http_request *req;
    struct transfer *transfer;
};

/* ---- the status object ---- */

static void write_meta(struct buf *b, const struct load_result *r)
{
    buf_append_cstr(b, "{\"served_by\":\"dione\",\"served_by_region\":\"LOCAL\",\"served_by_colo\":\"LOC\","
                       "\"served_by_primary\":true,\"timings\":{\"sql_duration_ms\":");
    json_write_ms(b, r->duration_ns);
    buf_append_cstr(b, "},\"duration\":");
    json_write_ms(b, r->duration_ns);
    buf_printf(b, ",\"changes\":%lld,\"last_row_id\":%lld,\"changed_db\":%s,\"size_after\":%lld", (long long)r->changes,
               (long long)r->last_row_id, r->changed_db ? "true" : "false", (long long)r->size_after);
    buf_printf(b, ",\"rows_read\":%llu,\"rows_written\":%llu,\"total_attempts\":1}", (unsigned long long)r->rows_read,
               (unsigned long long)r->rows_written);
}

static void write_status(struct buf *b, const struct transfer_view *v)
{
    const char *status = v->state == TRANSFER_DONE ? "complete" : v->state == TRANSFER_FAILED ? "error" : "active";

    buf_printf(b, "{\"success\":true,\"type\":\"import\",\"status\":\"%s\",\"at_bookmark\":\"%s\",\"messages\":[",
               status, v->bookmark);
    if (v->state != TRANSFER_FAILED)
        buf_printf(b, "\"Processed %llu queries.\"", (unsigned long long)v->statements);
    /* wrangler reads `errors`, the SDKs know `error`. */
    buf_append_cstr(b, "],\"errors\":[");
    if (v->state == TRANSFER_FAILED)
        json_write_cstr(b, v->err.msg);
    buf_append_cstr(b, "],\"error\":");
    json_write_cstr(b, v->state == TRANSFER_FAILED ? v->err.msg : "");
    if (v->state == TRANSFER_DONE) {
        buf_printf(b, ",\"result\":{\"final_bookmark\":\"%s\",\"num_queries\":%llu,\"meta\":", v->bookmark,
                   (unsigned long long)v->result.statements);
        write_meta(b, &v->result);
        buf_append_char(b, '}');
    }
    buf_append_char(b, '}');
}

static void answer(void *arg)
{
    struct poll *p = arg;
    struct transfer_view v;
    struct buf b = { 0 };

    transfer_view(p->transfer, &v);
    write_status(&b, &v);
    transfer_unref(p->transfer);
    envelope_ok(p->req, buf_slice(&b), SLICE_NONE);
    buf_release(&b);
}

/* Takes the reference. */
static void wait_or_answer(struct http_request *req, struct transfer *x)
{
    struct poll *p = ARENA_NEW(req->arena, struct poll);

    if (!p || !http_request_keep(req)) {
        transfer_unref(x);
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    *p = (struct poll){ .req = req, .transfer = x };
    if (!transfer_wait(x, req->loop, TRANSFERS_HOLD_MS, answer, p))
        answer(p);
}

/* ---- steps ---- */

static void refuse(struct http_request *req, const char *text)
{
    struct error err;

    IGNORE_RESULT(error_set(&err, STATUS_INVALID, 0, "%s", text)); /* fills err */
    transfers_refuse(req, &err);
}

/* Takes the reference. */
static void ingest(struct http_request *req, struct transfer *x)
{
    struct error err;

    if (transfer_ingest(x, &err) == STATUS_OK) {
        wait_or_answer(req, x);
        return;
    }
    transfer_unref(x);
    transfers_refuse(req, &err);
}

/* In lower case into ret. False: it has answered. */
static bool take_etag(struct http_request *req, const struct json *body, char ret[MD5_HEX_LEN + 1])
{
    struct slice etag = json_get_text(body, "etag");
    bool ok = etag.len == MD5_HEX_LEN;

    for (size_t i = 0; i < etag.len && ok; i++) {
        char c = etag.ptr[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c + 32);
        ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        ret[i] = c;
    }
    ret[MD5_HEX_LEN] = '\0';
    if (!ok)
        api_fail(req, STATUS_INVALID, "The request is malformed: etag must be the MD5 of the file, as 32 hex digits");
    return ok;
}

static void step_init(struct http_request *req, struct database *db, const struct json *body)
{
    struct transfer *x;
    struct transfer_view v;
    struct error err;
    char etag[MD5_HEX_LEN + 1];

    if (!take_etag(req, body, etag))
        return;
    if (transfers_import(api_of(req)->transfers, db, slice_cstr(etag), &x, &err) != STATUS_OK) {
        envelope_error(req, &err);
        return;
    }
    transfer_view(x, &v);
    if (v.state == TRANSFER_UPLOADED) {
        ingest(req, x); /* the file is here: a status object without upload_url tells the client so */
        return;
    }
    struct buf b = { 0 };
    buf_printf(&b, "{\"success\":true,\"filename\":\"%s-%s.sql\",\"upload_url\":\"", v.id, etag);
    if (transfers_base_url(req, &b)) {
        buf_printf(&b, "/dione/imports/%s\"}", v.id);
        envelope_ok(req, buf_slice(&b), SLICE_NONE);
    }
    buf_release(&b);
    transfer_unref(x);
}

static void step_ingest(struct http_request *req, struct database *db, const struct json *body)
{
    struct slice filename = json_get_text(body, "filename");
    char etag[MD5_HEX_LEN + 1], expected[TRANSFER_ID_LEN + MD5_HEX_LEN + 8];

    if (!filename.ptr) {
        api_fail(req, STATUS_INVALID, "The request is malformed: filename must be the one that init has given");
        return;
    }
    if (!take_etag(req, body, etag))
        return;
    struct slice id = slice_of(filename.ptr, filename.len < TRANSFER_ID_LEN ? 0 : TRANSFER_ID_LEN);
    struct transfer *x = id.len ? transfers_find(api_of(req)->transfers, db, TRANSFER_IMPORT, id) : NULL;
    if (x)
        snprintf(expected, sizeof(expected), "%.*s-%s.sql", SLICE_FMT(id), transfer_etag(x));
    if (!x || !slice_eq(filename, slice_cstr(expected))) {
        transfer_unref(x);
        refuse(req, "No file of this name was uploaded for this database; begin again with init");
        return;
    }
    if (strcmp(etag, transfer_etag(x)) != 0) {
        transfer_unref(x);
        refuse(req, "The etag is not that of the uploaded file");
        return;
    }
    ingest(req, x);
}

static void step_poll(struct http_request *req, struct database *db, const struct json *body)
{
    struct slice bookmark = json_get_text(body, "current_bookmark");
    struct transfer *x = bookmark.len ? transfers_find(api_of(req)->transfers, db, TRANSFER_IMPORT, bookmark) : NULL;

    if (x)
        wait_or_answer(req, x);
    else if (!bookmark.ptr)
        api_fail(req, STATUS_INVALID,
                 "The request is malformed: current_bookmark must be the at_bookmark of the last answer");
    else
        refuse(req, "No import into this database has the bookmark that was given");
}

static void step(struct http_request *req, struct database *db, const struct json *body)
{
    struct slice action = json_get_text(body, "action");

    if (slice_eq(action, SLICE_LIT("init")))
        step_init(req, db, body);
    else if (slice_eq(action, SLICE_LIT("ingest")))
        step_ingest(req, db, body);
    else if (slice_eq(action, SLICE_LIT("poll")))
        step_poll(req, db, body);
    else
        api_fail(req, STATUS_INVALID, "The request is malformed: action must be init, ingest or poll");
}

void imports_step(struct http_request *req)
{
    const struct json *body;
    struct database *db = api_database(req, API_WRITE);

    if (!db)
        return;
    if (envelope_body(req, &body))
        step(req, db, body);
    database_unref(db);
}

/* ---- the upload ---- */

/* Owned by: the loop; fd, md5 and `writing` by the pool thread while is_writing. */
struct upload {
    struct http_request *req; /* gone once is_aborted */
    struct loop *loop;
    struct pool *pool;
    struct transfer *transfer; /* a reference */
    struct md5 *md5;
    int fd; /* -1: not opened yet */
    struct buf gathering, writing;
    bool is_writing, is_paused, has_ended, is_aborted;
    struct job job;
    struct loop_msg msg;
    enum status status;
    struct error err;
};

static void upload_free(struct upload *u)
{
    if (u->fd >= 0)
        (void)close(u->fd); /* complete files were closed with a look at the result */
    md5_free(u->md5);
    buf_release(&u->gathering);
    buf_release(&u->writing);
    transfer_unref(u->transfer);
    free(u);
}

/* Nothing of it stays; the transfer may be uploaded to again. */
static void upload_discard(struct upload *u)
{
    (void)unlink(transfer_path(u->transfer)); /* may not have been made yet */
    transfer_upload_end(u->transfer, false);
    upload_free(u);
}

static void upload_fail(struct upload *u)
{
    struct http_request *req = u->req;
    struct error err = u->err;

    upload_discard(u);
    envelope_error(req, &err);
}

static enum status write_all(struct upload *u)
{
    const char *p = u->writing.ptr;
    size_t left = u->writing.len;

    if (u->fd < 0)
        u->fd = open(transfer_path(u->transfer), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (u->fd < 0)
        return error_errno(&u->err, errno, "cannot create the file for the upload");
    while (left) {
        ssize_t n = write(u->fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(&u->err, errno, "cannot store the uploaded file");
        p += n;
        left -= (size_t)n;
    }
    md5_update(u->md5, buf_slice(&u->writing));
    return STATUS_OK;
}

static void upload_write(struct job *job)
{
    struct upload *u = CONTAINER_OF(job, struct upload, job);

    u->status = write_all(u);
    loop_post(u->loop, &u->msg);
}

static void start_writing(struct upload *u)
{
    struct buf empty = u->writing;

    u->writing = u->gathering;
    u->gathering = empty;
    buf_clear(&u->gathering);
    u->is_writing = true;
    pool_submit(u->pool, &u->job);
}

static void upload_finish(struct upload *u)
{
    char md5[MD5_HEX_LEN + 1], etag[MD5_HEX_LEN + 3];
    int fd = u->fd;

    u->fd = -1;
    md5_finish_hex(TAKE_PTR(u->md5), md5);
    if (close(fd) != 0) {
        IGNORE_RESULT(error_errno(&u->err, errno, "cannot store the uploaded file")); /* fills err */
        upload_fail(u);
        return;
    }
    if (strcmp(md5, transfer_etag(u->transfer)) != 0) {
        IGNORE_RESULT(error_set(&u->err, STATUS_INVALID, 0,
                                "The MD5 of the uploaded file is %s, but the import was begun for %s", md5,
                                transfer_etag(u->transfer))); /* fills err */
        upload_fail(u);
        return;
    }
    struct http_request *req = u->req;
    struct buf empty = { 0 };
    transfer_upload_end(u->transfer, true);
    upload_free(u);
    snprintf(etag, sizeof(etag), "\"%s\"", md5);
    http_respond_header(req, "ETag", slice_cstr(etag));
    http_respond(req, 200, NULL, &empty);
}

/* On the loop, after a write. Going on with the body comes last: it may bring the end of everything. */
static void upload_written(struct loop_msg *msg)
{
    struct upload *u = CONTAINER_OF(msg, struct upload, msg);

    u->is_writing = false;
    if (u->is_aborted) {
        upload_discard(u);
        return;
    }
    if (u->status == STATUS_OK && u->gathering.overflowed)
        u->status = error_set(&u->err, STATUS_NOMEM, 0, "out of memory");
    if (u->status != STATUS_OK) {
        upload_fail(u);
        return;
    }
    if (u->gathering.len) {
        start_writing(u);
    } else if (u->has_ended) {
        upload_finish(u);
        return;
    }
    if (u->is_paused) {
        u->is_paused = false;
        http_body_resume(u->req);
    }
}

static void upload_on_data(struct http_request *req, struct slice data)
{
    struct upload *u = req->user;

    buf_append_slice(&u->gathering, data);
    if (u->gathering.overflowed && !u->is_writing) {
        IGNORE_RESULT(error_set(&u->err, STATUS_NOMEM, 0, "out of memory")); /* fills err */
        upload_fail(u);
        return;
    }
    if (!u->is_writing) {
        start_writing(u);
    } else if (u->gathering.len >= GATHER_BYTES && !u->is_paused) {
        u->is_paused = true;
        http_body_pause(req);
    }
}

static void upload_on_end(struct http_request *req)
{
    struct upload *u = req->user;

    u->has_ended = true;
    if (u->is_writing)
        return;
    /* Also an empty file is made. */
    if (u->gathering.len || u->fd < 0)
        start_writing(u);
    else
        upload_finish(u);
}

static void upload_on_abort(struct http_request *req)
{
    struct upload *u = req->user;

    u->is_aborted = true;
    if (!u->is_writing)
        upload_discard(u);
}

static const struct http_sink upload_sink = { upload_on_data, upload_on_end, upload_on_abort };

void imports_upload(struct http_request *req)
{
    struct transfers *transfers = api_of(req)->transfers;
    struct transfer *x = req->params[0].len == TRANSFER_ID_LEN
                             ? transfers_find(transfers, NULL, TRANSFER_IMPORT, req->params[0])
                             : NULL;
    struct upload *u = calloc(1, sizeof(*u));
    struct error err;

    if (!x || !u) {
        bool is_known = x != NULL;
        transfer_unref(x);
        free(u);
        api_fail(req, is_known ? STATUS_NOMEM : STATUS_NOTFOUND,
                 is_known ? "out of memory" : "There is no such upload; the URL of an upload is valid for one hour");
        return;
    }
    if (transfer_upload_begin(x, &err) != STATUS_OK) {
        transfer_unref(x);
        free(u);
        envelope_error(req, &err);
        return;
    }
    *u = (struct upload){ .req = req,
                          .loop = req->loop,
                          .pool = transfers_upload_pool(transfers),
                          .transfer = x,
                          .md5 = md5_new(),
                          .fd = -1,
                          .job.run = upload_write,
                          .msg.deliver = upload_written };
    req->user = u;
    http_request_stream(req, &upload_sink, max_upload_bytes);
}
