/* query.c - see query.h. */
#include "cli/query.h"

#include "cli/print.h"
#include "cli/statement.h"
#include "cli/table.h"

#include <stdlib.h>

enum status query_send(struct session *s, const struct database *d, enum query_form form, struct slice sql,
                       struct slice param, struct api_answer *ret, struct error *err)
{
    char *path = database_path(d, form == QUERY_OBJECTS ? "/query" : "/raw");
    struct buf body = { 0 };

    buf_append_cstr(&body, "{\"sql\":");
    json_write_text(&body, sql);
    if (param.ptr) {
        buf_append_cstr(&body, ",\"params\":[");
        json_write_text(&body, param);
        buf_append_char(&body, ']');
    }
    buf_append_char(&body, '}');
    enum status st = api_call(s->api, "POST", path, buf_slice(&body), ret, err);
    buf_release(&body);
    free(path);
    return st;
}

void query_name_failed(const struct session *s, struct slice sql, struct error *err)
{
    size_t number = api_failed_statement(s->api), line = number ? sql_line_of(sql, number) : 0;
    const struct error was = *err;

    if (line && sql_line_of(sql, 2))
        (void)error_set(err, was.status, was.native, "%s (statement %zu, line %zu)", was.msg, number, line);
}

static const struct json *first_result(const struct api_answer *answer)
{
    return json_is(answer->result, JSON_ARRAY) ? answer->result->child : NULL;
}

static void print_table(const struct json *columns, const struct json *rows)
{
    struct table table;

    table_init(&table);
    for (const struct json *c = columns->child; c; c = c->next)
        table_add_column(&table, c->text);
    for (const struct json *row = rows ? rows->child : NULL; row; row = row->next)
        for (const struct json *v = row->child; v; v = v->next)
            table_add(&table, v);
    table_print(&table);
    table_release(&table);
}

void query_print_tables(const struct api_answer *answer)
{
    for (const struct json *r = first_result(answer); r; r = r->next) {
        const struct json *columns = json_get(json_get(r, "results"), "columns");
        if (columns && columns->n)
            print_table(columns, json_get(json_get(r, "results"), "rows"));
    }
}

static void append_csv_text(struct buf *out, struct slice s)
{
    bool plain = true;

    for (size_t i = 0; i < s.len && plain; i++)
        plain = !strchr("\",\r\n", s.ptr[i]) || !s.ptr[i];
    if (plain) {
        buf_append_slice(out, s);
        return;
    }
    buf_append_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            buf_append_char(out, '"');
        buf_append_char(out, s.ptr[i]);
    }
    buf_append_char(out, '"');
}

static void append_csv_value(struct buf *out, const struct json *v)
{
    if (v->type == JSON_STRING)
        append_csv_text(out, v->text);
    else if (v->type == JSON_ARRAY)
        for (const struct json *b = v->child; b; b = b->next)
            buf_printf(out, "%02x", (unsigned)json_double(b) & 0xFF);
    else if (v->type != JSON_NULL)
        json_write_value(out, v);
}

static void append_csv_line(struct buf *out, const struct json *values)
{
    for (const struct json *v = values->child; v; v = v->next) {
        append_csv_value(out, v);
        buf_append_cstr(out, v->next ? "," : "\r\n");
    }
}

void query_print_csv(const struct api_answer *answer)
{
    struct buf out = { 0 };

    for (const struct json *r = first_result(answer); r; r = r->next) {
        const struct json *columns = json_get(json_get(r, "results"), "columns");
        const struct json *rows = json_get(json_get(r, "results"), "rows");
        if (!columns || !columns->n)
            continue;
        append_csv_line(&out, columns);
        for (const struct json *row = rows ? rows->child : NULL; row; row = row->next)
            append_csv_line(&out, row);
    }
    print_text(buf_slice(&out));
    buf_release(&out);
}

void query_print_json(const struct api_answer *answer)
{
    struct buf text = { 0 };

    json_write_value(&text, answer->result);
    print_json(buf_slice(&text));
    buf_release(&text);
}

void query_print_summary(const struct api_answer *answer)
{
    double ms = 0, rows_read = 0, rows_written = 0;
    size_t n = 0;

    for (const struct json *r = first_result(answer); r; r = r->next, n++) {
        const struct json *meta = json_get(r, "meta");
        ms += json_double(json_get(meta, "duration"));
        rows_read += json_double(json_get(meta, "rows_read"));
        rows_written += json_double(json_get(meta, "rows_written"));
    }
    print_note("Executed %zu command%s in %.2f ms (%.0f rows read, %.0f rows written)", n, n == 1 ? "" : "s", ms,
               rows_read, rows_written);
}

/* ---- arrays of objects ---- */

static bool has_column(const struct table *t, struct slice name)
{
    for (size_t i = 0; i < t->n_columns; i++)
        if (slice_eq(t->columns[i].text, name))
            return true;
    return false;
}

static void add_member(struct table *t, const struct json *object, struct slice name)
{
    for (const struct json *m = object->child; m; m = m->next) {
        if (!slice_eq(m->key, name))
            continue;
        table_add(t, m->type == JSON_NULL ? NULL : m);
        return;
    }
    table_add(t, NULL);
}

void print_objects(const struct json *array)
{
    struct table table;

    table_init(&table);
    for (const struct json *o = array->child; o; o = o->next)
        for (const struct json *m = o->child; m; m = m->next)
            if (!has_column(&table, m->key))
                table_add_column(&table, m->key);
    for (const struct json *o = array->child; o; o = o->next)
        for (size_t i = 0; i < table.n_columns; i++)
            add_member(&table, o, table.columns[i].text);
    table_print(&table);
    table_release(&table);
}

static void append_quoted(struct buf *sql, struct slice s, char quote)
{
    buf_append_char(sql, quote);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == quote)
            buf_append_char(sql, quote);
        buf_append_char(sql, s.ptr[i]);
    }
    buf_append_char(sql, quote);
}

void sql_append_identifier(struct buf *sql, struct slice name)
{
    append_quoted(sql, name, '"');
}

void sql_append_text(struct buf *sql, struct slice text)
{
    append_quoted(sql, text, '\'');
}
