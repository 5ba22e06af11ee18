/*
 * json_write.c - the writer half of json.h.
 *
 * Two things here are hot: text, scanned eight bytes at a time for anything that needs care, and doubles. Most doubles
 * that databases hold were written as short decimals, so we first look for an integer i < 10^15 and a small e with
 * i / 10^e == v: both operands are exact and IEEE division rounds correctly, so those digits read back as v, and the
 * smallest such e gives the shortest text. (With sixteen digits two texts may read back as v, and JavaScript takes the
 * nearer one.) Everything else goes through printf.
 */
#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void write_escape(struct buf *b, unsigned char c)
{
    static const char letters[] = "btn?fr"; /* 8 to 13; 11 has no letter */

    if (c == '"' || c == '\\')
        buf_append(b, (char[]){ '\\', (char)c }, 2);
    else if (c >= 8 && c <= 13 && c != 11)
        buf_append(b, (char[]){ '\\', letters[c - 8] }, 2);
    else
        buf_printf(b, "\\u%04x", c);
}

void json_write_text(struct buf *b, struct slice s)
{
    const char *p = s.ptr;
    size_t left = s.len;

    buf_append_char(b, '"');
    while (left) {
        size_t n = json_plain_prefix(p, left), skip;
        buf_append(b, p, n);
        p += n;
        left -= n;
        if (!left)
            break;
        if ((unsigned char)*p < 0x80) {
            write_escape(b, (unsigned char)*p);
            p++;
            left--;
            continue;
        }
        n = utf8_sequence((const unsigned char *)p, left, &skip);
        if (n)
            buf_append(b, p, n);
        else
            buf_append(b, "\xEF\xBF\xBD", 3);
        n = n ? n : skip;
        p += n;
        left -= n;
    }
    buf_append_char(b, '"');
}

/* Writes the digits so that they end at `end`; returns where they start. */
static char *digits_before(char *end, uint64_t v)
{
    do {
        *--end = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return end;
}

void json_write_u64(struct buf *b, uint64_t v)
{
    char text[20], *end = text + sizeof(text), *p = digits_before(end, v);

    buf_append(b, p, (size_t)(end - p));
}

void json_write_i64(struct buf *b, int64_t v)
{
    char text[21], *end = text + sizeof(text);
    char *p = digits_before(end, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);

    if (v < 0)
        *--p = '-';
    buf_append(b, p, (size_t)(end - p));
}

static const double pow10_exact[] = { 1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };

/* `digits` with `decimals` of them behind the point, as in 0.0012 for 12 and 4. */
static void write_scaled(struct buf *b, bool negative, uint64_t digits, int decimals)
{
    char text[40], *end = text + sizeof(text), *p = digits_before(end, digits);

    while (end - p <= decimals)
        *--p = '0';
    memmove(p - 1, p, (size_t)(end - p - decimals));
    p--;
    end[-decimals - 1] = '.';
    if (negative)
        *--p = '-';
    buf_append(b, p, (size_t)(end - p));
}

static bool write_short_decimal(struct buf *b, double v)
{
    double magnitude = fabs(v);

    if (magnitude >= 1e15 || magnitude < 1e-5)
        return false;
    for (int e = 1; e < (int)ARRAY_LEN(pow10_exact); e++) {
        double scaled = magnitude * pow10_exact[e];
        if (scaled >= 1e15)
            return false;
        uint64_t digits = (uint64_t)(scaled + 0.5);
        if ((double)digits / pow10_exact[e] == magnitude) {
            write_scaled(b, v < 0, digits, e);
            return true;
        }
    }
    return false;
}

/*
 * Above a power of two the doubles lie twice as far apart as below it. So where the nearest digits, rounded down, do not read
 * back as v, the next ones above may. Changes text, the form of "%e", if so.
 */
static bool take_digits_above(char text[40], double v)
{
    char above[40], *digit = above + (strchr(text, 'e') - text) - 1;
    int exp;

    if (frexp(v, &exp) != 0.5)
        return false;
    memcpy(above, text, sizeof(above));
    for (; *digit == '9' || *digit == '.'; digit--) {
        if (digit == above)
            return false; /* no power of two is all nines */
        if (*digit == '9')
            *digit = '0';
    }
    ++*digit;
    if (strtod(above, NULL) != v)
        return false;
    memcpy(text, above, sizeof(above));
    return true;
}

/* The fewest significant digits that read back as v; *ret_exp is the exponent of the first digit. */
static int shortest_digits(double v, char ret_digits[20], int *ret_exp)
{
    char text[40] = "";
    int first = v < 1e-300 ? 1 : 15; /* subnormal numbers have fewer digits to begin with */

    for (int precision = first; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision - 1, v);
        if (precision == 17 || strtod(text, NULL) == v || take_digits_above(text, v))
            break;
    }
    int n = 0;
    char *p = text;
    for (; *p != 'e'; p++)
        if (*p != '.')
            ret_digits[n++] = *p;
    while (n > 1 && ret_digits[n - 1] == '0')
        n--;
    *ret_exp = (int)strtol(p + 1, NULL, 10);
    return n;
}

