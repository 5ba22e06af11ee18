/* token_api.c - tokens over HTTP. Each change waits for the disk, so all of it runs on the job pool. */
#include "base/clock.h"
#include "control/api.h"
#include "api/api.h"
#include "kv/kv.h"

#include <stdio.h>
#include <stdlib.h>

enum { PER_PAGE_MAX = 1000 };

/* ---- the token object ---- */

static void write_time(struct buf *b, const char *key, int64_t ms)
{
    char text[CLOCK_ISO_LEN + 1];

    if (ms) {
        clock_iso(ms, text);
        buf_printf(b, ",\"%s\":\"%s\"", key, text);
    } else {
        buf_printf(b, ",\"%s\":null", key);
    }
}

/* The name for people; a database or namespace that was deleted since has none. */
static void write_database(struct buf *b, const struct api *api, const char *uuid)
{
    struct database *db = *uuid ? store_find(api->store, slice_cstr(uuid)) : NULL;
    struct kv_namespace *ns = *uuid ? kv_find(api->kv, slice_cstr(uuid)) : NULL;
    struct kv_namespace_info named;
    struct database_info info;

    buf_append_cstr(b, ",\"database\":");
    if (*uuid)
        json_write_cstr(b, uuid);
    else
        buf_append_cstr(b, "null");
    buf_append_cstr(b, ",\"database_name\":");
    if (db) {
        database_info(db, &info);
        json_write_cstr(b, info.name);
    } else if (ns) {
        kv_namespace_info(ns, &named);
        json_write_cstr(b, named.title);
    } else {
        buf_append_cstr(b, "null");
    }
    database_unref(db);
    kv_namespace_unref(ns);
}

/* `secret` is NULL but for a token that was just made. */
static void write_token(struct buf *b, const struct api *api, const struct token_info *info, const char *secret)
{
    buf_printf(b, "{\"id\":\"%s\"", info->grant.id);
    if (secret)
        buf_printf(b, ",\"token\":\"%s\"", secret);
    buf_append_cstr(b, ",\"name\":");
    json_write_cstr(b, info->name);
    buf_printf(b, ",\"scope\":\"%s\"", info->grant.can_write ? "write" : "read");
    write_database(b, api, info->grant.database);
    write_time(b, "created_at", info->created_ms);
    write_time(b, "expires_at", info->expires_ms);
    write_time(b, "last_used_at", info->last_used_ms);
    buf_append_char(b, '}');
}

/* ---- create ---- */

static enum status invalid(struct error *err, const char *text)
{
    return error_set(err, STATUS_INVALID, 0, "The request is malformed: %s", text);
}

/* A misspelt "expires_at" must not make a token that lasts for ever. */
static enum status check_members(const struct json *body, struct error *err)
{
    static const char *const known[] = { "name", "scope", "database", "expires_at" };

    for (const struct json *member = body->child; member; member = member->next) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found = found || slice_eq(member->key, slice_cstr(known[i]));
        if (!found)
            return invalid(err, "a token has name, scope, database and expires_at, nothing else");
    }
    return STATUS_OK;
}

static enum status take_name(const struct json *body, struct token_info *info, struct error *err)
{
    struct slice name = slice_trim(json_get_text(body, "name"));

    if (name.len == 0 || name.len > TOKEN_NAME_MAX)
        return invalid(err, "name must be a text of 1 to 100 bytes");
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ')
            return invalid(err, "name must not have control characters");
    memcpy(info->name, name.ptr, name.len);
    return STATUS_OK;
}

static enum status take_scope(const struct json *body, struct token_info *info, struct error *err)
{
    struct slice scope = json_get_text(body, "scope");

    info->grant.can_write = slice_eq(scope, SLICE_LIT("write"));
    if (info->grant.can_write || slice_eq(scope, SLICE_LIT("read")))
        return STATUS_OK;
    return invalid(err, "scope must be \"read\" or \"write\"");
}

