/*
 * multipart.c - see multipart.h. RFC 7578 over RFC 2046, as browsers, undici, curl, Go and Python write it.
 *
 *     --BOUNDARY CRLF  head CRLF CRLF  body  CRLF --BOUNDARY CRLF ...  CRLF --BOUNDARY--
 *
 * Text in front of the first boundary and behind the last is skipped. "CRLF--BOUNDARY" that goes on with anything but
 * "--" or the end of the line belongs to the body: a boundary may be the beginning of another.
 *
 * A quote in a name travels as %22 (browsers, undici, curl) or as \" (Go, old curl); both are undone, and %0D %0A likewise.
 * Other percent signs and lone backslashes are what they are.
 */
#include "http/multipart.h"

#include "base/utf8.h"

enum { BOUNDARY_MAX = 70 };

struct scan {
    struct slice delimiter; /* CRLF--BOUNDARY */
    struct slice rest;      /* behind the last delimiter line */
    struct arena *arena;
    size_t n; /* parts so far, for texts */
};

static enum status malformed(struct error *err, size_t part, const char *what)
{
    return part ? error_set(err, STATUS_INVALID, 0, "the multipart body is malformed: part %zu %s", part, what)
                : error_set(err, STATUS_INVALID, 0, "the multipart body is malformed: %s", what);
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, 0, "the multipart body needs more memory than a request may use");
}

/* ---- header values: token *( ";" name=value ) ---- */

/* The position of the quote that ends the string which starts behind text[0]; text.len when there is none. */
static size_t closing_quote(struct slice text)
{
    size_t i = 1;

    while (i < text.len && text.ptr[i] != '"')
        i += text.ptr[i] == '\\' && i + 1 < text.len && (text.ptr[i + 1] == '"' || text.ptr[i + 1] == '\\') ? 2 : 1;
    return i < text.len ? i : text.len;
}

/* The next parameter of *rest, its value still escaped. False: there is none, or (absent *rest stays) it is malformed. */
static bool take_param(struct slice *rest, struct slice *ret_name, struct slice *ret_value)
{
    struct slice text = slice_trim(*rest);

    while (text.len && text.ptr[0] == ';')
        text = slice_trim(slice_from(text, 1));
    *rest = text;
    const char *equals = text.len ? memchr(text.ptr, '=', text.len) : NULL;
    if (!equals)
        return false;
    *ret_name = slice_trim(slice_of(text.ptr, (size_t)(equals - text.ptr)));
    text = slice_trim(slice_from(text, (size_t)(equals - text.ptr) + 1));
    if (text.len && text.ptr[0] == '"') {
        size_t end = closing_quote(text);
        if (end == text.len)
            return false;
        *ret_value = slice_of(text.ptr + 1, end - 1);
        *rest = slice_from(text, end + 1);
        return true;
    }
    *ret_value = slice_trim(slice_cut(&text, ';'));
    *rest = text;
    return true;
}

static struct slice media_type(struct slice value)
{
    return slice_trim(slice_cut(&value, ';'));
}

bool multipart_is_form(struct slice content_type)
{
    return slice_eq_nocase(media_type(content_type), SLICE_LIT("multipart/form-data"));
}

static struct slice boundary_of(struct slice content_type)
{
    struct slice name, value;

    (void)slice_cut(&content_type, ';'); /* the media type */
    while (take_param(&content_type, &name, &value))
        if (slice_eq_nocase(name, SLICE_LIT("boundary")))
            return value;
    return SLICE_NONE;
}

/* ---- names ---- */

/* How many bytes of s from i on are one escape, which stands for *ret. 0: s[i] stands for itself. */
static size_t escape_at(struct slice s, size_t i, char *ret)
{
    static const struct {
        struct slice text;
        char stands_for;
    } escapes[] = {
        { SLICE_LIT("\\\""), '"' }, { SLICE_LIT("\\\\"), '\\' }, { SLICE_LIT("%22"), '"' },  { SLICE_LIT("%0D"), '\r' },
        { SLICE_LIT("%0d"), '\r' }, { SLICE_LIT("%0A"), '\n' },  { SLICE_LIT("%0a"), '\n' },
    };

    if (s.ptr[i] != '\\' && s.ptr[i] != '%')
        return 0;
    for (size_t k = 0; k < ARRAY_LEN(escapes); k++) {
        if (slice_starts(slice_from(s, i), escapes[k].text)) {
            *ret = escapes[k].stands_for;
            return escapes[k].text.len;
        }
    }
    return 0;
}

