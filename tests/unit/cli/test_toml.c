/* The TOML reader: what it accepts, as JSON; what it refuses, with the line. */
#include "cli/toml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Reads from a copy of exact size, so that a step over the end is seen by the sanitizer. */
static enum status parse(const char *text, size_t len, struct buf *out, struct error *err)
{
    struct arena arena;
    struct json *root = NULL;
    char *exact = malloc(len ? len : 1);

    memcpy(exact, text, len);
    arena_init(&arena, 1 << 20);
    enum status st = toml_parse(slice_of(exact, len), &arena, &root, err);
    if (st == STATUS_OK)
        json_write_value(out, root);
    arena_release(&arena);
    free(exact);
    return st;
}

static void check(const char *text, const char *json)
{
    struct buf out = { 0 };
    struct error err = { 0 };

    if (parse(text, strlen(text), &out, &err) != STATUS_OK)
        fail_msg("refused: %s\n%s", err.msg, text);
    assert_string_equal(out.ptr, json);
    buf_release(&out);
}

static void check_refused(const char *text, const char *message)
{
    struct buf out = { 0 };
    struct error err = { 0 };

    if (parse(text, strlen(text), &out, &err) == STATUS_OK)
        fail_msg("accepted: %s\nas %s", text, out.ptr);
    assert_int_equal(err.status, STATUS_INVALID);
    assert_string_equal(err.msg, message);
}

static void a_wrangler_file_becomes_the_tree_of_its_jsonc_twin(void **state)
{
    (void)state;
    check(
        "# a worker\n"
        "name = \"tour\"\n"
        "compatibility_date = \"2026-01-01\"\n"
        "compatibility_flags = [ \"nodejs_compat\", ] # trailing comma\n"
        "\n"
        "[vars]\n"
        "LIMIT = 10\n"
        "\n"
        "[[d1_databases]]\n"
        "binding = \"DB\"\n"
        "database_name = 'f1'\n"
        "\n"
        "[[d1_databases]]\n"
        "binding = \"OTHER\"\n"
        "\n"
        "[env.staging]\n"
        "d1_databases = [ { binding = \"DB\", database_name = \"f1-staging\" } ]\n"
        "[dione]\n"
        "url = \"http://127.0.0.1:8310\"\n",
        "{\"name\":\"tour\",\"compatibility_date\":\"2026-01-01\",\"compatibility_flags\":[\"nodejs_compat\"],"
        "\"vars\":{\"LIMIT\":10},\"d1_databases\":[{\"binding\":\"DB\",\"database_name\":\"f1\"},"
        "{\"binding\":\"OTHER\"}],\"env\":{\"staging\":{\"d1_databases\":[{\"binding\":\"DB\","
        "\"database_name\":\"f1-staging\"}]}},\"dione\":{\"url\":\"http://127.0.0.1:8310\"}}");
}

static void empty_text_is_an_empty_table(void **state)
{
    (void)state;
    check("", "{}");
    check("\xEF\xBB\xBF", "{}");
    check(" \t\r\n# only a comment", "{}");
}

static void keys_may_be_bare_quoted_and_dotted(void **state)
{
    (void)state;
    check("a-b_1 = 1\n\"a b\" = 2\n'c.d' = 3\n1234 = 4\n\"\" = 5\n",
          "{\"a-b_1\":1,\"a b\":2,\"c.d\":3,\"1234\":4,\"\":5}");
    check("a . \"b\" .c = 1\na.d = 2", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}");
    check("3.14 = 1", "{\"3\":{\"14\":1}}");
}

static void strings_of_all_kinds(void **state)
{
    (void)state;
    check("s = \"tab\\tquote\\\" \\u00e9 \\U0001F600 \\\\\"",
          "{\"s\":\"tab\\tquote\\\" \u00e9 \U0001F600 \\\\\"}");
    check("s = 'C:\\no\\escapes'", "{\"s\":\"C:\\\\no\\\\escapes\"}");
    check("s = \"\"\"\nfirst\r\nsecond\"\"\"", "{\"s\":\"first\\nsecond\"}");
    check("s = \"\"\"one \\\n   \n  two\"\"\"", "{\"s\":\"one two\"}");
    check("s = \"\"\"\"two quotes\"\"\"\"\"", "{\"s\":\"\\\"two quotes\\\"\\\"\"}");
    check("s = '''\n'quoted' \\ '''", "{\"s\":\"'quoted' \\\\ \"}");
    check("s = \"\"\"a\\\"\"\"\"", "{\"s\":\"a\\\"\"}");
    check("s = \"\"\"a\\\\\"\"\"", "{\"s\":\"a\\\\\"}");
    check("s = \"\"", "{\"s\":\"\"}");
    check("s = ''''''", "{\"s\":\"\"}");
}

