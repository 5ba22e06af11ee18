/* base64.c - see base64.h. OpenSSL's own routines skip errors at the end of a text and know one alphabet only. */
#include "base/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct buf *to, struct slice s, const char *alphabet, bool pad)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t left = s.len;
    char out[4];

    for (; left >= 3; left -= 3, p += 3) {
        unsigned v = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
        out[0] = alphabet[v >> 18];
        out[1] = alphabet[v >> 12 & 63];
        out[2] = alphabet[v >> 6 & 63];
        out[3] = alphabet[v & 63];
        buf_append(to, out, 4);
    }
    if (!left)
        return;
    unsigned v = (unsigned)p[0] << 16 | (left == 2 ? (unsigned)p[1] << 8 : 0);
    out[0] = alphabet[v >> 18];
    out[1] = alphabet[v >> 12 & 63];
    out[2] = left == 2 ? alphabet[v >> 6 & 63] : '=';
    out[3] = '=';
    buf_append(to, out, pad ? 4 : left + 1);
}

void base64_encode(struct buf *to, struct slice bytes)
{
    encode(to, bytes, standard, true);
}

void base64url_encode(struct buf *to, struct slice bytes)
{
    encode(to, bytes, url_safe, false);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* The last one to three characters hold 0, 1 or 2 bytes. */
static bool decode_rest(struct buf *to, unsigned v, size_t n)
{
    char out[2];

    if (n == 0)
        return true;
    if (n == 1)
        return false;
    v <<= n == 2 ? 12 : 6;
    out[0] = (char)(v >> 16);
    out[1] = (char)(v >> 8);
    buf_append(to, out, n - 1);
    return !to->overflowed;
}

bool base64_decode(struct buf *to, struct slice s)
{
    unsigned v = 0;
    size_t n = 0;

    if (s.len && s.len % 4 == 0 && s.ptr[s.len - 1] == '=')
        s.len -= s.ptr[s.len - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < s.len; i++) {
        int digit = value_of(s.ptr[i]);
        if (digit < 0)
            return false;
        v = v << 6 | (unsigned)digit;
        if (++n == 4) {
            char out[3] = { (char)(v >> 16), (char)(v >> 8), (char)v };
            buf_append(to, out, 3);
            n = 0;
            v = 0;
        }
    }
    return decode_rest(to, v, n) && !to->overflowed;
}
