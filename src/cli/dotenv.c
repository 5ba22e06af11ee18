/* dotenv.c - see dotenv.h. */
#include "cli/dotenv.h"

#include "base/attrs.h"
#include "base/buf.h"

#include <stdlib.h>

/* A value that refers to values that refer to values; deeper is a circle. */
enum { MAX_DEPTH = 16, MAX_STEPS = 10000, MAX_VALUE_BYTES = 1024 * 1024 };

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

static bool is_name_char(char c)
{
    return is_key_char(c) && c != '.' && c != '-';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

struct reader {
    const char *p, *end;
    size_t line;
};

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && is_blank(*r->p))
        r->p++;
}

static void skip_line(struct reader *r)
{
    while (r->p < r->end && *r->p != '\n')
        r->p++;
    r->p += r->p < r->end;
    r->line++;
}

static struct slice take_word(struct reader *r)
{
    const char *start = r->p;

    while (r->p < r->end && is_key_char(*r->p))
        r->p++;
    return slice_of(start, (size_t)(r->p - start));
}

/* The key with what stands between it and its value; absent: no such line. */
static struct slice take_key(struct reader *r)
{
    struct slice key = take_word(r);

    if (slice_eq(key, SLICE_LIT("export")) && r->p < r->end && is_blank(*r->p)) {
        skip_blanks(r);
        key = take_word(r);
    }
    skip_blanks(r);
    if (!key.len || r->p == r->end || (*r->p != '=' && *r->p != ':'))
        return SLICE_NONE;
    r->p++;
    skip_blanks(r);
    return key;
}

/* The content of a quoted value, when its quote is closed. */
static bool take_quoted(struct reader *r, struct slice *ret)
{
    char quote = *r->p;
    const char *p = r->p + 1;

    while (p < r->end && *p != quote)
        p += *p == '\\' && p + 1 < r->end && p[1] == quote ? 2 : 1;
    if (p >= r->end)
        return false;
    *ret = slice_of(r->p + 1, (size_t)(p - r->p - 1));
    for (const char *c = r->p; c < p; c++)
        r->line += *c == '\n';
    r->p = p + 1;
    return true;
}

static struct slice take_plain(struct reader *r)
{
    const char *start = r->p;

    while (r->p < r->end && *r->p != '#' && *r->p != '\n' && *r->p != '\r')
        r->p++;
    return slice_trim(slice_of(start, (size_t)(r->p - start)));
}

static struct slice keep(struct arena *a, struct slice s)
{
    struct slice kept = arena_copy(a, s);

    if (!kept.ptr)
        abort();
    return kept;
}

static struct slice with_line_ends(struct slice s, struct arena *a)
{
    struct buf out = { 0 };

    for (size_t i = 0; i < s.len; i++) {
        char next = i + 1 < s.len ? s.ptr[i + 1] : '\0';
        if (s.ptr[i] == '\\' && (next == 'n' || next == 'r')) {
            buf_append_char(&out, next == 'n' ? '\n' : '\r');
            i++;
        } else {
            buf_append_char(&out, s.ptr[i]);
        }
    }
    struct slice kept = keep(a, buf_slice(&out));
    buf_release(&out);
    return kept;
}

static struct slice take_value(struct reader *r, struct arena *a)
{
    struct slice value = SLICE_LIT("");
    char quote = r->p < r->end ? *r->p : '\0';

    if ((quote != '"' && quote != '\'' && quote != '`') || !take_quoted(r, &value))
        return take_plain(r);
    return quote == '"' ? with_line_ends(value, a) : value;
}

struct dotenv_entry *dotenv_find(const struct dotenv *d, struct slice key)
{
    for (struct dotenv_entry *e = d->first; e; e = e->next)
        if (slice_eq(e->key, key))
            return e;
    return NULL;
}

