/* utf8.c - see utf8.h. The table of well-formed second bytes is Unicode's (table 3-7). */
#include "base/utf8.h"

static bool is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

static bool second_byte_fits(unsigned char lead, unsigned char second)
{
    switch (lead) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return is_tail(second);
    }
}

size_t utf8_sequence(const unsigned char *p, size_t len, size_t *ret_skip)
{
    size_t want;

    *ret_skip = 1;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        want = 2;
    else if (p[0] >= 0xE0 && p[0] <= 0xEF)
        want = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        want = 4;
    else
        return 0;
    if (len < 2 || !second_byte_fits(p[0], p[1]))
        return 0;
    for (size_t i = 2; i < want; i++) {
        *ret_skip = i;
        if (i >= len || !is_tail(p[i]))
            return 0;
    }
    return want;
}

size_t utf8_encode(uint32_t cp, char ret[4])
{
    if (cp < 0x80) {
        ret[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        ret[0] = (char)(0xC0 | (cp >> 6));
        ret[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        ret[0] = (char)(0xE0 | (cp >> 12));
        ret[1] = (char)(0x80 | ((cp >> 6) & 0x3F));
        ret[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    ret[0] = (char)(0xF0 | (cp >> 18));
    ret[1] = (char)(0x80 | ((cp >> 12) & 0x3F));
    ret[2] = (char)(0x80 | ((cp >> 6) & 0x3F));
    ret[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}