static void integers_in_every_base_become_decimal(void **state)
{
    (void)state;
    check("a=+99\nb=-17\nc=1_000\nd=0xDEAD_beef\ne=0o755\nf=0b1101\ng=0\nh=-0",
          "{\"a\":99,\"b\":-17,\"c\":1000,\"d\":3735928559,\"e\":493,\"f\":13,\"g\":0,\"h\":-0}");
    check("a=9223372036854775807\nb=-9223372036854775808\nc=0x7FFFFFFFFFFFFFFF",
          "{\"a\":9223372036854775807,\"b\":-9223372036854775808,\"c\":9223372036854775807}");
}

static void floats_and_booleans(void **state)
{
    (void)state;
    check("a=+1.0\nb=-0.01\nc=5e+22\nd=1E-2\ne=6.626e-34\nf=9_224.6\ng=true\nh=false",
          "{\"a\":1.0,\"b\":-0.01,\"c\":5e+22,\"d\":1e-2,\"e\":6.626e-34,\"f\":9224.6,\"g\":true,\"h\":false}");
}

static void special_floats_read_as_doubles(void **state)
{
    struct arena arena;
    struct json *root = NULL;

    (void)state;
    arena_init(&arena, 1 << 16);
    assert_int_equal(toml_parse(SLICE_LIT("a = -inf\nb = nan\nc = +inf"), &arena, &root, NULL), STATUS_OK);
    assert_true(json_double(json_get(root, "a")) < -1e308);
    assert_true(json_double(json_get(root, "b")) != json_double(json_get(root, "b")));
    assert_true(json_double(json_get(root, "c")) > 1e308);
    arena_release(&arena);
}

static void dates_and_times_become_text(void **state)
{
    (void)state;
    check(
        "a=1979-05-27T07:32:00Z\nb=1979-05-27 00:32:00.999-07:00\nc=1979-05-27\nd=07:32:00.5\ne=2024-02-29 # leap\n",
        "{\"a\":\"1979-05-27T07:32:00Z\",\"b\":\"1979-05-27 00:32:00.999-07:00\",\"c\":\"1979-05-27\","
        "\"d\":\"07:32:00.5\",\"e\":\"2024-02-29\"}");
}

static void arrays_nest_mix_and_span_lines(void **state)
{
    (void)state;
    check("a = [ [1, 2], [\"x\", 1.5] , # comment\n\n {k = []}\n,\n]",
          "{\"a\":[[1,2],[\"x\",1.5],{\"k\":[]}]}");
    check("a = []", "{\"a\":[]}");
}

static void inline_tables_take_dotted_keys(void **state)
{
    (void)state;
    check("a = { b.c = 1, b.d = 2, e = {} }", "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e\":{}}}");
}

static void headers_may_come_in_any_order(void **state)
{
    (void)state;
    check("[a.b.c]\nx=1\n[a]\ny=2\n[a.b]\nz=3", "{\"a\":{\"b\":{\"c\":{\"x\":1},\"z\":3},\"y\":2}}");
    check("[fruit]\napple.color = 'red'\n[fruit.apple.texture]\nsmooth = true",
          "{\"fruit\":{\"apple\":{\"color\":\"red\",\"texture\":{\"smooth\":true}}}}");
    check("[[a]]\nx=1\n[[a.b]]\ny=2\n[[a.b]]\n[a.c]\nz=3\n[[a]]\nx=4",
          "{\"a\":[{\"x\":1,\"b\":[{\"y\":2},{}],\"c\":{\"z\":3}},{\"x\":4}]}");
}