static void write_zeros(struct buf *b, int n)
{
    for (int i = 0; i < n; i++)
        buf_append_char(b, '0');
}

/* JavaScript's Number::toString. */
static void write_long_double_text(struct buf *b, double v)
{
    char digits[20];
    int exp, n = shortest_digits(fabs(v), digits, &exp), point = exp + 1;

    if (v < 0)
        buf_append_char(b, '-');
    if (point > 21 || point <= -6) {
        buf_append(b, digits, 1);
        if (n > 1) {
            buf_append_char(b, '.');
            buf_append(b, digits + 1, (size_t)n - 1);
        }
        buf_printf(b, "e%+d", exp);
    } else if (point <= 0) {
        buf_append(b, "0.", 2);
        write_zeros(b, -point);
        buf_append(b, digits, (size_t)n);
    } else if (n <= point) {
        buf_append(b, digits, (size_t)n);
        write_zeros(b, point - n);
    } else {
        buf_append(b, digits, (size_t)point);
        buf_append_char(b, '.');
        buf_append(b, digits + point, (size_t)(n - point));
    }
}

void json_write_double(struct buf *b, double v)
{
    if (!isfinite(v))
        buf_append(b, "null", 4);
    else if (fabs(v) < 9007199254740992.0 && v == (double)(int64_t)v)
        json_write_i64(b, (int64_t)v);
    else if (!write_short_decimal(b, v))
        write_long_double_text(b, v);
}

void json_write_ms(struct buf *b, int64_t ns)
{
    uint64_t digits = (uint64_t)ns / 100;
    int decimals = 4;

    while (decimals && digits % 10 == 0) {
        digits /= 10;
        decimals--;
    }
    if (decimals)
        write_scaled(b, false, digits, decimals);
    else
        json_write_u64(b, digits);
}

void json_write_bytes(struct buf *b, struct slice bytes)
{
    char text[4];

    buf_append_char(b, '[');
    for (size_t i = 0; i < bytes.len; i++) {
        char *p = digits_before(text + sizeof(text), (unsigned char)bytes.ptr[i]);
        if (i)
            *--p = ',';
        buf_append(b, p, (size_t)(text + sizeof(text) - p));
    }
    buf_append_char(b, ']');
}

static void write_children(struct buf *b, const struct json *v)
{
    bool object = v->type == JSON_OBJECT;

    buf_append_char(b, object ? '{' : '[');
    for (const struct json *c = v->child; c; c = c->next) {
        if (c != v->child)
            buf_append_char(b, ',');
        if (object) {
            json_write_text(b, c->key);
            buf_append_char(b, ':');
        }
        json_write_value(b, c);
    }
    buf_append_char(b, object ? '}' : ']');
}

void json_write_value(struct buf *b, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL:
        buf_append(b, "null", 4);
        break;
    case JSON_FALSE:
        buf_append(b, "false", 5);
        break;
    case JSON_TRUE:
        buf_append(b, "true", 4);
        break;
    case JSON_NUMBER:
        buf_append_slice(b, v->text);
        break;
    case JSON_STRING:
        json_write_text(b, v->text);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        write_children(b, v);
        break;
    }
}
