/* databases.c - see databases.h. Shapes: Cloudflare's API reference, "D1 database". All of it runs on the job pool. */
#include "d1/databases.h"

#include "base/clock.h"
#include "base/log.h"
#include "api/api.h"
#include "store/transfers.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the database object ---- */

static void write_text_or_null(struct buf *b, const char *key, const char *text)
{
    buf_printf(b, ",\"%s\":", key);
    if (*text)
        json_write_cstr(b, text);
    else
        buf_append_cstr(b, "null");
}

/* The fields of a list entry; the object stays open. */
static void write_summary(struct buf *b, const struct database_info *info)
{
    char created[CLOCK_ISO_LEN + 1];

    clock_iso(info->created_ms, created);
    buf_printf(b, "{\"uuid\":\"%s\",\"name\":", info->uuid);
    json_write_cstr(b, info->name);
    buf_printf(b, ",\"version\":\"production\",\"created_at\":\"%s\"", created);
    write_text_or_null(b, "jurisdiction", info->jurisdiction);
}

static enum status write_object(struct buf *b, struct database *db, struct error *err)
{
    struct database_info info;
    int64_t bytes = 0, tables = 0;
    uint64_t commit;
    enum status st = database_state(db, &bytes, &commit, &tables, err);

    if (st != STATUS_OK)
        return st;
    database_info(db, &info);
    write_summary(b, &info);
    buf_printf(b, ",\"num_tables\":%lld,\"file_size\":%lld", (long long)tables, (long long)bytes);
    const char *region = info.region[0] ? info.region : "LOCAL";
    buf_printf(b, ",\"running_in_region\":\"%s\",\"created_in_region\":\"%s\"", region, region);
    buf_printf(b, ",\"read_replication\":{\"mode\":\"%s\"},\"profile\":\"%s\"}", info.replication,
               info.profile == SQL_WIDE ? "wide" : "strict");
    return STATUS_OK;
}

/* ---- reading the body ---- */

static enum status invalid(struct error *err, const char *text)
{
    return error_set(err, STATUS_INVALID, 0, "The request is malformed: %s", text);
}

static bool is_one_of(struct slice s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_nocase(s, slice_cstr(words[i])))
            return true;
    return false;
}

static void copy_word(char *to, size_t cap, struct slice s, bool upper)
{
    snprintf(to, cap, "%.*s", SLICE_FMT(s));
    for (char *p = to; upper && *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 32);
}

/* Absent and null members leave *to as it is. */
static enum status take_word(const struct json *body, const char *key, const char *const *words, size_t n, bool upper,
                             char *to, size_t cap, struct error *err)
{
    const struct json *v = json_get(body, key);

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    if (v->type != JSON_STRING || !is_one_of(v->text, words, n)) {
        struct buf text = { 0 };
        buf_printf(&text, "%s must be one of", key);
        for (size_t i = 0; i < n; i++)
            buf_printf(&text, "%s %s", i ? "," : "", words[i]);
        enum status st = invalid(err, text.ptr);
        buf_release(&text);
        return st;
    }
    copy_word(to, cap, v->text, upper);
    return STATUS_OK;
}

static enum status take_profile(const struct json *body, enum sql_profile *ret, struct error *err)
{
    static const char *const words[] = { "strict", "wide" };
    char word[8] = "";
    enum status st = take_word(body, "profile", words, ARRAY_LEN(words), false, word, sizeof(word), err);

    if (st == STATUS_OK && word[0])
        *ret = word[0] == 'w' || word[0] == 'W' ? SQL_WIDE : SQL_STRICT;
    return st;
}

static enum status take_replication(const struct json *body, struct database_info *info, struct error *err)
{
    static const char *const modes[] = { "disabled", "auto" };
    const struct json *v = json_get(body, "read_replication");

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    if (v->type != JSON_OBJECT || !json_get(v, "mode"))
        return invalid(err, "read_replication must be {\"mode\":\"disabled\"} or {\"mode\":\"auto\"}");
    return take_word(v, "mode", modes, ARRAY_LEN(modes), false, info->replication, sizeof(info->replication), err);
}

/* A configuration may know the id already: what is made for it is then found by it. */
static enum status take_id(const struct json *body, struct database_info *info, struct error *err)
{
    const struct json *v = json_get(body, "uuid");

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    if (v->type != JSON_STRING || !uuid_is_valid(v->text))
        return invalid(err, "uuid must be a UUID in lower case");
    copy_word(info->uuid, sizeof(info->uuid), v->text, false);
    return STATUS_OK;
}

