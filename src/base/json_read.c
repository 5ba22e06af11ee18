/* json_read.c - the parser of json.h: recursive descent over one cursor, depth-bounded, nothing copied that can be lent. */
#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"

#include <stdlib.h>

struct reader {
    const char *start, *p, *end;
    struct arena *arena; /* NULL: only a look, nothing is kept */
    struct error *err;
    enum json_mode mode;
    int depth;
};

static enum status syntax(struct reader *r, const char *what)
{
    return error_set(r->err, STATUS_INVALID, 0, "%s at byte %zu", what, (size_t)(r->p - r->start));
}

static enum status no_memory(struct reader *r)
{
    return error_set(r->err, STATUS_NOMEM, 0, "JSON text needs more than %zu bytes of memory", r->arena->limit_bytes);
}

/* Skips a comment; false when there is none here. An unclosed one runs to the end. */
static bool skip_comment(struct reader *r)
{
    if (r->end - r->p < 2 || r->p[0] != '/')
        return false;
    if (r->p[1] == '/') {
        while (r->p < r->end && *r->p != '\n')
            r->p++;
        return true;
    }
    if (r->p[1] != '*')
        return false;
    for (r->p += 2; r->p < r->end; r->p++) {
        if (r->end - r->p >= 2 && r->p[0] == '*' && r->p[1] == '/') {
            r->p += 2;
            break;
        }
    }
    return true;
}

static void skip_space(struct reader *r)
{
    for (;;) {
        while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
            r->p++;
        if (r->mode != JSON_RELAXED || !skip_comment(r))
            return;
    }
}

