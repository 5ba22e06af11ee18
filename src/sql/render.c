/*
 * render.c - rows to JSON, straight from SQLite's column values into the answer.
 *
 * Column names are escaped once per prepared statement. In the object form a name that occurs twice shows the last
 * column's value at the first one's place, as a JavaScript object built from the row would.
 */
#include "sql/internal.h"

#include <stdlib.h>

static int last_of_name(struct sql_stmt *s, int from)
{
    const char *name = sqlite3_column_name(s->handle, from);
    int last = from;

    for (int i = from + 1; name && i < s->n_columns; i++) {
        const char *other = sqlite3_column_name(s->handle, i);
        if (other && strcmp(name, other) == 0)
            last = i;
    }
    return last;
}

/* Whether an earlier column has the name of this one. */
static bool is_repeated(struct sql_stmt *s, int at)
{
    const char *name = sqlite3_column_name(s->handle, at);

    for (int i = 0; name && i < at; i++) {
        const char *other = sqlite3_column_name(s->handle, i);
        if (other && strcmp(name, other) == 0)
            return true;
    }
    return false;
}

static void describe_column(struct sql_stmt *s, int i)
{
    const char *name = sqlite3_column_name(s->handle, i);

    if (i)
        buf_append_char(&s->columns, ',');
    json_write_cstr(&s->columns, name ? name : "");
    if (is_repeated(s, i))
        return;
    s->order[i].value = last_of_name(s, i);
    s->order[i].key_at = (uint32_t)s->keys.len;
    json_write_cstr(&s->keys, name ? name : "");
    buf_append_char(&s->keys, ':');
    s->order[i].key_len = (uint32_t)(s->keys.len - s->order[i].key_at);
}

/* (Re)makes keys and columns; needed again when a schema change has altered what SELECT * means. */
bool stmt_describe(struct sql_stmt *s)
{
    s->n_columns = sqlite3_column_count(s->handle);
    free(s->order);
    s->order = calloc((size_t)s->n_columns + 1, sizeof(*s->order));
    if (!s->order)
        return false;
    buf_clear(&s->keys);
    buf_clear(&s->columns);
    for (int i = 0; i < s->n_columns; i++)
        describe_column(s, i);
    return !s->keys.overflowed && !s->columns.overflowed;
}

static void render_value(struct buf *out, sqlite3_stmt *stmt, int i)
{
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        json_write_i64(out, sqlite3_column_int64(stmt, i));
        break;
    case SQLITE_FLOAT:
        json_write_double(out, sqlite3_column_double(stmt, i));
        break;
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(stmt, i);
        json_write_text(out, slice_of(text, (size_t)sqlite3_column_bytes(stmt, i)));
        break;
    }
    case SQLITE_BLOB: {
        const char *bytes = sqlite3_column_blob(stmt, i);
        json_write_bytes(out, slice_of(bytes, (size_t)sqlite3_column_bytes(stmt, i)));
        break;
    }
    default:
        buf_append(out, "null", 4);
    }
}

void render_row(struct buf *out, struct sql_stmt *s, enum sql_format format)
{
    bool objects = format == SQL_OBJECTS, first = true;

    buf_append_char(out, objects ? '{' : '[');
    for (int i = 0; i < s->n_columns; i++) {
        const struct column *col = &s->order[i];
        if (objects && col->key_len == 0)
            continue;
        if (!first)
            buf_append_char(out, ',');
        first = false;
        if (objects)
            buf_append(out, s->keys.ptr + col->key_at, col->key_len);
        render_value(out, s->handle, objects ? col->value : i);
    }
    buf_append_char(out, objects ? '}' : ']');
}
