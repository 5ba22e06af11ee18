/*
 * Fuzzes the forms of an upload. The first line is the Content-Type, the rest the body. What is accepted has metadata that can
 * be written and read again, and no module is called after the metadata.
 */
#include "workers/upload.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_metadata(const struct json *metadata, struct arena *a)
{
    struct buf text = { 0 }, again = { 0 };
    struct json *v;

    json_write_value(&text, metadata);
    struct slice copy = arena_copy(a, buf_slice(&text));
    if (metadata->type != JSON_OBJECT || !copy.ptr || json_parse(copy, JSON_STRICT, a, &v, NULL) != STATUS_OK)
        abort();
    json_write_value(&again, v);
    if (!slice_eq(buf_slice(&text), buf_slice(&again)))
        abort();
    buf_release(&text);
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of((const char *)data, size), type = slice_cut(&body, '\n');
    struct arena arena;
    struct error err;

    arena_init(&arena, 8 << 20);
    struct upload u = { .content_type = type, .body = body, .arena = &arena };
    if (upload_form_read(&u, &err) == STATUS_OK) {
        check_metadata(u.metadata, &arena);
        for (size_t i = 0; i < u.form.n; i++)
            if (slice_starts(u.form.parts[i].name, SLICE_LIT("metadata[")))
                abort();
    }
    arena_release(&arena);
    return 0;
}
