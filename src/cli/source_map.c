/*
 * source_map.c - see source_map.h.
 *
 * "mappings" is one long text: lines of the bundle end in ';', segments of a line in ','. A segment is up to five numbers,
 * base64 with six bits a character (five of value, the top one: more follow; the lowest of the first is the sign), each
 * the difference to the one before: column, file, line, column, name. The column starts anew with each line.
 */
#include "cli/source_map.h"

#include "base/json.h"
#include "cli/files.h"

#include <stdlib.h>
#include <unistd.h>

enum { MAX_BYTES = 256 * 1024 * 1024, FIELDS_MAX = 5 };

struct segment {
    uint32_t line, column; /* in the bundle, from 0 */
    uint32_t file, file_line, file_column;
};

struct source_map {
    struct arena arena;
    struct slice script; /* the bundle's name, without folders */
    struct slice *files;
    size_t n_files;
    struct segment *segments; /* in the order of the bundle */
    size_t n_segments, cap;
};

/* ---- reading ---- */

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* One number; false at something else. */
static bool take_number(struct slice *s, int64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; s->len && shift < 40; shift += 5) {
        int d = digit(s->ptr[0]);
        if (d < 0)
            return false;
        *s = slice_from(*s, 1);
        value |= (uint64_t)(d & 31) << shift;
        if (d & 32)
            continue;
        *ret = value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
        return true;
    }
    return false;
}

static void add_segment(struct source_map *m, const struct segment *s)
{
    if (m->n_segments == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 1024;
        m->segments = realloc(m->segments, m->cap * sizeof(*m->segments));
        if (!m->segments)
            abort();
    }
    m->segments[m->n_segments++] = *s;
}

/* The running sums: column, file, line, column, name. */
struct sums {
    int64_t at[FIELDS_MAX];
};

static bool fits_u32(int64_t v)
{
    return v >= 0 && v <= UINT32_MAX;
}

static bool read_segment(struct source_map *m, struct slice text, uint32_t line, struct sums *sums)
{
    int n = 0;

    for (; text.len; n++) {
        int64_t step;
        if (n == FIELDS_MAX || !take_number(&text, &step))
            return false;
        sums->at[n] += step;
        if (!fits_u32(sums->at[n]))
            return false;
    }
    if (n < 4) /* a piece of the bundle that comes from nowhere */
        return n == 1;
    if ((uint64_t)sums->at[1] >= m->n_files)
        return false;
    const struct segment s = { line, (uint32_t)sums->at[0], (uint32_t)sums->at[1], (uint32_t)sums->at[2],
                               (uint32_t)sums->at[3] };
    add_segment(m, &s);
    return true;
}

static bool read_mappings(struct source_map *m, struct slice text)
{
    struct sums sums = { { 0 } };
    uint32_t line = 0;

    for (struct slice rest = text; rest.ptr; line++) {
        struct slice segments = slice_cut(&rest, ';');
        sums.at[0] = 0;
        while (segments.len) {
            struct slice one = slice_cut(&segments, ',');
            if (one.len && !read_segment(m, one, line, &sums))
                return false;
        }
    }
    return true;
}

static bool read_files(struct source_map *m, const struct json *sources)
{
    if (!json_is(sources, JSON_ARRAY))
        return false;
    m->files = arena_zalloc(&m->arena, (sources->n + 1) * sizeof(*m->files));
    if (!m->files)
        abort();
    for (const struct json *s = sources->child; s; s = s->next) {
        if (s->type == JSON_STRING)
            m->files[m->n_files] = arena_copy(&m->arena, s->text);
        m->n_files++;
    }
    return true;
}

struct source_map *source_map_parse(struct slice text)
{
    struct source_map *m = calloc(1, sizeof(*m));
    struct json *root = NULL;
    struct arena tree;

    if (!m)
        abort();
    arena_init(&m->arena, SIZE_MAX);
    arena_init(&tree, SIZE_MAX);
    bool good = json_parse(text, JSON_STRICT, &tree, &root, NULL) == STATUS_OK &&
                read_files(m, json_get(root, "sources")) && read_mappings(m, json_get_text(root, "mappings"));
    arena_release(&tree);
    if (good)
        return m;
    source_map_free(m);
    return NULL;
}

/* ---- names ---- */

static void append_path(struct buf *out, struct slice path)
{
    while (path.ptr) {
        struct slice part = slice_cut(&path, '/');
        if (!part.len || slice_eq(part, SLICE_LIT(".")))
            continue;
        if (slice_eq(part, SLICE_LIT(".."))) {
            while (out->len && out->ptr[out->len - 1] != '/')
                out->len--;
            out->len -= out->len > 0;
            continue;
        }
        buf_append_char(out, '/');
        buf_append_slice(out, part);
    }
}