static void put(struct dotenv *d, struct slice key, struct slice value, struct arena *a)
{
    struct dotenv_entry *e = dotenv_find(d, key);

    if (!e) {
        e = ARENA_NEW(a, struct dotenv_entry);
        if (!e)
            abort();
        e->key = key;
        *(d->last ? &d->last->next : &d->first) = e;
        d->last = e;
    }
    e->value = value;
}

void dotenv_parse(struct slice text, struct arena *a, struct dotenv *ret)
{
    struct reader r = { text.ptr, text.ptr + text.len, 1 };

    if (slice_starts(text, SLICE_LIT("\xEF\xBB\xBF")))
        r.p += 3;
    while (r.p < r.end) {
        skip_blanks(&r);
        if (r.p < r.end && *r.p != '#' && *r.p != '\n') {
            size_t line = r.line;
            struct slice key = take_key(&r);
            if (key.ptr)
                put(ret, key, take_value(&r, a), a);
            else if (!ret->unread_line)
                ret->unread_line = line;
        }
        skip_line(&r);
    }
}

/* ---- references ---- */

struct expansion {
    const struct dotenv *vars;
    struct buf out;
    size_t n_steps; /* values that refer to values can grow without end */
};

static void expand_text(struct expansion *x, struct slice text, int depth);

/* "NAME", "NAME:-default" or "NAME-default", as it stands between the braces. */
static void expand_reference(struct expansion *x, struct slice text, int depth)
{
    size_t n = 0;

    while (n < text.len && is_name_char(text.ptr[n]))
        n++;
    const struct dotenv_entry *e = dotenv_find(x->vars, slice_of(text.ptr, n));
    struct slice rest = slice_from(text, n);
    if (e && (e->value.len || !rest.len))
        expand_text(x, e->value, depth + 1);
    else if (slice_starts(rest, SLICE_LIT(":-")))
        expand_text(x, slice_from(rest, 2), depth + 1);
    else if (slice_starts(rest, SLICE_LIT("-")))
        expand_text(x, slice_from(rest, 1), depth + 1);
}

/* The length of the reference that follows a '$', with its name or the inside of its braces; 0: it is just a '$'. */
static size_t reference_length(struct slice after, struct slice *ret_inside)
{
    size_t n = 0;
    int depth = 1;

    if (!after.len || after.ptr[0] != '{') {
        while (n < after.len && is_name_char(after.ptr[n]))
            n++;
        *ret_inside = slice_of(after.ptr, n);
        return n;
    }
    for (n = 1; n < after.len && depth > 0; n++)
        depth += after.ptr[n] == '{' ? 1 : after.ptr[n] == '}' ? -1 : 0;
    if (depth)
        return 0;
    *ret_inside = slice_of(after.ptr + 1, n - 2);
    return n;
}

static void expand_text(struct expansion *x, struct slice text, int depth)
{
    x->n_steps++;
    for (size_t i = 0; i < text.len && depth < MAX_DEPTH && x->n_steps < MAX_STEPS;) {
        struct slice inside;
        size_t n;
        if (text.ptr[i] == '\\' && i + 1 < text.len && text.ptr[i + 1] == '$') {
            buf_append_char(&x->out, '$');
            i += 2;
        } else if (text.ptr[i] == '$' && (n = reference_length(slice_from(text, i + 1), &inside)) > 0) {
            expand_reference(x, inside, depth);
            i += 1 + n;
        } else {
            buf_append_char(&x->out, text.ptr[i++]);
        }
    }
}

bool dotenv_expand(struct dotenv *d, struct arena *a)
{
    struct expansion x = { .vars = d, .out.limit = MAX_VALUE_BYTES };
    bool good = true;

    for (struct dotenv_entry *e = d->first; e && good; e = e->next) {
        if (!memchr(e->value.ptr, '$', e->value.len))
            continue;
        buf_clear(&x.out);
        x.n_steps = 0;
        expand_text(&x, e->value, 0);
        good = !x.out.overflowed && x.n_steps < MAX_STEPS;
        if (good)
            e->value = keep(a, buf_slice(&x.out));
    }
    buf_release(&x.out);
    return good;
}
