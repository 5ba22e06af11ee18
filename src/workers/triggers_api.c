/*
 * triggers_api.c - what calls a Worker: its own host name (workers.dev at Cloudflare), routes, custom domains, crons.
 *
 * Dione has no zones: any host name may be routed, and a zone is only remembered as it was named. See handlers.h.
 */
#include "base/clock.h"
#include "base/digest.h"
#include "workers/call.h"
#include "workers/cron.h"
#include "workers/handlers.h"

enum { TRIGGERS_MAX = 1000 };

static enum status no_memory(struct blocking_call *call)
{
    return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
}

/* The runtime does not know a Worker that was never deployed or did not start: it will learn at its next deployment. */
static enum status unless_unknown(enum status st)
{
    return st == STATUS_NOTFOUND ? STATUS_OK : st;
}

/* ---- the Worker's host name ---- */

static void write_host(struct buf *b, bool enabled, bool previews)
{
    buf_printf(b, "{\"enabled\":%s,\"previews_enabled\":%s}", enabled ? "true" : "false", previews ? "true" : "false");
}

static enum status work_host_get(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        write_host(&call->result, w->host_enabled, w->previews_enabled);
    return st;
}

void host_get(struct http_request *req)
{
    worker_call(req, API_READ, work_host_get);
}

static enum status set_host(struct blocking_call *call, bool enabled, bool previews)
{
    struct slice name = call->req->params[1];
    enum status st = catalog_set_host(api_of(call->req)->store, name, enabled, previews, &call->err);

    if (st == STATUS_OK)
        st = unless_unknown(runtime_set_host_enabled(workers_runtime(workers_of(call)), name, enabled, &call->err));
    if (st == STATUS_OK)
        write_host(&call->result, enabled, previews);
    return st;
}

static enum status host_set_locked(struct blocking_call *call)
{
    const struct json *body, *enabled, *previews;
    struct worker *w;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st != STATUS_OK)
        return st;
    enabled = json_get(body, "enabled");
    previews = json_get(body, "previews_enabled");
    if (!json_is(enabled, JSON_TRUE) && !json_is(enabled, JSON_FALSE))
        return call_invalid(call, "`enabled` must be true or false");
    bool show = previews ? previews->type == JSON_TRUE : w->previews_enabled;
    return set_host(call, enabled->type == JSON_TRUE, show);
}

static enum status work_host_set(struct blocking_call *call)
{
    return call_locked(call, host_set_locked);
}

void host_set(struct http_request *req)
{
    worker_call(req, API_WRITE, work_host_set);
}

static enum status host_delete_locked(struct blocking_call *call)
{
    return set_host(call, false, false);
}

static enum status work_host_delete(struct blocking_call *call)
{
    return call_locked(call, host_delete_locked);
}

void host_delete(struct http_request *req)
{
    worker_call(req, API_WRITE, work_host_delete);
}

/* ---- the account's subdomain: remembered, as wrangler asks for one ---- */

static enum status write_subdomain(struct blocking_call *call)
{
    struct slice name;
    enum status st = catalog_subdomain(api_of(call->req)->store, call->req->arena, &name, &call->err);

    if (st != STATUS_OK)
        return st;
    buf_append_cstr(&call->result, "{\"subdomain\":");
    json_write_text(&call->result, name);
    buf_append_char(&call->result, '}');
    return STATUS_OK;
}

void subdomain_get(struct http_request *req)
{
    worker_call(req, API_READ, write_subdomain);
}

static enum status work_subdomain_set(struct blocking_call *call)
{
    const struct json *body;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st != STATUS_OK)
        return st;
    struct slice name = json_get_text(body, "subdomain");
    if (!worker_name_is_valid(name))
        return call_invalid(call, "`subdomain` must be 1 to 63 lower-case letters, digits and dashes");
    st = catalog_set_subdomain(api_of(call->req)->store, name, &call->err);
    return st == STATUS_OK ? write_subdomain(call) : st;
}

void subdomain_set(struct http_request *req)
{
    worker_call(req, API_WRITE, work_subdomain_set);
}

/* Any is free: there is one account. */
static enum status work_subdomain_check(struct blocking_call *call)
{
    buf_append_cstr(&call->result, "{\"subdomain\":");
    json_write_text(&call->result, call->req->params[1]);
    buf_append_char(&call->result, '}');
    return STATUS_OK;
}

void subdomain_check(struct http_request *req)
{
    worker_call(req, API_READ, work_subdomain_check);
}

/* ---- crons ---- */

