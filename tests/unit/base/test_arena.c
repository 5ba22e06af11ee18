/* Memory that is freed whole: alignment, the byte limit, what a reset keeps, and joining in place. */
#include "../testing.h"

#include "base/arena.h"

static void allocations_are_aligned_and_do_not_overlap(void **state UNUSED)
{
    uint64_t seed = test_seed();
    unsigned char *parts[500];
    size_t lens[500];
    struct arena a;

    arena_init(&a, 64 << 20);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        lens[i] = test_random(&seed) % (i % 50 == 0 ? 40000 : 300);
        parts[i] = arena_alloc(&a, lens[i]);
        assert_non_null(parts[i]);
        assert_int_equal((uintptr_t)parts[i] % 16, 0);
        memset(parts[i], (int)(i & 0xFF), lens[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        for (size_t k = 0; k < lens[i]; k++)
            assert_int_equal(parts[i][k], i & 0xFF);
    arena_release(&a);
}

static void zeroed_memory_is_zero_even_where_memory_is_used_again(void **state UNUSED)
{
    struct arena a;

    arena_init(&a, 1 << 20);
    for (int round = 0; round < 3; round++) {
        unsigned char *p = arena_zalloc(&a, 1000);
        assert_non_null(p);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xEE, 1000);
        arena_reset(&a);
    }
    arena_release(&a);
}

static void the_limit_holds_whatever_the_sizes(void **state UNUSED)
{
    uint64_t seed = test_seed();

    for (int round = 0; round < 50; round++) {
        size_t limit = test_random(&seed) % 200000;
        struct arena a;
        arena_init(&a, limit);
        for (int i = 0; i < 100; i++) {
            void *p = arena_alloc(&a, test_random(&seed) % 20000);
            assert_true(a.used_bytes <= limit);
            if (p)
                memset(p, 1, 1);
        }
        arena_release(&a);
    }
}

static void a_refusal_leaves_the_arena_usable(void **state UNUSED)
{
    struct arena a;

    arena_init(&a, 8192);
    assert_null(arena_alloc(&a, 100000));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 7));
    assert_null(arena_copy(&a, slice_of("", 100000)).ptr);
    assert_non_null(arena_alloc(&a, 100));
    arena_release(&a);
}

static void copies_are_terminated(void **state UNUSED)
{
    struct arena a;

    arena_init(&a, 8192);
    struct slice s = arena_copy(&a, slice_of("abcdef", 3)), empty = arena_copy(&a, SLICE_NONE);
    CHECK_SLICE(s, "abc");
    assert_int_equal(s.ptr[3], '\0');
    assert_non_null(empty.ptr);
    assert_int_equal(empty.ptr[0], '\0');
    arena_release(&a);
}

static void a_reset_keeps_one_small_block_at_most(void **state UNUSED)
{
    struct arena a;

    arena_init(&a, 16 << 20);
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&a, 10000));
    arena_reset(&a);
    assert_true(a.used_bytes <= 4096);
    assert_non_null(arena_alloc(&a, 10000));
    arena_reset(&a);
    arena_reset(&a);
    arena_release(&a);
    arena_release(&a);
    assert_int_equal(a.used_bytes, 0);
}

static void joining_byte_by_byte_costs_no_more_than_the_text(void **state UNUSED)
{
    struct slice s = SLICE_NONE;
    struct arena a;

    arena_init(&a, 1 << 20);
    for (int i = 0; i < 60000; i++) {
        char c = (char)('a' + i % 26);
        s = arena_join(&a, s, slice_of(&c, 1));
        assert_non_null(s.ptr);
        assert_int_equal(s.len, i + 1);
        assert_int_equal(s.ptr[s.len], '\0');
    }
    for (int i = 0; i < 60000; i++)
        assert_int_equal(s.ptr[i], 'a' + i % 26);
    arena_release(&a);
}

static void joining_text_that_is_not_the_newest_copies_it(void **state UNUSED)
{
    struct arena a;

    arena_init(&a, 1 << 20);
    struct slice first = arena_copy(&a, SLICE_LIT("first"));
    struct slice second = arena_copy(&a, SLICE_LIT("second"));
    struct slice joined = arena_join(&a, first, SLICE_LIT(", then a text that is longer than the padding"));
    CHECK_SLICE(joined, "first, then a text that is longer than the padding");
    CHECK_SLICE(first, "first");
    CHECK_SLICE(second, "second");
    CHECK_SLICE(arena_join(&a, SLICE_LIT("not of the arena"), SLICE_LIT("!")), "not of the arena!");
    assert_null(arena_join(&a, joined, slice_of("", 4 << 20)).ptr);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(zeroed_memory_is_zero_even_where_memory_is_used_again),
        cmocka_unit_test(the_limit_holds_whatever_the_sizes),
        cmocka_unit_test(a_refusal_leaves_the_arena_usable),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(a_reset_keeps_one_small_block_at_most),
        cmocka_unit_test(joining_byte_by_byte_costs_no_more_than_the_text),
        cmocka_unit_test(joining_text_that_is_not_the_newest_copies_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
