/*
 * export.c - the export protocol: the client asks until the dump is complete, then fetches it from a URL that needs no
 * token. A poll that finds the work unfinished waits up to a second, on the loop, without a thread.
 */
#include "d1/transfers.h"

#include "api/api.h"
#include "store/transfers.h"

#include <stdio.h>

/* A request that waits; in its arena. */
struct poll {
    struct http_request *req;
    struct transfer *transfer;
};

/* ---- shared with import.c ---- */

void transfers_refuse(struct http_request *req, const struct error *err)
{
    struct buf b = { 0 };

    buf_append_cstr(&b, "{\"success\":false,\"error\":");
    json_write_cstr(&b, err->msg);
    buf_append_char(&b, '}');
    envelope_ok(req, buf_slice(&b), SLICE_NONE);
    buf_release(&b);
}

/* It comes from the client and goes back to it: nothing but what a host and port are made of. */
static bool host_is_plain(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr(".-_:[]", c);
        if (!ok || !c)
            return false;
    }
    return host.len > 0;
}

bool transfers_base_url(struct http_request *req, struct buf *b)
{
    struct slice host = http_header(req, "host"), forwarded = http_header(req, "x-forwarded-proto");
    bool is_https = slice_eq_nocase(slice_trim(slice_cut(&forwarded, ',')), SLICE_LIT("https"));

    if (!host_is_plain(host)) {
        api_fail(req, STATUS_INVALID, "The request is malformed: the Host header must name this server");
        return false;
    }
    buf_append_cstr(b, is_https ? "https://" : "http://");
    buf_append_slice(b, host);
    return true;
}

/* ---- the status object ---- */

static void write_head(struct buf *b, const char *status, const struct transfer_view *v)
{
    buf_printf(b, "{\"success\":true,\"type\":\"export\",\"status\":\"%s\",\"at_bookmark\":\"%s\"", status,
               v->bookmark);
}

static void write_messages(struct buf *b, const struct transfer_view *v)
{
    buf_append_cstr(b, ",\"messages\":[\"Generating dump\"");
    if (v->statements)
        buf_printf(b, ",\"Wrote %llu statements (%.1f MB)\"", (unsigned long long)v->statements,
                   (double)v->bytes / 1e6);
    buf_append_cstr(b, "],\"error\":\"\"}");
}

/* False: it has answered. */
static bool write_complete(struct poll *p, const struct transfer_view *v, struct buf *b)
{
    char uuid[UUID_LEN + 1];

    transfer_database_uuid(p->transfer, uuid);
    write_head(b, "complete", v);
    buf_printf(b, ",\"messages\":[],\"error\":\"\",\"result\":{\"filename\":\"%s.sql\",\"signed_url\":\"", uuid);
    if (!transfers_base_url(p->req, b))
        return false;
    buf_printf(b, "/dione/exports/%s/%s.sql\"}}", v->id, uuid);
    return true;
}

static void write_failed(struct buf *b, const struct transfer_view *v)
{
    write_head(b, "error", v);
    buf_append_cstr(b, ",\"messages\":[],\"error\":");
    json_write_cstr(b, v->err.msg);
    buf_append_char(b, '}');
}

static void answer(void *arg)
{
    struct poll *p = arg;
    struct transfer_view v;
    struct buf b = { 0 };
    bool answered = false;

    transfer_view(p->transfer, &v);
    if (v.state == TRANSFER_DONE) {
        answered = !write_complete(p, &v, &b);
    } else if (v.state == TRANSFER_FAILED) {
        write_failed(&b, &v);
    } else {
        write_head(&b, "active", &v);
        write_messages(&b, &v);
    }
    transfer_unref(p->transfer);
    if (!answered)
        envelope_ok(p->req, buf_slice(&b), SLICE_NONE);
    buf_release(&b);
}

