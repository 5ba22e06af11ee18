/* table.c - see table.h. */
#include "cli/table.h"

#include "cli/print.h"

#include "base/utf8.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

/* A column narrower than this tells nothing; below it rows are drawn as lists. */
enum { MIN_CUT_WIDTH = 6 };

#define ELLIPSIS "\u2026"

void table_init(struct table *t)
{
    *t = (struct table){ 0 };
    arena_init(&t->arena, SIZE_MAX);
    /* wcwidth() knows the characters of the locale only, and the text is UTF-8 whatever the user's locale is. */
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        (void)setlocale(LC_CTYPE, "");
}

void table_release(struct table *t)
{
    arena_release(&t->arena);
    free(t->columns);
    free(t->cells);
    *t = (struct table){ 0 };
}

/* ---- what a value looks like ---- */

static wchar_t decode(const char *p, size_t len)
{
    const unsigned char *u = (const unsigned char *)p;
    unsigned cp = len == 1 ? u[0] : u[0] & (0x7FU >> len);

    for (size_t i = 1; i < len; i++)
        cp = cp << 6 | (u[i] & 0x3F);
    return (wchar_t)cp;
}

static size_t char_width(wchar_t c)
{
    int w = wcwidth(c);

    return w < 0 ? 1 : (size_t)w;
}

static void append_control(struct buf *out, unsigned cp)
{
    static const char names[] = "abtnvfr"; /* from U+0007 on */

    if (cp >= 7 && cp <= 13)
        buf_printf(out, "\\%c", names[cp - 7]);
    else
        buf_printf(out, cp < 0x100 ? "\\x%02x" : "\\u%04x", cp);
}

/* Characters that act instead of being seen: controls, and those that reorder the text around them. */
static bool is_control(unsigned cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x200E && cp <= 0x200F) || (cp >= 0x2028 && cp <= 0x202E) ||
           (cp >= 0x2066 && cp <= 0x2069);
}

static void append_visible(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        size_t skip, n = utf8_sequence((const unsigned char *)s.ptr + i, s.len - i, &skip);
        if (n == 0) {
            buf_append_cstr(out, "\uFFFD");
            i += skip;
            continue;
        }
        unsigned cp = (unsigned)decode(s.ptr + i, n);
        if (is_control(cp))
            append_control(out, cp);
        else
            buf_append(out, s.ptr + i, n);
        i += n;
    }
}

static void append_blob(struct buf *out, const struct json *bytes)
{
    buf_append_cstr(out, "X'");
    for (const struct json *b = bytes->child; b; b = b->next)
        buf_printf(out, "%02x", (unsigned)json_double(b) & 0xFF);
    buf_append_char(out, '\'');
}

static void append_value(struct buf *out, const struct json *v)
{
    switch (v->type) {
    case JSON_STRING:
        append_visible(out, v->text);
        return;
    case JSON_NUMBER:
        buf_append_slice(out, v->text);
        return;
    case JSON_ARRAY:
        append_blob(out, v);
        return;
    case JSON_NULL:
        buf_append_cstr(out, "NULL");
        return;
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_OBJECT:
        json_write_value(out, v);
        return;
    }
}

/* s is well-formed and without control characters. */
static size_t text_width(struct slice s)
{
    size_t width = 0;

    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_sequence((const unsigned char *)s.ptr + i, s.len - i, &n);
        width += char_width(decode(s.ptr + i, n));
    }
    return width;
}

static struct table_cell make_cell(struct table *t, const struct buf *text)
{
    struct table_cell cell = { .text = arena_copy(&t->arena, buf_slice(text)) };

    if (!cell.text.ptr)
        abort();
    cell.width = text_width(cell.text);
    return cell;
}

/* ---- filling ---- */

static struct table_cell *grown(struct table_cell *cells, size_t n)
{
    struct table_cell *more = reallocarray(cells, n, sizeof(*more));

    if (!more)
        abort();
    return more;
}

void table_add_column(struct table *t, struct slice name)
{
    struct buf text = { 0 };

    append_visible(&text, name);
    t->columns = grown(t->columns, t->n_columns + 1);
    t->columns[t->n_columns++] = make_cell(t, &text);
    buf_release(&text);
}

static void add_cell(struct table *t, struct table_cell cell)
{
    if (t->n_cells == t->cap_cells) {
        t->cap_cells = t->cap_cells ? t->cap_cells * 2 : 64;
        t->cells = grown(t->cells, t->cap_cells);
    }
    t->cells[t->n_cells++] = cell;
}

void table_add(struct table *t, const struct json *value)
{
    struct buf text = { 0 };

    if (value)
        append_value(&text, value);
    struct table_cell cell = make_cell(t, &text);
    cell.right = json_is(value, JSON_NUMBER);
    cell.null = json_is(value, JSON_NULL);
    add_cell(t, cell);
    buf_release(&text);
}

void table_add_text(struct table *t, struct slice s)
{
    const struct json v = { .type = JSON_STRING, .text = s };

    table_add(t, &v);
}

/* ---- drawing ---- */

static size_t n_rows(const struct table *t)
{
    return t->n_columns ? t->n_cells / t->n_columns : 0;
}

static const struct table_cell *cell_at(const struct table *t, size_t row, size_t column)
{
    return &t->cells[row * t->n_columns + column];
}

/* A heading stands to the right when all it heads are numbers. */
static bool is_number_column(const struct table *t, size_t column)
{
    bool any = false;

    for (size_t row = 0; row < n_rows(t); row++) {
        const struct table_cell *c = cell_at(t, row, column);
        if (!c->right && !c->null)
            return false;
        any |= c->right;
    }
    return any;
}

