/* secrets_file.h - many secrets from one file: JSON, or lines KEY=VALUE as .env files have them. */
#ifndef DIONE_CLI_SECRETS_FILE_H
#define DIONE_CLI_SECRETS_FILE_H

#include "base/arena.h"
#include "base/error.h"

struct secrets {
    struct arena arena;
    size_t text_len;
    char *text; /* of the file; the items point into it and the arena */
    struct secret {
        struct slice name, value; /* an absent value deletes: null in JSON */
    } * items;
    size_t n;
};

/* `file` NULL: standard input. INVALID: what is wrong in it, or nothing is in it; IO. */
enum status secrets_read(const char *file, struct secrets *ret, struct error *err) MUST_CHECK;
/* Wipes the text as well. */
void secrets_release(struct secrets *s);

#endif
