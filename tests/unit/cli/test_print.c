/* JSON laid out as JSON.stringify(value, null, 2) does it. */
#include "cli/print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check(const char *text, const char *expected)
{
    struct buf out = { 0 };

    json_indent(slice_cstr(text), &out);
    assert_string_equal(out.ptr, expected);
    buf_release(&out);
}

static void objects_and_arrays_get_a_line_per_member(void **state)
{
    (void)state;
    check("[{\"a\":1,\"b\":[true,null]},{}]",
          "[\n  {\n    \"a\": 1,\n    \"b\": [\n      true,\n      null\n    ]\n  },\n  {}\n]");
}

static void empty_ones_stay_on_their_line(void **state)
{
    (void)state;
    check("[]", "[]");
    check("{ }", "{}");
    check("{\"a\":[ ],\"b\":{}}", "{\n  \"a\": [],\n  \"b\": {}\n}");
}

static void strings_and_numbers_are_kept_as_written(void **state)
{
    (void)state;
    check("[\"{[,:]}\\\"\\\\\",9007199254740993,1e400]",
          "[\n  \"{[,:]}\\\"\\\\\",\n  9007199254740993,\n  1e400\n]");
}

static void space_in_the_source_does_not_matter(void **state)
{
    (void)state;
    check(" { \"a\" :\n [ 1 , 2 ] }\n", "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_and_arrays_get_a_line_per_member),
        cmocka_unit_test(empty_ones_stay_on_their_line),
        cmocka_unit_test(strings_and_numbers_are_kept_as_written),
        cmocka_unit_test(space_in_the_source_does_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