/* Takes the reference. */
static void wait_or_answer(struct http_request *req, struct transfer *x, uint64_t timeout_ms, void (*fn)(void *arg))
{
    struct poll *p = ARENA_NEW(req->arena, struct poll);

    if (!p || !http_request_keep(req)) {
        transfer_unref(x);
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    *p = (struct poll){ .req = req, .transfer = x };
    if (!transfer_wait(x, req->loop, timeout_ms, fn, p))
        fn(p);
}

/* ---- the body ---- */

static enum status malformed(struct error *err, const char *text)
{
    return error_set(err, STATUS_INVALID, 0, "The request is malformed: %s", text);
}

static enum status take_flag(const struct json *options, const char *key, bool *ret, struct error *err)
{
    const struct json *v = json_get(options, key);

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    if (v->type != JSON_TRUE && v->type != JSON_FALSE)
        return malformed(err, "no_schema and no_data must be booleans");
    *ret = v->type == JSON_TRUE;
    return STATUS_OK;
}

static enum status take_tables(const struct json *tables, struct arena *a, struct transfer_export *ret,
                               struct error *err)
{
    if (!tables || tables->type == JSON_NULL)
        return STATUS_OK;
    if (tables->type != JSON_ARRAY)
        return malformed(err, "tables must be an array of names");
    struct slice *names = arena_zalloc(a, (tables->n + 1) * sizeof(*names));
    if (!names)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    for (const struct json *v = tables->child; v; v = v->next) {
        if (v->type != JSON_STRING)
            return malformed(err, "tables must be an array of names");
        names[ret->n_tables++] = v->text;
    }
    ret->tables = names;
    return STATUS_OK;
}

static enum status take_options(const struct json *body, struct arena *a, struct transfer_export *ret,
                                struct error *err)
{
    const struct json *format = json_get(body, "output_format"), *options = json_get(body, "dump_options");
    enum status st;

    if (format && (format->type != JSON_STRING || !slice_eq(format->text, SLICE_LIT("polling"))))
        return malformed(err, "output_format must be \"polling\"");
    if (options && options->type != JSON_OBJECT && options->type != JSON_NULL)
        return malformed(err, "dump_options must be an object");
    st = take_flag(options, "no_schema", &ret->no_schema, err);
    if (st == STATUS_OK)
        st = take_flag(options, "no_data", &ret->no_data, err);
    if (st == STATUS_OK)
        st = take_tables(json_get(options, "tables"), a, ret, err);
    if (st == STATUS_OK && ret->no_schema && ret->no_data)
        return malformed(err, "no_schema and no_data together leave nothing to export");
    return st;
}

/* ---- handlers ---- */

static void start_or_find(struct http_request *req, struct database *db, const struct json *body)
{
    struct transfers *transfers = api_of(req)->transfers;
    const struct json *current = json_get(body, "current_bookmark");
    struct transfer_export opt = { .kind = TRANSFER_EXPORT_SQL };
    struct transfer *x = NULL;
    struct error err;

    if (current && current->type == JSON_STRING && current->text.len) {
        x = transfers_find(transfers, db, TRANSFER_EXPORT_SQL, current->text);
        if (x) {
            wait_or_answer(req, x, TRANSFERS_HOLD_MS, answer);
            return;
        }
        IGNORE_RESULT(error_set(&err, STATUS_NOTFOUND, 0,
                                "No export of this database has the bookmark that was given; begin "
                                "again without current_bookmark")); /* fills err */
        transfers_refuse(req, &err);
        return;
    }
    enum status st = take_options(body, req->arena, &opt, &err);
    if (st == STATUS_OK)
        st = transfers_export(transfers, db, &opt, &x, &err);
    if (st != STATUS_OK)
        envelope_error(req, &err);
    else
        wait_or_answer(req, x, TRANSFERS_HOLD_MS, answer);
}

void exports_poll(struct http_request *req)
{
    const struct json *body;
    struct database *db = api_database(req, API_READ);

    if (!db)
        return;
    if (envelope_body(req, &body))
        start_or_find(req, db, body);
    database_unref(db);
}

/* Opening a file that was just written does not wait for the disk; reading it is the server's own business. */
static void send_file(struct http_request *req, struct transfer *x, const char *type, const char *suffix)
{
    char uuid[UUID_LEN + 1], disposition[UUID_LEN + 64];
    struct error err;
    uint64_t size;
    int fd;

    if (transfer_open_file(x, &fd, &size, &err) != STATUS_OK) {
        envelope_error(req, &err);
        return;
    }
    transfer_database_uuid(x, uuid);
    snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s.%s\"", uuid, suffix);
    http_respond_header(req, "Content-Disposition", slice_cstr(disposition));
    http_respond_header(req, "Cache-Control", SLICE_LIT("private, no-store"));
    http_respond_file(req, 200, type, fd, size);
}

static void answer_sqlite(void *arg)
{
    struct poll *p = arg;
    struct transfer_view v;

    transfer_view(p->transfer, &v);
    if (v.state == TRANSFER_FAILED)
        envelope_error(p->req, &v.err);
    else if (v.state == TRANSFER_RUNNING)
        api_fail(p->req, STATUS_STOPPING, "The server is stopping");
    else
        send_file(p->req, p->transfer, "application/vnd.sqlite3", "sqlite");
    /* The answer has it open; nobody else can ask for it. */
    transfer_forget(p->transfer);
    transfer_unref(p->transfer);
}

void exports_sqlite(struct http_request *req)
{
    struct transfer_export opt = { .kind = TRANSFER_EXPORT_SQLITE };
    struct transfer *x;
    struct error err;
    struct database *db = api_database(req, API_READ);

    if (!db)
        return;
    if (transfers_export(api_of(req)->transfers, db, &opt, &x, &err) == STATUS_OK)
        wait_or_answer(req, x, 0, answer_sqlite);
    else
        envelope_error(req, &err);
    database_unref(db);
}

void exports_download(struct http_request *req)
{
    struct transfer *x = req->params[0].len == TRANSFER_ID_LEN
                             ? transfers_find(api_of(req)->transfers, NULL, TRANSFER_EXPORT_SQL, req->params[0])
                             : NULL;
    char uuid[UUID_LEN + 1] = "", file[UUID_LEN + 8];

    if (x)
        transfer_database_uuid(x, uuid);
    snprintf(file, sizeof(file), "%s.sql", uuid);
    if (x && slice_eq(req->params[1], slice_cstr(file)))
        send_file(req, x, "application/sql", "sql");
    else
        api_fail(req, STATUS_NOTFOUND, "There is no such export; the URL of an export is valid for one hour");
    transfer_unref(x);
}
