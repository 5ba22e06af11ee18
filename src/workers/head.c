/* head.c - the head of a message while it comes in. See carrier.h. */
#include "workers/carrier.h"

void head_clear(struct head_reader *h)
{
    buf_clear(&h->bytes);
    h->start = (struct span){ 0 };
    h->n_headers = 0;
    h->in_value = false;
    h->too_large = false;
}

/* A span always is the last one of `bytes`, so it grows in place. */
static bool extend(struct head_reader *h, struct span *s, const char *at, size_t len)
{
    if (h->bytes.len + len > CARRIER_MAX_HEAD_BYTES) {
        h->too_large = true;
        return false;
    }
    if (!s->len)
        s->at = (uint32_t)h->bytes.len;
    buf_append(&h->bytes, at, len);
    s->len += (uint32_t)len;
    return true;
}

bool head_add_start(struct head_reader *h, const char *at, size_t len)
{
    return extend(h, &h->start, at, len);
}

bool head_add_name(struct head_reader *h, const char *at, size_t len)
{
    if (h->n_headers == 0 || h->in_value) {
        if (h->n_headers == CARRIER_MAX_HEADERS) {
            h->too_large = true;
            return false;
        }
        h->headers[h->n_headers++] = (struct header_spans){ 0 };
        h->in_value = false;
    }
    return extend(h, &h->headers[h->n_headers - 1].name, at, len);
}

bool head_add_value(struct head_reader *h, const char *at, size_t len)
{
    h->in_value = true;
    return extend(h, &h->headers[h->n_headers - 1].value, at, len);
}

struct slice head_find(const struct head_reader *h, const char *name)
{
    struct slice want = slice_cstr(name);

    for (size_t i = 0; i < h->n_headers; i++)
        if (slice_eq_nocase(head_slice(h, h->headers[i].name), want))
            return head_slice(h, h->headers[i].value);
    return SLICE_NONE;
}

/* Connection names further ones. */
static bool is_named_by_connection(const struct head_reader *h, struct slice name)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        if (!slice_eq_nocase(head_slice(h, h->headers[i].name), SLICE_LIT("connection")))
            continue;
        struct slice rest = head_slice(h, h->headers[i].value);
        while (rest.ptr)
            if (slice_eq_nocase(slice_trim(slice_cut(&rest, ',')), name))
                return true;
    }
    return false;
}

bool head_is_hop_by_hop(const struct head_reader *h, struct slice name)
{
    static const char *const own[] = { "connection",         "keep-alive", "proxy-connection", "transfer-encoding",
                                       "proxy-authenticate", "te",         "trailer",          "upgrade" };

    /* All of them, and few others, begin with one of these letters. */
    if (name.len && strchr("ckptuCKPTU", name.ptr[0]))
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
            if (slice_eq_nocase(name, slice_cstr(own[i])))
                return true;
    return is_named_by_connection(h, name);
}