/* A database by id or name, or a KV namespace by id. */
static enum status take_database(const struct api *api, const struct json *body, struct token_info *info,
                                 struct error *err)
{
    const struct json *v = json_get(body, "database");

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    if (v->type != JSON_STRING)
        return invalid(err, "database must be an id or a name, or null for the whole account");
    struct database *db = store_find(api->store, v->text);
    struct kv_namespace *ns = db ? NULL : kv_find(api->kv, v->text);
    if (ns) {
        snprintf(info->grant.database, sizeof(info->grant.database), "%s", kv_namespace_id(ns));
        kv_namespace_unref(ns);
        return STATUS_OK;
    }
    if (!db)
        return error_set(err, STATUS_NODB, 0, "The database %.*s could not be found",
                         v->text.len > DATABASE_NAME_MAX ? DATABASE_NAME_MAX : (int)v->text.len, v->text.ptr);
    snprintf(info->grant.database, sizeof(info->grant.database), "%s", database_uuid(db));
    database_unref(db);
    return STATUS_OK;
}

static enum status take_expiry(const struct json *body, struct token_info *info, struct error *err)
{
    const struct json *v = json_get(body, "expires_at");

    if (!v || v->type == JSON_NULL)
        return STATUS_OK;
    if (v->type != JSON_STRING || !clock_parse_iso(v->text, &info->expires_ms))
        return invalid(err, "expires_at must be null or a time such as \"2030-01-31T12:00:00Z\"");
    if (info->expires_ms <= clock_wall_ms())
        return invalid(err, "expires_at must be in the future");
    return STATUS_OK;
}

static enum status take_token(const struct api *api, const struct json *body, struct token_info *info,
                              struct error *err)
{
    enum status st = check_members(body, err);

    if (st == STATUS_OK)
        st = take_name(body, info, err);
    if (st == STATUS_OK)
        st = take_scope(body, info, err);
    if (st == STATUS_OK)
        st = take_database(api, body, info, err);
    if (st == STATUS_OK)
        st = take_expiry(body, info, err);
    return st;
}

static enum status work_create(struct blocking_call *call)
{
    struct token_info *info = call->arg;
    char secret[TOKEN_LEN + 1];
    enum status st = tokens_create(api_of(call->req)->tokens, info, secret, &call->err);

    if (st == STATUS_OK)
        write_token(&call->result, api_of(call->req), info, secret);
    return st;
}

void token_create(struct http_request *req)
{
    struct store *store = api_of(req)->store;
    struct token_info *info = ARENA_NEW(req->arena, struct token_info);
    const struct json *body;
    struct error err;

    if (!api_account(req, API_WRITE))
        return;
    if (!info) {
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    if (!envelope_body(req, &body))
        return;
    /* Everything is copied into *info, so the body may go when the request is kept. */
    if (take_token(api_of(req), body, info, &err) != STATUS_OK) {
        envelope_error(req, &err);
        return;
    }
    blocking_call(req, store_job_pool(store), work_create, NULL, info);
}

/* ---- list ---- */

struct page {
    size_t page, per_page;
};

static enum status work_list(struct blocking_call *call)
{
    const struct page *p = call->arg;
    struct token_info *list;
    size_t n, total;
    enum status st = tokens_list(api_of(call->req)->tokens, (p->page - 1) * p->per_page, p->per_page, &list, &n, &total,
                                 &call->err);

    if (st != STATUS_OK)
        return st;
    buf_append_char(&call->result, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_append_char(&call->result, ',');
        write_token(&call->result, api_of(call->req), &list[i], NULL);
    }
    buf_append_char(&call->result, ']');
    envelope_page_info(&call->info, p->page, p->per_page, n, total);
    free(list);
    return STATUS_OK;
}

void token_list(struct http_request *req)
{
    struct page *p = ARENA_NEW(req->arena, struct page);

    if (!api_account(req, API_WRITE))
        return;
    if (!p) {
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    if (envelope_page(req, PER_PAGE_MAX, PER_PAGE_MAX, &p->page, &p->per_page))
        blocking_call(req, store_job_pool(api_of(req)->store), work_list, NULL, p);
}

/* ---- revoke ---- */

static enum status work_revoke(struct blocking_call *call)
{
    struct slice id = call->req->params[1];
    enum status st = tokens_revoke(api_of(call->req)->tokens, id, &call->err);

    if (st == STATUS_OK) {
        buf_append_cstr(&call->result, "{\"id\":");
        json_write_text(&call->result, id);
        buf_append_char(&call->result, '}');
    }
    return st;
}

void token_revoke(struct http_request *req)
{
    if (api_account(req, API_WRITE))
        blocking_call(req, store_job_pool(api_of(req)->store), work_revoke, NULL, NULL);
}
