/* analytics.c - see analytics.h. */
#include "cli/analytics.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

static void append_variables(struct buf *body, struct slice database_id, int64_t from_ms, int64_t to_ms)
{
    char from[CLOCK_ISO_LEN + 1], to[CLOCK_ISO_LEN + 1];

    clock_iso(from_ms, from);
    clock_iso(to_ms, to);
    buf_printf(body,
               "\"variables\":{\"accountTag\":\"local\",\"filter\":{\"AND\":[{\"datetimeHour_geq\":\"%s\","
               "\"datetimeHour_leq\":\"%s\"",
               from, to);
    if (database_id.len) {
        buf_append_cstr(body, ",\"databaseId\":");
        json_write_text(body, database_id);
    }
    buf_append_cstr(body, "}]}}");
}

/* data.viewer.accounts[0].<group> */
static const struct json *find_groups(const struct json *data, const char *group)
{
    const struct json *accounts = json_get(json_get(data, "viewer"), "accounts");

    return json_is(accounts, JSON_ARRAY) ? json_get(accounts->child, group) : NULL;
}

static enum status ask_for(struct session *s, const char *operation, const char *selection, const char *group,
                           struct slice variables, struct api_answer *ret, const struct json **ret_groups,
                           struct error *err)
{
    struct buf body = { 0 }, query = { 0 };

    buf_printf(&query,
               "query %s($accountTag: string, $filter: ZoneWorkersRequestsFilter_InputObject) { viewer { "
               "accounts(filter: {accountTag: $accountTag}) { %s } } }",
               operation, selection);
    buf_append_cstr(&body, "{\"query\":");
    json_write_text(&body, buf_slice(&query));
    buf_printf(&body, ",\"operationName\":\"%s\",%.*s}", operation, SLICE_FMT(variables));
    enum status st = api_graphql(s->api, buf_slice(&body), ret, err);
    buf_release(&body);
    buf_release(&query);
    if (st != STATUS_OK)
        return st;
    *ret_groups = find_groups(ret->result, group);
    return json_is(*ret_groups, JSON_ARRAY) ? STATUS_OK
                                            : error_set(err, STATUS_INTERNAL, 0, "the server sent no %s", group);
}

enum status analytics_overview(struct session *s, struct slice database_id, int64_t from_ms, int64_t to_ms,
                               struct api_answer *ret, const struct json **ret_groups, struct error *err)
{
    struct buf variables = { 0 };

    append_variables(&variables, database_id, from_ms, to_ms);
    enum status st = ask_for(s, "getD1MetricsOverviewQuery",
                             "d1AnalyticsAdaptiveGroups(limit: 10000, filter: $filter) { "
                             "sum { readQueries writeQueries rowsRead rowsWritten } dimensions { datetimeHour } }",
                             "d1AnalyticsAdaptiveGroups", buf_slice(&variables), ret, ret_groups, err);
    buf_release(&variables);
    return st;
}

enum status analytics_queries(struct session *s, struct slice database_id, int64_t from_ms, int64_t to_ms,
                              const struct analytics_order *order, struct api_answer *ret,
                              const struct json **ret_groups, struct error *err)
{
    struct buf variables = { 0 }, selection = { 0 };

    append_variables(&variables, database_id, from_ms, to_ms);
    buf_printf(&selection,
               "d1QueriesAdaptiveGroups(limit: %" PRId64 ", filter: $filter, orderBy: [%s]) { "
               "sum { queryDurationMs rowsRead rowsWritten rowsReturned } "
               "avg { queryDurationMs rowsRead rowsWritten rowsReturned } "
               "count dimensions { query databaseId } }",
               order->limit, order->order_by);
    enum status st = ask_for(s, "getD1QueriesOverviewQuery", selection.ptr, "d1QueriesAdaptiveGroups",
                             buf_slice(&variables), ret, ret_groups, err);
    buf_release(&variables);
    buf_release(&selection);
    return st;
}
