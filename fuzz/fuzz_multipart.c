/*
 * Fuzzes the multipart parser. The first line is the Content-Type, the rest the body. Whatever is accepted must lie in the
 * input in order, and a form written anew from its parts must be read as the same parts.
 */
#include "http/multipart.h"

#include "base/buf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BOUNDARY "another-boundary-that-no-input-holds-0123456789"

static void write_name(struct buf *b, const char *key, struct slice name)
{
    buf_printf(b, "; %s=\"", key);
    for (size_t i = 0; i < name.len; i++) {
        switch (name.ptr[i]) {
        case '"':
            buf_append_cstr(b, "%22");
            break;
        case '\r':
            buf_append_cstr(b, "%0D");
            break;
        case '\n':
            buf_append_cstr(b, "%0A");
            break;
        case '\\':
            buf_append_cstr(b, "\\\\");
            break;
        default:
            buf_append_char(b, name.ptr[i]);
        }
    }
    buf_append_char(b, '"');
}

static void write_part(struct buf *b, const struct multipart_part *p)
{
    buf_append_cstr(b, "--" BOUNDARY "\r\nContent-Disposition: form-data");
    write_name(b, "name", p->name);
    if (p->filename.ptr)
        write_name(b, "filename", p->filename);
    if (p->content_type.ptr) {
        buf_append_cstr(b, "\r\nContent-Type: ");
        buf_append_slice(b, p->content_type);
    }
    buf_append_cstr(b, "\r\n\r\n");
    buf_append_slice(b, p->body);
    buf_append_cstr(b, "\r\n");
}

/* A name that holds "%22" as such can't be written so that it comes back. */
static bool can_be_written(struct slice name)
{
    return !name.len || !memchr(name.ptr, '%', name.len);
}

static void check_same(const struct multipart *a, const struct multipart *b)
{
    if (a->n != b->n)
        abort();
    for (size_t i = 0; i < a->n; i++) {
        const struct multipart_part *p = &a->parts[i], *q = &b->parts[i];
        if (!slice_eq(p->body, q->body) || !slice_eq(p->content_type, q->content_type))
            abort();
        if (can_be_written(p->name) && !slice_eq(p->name, q->name))
            abort();
        if (!p->filename.ptr != !q->filename.ptr ||
            (can_be_written(p->filename) && !slice_eq(p->filename, q->filename)))
            abort();
    }
}

static void check_again(const struct multipart *m, struct arena *a)
{
    struct buf text = { 0 };
    struct multipart again;
    struct error err;

    for (size_t i = 0; i < m->n; i++)
        write_part(&text, &m->parts[i]);
    buf_append_cstr(&text, "--" BOUNDARY "--");
    if (multipart_parse(SLICE_LIT("multipart/form-data; boundary=" BOUNDARY), buf_slice(&text), a, &again, &err) !=
        STATUS_OK)
        abort();
    check_same(m, &again);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of((const char *)data, size), type = slice_cut(&body, '\n');
    struct multipart m;
    struct arena arena;
    struct error err;

    arena_init(&arena, 1 << 20);
    if (multipart_parse(type, body, &arena, &m, &err) == STATUS_OK) {
        const char *at = body.ptr;
        for (size_t i = 0; i < m.n; i++) {
            if (m.parts[i].body.ptr < at || m.parts[i].body.ptr + m.parts[i].body.len > body.ptr + body.len)
                abort();
            at = m.parts[i].body.ptr + m.parts[i].body.len;
        }
        check_again(&m, &arena);
    }
    arena_release(&arena);
    return 0;
}