static enum status work_crons_get(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    buf_append_cstr(&call->result, "{\"schedules\":[");
    for (size_t i = 0; i < w->n_crons; i++) {
        buf_append_cstr(&call->result, i ? ",{\"cron\":" : "{\"cron\":");
        json_write_text(&call->result, w->crons[i].cron);
        write_time(&call->result, "created_on", w->crons[i].created_ms);
        write_time(&call->result, "modified_on", w->crons[i].modified_ms);
        buf_append_char(&call->result, '}');
    }
    buf_append_cstr(&call->result, "]}");
    return STATUS_OK;
}

void crons_get(struct http_request *req)
{
    worker_call(req, API_READ, work_crons_get);
}

static bool has_text(const struct slice *list, size_t n, struct slice text)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(list[i], text))
            return true;
    return false;
}

static enum status take_crons(struct blocking_call *call, struct slice **ret, size_t *ret_n)
{
    const struct json *body;
    enum status st = call_body(call, JSON_ARRAY, &body);

    if (st != STATUS_OK)
        return st;
    if (body->n > TRIGGERS_MAX)
        return call_invalid(call, "at most 1000 schedules");
    struct slice *crons = arena_zalloc(call->req->arena, (body->n + 1) * sizeof(*crons));
    size_t n = 0;
    if (!crons)
        return no_memory(call);
    for (const struct json *v = body->child; v; v = v->next) {
        struct slice cron = v->type == JSON_STRING ? v->text : json_get_text(v, "cron");
        if (!cron.len)
            return call_invalid(call, "each schedule is an object with a `cron`");
        if (!has_text(crons, n, cron))
            crons[n++] = cron;
    }
    *ret = crons;
    *ret_n = n;
    return STATUS_OK;
}

/* Here, since the runtime looks at those of Workers that run alone: a bad one would keep the Worker from starting ever after. */
static enum status check_crons(struct blocking_call *call, const struct slice *crons, size_t n)
{
    struct cron cron;

    for (size_t i = 0; i < n; i++) {
        enum status st = cron_parse(crons[i], &cron, &call->err);
        if (st == STATUS_OK)
            continue;
        IGNORE_RESULT(error_prefix(&call->err, "invalid cron string")); /* changes err */
        call->err.status = STATUS_CRON;
        return STATUS_CRON;
    }
    return STATUS_OK;
}

static enum status crons_set_locked(struct blocking_call *call)
{
    struct slice *crons = NULL, name = call->req->params[1];
    size_t n = 0;
    struct worker *w;
    enum status st = take_crons(call, &crons, &n);

    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st == STATUS_OK)
        st = check_crons(call, crons, n);
    if (st == STATUS_OK)
        st = unless_unknown(runtime_set_crons(workers_runtime(workers_of(call)), name, crons, n, &call->err));
    if (st == STATUS_OK)
        st = catalog_set_crons(api_of(call->req)->store, name, crons, n, &call->err);
    return st == STATUS_OK ? work_crons_get(call) : st;
}

static enum status work_crons_set(struct blocking_call *call)
{
    return call_locked(call, crons_set_locked);
}

void crons_set(struct http_request *req)
{
    worker_call(req, API_WRITE, work_crons_set);
}

/* By hand, now or as if at another time. */
static enum status work_crons_run(struct blocking_call *call)
{
    struct slice cron = http_query(call->req, "cron"), time = http_query(call->req, "time");
    int64_t at_ms = clock_wall_ms();
    const char *outcome;
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK && time.ptr && !clock_parse_iso(time, &at_ms))
        return call_invalid(call, "`time` must be a time such as 2026-01-31T12:00:00Z");
    if (st == STATUS_OK)
        st = runtime_run_cron(workers_runtime(workers_of(call)), w->name, cron.ptr ? cron : SLICE_LIT("* * * * *"),
                              at_ms, &outcome, &call->err);
    if (st == STATUS_OK)
        buf_printf(&call->result, "{\"outcome\":\"%s\"}", outcome);
    return st;
}

void crons_run(struct http_request *req)
{
    worker_call_waiting(req, API_WRITE, work_crons_run);
}

/* ---- routes and custom domains ---- */

static void write_route(struct buf *b, const struct route *r, bool for_zone)
{
    buf_append_cstr(b, "{\"id\":");
    json_write_text(b, r->id);
    buf_append_cstr(b, ",\"pattern\":");
    json_write_text(b, r->pattern);
    buf_append_cstr(b, for_zone ? ",\"script\":" : ",\"zone_name\":");
    json_write_text(b, for_zone ? r->worker : r->zone);
    buf_append_char(b, '}');
}

