/*
 * spool.c - see spool.h. Pieces gather in one buffer while a pool thread writes the other; the client is held back when
 * the disk is slower than it.
 */
#include "kv/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    IN_MEMORY_BYTES = 72 * 1024 /* a value that stands in its row, with what a form puts round it */,
    GATHER_BYTES = 128 * 1024
};

static const uint64_t most_bytes = 1ULL << 30; /* a body above this is cut off */

/* Owned by: the loop; fd, `writing` and status by the pool thread while is_writing. */
struct spool {
    struct spool_options opt;
    struct http_request *req; /* gone once is_aborted */
    struct loop *loop;
    int fd; /* -1: nothing was written yet */
    struct buf gathering, writing;
    uint64_t total, kept;
    void *mapped;
    bool is_writing, is_paused, has_ended, is_aborted;
    struct job job;
    struct loop_msg msg;
    enum status status;
    struct error err;
};

void spool_free(struct spool *s)
{
    if (!s)
        return;
    if (s->mapped)
        (void)munmap(s->mapped, s->kept); /* was only read */
    if (s->fd >= 0)
        (void)close(s->fd); /* with it the file goes */
    buf_release(&s->gathering);
    buf_release(&s->writing);
    free(s);
}

struct slice spool_bytes(const struct spool *s)
{
    return s->mapped ? slice_of(s->mapped, s->kept)
                     : slice_of(s->gathering.ptr ? s->gathering.ptr : "", s->gathering.len);
}

uint64_t spool_total(const struct spool *s)
{
    return s->total;
}

bool spool_wants(const struct http_request *req)
{
    int64_t length = http_content_length(req);

    return length < 0 || length > IN_MEMORY_BYTES;
}

static void fail(struct spool *s)
{
    struct http_request *req = s->req;
    void (*failed)(struct http_request *, const struct error *) = s->opt.failed;
    struct error err = s->err;

    if (err.status == STATUS_FULL)
        err.status = STATUS_NOSPACE;
    spool_free(s);
    failed(req, &err);
}

/* ---- writing ---- */

static enum status open_file(struct spool *s)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/tmp/body-XXXXXX", s->opt.data_dir);
    s->fd = mkostemp(path, O_CLOEXEC);
    if (s->fd < 0)
        return error_errno(&s->err, errno, "cannot make a temporary file for a request");
    (void)unlink(path); /* a name that stays is removed at the next start */
    return STATUS_OK;
}

static enum status write_all(struct spool *s)
{
    struct slice left = buf_slice(&s->writing);
    enum status st = s->fd < 0 ? open_file(s) : STATUS_OK;

    while (st == STATUS_OK && left.len) {
        ssize_t n = write(s->fd, left.ptr, left.len);
        if (n < 0 && errno != EINTR)
            st = error_errno(&s->err, errno, "cannot keep a request in a temporary file");
        else if (n > 0)
            left = slice_from(left, (size_t)n);
    }
    return st;
}

static void run_write(struct job *job)
{
    struct spool *s = CONTAINER_OF(job, struct spool, job);

    s->status = write_all(s);
    loop_post(s->loop, &s->msg);
}

static void start_writing(struct spool *s)
{
    struct buf empty = s->writing;

    s->writing = s->gathering;
    s->gathering = empty;
    buf_clear(&s->gathering);
    s->is_writing = true;
    pool_submit(s->opt.pool, &s->job);
}

/* ---- the end ---- */

static void finish(struct spool *s)
{
    if (s->fd >= 0) {
        void *at = mmap(NULL, s->kept, PROT_READ, MAP_PRIVATE, s->fd, 0);
        if (at == MAP_FAILED) {
            IGNORE_RESULT(error_errno(&s->err, errno, "cannot read a temporary file back")); /* fills err */
            fail(s);
            return;
        }
        s->mapped = at;
    }
    s->opt.whole(s->req, s);
}

/* Going on with the body comes last: it may bring the end of everything. */
static void written(struct loop_msg *msg)
{
    struct spool *s = CONTAINER_OF(msg, struct spool, msg);

    s->is_writing = false;
    if (s->is_aborted) {
        spool_free(s);
        return;
    }
    if (s->status == STATUS_OK && s->gathering.overflowed)
        s->status = error_set(&s->err, STATUS_NOMEM, 0, "out of memory");
    if (s->status != STATUS_OK) {
        fail(s);
        return;
    }
    if (s->gathering.len && (s->has_ended || s->gathering.len >= GATHER_BYTES)) {
        start_writing(s);
    } else if (s->has_ended) {
        finish(s);
        return;
    }
    if (s->is_paused) {
        s->is_paused = false;
        http_body_resume(s->req);
    }
}

/* ---- the body ---- */

static void on_data(struct http_request *req, struct slice data)
{
    struct spool *s = req->user;
    uint64_t room = s->opt.keep_bytes - s->kept;

    s->total += data.len;
    if (data.len > room)
        data.len = (size_t)room;
    s->kept += data.len;
    buf_append_slice(&s->gathering, data);
    if (s->gathering.overflowed && !s->is_writing) {
        IGNORE_RESULT(error_set(&s->err, STATUS_NOMEM, 0, "out of memory")); /* fills err */
        fail(s);
        return;
    }
    if (s->gathering.len < GATHER_BYTES)
        return;
    if (!s->is_writing) {
        start_writing(s);
    } else if (!s->is_paused) {
        s->is_paused = true;
        http_body_pause(req);
    }
}

/* A body that never filled a buffer stays in memory. */
static void on_end(struct http_request *req)
{
    struct spool *s = req->user;

    s->has_ended = true;
    if (s->is_writing)
        return;
    if (s->gathering.len && s->fd >= 0)
        start_writing(s);
    else
        finish(s);
}

static void on_abort(struct http_request *req)
{
    struct spool *s = req->user;

    s->is_aborted = true;
    if (!s->is_writing)
        spool_free(s);
}

void spool_begin(struct http_request *req, const struct spool_options *opt)
{
    static const struct http_sink sink = { on_data, on_end, on_abort };
    struct spool *s = calloc(1, sizeof(*s));
    struct error err;

    if (!s) {
        IGNORE_RESULT(error_set(&err, STATUS_NOMEM, 0, "out of memory")); /* fills err */
        opt->failed(req, &err);
        return;
    }
    *s = (struct spool){
        .opt = *opt, .req = req, .loop = req->loop, .fd = -1, .job.run = run_write, .msg.deliver = written
    };
    req->user = s;
    http_request_stream(req, &sink, most_bytes);
}
