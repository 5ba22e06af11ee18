/* digest.c - see digest.h. MD5 is here because the import protocol names files by it, not for security. */
#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

void hex_encode(const void *bytes, size_t len, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;

    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = digits[b[i] >> 4];
        ret[2 * i + 1] = digits[b[i] & 15];
    }
    ret[2 * len] = '\0';
}

void sha256(struct slice data, unsigned char ret[SHA256_BYTES])
{
    SHA256((const unsigned char *)data.ptr, data.len, ret);
}

void sha256_hex(struct slice data, char ret[SHA256_HEX_LEN + 1])
{
    unsigned char digest[SHA256_BYTES];

    sha256(data, digest);
    hex_encode(digest, sizeof(digest), ret);
}

void sha1(struct slice data, unsigned char ret[SHA1_BYTES])
{
    SHA1((const unsigned char *)data.ptr, data.len, ret);
}

static void require(int ok)
{
    if (ok == 1)
        return;
    fputs("dione: OpenSSL digest failed\n", stderr);
    abort();
}

void hmac_sha256(struct slice key, struct slice data, unsigned char ret[SHA256_BYTES])
{
    require(HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)data.ptr, data.len, ret, NULL) != NULL);
}

/* struct md5 is OpenSSL's context under our name. */
struct md5 *md5_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    require(ctx != NULL);
    require(EVP_DigestInit_ex(ctx, EVP_md5(), NULL));
    return (struct md5 *)ctx;
}

void md5_update(struct md5 *m, struct slice data)
{
    require(EVP_DigestUpdate((EVP_MD_CTX *)m, data.ptr, data.len));
}

void md5_finish_hex(struct md5 *m, char ret[MD5_HEX_LEN + 1])
{
    unsigned char digest[MD5_BYTES];

    require(EVP_DigestFinal_ex((EVP_MD_CTX *)m, digest, NULL));
    hex_encode(digest, sizeof(digest), ret);
    md5_free(m);
}

void md5_free(struct md5 *m)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)m);
}
