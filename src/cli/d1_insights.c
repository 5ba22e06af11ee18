/* d1_insights.c - `dione d1 insights`: which statements cost what, in wrangler's shape. */
#include "base/clock.h"
#include "cli/analytics.h"
#include "cli/d1.h"
#include "cli/print.h"
#include "cli/query.h"

#include <stdio.h>

enum { MAX_DAYS = 31, DEFAULT_LIMIT = 5, MAX_LIMIT = 10000 };

struct insights_options {
    struct common common;
    const char *period, *sort_type, *sort_by, *direction;
    int64_t limit;
};

#define FIELD(name) offsetof(struct insights_options, name)

static const struct option_row options[] = {
    { "time-period", 0, OPT_TEXT, FIELD(period), "PERIOD", "how far back: 30m, 12h, 7d (default 1d, at most 31d)", 0,
      0 },
    { "sort-by", 0, OPT_TEXT, FIELD(sort_by), "FIELD", "time (default), reads, writes or count", 0, 0 },
    { "sort-type", 0, OPT_TEXT, FIELD(sort_type), "TYPE", "sum (default) or avg", 0, 0 },
    { "sort-direction", 0, OPT_TEXT, FIELD(direction), "DIR", "DESC (default) or ASC", 0, 0 },
    { "limit", 0, OPT_INT, FIELD(limit), "N", "how many statements (default 5)", 1, MAX_LIMIT },
    { "count", 0, OPT_INT, FIELD(limit), "N", "old name of --limit", 1, MAX_LIMIT },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static enum status period_ms(const char *text, int64_t *ret, struct error *err)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = { { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
    struct slice s = slice_cstr(text ? text : "1d");
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (s.len > 1 && s.ptr[s.len - 1] == units[i].letter &&
            slice_to_u64(slice_of(s.ptr, s.len - 1), (uint64_t)(MAX_DAYS * units[2].ms / units[i].ms), &n)) {
            *ret = (int64_t)n * units[i].ms;
            return STATUS_OK;
        }
    return error_set(err, STATUS_INVALID, 0, "--time-period is a number with m, h or d, at most %dd, not '%s'",
                     MAX_DAYS, text);
}

/* The option's value, when it is one of the list; the first one is the default. */
static enum status choose(const char *option, const char *value, const char *const *list, size_t n, size_t *ret,
                          struct error *err)
{
    *ret = 0;
    if (!value)
        return STATUS_OK;
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(list[i], value) == 0) {
            *ret = i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_INVALID, 0, "--%s does not know '%s'; see --help", option, value);
}

static enum status order_of(const struct insights_options *o, char *ret, size_t room, struct error *err)
{
    static const char *const by[] = { "time", "reads", "writes", "count" };
    static const char *const fields[] = { "queryDurationMs", "rowsRead", "rowsWritten", "count" };
    static const char *const types[] = { "sum", "avg" };
    static const char *const directions[] = { "DESC", "ASC" };
    size_t field, type, direction;

    enum status st = choose("sort-by", o->sort_by, by, ARRAY_LEN(by), &field, err);
    if (st == STATUS_OK)
        st = choose("sort-type", o->sort_type, types, ARRAY_LEN(types), &type, err);
    if (st == STATUS_OK)
        st = choose("sort-direction", o->direction, directions, ARRAY_LEN(directions), &direction, err);
    if (st != STATUS_OK)
        return st;
    if (strcmp(fields[field], "count") == 0)
        snprintf(ret, room, "count_%s", directions[direction]);
    else
        snprintf(ret, room, "%s_%s_%s", types[type], fields[field], directions[direction]);
    return STATUS_OK;
}

/* ---- output ---- */

static const struct {
    const char *name, *group, *field;
} columns[] = {
    { "avgRowsRead", "avg", "rowsRead" },          { "totalRowsRead", "sum", "rowsRead" },
    { "avgRowsWritten", "avg", "rowsWritten" },    { "totalRowsWritten", "sum", "rowsWritten" },
    { "avgDurationMs", "avg", "queryDurationMs" }, { "totalDurationMs", "sum", "queryDurationMs" },
};

static void append_number(struct buf *out, const char *name, double v)
{
    buf_printf(out, ",\"%s\":", name);
    json_write_double(out, v);
}

static void append_entry(struct buf *out, const struct json *group, bool with_database)
{
    const struct json *avg = json_get(group, "avg"), *where = json_get(group, "dimensions");
    double read = json_double(json_get(avg, "rowsRead")), returned = json_double(json_get(avg, "rowsReturned"));

    buf_append_cstr(out, "{\"query\":");
    json_write_text(out, json_get_text(where, "query"));
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        append_number(out, columns[i].name, json_double(json_get(json_get(group, columns[i].group), columns[i].field)));
    append_number(out, "numberOfTimesRun", json_double(json_get(group, "count")));
    append_number(out, "queryEfficiency", read > 0 ? returned / read : 0);
    if (with_database) {
        buf_append_cstr(out, ",\"databaseId\":");
        if (json_get(where, "databaseId"))
            json_write_value(out, json_get(where, "databaseId"));
        else
            buf_append_cstr(out, "null");
    }
    buf_append_char(out, '}');
}

static enum status print_groups(const struct json *groups, bool with_database, bool json, struct error *err)
{
    struct buf text = { 0 };
    struct arena arena;
    struct json *root = NULL;

    buf_append_char(&text, '[');
    for (const struct json *g = groups->child; g; g = g->next) {
        if (!json_get_text(json_get(g, "dimensions"), "query").len)
            continue;
        buf_append_cstr(&text, text.len > 1 ? "," : "");
        append_entry(&text, g, with_database);
    }
    buf_append_char(&text, ']');
    arena_init(&arena, SIZE_MAX);
    enum status st = json_parse(buf_slice(&text), JSON_STRICT, &arena, &root, err);
    if (st == STATUS_OK && json)
        print_json(buf_slice(&text));
    else if (st == STATUS_OK && root->n == 0)
        print_note("No statements ran in that time.");
    else if (st == STATUS_OK)
        print_objects(root);
    arena_release(&arena);
    buf_release(&text);
    return st;
}

static enum status show(struct session *s, const struct insights_options *o, struct slice database_id,
                        struct error *err)
{
    struct api_answer answer = { 0 };
    const struct json *groups = NULL;
    char order_by[64];
    int64_t period = 0, now = clock_wall_ms();
    const struct analytics_order order = { order_by, o->limit ? o->limit : DEFAULT_LIMIT };

    enum status st = order_of(o, order_by, sizeof(order_by), err);
    if (st == STATUS_OK)
        st = period_ms(o->period, &period, err);
    if (st == STATUS_OK)
        st = analytics_queries(s, database_id, now - period, now, &order, &answer, &groups, err);
    if (st == STATUS_OK)
        st = print_groups(groups, !database_id.len, o->common.json, err);
    api_answer_release(&answer);
    return st;
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct insights_options *o = in->options;
    struct session s = { 0 };
    struct database d = { 0 };

    enum status st = session_open(&o->common, false, NULL, &s, err);
    if (st == STATUS_OK && in->n_args)
        st = database_find(&s, in->args[0], &d, err);
    if (st == STATUS_OK)
        st = show(&s, o, d.id, err);
    database_release(&d);
    session_close(&s);
    return st;
}

const struct command d1_insights_command = {
    .name = "insights",
    .summary = "Show which statements cost most",
    .args = "[NAME]",
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct insights_options),
    .run = run,
    .notes = "Without NAME: of all databases.",
};
