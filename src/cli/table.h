/*
 * table.h - rows drawn for people.
 *
 * Cells are JSON values as the API sends them. Text keeps its UTF-8 and its width on the screen is respected;
 * control characters are shown as escapes, so that stored text can neither break the lines nor steer the
 * terminal. NULL is written out, numbers stand to the right, an array of bytes is shown as X'..'.
 */
#ifndef DIONE_CLI_TABLE_H
#define DIONE_CLI_TABLE_H

#include "base/json.h"

struct table_cell {
    struct slice text; /* in the table's arena, ready to print */
    size_t width;      /* columns on the screen */
    bool right, null;
};

struct table {
    struct arena arena;
    size_t n_columns, n_cells, cap_cells;
    struct table_cell *columns; /* headings */
    struct table_cell *cells;   /* row after row */
};

void table_init(struct table *t);
void table_release(struct table *t);

/* Headings first, then cells from left to right, row after row. All abort when memory runs out. */
void table_add_column(struct table *t, struct slice name);
void table_add(struct table *t, const struct json *value); /* NULL pointer: an empty cell */
void table_add_text(struct table *t, struct slice text);

/*
 * Appends the table. `max_width` in screen columns, 0: no limit. Wide columns are cut to fit, the widest ones
 * most; when there are too many columns for that, every row becomes a list of "name: value" lines. `dim_null`
 * marks NULL with terminal codes.
 */
void table_draw(const struct table *t, size_t max_width, bool dim_null, struct buf *out);
/* Draws to standard output as wide as its terminal is; without limit when it is none. */
void table_print(const struct table *t);

/* Width of the terminal on standard output; 0 when it is none. */
size_t terminal_width(void);

#endif
