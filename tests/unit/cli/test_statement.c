/* SQL as it is typed: what is open at the end of a text. */
#include "cli/statement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum sql_state state_of(const char *text)
{
    return sql_scan(slice_cstr(text)).state;
}

static void a_quote_stays_open_until_its_twin(void **state)
{
    (void)state;
    assert_int_equal(state_of("SELECT 'a"), SQL_IN_QUOTE);
    assert_int_equal(state_of("SELECT 'it''s'"), SQL_PLAIN);
    assert_int_equal(state_of("SELECT 'it''"), SQL_IN_QUOTE);
    assert_int_equal(state_of("SELECT \"a'b\""), SQL_PLAIN);
    assert_int_equal(state_of("SELECT [a'b"), SQL_IN_QUOTE);
    assert_int_equal(state_of("SELECT `a`"), SQL_PLAIN);
    assert_int_equal(state_of("SELECT '"), SQL_IN_QUOTE);
}

static void comments_hide_quotes(void **state)
{
    (void)state;
    assert_int_equal(state_of("SELECT 1 -- it's"), SQL_PLAIN);
    assert_int_equal(state_of("SELECT 1 -- it's\n, 'x"), SQL_IN_QUOTE);
    assert_int_equal(state_of("SELECT /* ' */ 1"), SQL_PLAIN);
    assert_int_equal(state_of("SELECT /* '"), SQL_IN_COMMENT);
    assert_int_equal(state_of("SELECT /*/"), SQL_IN_COMMENT);
    assert_int_equal(state_of("SELECT '--' , '/*'"), SQL_PLAIN);
}

static void space_and_comments_are_no_text(void **state)
{
    (void)state;
    assert_false(sql_scan(SLICE_LIT("")).has_text);
    assert_false(sql_scan(SLICE_LIT(" \n\t-- hello;\n/* ; */ ")).has_text);
    assert_true(sql_scan(SLICE_LIT(" \n;")).has_text);
    assert_true(sql_scan(SLICE_LIT("-- x\n''")).has_text);
    assert_true(sql_scan(SLICE_LIT("1 -- x")).has_comment);
    assert_false(sql_scan(SLICE_LIT("'--'")).has_comment);
}

static void complete_means_a_semicolon_that_counts(void **state)
{
    (void)state;
    assert_true(sql_is_complete("SELECT 1;"));
    assert_true(sql_is_complete("SELECT 1; -- done\n"));
    assert_false(sql_is_complete("SELECT 1"));
    assert_false(sql_is_complete("SELECT ';"));
    assert_false(sql_is_complete("SELECT 1 -- ;"));
    assert_false(sql_is_complete("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1;"));
    assert_true(sql_is_complete("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;"));
}

static size_t first(const char *text)
{
    char copy[128];

    strcpy(copy, text);
    size_t n = sql_first_statement(copy);
    assert_string_equal(copy, text);
    return n;
}

static void the_first_statement_ends_at_its_own_semicolon(void **state)
{
    (void)state;
    assert_int_equal(first("SELECT 1; SELECT 2;"), 9);
    assert_int_equal(first("SELECT ';'; x"), 11);
    assert_int_equal(first("SELECT 1 -- ;"), 0);
    assert_int_equal(first("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END; SELECT 2;"), 55);
}

static void a_statement_is_found_by_its_number(void **state)
{
    struct slice text = SLICE_LIT(
        "-- first\nCREATE TABLE t(a);\n\n/* ; */ ;;\n  INSERT INTO t\nVALUES (';\n');SELECT 1");

    (void)state;
    assert_int_equal(sql_line_of(text, 1), 2);
    assert_int_equal(sql_line_of(text, 2), 5);
    assert_int_equal(sql_line_of(text, 3), 7);
    assert_int_equal(sql_line_of(text, 4), 0);
    assert_int_equal(sql_line_of(text, 0), 0);
    assert_int_equal(sql_line_of(SLICE_LIT(""), 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quote_stays_open_until_its_twin),
        cmocka_unit_test(comments_hide_quotes),
        cmocka_unit_test(space_and_comments_are_no_text),
        cmocka_unit_test(the_first_statement_ends_at_its_own_semicolon),
        cmocka_unit_test(complete_means_a_semicolon_that_counts),
        cmocka_unit_test(a_statement_is_found_by_its_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
