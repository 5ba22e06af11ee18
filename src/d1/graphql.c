/*
 * graphql.c - see graphql.h. No GraphQL is parsed: the operation's name says what is wanted, `variables` hold the filter, and
 * limit and order are literals in the query's text. What is asked beyond that is refused rather than ignored, since ignoring
 * a filter would give wrong numbers. Answers have no envelope: {"data":...,"errors":null}, or {"data":null,"errors":[...]}.
 */
#include "d1/graphql.h"

#include "base/clock.h"
#include "api/api.h"
#include "store/collect.h"

#include <stdio.h>

enum { LIMIT_MAX = 10000, ANSWER_MAX_BYTES = 64 * 1024 * 1024 };

struct operation {
    const char *name, *field; /* the selected field, whose arguments hold limit and orderBy */
    enum status (*answer)(struct blocking_call *call);
    enum status (*read_order)(struct slice order, struct metrics_order *ret, struct error *err);
};

struct question {
    const struct operation *operation;
    struct metrics_filter filter;
    struct metrics_order order;
    size_t limit;
};

/* ---- answers ---- */

static void graphql_send(struct http_request *req, int status, struct buf *body)
{
    http_respond(req, status, "application/json", body);
}

static void graphql_fail(struct http_request *req, const struct error *err)
{
    struct buf b = { 0 };
    /* As GraphQL has it, a question that cannot be answered is no HTTP error; rights and our own troubles are. */
    int http = err->status == STATUS_INVALID ? 200 : status_http(err->status);

    buf_append_cstr(&b, "{\"data\":null,\"errors\":[{\"message\":");
    json_write_cstr(&b, err->msg);
    buf_append_cstr(&b, "}]}");
    graphql_send(req, http, &b);
}

static void answer_open(struct buf *b, const char *field)
{
    buf_printf(b, "{\"data\":{\"viewer\":{\"accounts\":[{\"%s\":[", field);
}

static void answer_close(struct buf *b)
{
    buf_append_cstr(b, "]}]}},\"errors\":null}");
}

static void separate(struct buf *b)
{
    if (b->len && b->ptr[b->len - 1] != '[')
        buf_append_char(b, ',');
}

/* ---- d1 info ---- */

static void write_hour(const struct metrics_hour *hour, void *arg)
{
    struct buf *b = arg;
    char start[CLOCK_ISO_LEN + 1];

    clock_iso(hour->start_ms, start);
    separate(b);
    buf_append_cstr(b, "{\"sum\":{\"readQueries\":");
    json_write_u64(b, hour->read_queries);
    buf_append_cstr(b, ",\"writeQueries\":");
    json_write_u64(b, hour->write_queries);
    buf_append_cstr(b, ",\"rowsRead\":");
    json_write_u64(b, hour->rows_read);
    buf_append_cstr(b, ",\"rowsWritten\":");
    json_write_u64(b, hour->rows_written);
    /* Whole seconds, as the original has them. */
    buf_printf(b, "},\"dimensions\":{\"datetimeHour\":\"%.19sZ\"}}", start);
}

static enum status answer_hours(struct blocking_call *call)
{
    const struct question *q = call->arg;

    return metrics_hours(api_of(call->req)->metrics, &q->filter, q->limit, write_hour, &call->result, &call->err);
}

static enum status read_hours_order(struct slice order, struct metrics_order *ret, struct error *err)
{
    (void)ret; /* there is only one */
    if (!order.ptr || slice_eq(order, SLICE_LIT("datetimeHour_ASC")))
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, 0, "orderBy can only be datetimeHour_ASC here");
}

/* ---- d1 insights ---- */

static void write_average(struct buf *b, const char *key, uint64_t sum, uint64_t count)
{
    buf_printf(b, ",\"%s\":", key);
    json_write_double(b, count ? (double)sum / (double)count : 0.0);
}