static void nothing_is_defined_twice(void **state)
{
    (void)state;
    check_refused("a=1\na=2", "line 2: 'a' is defined twice");
    check_refused("a=1\n\"a\"=2", "line 2: 'a' is defined twice");
    check_refused("[a]\n[a]", "line 2: 'a' is defined twice");
    check_refused("[a]\nb.c=1\n[a.b]", "line 3: 'b' is defined twice");
    check_refused("[a.b]\nx=1\n[a]\nb.y=2", "line 4: 'b' is a table defined elsewhere");
    check_refused("[a.b.c]\nx=1\n[a]\nb.c.d=2", "line 4: 'b' is a table defined elsewhere");
    check_refused("[a]\n[[a]]", "line 2: 'a' is defined already, and not as [[...]]");
    check_refused("a=[]\n[[a]]", "line 2: 'a' is defined already, and not as [[...]]");
    check_refused("[[a]]\n[a]", "line 2: 'a' is defined twice");
    check_refused("a={}\n[a.b]", "line 2: 'a' is a value already and cannot be extended");
    check_refused("a={}\na.b=1", "line 2: 'a' is a value already and cannot be extended");
    check_refused("a=1\na.b=1", "line 2: 'a' is a value already and cannot be extended");
    check_refused("a={b=1, b=2}", "line 1: 'b' is defined twice");
    check_refused("a={b={c=1}, b.d=2}", "line 1: 'b' is a value already and cannot be extended");
}

static void malformed_text_is_refused_with_its_line(void **state)
{
    (void)state;
    check_refused("a", "line 1: '=' expected after the key");
    check_refused("= 1", "line 1: key expected");
    check_refused("a =", "line 1: value missing");
    check_refused("\n\na = \n", "line 3: value missing");
    check_refused("a = b", "line 1: malformed value (text needs quotes)");
    check_refused("a = 1 b = 2", "line 1: unexpected text at the end of the line");
    check_refused("a. = 1", "line 1: key expected");
    check_refused("\"\"\"a\"\"\" = 1", "line 1: a key cannot be a string of several lines");
    check_refused("[a", "line 1: ']' expected");
    check_refused("[[a]", "line 1: ']]' expected");
    check_refused("[ [a]]", "line 1: key expected");
    check_refused("[]", "line 1: key expected");
    check_refused("a = [1 2]", "line 1: ',' or ']' expected in an array");
    check_refused("a = [1,\n\n", "line 3: value missing");
    check_refused("a = [,1]", "line 1: unexpected character");
    check_refused("a = {b=1,}", "line 1: key expected");
    check_refused("a = {b=1\n}", "line 1: ',' or '}' expected in an inline table");
    check_refused("a = \"x", "line 1: unterminated string");
    check_refused("a = 'x\n'", "line 1: unterminated string");
    check_refused("a = \"\"\"x\n\n", "line 3: unterminated string of several lines");
    check_refused("a = \"\"\"\\\"\"\" and on and on and on", "line 1: unterminated string of several lines");
    check_refused("a = \"\\x\"", "line 1: unknown escape in a string");
    check_refused("a = \"\\uD800\"", "line 1: escape in a string names no Unicode character");
    check_refused("a = \"\\U00110000\"", "line 1: escape in a string names no Unicode character");
    check_refused("a = \"\\u12\"", "line 1: escape in a string names no Unicode character");
    check_refused("a = \"\x01\"", "line 1: control character in a string");
    check_refused("# \x01", "line 1: control character in a comment");
    check_refused("# a\rb", "line 1: control character in a comment");
    check_refused("a = '\xFF'", "line 1: text is not UTF-8");
    check_refused("a = 1\n# \xC3", "line 2: text is not UTF-8");
}

static void malformed_numbers_and_dates_are_refused(void **state)
{
    static const char *const numbers[] = { "01",  "1__0", "_1",   "1_",    "1.",       ".5", "1.e5",
                                           "1e",  "1_.0", "1._0", "--1",   "+0x1",     "0x", "0xG",
                                           "0b2", "0o8",  "0x_1", "1.2.3", "infinity", "+",  "00.5" };
    static const char *const dates[] = { "2023-02-29",
                                         "2023-13-01",
                                         "2023-00-10",
                                         "2023-01-32",
                                         "1979-05-27T25:00:00Z",
                                         "1979-05-27T07:32Z",
                                         "07:61:00",
                                         "07:32",
                                         "1979-05-27T07:32:00+25:00",
                                         "1979-5-27",
                                         "1979-05-27T",
                                         "07:32:00.",
                                         "1979-05-27 07:32:00 Z" };
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct error err = { 0 };
        struct buf out = { 0 };
        snprintf(text, sizeof(text), "a = %s", numbers[i]);
        if (parse(text, strlen(text), &out, &err) == STATUS_OK)
            fail_msg("accepted %s", text);
    }
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        struct error err = { 0 };
        struct buf out = { 0 };
        snprintf(text, sizeof(text), "a = %s", dates[i]);
        if (parse(text, strlen(text), &out, &err) == STATUS_OK)
            fail_msg("accepted %s", text);
    }
    check_refused("a = 9223372036854775808", "line 1: integer beyond 64 bits");
    check_refused("a = 0x8000000000000000", "line 1: malformed number, or one beyond 64 bits");
}