static enum status take_new(const struct json *body, struct database_info *info, struct error *err)
{
    static const char *const regions[] = { "wnam", "enam", "weur", "eeur", "apac", "oc" };
    static const char *const jurisdictions[] = { "eu", "fedramp", "us" };
    const struct json *name = json_get(body, "name");

    *info = (struct database_info){ .replication = "disabled" };
    if (!json_is(name, JSON_STRING))
        return invalid(err, "name must be a string");
    if (name->text.len > DATABASE_NAME_MAX || memchr(name->text.ptr, 0, name->text.len))
        return invalid(err, "name is too long or holds a NUL");
    copy_word(info->name, sizeof(info->name), name->text, false);
    enum status st = take_id(body, info, err);
    if (st == STATUS_OK)
        st = take_word(body, "primary_location_hint", regions, ARRAY_LEN(regions), true, info->region,
                       sizeof(info->region), err);
    if (st == STATUS_OK)
        st = take_word(body, "jurisdiction", jurisdictions, ARRAY_LEN(jurisdictions), false, info->jurisdiction,
                       sizeof(info->jurisdiction), err);
    if (st == STATUS_OK)
        st = take_replication(body, info, err);
    return st == STATUS_OK ? take_profile(body, &info->profile, err) : st;
}

/* ---- handlers ---- */

static enum status work_create(struct blocking_call *call)
{
    struct database_info info;
    struct database *db = NULL;
    enum status st = take_new(call->arg, &info, &call->err);

    if (st == STATUS_OK)
        st = store_create(api_of(call->req)->store, &info, &db, &call->err);
    if (st == STATUS_OK)
        st = write_object(&call->result, db, &call->err);
    database_unref(db);
    return st;
}

void databases_create(struct http_request *req)
{
    const struct json *body;

    if (!api_account(req, API_WRITE) || !api_keep_body(req, &body))
        return;
    blocking_call(req, store_job_pool(api_of(req)->store), work_create, NULL, (void *)body);
}

static void write_list(struct buf *b, struct database **list, size_t n)
{
    buf_append_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        struct database_info info;
        database_info(list[i], &info);
        if (i)
            buf_append_char(b, ',');
        write_summary(b, &info);
        buf_append_char(b, '}');
        database_unref(list[i]);
    }
    buf_append_char(b, ']');
}

/* A token for one database sees that one, and nothing that tells of others. */
static enum status list_page(struct http_request *req, size_t page, size_t per_page, struct database ***ret,
                             size_t *ret_n, size_t *ret_total, struct error *err)
{
    struct store *store = api_of(req)->store;
    const struct token_grant *grant = req->auth;
    struct slice filter = http_query(req, "name");
    struct database_info info;

    if (grant_allows(grant, NULL, false))
        return store_list(store, filter, (page - 1) * per_page, per_page, ret, ret_n, ret_total, err);
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    struct database *db = store_find(store, slice_cstr(grant->database));
    if (db)
        database_info(db, &info);
    bool fits = db && (!filter.ptr || strcasestr(info.name, filter.ptr));
    *ret_total = fits;
    *ret_n = fits && page == 1;
    if (*ret_n)
        (*ret)[0] = db;
    else
        database_unref(db);
    return STATUS_OK;
}

/* Needs no file, so it answers on the loop. */
void databases_list(struct http_request *req)
{
    size_t page, per_page, n, total;
    struct database **list;
    struct buf result = { 0 }, info = { 0 };
    struct error err;

    if (!envelope_page(req, 100, 10000, &page, &per_page))
        return;
    if (list_page(req, page, per_page, &list, &n, &total, &err) != STATUS_OK) {
        envelope_error(req, &err);
        return;
    }
    write_list(&result, list, n);
    free(list);
    envelope_page_info(&info, page, per_page, n, total);
    envelope_ok(req, buf_slice(&result), buf_slice(&info));
    buf_release(&result);
    buf_release(&info);
}

static void work_on_database(struct http_request *req, enum api_right right,
                             enum status (*work)(struct blocking_call *call))
{
    struct database *db = api_database(req, right);

    if (db)
        blocking_call(req, store_job_pool(api_of(req)->store), work, NULL, db);
}

static enum status work_get(struct blocking_call *call)
{
    struct database *db = call->arg;
    enum status st = write_object(&call->result, db, &call->err);

    database_unref(db);
    return st;
}