static void write_query(const struct metrics_query *query, void *arg)
{
    struct buf *b = arg;
    const struct sql_stmt_stats *sum = &query->sum;

    separate(b);
    buf_append_cstr(b, "{\"sum\":{\"queryDurationMs\":");
    json_write_double(b, (double)sum->duration_ns / 1e6);
    buf_append_cstr(b, ",\"rowsRead\":");
    json_write_u64(b, sum->rows_read);
    buf_append_cstr(b, ",\"rowsWritten\":");
    json_write_u64(b, sum->rows_written);
    buf_append_cstr(b, ",\"rowsReturned\":");
    json_write_u64(b, sum->rows_returned);
    buf_append_cstr(b, "},\"avg\":{\"queryDurationMs\":");
    json_write_double(b, sum->count ? (double)sum->duration_ns / (double)sum->count / 1e6 : 0.0);
    write_average(b, "rowsRead", sum->rows_read, sum->count);
    write_average(b, "rowsWritten", sum->rows_written, sum->count);
    write_average(b, "rowsReturned", sum->rows_returned, sum->count);
    buf_append_cstr(b, "},\"count\":");
    json_write_u64(b, sum->count);
    buf_append_cstr(b, ",\"dimensions\":{\"query\":");
    json_write_text(b, query->text);
    buf_printf(b, ",\"databaseId\":\"%s\"}}", query->database);
}

static enum status answer_queries(struct blocking_call *call)
{
    const struct question *q = call->arg;

    return metrics_queries(api_of(call->req)->metrics, &q->filter, q->order, q->limit, write_query, &call->result,
                           &call->err);
}

/* Takes `word` from the front. */
static bool take_word(struct slice *s, const char *word)
{
    if (!slice_starts(*s, slice_cstr(word)))
        return false;
    *s = slice_from(*s, strlen(word));
    return true;
}

/* {sum|avg}_{field}_{ASC|DESC} or count_{ASC|DESC} */
static enum status read_queries_order(struct slice order, struct metrics_order *ret, struct error *err)
{
    static const char *const fields[] = {
        [METRICS_DURATION] = "queryDurationMs",
        [METRICS_ROWS_READ] = "rowsRead",
        [METRICS_ROWS_WRITTEN] = "rowsWritten",
        [METRICS_ROWS_RETURNED] = "rowsReturned",
    };
    struct slice rest = order;
    bool known = false;

    *ret = (struct metrics_order){ .field = METRICS_DURATION, .descending = true };
    if (!order.ptr)
        return STATUS_OK;
    if (take_word(&rest, "count")) {
        ret->field = METRICS_COUNT;
        known = true;
    } else if (take_word(&rest, "sum_") || (ret->average = take_word(&rest, "avg_"))) {
        for (size_t i = 0; i < ARRAY_LEN(fields) && !known; i++) {
            known = take_word(&rest, fields[i]);
            ret->field = (enum metrics_field)i;
        }
    }
    ret->descending = slice_eq(rest, SLICE_LIT("_DESC"));
    if (known && (ret->descending || slice_eq(rest, SLICE_LIT("_ASC"))))
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, 0, "orderBy cannot be %.*s", (int)(order.len > 100 ? 100 : order.len),
                     order.ptr);
}

static const struct operation operations[] = {
    { "getD1MetricsOverviewQuery", "d1AnalyticsAdaptiveGroups", answer_hours, read_hours_order },
    { "getD1QueriesOverviewQuery", "d1QueriesAdaptiveGroups", answer_queries, read_queries_order },
};

/* ---- the query's text ---- */

/* What follows `word`, or the absent slice. */
static struct slice after(struct slice text, const char *word)
{
    const char *at = text.len ? memmem(text.ptr, text.len, word, strlen(word)) : NULL;

    return at ? slice_from(text, (size_t)(at - text.ptr) + strlen(word)) : SLICE_NONE;
}

/* The value that follows "name:" among the arguments, without [ and ]; absent when the argument is. */
static struct slice argument(struct slice arguments, const char *name)
{
    struct slice value = slice_trim(after(arguments, name));