static size_t natural_width(const struct table *t, size_t column)
{
    size_t width = t->columns[column].width;

    for (size_t row = 0; row < n_rows(t); row++)
        if (cell_at(t, row, column)->width > width)
            width = cell_at(t, row, column)->width;
    return width;
}

static size_t sum_capped(const size_t *widths, size_t n, size_t cap)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += widths[i] < cap ? widths[i] : cap;
    return sum;
}

/*
 * Cuts widths so that the line fits max_width: one cap for all, as high as it goes, so that narrow columns
 * stay whole and the wide ones pay. False: the cap would be below what is readable.
 */
static bool fit_widths(size_t *widths, size_t n, size_t max_width)
{
    size_t frame = 3 * n + 1, low = MIN_CUT_WIDTH, high = max_width;

    if (!max_width || frame + sum_capped(widths, n, SIZE_MAX) <= max_width)
        return true;
    if (frame + sum_capped(widths, n, low) > max_width)
        return false;
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (frame + sum_capped(widths, n, middle) <= max_width)
            low = middle;
        else
            high = middle - 1;
    }
    for (size_t i = 0; i < n; i++)
        if (widths[i] > low)
            widths[i] = low;
    return true;
}

static void append_spaces(struct buf *out, size_t n)
{
    while (n--)
        buf_append_char(out, ' ');
}

/* The start of s, `width` columns wide or a little less; returns its real width. */
static size_t append_start(struct buf *out, struct slice s, size_t width)
{
    size_t used = 0;

    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_sequence((const unsigned char *)s.ptr + i, s.len - i, &n);
        size_t w = char_width(decode(s.ptr + i, n));
        if (used + w > width)
            break;
        used += w;
        buf_append(out, s.ptr + i, n);
    }
    return used;
}

static void append_cell(struct buf *out, const struct table_cell *c, size_t width, bool right, bool dim)
{
    if (c->width > width) {
        size_t used = append_start(out, c->text, width - 1);
        buf_append_cstr(out, ELLIPSIS);
        append_spaces(out, width - 1 - used);
        return;
    }
    if (right)
        append_spaces(out, width - c->width);
    if (dim && c->null)
        buf_printf(out, "\033[2m%.*s\033[0m", SLICE_FMT(c->text));
    else
        buf_append_slice(out, c->text);
    if (!right)
        append_spaces(out, width - c->width);
}

static void append_rule(struct buf *out, const size_t *widths, size_t n, const char *left, const char *middle,
                        const char *right)
{
    for (size_t i = 0; i < n; i++) {
        buf_append_cstr(out, i ? middle : left);
        for (size_t w = 0; w < widths[i] + 2; w++)
            buf_append_cstr(out, "─");
    }
    buf_append_cstr(out, right);
    buf_append_char(out, '\n');
}

static void draw_grid(const struct table *t, const size_t *widths, bool dim, struct buf *out)
{
    append_rule(out, widths, t->n_columns, "┌", "┬", "┐");
    for (size_t i = 0; i < t->n_columns; i++) {
        buf_append_cstr(out, "│ ");
        append_cell(out, &t->columns[i], widths[i], is_number_column(t, i), false);
        buf_append_char(out, ' ');
    }
    buf_append_cstr(out, "│\n");
    append_rule(out, widths, t->n_columns, "├", "┼", "┤");
    for (size_t row = 0; row < n_rows(t); row++) {
        for (size_t i = 0; i < t->n_columns; i++) {
            const struct table_cell *c = cell_at(t, row, i);
            buf_append_cstr(out, "│ ");
            append_cell(out, c, widths[i], c->right, dim);
            buf_append_char(out, ' ');
        }
        buf_append_cstr(out, "│\n");
    }
    append_rule(out, widths, t->n_columns, "└", "┴", "┘");
}

/* One line a value; nothing is cut. */
static void draw_lists(const struct table *t, bool dim, struct buf *out)
{
    size_t name_width = 0;

    for (size_t i = 0; i < t->n_columns; i++)
        if (t->columns[i].width > name_width)
            name_width = t->columns[i].width;
    for (size_t row = 0; row < n_rows(t); row++) {
        buf_printf(out, "── row %zu ──\n", row + 1);
        for (size_t i = 0; i < t->n_columns; i++) {
            const struct table_cell *c = cell_at(t, row, i);
            append_cell(out, &t->columns[i], name_width, true, false);
            buf_append_cstr(out, ": ");
            append_cell(out, c, c->width, false, dim);
            buf_append_char(out, '\n');
        }
    }
}

void table_draw(const struct table *t, size_t max_width, bool dim_null, struct buf *out)
{
    size_t *widths = reallocarray(NULL, t->n_columns + 1, sizeof(*widths));

    if (!widths)
        abort();
    for (size_t i = 0; i < t->n_columns; i++)
        widths[i] = natural_width(t, i);
    if (fit_widths(widths, t->n_columns, max_width))
        draw_grid(t, widths, dim_null, out);
    else
        draw_lists(t, dim_null, out);
    free(widths);
}

size_t terminal_width(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO))
        return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

void table_print(const struct table *t)
{
    struct buf out = { 0 };
    size_t width = terminal_width();
    const char *no_color = getenv("NO_COLOR"); /* https://no-color.org */

    table_draw(t, width, width > 0 && !(no_color && *no_color), &out);
    print_text(buf_slice(&out));
    buf_release(&out);
}
