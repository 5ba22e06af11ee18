/* base64.h - base64, standard and URL-safe. Any thread. */
#ifndef DIONE_BASE_BASE64_H
#define DIONE_BASE_BASE64_H

#include "base/buf.h"

/* With padding. */
void base64_encode(struct buf *to, struct slice bytes);
/* URL-safe alphabet, no padding. */
void base64url_encode(struct buf *to, struct slice bytes);
/*
 * Appends what `text` stands for; either alphabet, padding optional, no white space. False: it is not base64, or *to overflowed;
 * what was appended until then stays.
 */
bool base64_decode(struct buf *to, struct slice text) MUST_CHECK;

#endif
