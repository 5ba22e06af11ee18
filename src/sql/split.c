/*
 * split.c - see split.h.
 *
 * Two small machines side by side. `lex` says what kind of token the scan is in when the input ends in the middle of it,
 * so that no byte of a long string is looked at twice. `phase` follows the few keywords that decide whether a ';' ends
 * the statement. Inside a trigger a ';' ends it only behind "; END": so the END of a CASE, which always follows an
 * expression, is no concern.
 *
 * Nearly all of a dump is the inside of strings and of INSERTs, so these two are what is fast: strings go by memchr,
 * plain code by a table that stops only at bytes that can change anything.
 */
#include "sql/split.h"

#include <stdlib.h>

enum { LONGEST_KEYWORD = 9 }; /* TEMPORARY */

enum byte_kind {
    BYTE_OTHER,
    BYTE_SPACE,
    BYTE_WORD,
    BYTE_STOP, /* a quote, '[', ';', '-' or '/' */
};

/* As SQLite has it: every byte from 0x80 on may be part of a name. */
static const unsigned char kinds[256] = {
    ['\t'] = BYTE_SPACE,       ['\n'] = BYTE_SPACE,         ['\f'] = BYTE_SPACE,       ['\r'] = BYTE_SPACE,
    [' '] = BYTE_SPACE,        ['"'] = BYTE_STOP,           ['\''] = BYTE_STOP,        ['`'] = BYTE_STOP,
    ['['] = BYTE_STOP,         [';'] = BYTE_STOP,           ['-'] = BYTE_STOP,         ['/'] = BYTE_STOP,
    ['0' ... '9'] = BYTE_WORD, ['A' ... 'Z'] = BYTE_WORD,   ['a' ... 'z'] = BYTE_WORD, ['_'] = BYTE_WORD,
    ['$'] = BYTE_WORD,         [0x80 ... 0xff] = BYTE_WORD,
};

static enum byte_kind kind_of(char c)
{
    return kinds[(unsigned char)c];
}

void split_init(struct split *s)
{
    *s = (struct split){ .max_bytes = SPLIT_MAX_BYTES };
}

void split_release(struct split *s)
{
    free(s->ptr);
    *s = (struct split){ 0 };
}

uint64_t split_offset(const struct split *s)
{
    return s->base + s->start;
}

/* ---- input ---- */

static void take_back(struct split *s)
{
    if (s->hidden_at)
        s->ptr[s->hidden_at] = s->hidden;
    s->hidden_at = 0;
}

char *split_room(struct split *s, size_t want)
{
    take_back(s);
    if (s->start) {
        memmove(s->ptr, s->ptr + s->start, s->len - s->start);
        s->base += s->start;
        s->len -= s->start;
        s->at -= s->start;
        s->start = 0;
    }
    if (s->cap - s->len <= want) { /* one more for the NUL */
        size_t cap = s->len + want + 1;
        if (cap < s->cap * 2)
            cap = s->cap * 2;
        char *ptr = realloc(s->ptr, cap);
        if (!ptr)
            return NULL;
        s->ptr = ptr;
        s->cap = cap;
    }
    return s->ptr + s->len;
}

void split_fed(struct split *s, size_t n)
{
    s->len += n;
}

void split_end(struct split *s)
{
    s->ended = true;
}

/* ---- the phase ---- */

static bool word_is(struct slice word, const char *keyword)
{
    return slice_eq_nocase(word, slice_cstr(keyword));
}

/* Any token but ';'. `word` is absent when the token is no word. */
static void take_token(struct split *s, size_t at, struct slice word)
{
    switch (s->phase) {
    case SPLIT_START:
        s->start = at;
        s->phase = word_is(word, "explain") ? SPLIT_EXPLAIN : word_is(word, "create") ? SPLIT_CREATE : SPLIT_PLAIN;
        return;
    case SPLIT_EXPLAIN:
        if (word_is(word, "create"))
            s->phase = SPLIT_CREATE;
        else if (!word_is(word, "query") && !word_is(word, "plan"))
            s->phase = SPLIT_PLAIN;
        return;
    case SPLIT_CREATE:
        if (word_is(word, "trigger"))
            s->phase = SPLIT_TRIGGER;
        else if (!word_is(word, "temp") && !word_is(word, "temporary"))
            s->phase = SPLIT_PLAIN;
        return;
    case SPLIT_TRIGGER_SEMI:
        s->phase = word_is(word, "end") ? SPLIT_TRIGGER_END : SPLIT_TRIGGER;
        return;
    case SPLIT_TRIGGER_END:
        s->phase = SPLIT_TRIGGER;
        return;
    case SPLIT_PLAIN:
    case SPLIT_TRIGGER:
        return;
    }
}

