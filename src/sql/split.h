/*
 * split.h - cuts SQL text of any size, read piece by piece, into its statements.
 *
 * The splitter knows SQLite's tokens and the one statement that holds others, CREATE TRIGGER; it never cuts inside a
 * statement that SQLite would accept. It holds the statement that is being read and no more, and hands out
 * slices of its own buffer: the caller reads straight into that buffer, so text is not copied on its way to SQLite.
 *
 *     split_init(&s);
 *     for (;;) {
 *         switch (split_next(&s, &stmt, err)) {
 *         case SPLIT_STATEMENT: run it; break;
 *         case SPLIT_MORE: read into split_room(&s, n), then split_fed(&s, bytes), or split_end(&s); break;
 *         ...
 *
 * One thread at a time. Pure: no I/O.
 */
#ifndef DIONE_SQL_SPLIT_H
#define DIONE_SQL_SPLIT_H

#include "base/error.h"
#include "base/slice.h"

/* The longest statement. The importer's connection has the same limit for SQL text. */
enum { SPLIT_MAX_BYTES = 600 * 1000 * 1000 };

enum split_lex {
    SPLIT_CODE,
    SPLIT_QUOTED, /* inside a string or quoted name that ends with `quote` */
    SPLIT_LINE_COMMENT,
    SPLIT_BLOCK_COMMENT,
    SPLIT_LONG_WORD, /* inside a word too long to be a keyword */
};

enum split_phase {
    SPLIT_START,        /* no token of the statement seen */
    SPLIT_PLAIN,        /* ends at the next ';' */
    SPLIT_EXPLAIN,      /* behind EXPLAIN: CREATE may follow */
    SPLIT_CREATE,       /* behind CREATE [TEMP]: TRIGGER may follow */
    SPLIT_TRIGGER,      /* in a trigger: ';' separates the statements of its body */
    SPLIT_TRIGGER_SEMI, /* right behind such a ';' */
    SPLIT_TRIGGER_END,  /* right behind "; END": the next ';' ends the statement */
};

struct split {
    char *ptr; /* owned; [start, len) is what was not handed out yet */
    size_t len, cap;
    size_t start, at; /* of the statement being read (its first token once phase is past START); scanned so far */
    uint64_t base;    /* of ptr[0] in the whole text */
    size_t max_bytes;
    enum split_lex lex;
    enum split_phase phase;
    char quote;
    bool ended;
    char hidden;      /* the byte that the NUL behind the last statement stands on */
    size_t hidden_at; /* 0: none */
};

struct split_statement {
    struct slice text; /* from its first token to its ';'; text.ptr[text.len] is NUL. Valid until the next call */
    uint64_t offset;   /* of text in the whole input, in bytes */
};

enum split_result {
    SPLIT_STATEMENT,
    SPLIT_MORE, /* feed, or say that there is no more */
    SPLIT_DONE,
    SPLIT_FAILED, /* err is filled; only split_release is allowed now */
};

void split_init(struct split *s);
void split_release(struct split *s);

/* Room for `want` bytes of input; takes back what split_next lent. NULL: out of memory. */
char *split_room(struct split *s, size_t want) MUST_CHECK;
/* So many bytes were put there. */
void split_fed(struct split *s, size_t n);
/* Nothing follows. */
void split_end(struct split *s);

/* Blank statements and comments between statements are passed over. */
enum split_result split_next(struct split *s, struct split_statement *ret, struct error *err) MUST_CHECK;
/* Where the scan stands, for messages after SPLIT_FAILED: offset of the statement that is being read. */
uint64_t split_offset(const struct split *s);

#endif
