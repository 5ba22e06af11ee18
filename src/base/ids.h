/* ids.h - random identifiers. Any thread. Random bytes come from the kernel; running out of them ends the process. */
#ifndef DIONE_BASE_IDS_H
#define DIONE_BASE_IDS_H

#include "base/slice.h"

enum { UUID_LEN = 36, TOKEN_LEN = 43, TOKEN_MIN_LEN = 32 };

void random_bytes(void *ret, size_t len);
/* A random (version 4) UUID in lower case, NUL-terminated. */
void uuid_new(char ret[UUID_LEN + 1]);
bool uuid_is_valid(struct slice s);
/* 256 random bits as 43 characters of URL-safe base64, NUL-terminated. */
void token_new(char ret[TOKEN_LEN + 1]);

#endif
