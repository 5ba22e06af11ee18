/* ids.c - see ids.h. */
#include "base/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *ret, size_t len)
{
    char *p = ret;

    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0) {
            perror("dione: getrandom");
            abort();
        }
        p += n;
        len -= (size_t)n;
    }
}

void uuid_new(char ret[UUID_LEN + 1])
{
    unsigned char b[16];

    random_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
    snprintf(ret, UUID_LEN + 1, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

bool uuid_is_valid(struct slice s)
{
    if (s.len != UUID_LEN)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = s.ptr[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex)
            return false;
    }
    return true;
}

void token_new(char ret[TOKEN_LEN + 1])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char b[TOKEN_LEN];

    random_bytes(b, sizeof(b));
    for (int i = 0; i < TOKEN_LEN; i++)
        ret[i] = alphabet[b[i] & 63]; /* 64 symbols: no bias */
    ret[TOKEN_LEN] = '\0';
}