static void nesting_has_a_limit_however_it_is_made(void **state)
{
    struct buf text = { 0 };

    (void)state;
    buf_append_cstr(&text, "a = ");
    for (int i = 0; i < 10000; i++)
        buf_append_char(&text, '[');
    check_refused(text.ptr, "line 1: nested too deeply");
    buf_clear(&text);
    buf_append_cstr(&text, "a");
    for (int i = 0; i < 10000; i++)
        buf_append_cstr(&text, ".a");
    buf_append_cstr(&text, " = 1");
    check_refused(text.ptr, "line 1: nested too deeply");
    buf_clear(&text);
    buf_append_cstr(&text, "[a");
    for (int i = 0; i < 60; i++)
        buf_append_cstr(&text, ".a");
    buf_append_cstr(&text, "]\nb.c.d.e.f.g = 1");
    check_refused(text.ptr, "line 2: nested too deeply");
    buf_release(&text);
}

static void running_out_of_memory_is_reported(void **state)
{
    static const char text[] = "[a.b]\nc = [1, 'two', \"\"\"three\"\"\", { d = 4 }]\n[[e]]\n'f' = 1979-05-27";
    enum status st = STATUS_NOMEM;
    size_t limit = 0;

    (void)state;
    /* One more byte each time, until it is enough: every allocation gets its turn to fail. */
    for (; st == STATUS_NOMEM; limit += 16) {
        struct arena arena;
        struct json *root = NULL;
        struct error err = { 0 };
        arena_init(&arena, limit);
        st = toml_parse(slice_cstr(text), &arena, &root, &err);
        assert_true(st == STATUS_OK || err.status == STATUS_NOMEM);
        arena_release(&arena);
    }
    assert_int_equal(st, STATUS_OK);
    assert_true(limit > 16);
}

static void every_beginning_of_a_file_is_read_within_its_bounds(void **state)
{
    static const char text[] =
        "a.'b' = \"\"\"x\\\n \\u00e9\"\"\" # c\r\n[[t]]\nd = [1, 0x2, 1979-05-27 07:32:00Z, {e=1.5}]";

    (void)state;
    for (size_t len = 0; len <= strlen(text); len++) {
        struct buf out = { 0 };
        struct error err = { 0 };
        enum status st = parse(text, len, &out, &err);
        assert_true(st == STATUS_OK || (st == STATUS_INVALID && strncmp(err.msg, "line ", 5) == 0));
        buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrangler_file_becomes_the_tree_of_its_jsonc_twin),
        cmocka_unit_test(empty_text_is_an_empty_table),
        cmocka_unit_test(keys_may_be_bare_quoted_and_dotted),
        cmocka_unit_test(strings_of_all_kinds),
        cmocka_unit_test(integers_in_every_base_become_decimal),
        cmocka_unit_test(floats_and_booleans),
        cmocka_unit_test(special_floats_read_as_doubles),
        cmocka_unit_test(dates_and_times_become_text),
        cmocka_unit_test(arrays_nest_mix_and_span_lines),
        cmocka_unit_test(inline_tables_take_dotted_keys),
        cmocka_unit_test(headers_may_come_in_any_order),
        cmocka_unit_test(nothing_is_defined_twice),
        cmocka_unit_test(malformed_text_is_refused_with_its_line),
        cmocka_unit_test(malformed_numbers_and_dates_are_refused),
        cmocka_unit_test(nesting_has_a_limit_however_it_is_made),
        cmocka_unit_test(running_out_of_memory_is_reported),
        cmocka_unit_test(every_beginning_of_a_file_is_read_within_its_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
