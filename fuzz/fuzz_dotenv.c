/* Fuzzes the reader of .env files: any bytes, no crash, and what it made of them is finite. */
#include "cli/dotenv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dotenv vars = { 0 };
    struct arena arena;
    size_t n_lines = 1, n = 0;

    for (size_t i = 0; i < size; i++)
        n_lines += data[i] == '\n';
    arena_init(&arena, SIZE_MAX);
    dotenv_parse(slice_of((const char *)data, size), &arena, &vars);
    for (const struct dotenv_entry *e = vars.first; e; e = e->next, n++)
        if (!e->key.len || e->value.len > size)
            abort();
    if (n > n_lines || vars.unread_line > n_lines)
        abort();
    (void)!dotenv_expand(&vars, &arena); /* either way it ends */
    arena_release(&arena);
    return 0;
}
