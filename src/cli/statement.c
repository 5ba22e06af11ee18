/* statement.c - see statement.h. */
#include "cli/statement.h"

#include "sql/split.h"

#include <sqlite3.h>

/* The quote that ends what c begins; 0: it begins nothing. */
static char closing_quote(char c)
{
    switch (c) {
    case '\'':
    case '"':
    case '`':
        return c;
    case '[':
        return ']';
    default:
        return 0;
    }
}

/* Both skip from the character after the opening to the one after the closing; false: it is not closed. A doubled
 * quote inside a string reads as two strings side by side, which ends in the same state. */
static bool skip_quoted(struct slice s, size_t *i, char close)
{
    const char *end = *i < s.len ? memchr(s.ptr + *i, close, s.len - *i) : NULL;

    *i = end ? (size_t)(end - s.ptr) + 1 : s.len;
    return end != NULL;
}

static bool skip_block_comment(struct slice s, size_t *i)
{
    const char *end = *i < s.len ? memmem(s.ptr + *i, s.len - *i, "*/", 2) : NULL;

    *i = end ? (size_t)(end - s.ptr) + 2 : s.len;
    return end != NULL;
}

static bool pair_at(struct slice s, size_t i, const char *pair)
{
    return s.len - i >= 2 && s.ptr[i] == pair[0] && s.ptr[i + 1] == pair[1];
}

struct sql_scan sql_scan(struct slice text)
{
    struct sql_scan scan = { .state = SQL_PLAIN };

    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i], close = closing_quote(c);
        if (pair_at(text, i, "--")) {
            scan.has_comment = true;
            (void)skip_quoted(text, &i, '\n'); /* the end of the text ends it too */
        } else if (pair_at(text, i, "/*")) {
            scan.has_comment = true;
            i += 2;
            if (!skip_block_comment(text, &i))
                scan.state = SQL_IN_COMMENT;
        } else if (close) {
            scan.has_text = true;
            i++;
            if (!skip_quoted(text, &i, close))
                scan.state = SQL_IN_QUOTE;
        } else {
            scan.has_text |= !(c && strchr(" \t\r\n\f\v", c));
            i++;
        }
    }
    return scan;
}

bool sql_is_complete(const char *text)
{
    return sqlite3_complete(text) != 0;
}

size_t sql_first_statement(char *text)
{
    for (char *end = strchr(text, ';'); end; end = strchr(end + 1, ';')) {
        char after = end[1];
        end[1] = '\0';
        bool complete = sql_is_complete(text);
        end[1] = after;
        if (complete)
            return (size_t)(end - text) + 1;
    }
    return 0;
}

static size_t line_at(struct slice text, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset && i < text.len; i++)
        line += text.ptr[i] == '\n';
    return line;
}

size_t sql_line_of(struct slice text, size_t number)
{
    struct split split;
    struct split_statement found;
    size_t line = 0;

    split_init(&split);
    char *room = split_room(&split, text.len);
    if (room) {
        memcpy(room, text.ptr, text.len);
        split_fed(&split, text.len);
        split_end(&split);
        while (number && split_next(&split, &found, NULL) == SPLIT_STATEMENT)
            if (--number == 0)
                line = line_at(text, found.offset);
    }
    split_release(&split);
    return line;
}
