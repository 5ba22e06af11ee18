/* digest.h - SHA-256, SHA-1 and MD5 through OpenSSL, and hex. Any thread (a struct md5 belongs to one at a time). */
#ifndef DIONE_BASE_DIGEST_H
#define DIONE_BASE_DIGEST_H

#include "base/attrs.h"
#include "base/slice.h"

enum { SHA256_BYTES = 32, SHA1_BYTES = 20, MD5_BYTES = 16, MD5_HEX_LEN = 32, SHA256_HEX_LEN = 64 };

/* Lower-case hex and a NUL: 2 * len + 1 characters. */
void hex_encode(const void *bytes, size_t len, char *ret);

void sha256(struct slice data, unsigned char ret[SHA256_BYTES]);
void sha256_hex(struct slice data, char ret[SHA256_HEX_LEN + 1]);
void hmac_sha256(struct slice key, struct slice data, unsigned char ret[SHA256_BYTES]);
/* Where a protocol asks for it, not for security. */
void sha1(struct slice data, unsigned char ret[SHA1_BYTES]);

struct md5;
struct md5 *md5_new(void);
void md5_update(struct md5 *m, struct slice data);
/* Ends the digest and frees m. */
void md5_finish_hex(struct md5 *m, char ret[MD5_HEX_LEN + 1]);
void md5_free(struct md5 *m);

#endif
