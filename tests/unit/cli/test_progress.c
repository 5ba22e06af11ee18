/* Sizes for people. */
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check(uint64_t bytes, const char *expected)
{
    char text[SIZE_TEXT_MAX];

    size_text(bytes, text);
    assert_string_equal(text, expected);
}

static void sizes_have_three_digits_that_count(void **state)
{
    (void)state;
    check(0, "0 B");
    check(999, "999 B");
    check(1000, "1.00 kB");
    check(12288, "12.3 kB");
    check(123456, "123 kB");
    check(999499, "999 kB");
    check(999500, "1.00 MB");
    check(9994999, "9.99 MB");
    check(5368709120, "5.37 GB");
    check(UINT64_MAX, "18.4 EB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_three_digits_that_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