/* True when this ';' ends a statement that has a token. */
static bool take_semicolon(struct split *s)
{
    switch (s->phase) {
    case SPLIT_START:
        return false;
    case SPLIT_TRIGGER:
    case SPLIT_TRIGGER_SEMI:
        s->phase = SPLIT_TRIGGER_SEMI;
        return false;
    case SPLIT_PLAIN:
    case SPLIT_EXPLAIN:
    case SPLIT_CREATE:
    case SPLIT_TRIGGER_END:
        return true;
    }
    return true;
}

/* ---- tokens ---- */

static bool byte_at(const struct split *s, size_t at, char c)
{
    return at < s->len && s->ptr[at] == c;
}

/* Moves behind the next `c`, or to the end of what is there. True: it was found. */
static bool skip_past(struct split *s, char c)
{
    const char *found = memchr(s->ptr + s->at, c, s->len - s->at);

    s->at = found ? (size_t)(found - s->ptr) + 1 : s->len;
    return found != NULL;
}

/* Goes on with a token that an earlier piece of input began. False: it is still open. */
static bool finish_token(struct split *s)
{
    switch (s->lex) {
    case SPLIT_CODE:
        return true;
    case SPLIT_QUOTED: /* a doubled quote ends one string and begins another: the same for us */
        if (!skip_past(s, s->quote))
            return false;
        break;
    case SPLIT_LINE_COMMENT:
        if (!skip_past(s, '\n'))
            return false;
        break;
    case SPLIT_BLOCK_COMMENT:
        for (;;) {
            if (!skip_past(s, '*'))
                return false;
            if (s->at == s->len) {
                s->at--; /* the '*' again, with what follows it */
                return false;
            }
            if (byte_at(s, s->at, '/'))
                break;
        }
        s->at++;
        break;
    case SPLIT_LONG_WORD:
        while (s->at < s->len && kind_of(s->ptr[s->at]) == BYTE_WORD)
            s->at++;
        if (s->at == s->len)
            return false;
        break;
    }
    s->lex = SPLIT_CODE;
    return true;
}

/* A word counts as a whole, so its end must have been seen. False: not yet. */
static bool take_word(struct split *s)
{
    size_t end = s->at;

    while (end < s->len && kind_of(s->ptr[end]) == BYTE_WORD)
        end++;
    struct slice word = slice_of(s->ptr + s->at, end - s->at);
    if (end == s->len && !s->ended) {
        if (word.len <= LONGEST_KEYWORD)
            return false;
        s->lex = SPLIT_LONG_WORD;
    }
    take_token(s, s->at, word);
    s->at = end;
    return true;
}

static void begin_quoted(struct split *s, char quote)
{
    take_token(s, s->at, SLICE_NONE);
    s->quote = quote;
    s->lex = SPLIT_QUOTED;
    s->at++;
}

/* '-' or '/': half of the beginning of a comment, or an operator. False: the next byte must tell. */
static bool take_maybe_comment(struct split *s, char second, enum split_lex comment)
{
    if (s->at + 1 == s->len && !s->ended)
        return false;
    if (byte_at(s, s->at + 1, second)) {
        s->lex = comment;
        s->at += 2;
        return true;
    }
    take_token(s, s->at, SLICE_NONE);
    s->at++;
    return true;
}

enum scan_result { SCAN_GO_ON, SCAN_STATEMENT, SCAN_MORE };

static enum scan_result take_stop(struct split *s)
{
    char c = s->ptr[s->at];

    switch (c) {
    case ';':
        s->at++;
        return take_semicolon(s) ? SCAN_STATEMENT : SCAN_GO_ON;
    case '-':
        return take_maybe_comment(s, '-', SPLIT_LINE_COMMENT) ? SCAN_GO_ON : SCAN_MORE;
    case '/':
        return take_maybe_comment(s, '*', SPLIT_BLOCK_COMMENT) ? SCAN_GO_ON : SCAN_MORE;
    default:
        begin_quoted(s, c == '[' ? ']' : c);
        return SCAN_GO_ON;
    }
}