    if (!value.ptr || !take_word(&value, ":"))
        return SLICE_NONE;
    value = slice_trim(value);
    if (take_word(&value, "["))
        return slice_trim(slice_cut(&value, ']'));
    size_t len = 0;
    while (len < value.len && !strchr(", \t\r\n", value.ptr[len]))
        len++;
    return slice_of(value.ptr, len);
}

static enum status read_arguments(struct slice query, struct question *q, struct error *err)
{
    struct slice rest = slice_trim(after(query, q->operation->field));
    uint64_t limit = LIMIT_MAX;

    if (!rest.ptr)
        return error_set(err, STATUS_INVALID, 0, "the query must select %s", q->operation->field);
    struct slice arguments = take_word(&rest, "(") ? slice_cut(&rest, ')') : SLICE_NONE;
    struct slice text = argument(arguments, "limit");
    if (text.ptr && (!slice_to_u64(text, LIMIT_MAX, &limit) || limit == 0))
        return error_set(err, STATUS_INVALID, 0, "limit must be a number from 1 to %d", LIMIT_MAX);
    q->limit = limit;
    return q->operation->read_order(argument(arguments, "orderBy"), &q->order, err);
}

/* ---- variables ---- */

enum { DAY_MS = 24 * 3600 * 1000 };

/* One member of the filter: a bound in time, or the database. */
static enum status read_condition(const struct json *v, struct question *q, struct slice *ret_database,
                                  struct error *err)
{
    struct slice rest = v->key;
    int64_t ms = 0;
    bool is_day = false;

    if (v->type == JSON_STRING && slice_eq(rest, SLICE_LIT("databaseId"))) {
        *ret_database = v->text;
        return STATUS_OK;
    }
    bool is_time = take_word(&rest, "datetimeHour") || take_word(&rest, "datetime") ||
                   (is_day = take_word(&rest, "date"));
    bool is_end = slice_eq(rest, SLICE_LIT("_leq"));
    if (!is_time || (!is_end && !slice_eq(rest, SLICE_LIT("_geq"))))
        return error_set(err, STATUS_INVALID, 0, "the filter cannot have %.*s",
                         (int)(v->key.len > 100 ? 100 : v->key.len), v->key.ptr);
    if (v->type != JSON_STRING || !clock_parse_iso(v->text, &ms))
        return error_set(err, STATUS_INVALID, 0, "%.*s must be a time such as \"2026-01-31T12:00:00Z\"",
                         SLICE_FMT(v->key));
    if (is_end)
        q->filter.to_ms = is_day ? ms + DAY_MS - 1 : ms;
    else
        q->filter.from_ms = ms;
    return STATUS_OK;
}

static enum status read_conditions(const struct json *object, struct question *q, struct slice *ret_database,
                                   struct error *err)
{
    enum status st = STATUS_OK;

    if (!json_is(object, JSON_OBJECT))
        return error_set(err, STATUS_INVALID, 0, "the filter must be an object, or {\"AND\":[...]} of objects");
    for (const struct json *v = object->child; v && st == STATUS_OK; v = v->next)
        st = read_condition(v, q, ret_database, err);
    return st;
}

static enum status read_filter(const struct json *filter, struct question *q, struct slice *ret_database,
                               struct error *err)
{
    const struct json *list = json_get(filter, "AND");
    enum status st = STATUS_OK;

    q->filter.to_ms = clock_wall_ms();
    q->filter.from_ms = q->filter.to_ms - (int64_t)METRICS_DAYS * DAY_MS;
    if (!filter)
        return STATUS_OK;
    if (!list)
        return read_conditions(filter, q, ret_database, err);
    if (list->type != JSON_ARRAY || filter->n != 1)
        return error_set(err, STATUS_INVALID, 0, "the filter must be an object, or {\"AND\":[...]} of objects");
    for (const struct json *v = list->child; v && st == STATUS_OK; v = v->next)
        st = read_conditions(v, q, ret_database, err);
    return st;
}

