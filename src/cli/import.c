/* import.c - see import.h. */
#include "cli/import.h"

#include "base/digest.h"
#include "cli/interrupt.h"
#include "cli/print.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 * 1024 };

struct source {
    FILE *file; /* can be read twice */
    uint64_t size;
    char etag[MD5_HEX_LEN + 1];
};

/* ---- reading the file ---- */

/* A nameless file on a disk: /tmp may be memory, and the input may be gigabytes. */
static FILE *open_temporary(void)
{
    const char *folder = getenv("TMPDIR");
    FILE *file = NULL;
    int fd = open(folder && *folder ? folder : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        return tmpfile();
    file = fdopen(fd, "w+");
    if (!file)
        (void)close(fd);
    return file;
}

/* Reads `in` to its end into the digest, and into `copy` when that is not NULL. */
static enum status read_all(FILE *in, FILE *copy, struct source *src, struct progress *progress, struct error *err)
{
    struct stat info;
    uint64_t total = fstat(fileno(in), &info) == 0 && S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    struct md5 *md5 = md5_new();
    char *chunk = malloc(CHUNK_BYTES);
    enum status st = STATUS_OK;
    size_t n;

    if (!md5 || !chunk)
        abort();
    progress_start(progress, "Reading");
    while (st == STATUS_OK && (n = fread(chunk, 1, CHUNK_BYTES, in)) > 0) {
        md5_update(md5, slice_of(chunk, n));
        src->size += n;
        if (copy && fwrite(chunk, 1, n, copy) != n)
            st = error_errno(err, errno, "cannot keep a copy of standard input");
        progress_bytes(progress, src->size, total);
        if (interrupt_requested())
            st = interrupt_error(err);
    }
    if (st == STATUS_OK && interrupt_requested())
        st = interrupt_error(err);
    else if (st == STATUS_OK && ferror(in))
        st = error_errno(err, errno, "cannot read the file");
    if (st == STATUS_OK && copy && fflush(copy) != 0)
        st = error_errno(err, errno, "cannot keep a copy of standard input");
    md5_finish_hex(md5, src->etag);
    free(chunk);
    return st;
}

/* Standard input is read again for the upload: straight when it is a file, else from a copy. */
static enum status open_stdin(struct source *src, struct progress *progress, struct error *err)
{
    struct stat info;

    if (fstat(STDIN_FILENO, &info) == 0 && S_ISREG(info.st_mode) && lseek(STDIN_FILENO, 0, SEEK_CUR) == 0) {
        src->file = fdopen(dup(STDIN_FILENO), "r");
        return src->file ? read_all(src->file, NULL, src, progress, err)
                         : error_errno(err, errno, "cannot read standard input");
    }
    src->file = open_temporary();
    if (!src->file)
        return error_errno(err, errno, "cannot keep a copy of standard input");
    return read_all(stdin, src->file, src, progress, err);
}

static enum status open_path(const char *path, struct source *src, struct progress *progress, struct error *err)
{
    struct stat info;

    src->file = fopen(path, "re");
    if (!src->file)
        return error_errno(err, errno, "cannot read %s", path);
    if (fstat(fileno(src->file), &info) == 0 && !S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVALID, 0, "%s is no regular file; --file - reads standard input", path);
    enum status st = read_all(src->file, NULL, src, progress, err);
    return st == STATUS_OK ? st : error_prefix(err, "%s", path);
}

/* ---- the protocol ---- */

struct import {
    struct session *session;
    const struct source *source;
    struct progress *progress;
    char *path; /* of the calls */
};

/* One call: {"action":..., and the members, each absent or text. */
static enum status post(struct import *im, const char *action, const char *key, struct slice value, struct slice etag,
                        struct api_answer *ret, struct error *err)
{
    struct buf body = { 0 };

    buf_printf(&body, "{\"action\":\"%s\"", action);
    if (key) {
        buf_printf(&body, ",\"%s\":", key);
        json_write_text(&body, value);
    }
    if (etag.ptr) {
        buf_append_cstr(&body, ",\"etag\":");
        json_write_text(&body, etag);
    }
    buf_append_char(&body, '}');
    enum status st = api_call(im->session->api, "POST", im->path, buf_slice(&body), ret, err);
    buf_release(&body);
    return st;
}

static enum status upload(struct import *im, const struct json *init, struct error *err)
{
    struct slice url_text = json_get_text(init, "upload_url");
    char *url = strndup(url_text.ptr, url_text.len), etag[API_ETAG_MAX];

    if (!url)
        abort();
    progress_start(im->progress, "Uploading");
    enum status st = api_upload(im->session->api, url, im->source->file, im->source->size, im->progress, etag, err);
    free(url);
    if (st != STATUS_OK && st != STATUS_STOPPING)
        return error_prefix(err, "the file could not be uploaded");
    if (st == STATUS_OK && strcmp(etag, im->source->etag) != 0)
        return error_set(err, STATUS_IO, 0, "the file changed while it was uploaded, or arrived damaged; please retry");
    return st;
}

/* The reasons in a status object: "errors" (texts), "error" (one text). */
static enum status import_failed(const struct json *status, struct error *err)
{
    const struct json *errors = json_get(status, "errors");
    struct buf text = { 0 };

    for (const struct json *e = json_is(errors, JSON_ARRAY) ? errors->child : NULL; e; e = e->next)
        buf_printf(&text, "%s%.*s", text.len ? "\n" : "", SLICE_FMT(e->text));
    if (!text.len)
        buf_append_slice(&text, json_get_text(status, "error"));
    if (text.len && strstr(text.ptr, "cannot start a transaction within"))
        buf_append_cstr(&text, "\nremove BEGIN and COMMIT from the file: all of it is one transaction anyway");
    enum status st = error_set(err, STATUS_SQL, 0, "%s", text.len ? text.ptr : "the import failed, without a reason");
    buf_release(&text);
    return st;
}

static void show_messages(struct progress *progress, const struct json *status)
{
    const struct json *messages = json_get(status, "messages");

    for (const struct json *m = json_is(messages, JSON_ARRAY) ? messages->child : NULL; m; m = m->next)
        progress_text(progress, m->text);
}

/* Polls until the status object in *answer is final. The server holds each answer for a moment; no sleep here. */
static enum status poll_until_done(struct import *im, struct api_answer *answer, struct error *err)
{
    for (;;) {
        struct slice state = json_get_text(answer->result, "status");
        show_messages(im->progress, answer->result);
        if (!json_is(json_get(answer->result, "success"), JSON_TRUE) || slice_eq(state, SLICE_LIT("error")))
            return import_failed(answer->result, err);
        if (slice_eq(state, SLICE_LIT("complete")))
            return STATUS_OK;
        struct slice bookmark = json_get_text(answer->result, "at_bookmark");
        enum status st = post(im, "poll", "current_bookmark", bookmark, SLICE_NONE, answer, err);
        if (st != STATUS_OK)
            return st;
    }
}

static enum status run_import(struct import *im, struct api_answer *ret, struct error *err)
{
    struct slice etag = slice_cstr(im->source->etag);
    struct api_answer init = { 0 };

    enum status st = post(im, "init", NULL, SLICE_NONE, etag, &init, err);
    if (st != STATUS_OK)
        return st;
    if (!json_get_text(init.result, "upload_url").ptr) {
        *ret = init; /* the server has the file already: this is a status object */
    } else {
        st = upload(im, init.result, err);
        progress_start(im->progress, "Importing");
        if (st == STATUS_OK)
            st = post(im, "ingest", "filename", json_get_text(init.result, "filename"), etag, ret, err);
        api_answer_release(&init);
    }
    return st == STATUS_OK ? poll_until_done(im, ret, err) : st;
}

enum status import_file(struct session *s, const struct database *d, const char *path, struct api_answer *ret,
                        struct error *err)
{
    struct progress progress = { 0 };
    struct source src = { 0 };
    struct import im = { .session = s, .source = &src, .progress = &progress, .path = database_path(d, "/import") };

    enum status st = strcmp(path, "-") == 0 ? open_stdin(&src, &progress, err) : open_path(path, &src, &progress, err);
    if (st == STATUS_OK)
        st = run_import(&im, ret, err);
    progress_end(&progress);
    if (st == STATUS_STOPPING)
        print_note("interrupted; an import that a server has begun may still take effect");
    if (src.file)
        (void)fclose(src.file); /* only read from here on */
    free(im.path);
    return st;
}