static enum status work_routes_get(struct blocking_call *call)
{
    struct worker *w;
    size_t shown = 0;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    buf_append_char(&call->result, '[');
    for (size_t i = 0; i < w->n_routes; i++) {
        if (w->routes[i].is_domain)
            continue;
        buf_append_cstr(&call->result, shown++ ? "," : "");
        write_route(&call->result, &w->routes[i], false);
    }
    buf_append_char(&call->result, ']');
    return STATUS_OK;
}

void routes_get(struct http_request *req)
{
    worker_call(req, API_READ, work_routes_get);
}

/* Tells the runtime all patterns that the catalog has now. */
static enum status apply_routes(struct blocking_call *call)
{
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st != STATUS_OK)
        return st;
    struct slice *patterns = arena_zalloc(call->req->arena, (w->n_routes + 1) * sizeof(*patterns));
    if (!patterns)
        return no_memory(call);
    for (size_t i = 0; i < w->n_routes; i++)
        patterns[i] = w->routes[i].pattern;
    return unless_unknown(
        runtime_set_routes(workers_runtime(workers_of(call)), w->name, patterns, w->n_routes, &call->err));
}

static enum status take_routes(struct blocking_call *call, const struct json *list, const char *key, struct route **ret)
{
    struct route *routes = arena_zalloc(call->req->arena, (list->n + 1) * sizeof(*routes));
    size_t n = 0;

    if (list->n > TRIGGERS_MAX)
        return call_invalid(call, "at most 1000 routes");
    if (!routes)
        return no_memory(call);
    for (const struct json *v = list->child; v; v = v->next) {
        struct route *r = &routes[n++];
        r->pattern = v->type == JSON_STRING ? v->text : json_get_text(v, key);
        r->zone = json_get_text(v, "zone_name");
        if (!r->zone.ptr)
            r->zone = json_get_text(v, "zone_id");
        if (!r->pattern.len || r->pattern.len > 2000)
            return error_set(&call->err, STATUS_INVALID, 0, "The request is malformed: each entry needs a `%s`", key);
    }
    *ret = routes;
    return STATUS_OK;
}

/* The catalog first, since it knows who else has a pattern; what the runtime refuses is taken back. */
static enum status replace_routes(struct blocking_call *call, bool domains, bool take_over, const struct route *routes,
                                  size_t n)
{
    struct store *store = api_of(call->req)->store;
    struct slice name = call->req->params[1];
    struct worker *w;
    enum status st = call_worker(call, &w);

    if (st == STATUS_OK)
        st = catalog_set_routes(store, name, domains, take_over, routes, n, &call->err);
    if (st != STATUS_OK)
        return st;
    st = apply_routes(call);
    if (st == STATUS_OK)
        return st;
    struct route *old = arena_zalloc(call->req->arena, (w->n_routes + 1) * sizeof(*old));
    size_t n_old = 0;
    for (size_t i = 0; old && i < w->n_routes; i++)
        if (w->routes[i].is_domain == domains)
            old[n_old++] = w->routes[i];
    IGNORE_RESULT(catalog_set_routes(store, name, domains, true, old, n_old, NULL)); /* the first error is the one */
    return st;
}

static enum status routes_set_locked(struct blocking_call *call)
{
    const struct json *body;
    struct route *routes;
    enum status st = call_body(call, JSON_ARRAY, &body);

    if (st == STATUS_OK)
        st = take_routes(call, body, "pattern", &routes);
    if (st == STATUS_OK)
        st = replace_routes(call, false, false, routes, body->n);
    return st == STATUS_OK ? work_routes_get(call) : st;
}

static enum status work_routes_set(struct blocking_call *call)
{
    return call_locked(call, routes_set_locked);
}

void routes_set(struct http_request *req)
{
    worker_call(req, API_WRITE, work_routes_set);
}

static void write_domain(struct buf *b, const struct route *r)
{
    struct slice rest = r->pattern, host = slice_cut(&rest, '/');

    buf_append_cstr(b, "{\"id\":");
    json_write_text(b, r->id);
    buf_append_cstr(b, ",\"hostname\":");
    json_write_text(b, host);
    buf_append_cstr(b, ",\"service\":");
    json_write_text(b, r->worker);
    buf_append_cstr(b, ",\"environment\":\"production\",\"zone_name\":");
    json_write_text(b, r->zone);
    buf_append_cstr(b, ",\"zone_id\":\"\"}");
}

/* All, or those of one Worker or host. */
static enum status work_domains_list(struct blocking_call *call)
{
    struct slice service = http_query(call->req, "service"), hostname = http_query(call->req, "hostname");
    struct route *routes;
    size_t n, shown = 0;
    enum status st = catalog_routes(api_of(call->req)->store, call->req->arena, &routes, &n, &call->err);