/* Which databases: the one asked for, or the token's own, or all. */
static enum status choose_databases(struct http_request *req, struct slice wanted, struct question *q,
                                    struct error *err)
{
    const struct token_grant *grant = req->auth;
    char *uuid = q->filter.database;

    if (!wanted.ptr && grant->database[0])
        wanted = slice_cstr(grant->database);
    if (!wanted.ptr)
        return STATUS_OK;
    if (wanted.len == 0)
        return error_set(err, STATUS_INVALID, 0, "databaseId must not be empty");
    struct database *db = store_find(api_of(req)->store, wanted);
    /* An unknown one has no metrics: its id is kept, and the answer will be empty. */
    snprintf(uuid, sizeof(q->filter.database), "%.*s", wanted.len > UUID_LEN ? UUID_LEN : (int)wanted.len, wanted.ptr);
    if (db) {
        snprintf(uuid, sizeof(q->filter.database), "%s", database_uuid(db));
        database_unref(db);
    }
    if (grant_allows(grant, uuid, false))
        return STATUS_OK;
    return error_set(err, STATUS_FORBIDDEN, 0, "Authentication error: this token may not read this database");
}

static const struct operation *find_operation(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(operations); i++)
        if (slice_eq(name, slice_cstr(operations[i].name)))
            return &operations[i];
    return NULL;
}

static enum status read_question(struct http_request *req, const struct json *body, struct question *q,
                                 struct error *err)
{
    const struct json *variables = json_get(body, "variables");
    struct slice account = json_get_text(variables, "accountTag"), database = SLICE_NONE;

    q->operation = find_operation(json_get_text(body, "operationName"));
    if (!q->operation)
        return error_set(err, STATUS_INVALID, 0,
                         "only the operations getD1MetricsOverviewQuery and getD1QueriesOverviewQuery are known here");
    if (account.ptr && !slice_eq(account, SLICE_LIT("local")))
        return error_set(err, STATUS_ACCOUNT, 0, "the account is not valid: this server's account is 'local'");
    enum status st = read_arguments(json_get_text(body, "query"), q, err);
    if (st == STATUS_OK)
        st = read_filter(json_get(variables, "filter"), q, &database, err);
    return st == STATUS_OK ? choose_databases(req, database, q, err) : st;
}

/* ---- the handler ---- */

/* So that the answer has what ran a moment ago. */
static void collect(struct store *store, const char *uuid)
{
    struct database *db;

    if (!*uuid) {
        store_collect_now(store, NULL);
        return;
    }
    db = store_find(store, slice_cstr(uuid));
    if (!db)
        return;
    store_collect_now(store, db);
    database_unref(db);
}

static enum status work(struct blocking_call *call)
{
    const struct question *q = call->arg;

    call->result.limit = ANSWER_MAX_BYTES;
    collect(api_of(call->req)->store, q->filter.database);
    answer_open(&call->result, q->operation->field);
    enum status st = q->operation->answer(call);
    answer_close(&call->result);
    if (st == STATUS_OK && call->result.overflowed)
        st = error_set(&call->err, STATUS_INVALID, 0, "the answer is too large: ask for fewer with limit");
    return st;
}

static void then(struct blocking_call *call)
{
    if (call->status == STATUS_OK)
        graphql_send(call->req, 200, &call->result);
    else
        graphql_fail(call->req, &call->err);
}

void graphql_post(struct http_request *req)
{
    struct question *q = ARENA_NEW(req->arena, struct question);
    const struct json *body;
    struct error err;

    if (!q) {
        api_fail(req, STATUS_NOMEM, "out of memory");
        return;
    }
    if (!envelope_body(req, &body))
        return;
    /* Nothing in *q points into the body, which may go when the request is kept. */
    if (read_question(req, body, q, &err) != STATUS_OK) {
        graphql_fail(req, &err);
        return;
    }
    blocking_call(req, store_job_pool(api_of(req)->store), work, then, q);
}