static bool unescape(struct arena *a, struct slice s, struct slice *ret)
{
    size_t n = 0;

    *ret = s;
    if (!s.len || (!memchr(s.ptr, '%', s.len) && !memchr(s.ptr, '\\', s.len)))
        return true;
    char *out = arena_alloc(a, s.len);
    if (!out)
        return false;
    for (size_t i = 0; i < s.len;) {
        char c = s.ptr[i];
        size_t len = escape_at(s, i, &c);
        out[n++] = c;
        i += len ? len : 1;
    }
    *ret = slice_of(out, n);
    return true;
}

static bool is_text(struct slice s)
{
    size_t i = 0, skip;

    while (i < s.len) {
        size_t n = s.ptr[i] ? utf8_sequence((const unsigned char *)s.ptr + i, s.len - i, &skip) : 0;
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* ---- the head of a part ---- */

static enum status take_disposition(struct scan *s, struct slice value, struct multipart_part *part, struct error *err)
{
    struct slice name, text, decoded;

    if (!slice_eq_nocase(media_type(value), SLICE_LIT("form-data")))
        return malformed(err, s->n, "has a Content-Disposition other than form-data");
    (void)slice_cut(&value, ';'); /* "form-data" */
    while (take_param(&value, &name, &text)) {
        bool is_name = slice_eq_nocase(name, SLICE_LIT("name"));
        if (!is_name && !slice_eq_nocase(name, SLICE_LIT("filename")))
            continue;
        if (!unescape(s->arena, text, &decoded))
            return no_memory(err);
        if (!is_text(decoded))
            return malformed(err, s->n, "has a name that is not UTF-8 text");
        if (is_name)
            part->name = decoded;
        else
            part->filename = decoded;
    }
    return value.len ? malformed(err, s->n, "has a malformed Content-Disposition") : STATUS_OK;
}

static enum status take_header(struct scan *s, struct slice line, struct multipart_part *part, struct error *err)
{
    struct slice name = slice_cut(&line, ':');

    if (!line.ptr)
        return malformed(err, s->n, "has a header line without a colon");
    struct slice value = slice_trim(line);
    if (slice_eq_nocase(name, SLICE_LIT("Content-Disposition")))
        return take_disposition(s, value, part, err);
    if (slice_eq_nocase(name, SLICE_LIT("Content-Type")))
        part->content_type = value;
    if (slice_eq_nocase(name, SLICE_LIT("Content-Transfer-Encoding")) && !slice_eq_nocase(value, SLICE_LIT("binary")) &&
        !slice_eq_nocase(value, SLICE_LIT("8bit")) && !slice_eq_nocase(value, SLICE_LIT("7bit")))
        return malformed(err, s->n, "has a Content-Transfer-Encoding; send its bytes as they are");
    return STATUS_OK;
}

/* The next line of *rest, without its CRLF. False: no line ends there. */
static bool take_line(struct slice *rest, struct slice *ret)
{
    const char *end = rest->len ? memmem(rest->ptr, rest->len, "\r\n", 2) : NULL;

    if (!end)
        return false;
    *ret = slice_of(rest->ptr, (size_t)(end - rest->ptr));
    *rest = slice_from(*rest, ret->len + 2);
    return true;
}

/* `text` is everything between two delimiter lines. */
static enum status take_part(struct scan *s, struct slice text, struct multipart_part *ret, struct error *err)
{
    const char *start = text.ptr;
    struct slice line;
    enum status st = STATUS_OK;

    s->n++;
    *ret = (struct multipart_part){ 0 };
    while (text.len || text.ptr == start) { /* a part may end with its head: then its body is empty */
        if (!take_line(&text, &line))
            return malformed(err, s->n, "has no empty line between its head and its body");
        if (text.ptr - start > MULTIPART_MAX_HEAD_BYTES)
            return error_set(err, STATUS_TOOBIG, 0, "part %zu of the multipart body has a head of more than %d bytes",
                             s->n, MULTIPART_MAX_HEAD_BYTES);
        if (!line.len)
            break;
        st = take_header(s, line, ret, err);
        if (st != STATUS_OK)
            return st;
    }
    ret->body = text;
    return ret->name.ptr ? STATUS_OK : malformed(err, s->n, "has no name");
}

/* ---- the parts ---- */

/* Whether what follows "--BOUNDARY" ends a delimiter line; *ret_len: how long that end is. */
static bool ends_delimiter(struct slice text, bool *ret_last, size_t *ret_len)
{
    size_t i = 0;

    *ret_last = slice_starts(text, SLICE_LIT("--"));
    if (*ret_last) {
        *ret_len = 2;
        return true;
    }
    while (i < text.len && (text.ptr[i] == ' ' || text.ptr[i] == '\t'))
        i++;
    *ret_len = i + 2;
    return slice_starts(slice_from(text, i), SLICE_LIT("\r\n"));
}

/* What is in front of the next delimiter line of s->rest, which moves behind it. False: there is none. */
static bool take_until_delimiter(struct scan *s, struct slice *ret_before, bool *ret_last)
{
    struct slice rest = s->rest;

    for (;;) {
        const char *at = memmem(rest.ptr, rest.len, s->delimiter.ptr, s->delimiter.len);
        size_t len;
        if (!at)
            return false;
        rest = slice_from(rest, (size_t)(at - rest.ptr) + s->delimiter.len);
        if (!ends_delimiter(rest, ret_last, &len))
            continue;
        *ret_before = slice_of(s->rest.ptr, (size_t)(at - s->rest.ptr));
        s->rest = slice_from(rest, len);
        return true;
    }
}

/* Moves behind the first delimiter line, which needs no CRLF in front at the very start of the body. */
static bool skip_preamble(struct scan *s, bool *ret_last)
{
    struct slice bare = slice_from(s->delimiter, 2), before;
    size_t len;

    if (slice_starts(s->rest, bare) && ends_delimiter(slice_from(s->rest, bare.len), ret_last, &len)) {
        s->rest = slice_from(s->rest, bare.len + len);
        return true;
    }
    return take_until_delimiter(s, &before, ret_last);
}

/* Room for one more of n parts: doubles, so that few parts cost little and many are not copied often. */
static bool grow(struct arena *a, struct multipart_part **parts, size_t n)
{
    if (n & (n - 1) || (n > 0 && n < 8))
        return true;
    struct multipart_part *larger = arena_alloc(a, sizeof(*larger) * (n ? 2 * n : 8));
    if (!larger)
        return false;
    if (n)
        memcpy(larger, *parts, sizeof(*larger) * n);
    *parts = larger;
    return true;
}

static enum status take_parts(struct scan *s, struct multipart *ret, struct error *err)
{
    struct multipart_part *parts = NULL;
    struct slice text;
    bool last;

    if (!skip_preamble(s, &last))
        return malformed(err, 0, "the boundary of the Content-Type header is not in it");
    while (!last) {
        if (s->n == MULTIPART_MAX_PARTS)
            return error_set(err, STATUS_TOOBIG, 0, "the multipart body has more than %d parts", MULTIPART_MAX_PARTS);
        if (!take_until_delimiter(s, &text, &last))
            return malformed(err, 0, "it ends before its closing boundary");
        if (!grow(s->arena, &parts, s->n))
            return no_memory(err);
        enum status st = take_part(s, text, &parts[s->n], err);
        if (st != STATUS_OK)
            return st;
    }
    *ret = (struct multipart){ parts, s->n };
    return STATUS_OK;
}

enum status multipart_parse(struct slice content_type, struct slice body, struct arena *a, struct multipart *ret,
                            struct error *err)
{
    char delimiter[4 + BOUNDARY_MAX] = "\r\n--";

    if (!multipart_is_form(content_type))
        return error_set(err, STATUS_INVALID, 0, "the Content-Type must be multipart/form-data");
    struct slice boundary = boundary_of(content_type);
    if (boundary.len == 0 || boundary.len > BOUNDARY_MAX)
        return error_set(err, STATUS_INVALID, 0,
                         "the Content-Type multipart/form-data needs a boundary of 1 to %d bytes", BOUNDARY_MAX);
    memcpy(delimiter + 4, boundary.ptr, boundary.len);
    struct scan s = { .delimiter = slice_of(delimiter, 4 + boundary.len),
                      .rest = body.ptr ? body : SLICE_LIT(""),
                      .arena = a };
    return take_parts(&s, ret, err);
}

const struct multipart_part *multipart_find(const struct multipart *m, const char *name)
{
    struct slice want = slice_cstr(name);

    for (size_t i = 0; i < m->n; i++)
        if (slice_eq(m->parts[i].name, want))
            return &m->parts[i];
    return NULL;
}
