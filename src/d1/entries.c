/* entries.c - see entries.h. */
#include "d1/entries.h"

static enum status malformed(struct error *err, const char *name, const char *text)
{
    return error_set(err, STATUS_INVALID, 0, "The request is malformed: %s%s", name, text);
}

static enum status take_one(const struct json *v, struct sql_entry *ret, struct error *err)
{
    const struct json *sql = json_get(v, "sql"), *params = json_get(v, "params");

    if (!json_is(sql, JSON_STRING))
        return malformed(err, "sql", " must be a string");
    if (params && params->type != JSON_ARRAY && params->type != JSON_NULL)
        return malformed(err, "params", " must be an array");
    *ret = (struct sql_entry){ .sql = sql->text };
    if (params) {
        ret->params = params->child;
        ret->n_params = params->n;
    }
    return STATUS_OK;
}

enum status entries_take(const struct json *v, const char *name, struct arena *a, struct sql_request *r,
                         struct error *err)
{
    bool is_batch = json_is(v, JSON_ARRAY);
    size_t n = is_batch ? v->n : 1, i = 0;
    struct sql_entry *entries = arena_zalloc(a, n * sizeof(*entries) + 1);

    if (!entries)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    for (const struct json *one = is_batch ? v->child : v; i < n; one = one->next, i++) {
        if (!json_is(one, JSON_OBJECT))
            return malformed(err, name, " must hold objects with sql and params");
        enum status st = take_one(one, &entries[i], err);
        if (st != STATUS_OK)
            return st;
    }
    r->entries = entries;
    r->n = n;
    return STATUS_OK;
}
