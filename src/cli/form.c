/* form.c - see form.h. */
#include "cli/form.h"

#include "base/ids.h"

#include <stdio.h>

#define TYPE "multipart/form-data; boundary="

static const char *boundary_of(const struct form *f)
{
    return f->content_type + sizeof(TYPE) - 1;
}

void form_init(struct form *f)
{
    char random[TOKEN_LEN + 1];

    *f = (struct form){ 0 };
    token_new(random);
    snprintf(f->content_type, sizeof(f->content_type), TYPE "dione-%s", random);
}

void form_release(struct form *f)
{
    buf_release(&f->body);
}

static void append_quoted(struct buf *b, struct slice s)
{
    buf_append_char(b, '"');
    for (size_t i = 0; i < s.len; i++)
        switch (s.ptr[i]) {
        case '\r':
            buf_append_cstr(b, "%0D");
            break;
        case '\n':
            buf_append_cstr(b, "%0A");
            break;
        case '"':
            buf_append_cstr(b, "%22");
            break;
        default:
            buf_append_char(b, s.ptr[i]);
        }
    buf_append_char(b, '"');
}

void form_add(struct form *f, struct slice name, struct slice filename, struct slice type, struct slice content)
{
    struct buf *b = &f->body;

    buf_printf(b, "--%s\r\nContent-Disposition: form-data; name=", boundary_of(f));
    append_quoted(b, name);
    if (filename.ptr) {
        buf_append_cstr(b, "; filename=");
        append_quoted(b, filename);
    }
    if (type.ptr)
        buf_printf(b, "\r\nContent-Type: %.*s", SLICE_FMT(type));
    buf_append_cstr(b, "\r\n\r\n");
    buf_append_slice(b, content);
    buf_append_cstr(b, "\r\n");
}

void form_end(struct form *f)
{
    buf_printf(&f->body, "--%s--\r\n", boundary_of(f));
}
