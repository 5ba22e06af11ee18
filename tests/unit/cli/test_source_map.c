/* Places in a bundle, told as places in the files it was made from. */
#include "../testing.h"

#include "cli/source_map.h"

#include <limits.h>

/* Line 1: nothing. Line 2: column 1 is a.ts 1:1, column 9 is a.ts 3:5. Line 3: b.ts 1:1 from column 3 on. */
static const char text[] = "{\"version\":3,\"sources\":[\"../src/a.ts\",\"../src/b.ts\"],\"names\":[],"
                           "\"mappings\":\";AAAA,QAEI;ECFJ\"}";

static void check(const struct source_map *m, uint32_t line, uint32_t column, const char *file, uint32_t file_line,
                  uint32_t file_column)
{
    struct source_place place;

    assert_true(source_map_find(m, line, column, &place));
    assert_true(slice_eq(place.file, slice_cstr(file)));
    assert_int_equal(place.line, file_line);
    assert_int_equal(place.column, file_column);
}

static void the_last_segment_before_a_place_counts(void **state)
{
    struct source_map *m = source_map_parse(slice_cstr(text));
    struct source_place place;

    (void)state;
    assert_non_null(m);
    check(m, 2, 1, "../src/a.ts", 1, 1);
    check(m, 2, 8, "../src/a.ts", 1, 1);
    check(m, 2, 9, "../src/a.ts", 3, 5);
    check(m, 2, 1000, "../src/a.ts", 3, 5);
    check(m, 3, 3, "../src/b.ts", 1, 1);
    assert_false(source_map_find(m, 1, 1, &place));
    assert_false(source_map_find(m, 3, 2, &place));
    assert_false(source_map_find(m, 4, 1, &place));
    assert_false(source_map_find(m, 0, 0, &place));
    source_map_free(m);
}

static void what_is_no_map_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"sources\":[],\"mappings\":\"AAAA\"}",             /* a file that is not there */
        "{\"sources\":[\"a\"],\"mappings\":\"AAA\"}",         /* three numbers */
        "{\"sources\":[\"a\"],\"mappings\":\"AADA\"}",        /* before the first line */
        "{\"sources\":[\"a\"],\"mappings\":\"A!AA\"}",        /* no digit */
        "{\"sources\":[\"a\"],\"mappings\":\"AAAAAAAA\"}",    /* too many */
        "{\"sources\":[\"a\"],\"mappings\":\"ggggggggggg\"}", /* without an end */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (source_map_parse(slice_cstr(bad[i])))
            fail_msg("taken as a map: %s", bad[i]);
    assert_null(source_map_read("/nowhere/index.js.map"));
}

static void check_line(const struct source_map *m, const char *line, const char *expected)
{
    struct buf out = { 0 };

    source_map_append_translated(m, slice_cstr(line), &out);
    assert_string_equal(out.ptr, expected);
    buf_release(&out);
}

static void lines_of_a_stack_are_translated(void **state)
{
    char dir[PATH_MAX], path[PATH_MAX + 32];

    (void)state;
    assert_non_null(getcwd(dir, sizeof(dir)));
    snprintf(path, sizeof(path), "/tmp/dione-map-%d.js.map", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    struct source_map *m = source_map_read(path);
    assert_non_null(m);
    char line[128], expected[128];
    snprintf(line, sizeof(line), "    at fetch (dione-map-%d.js:2:9)", (int)getpid());
    check_line(m, line, "    at fetch (/src/a.ts:3:5)");
    snprintf(line, sizeof(line), "  at async dione-map-%d.js:3:3", (int)getpid());
    check_line(m, line, "  at async /src/b.ts:1:1");
    snprintf(line, sizeof(line), "at x (dione-map-%d.js:1:1)", (int)getpid());
    snprintf(expected, sizeof(expected), "%s", line);
    check_line(m, line, expected);
    check_line(m, "at x (other.js:2:9)", "at x (other.js:2:9)");
    check_line(m, "at node:internal:1:2", "at node:internal:1:2");
    check_line(m, "Error: at 5:3", "Error: at 5:3");
    check_line(NULL, "at x (a.js:1:1)", "at x (a.js:1:1)");
    source_map_free(m);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_segment_before_a_place_counts),
        cmocka_unit_test(what_is_no_map_is_refused),
        cmocka_unit_test(lines_of_a_stack_are_translated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