static bool take(struct reader *r, char c)
{
    if (r->p >= r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static bool take_hex4(const char *p, const char *end, uint32_t *ret)
{
    uint32_t v = 0;

    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

/* p is behind "\u". Joins surrogate pairs; a lone one is U+FFFD. Returns how far to go, 0 when malformed. */
static size_t decode_unicode_escape(const char *p, const char *end, uint32_t *ret_cp)
{
    uint32_t hi, lo;

    if (!take_hex4(p, end, &hi))
        return 0;
    *ret_cp = hi;
    if (hi < 0xD800 || hi > 0xDFFF)
        return 4;
    if (hi < 0xDC00 && end - p >= 10 && p[4] == '\\' && p[5] == 'u' && take_hex4(p + 6, end, &lo) && lo >= 0xDC00 &&
        lo <= 0xDFFF) {
        *ret_cp = 0x10000 + ((hi - 0xD800) << 10) + (lo - 0xDC00);
        return 10;
    }
    *ret_cp = 0xFFFD;
    return 4;
}

/* Finds the closing quote of a string whose first byte is r->p. */
static enum status scan_string(struct reader *r, const char **ret_end, bool *ret_plain)
{
    const char *p = r->p;

    *ret_plain = true;
    for (; p < r->end; p++) { /* an escape at the very end leads one past it */
        p += json_plain_prefix(p, (size_t)(r->end - p));
        if (p == r->end)
            break;
        unsigned char c = (unsigned char)*p;
        if (c == '"') {
            *ret_end = p;
            return STATUS_OK;
        }
        if (c < 0x20) {
            r->p = p;
            return syntax(r, "control character in a string");
        }
        if (c == '\\') {
            *ret_plain = false;
            p++;
        } else if (c >= 0x80) {
            size_t skip, n = utf8_sequence((const unsigned char *)p, (size_t)(r->end - p), &skip);
            if (n == 0) {
                r->p = p;
                return syntax(r, "text that is not UTF-8");
            }
            p += n - 1;
        }
    }
    r->p = r->end;
    return syntax(r, "unterminated string");
}

/* Decodes one escape whose letter is *p; appends to *out. Returns how far to go, 0 when malformed. */
static size_t decode_escape(const char *p, const char *end, char **out)
{
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    uint32_t cp;

    if (*p == 'u') {
        size_t n = decode_unicode_escape(p + 1, end, &cp);
        if (n == 0)
            return 0;
        *out += utf8_encode(cp, *out);
        return n + 1;
    }
    const char *at = strchr(letters, *p);
    if (!at || !*p)
        return 0;
    *(*out)++ = values[at - letters];
    return 1;
}

/* scan_string has seen that it is UTF-8; escapes only shrink. */
static enum status decode_string(struct reader *r, const char *end, struct slice *ret)
{
    size_t room = (size_t)(end - r->p) + 1;
    char *out = arena_alloc(r->arena, room), *start = out;

    if (!out)
        return no_memory(r);
    while (r->p < end) {
        if (*r->p == '\\') {
            size_t n = r->p + 1 < end ? decode_escape(r->p + 1, end, &out) : 0;
            if (n == 0)
                return syntax(r, "invalid escape in a string");
            r->p += 1 + n;
            continue;
        }
        const char *escape = memchr(r->p, '\\', (size_t)(end - r->p));
        size_t n = (size_t)((escape ? escape : end) - r->p);
        memcpy(out, r->p, n);
        out += n;
        r->p += n;
    }
    *out = '\0';
    *ret = slice_of(start, (size_t)(out - start));
    return STATUS_OK;
}

static enum status check_escapes(struct reader *r, const char *end)
{
    char room[8];

    while ((r->p = memchr(r->p, '\\', (size_t)(end - r->p)))) {
        char *out = room;
        size_t n = r->p + 1 < end ? decode_escape(r->p + 1, end, &out) : 0;
        if (n == 0)
            return syntax(r, "invalid escape in a string");
        r->p += 1 + n;
    }
    return STATUS_OK;
}

/* r->p is behind the opening quote. */
static enum status take_string(struct reader *r, struct slice *ret)
{
    const char *end = NULL;
    bool plain = true;
    enum status st = scan_string(r, &end, &plain);

    if (st != STATUS_OK)
        return st;
    if (plain)
        *ret = slice_of(r->p, (size_t)(end - r->p));
    else if (!r->arena)
        st = check_escapes(r, end);
    else
        st = decode_string(r, end, ret);
    if (st == STATUS_OK)
        r->p = end + 1;
    return st;
}

static bool take_digits(struct reader *r)
{
    const char *from = r->p;

    while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
        r->p++;
    return r->p > from;
}

static enum status take_number(struct reader *r, struct json *v)
{
    const char *from = r->p;

    v->type = JSON_NUMBER;
    v->is_integer = true;
    (void)take(r, '-');
    if (!take(r, '0') && !take_digits(r))
        return syntax(r, "unexpected character");
    if (take(r, '.')) {
        v->is_integer = false;
        if (!take_digits(r))
            return syntax(r, "digits missing after the decimal point");
    }
    if (take(r, 'e') || take(r, 'E')) {
        v->is_integer = false;
        if (!take(r, '+'))
            (void)take(r, '-');
        if (!take_digits(r))
            return syntax(r, "digits missing in the exponent");
    }
    v->text = slice_of(from, (size_t)(r->p - from));
    return STATUS_OK;
}

static enum status take_word(struct reader *r, struct json *v, struct slice word, enum json_type type)
{
    if (!slice_starts(slice_of(r->p, (size_t)(r->end - r->p)), word))
        return syntax(r, "unexpected character");
    r->p += word.len;
    v->type = type;
    return STATUS_OK;
}

static enum status take_value(struct reader *r, struct json *v);

/* One member's name and colon. */
static enum status take_key(struct reader *r, struct json *v)
{
    if (!take(r, '"'))
        return syntax(r, "member name expected");
    enum status st = take_string(r, &v->key);
    if (st != STATUS_OK)
        return st;
    skip_space(r);
    if (!take(r, ':'))
        return syntax(r, "':' expected");
    skip_space(r);
    return STATUS_OK;
}

/* Elements or members up to `close`; r->p is behind the opening bracket. */
static enum status take_children(struct reader *r, struct json *parent, char close)
{
    struct json **link = &parent->child;

    if (++r->depth > JSON_MAX_DEPTH)
        return syntax(r, "nested too deeply");
    skip_space(r);
    for (bool first = true; !take(r, close); first = false) {
        if (!first) {
            if (!take(r, ','))
                return syntax(r, close == ']' ? "',' or ']' expected" : "',' or '}' expected");
            skip_space(r);
            if (r->mode == JSON_RELAXED && take(r, close))
                break;
        }
        struct json passing = { 0 }, *v = r->arena ? ARENA_NEW(r->arena, struct json) : &passing;
        if (!v)
            return no_memory(r);
        enum status st = close == '}' ? take_key(r, v) : STATUS_OK;
        if (st == STATUS_OK)
            st = take_value(r, v);
        if (st != STATUS_OK)
            return st;
        if (r->arena) {
            *link = v;
            link = &v->next;
            parent->n++;
        }
        skip_space(r);
    }
    r->depth--;
    return STATUS_OK;
}

static enum status take_value(struct reader *r, struct json *v)
{
    if (r->p >= r->end)
        return syntax(r, "unexpected end");
    switch (*r->p) {
    case '"':
        r->p++;
        v->type = JSON_STRING;
        return take_string(r, &v->text);
    case '[':
        r->p++;
        v->type = JSON_ARRAY;
        return take_children(r, v, ']');
    case '{':
        r->p++;
        v->type = JSON_OBJECT;
        return take_children(r, v, '}');
    case 't':
        return take_word(r, v, SLICE_LIT("true"), JSON_TRUE);
    case 'f':
        return take_word(r, v, SLICE_LIT("false"), JSON_FALSE);
    case 'n':
        return take_word(r, v, SLICE_LIT("null"), JSON_NULL);
    default:
        return take_number(r, v);
    }
}

enum status json_parse(struct slice text, enum json_mode mode, struct arena *a, struct json **ret, struct error *err)
{
    struct reader r = { text.ptr, text.ptr, text.ptr + text.len, a, err, mode, 0 };
    struct json *v = ARENA_NEW(a, struct json);

    if (!v)
        return no_memory(&r);
    if (slice_starts(text, SLICE_LIT("\xEF\xBB\xBF")))
        r.p += 3;
    skip_space(&r);
    enum status st = take_value(&r, v);
    if (st != STATUS_OK)
        return st;
    skip_space(&r);
    if (r.p != r.end)
        return syntax(&r, "text after the value");
    *ret = v;
    return STATUS_OK;
}

bool json_is_valid(struct slice text)
{
    struct reader r = { text.ptr, text.ptr, text.ptr + text.len, NULL, NULL, JSON_STRICT, 0 };
    struct json passing = { 0 };

    skip_space(&r);
    if (take_value(&r, &passing) != STATUS_OK)
        return false;
    skip_space(&r);
    return r.p == r.end;
}

const struct json *json_get(const struct json *v, const char *key)
{
    const struct json *found = NULL;

    if (!json_is(v, JSON_OBJECT))
        return NULL;
    struct slice name = slice_cstr(key);
    for (const struct json *m = v->child; m; m = m->next)
        if (slice_eq(m->key, name))
            found = m;
    return found;
}

struct slice json_get_text(const struct json *v, const char *key)
{
    const struct json *m = json_get(v, key);

    return json_is(m, JSON_STRING) ? m->text : SLICE_NONE;
}

/*
 * The short decimals that people write: up to 15 digits make an exact integer, and a power of ten up to 22 is exact, so
 * one correctly rounded division gives what strtod would.
 */
static bool short_decimal(struct slice text, double *ret)
{
    static const double powers[] = { 1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
    bool negative = text.ptr[0] == '-';
    uint64_t digits = 0;
    size_t decimals = 0, n = 0;
    bool behind_point = false;

    for (size_t i = negative; i < text.len; i++) {
        if (text.ptr[i] == '.') {
            behind_point = true;
            continue;
        }
        unsigned digit = (unsigned)(text.ptr[i] - '0');
        if (digit > 9 || ++n > 15)
            return false;
        digits = digits * 10 + digit;
        decimals += behind_point;
    }
    double magnitude = (double)digits / powers[decimals];
    *ret = negative ? -magnitude : magnitude;
    return true;
}

double json_double(const struct json *v)
{
    char small[64], *copy = small;
    double short_one;

    if (!json_is(v, JSON_NUMBER))
        return 0;
    if (short_decimal(v->text, &short_one))
        return short_one;
    if (v->text.len >= sizeof(small)) {
        copy = malloc(v->text.len + 1);
        if (!copy)
            return 0;
    }
    memcpy(copy, v->text.ptr, v->text.len); /* strtod wants a terminator */
    copy[v->text.len] = '\0';
    double d = strtod(copy, NULL);
    if (copy != small)
        free(copy);
    return d;
}

bool json_i64(const struct json *v, int64_t *ret)
{
    return json_is(v, JSON_NUMBER) && v->is_integer && slice_to_i64(v->text, ret);
}
