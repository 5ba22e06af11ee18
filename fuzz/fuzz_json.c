/*
 * Fuzzes the JSON reader and writer: any bytes, no crash. What is accepted is written again, and that text must be read
 * as the same tree. The first byte picks the mode and how much memory there is.
 */
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that readers of a tree ask of it. */
static void use(const struct json *v)
{
    int64_t i;
    size_t n = 0;

    if (json_i64(v, &i) && !v->is_integer)
        abort();
    (void)json_double(v);
    for (const struct json *c = v->child; c; c = c->next, n++)
        use(c);
    if (n != v->n)
        abort();
    if (v->type == JSON_OBJECT && v->child && !v->child->key.ptr)
        abort();
}

static void check_again(struct slice first)
{
    struct buf second = { 0 };
    struct json *v = NULL;
    struct arena a;
    struct error err;

    arena_init(&a, 64 << 20);
    if (json_parse(first, JSON_STRICT, &a, &v, &err) != STATUS_OK)
        abort();
    json_write_value(&second, v);
    if (!slice_eq(first, buf_slice(&second)))
        abort();
    buf_release(&second);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct json *v = NULL;
    struct buf text = { 0 };
    struct arena a;

    if (size < 1)
        return 0;
    arena_init(&a, data[0] & 2 ? 64 << 20 : (size_t)data[0] * 128);
    enum status st =
        json_parse(slice_of((const char *)data + 1, size - 1), data[0] & 1 ? JSON_RELAXED : JSON_STRICT, &a, &v, &err);
    if (st == STATUS_OK) {
        use(v);
        json_write_value(&text, v);
        check_again(buf_slice(&text));
    } else if (v || !err.msg[0] || (st != STATUS_INVALID && st != STATUS_NOMEM)) {
        abort();
    }
    buf_release(&text);
    arena_release(&a);
    return 0;
}
