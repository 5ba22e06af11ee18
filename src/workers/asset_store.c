/* asset_store.c - see asset_store.h. */
#include "workers/asset_store.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "store/control_sql.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ASSETS_FOLDER SLICE_LIT("assets")

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS worker_assets(worker TEXT NOT NULL, hash TEXT NOT NULL, type TEXT NOT NULL,"
    " size INTEGER NOT NULL, PRIMARY KEY(worker, hash)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS worker_asset_sessions(id TEXT PRIMARY KEY, worker TEXT NOT NULL, manifest TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL) WITHOUT ROWID;";

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, 0, "out of memory");
}

/* ---- rows ---- */

/* One call's arguments: texts bound as ?1 .., rows given to `take`. */
struct statement {
    const char *sql;
    struct slice texts[4];
    int n_texts;
    int64_t number; /* bound behind the texts */
    void (*take)(sqlite3_stmt *stmt, void *arg);
    void *arg;
    int n_rows;
};

static enum status run_statement(sqlite3 *db, void *arg, struct error *err)
{
    struct statement *s = arg;
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    bool has_row = true;
    enum status st = control_prepare(db, s->sql, &stmt, err);

    for (int i = 0; st == STATUS_OK && i < s->n_texts; i++)
        control_bind_slice(stmt, i + 1, s->texts[i]);
    if (st == STATUS_OK)
        sqlite3_bind_int64(stmt, s->n_texts + 1, s->number); /* ignored where there is no such parameter */
    while (st == STATUS_OK && has_row) {
        st = control_step(stmt, &has_row, err);
        if (st != STATUS_OK || !has_row)
            break;
        s->n_rows++;
        if (s->take)
            s->take(stmt, s->arg);
    }
    return st;
}

static enum status forget_old_sessions(sqlite3 *db, struct error *err)
{
    struct statement s = { .sql = "DELETE FROM worker_asset_sessions WHERE created_ms < ?1",
                           .number = clock_wall_ms() - ASSET_SESSION_S * 1000LL };

    return run_statement(db, &s, err);
}

/* Folders without a Worker and without a session go at start (workers.c); their rows go here. */
static enum status create_tables(sqlite3 *db, void *arg UNUSED, struct error *err)
{
    enum status st = control_exec(db, schema, err);

    if (st == STATUS_OK)
        st = forget_old_sessions(db, err);
    if (st == STATUS_OK)
        st = control_exec(db,
                          "DELETE FROM worker_assets WHERE worker NOT IN (SELECT name FROM workers)"
                          " AND worker NOT IN (SELECT worker FROM worker_asset_sessions)",
                          err);
    return st;
}

enum status asset_store_open(struct workers *w, struct error *err)
{
    return store_control(workers_store(w), create_tables, NULL, err);
}

bool asset_store_expects(struct workers *w, struct slice worker)
{
    struct statement s = { .sql = "SELECT 1 FROM worker_asset_sessions WHERE worker = ?1",
                           .texts = { worker },
                           .n_texts = 1 };

    /* What cannot be told is kept. */
    return store_control(workers_store(w), run_statement, &s, NULL) != STATUS_OK || s.n_rows > 0;
}

enum status asset_store_forget(sqlite3 *db, struct slice worker, struct error *err)
{
    struct statement files = { .sql = "DELETE FROM worker_assets WHERE worker = ?1",
                               .texts = { worker },
                               .n_texts = 1 };
    struct statement sessions = { .sql = "DELETE FROM worker_asset_sessions WHERE worker = ?1",
                                  .texts = { worker },
                                  .n_texts = 1 };
    enum status st = run_statement(db, &files, err);

    return st == STATUS_OK ? run_statement(db, &sessions, err) : st;
}

/* What is stored, by hash. */
struct stored_file {
    struct slice hash, type;
    int64_t size;
};

struct stored_list {
    struct arena *a;
    struct stored_file *files;
    size_t n, cap;
    bool failed;
};

