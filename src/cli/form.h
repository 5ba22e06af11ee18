/*
 * form.h - writes multipart/form-data bodies: a KV value with its metadata, a Worker's modules.
 *
 * The boundary is random and long enough that no content holds it. Main thread; aborts when memory runs out.
 */
#ifndef DIONE_CLI_FORM_H
#define DIONE_CLI_FORM_H

#include "base/buf.h"

struct form {
    struct buf body;
    char content_type[96]; /* of the whole, with the boundary */
};

void form_init(struct form *f);
void form_release(struct form *f);
/* `filename` and `type` may be absent. Line breaks and quotes in names are escaped as browsers do. */
void form_add(struct form *f, struct slice name, struct slice filename, struct slice type, struct slice content);
/* Closes it; nothing can be added any more. */
void form_end(struct form *f);

#endif
