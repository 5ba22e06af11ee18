/* Tables as they look on the screen. */
#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Fills a table from {"columns":[...],"rows":[[...]]} and draws it. */
static char *draw(const char *json, size_t max_width, bool dim_null)
{
    struct arena arena;
    struct json *root = NULL;
    struct table table;
    struct buf out = { 0 };

    arena_init(&arena, 1 << 20);
    assert_int_equal(json_parse(slice_cstr(json), JSON_STRICT, &arena, &root, NULL), STATUS_OK);
    table_init(&table);
    for (const struct json *c = json_get(root, "columns")->child; c; c = c->next)
        table_add_column(&table, c->text);
    for (const struct json *row = json_get(root, "rows")->child; row; row = row->next)
        for (const struct json *v = row->child; v; v = v->next)
            table_add(&table, v);
    table_draw(&table, max_width, dim_null, &out);
    table_release(&table);
    arena_release(&arena);
    return out.ptr;
}

static void check(const char *json, size_t max_width, const char *expected)
{
    char *drawn = draw(json, max_width, false);

    assert_string_equal(drawn, expected);
    free(drawn);
}

static void numbers_stand_right_and_text_left(void **state)
{
    (void)state;
    check("{\"columns\":[\"n\",\"t\"],\"rows\":[[1,\"a\"],[-20.5,\"bcd\"],[null,null]]}", 0,
          "┌───────┬──────┐\n"
          "│     n │ t    │\n"
          "├───────┼──────┤\n"
          "│     1 │ a    │\n"
          "│ -20.5 │ bcd  │\n"
          "│ NULL  │ NULL │\n"
          "└───────┴──────┘\n");
}

static void an_empty_result_shows_its_columns(void **state)
{
    (void)state;
    check("{\"columns\":[\"id\",\"name\"],\"rows\":[]}", 0,
          "┌────┬──────┐\n"
          "│ id │ name │\n"
          "├────┼──────┤\n"
          "└────┴──────┘\n");
}

static void wide_and_combining_characters_keep_the_lines_straight(void **state)
{
    (void)state;
    check("{\"columns\":[\"t\"],\"rows\":[[\"世界\"],[\"é\"],[\"e\u0301\"],[\"abcd\"]]}", 0,
          "┌──────┐\n"
          "│ t    │\n"
          "├──────┤\n"
          "│ 世界 │\n"
          "│ é    │\n"
          "│ e\u0301    │\n"
          "│ abcd │\n"
          "└──────┘\n");
}

static void control_characters_cannot_steer_the_terminal(void **state)
{
    (void)state;
    check("{\"columns\":[\"t\"],\"rows\":[[\"a\\nb\\tc\\u001b[31m\\u0000\\u009b\\u202e\"]]}", 0,
          "┌───────────────────────────────┐\n"
          "│ t                             │\n"
          "├───────────────────────────────┤\n"
          "│ a\\nb\\tc\\x1b[31m\\x00\\x9b\\u202e │\n"
          "└───────────────────────────────┘\n");
}

static void blobs_are_shown_as_sql_writes_them(void **state)
{
    (void)state;
    check("{\"columns\":[\"b\"],\"rows\":[[[0,15,255]],[[]]]}", 0,
          "┌───────────┐\n"
          "│ b         │\n"
          "├───────────┤\n"
          "│ X'000fff' │\n"
          "│ X''       │\n"
          "└───────────┘\n");
}

static void the_widest_columns_are_cut_to_fit(void **state)
{
    (void)state;
    check("{\"columns\":[\"id\",\"text\"],\"rows\":[[7,\"abcdefghijklmnop\"],[8,\"short\"]]}", 20,
          "┌────┬─────────────┐\n"
          "│ id │ text        │\n"
          "├────┼─────────────┤\n"
          "│  7 │ abcdefghij… │\n"
          "│  8 │ short       │\n"
          "└────┴─────────────┘\n");
}

static void a_wide_character_is_never_cut_in_two(void **state)
{
    (void)state;
    check("{\"columns\":[\"t\"],\"rows\":[[\"世界世界世界\"]]}", 12,
          "┌──────────┐\n"
          "│ t        │\n"
          "├──────────┤\n"
          "│ 世界世…  │\n"
          "└──────────┘\n");
}

static void too_many_columns_become_lists(void **state)
{
    (void)state;
    check(
        "{\"columns\":[\"first\",\"second\",\"third\"],\"rows\":[[\"aaaaaaaa\",\"bbbbbbbb\",null],[1,2,3]]}",
        20,
        "── row 1 ──\n"
        " first: aaaaaaaa\n"
        "second: bbbbbbbb\n"
        " third: NULL\n"
        "── row 2 ──\n"
        " first: 1\n"
        "second: 2\n"
        " third: 3\n");
}

static void only_null_itself_is_dimmed(void **state)
{
    char *drawn = draw("{\"columns\":[\"a\"],\"rows\":[[null],[\"NULL\"]]}", 0, true);

    (void)state;
    assert_non_null(strstr(drawn, "│ \033[2mNULL\033[0m │\n│ NULL │\n"));
    free(drawn);
}

static void no_line_of_a_grid_is_wider_than_the_terminal(void **state)
{
    static const char json[] = "{\"columns\":[\"a\",\"bb\",\"ccc\"],\"rows\":[[\"0123456789012345\",\"x\","
                               "\"01234567890123456789\"]]}";

    (void)state;
    /* Below 24 it becomes a list. */
    for (size_t width = 24; width < 60; width++) {
        char *drawn = draw(json, width, false), *line = drawn;
        assert_memory_equal(drawn, "┌", strlen("┌"));
        for (char *end; (end = strchr(line, '\n')); line = end + 1) {
            size_t columns = 0;
            for (char *p = line; p < end; p++)
                columns += (*p & 0xC0) != 0x80;
            assert_true(columns <= width);
            assert_true(columns + 1 >= width || width > 48); /* two columns share what there is */
        }
        free(drawn);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_stand_right_and_text_left),
        cmocka_unit_test(an_empty_result_shows_its_columns),
        cmocka_unit_test(wide_and_combining_characters_keep_the_lines_straight),
        cmocka_unit_test(control_characters_cannot_steer_the_terminal),
        cmocka_unit_test(blobs_are_shown_as_sql_writes_them),
        cmocka_unit_test(the_widest_columns_are_cut_to_fit),
        cmocka_unit_test(a_wide_character_is_never_cut_in_two),
        cmocka_unit_test(too_many_columns_become_lists),
        cmocka_unit_test(only_null_itself_is_dimmed),
        cmocka_unit_test(no_line_of_a_grid_is_wider_than_the_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