static void take_stored(sqlite3_stmt *stmt, void *arg)
{
    struct stored_list *l = arg;

    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct stored_file *bigger = arena_alloc(l->a, cap * sizeof(*bigger));
        if (!bigger) {
            l->failed = true;
            return;
        }
        if (l->n)
            memcpy(bigger, l->files, l->n * sizeof(*bigger));
        l->files = bigger;
        l->cap = cap;
    }
    struct stored_file *f = &l->files[l->n++];
    f->hash = arena_copy(l->a, slice_cstr((const char *)sqlite3_column_text(stmt, 0)));
    f->type = arena_copy(l->a, slice_cstr((const char *)sqlite3_column_text(stmt, 1)));
    f->size = sqlite3_column_int64(stmt, 2);
    l->failed = l->failed || !f->hash.ptr || !f->type.ptr;
}

/* Sorted by hash, as SQLite's primary key has it. */
static enum status load_stored(struct workers *w, struct slice worker, struct arena *a, struct stored_list *ret,
                               struct error *err)
{
    struct statement s = { .sql = "SELECT hash, type, size FROM worker_assets WHERE worker = ?1 ORDER BY hash",
                           .texts = { worker },
                           .n_texts = 1,
                           .take = take_stored,
                           .arg = ret };

    *ret = (struct stored_list){ .a = a };
    enum status st = store_control(workers_store(w), run_statement, &s, err);
    return st == STATUS_OK && ret->failed ? no_memory(err) : st;
}

/* Those whose file is there. A row without one (a backup put back in part) would keep its file from being uploaded again. */
static enum status load_present(struct workers *w, struct slice worker, struct arena *a, struct stored_list *ret,
                                struct error *err)
{
    struct buf path CLEANUP(buf_release) = { 0 };
    size_t kept = 0;
    enum status st = load_stored(w, worker, a, ret, err);

    for (size_t i = 0; st == STATUS_OK && i < ret->n; i++) {
        if (access(workers_path(w, &path, worker, ASSETS_FOLDER, ret->files[i].hash), R_OK) == 0)
            ret->files[kept++] = ret->files[i];
        else if (errno != ENOENT)
            st = error_errno(err, errno, "cannot read %s", path.ptr);
    }
    ret->n = st == STATUS_OK ? kept : 0;
    return st;
}

static int by_hash(const void *a, const void *b)
{
    const struct stored_file *x = a, *y = b;
    size_t least = x->hash.len < y->hash.len ? x->hash.len : y->hash.len;
    int order = least ? memcmp(x->hash.ptr, y->hash.ptr, least) : 0;

    return order ? order : (x->hash.len > y->hash.len) - (x->hash.len < y->hash.len);
}

static const struct stored_file *find_stored(const struct stored_list *l, struct slice hash)
{
    struct stored_file wanted = { .hash = hash };

    return l->n ? bsearch(&wanted, l->files, l->n, sizeof(*l->files), by_hash) : NULL;
}

/* ---- tokens: JWTs, since wrangler looks into them ---- */

static enum status sign_token(struct workers *w, struct slice text, struct buf *to, struct error *err)
{
    unsigned char mac[SHA256_BYTES];
    enum status st = vault_sign(workers_vault(w), text, mac, err);

    if (st == STATUS_OK)
        base64url_encode(to, slice_of((const char *)mac, sizeof(mac)));
    return st;
}

static enum status make_token(struct workers *w, const char *subject, struct slice worker, struct slice session,
                              struct buf *to, struct error *err)
{
    struct buf payload CLEANUP(buf_release) = { 0 };
    int64_t now_s = clock_wall_ms() / 1000;
    size_t start = to->len;

