/*
 * toml.c - the parser of toml.h: recursive descent over one cursor, depth-bounded.
 *
 * The grammar is small; the rules about who may add to which table are not. Every table remembers how it came
 * to be (enum origin), and find_table is the one place that decides:
 *   - a header [a.b] may pass through any table but an inline one, and define one that only longer headers implied;
 *   - a dotted key a.b = 1 may pass only through tables that dotted keys of the same section made;
 *   - what a value made (inline table, array) is closed.
 */
#include "cli/toml.h"

#include "base/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum origin {
    ORIGIN_VALUE,   /* a scalar, a static array or an inline table: complete */
    ORIGIN_IMPLIED, /* a part of a longer header; a header of its own may still come */
    ORIGIN_HEADER,  /* [name], an element of [[name]], or the root */
    ORIGIN_DOTTED,  /* a part of a dotted key */
    ORIGIN_TABLES,  /* the array that [[name]] adds to */
};

struct node {
    struct json json; /* first: a node is its json */
    enum origin origin;
    struct node *last; /* newest child */
};

struct reader {
    const char *start, *p, *end;
    struct arena *arena;
    struct error *err;
    int depth; /* of the value being read, below the root */
};

/* One part of a key, as a list. */
struct key {
    struct slice name;
    struct key *next;
};

static enum status syntax(struct reader *r, const char *what)
{
    size_t line = 1;

    for (const char *p = r->start; p < r->p && p < r->end; p++)
        line += *p == '\n';
    return error_set(r->err, STATUS_INVALID, 0, "line %zu: %s", line, what);
}

static enum status name_error(struct reader *r, struct slice name, const char *what)
{
    char text[160];

    snprintf(text, sizeof(text), "'%.*s' %s", name.len > 60 ? 60 : (int)name.len, name.ptr, what);
    return syntax(r, text);
}

static enum status no_memory(struct reader *r)
{
    return error_set(r->err, STATUS_NOMEM, 0, "TOML text needs more than %zu bytes of memory", r->arena->limit_bytes);
}

static bool at(const struct reader *r, char c)
{
    return r->p < r->end && *r->p == c;
}

static bool take(struct reader *r, char c)
{
    if (!at(r, c))
        return false;
    r->p++;
    return true;
}

static bool starts(const struct reader *r, struct slice s)
{
    return slice_starts(slice_of(r->p, (size_t)(r->end - r->p)), s);
}

static bool take_text(struct reader *r, struct slice s)
{
    if (!starts(r, s))
        return false;
    r->p += s.len;
    return true;
}

static bool take_newline(struct reader *r)
{
    return take(r, '\n') || take_text(r, SLICE_LIT("\r\n"));
}

static void skip_blanks(struct reader *r)
{
    while (at(r, ' ') || at(r, '\t'))
        r->p++;
}

/* Whether c may stand in a comment or a string as it is. Ill-formed UTF-8 was refused before. */
static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 ? c != 0x7F : c == '\t';
}

static enum status skip_comment(struct reader *r)
{
    if (!take(r, '#'))
        return STATUS_OK;
    while (r->p < r->end && is_plain(*r->p))
        r->p++;
    if (r->p < r->end && !at(r, '\n') && !starts(r, SLICE_LIT("\r\n")))
        return syntax(r, "control character in a comment");
    return STATUS_OK;
}

/* White space, newlines and comments, as they may stand between the elements of an array. */
static enum status skip_lines(struct reader *r)
{
    do {
        skip_blanks(r);
        enum status st = skip_comment(r);
        if (st != STATUS_OK)
            return st;
    } while (take_newline(r));
    return STATUS_OK;
}

/* ---- strings ---- */