    if (st != STATUS_OK)
        return st;
    buf_append_char(&call->result, '[');
    for (size_t i = 0; i < n; i++) {
        struct slice rest = routes[i].pattern, host = slice_cut(&rest, '/');
        if (!routes[i].is_domain || (service.ptr && !slice_eq(service, routes[i].worker)) ||
            (hostname.ptr && !slice_eq(hostname, host)))
            continue;
        buf_append_cstr(&call->result, shown++ ? "," : "");
        write_domain(&call->result, &routes[i]);
    }
    buf_append_char(&call->result, ']');
    return STATUS_OK;
}

void domains_list(struct http_request *req)
{
    worker_call(req, API_READ, work_domains_list);
}

/* Which domains PUT records would add and remove; a domain of another Worker is taken over without a question. */
static enum status work_changeset(struct blocking_call *call)
{
    const struct json *body;
    struct worker *w;
    enum status st = call_body(call, JSON_ARRAY, &body);

    if (st == STATUS_OK)
        st = call_worker(call, &w);
    if (st != STATUS_OK)
        return st;
    buf_append_cstr(&call->result, "{\"added\":[");
    for (const struct json *v = body->child; v; v = v->next) {
        buf_append_cstr(&call->result, v == body->child ? "{\"hostname\":" : ",{\"hostname\":");
        json_write_text(&call->result, json_get_text(v, "hostname"));
        buf_append_char(&call->result, '}');
    }
    buf_append_cstr(&call->result, "],\"removed\":[],\"updated\":[],\"conflicting\":[]}");
    return STATUS_OK;
}

void domains_changeset(struct http_request *req)
{
    worker_call(req, API_READ, work_changeset);
}

static enum status domains_set_locked(struct blocking_call *call)
{
    const struct json *body, *origins;
    struct route *routes;
    enum status st = call_body(call, JSON_OBJECT, &body);

    if (st != STATUS_OK)
        return st;
    origins = json_get(body, "origins");
    if (!json_is(origins, JSON_ARRAY))
        return call_invalid(call, "`origins` must be an array of {\"hostname\"}");
    st = take_routes(call, origins, "hostname", &routes);
    for (size_t i = 0; st == STATUS_OK && i < origins->n; i++) {
        routes[i].pattern = arena_join(call->req->arena, routes[i].pattern, SLICE_LIT("/*"));
        if (!routes[i].pattern.ptr)
            st = no_memory(call);
    }
    return st == STATUS_OK ? replace_routes(call, true, true, routes, origins->n) : st;
}

static enum status work_domains_set(struct blocking_call *call)
{
    return call_locked(call, domains_set_locked);
}

void domains_set(struct http_request *req)
{
    worker_call(req, API_WRITE, work_domains_set);
}

/* ---- zones: each name is one, so that clients which look theirs up go on ---- */

static enum status work_zones(struct blocking_call *call)
{
    struct slice name = http_query(call->req, "name"), page = http_query(call->req, "page");
    char id[SHA256_HEX_LEN + 1];
    bool shown = name.len && (!page.ptr || slice_eq(page, SLICE_LIT("1")));

    buf_append_char(&call->result, '[');
    if (shown) {
        sha256_hex(name, id);
        buf_printf(&call->result,
                   "{\"id\":\"%.32s\",\"status\":\"active\",\"account\":{\"id\":\"local\",\"name\":\"local\"},"
                   "\"name\":",
                   id);
        json_write_text(&call->result, name);
        buf_append_char(&call->result, '}');
    }
    buf_append_char(&call->result, ']');
    envelope_page_info(&call->info, 1, 20, shown, shown);
    return STATUS_OK;
}

void zones_list(struct http_request *req)
{
    worker_call(req, API_READ, work_zones);
}

static enum status work_zone_routes(struct blocking_call *call)
{
    struct route *routes;
    size_t n, shown = 0;
    enum status st = catalog_routes(api_of(call->req)->store, call->req->arena, &routes, &n, &call->err);

    if (st != STATUS_OK)
        return st;
    buf_append_char(&call->result, '[');
    for (size_t i = 0; i < n; i++) {
        if (routes[i].is_domain)
            continue;
        buf_append_cstr(&call->result, shown++ ? "," : "");
        write_route(&call->result, &routes[i], true);
    }
    buf_append_char(&call->result, ']');
    return STATUS_OK;
}

void zones_routes(struct http_request *req)
{
    worker_call(req, API_READ, work_zone_routes);
}