    buf_printf(&payload, "{\"iss\":\"dione\",\"sub\":\"%s\",\"iat\":%lld,\"exp\":%lld,\"worker\":", subject,
               (long long)now_s, (long long)now_s + ASSET_SESSION_S);
    json_write_text(&payload, worker);
    buf_append_cstr(&payload, ",\"session\":");
    json_write_text(&payload, session);
    buf_append_char(&payload, '}');
    base64url_encode(to, SLICE_LIT("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    buf_append_char(to, '.');
    base64url_encode(to, buf_slice(&payload));
    struct slice text = slice_of(to->ptr + start, to->len - start);
    struct buf signature CLEANUP(buf_release) = { 0 };
    enum status st = sign_token(w, text, &signature, err);
    buf_append_char(to, '.');
    buf_append_slice(to, buf_slice(&signature));
    return st;
}

/* The payload of a token that is ours and of this subject; false: it is not. */
static bool open_token(struct workers *w, struct slice token, const char *subject, struct arena *a,
                       const struct json **ret)
{
    struct slice rest = token, head = slice_cut(&rest, '.'), body = slice_cut(&rest, '.');
    struct buf mine CLEANUP(buf_release) = { 0 }, payload CLEANUP(buf_release) = { 0 };
    struct json *v;

    if (!rest.ptr || sign_token(w, slice_of(head.ptr, head.len + 1 + body.len), &mine, NULL) != STATUS_OK ||
        mine.len != rest.len || CRYPTO_memcmp(mine.ptr, rest.ptr, rest.len) != 0 || !base64_decode(&payload, body))
        return false;
    struct slice text = arena_copy(a, buf_slice(&payload));
    if (!text.ptr || json_parse(text, JSON_STRICT, a, &v, NULL) != STATUS_OK ||
        !slice_eq(json_get_text(v, "sub"), slice_cstr(subject)) ||
        json_double(json_get(v, "exp")) < (double)clock_wall_ms() / 1000)
        return false;
    *ret = v;
    return true;
}

bool asset_token_is_good(struct workers *w, struct slice token, struct arena *a)
{
    const struct json *payload;

    return open_token(w, token, "upload", a, &payload);
}

/* ---- sessions ---- */

static bool is_hash(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return s.len == ASSET_HASH_LEN;
}

static enum status bad_manifest(struct error *err, struct slice path, const char *what)
{
    return error_set(err, STATUS_INVALID, 0, "The request is malformed: manifest entry '%.*s' %s",
                     path.len > 200 ? 200 : (int)path.len, path.ptr, what);
}

static enum status check_manifest(const struct json *manifest, struct error *err)
{
    if (!json_is(manifest, JSON_OBJECT))
        return error_set(err, STATUS_INVALID, 0, "The request is malformed: `manifest` must be an object of paths");
    if (manifest->n > ASSETS_MAX)
        return error_set(err, STATUS_INVALID, 0, "The request is malformed: a Worker may have %d assets", ASSETS_MAX);
    for (const struct json *f = manifest->child; f; f = f->next) {
        int64_t size;
        if (!f->key.len || f->key.ptr[0] != '/' || f->key.len > 4096)
            return bad_manifest(err, f->key, "is no path that begins with '/'");
        if (!is_hash(json_get_text(f, "hash")))
            return bad_manifest(err, f->key, "needs a `hash` of 32 hexadecimal digits");
        if (!json_get(f, "size") || !json_i64(json_get(f, "size"), &size) || size < 0)
            return bad_manifest(err, f->key, "needs a `size`");
        if (size > ASSET_MAX_BYTES)
            return bad_manifest(err, f->key, "is larger than the limit of 25 MiB");
    }
    return STATUS_OK;
}

/* The manifest's files, each hash once, sorted. */
static enum status distinct_files(const struct json *manifest, struct arena *a, struct stored_list *ret,
                                  struct error *err)
{
    struct stored_file *files = arena_zalloc(a, (manifest->n + 1) * sizeof(*files));
    size_t n = 0, kept = 0;

    if (!files)
        return no_memory(err);
    for (const struct json *f = manifest->child; f; f = f->next) {
        files[n].hash = json_get_text(f, "hash");
        if (!json_i64(json_get(f, "size"), &files[n].size))
            return error_set(err, STATUS_CORRUPT, 0, "the stored manifest is damaged");
        n++;
    }
    qsort(files, n, sizeof(*files), by_hash);
    for (size_t i = 0; i < n; i++)
        if (!kept || !slice_eq(files[kept - 1].hash, files[i].hash))
            files[kept++] = files[i];
    *ret = (struct stored_list){ .a = a, .files = files, .n = kept };
    return STATUS_OK;
}

/* Files that are missing, in groups that make uploads of a sensible size. *ret_n: how many. */
static void write_buckets(struct buf *b, const struct stored_list *wanted, const struct stored_list *stored,
                          size_t *ret_n)
{
    int64_t bytes = 0;
    size_t files = 0;

    *ret_n = 0;
    buf_append_char(b, '[');
    for (size_t i = 0; i < wanted->n; i++) {
        const struct stored_file *f = &wanted->files[i];
        if (find_stored(stored, f->hash))
            continue;
        bool next = files > 0 && (bytes + f->size > ASSET_BUCKET_BYTES || files == ASSET_BUCKET_FILES);
        if (next)
            bytes = 0, files = 0;
        buf_append_cstr(b, next ? "],[" : files ? "," : "[");
        json_write_text(b, f->hash);
        bytes += f->size;
        files++;
        ++*ret_n;
    }
    buf_append_cstr(b, *ret_n ? "]]" : "]");
}

static enum status insert_session(sqlite3 *db, void *arg, struct error *err)
{
    enum status st = forget_old_sessions(db, err);

    return st == STATUS_OK ? run_statement(db, arg, err) : st;
}

static enum status add_session(struct workers *w, struct slice id, struct slice worker, const struct json *manifest,
                               struct error *err)
{
    struct buf text CLEANUP(buf_release) = { 0 };

    json_write_value(&text, manifest);
    struct statement s = { .sql = "INSERT INTO worker_asset_sessions(id, worker, manifest, created_ms)"
                                  " VALUES(?1, ?2, ?3, ?4)",
                           .texts = { id, worker, buf_slice(&text) },
                           .n_texts = 3,
                           .number = clock_wall_ms() };
    return text.overflowed ? no_memory(err) : store_control(workers_store(w), insert_session, &s, err);
}

enum status asset_session_begin(struct workers *w, struct slice worker, const struct json *manifest, struct arena *a,
                                struct buf *ret, struct error *err)
{
    struct stored_list wanted, stored;
    struct buf buckets CLEANUP(buf_release) = { 0 };
    char id[UUID_LEN + 1];
    size_t missing = 0;
    enum status st = check_manifest(manifest, err);

    if (st == STATUS_OK)
        st = distinct_files(manifest, a, &wanted, err);
    if (st == STATUS_OK)
        st = load_present(w, worker, a, &stored, err);
    if (st != STATUS_OK)
        return st;
    uuid_new(id);
    st = add_session(w, slice_of(id, UUID_LEN), worker, manifest, err);
    if (st != STATUS_OK)
        return st;
    write_buckets(&buckets, &wanted, &stored, &missing);
    buf_append_cstr(ret, "{\"jwt\":\"");
    st = make_token(w, missing ? "upload" : "complete", worker, slice_of(id, UUID_LEN), ret, err);
    buf_append_cstr(ret, "\",\"buckets\":");
    buf_append_slice(ret, buf_slice(&buckets));
    buf_append_char(ret, '}');
    return st;
}

struct text_place {
    struct arena *a;
    struct slice text;
};

static void take_manifest(sqlite3_stmt *stmt, void *arg)
{
    struct text_place *p = arg;
    const char *text = (const char *)sqlite3_column_text(stmt, 0);

    p->text = arena_copy(p->a, slice_of(text, (size_t)sqlite3_column_bytes(stmt, 0)));
}

static enum status find_session(struct workers *w, struct slice token, const char *subject, struct arena *a,
                                struct asset_session *ret, struct error *err)
{
    const struct json *payload;
    struct text_place place = { .a = a };
    struct json *manifest;

    if (!open_token(w, token, subject, a, &payload))
        return error_set(err, STATUS_UNAUTH, 0,
                         "Authentication error: the asset upload token is not valid, or has expired");
    ret->arena = a;
    ret->worker = json_get_text(payload, "worker");
    ret->id = json_get_text(payload, "session");
    struct statement s = { .sql = "SELECT manifest FROM worker_asset_sessions WHERE id = ?1",
                           .texts = { ret->id },
                           .n_texts = 1,
                           .take = take_manifest,
                           .arg = &place };
    enum status st = store_control(workers_store(w), run_statement, &s, err);
    if (st == STATUS_OK && !s.n_rows)
        return error_set(err, STATUS_UNAUTH, 0, "Authentication error: the asset upload session is over");
    if (st == STATUS_OK && !place.text.ptr)
        return no_memory(err);
    if (st == STATUS_OK)
        st = json_parse(place.text, JSON_STRICT, a, &manifest, err);
    if (st == STATUS_OK)
        ret->manifest = manifest;
    return st;
}

enum status asset_session_find(struct workers *w, struct slice token, struct arena *a, struct asset_session *ret,
                               struct error *err)
{
    return find_session(w, token, "upload", a, ret, err);
}

static enum status make_assets_folder(struct workers *w, struct slice worker, struct buf *ret, struct error *err)
{
    enum status st = worker_folder_make(workers_path(w, ret, worker, SLICE_NONE, SLICE_NONE), err);

    return st == STATUS_OK ? worker_folder_make(workers_path(w, ret, worker, ASSETS_FOLDER, SLICE_NONE), err) : st;
}

static enum status check_upload(const struct stored_list *wanted, const struct asset_upload *f, struct error *err)
{
    const struct stored_file *entry = find_stored(wanted, f->hash);

    if (!entry)
        return error_set(err, STATUS_INVALID, 0, "The request is malformed: the manifest has no file of hash '%.*s'",
                         f->hash.len > 64 ? 64 : (int)f->hash.len, f->hash.ptr);
    if (entry->size != (int64_t)f->bytes.len)
        return error_set(err, STATUS_INVALID, 0,
                         "The request is malformed: the file of hash %.*s has %zu bytes, and the manifest says %lld",
                         SLICE_FMT(f->hash), f->bytes.len, (long long)entry->size);
    return STATUS_OK;
}

static enum status write_uploads(struct workers *w, struct slice worker, const struct asset_upload *files, size_t n,
                                 struct error *err)
{
    struct buf folder CLEANUP(buf_release) = { 0 };
    char name[ASSET_HASH_LEN + 1];
    enum status st = make_assets_folder(w, worker, &folder, err);

    for (size_t i = 0; st == STATUS_OK && i < n; i++) {
        snprintf(name, sizeof(name), "%.*s", SLICE_FMT(files[i].hash));
        st = worker_file_write(folder.ptr, name, files[i].bytes, err);
    }
    return st == STATUS_OK ? worker_folder_sync(folder.ptr, err) : st;
}

struct upload_rows {
    struct slice worker;
    const struct asset_upload *files;
    size_t n;
};

static enum status insert_uploads(sqlite3 *db, void *arg, struct error *err)
{
    const struct upload_rows *r = arg;
    enum status st = STATUS_OK;

    for (size_t i = 0; st == STATUS_OK && i < r->n; i++) {
        const struct asset_upload *f = &r->files[i];
        bool untyped = slice_eq_nocase(f->type, SLICE_LIT("application/null"));
        struct statement row = {
            .sql = "INSERT OR REPLACE INTO worker_assets(worker, hash, type, size) VALUES(?1, ?2, ?3, ?4)",
            .texts = { r->worker, f->hash, untyped ? SLICE_LIT("") : f->type },
            .n_texts = 3,
            .number = (int64_t)f->bytes.len,
        };
        st = run_statement(db, &row, err);
    }
    return st;
}

enum status asset_session_add(struct workers *w, const struct asset_session *s, const struct asset_upload *files,
                              size_t n, struct error *err)
{
    struct upload_rows rows = { s->worker, files, n };
    struct stored_list wanted;
    enum status st = distinct_files(s->manifest, s->arena, &wanted, err);

    for (size_t i = 0; st == STATUS_OK && i < n; i++)
        st = check_upload(&wanted, &files[i], err);
    if (st == STATUS_OK)
        st = write_uploads(w, s->worker, files, n, err);
    return st == STATUS_OK ? store_control(workers_store(w), insert_uploads, &rows, err) : st;
}

enum status asset_session_finish(struct workers *w, const struct asset_session *s, struct buf *ret, bool *ret_complete,
                                 struct error *err)
{
    struct stored_list wanted, stored;
    enum status st = distinct_files(s->manifest, s->arena, &wanted, err);

    if (st == STATUS_OK)
        st = load_stored(w, s->worker, s->arena, &stored, err);
    if (st != STATUS_OK)
        return st;
    *ret_complete = true;
    for (size_t i = 0; i < wanted.n; i++)
        *ret_complete = *ret_complete && find_stored(&stored, wanted.files[i].hash);
    if (!*ret_complete) {
        buf_append_cstr(ret, "{}");
        return STATUS_OK;
    }
    buf_append_cstr(ret, "{\"jwt\":\"");
    st = make_token(w, "complete", s->worker, s->id, ret, err);
    buf_append_cstr(ret, "\"}");
    return st;
}

/* ---- the assets of a version ---- */

static enum status write_manifest(struct buf *b, const struct json *manifest, const struct stored_list *stored,
                                  struct error *err)
{
    buf_append_char(b, '{');
    for (const struct json *f = manifest->child; f; f = f->next) {
        const struct stored_file *file = find_stored(stored, json_get_text(f, "hash"));
        if (!file)
            return error_set(err, STATUS_SCRIPT, 0, "the asset '%.*s' was never uploaded", SLICE_FMT(f->key));
        if (f != manifest->child)
            buf_append_char(b, ',');
        json_write_text(b, f->key);
        buf_append_cstr(b, ":{\"hash\":");
        json_write_text(b, file->hash);
        buf_printf(b, ",\"size\":%lld,\"type\":", (long long)file->size);
        json_write_text(b, file->type);
        buf_append_char(b, '}');
    }
    buf_append_char(b, '}');
    return b->overflowed ? no_memory(err) : STATUS_OK;
}

enum status asset_manifest_from_token(struct workers *w, struct slice worker, struct slice token, struct arena *a,
                                      struct slice *ret, size_t *ret_count, struct error *err)
{
    struct asset_session s;
    struct stored_list stored;
    struct buf text CLEANUP(buf_release) = { 0 };
    enum status st = find_session(w, token, "complete", a, &s, err);

    if (st == STATUS_UNAUTH || (st == STATUS_OK && !slice_eq(s.worker, worker)))
        return error_set(err, STATUS_SCRIPT, 0,
                         "`assets.jwt` is not the token of a finished upload of this Worker's assets");
    if (st == STATUS_OK)
        st = load_present(w, worker, a, &stored, err);
    if (st == STATUS_OK)
        st = write_manifest(&text, s.manifest, &stored, err);
    if (st != STATUS_OK)
        return st;
    *ret = arena_copy(a, buf_slice(&text));
    *ret_count = s.manifest->n;
    return ret->ptr ? STATUS_OK : no_memory(err);
}

static enum status read_manifest(struct workers *w, struct slice worker, struct slice version, struct arena *a,
                                 struct json **ret, struct error *err)
{
    struct buf path CLEANUP(buf_release) = { 0 };
    char *bytes;
    size_t len;
    enum status st = worker_file_read(workers_path(w, &path, worker, version, SLICE_LIT("assets.json")), &bytes, &len,
                                      err);

    if (st != STATUS_OK)
        return st;
    struct slice text = arena_copy(a, slice_of(bytes, len));
    free(bytes);
    return text.ptr ? json_parse(text, JSON_STRICT, a, ret, err) : no_memory(err);
}

/* From a date on, navigations prefer assets to the Worker. */
static bool navigation_first(const struct json *document)
{
    const struct json *flags = json_get(document, "compatibility_flags");
    struct slice date = json_get_text(document, "compatibility_date");

    for (const struct json *f = flags ? flags->child : NULL; f; f = f->next) {
        if (slice_eq(f->text, SLICE_LIT("assets_navigation_prefers_asset_serving")))
            return true;
        if (slice_eq(f->text, SLICE_LIT("assets_navigation_has_no_effect")))
            return false;
    }
    return date.len == 10 && memcmp(date.ptr, "2025-04-01", 10) >= 0;
}

static enum status take_files(struct workers *w, struct slice worker, const struct json *manifest, struct arena *a,
                              struct asset_file **ret, struct error *err)
{
    struct asset_file *files = arena_zalloc(a, (manifest->n + 1) * sizeof(*files)), *to = files;
    struct buf path CLEANUP(buf_release) = { 0 };
    int64_t size;

    if (!files)
        return no_memory(err);
    for (const struct json *f = manifest->child; f; f = f->next, to++) {
        struct slice hash = json_get_text(f, "hash");
        workers_path(w, &path, worker, ASSETS_FOLDER, hash);
        if (!json_i64(json_get(f, "size"), &size))
            return error_set(err, STATUS_CORRUPT, 0, "the stored manifest of assets is damaged");
        *to = (struct asset_file){ .path = f->key,
                                   .file = arena_copy(a, buf_slice(&path)),
                                   .etag = hash,
                                   .type = json_get_text(f, "type"),
                                   .size = (uint64_t)size };
        if (!to->file.ptr)
            return no_memory(err);
    }
    *ret = files;
    return STATUS_OK;
}

enum status asset_site_of_version(struct workers *w, const struct worker *worker, const struct version *v,
                                  struct arena *a, struct asset_site **ret, struct error *err)
{
    const struct json *modules = json_get(v->document, "modules");
    struct asset_site_options opt = { .config = json_get(json_get(v->document, "assets"), "config"),
                                      .has_worker = modules && modules->n > 0,
                                      .navigation_first = navigation_first(v->document) };
    struct asset_file *files = NULL;
    struct json *manifest;
    enum status st = read_manifest(w, worker->name, v->id, a, &manifest, err);

    if (st == STATUS_OK)
        st = take_files(w, worker->name, manifest, a, &files, err);
    if (st != STATUS_OK)
        return st;
    opt.files = files;
    opt.n_files = manifest->n;
    return asset_site_new(&opt, ret, err);
}

/* ---- what nobody needs any more ---- */

struct needed {
    struct arena arena;
    struct stored_file *files;
    size_t n, cap;
    bool failed;
};

static void need_all(struct needed *x, const struct json *manifest)
{
    for (const struct json *f = manifest->child; f && !x->failed; f = f->next) {
        if (x->n == x->cap) {
            size_t cap = x->cap ? 2 * x->cap : 256;
            struct stored_file *bigger = realloc(x->files, cap * sizeof(*bigger));
            x->failed = !bigger;
            if (!bigger)
                return;
            x->files = bigger;
            x->cap = cap;
        }
        x->files[x->n++] = (struct stored_file){ .hash = json_get_text(f, "hash") };
    }
}

static void need_session(sqlite3_stmt *stmt, void *arg)
{
    struct needed *x = arg;
    struct json *manifest;
    struct slice text = arena_copy(&x->arena, slice_cstr((const char *)sqlite3_column_text(stmt, 0)));

    if (text.ptr && json_parse(text, JSON_STRICT, &x->arena, &manifest, NULL) == STATUS_OK)
        need_all(x, manifest);
    else
        x->failed = true;
}

static enum status gather_needed(struct workers *w, struct slice name, struct needed *x, struct error *err)
{
    struct worker *worker;
    struct json *manifest;
    struct statement sessions = { .sql = "SELECT manifest FROM worker_asset_sessions WHERE worker = ?1",
                                  .texts = { name },
                                  .n_texts = 1,
                                  .take = need_session,
                                  .arg = x };
    enum status st = catalog_find(workers_store(w), name, &x->arena, &worker, err);

    for (size_t i = 0; st == STATUS_OK && i < worker->n_versions; i++) {
        if (!json_get(worker->versions[i].document, "assets"))
            continue;
        st = read_manifest(w, name, worker->versions[i].id, &x->arena, &manifest, err);
        if (st == STATUS_OK)
            need_all(x, manifest);
    }
    if (st == STATUS_OK)
        st = store_control(workers_store(w), run_statement, &sessions, err);
    return st == STATUS_OK && x->failed ? no_memory(err) : st;
}

static void remove_asset(struct workers *w, struct slice worker, struct slice hash)
{
    struct statement row = { .sql = "DELETE FROM worker_assets WHERE worker = ?1 AND hash = ?2",
                             .texts = { worker, hash },
                             .n_texts = 2 };
    struct buf path CLEANUP(buf_release) = { 0 };

    /* The row first: a row without its file would be a file that nobody uploads again. */
    if (store_control(workers_store(w), run_statement, &row, NULL) != STATUS_OK)
        return;
    (void)unlink(workers_path(w, &path, worker, ASSETS_FOLDER, hash)); /* a file that stays is only space */
}

void asset_store_collect(struct workers *w, struct slice worker)
{
    struct needed x = { 0 };
    struct stored_list stored, needed;
    struct error err;

    arena_init(&x.arena, 256 << 20);
    enum status st = gather_needed(w, worker, &x, &err);
    if (st == STATUS_OK)
        st = load_stored(w, worker, &x.arena, &stored, &err);
    if (st == STATUS_OK) {
        if (x.n)
            qsort(x.files, x.n, sizeof(*x.files), by_hash);
        needed = (struct stored_list){ .files = x.files, .n = x.n };
        for (size_t i = 0; i < stored.n; i++)
            if (!find_stored(&needed, stored.files[i].hash))
                remove_asset(w, worker, stored.files[i].hash);
    } else {
        log_line(LOG_WARN, "Worker %.*s: old assets were not removed: %s", SLICE_FMT(worker), err.msg);
    }
    free(x.files);
    arena_release(&x.arena);
}
