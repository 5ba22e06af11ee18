/*
 * json.h - JSON in and out.
 *
 * In: a tree in an arena. Strings without escapes point into the text that was parsed, so the text must live as long as
 * the tree. (A general library was measured at 1.0 us for a point query's body and 104 us for a batch of 100, more than
 * SQLite needs for the statements; hence our own.) Numbers keep their text: the reader decides between exact
 * integer and double.
 * Out: functions that append to a buf. Commas are the caller's, so that rows stream straight from columns.
 */
#ifndef DIONE_BASE_JSON_H
#define DIONE_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    bool is_integer;    /* NUMBER: written without fraction and exponent */
    struct slice key;   /* member name when the parent is an object */
    struct slice text;  /* STRING: decoded UTF-8. NUMBER: as written */
    struct json *child; /* first element or member */
    struct json *next;  /* next sibling */
    size_t n;           /* elements or members */
};

enum { JSON_MAX_DEPTH = 64 };

/* JSON_RELAXED allows comments and trailing commas, as in wrangler.jsonc. */
enum json_mode { JSON_STRICT, JSON_RELAXED };

/*
 * Parses all of `text` (white space around it is fine). INVALID says what is wrong and at which byte; NOMEM: the arena's
 * limit. Text that is not UTF-8 is INVALID; an escaped lone surrogate becomes U+FFFD.
 */
enum status json_parse(struct slice text, enum json_mode mode, struct arena *a, struct json **ret,
                       struct error *err) MUST_CHECK;

/* Whether all of `text` is strict JSON, to be passed on as it is; takes no memory. Unlike json_parse it refuses a byte order
 * mark, which can't stand inside other JSON. */
bool json_is_valid(struct slice text);

/* The member called `key` (the last one, as JavaScript has it), or NULL; NULL also when v is NULL or no object. */
const struct json *json_get(const struct json *v, const char *key);
/* The text of a string member, or the absent slice. */
struct slice json_get_text(const struct json *v, const char *key);
/* A number as double; 0 when v is NULL or no number. */
double json_double(const struct json *v);
/* An integer that fits int64 exactly. */
bool json_i64(const struct json *v, int64_t *ret) MUST_CHECK;
static inline bool json_is(const struct json *v, enum json_type type)
{
    return v && v->type == type;
}

/* Writes the string with quotes; ill-formed UTF-8 becomes U+FFFD. */
void json_write_text(struct buf *b, struct slice s);
void json_write_i64(struct buf *b, int64_t v);
void json_write_u64(struct buf *b, uint64_t v);
/* The shortest text that reads back as v, in JavaScript's form; null when v is not finite. */
void json_write_double(struct buf *b, double v);
/* Milliseconds with at most four decimals. */
void json_write_ms(struct buf *b, int64_t ns);
/* [1,2,255] */
void json_write_bytes(struct buf *b, struct slice bytes);
/* Writes a parsed value again, compact. */
void json_write_value(struct buf *b, const struct json *v);
static inline void json_write_cstr(struct buf *b, const char *s)
{
    json_write_text(b, slice_cstr(s));
}

#endif
