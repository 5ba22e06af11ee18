/* routes.c - see routes.h. The hot routes come first: matching walks the table. */
#include "control/routes.h"

#include "base/clock.h"
#include "control/api.h"
#include "api/api.h"
#include "api/binding_token.h"
#include "api/credentials.h"
#include "d1/binding.h"
#include "d1/databases.h"
#include "d1/graphql.h"
#include "d1/query.h"
#include "d1/transfers.h"
#include "kv/binding.h"
#include "kv/rest.h"
#include "workers/assets.h"
#include "workers/handlers.h"
#include "workers/upload.h"

#include <stdio.h>

/* http_route.flags: answered without a token; admitted by that of an asset upload. */
enum { PUBLIC = 1, UPLOAD_TOKEN = 2 };

#define DB "accounts/:account/d1/database/:db"
#define NS "accounts/:account/storage/kv/namespaces/:ns"
#define SCRIPT "accounts/:account/workers/scripts/:script"

static void health(struct http_request *req)
{
    struct buf body = { 0 };

    buf_append(&body, "{\"status\":\"ok\"}", 15);
    http_respond(req, 200, "application/json", &body);
}

/* "begin" routes take their body as a stream. */
const struct http_route routes[] = {
    { HTTP_M_POST, DB "/query", query_objects, 0, 0, NULL },
    { HTTP_M_POST, DB "/raw", query_arrays, 0, 0, NULL },
    { HTTP_M_GET, NS "/values/:key", kv_rest_get, 0, 0, NULL },
    { HTTP_M_PUT, NS "/values/:key", kv_rest_put, 0, 0, kv_rest_put_begin },
    { HTTP_M_DELETE, NS "/values/:key", kv_rest_delete, 0, 0, NULL },
    { HTTP_M_POST, NS "/values/:key/increment", kv_rest_increment, 0, 0, NULL },
    { HTTP_M_GET, "health", health, 0, PUBLIC, NULL },
    { HTTP_M_GET, DB, databases_get, 0, 0, NULL },
    { HTTP_M_PATCH, DB, databases_update, 0, 0, NULL },
    { HTTP_M_PUT, DB, databases_update, 0, 0, NULL },
    { HTTP_M_DELETE, DB, databases_delete, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/d1/database", databases_list, 0, 0, NULL },
    { HTTP_M_POST, "accounts/:account/d1/database", databases_create, 0, 0, NULL },
    { HTTP_M_POST, DB "/transaction", transaction_begin, 0, 0, NULL },
    { HTTP_M_POST, DB "/transaction/:id/query", transaction_query, 0, 0, NULL },
    { HTTP_M_POST, DB "/transaction/:id/raw", transaction_raw, 0, 0, NULL },
    { HTTP_M_POST, DB "/transaction/:id/commit", transaction_commit, 0, 0, NULL },
    { HTTP_M_POST, DB "/transaction/:id/rollback", transaction_rollback, 0, 0, NULL },
    { HTTP_M_POST, DB "/export", exports_poll, 0, 0, NULL },
    { HTTP_M_GET, DB "/export/sqlite", exports_sqlite, 0, 0, NULL },
    { HTTP_M_POST, DB "/import", imports_step, 0, 0, NULL },
    { HTTP_M_GET, "dione/exports/:token/:file", exports_download, 0, PUBLIC, NULL },
    { HTTP_M_PUT, "dione/imports/:token", NULL, 0, PUBLIC, imports_upload },
    { HTTP_M_GET, DB "/time_travel/bookmark", databases_bookmark, 0, 0, NULL },
    { HTTP_M_POST, DB "/time_travel/restore", databases_restore, 0, 0, NULL },
    { HTTP_M_GET, NS "/values/", kv_rest_get, 0, 0, NULL }, /* an empty key, which is refused as one */
    { HTTP_M_PUT, NS "/values/", kv_rest_put, 0, 0, kv_rest_put_begin },
    { HTTP_M_DELETE, NS "/values/", kv_rest_delete, 0, 0, NULL },
    { HTTP_M_GET, NS "/metadata/:key", kv_rest_metadata, 0, 0, NULL },
    { HTTP_M_GET, NS "/keys", kv_rest_keys, 0, 0, NULL },
    { HTTP_M_PUT, NS "/bulk", kv_rest_bulk_put, 0, 0, kv_rest_bulk_put_begin },
    { HTTP_M_DELETE, NS "/bulk", kv_rest_bulk_delete, 0, 0, kv_rest_bulk_delete_begin },
    { HTTP_M_POST, NS "/bulk/delete", kv_rest_bulk_delete, 0, 0, kv_rest_bulk_delete_begin },
    { HTTP_M_POST, NS "/bulk/get", kv_rest_bulk_get, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/storage/kv/namespaces", kv_rest_list, 0, 0, NULL },
    { HTTP_M_POST, "accounts/:account/storage/kv/namespaces", kv_rest_create, 0, 0, NULL },
    { HTTP_M_GET, NS, kv_rest_namespace, 0, 0, NULL },
    { HTTP_M_PUT, NS, kv_rest_update, 0, 0, NULL },
    { HTTP_M_PATCH, NS, kv_rest_update, 0, 0, NULL },
    { HTTP_M_DELETE, NS, kv_rest_remove, 0, 0, NULL },
    { HTTP_M_POST, "graphql", graphql_post, 0, 0, NULL },
    { HTTP_M_GET, "user/tokens/verify", identity_verify, 0, 0, NULL },
    { HTTP_M_GET, "user", identity_user, 0, 0, NULL },
    { HTTP_M_GET, "accounts", identity_accounts, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account", identity_account, 0, 0, NULL },
    { HTTP_M_GET, "memberships", identity_memberships, 0, 0, NULL },
    { HTTP_M_POST, "accounts/:account/dione/tokens", token_create, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/dione/tokens", token_list, 0, 0, NULL },
    { HTTP_M_DELETE, "accounts/:account/dione/tokens/:id", token_revoke, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/scripts", scripts_list, 0, 0, NULL },
    { HTTP_M_PUT, SCRIPT, scripts_put, UPLOAD_BODY_MAX_BYTES, 0, NULL },
    { HTTP_M_GET, SCRIPT, scripts_get, 0, 0, NULL },
    { HTTP_M_DELETE, SCRIPT, scripts_delete, 0, 0, NULL },
    { HTTP_M_PUT, SCRIPT "/content", scripts_content, UPLOAD_BODY_MAX_BYTES, 0, NULL },
    { HTTP_M_GET, SCRIPT "/content/v2", scripts_get, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/references", scripts_references, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/versions", versions_list, 0, 0, NULL },
    { HTTP_M_POST, SCRIPT "/versions", versions_upload, UPLOAD_BODY_MAX_BYTES, 0, NULL },
    { HTTP_M_GET, SCRIPT "/versions/:version", versions_get, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/deployments", deployments_list, 0, 0, NULL },
    { HTTP_M_POST, SCRIPT "/deployments", deployments_create, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/deployments/:deployment", deployments_get, 0, 0, NULL },
    { HTTP_M_DELETE, SCRIPT "/deployments/:deployment", deployments_delete, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/settings", settings_get, 0, 0, NULL },
    { HTTP_M_PATCH, SCRIPT "/settings", settings_patch, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/script-settings", script_settings_get, 0, 0, NULL },
    { HTTP_M_PATCH, SCRIPT "/script-settings", script_settings_patch, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/secrets", secrets_list, 0, 0, NULL },
    { HTTP_M_PUT, SCRIPT "/secrets", secrets_put, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/secrets/:secret", secrets_get, 0, 0, NULL },
    { HTTP_M_DELETE, SCRIPT "/secrets/:secret", secrets_delete, 0, 0, NULL },
    { HTTP_M_PATCH, SCRIPT "/secrets-bulk", secrets_bulk, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/subdomain", host_get, 0, 0, NULL },
    { HTTP_M_POST, SCRIPT "/subdomain", host_set, 0, 0, NULL },
    { HTTP_M_DELETE, SCRIPT "/subdomain", host_delete, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/schedules", crons_get, 0, 0, NULL },
    { HTTP_M_PUT, SCRIPT "/schedules", crons_set, 0, 0, NULL },
    { HTTP_M_POST, SCRIPT "/dione/scheduled", crons_run, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/routes", routes_get, 0, 0, NULL },
    { HTTP_M_PUT, SCRIPT "/routes", routes_set, 0, 0, NULL },
    { HTTP_M_POST, SCRIPT "/domains/changeset", domains_changeset, 0, 0, NULL },
    { HTTP_M_PUT, SCRIPT "/domains/records", domains_set, 0, 0, NULL },
    { HTTP_M_GET, SCRIPT "/tails", tails_list, 0, 0, NULL },
    { HTTP_M_POST, SCRIPT "/tails", tails_create, 0, 0, NULL },
    { HTTP_M_DELETE, SCRIPT "/tails/:tail", tails_delete, 0, 0, NULL },
    { HTTP_M_GET, "dione/tails/:tail", tails_follow, 0, PUBLIC, NULL },
    { HTTP_M_GET, SCRIPT "/dione/events", events_list, 0, 0, NULL },
    { HTTP_M_POST, SCRIPT "/assets-upload-session", assets_session, 0, 0, NULL },
    { HTTP_M_POST, "accounts/:account/workers/assets/upload", assets_upload, UPLOAD_BODY_MAX_BYTES, UPLOAD_TOKEN,
      NULL },
    { HTTP_M_POST, "accounts/:account/workers/assets/upload/:hash", assets_upload_one, UPLOAD_BODY_MAX_BYTES,
      UPLOAD_TOKEN, NULL },
    { HTTP_M_GET, "accounts/:account/workers/domains", domains_list, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/domains/records", domains_list, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/services/:script", services_get, 0, 0, NULL },
    { HTTP_M_DELETE, "accounts/:account/workers/services/:script", scripts_delete, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/workers", workers_list, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/workers/:script", workers_get, 0, 0, NULL },
    { HTTP_M_PATCH, "accounts/:account/workers/workers/:script/versions/latest", versions_patch, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/subdomain", subdomain_get, 0, 0, NULL },
    { HTTP_M_PUT, "accounts/:account/workers/subdomain", subdomain_set, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/subdomains/:subdomain", subdomain_check, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/tails/by-consumer/:script", workers_nothing, 0, 0, NULL },
    { HTTP_M_GET, "accounts/:account/workers/durable_objects/namespaces", workers_nothing, 0, 0, NULL },
    { HTTP_M_GET, "zones", zones_list, 0, 0, NULL },
    { HTTP_M_GET, "zones/:zone/workers/routes", zones_routes, 0, 0, NULL },
    { HTTP_M_GET, NULL, NULL, 0, 0, NULL },
};

/* ---- bindings ---- */

static const struct http_route d1_binding_routes[] = {
    { HTTP_M_POST, "query", binding_query, 0, 0, NULL },
    { HTTP_M_POST, "execute", binding_query, 0, 0, NULL },
    { HTTP_M_POST, "reads", binding_reads, BINDING_READS_BODY_BYTES, 0, NULL },
    { HTTP_M_POST, "dump", binding_dump, 0, 0, NULL },
    { HTTP_M_GET, NULL, NULL, 0, 0, NULL },
};

static const struct http_route kv_binding_routes[] = {
    { HTTP_M_GET, "*", kv_binding, 0, 0, NULL },    { HTTP_M_PUT, "*", kv_binding, 0, 0, kv_binding_begin },
    { HTTP_M_DELETE, "*", kv_binding, 0, 0, NULL }, { HTTP_M_POST, "bulk/get", kv_binding, 0, 0, NULL },
    { HTTP_M_GET, NULL, NULL, 0, 0, NULL },
};

/* The services behind a Worker's bindings. workerd names them by a header that it adds to each request; the path is the
 * binding's own. */
static const struct binding_service {
    const char *header;
    const struct http_route *routes;
    void (*fail)(struct http_request *req, const struct error *err); /* in the form that the binding reads */
    bool takes_any_query;                                            /* it is the visitor's, and not ours to read */
} binding_services[] = {
    { D1_BINDING_HEADER, d1_binding_routes, binding_error, false },
    { KV_BINDING_HEADER, kv_binding_routes, kv_binding_error, false },
    { ASSETS_HEADER, assets_routes, envelope_error, true },
};

/* What the request names, and how often: more than one is somebody's attempt. */
struct binding_named {
    const struct binding_service *service;
    struct slice resource;
    size_t n;
};

static struct binding_named binding_named_by(const struct http_request *req)
{
    struct binding_named named = { 0 };

    for (size_t i = 0; i < req->n_headers; i++) {
        struct slice name = req->headers[i].name;
        if (name.len < 2 || (name.ptr[0] | 0x20) != 'x' || name.ptr[1] != '-')
            continue;
        for (size_t k = 0; k < ARRAY_LEN(binding_services); k++) {
            if (!slice_eq_nocase(name, slice_cstr(binding_services[k].header)))
                continue;
            if (!named.n++)
                named = (struct binding_named){ &binding_services[k], slice_trim(req->headers[i].value), 1 };
        }
    }
    return named;
}

const struct http_route *routes_by_header(const struct http_request *req)
{
    const struct binding_service *service = binding_named_by(req).service;

    return service ? service->routes : NULL;
}

/* ---- who may ---- */

/* The grant of a binding's own token: for what it names, and nothing else. NULL: it is no such token. */
static struct token_grant *binding_grant(struct http_request *req, const struct binding_named *named,
                                         struct slice secret)
{
    const char *key = api_of(req)->binding_key, *header = named->service->header;

    if (!binding_token_is_good(key, header, named->resource, secret) &&
        !binding_token_is_good(key, header, SLICE_LIT(BINDING_ANY), secret))
        return NULL;
    struct token_grant *grant = ARENA_NEW(req->arena, struct token_grant);
    if (!grant)
        return NULL;
    /* What is longer is the id of neither a database nor a namespace, and cut it is still none. */
    *grant = (struct token_grant){ .id = "binding", .can_write = true };
    snprintf(grant->database, sizeof(grant->database), "%.*s", SLICE_FMT(named->resource));
    return grant;
}

static enum status check_secret(struct http_request *req, struct slice secret, struct token_grant **ret,
                                struct error *err)
{
    struct api *api = api_of(req);
    struct binding_named named = binding_named_by(req);

    if (named.n > 1)
        return error_set(err, STATUS_INVALID, 0, "The request names more than one binding");
    *ret = named.n ? binding_grant(req, &named, secret) : NULL;
    if (*ret)
        return STATUS_OK;
    *ret = ARENA_NEW(req->arena, struct token_grant);
    if (!*ret)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    return tokens_check_cached(api->tokens, &api->token_caches[req->loop->index], secret, clock_wall_ms(), *ret, err);
}

static bool check_token(struct http_request *req)
{
    struct token_grant *grant = NULL;
    struct error err;
    enum status st = check_secret(req, credentials_secret(req), &grant, &err);

    /* Here a client asks whether the token is good, and expects another code than elsewhere when it is not. */
    if (st == STATUS_UNAUTH && req->route && req->route->handle == identity_verify)
        IGNORE_RESULT(error_set(&err, STATUS_BADTOKEN, 0, "Invalid API Token")); /* fills err */
    if (st == STATUS_OK)
        req->auth = grant;
    else
        routes_fail(req, &err);
    return st == STATUS_OK;
}

static bool check_account(struct http_request *req)
{
    if (!req->route || strncmp(req->route->pattern, "accounts/:", 10) != 0 ||
        slice_eq(req->params[0], SLICE_LIT("local")))
        return true;
    api_fail(
        req, STATUS_ACCOUNT,
        "The given account is not valid or is not authorized to access this service; this server's account is 'local'");
    return false;
}

/* The first segment behind the account, of a path that may have the prefix of Cloudflare's. */
static struct slice product_of(struct slice path)
{
    static const char *const before[] = { "", "accounts" };

    if (slice_starts(path, SLICE_LIT("/client/v4/")))
        path = slice_from(path, strlen("/client/v4"));
    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        if (!slice_eq(slice_cut(&path, '/'), slice_cstr(before[i])))
            return SLICE_NONE;
    slice_cut(&path, '/');
    return slice_cut(&path, '/');
}

/* Clients look bindings up before they deploy: what Dione has none of is named, instead of a route. */
static bool lacks_product(struct http_request *req)
{
    static const char *const rows[][2] = {
        { "r2", "R2 buckets" },
        { "queues", "Queues" },
        { "workflows", "Workflows" },
        { "vectorize", "Vectorize indexes" },
        { "ai", "Workers AI" },
        { "hyperdrive", "Hyperdrive configurations" },
        { "pipelines", "Pipelines" },
        { "secrets_store", "Secrets Store" },
        { "pages", "Pages projects" },
        { "containers", "containers" },
        { "images", "Cloudflare Images" },
        { "stream", "Cloudflare Stream" },
    };
    struct slice product = product_of(req->path);

    for (size_t i = 0; product.len && i < ARRAY_LEN(rows); i++) {
        if (!slice_eq(product, slice_cstr(rows[i][0])))
            continue;
        api_fail(req, STATUS_NOROUTE, "Dione has no %s, so a Worker cannot be bound to any: %.*s", rows[i][1],
                 SLICE_FMT(req->path));
        return true;
    }
    return false;
}

/* A parameter that cannot be read must not count as one that is not there. */
static bool check_query(struct http_request *req)
{
    struct error err;

    if (!req->query.len || http_query_is_valid(req))
        return true;
    const struct binding_service *service = binding_named_by(req).service;
    if (service && service->takes_any_query)
        return true;
    IGNORE_RESULT(error_set(&err, STATUS_INVALID, 0,
                            "The query string has a %% that begins no escape: a %% itself is %%25")); /* fills err */
    routes_fail(req, &err);
    return false;
}

bool routes_admit(struct http_request *req)
{
    if (req->route && (req->route->flags & PUBLIC))
        return true;
    if (req->route && (req->route->flags & UPLOAD_TOKEN))
        return assets_admit(req);
    return check_token(req) && check_account(req) && check_query(req) && (req->route || !lacks_product(req));
}

void routes_fail(struct http_request *req, const struct error *err)
{
    const struct binding_service *service = binding_named_by(req).service;

    if (service)
        service->fail(req, err);
    else
        envelope_error(req, err);
}
