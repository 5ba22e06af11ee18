/*
 * literal.c - see literal.h.
 *
 * Most text needs nothing but quotes; one pass over it, by a table, tells.
 */
#include "sql/literal.h"

#include "base/json.h"
#include "base/utf8.h"

#include "dione_sqlite.h"

void literal_name(struct buf *b, struct slice name)
{
    buf_append_char(b, '"');
    for (const char *p; name.len && (p = memchr(name.ptr, '"', name.len));) {
        size_t n = (size_t)(p - name.ptr) + 1;
        buf_append(b, name.ptr, n);
        buf_append_char(b, '"');
        name = slice_from(name, n);
    }
    buf_append_slice(b, name);
    buf_append_char(b, '"');
}

void literal_blob(struct buf *b, struct slice bytes)
{
    static const char digits[] = "0123456789abcdef";

    buf_append(b, "X'", 2);
    if (!buf_try_reserve(b, 2 * bytes.len + 1)) {
        b->overflowed = true;
        return;
    }
    char *to = b->ptr + b->len;
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];
        *to++ = digits[byte >> 4];
        *to++ = digits[byte & 15];
    }
    b->len += 2 * bytes.len;
    buf_append_char(b, '\'');
}

/* What must be escaped in a text, found in one pass. */
struct text_kind {
    bool plain;     /* nothing to do */
    bool needs_hex; /* a literal cannot hold it */
    bool lf, cr;
};

static const bool is_special[256] = {
    ['\0'] = true, ['\n'] = true, ['\r'] = true, ['\''] = true, ['\\'] = true, [0x80 ... 0xff] = true
};

static struct text_kind look_at(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    struct text_kind k = { .plain = true };
    bool literal_n = false, literal_r = false;

    for (size_t i = 0; i < s.len && !k.needs_hex;) {
        size_t n = 1, skip;
        if (!is_special[p[i]]) {
            i++;
            continue;
        }
        switch (p[i]) {
        case '\0':
            k.needs_hex = true;
            break;
        case '\n':
            k.lf = true;
            break;
        case '\r':
            k.cr = true;
            break;
        case '\'':
            k.plain = false;
            break;
        case '\\':
            literal_n |= i + 1 < s.len && p[i + 1] == 'n';
            literal_r |= i + 1 < s.len && p[i + 1] == 'r';
            break;
        default:
            n = utf8_sequence(p + i, s.len - i, &skip);
            k.needs_hex = n == 0;
        }
        i += n;
    }
    /* replace() could not tell a "\n" of the text from the one that stands for a line end. */
    k.needs_hex |= (k.lf && literal_n) || (k.cr && literal_r);
    k.plain &= !k.lf && !k.cr && !k.needs_hex;
    return k;
}

static void put_escaped(struct buf *b, struct slice s)
{
    size_t from = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c != '\'' && c != '\n' && c != '\r')
            continue;
        buf_append(b, s.ptr + from, i - from);
        buf_append(b, c == '\'' ? "''" : c == '\n' ? "\\n" : "\\r", 2);
        from = i + 1;
    }
    buf_append(b, s.ptr + from, s.len - from);
}

/*
 * Line ends are written as \n inside replace(), as D1 does, so that a dump has one statement a line. The escaped form is
 * longer than the text: near the size limit of values only hex is sure to be taken back.
 */
void literal_text(struct buf *b, struct slice s)
{
    enum { REPLACE_MAX_BYTES = 1000 * 1000 };
    struct text_kind k = look_at(s);

    if (k.needs_hex || ((k.lf || k.cr) && s.len > REPLACE_MAX_BYTES)) {
        buf_append_cstr(b, "CAST(");
        literal_blob(b, s);
        buf_append_cstr(b, " AS TEXT)");
        return;
    }
    if (k.lf)
        buf_append_cstr(b, "replace(");
    if (k.cr)
        buf_append_cstr(b, "replace(");
    buf_append_char(b, '\'');
    if (k.plain)
        buf_append_slice(b, s);
    else
        put_escaped(b, s);
    buf_append_char(b, '\'');
    if (k.cr)
        buf_append_cstr(b, ",'\\r',char(13))");
    if (k.lf)
        buf_append_cstr(b, ",'\\n',char(10))");
}

/*
 * The shortest text that reads back as v. D1 prints 1.0 as 1, which reads back as an integer; that is only right in a column
 * of REAL affinity, which turns it into a real again.
 */
void literal_real(struct buf *b, double v, bool column_is_real)
{
    if (v > 1.7976931348623157e308 || v < -1.7976931348623157e308) {
        buf_append_cstr(b, v > 0 ? "9e999" : "-9e999");
        return;
    }
    size_t from = b->len;
    json_write_double(b, v);
    if (b->overflowed)
        return;
    if (v == 0 && __builtin_signbit(v)) {
        b->len = from;
        buf_append_cstr(b, "-0.0");
        return;
    }
    bool looks_like_integer = !memchr(b->ptr + from, '.', b->len - from) && !memchr(b->ptr + from, 'e', b->len - from);
    bool is_small = v < 9007199254740992.0 && v > -9007199254740992.0;
    if (looks_like_integer && !(column_is_real && is_small))
        buf_append_cstr(b, ".0");
}

void literal_column(struct buf *b, struct sqlite3_stmt *stmt, int i, bool column_is_real)
{
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        json_write_i64(b, sqlite3_column_int64(stmt, i));
        break;
    case SQLITE_FLOAT:
        literal_real(b, sqlite3_column_double(stmt, i), column_is_real);
        break;
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(stmt, i);
        literal_text(b, slice_of(text, (size_t)sqlite3_column_bytes(stmt, i)));
        break;
    }
    case SQLITE_BLOB: {
        const char *bytes = sqlite3_column_blob(stmt, i);
        literal_blob(b, slice_of(bytes, (size_t)sqlite3_column_bytes(stmt, i)));
        break;
    }
    default:
        buf_append(b, "NULL", 4);
    }
}
