/*
 * multipart.h - multipart/form-data: the body of a Worker upload, of a KV value with metadata, of assets.
 *
 * Works on a whole body in memory and copies nothing but names that carry escapes: the parts' slices point into the body
 * (and the Content-Type header), the table of parts lives in the arena. Pure; any thread.
 */
#ifndef DIONE_HTTP_MULTIPART_H
#define DIONE_HTTP_MULTIPART_H

#include "base/arena.h"
#include "base/error.h"

struct multipart_part {
    struct slice name;         /* decoded, UTF-8, never absent, may be empty */
    struct slice filename;     /* decoded, UTF-8; absent: the part is no file */
    struct slice content_type; /* as sent, with its parameters; absent when there is none */
    struct slice body;         /* as sent; never absent, may be empty */
};

struct multipart {
    const struct multipart_part *parts; /* in the order of the body; names may repeat */
    size_t n;
};

enum { MULTIPART_MAX_PARTS = 10000, MULTIPART_MAX_HEAD_BYTES = 8 * 1024 /* of one part */ };

/* Whether a Content-Type header says multipart/form-data. */
bool multipart_is_form(struct slice content_type);
/*
 * INVALID: no form, or malformed; the text says what and in which part. TOOBIG: more parts, or a longer head of one, than
 * the limits above. NOMEM: the arena's limit.
 */
enum status multipart_parse(struct slice content_type, struct slice body, struct arena *a, struct multipart *ret,
                            struct error *err) MUST_CHECK;
/* The first part of that name, or NULL. */
const struct multipart_part *multipart_find(const struct multipart *m, const char *name);

#endif