static bool take_hex(struct reader *r, int digits, uint32_t *ret)
{
    uint32_t v = 0;

    for (; digits > 0; digits--, r->p++) {
        if (r->p >= r->end)
            return false;
        char c = *r->p, lower = (char)(c | 32);
        if (c >= '0' && c <= '9')
            v = v * 16 + (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v * 16 + (uint32_t)(lower - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

/* r->p is behind the backslash. Writes what it stands for to *out. */
static enum status take_escape(struct reader *r, char **out)
{
    static const char letters[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    char c = r->p < r->end ? *r->p++ : '\0';
    const char *found = c ? strchr(letters, c) : NULL;
    uint32_t cp;

    if (found) {
        *(*out)++ = values[found - letters];
        return STATUS_OK;
    }
    if (c != 'u' && c != 'U')
        return syntax(r, "unknown escape in a string");
    if (!take_hex(r, c == 'u' ? 4 : 8, &cp) || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        return syntax(r, "escape in a string names no Unicode character");
    *out += utf8_encode(cp, *out);
    return STATUS_OK;
}

/* "\" at the end of a line swallows the line break and all white space after it. False: not that. */
static bool skip_line_ending_backslash(struct reader *r)
{
    const char *from = r->p;

    skip_blanks(r);
    if (!take_newline(r)) {
        r->p = from;
        return false;
    }
    do
        skip_blanks(r);
    while (take_newline(r));
    return true;
}

/* The text between two quotes on one line. */
static enum status take_line_string(struct reader *r, char quote, struct slice *ret)
{
    /* No escape is longer than what it stands for, so the rest of the line is room enough. */
    const char *eol = memchr(r->p, '\n', (size_t)(r->end - r->p));
    size_t room = (size_t)((eol ? eol : r->end) - r->p) + 1;
    char *out = arena_alloc(r->arena, room), *from = out;

    if (!out)
        return no_memory(r);
    while (!take(r, quote)) {
        if (r->p >= r->end || at(r, '\n') || at(r, '\r'))
            return syntax(r, "unterminated string");
        if (!is_plain(*r->p))
            return syntax(r, "control character in a string");
        if (quote == '"' && take(r, '\\')) {
            enum status st = take_escape(r, &out);
            if (st != STATUS_OK)
                return st;
            continue;
        }
        *out++ = *r->p++;
    }
    assert(out < from + room);
    *out = '\0';
    *ret = slice_of(from, (size_t)(out - from));
    return STATUS_OK;
}

/* Room for the text from r->p to the closing three quotes, or to the end of everything when they cannot be told. */
static size_t block_room(const struct reader *r, struct slice close)
{
    const char *p = r->p, *found;

    while ((found = memmem(p, (size_t)(r->end - p), close.ptr, close.len)) != NULL) {
        /* Behind a backslash the first of the three may be an escaped quote. */
        if (close.ptr[0] == '\'' || found[-1] != '\\')
            return (size_t)(found - r->p) + sizeof("''");
        p = found + 1;
    }
    return (size_t)(r->end - r->p) + 1;
}

/* One character of a string of several lines. */
static enum status take_block_char(struct reader *r, char quote, char **out)
{
    if (r->p >= r->end)
        return syntax(r, "unterminated string of several lines");
    if (quote == '"' && take(r, '\\'))
        return skip_line_ending_backslash(r) ? STATUS_OK : take_escape(r, out);
    if (take_newline(r)) {
        *(*out)++ = '\n';
        return STATUS_OK;
    }
    if (!is_plain(*r->p))
        return syntax(r, "control character in a string");
    *(*out)++ = *r->p++;
    return STATUS_OK;
}

/* A string of several lines; r->p is behind the three opening quotes. */
static enum status take_block_string(struct reader *r, char quote, struct slice *ret)
{
    struct slice close = quote == '"' ? SLICE_LIT("\"\"\"") : SLICE_LIT("'''");
    size_t room = block_room(r, close);
    char *out = arena_alloc(r->arena, room), *from = out;

    if (!out)
        return no_memory(r);
    (void)take_newline(r); /* right after the quotes it does not count */
    while (!take_text(r, close)) {
        enum status st = take_block_char(r, quote, &out);
        if (st != STATUS_OK)
            return st;
    }
    /* Up to two quotes may stand directly before the closing three. */
    for (int extra = 0; extra < 2 && take(r, quote); extra++)
        *out++ = quote;
    assert(out < from + room);
    *out = '\0';
    *ret = slice_of(from, (size_t)(out - from));
    return STATUS_OK;
}

static enum status take_string(struct reader *r, struct slice *ret)
{
    char quote = *r->p;

    if (take_text(r, quote == '"' ? SLICE_LIT("\"\"\"") : SLICE_LIT("'''")))
        return take_block_string(r, quote, ret);
    r->p++;
    return take_line_string(r, quote, ret);
}

/* ---- numbers, booleans, dates ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly n digits at offset `from` of s. */
static bool digits_at(struct slice s, size_t from, size_t n, int *ret)
{
    uint64_t v;

    if (s.len < from + n || !slice_to_u64(slice_of(s.ptr + from, n), 9999, &v))
        return false;
    *ret = (int)v;
    return true;
}

static bool char_at(struct slice s, size_t i, const char *any_of)
{
    return i < s.len && s.ptr[i] && strchr(any_of, s.ptr[i]);
}

/* "07:32:00.5"; returns its length, 0 when it is no time. */
static size_t time_len(struct slice s)
{
    int hour, minute, second;
    size_t n = 8;

    if (!digits_at(s, 0, 2, &hour) || !char_at(s, 2, ":") || !digits_at(s, 3, 2, &minute) || !char_at(s, 5, ":") ||
        !digits_at(s, 6, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return 0;
    if (!char_at(s, 8, "."))
        return n;
    for (n = 9; n < s.len && is_digit(s.ptr[n]); n++)
        ;
    return n > 9 ? n : 0;
}

static bool is_date(struct slice s)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year, month, day;

    if (s.len < 10 || !digits_at(s, 0, 4, &year) || s.ptr[4] != '-' || !digits_at(s, 5, 2, &month) || s.ptr[7] != '-' ||
        !digits_at(s, 8, 2, &day) || month < 1 || month > 12)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

/* "Z", "+01:00", or nothing. */
static bool is_offset(struct slice s)
{
    int hour, minute;

    if (s.len == 0 || (s.len == 1 && char_at(s, 0, "Zz")))
        return true;
    return s.len == 6 && char_at(s, 0, "+-") && digits_at(s, 1, 2, &hour) && s.ptr[3] == ':' &&
           digits_at(s, 4, 2, &minute) && hour <= 23 && minute <= 59;
}

static bool is_date_or_time(struct slice s)
{
    size_t n = time_len(s);

    if (n)
        return n == s.len;
    if (!is_date(s))
        return false;
    if (s.len == 10)
        return true;
    struct slice time = slice_from(s, 11);
    n = time_len(time);
    return char_at(s, 10, "Tt ") && n && is_offset(slice_from(time, n));
}

static bool looks_like_date(struct slice s)
{
    int v;

    return (digits_at(s, 0, 4, &v) && char_at(s, 4, "-")) || (digits_at(s, 0, 2, &v) && char_at(s, 2, ":"));
}

/* Copies digits without their underscores, each of which must stand between two digits. */
static bool copy_digits(struct slice s, const char *allowed, char **out)
{
    bool after_digit = false;

    for (size_t i = 0; i < s.len; i++) {
        bool digit = char_at(s, i, allowed);
        if (!digit && (s.ptr[i] != '_' || !after_digit || i + 1 == s.len))
            return false;
        if (digit)
            *(*out)++ = s.ptr[i];
        after_digit = digit;
    }
    return s.len > 0;
}

/* 0xDEAD_BEEF, 0o755, 0b1010: written again in decimal. */
static bool read_based(struct slice s, char *text, size_t room)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    char kind = s.ptr[1], allowed[sizeof(digits)], clean[72], *out = clean, *end;
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;

    if (s.len > 68)
        return false;
    snprintf(allowed, sizeof(allowed), "%.*s", base == 16 ? 22 : base, digits);
    if (!copy_digits(slice_from(s, 2), allowed, &out))
        return false;
    *out = '\0';
    unsigned long long v = strtoull(clean, &end, base);
    if (*end || v > INT64_MAX)
        return false;
    snprintf(text, room, "%llu", v);
    return true;
}

/* The digits before the point or exponent; no leading zero but 0 itself. */
static bool copy_whole(struct slice s, char **out)
{
    if (s.len > 1 && s.ptr[0] == '0')
        return false;
    return copy_digits(s, "0123456789", out);
}

/* A decimal integer or a float; `s` without its sign. */
static bool read_decimal(struct slice s, char **out, bool *ret_is_integer)
{
    struct slice rest = s, exponent = SLICE_NONE;

    for (size_t i = 0; i < s.len && !exponent.ptr; i++)
        if (char_at(s, i, "eE")) {
            rest = slice_of(s.ptr, i);
            exponent = slice_from(s, i + 1);
        }
    struct slice whole = slice_cut(&rest, '.'), fraction = rest;
    *ret_is_integer = !fraction.ptr && !exponent.ptr;
    if (!copy_whole(whole, out))
        return false;
    if (fraction.ptr) {
        *(*out)++ = '.';
        if (!copy_digits(fraction, "0123456789", out))
            return false;
    }
    if (exponent.ptr) {
        *(*out)++ = 'e';
        if (char_at(exponent, 0, "+-")) {
            *(*out)++ = exponent.ptr[0];
            exponent = slice_from(exponent, 1);
        }
        return copy_digits(exponent, "0123456789", out);
    }
    return true;
}

static bool fits_i64(struct slice text)
{
    struct json v = { .type = JSON_NUMBER, .is_integer = true, .text = text };
    int64_t n;

    return json_i64(&v, &n);
}

static enum status set_number(struct reader *r, struct json *v, struct slice s)
{
    size_t room = s.len + 24;
    char *text = arena_alloc(r->arena, room), *out = text;

    if (!text)
        return no_memory(r);
    v->type = JSON_NUMBER;
    if (s.len > 2 && s.ptr[0] == '0' && char_at(s, 1, "xob")) {
        if (!read_based(s, text, room))
            return syntax(r, "malformed number, or one beyond 64 bits");
        v->is_integer = true;
        v->text = slice_cstr(text);
        return STATUS_OK;
    }
    if (char_at(s, 0, "+-")) {
        if (s.ptr[0] == '-')
            *out++ = '-';
        s = slice_from(s, 1);
    }
    if (slice_eq(s, SLICE_LIT("inf")) || slice_eq(s, SLICE_LIT("nan"))) {
        memcpy(out, s.ptr, s.len);
        v->text = slice_of(text, (size_t)(out - text) + s.len);
        return STATUS_OK;
    }
    if (!read_decimal(s, &out, &v->is_integer))
        return syntax(r, "malformed value (text needs quotes)");
    v->text = slice_of(text, (size_t)(out - text));
    if (v->is_integer && !fits_i64(v->text))
        return syntax(r, "integer beyond 64 bits");
    return STATUS_OK;
}

static struct slice take_word(struct reader *r)
{
    const char *from = r->p;

    while (r->p < r->end &&
           (is_digit(*r->p) || ((*r->p | 32) >= 'a' && (*r->p | 32) <= 'z') || (*r->p && strchr("+-_.:", *r->p))))
        r->p++;
    return slice_of(from, (size_t)(r->p - from));
}

/* A value without quotes and brackets. */
static enum status take_scalar(struct reader *r, struct json *v)
{
    struct slice s = take_word(r);

    if (s.len == 0)
        return syntax(r, r->p >= r->end || at(r, '\n') || at(r, '\r') ? "value missing" : "unexpected character");
    if (slice_eq(s, SLICE_LIT("true")) || slice_eq(s, SLICE_LIT("false"))) {
        v->type = s.len == 4 ? JSON_TRUE : JSON_FALSE;
        return STATUS_OK;
    }
    if (!looks_like_date(s))
        return set_number(r, v, s);
    /* A space may stand between date and time. */
    if (s.len == 10 && r->end - r->p >= 3 && r->p[0] == ' ' && is_digit(r->p[1]) && is_digit(r->p[2])) {
        r->p++;
        s.len += 1 + take_word(r).len;
    }
    if (!is_date_or_time(s))
        return syntax(r, "malformed date or time");
    v->type = JSON_STRING;
    v->text = s;
    return STATUS_OK;
}

/* ---- keys and tables ---- */

static struct node *node_new(struct reader *r, enum json_type type, enum origin origin)
{
    struct node *n = ARENA_NEW(r->arena, struct node);

    if (n) {
        n->json.type = type;
        n->origin = origin;
    }
    return n;
}

static void node_add(struct node *parent, struct node *child)
{
    if (parent->last)
        parent->last->json.next = &child->json;
    else
        parent->json.child = &child->json;
    parent->last = child;
    parent->json.n++;
}

static struct node *node_find(const struct node *parent, struct slice name)
{
    for (struct json *m = parent->json.child; m; m = m->next)
        if (slice_eq(m->key, name))
            return (struct node *)m;
    return NULL;
}

static enum status take_key_part(struct reader *r, struct slice *ret)
{
    if (starts(r, SLICE_LIT("\"\"\"")) || starts(r, SLICE_LIT("'''")))
        return syntax(r, "a key cannot be a string of several lines");
    if (at(r, '"') || at(r, '\''))
        return take_string(r, ret);
    const char *from = r->p;
    while (r->p < r->end &&
           (is_digit(*r->p) || ((*r->p | 32) >= 'a' && (*r->p | 32) <= 'z') || at(r, '_') || at(r, '-')))
        r->p++;
    if (r->p == from)
        return syntax(r, "key expected");
    *ret = slice_of(from, (size_t)(r->p - from));
    return STATUS_OK;
}

/* a, "a b", a.b.c; blanks may stand around the dots. */
static enum status take_key(struct reader *r, struct key **ret)
{
    struct key **link = ret;
    int parts = 0;

    do {
        struct key *k = ARENA_NEW(r->arena, struct key);
        if (!k)
            return no_memory(r);
        if (++parts > JSON_MAX_DEPTH)
            return syntax(r, "nested too deeply");
        skip_blanks(r);
        enum status st = take_key_part(r, &k->name);
        if (st != STATUS_OK)
            return st;
        skip_blanks(r);
        *link = k;
        link = &k->next;
    } while (take(r, '.'));
    return STATUS_OK;
}

/* Into the table `name` of *table on behalf of a header (ORIGIN_IMPLIED) or a dotted key (ORIGIN_DOTTED). */
static enum status find_table(struct reader *r, struct node **table, struct slice name, enum origin by)
{
    struct node *n = node_find(*table, name);

    if (++r->depth > JSON_MAX_DEPTH)
        return syntax(r, "nested too deeply");
    if (!n) {
        n = node_new(r, JSON_OBJECT, by);
        if (!n)
            return no_memory(r);
        n->json.key = name;
        node_add(*table, n);
    } else if (n->origin == ORIGIN_VALUE) {
        return name_error(r, name, "is a value already and cannot be extended");
    } else if (by == ORIGIN_DOTTED && n->origin != ORIGIN_DOTTED) {
        return name_error(r, name, "is a table defined elsewhere");
    } else if (n->origin == ORIGIN_TABLES) {
        n = n->last;
        r->depth++;
    }
    *table = n;
    return STATUS_OK;
}

static enum status take_value(struct reader *r, struct node *n);

/* key = value, into `table`. */
static enum status take_pair(struct reader *r, struct node *table)
{
    struct key *key = NULL;
    int depth = r->depth;
    enum status st = take_key(r, &key);

    for (; st == STATUS_OK && key->next; key = key->next)
        st = find_table(r, &table, key->name, ORIGIN_DOTTED);
    if (st != STATUS_OK)
        return st;
    if (node_find(table, key->name))
        return name_error(r, key->name, "is defined twice");
    if (!take(r, '='))
        return syntax(r, "'=' expected after the key");
    skip_blanks(r);
    struct node *n = node_new(r, JSON_NULL, ORIGIN_VALUE);
    if (!n)
        return no_memory(r);
    n->json.key = key->name;
    st = take_value(r, n);
    if (st == STATUS_OK)
        node_add(table, n);
    r->depth = depth;
    return st;
}

/* r->p is behind '['. */
static enum status take_array(struct reader *r, struct node *array)
{
    array->json.type = JSON_ARRAY;
    for (;;) {
        enum status st = skip_lines(r);
        if (st != STATUS_OK || take(r, ']'))
            return st;
        struct node *n = node_new(r, JSON_NULL, ORIGIN_VALUE);
        if (!n)
            return no_memory(r);
        st = take_value(r, n);
        if (st == STATUS_OK)
            st = skip_lines(r);
        if (st != STATUS_OK)
            return st;
        node_add(array, n);
        if (!take(r, ',') && !at(r, ']'))
            return syntax(r, "',' or ']' expected in an array");
    }
}

/* r->p is behind '{'. One line, no comma after the last pair. */
static enum status take_inline_table(struct reader *r, struct node *table)
{
    table->json.type = JSON_OBJECT;
    skip_blanks(r);
    if (take(r, '}'))
        return STATUS_OK;
    for (;;) {
        enum status st = take_pair(r, table);
        if (st != STATUS_OK)
            return st;
        skip_blanks(r);
        if (take(r, '}'))
            return STATUS_OK;
        if (!take(r, ','))
            return syntax(r, "',' or '}' expected in an inline table");
        skip_blanks(r);
    }
}

static enum status take_value(struct reader *r, struct node *n)
{
    enum status st;

    if (at(r, '"') || at(r, '\'')) {
        n->json.type = JSON_STRING;
        return take_string(r, &n->json.text);
    }
    if (!at(r, '[') && !at(r, '{'))
        return take_scalar(r, &n->json);
    if (++r->depth > JSON_MAX_DEPTH)
        return syntax(r, "nested too deeply");
    st = *r->p++ == '[' ? take_array(r, n) : take_inline_table(r, n);
    r->depth--;
    return st;
}

/* The last part of [name]. */
static enum status define_table(struct reader *r, struct node **table, struct slice name)
{
    struct node *n = node_find(*table, name);
    enum status st = STATUS_OK;

    if (n && n->origin != ORIGIN_IMPLIED)
        return name_error(r, name, "is defined twice");
    st = find_table(r, table, name, ORIGIN_IMPLIED);
    if (st == STATUS_OK)
        (*table)->origin = ORIGIN_HEADER;
    return st;
}

/* The last part of [[name]]: one more element. */
static enum status define_element(struct reader *r, struct node **table, struct slice name)
{
    struct node *array = node_find(*table, name), *element = node_new(r, JSON_OBJECT, ORIGIN_HEADER);

    if (array && array->origin != ORIGIN_TABLES)
        return name_error(r, name, "is defined already, and not as [[...]]");
    if (!array) {
        array = node_new(r, JSON_ARRAY, ORIGIN_TABLES);
        if (!array)
            return no_memory(r);
        array->json.key = name;
        node_add(*table, array);
    }
    r->depth += 2;
    if (r->depth > JSON_MAX_DEPTH)
        return syntax(r, "nested too deeply");
    if (!element)
        return no_memory(r);
    node_add(array, element);
    *table = element;
    return STATUS_OK;
}

/* [a.b] or [[a.b]]: *ret is the table that the next lines fill. */
static enum status take_header(struct reader *r, struct node *root, struct node **ret)
{
    bool element = take_text(r, SLICE_LIT("[["));
    struct node *table = root;
    struct key *key = NULL;

    if (!element)
        r->p++;
    r->depth = 0;
    enum status st = take_key(r, &key);
    if (st != STATUS_OK)
        return st;
    if (!take_text(r, element ? SLICE_LIT("]]") : SLICE_LIT("]")))
        return syntax(r, element ? "']]' expected" : "']' expected");
    for (; st == STATUS_OK && key->next; key = key->next)
        st = find_table(r, &table, key->name, ORIGIN_IMPLIED);
    if (st == STATUS_OK)
        st = element ? define_element(r, &table, key->name) : define_table(r, &table, key->name);
    if (st == STATUS_OK)
        *ret = table;
    return st;
}

/* Nothing but blanks and a comment may follow on the line. */
static enum status take_line_end(struct reader *r)
{
    skip_blanks(r);
    enum status st = skip_comment(r);
    if (st != STATUS_OK || r->p >= r->end || take_newline(r))
        return st;
    return syntax(r, "unexpected text at the end of the line");
}

static enum status check_utf8(struct reader *r)
{
    for (; r->p < r->end;) {
        size_t skip, n = (unsigned char)*r->p < 0x80
                             ? 1
                             : utf8_sequence((const unsigned char *)r->p, (size_t)(r->end - r->p), &skip);
        if (n == 0)
            return syntax(r, "text is not UTF-8");
        r->p += n;
    }
    r->p = r->start;
    return STATUS_OK;
}

enum status toml_parse(struct slice text, struct arena *a, struct json **ret, struct error *err)
{
    if (!text.ptr)
        text = SLICE_LIT("");
    if (slice_starts(text, SLICE_LIT("\xEF\xBB\xBF")))
        text = slice_from(text, 3);
    struct reader r = { text.ptr, text.ptr, text.ptr + text.len, a, err, 0 };
    struct node *root = node_new(&r, JSON_OBJECT, ORIGIN_HEADER), *table = root;

    if (!root)
        return no_memory(&r);
    enum status st = check_utf8(&r);
    while (st == STATUS_OK) {
        st = skip_lines(&r);
        if (st != STATUS_OK || r.p >= r.end)
            break;
        st = at(&r, '[') ? take_header(&r, root, &table) : take_pair(&r, table);
        if (st == STATUS_OK)
            st = take_line_end(&r);
    }
    if (st == STATUS_OK)
        *ret = &root->json;
    return st;
}
