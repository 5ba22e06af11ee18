/* deploy_assets.c - see deploy_assets.h. */
#include "cli/deploy_assets.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/mime.h"
#include "cli/files.h"
#include "cli/form.h"
#include "cli/print.h"

#include <inttypes.h>
#include <stdlib.h>

/* What the API takes: 32 hex digits. */
enum { HASH_LEN = 32 };

struct upload {
    struct session *session;
    const struct remote_worker *worker;
    const struct asset_folder *files;
    char (*hashes)[HASH_LEN + 1]; /* by file */
    char *jwt;                    /* the last that the server gave */
};

static enum status read_file(const struct folder_asset *f, struct buf *ret, struct error *err)
{
    ret->limit = ASSET_MAX_BYTES;
    return file_read(f->file.ptr, ret, err); /* terminated: it is an arena's copy */
}

/* The content and the end of the name, which decides about the type. */
static enum status hash_file(const struct folder_asset *f, char ret[HASH_LEN + 1], struct error *err)
{
    struct buf content = { 0 };
    char hex[SHA256_HEX_LEN + 1];
    enum status st = read_file(f, &content, err);

    if (st == STATUS_OK) {
        content.limit = 0;
        buf_append_slice(&content, mime_of(f->path));
        sha256_hex(content.ptr ? buf_slice(&content) : SLICE_LIT(""), hex);
        memcpy(ret, hex, HASH_LEN);
        ret[HASH_LEN] = '\0';
    }
    buf_release(&content);
    return st;
}

static enum status hash_all(struct upload *u, struct error *err)
{
    enum status st = STATUS_OK;

    u->hashes = calloc(u->files->n + 1, sizeof(*u->hashes));
    if (!u->hashes)
        abort();
    for (size_t i = 0; i < u->files->n && st == STATUS_OK; i++)
        st = hash_file(&u->files->items[i], u->hashes[i], err);
    return st;
}

static void write_manifest(const struct upload *u, struct buf *out)
{
    buf_append_cstr(out, "{\"manifest\":{");
    for (size_t i = 0; i < u->files->n; i++) {
        buf_append_cstr(out, i ? "," : "");
        json_write_text(out, u->files->items[i].path);
        buf_printf(out, ":{\"hash\":\"%s\",\"size\":%" PRIu64 "}", u->hashes[i], u->files->items[i].size);
    }
    buf_append_cstr(out, "}}");
}

static void take_jwt(struct upload *u, const struct api_answer *answer)
{
    struct slice jwt = json_get_text(answer->result, "jwt");

    if (!jwt.len)
        return;
    free(u->jwt);
    u->jwt = strndup(jwt.ptr, jwt.len);
    if (!u->jwt)
        abort();
}

static const struct folder_asset *file_of(const struct upload *u, struct slice hash)
{
    for (size_t i = 0; i < u->files->n; i++)
        if (slice_eq(slice_cstr(u->hashes[i]), hash))
            return &u->files->items[i];
    return NULL;
}

static enum status add_part(struct upload *u, struct slice hash, struct form *form, struct error *err)
{
    const struct folder_asset *f = file_of(u, hash);
    struct buf content = { 0 }, encoded = { 0 };

    if (!f)
        return error_set(err, STATUS_INTERNAL, 0, "the server asked for an asset that there is not: %.*s",
                         SLICE_FMT(hash));
    struct slice type = mime_of(f->path);
    enum status st = read_file(f, &content, err);
    if (st == STATUS_OK) {
        base64_encode(&encoded, buf_slice(&content));
        form_add(form, hash, hash, type.ptr ? type : SLICE_LIT("application/null"), buf_slice(&encoded));
    }
    buf_release(&encoded);
    buf_release(&content);
    return st;
}

static enum status send_bucket(struct upload *u, const struct json *bucket, struct error *err)
{
    struct api_answer answer = { 0 };
    struct form form;
    enum status st = STATUS_OK;

    form_init(&form);
    for (const struct json *hash = bucket->child; hash && st == STATUS_OK; hash = hash->next)
        st = add_part(u, hash->text, &form, err);
    form_end(&form);
    const struct api_request r = {
        .method = "POST",
        .path = API_ACCOUNT "/workers/assets/upload?base64=true",
        .content_type = form.content_type,
        .bearer = u->jwt,
        .body = buf_slice(&form.body),
    };
    if (st == STATUS_OK)
        st = api_send(u->session->api, &r, &answer, err);
    if (st == STATUS_OK)
        take_jwt(u, &answer);
    form_release(&form);
    api_answer_release(&answer);
    return st;
}

static enum status send_buckets(struct upload *u, const struct json *buckets, struct error *err)
{
    enum status st = STATUS_OK;
    size_t n = 0;

    for (const struct json *b = json_is(buckets, JSON_ARRAY) ? buckets->child : NULL; b && st == STATUS_OK;
         b = b->next) {
        st = send_bucket(u, b, err);
        n += b->n;
    }
    if (st == STATUS_OK)
        print_note("Uploaded %zu of %zu static assets%s.", n, u->files->n,
                   n < u->files->n ? "; the server has the others" : "");
    return st;
}

static enum status open_session(struct upload *u, struct api_answer *answer, struct error *err)
{
    struct buf body = { 0 };

    write_manifest(u, &body);
    enum status st = remote_worker_call(u->session, u->worker, "POST", "/assets-upload-session", buf_slice(&body),
                                        answer, err);
    buf_release(&body);
    if (st == STATUS_OK)
        take_jwt(u, answer);
    return st;
}

enum status deploy_upload_assets(struct session *s, const struct remote_worker *w, const struct asset_folder *files,
                                 char **ret_jwt, struct error *err)
{
    struct upload u = { .session = s, .worker = w, .files = files };
    struct api_answer answer = { 0 };

    enum status st = hash_all(&u, err);
    if (st == STATUS_OK)
        st = open_session(&u, &answer, err);
    if (st == STATUS_OK)
        st = send_buckets(&u, json_get(answer.result, "buckets"), err);
    if (st == STATUS_OK && !u.jwt)
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent nothing to name the assets by");
    free(u.hashes);
    api_answer_release(&answer);
    if (st != STATUS_OK) {
        free(u.jwt);
        return st;
    }
    *ret_jwt = u.jwt;
    return STATUS_OK;
}

static void add_text(struct buf *out, size_t from, const char *key, struct slice text)
{
    if (!text.ptr)
        return;
    buf_printf(out, "%s\"%s\":", out->len > from ? "," : "", key);
    json_write_text(out, text);
}

void deploy_add_assets_config(const struct project *p, const struct asset_folder *files, struct buf *out)
{
    static const char *const keys[] = { "html_handling", "not_found_handling", "run_worker_first" };
    size_t from;

    buf_append_char(out, '{');
    from = out->len;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct json *v = json_get(p->assets, keys[i]);
        if (!v || v->type == JSON_NULL)
            continue;
        buf_printf(out, "%s\"%s\":", out->len > from ? "," : "", keys[i]);
        json_write_value(out, v);
    }
    add_text(out, from, "_headers", files->headers);
    add_text(out, from, "_redirects", files->redirects);
    buf_append_char(out, '}');
}
