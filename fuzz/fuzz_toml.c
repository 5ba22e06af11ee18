/*
 * Fuzzes the TOML reader: any bytes, no crash, and what is accepted is a tree that the JSON writer and reader
 * take.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -std=gnu17 -Isrc fuzz/fuzz_toml.c src/cli/toml.c
 *         src/base/{arena,buf,error,json_read,json_write,utf8}.c -o fuzz_toml
 */
#include "cli/toml.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TREE_BYTES = 16 * 1024 * 1024 };

/* inf and nan are numbers of TOML that JSON does not have. */
static bool has_special_float(const struct json *v)
{
    if (v->type == JSON_NUMBER && v->text.len && strchr("in", v->text.ptr[v->text.ptr[0] == '-']))
        return true;
    for (const struct json *c = v->child; c; c = c->next)
        if (has_special_float(c))
            return true;
    return false;
}

/* A number may start with '-' and zeros that JSON knows too; all that TOML writes otherwise was made decimal. */
static void check_tree(const struct json *root)
{
    struct buf text = { 0 };
    struct arena arena;
    struct json *again = NULL;
    struct error err;

    if (has_special_float(root))
        return;
    json_write_value(&text, root);
    arena_init(&arena, TREE_BYTES);
    if (json_parse(buf_slice(&text), JSON_STRICT, &arena, &again, &err) != STATUS_OK) {
        fprintf(stderr, "not JSON (%s): %s\n", err.msg, text.ptr);
        abort();
    }
    arena_release(&arena);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json *root = NULL;
    struct error err = { 0 };

    arena_init(&arena, TREE_BYTES);
    enum status st = toml_parse(slice_of((const char *)data, size), &arena, &root, &err);
    if (st == STATUS_OK)
        check_tree(root);
    else if (!err.msg[0])
        abort();
    arena_release(&arena);
    return 0;
}
