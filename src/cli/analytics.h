/*
 * analytics.h - the two GraphQL requests behind `d1 info` and `d1 insights`, word for word those of wrangler,
 * so that both clients exercise the same code of a server.
 */
#ifndef DIONE_CLI_ANALYTICS_H
#define DIONE_CLI_ANALYTICS_H

#include "cli/session.h"

/* Counts per hour of one database; *ret_groups is an array in *ret. */
enum status analytics_overview(struct session *s, struct slice database_id, int64_t from_ms, int64_t to_ms,
                               struct api_answer *ret, const struct json **ret_groups, struct error *err) MUST_CHECK;

struct analytics_order {
    const char *order_by; /* "sum_queryDurationMs_DESC" */
    int64_t limit;
};

/* The statements that ran; database_id absent: of all databases. */
enum status analytics_queries(struct session *s, struct slice database_id, int64_t from_ms, int64_t to_ms,
                              const struct analytics_order *order, struct api_answer *ret,
                              const struct json **ret_groups, struct error *err) MUST_CHECK;

#endif
