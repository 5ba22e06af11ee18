/* d1_info.c - `dione d1 info`: the database object and its last 24 hours, in wrangler's shape. */
#include "base/clock.h"
#include "cli/analytics.h"
#include "cli/d1.h"
#include "cli/print.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>

enum { DAY_MS = 24 * 60 * 60 * 1000 };

static const struct option_row options[] = {
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

/* The sums over the hours: key in the answer, key in the output. */
static const struct {
    const char *counter, *name;
} sums[] = {
    { "readQueries", "read_queries_24h" },
    { "writeQueries", "write_queries_24h" },
    { "rowsRead", "rows_read_24h" },
    { "rowsWritten", "rows_written_24h" },
};

static void append_sums(struct buf *out, const struct json *groups)
{
    for (size_t i = 0; i < ARRAY_LEN(sums); i++) {
        double sum = 0;
        for (const struct json *g = groups->child; g; g = g->next)
            sum += json_double(json_get(json_get(g, "sum"), sums[i].counter));
        buf_printf(out, ",\"%s\":", sums[i].name);
        json_write_double(out, sum);
    }
}

/* The database object as JSON text, with file_size under wrangler's name for it. */
static void append_object(struct buf *out, const struct json *object, const struct json *groups)
{
    buf_append_char(out, '{');
    for (const struct json *m = object->child; m; m = m->next) {
        if (slice_eq(m->key, SLICE_LIT("version")))
            continue; /* always "production" */
        buf_append_cstr(out, out->len > 1 ? "," : "");
        json_write_text(out, slice_eq(m->key, SLICE_LIT("file_size")) ? SLICE_LIT("database_size") : m->key);
        buf_append_char(out, ':');
        json_write_value(out, m);
    }
    append_sums(out, groups);
    buf_append_char(out, '}');
}

static void add_row(struct table *t, struct slice key, const struct json *value)
{
    char size[SIZE_TEXT_MAX];

    table_add_text(t, key);
    if (!slice_eq(key, SLICE_LIT("database_size"))) {
        table_add(t, value->type == JSON_NULL ? NULL : value);
        return;
    }
    size_text((uint64_t)json_double(value), size);
    table_add_text(t, slice_cstr(size));
}

/* Objects inside are shown as "read_replication.mode". */
static void add_members(struct table *t, const struct json *object, struct slice prefix)
{
    for (const struct json *m = object->child; m; m = m->next) {
        struct buf key = { 0 };
        if (slice_eq(m->key, SLICE_LIT("uuid")))
            continue; /* the heading has it */
        buf_printf(&key, "%.*s%s%.*s", SLICE_FMT(prefix), prefix.len ? "." : "", SLICE_FMT(m->key));
        if (m->type == JSON_OBJECT)
            add_members(t, m, buf_slice(&key));
        else
            add_row(t, buf_slice(&key), m);
        buf_release(&key);
    }
}

static enum status print_info(struct slice text, bool json, struct error *err)
{
    struct arena arena;
    struct json *root = NULL;
    struct table table;

    if (json) {
        print_json(text);
        return STATUS_OK;
    }
    arena_init(&arena, SIZE_MAX);
    enum status st = json_parse(text, JSON_STRICT, &arena, &root, err);
    if (st == STATUS_OK) {
        table_init(&table);
        table_add_column(&table, SLICE_LIT("uuid"));
        table_add_column(&table, json_get_text(root, "uuid"));
        add_members(&table, root, SLICE_LIT(""));
        table_print(&table);
        table_release(&table);
    }
    arena_release(&arena);
    return st;
}

static enum status show(struct session *s, const struct database *d, bool json, struct error *err)
{
    struct api_answer object = { 0 }, counts = { 0 };
    const struct json *groups = NULL;
    struct buf text = { 0 };
    int64_t now = clock_wall_ms();

    enum status st = api_call(s->api, "GET", d->path, SLICE_NONE, &object, err);
    if (st == STATUS_OK && !json_is(object.result, JSON_OBJECT))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no database");
    if (st == STATUS_OK)
        st = analytics_overview(s, json_get_text(object.result, "uuid"), now - DAY_MS, now, &counts, &groups, err);
    if (st == STATUS_OK) {
        append_object(&text, object.result, groups);
        st = print_info(buf_slice(&text), json, err);
    }
    buf_release(&text);
    api_answer_release(&object);
    api_answer_release(&counts);
    return st;
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct common *common = in->options;
    struct session s = { 0 };
    struct database d = { 0 };

    enum status st = session_open(common, false, NULL, &s, err);
    if (st == STATUS_OK)
        st = database_find(&s, in->args[0], &d, err);
    if (st == STATUS_OK)
        st = show(&s, &d, common->json, err);
    database_release(&d);
    session_close(&s);
    return st;
}

const struct command d1_info_command = {
    .name = "info",
    .summary = "Show a database's size, state and recent use",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct common),
    .run = run,
};
