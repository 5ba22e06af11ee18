/* Owned bytes: growing, the spare NUL, the limit, and what an overflow leaves behind. */
#include "../testing.h"

#include "base/buf.h"

static void appended_bytes_are_kept_in_order_with_a_nul_behind(void **state UNUSED)
{
    struct buf b = { 0 };

    for (int i = 0; i < 1000; i++) {
        buf_append_char(&b, (char)('a' + i % 26));
        assert_int_equal(b.len, i + 1);
        assert_int_equal(b.ptr[b.len], '\0');
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(b.ptr[i], 'a' + i % 26);
    buf_release(&b);
    assert_null(b.ptr);
    assert_int_equal(b.len, 0);
}

static void appending_nothing_to_an_empty_buf_is_fine(void **state UNUSED)
{
    struct buf b = { 0 };

    buf_append_slice(&b, SLICE_NONE);
    buf_append(&b, "", 0);
    buf_append_cstr(&b, "");
    buf_printf(&b, "%s", "");
    assert_int_equal(b.len, 0);
    assert_false(b.overflowed);
    buf_release(&b);
}

static void printing_agrees_with_the_c_library(void **state UNUSED)
{
    struct buf b = { 0 };
    char want[400];

    buf_append_cstr(&b, "<");
    buf_printf(&b, "%300d|%s", 7, "end");
    snprintf(want, sizeof(want), "<%300d|%s", 7, "end");
    assert_string_equal(b.ptr, want);
    buf_release(&b);
}

static void a_limit_may_be_filled_to_the_last_byte_and_not_passed(void **state UNUSED)
{
    for (size_t limit = 1; limit < 600; limit += 7) {
        struct buf b = { .limit = limit };
        for (size_t i = 0; i < limit; i++)
            buf_append_char(&b, 'x');
        assert_int_equal(b.len, limit);
        assert_false(b.overflowed);
        assert_false(buf_try_reserve(&b, 1));
        assert_false(b.overflowed); /* asking is no offence */
        buf_append_char(&b, 'y');
        assert_true(b.overflowed);
        assert_int_equal(b.len, limit);
        buf_release(&b);
    }
}

/* The fast path of buf_append looks at the capacity alone. */
static void small_appends_stop_at_the_limit_too(void **state UNUSED)
{
    struct buf b = { .limit = 10 };

    buf_append(&b, "12345678", 8);
    buf_append(&b, "abc", 3);
    assert_true(b.overflowed);
    assert_int_equal(b.len, 8);
    buf_release(&b);
}

static void an_overflowed_buf_takes_nothing_until_it_is_cleared(void **state UNUSED)
{
    struct buf b = { .limit = 8 };

    buf_append(&b, "0123456789", 10);
    assert_true(b.overflowed);
    buf_append(&b, "a", 1);
    buf_printf(&b, "b");
    buf_append_slice(&b, SLICE_LIT("c"));
    assert_int_equal(b.len, 0);
    buf_clear(&b);
    buf_append(&b, "abc", 3);
    CHECK_SLICE(buf_slice(&b), "abc");
    buf_release(&b);
}

static void printing_past_the_limit_changes_nothing(void **state UNUSED)
{
    struct buf b = { .limit = 4 };

    buf_append(&b, "ab", 2);
    buf_printf(&b, "%d", 12345);
    assert_true(b.overflowed);
    CHECK_SLICE(buf_slice(&b), "ab");
    assert_int_equal(b.ptr[2], '\0');
    buf_release(&b);
}

static void impossible_sizes_are_refused(void **state UNUSED)
{
    struct buf b = { 0 };

    buf_append(&b, "x", 1);
    assert_false(buf_try_reserve(&b, SIZE_MAX));
    assert_false(buf_try_reserve(&b, SIZE_MAX - 1));
    CHECK_SLICE(buf_slice(&b), "x");
    buf_release(&b);
    b = (struct buf){ .limit = 5 };
    assert_false(buf_try_reserve(&b, SIZE_MAX));
    buf_release(&b);
}

static void taking_leaves_an_empty_buf_with_the_same_limit(void **state UNUSED)
{
    struct buf b = { .limit = 3 };

    buf_append(&b, "abc", 3);
    struct buf taken = buf_take(&b);
    CHECK_SLICE(buf_slice(&taken), "abc");
    assert_null(b.ptr);
    assert_int_equal(b.limit, 3);
    buf_append(&b, "abcd", 4);
    assert_true(b.overflowed);
    buf_release(&b);
    buf_release(&taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_are_kept_in_order_with_a_nul_behind),
        cmocka_unit_test(appending_nothing_to_an_empty_buf_is_fine),
        cmocka_unit_test(printing_agrees_with_the_c_library),
        cmocka_unit_test(a_limit_may_be_filled_to_the_last_byte_and_not_passed),
        cmocka_unit_test(small_appends_stop_at_the_limit_too),
        cmocka_unit_test(an_overflowed_buf_takes_nothing_until_it_is_cleared),
        cmocka_unit_test(printing_past_the_limit_changes_nothing),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(taking_leaves_an_empty_buf_with_the_same_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