/* The map tells files from its own folder on; people know them from theirs. */
static void tell_from_here(struct source_map *m, struct slice folder)
{
    char *cwd = getcwd(NULL, 0);
    struct slice here = slice_cstr(cwd ? cwd : "");
    struct buf path = { 0 };

    for (size_t i = 0; i < m->n_files; i++) {
        if (!m->files[i].len || memmem(m->files[i].ptr, m->files[i].len, "://", 3))
            continue;
        buf_clear(&path);
        if (m->files[i].ptr[0] != '/')
            append_path(&path, folder);
        append_path(&path, m->files[i]);
        struct slice full = buf_slice(&path);
        if (here.len && slice_starts(full, here) && full.len > here.len && full.ptr[here.len] == '/')
            full = slice_from(full, here.len + 1);
        m->files[i] = arena_copy(&m->arena, full);
    }
    buf_release(&path);
    free(cwd);
}

struct source_map *source_map_read(const char *path)
{
    struct buf text = { .limit = MAX_BYTES };
    struct source_map *m = file_read(path, &text, NULL) == STATUS_OK ? source_map_parse(buf_slice(&text)) : NULL;
    const char *slash = strrchr(path, '/');

    buf_release(&text);
    if (!m || !slash)
        return m;
    struct slice script = slice_cstr(slash + 1);
    if (script.len > 4)
        script.len -= 4; /* ".map" */
    m->script = arena_copy(&m->arena, script);
    tell_from_here(m, slice_of(path, (size_t)(slash - path)));
    return m;
}

void source_map_free(struct source_map *m)
{
    if (!m)
        return;
    arena_release(&m->arena);
    free(m->segments);
    free(m);
}

/* ---- asking ---- */

/* The last segment that starts at or before the place. */
static const struct segment *find_segment(const struct source_map *m, uint32_t line, uint32_t column)
{
    size_t low = 0, high = m->n_segments;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct segment *s = &m->segments[mid];
        if (s->line < line || (s->line == line && s->column <= column))
            low = mid + 1;
        else
            high = mid;
    }
    return low && m->segments[low - 1].line == line ? &m->segments[low - 1] : NULL;
}

bool source_map_find(const struct source_map *m, uint32_t line, uint32_t column, struct source_place *ret)
{
    const struct segment *s = line && column ? find_segment(m, line - 1, column - 1) : NULL;

    if (!s || !m->files[s->file].len)
        return false;
    *ret = (struct source_place){ m->files[s->file], s->file_line + 1, s->file_column + 1 };
    return true;
}

/* ":NUMBER" at the end of *s, cut off. */
static bool cut_number(struct slice *s, uint32_t *ret)
{
    size_t n = s->len;
    uint64_t value;

    while (n && s->ptr[n - 1] >= '0' && s->ptr[n - 1] <= '9')
        n--;
    if (!n || s->ptr[n - 1] != ':' || !slice_to_u64(slice_from(*s, n), UINT32_MAX, &value))
        return false;
    *ret = (uint32_t)value;
    s->len = n - 1;
    return true;
}

/* Splits "    at name (index.js:10:5)" before the file's name; *ret_rest is what follows the place. */
static bool find_frame(const struct source_map *m, struct slice line, struct slice *ret_head, struct slice *ret_rest,
                       struct source_place *ret)
{
    struct slice left = line, trimmed = slice_trim(line);
    uint32_t row, column;

    if (!m || !m->script.len || !slice_starts(trimmed, SLICE_LIT("at ")))
        return false;
    while (left.len && strchr(") \r", left.ptr[left.len - 1]))
        left.len--;
    *ret_rest = slice_from(line, left.len);
    if (!cut_number(&left, &column) || !cut_number(&left, &row) || left.len < m->script.len ||
        !slice_eq(slice_from(left, left.len - m->script.len), m->script))
        return false;
    size_t n = left.len;
    while (n && left.ptr[n - 1] != ' ' && left.ptr[n - 1] != '(')
        n--;
    *ret_head = slice_of(line.ptr, n);
    return source_map_find(m, row, column, ret);
}

void source_map_append_translated(const struct source_map *m, struct slice line, struct buf *out)
{
    struct slice head, rest;
    struct source_place place;

    if (!find_frame(m, line, &head, &rest, &place)) {
        buf_append_slice(out, line);
        return;
    }
    buf_append_slice(out, head);
    buf_printf(out, "%.*s:%u:%u", SLICE_FMT(place.file), place.line, place.column);
    buf_append_slice(out, rest);
}
