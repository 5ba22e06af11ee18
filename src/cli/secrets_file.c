/* secrets_file.c - see secrets_file.h. */
#include "cli/secrets_file.h"

#include "base/json.h"
#include "cli/dotenv.h"
#include "cli/files.h"

#include <stdlib.h>

enum { FILE_MAX_BYTES = 16 * 1024 * 1024 };

static void add(struct secrets *s, struct slice name, struct slice value)
{
    s->items = reallocarray(s->items, s->n + 1, sizeof(*s->items));
    if (!s->items)
        abort();
    s->items[s->n++] = (struct secret){ name, value };
}

static enum status take_json(struct secrets *s, const struct json *root, struct error *err)
{
    if (root->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID, 0, "an object such as {\"NAME\":\"value\"} is expected");
    for (const struct json *m = root->child; m; m = m->next) {
        if (m->type != JSON_STRING && m->type != JSON_NULL)
            return error_set(err, STATUS_INVALID, 0, "the value of %.*s must be text, or null to delete it",
                             SLICE_FMT(m->key));
        add(s, m->key, m->type == JSON_STRING ? m->text : SLICE_NONE);
    }
    return STATUS_OK;
}

static enum status take_lines(struct secrets *s, struct slice text, struct error *err)
{
    struct dotenv d = { 0 };

    dotenv_parse(text, &s->arena, &d);
    if (d.unread_line)
        return error_set(err, STATUS_INVALID, 0, "line %zu says nothing of the form NAME=value, and it is no JSON",
                         d.unread_line);
    for (const struct dotenv_entry *e = d.first; e; e = e->next)
        add(s, e->key, e->value.ptr ? e->value : SLICE_LIT(""));
    return STATUS_OK;
}

static enum status take(struct secrets *s, struct slice text, struct error *err)
{
    struct slice start = slice_trim(text);
    struct json *root = NULL;
    enum status st;

    if (start.len && strchr("{[\"", start.ptr[0])) {
        st = json_parse(text, JSON_RELAXED, &s->arena, &root, err);
        st = st == STATUS_OK ? take_json(s, root, err) : st;
    } else {
        st = take_lines(s, text, err);
    }
    return st == STATUS_OK && s->n == 0 ? error_set(err, STATUS_INVALID, 0, "there are no secrets in it") : st;
}

enum status secrets_read(const char *file, struct secrets *ret, struct error *err)
{
    struct buf text = { .limit = FILE_MAX_BYTES };
    struct secrets s = { 0 };

    arena_init(&s.arena, SIZE_MAX);
    enum status st = file_read_or_stdin(file ? file : "-", &text, err);
    if (st == STATUS_OK) {
        st = take(&s, text.ptr ? buf_slice(&text) : SLICE_LIT(""), err);
        if (st != STATUS_OK)
            st = error_prefix(err, "%s", file ? file : "standard input");
    }
    s.text = text.ptr;
    s.text_len = text.len;
    if (st != STATUS_OK) {
        secrets_release(&s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

void secrets_release(struct secrets *s)
{
    if (s->text)
        explicit_bzero(s->text, s->text_len);
    free(s->text);
    free(s->items);
    arena_release(&s->arena);
    *s = (struct secrets){ 0 };
}