static enum scan_result scan_token(struct split *s)
{
    char c = s->ptr[s->at];

    switch (kind_of(c)) {
    case BYTE_SPACE:
        s->at++;
        return SCAN_GO_ON;
    case BYTE_WORD:
        return take_word(s) ? SCAN_GO_ON : SCAN_MORE;
    case BYTE_STOP:
        return take_stop(s);
    case BYTE_OTHER:
        take_token(s, s->at, SLICE_NONE);
        s->at++;
        return SCAN_GO_ON;
    }
    return SCAN_GO_ON;
}

/* Where no keyword can matter. */
static void skip_plain(struct split *s)
{
    const char *p = s->ptr + s->at, *end = s->ptr + s->len;

    while (p < end && kind_of(*p) != BYTE_STOP)
        p++;
    s->at = (size_t)(p - s->ptr);
}

/* Scans to the end of a statement or of the input. */
static bool scan(struct split *s)
{
    while (s->at < s->len) {
        if (!finish_token(s))
            return false;
        if (s->phase == SPLIT_PLAIN || s->phase == SPLIT_TRIGGER)
            skip_plain(s);
        if (s->at == s->len)
            return false;
        switch (scan_token(s)) {
        case SCAN_STATEMENT:
            return true;
        case SCAN_MORE:
            return false;
        case SCAN_GO_ON:
            break;
        }
    }
    return false;
}

/* ---- statements ---- */

/* Notepad and its kind open a file with a byte order mark. False: the next byte must tell. */
static bool skip_byte_order_mark(struct split *s)
{
    static const char mark[] = "\xEF\xBB\xBF";
    size_t n = s->len < 3 ? s->len : 3;

    if (s->base + s->at > 0 || memcmp(s->ptr, mark, n) != 0)
        return true;
    if (n == 3)
        s->at = s->start = 3;
    return n == 3 || s->ended;
}

static enum split_result hand_out(struct split *s, size_t end, struct split_statement *ret, struct error *err)
{
    struct slice text = slice_of(s->ptr + s->start, end - s->start);
    const char *nul = memchr(text.ptr, '\0', text.len);

    /* SQLite would take it for the end of the text and pass over the rest in silence. */
    if (nul) {
        IGNORE_RESULT(error_set(err, STATUS_SQL, 0, "The SQL text contains a NUL character")); /* fills err */
        return SPLIT_FAILED;
    }
    if (text.len > s->max_bytes) {
        IGNORE_RESULT(error_set(err, STATUS_SQL, 0, "statement too long: SQLITE_TOOBIG (the limit is %zu bytes)",
                                s->max_bytes)); /* fills err */
        return SPLIT_FAILED;
    }
    *ret = (struct split_statement){ .text = text, .offset = s->base + s->start };
    s->hidden_at = end;
    s->hidden = s->ptr[end]; /* there is always one byte of room behind len */
    s->ptr[end] = '\0';
    s->start = end;
    s->phase = SPLIT_START;
    s->lex = SPLIT_CODE;
    return SPLIT_STATEMENT;
}

enum split_result split_next(struct split *s, struct split_statement *ret, struct error *err)
{
    take_back(s);
    if (s->len == 0)
        return s->ended ? SPLIT_DONE : SPLIT_MORE;
    if (!skip_byte_order_mark(s))
        return SPLIT_MORE;
    if (scan(s))
        return hand_out(s, s->at, ret, err);
    if (s->ended && s->phase != SPLIT_START) {
        s->at = s->len;
        return hand_out(s, s->len, ret, err);
    }
    /* Comments and space in front of a statement need not be kept; the last bytes may belong to an unfinished token. */
    if (s->phase == SPLIT_START)
        s->start = s->at;
    if (s->ended)
        return SPLIT_DONE;
    if (s->len - s->start > s->max_bytes) {
        IGNORE_RESULT(error_set(err, STATUS_SQL, 0, "statement too long: SQLITE_TOOBIG (the limit is %zu bytes)",
                                s->max_bytes)); /* fills err */
        return SPLIT_FAILED;
    }
    return SPLIT_MORE;
}