/* `fields=uuid,name` (or repeated) asks for part of the object. Only those two need no look into the file. */
static bool wants_only_names(struct http_request *req)
{
    struct slice rest = req->query;
    bool any = false;

    while (rest.ptr) {
        struct slice value = slice_cut(&rest, '&'), key = slice_cut(&value, '=');
        if (!slice_eq(key, SLICE_LIT("fields")))
            continue;
        struct slice list = http_percent_decode(req->arena, value, true);
        while (list.ptr && list.len) {
            struct slice field = slice_cut(&list, ',');
            if (!slice_eq(field, SLICE_LIT("uuid")) && !slice_eq(field, SLICE_LIT("name")))
                return false;
            any = true;
        }
    }
    return any;
}

void databases_get(struct http_request *req)
{
    struct database_info info;
    struct buf result = { 0 };

    if (!wants_only_names(req)) {
        work_on_database(req, API_READ, work_get);
        return;
    }
    struct database *db = api_database(req, API_READ);
    if (!db)
        return;
    database_info(db, &info);
    database_unref(db);
    buf_printf(&result, "{\"uuid\":\"%s\",\"name\":", info.uuid);
    json_write_cstr(&result, info.name);
    buf_append_char(&result, '}');
    envelope_ok(req, buf_slice(&result), SLICE_NONE);
    buf_release(&result);
}

static enum status update(struct http_request *req, struct database *db, const struct json *body, struct error *err)
{
    struct database_info info;

    database_info(db, &info);
    enum status st = take_replication(body, &info, err);
    if (st == STATUS_OK)
        st = take_profile(body, &info.profile, err);
    if (st == STATUS_OK && req->method == HTTP_M_PUT && !json_get(body, "read_replication"))
        st = invalid(err, "PUT needs read_replication");
    if (st == STATUS_OK && body->n == 0)
        st = invalid(err, "give read_replication or profile");
    return st == STATUS_OK ? store_update(api_of(req)->store, db, &info, err) : st;
}

static enum status work_update(struct blocking_call *call)
{
    struct database *db = call->arg;
    enum status st = update(call->req, db, call->req->user, &call->err);

    if (st == STATUS_OK)
        st = write_object(&call->result, db, &call->err);
    database_unref(db);
    return st;
}

void databases_update(struct http_request *req)
{
    const struct json *body;

    if (!api_keep_body(req, &body))
        return;
    req->user = (void *)body;
    work_on_database(req, API_WRITE, work_update);
}

static enum status work_delete(struct blocking_call *call)
{
    struct database *db = call->arg;
    struct api *api = api_of(call->req);

    transfers_cancel_database(api->transfers, db);
    enum status st = store_delete(api->store, db, &call->err);

    /* The database is gone either way; what is left over of it is only bookkeeping. */
    if (st == STATUS_OK && (tokens_revoke_database(api->tokens, database_uuid(db), &call->err) != STATUS_OK ||
                            metrics_forget(api->metrics, database_uuid(db), &call->err) != STATUS_OK))
        log_line(LOG_WARN, "database %s is deleted, but its tokens or metrics are not: %s", database_uuid(db),
                 call->err.msg);
    database_unref(db);
    return st;
}

void databases_delete(struct http_request *req)
{
    work_on_database(req, API_WRITE, work_delete);
}

/* ---- time travel ---- */

static enum status work_bookmark(struct blocking_call *call)
{
    struct database *db = call->arg;
    char bookmark[BOOKMARK_LEN + 1];
    int64_t bytes;
    uint64_t commit;
    enum status st = database_state(db, &bytes, &commit, NULL, &call->err);

    if (st == STATUS_OK) {
        bookmark_format(database_uuid(db), commit, bookmark);
        buf_printf(&call->result, "{\"bookmark\":\"%s\"}", bookmark);
    }
    database_unref(db);
    return st;
}

void databases_bookmark(struct http_request *req)
{
    struct slice timestamp = http_query(req, "timestamp");
    int64_t wanted_ms;

    if (timestamp.len && !clock_parse_iso(timestamp, &wanted_ms)) {
        api_fail(req, STATUS_INVALID,
                 "The request is malformed: timestamp must be ISO 8601, such as 2026-01-31T12:00:00Z");
        return;
    }
    /* Without a history only the present has a bookmark. */
    if (timestamp.len && wanted_ms < clock_wall_ms() - 1000) {
        api_fail(req, STATUS_NOTIMPL,
                 "This server keeps no history yet: only the current bookmark is known (leave out timestamp)");
        return;
    }
    work_on_database(req, API_READ, work_bookmark);
}

void databases_restore(struct http_request *req)
{
    struct database *db = api_database(req, API_WRITE);

    if (!db)
        return;
    database_unref(db);
    api_fail(
        req, STATUS_NOTIMPL,
        "This server keeps no history yet, so it cannot restore. Export the database and import it elsewhere to keep "
        "a copy");
}
