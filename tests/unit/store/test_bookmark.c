/* Bookmarks: the same state always has the same name, and a later one a greater name. */
#include "../testing.h"

#include "store/store.h"

static const char uuid[] = "01234567-89ab-4cde-8f01-23456789abcd", other[] = "11234567-89ab-4cde-8f01-23456789abcd";

static void a_bookmark_has_the_form_of_d1s(void **state UNUSED)
{
    char text[BOOKMARK_LEN + 1];

    bookmark_format(uuid, 0x1234567890ULL, text);
    assert_int_equal(strlen(text), BOOKMARK_LEN);
    for (int i = 0; i < BOOKMARK_LEN; i++) {
        if (i == 8 || i == 17 || i == 26)
            assert_int_equal(text[i], '-');
        else
            assert_non_null(strchr("0123456789abcdef", text[i]));
    }
    assert_memory_equal(text, "00000012-34567890-00000000-", 27);
}

static void the_same_state_has_the_same_name(void **state UNUSED)
{
    char a[BOOKMARK_LEN + 1], b[BOOKMARK_LEN + 1];

    for (uint64_t commit = 0; commit < 100; commit++) {
        bookmark_format(uuid, commit, a);
        bookmark_format(uuid, commit, b);
        assert_string_equal(a, b);
        bookmark_format(other, commit, b);
        assert_string_not_equal(a, b);
    }
}

static void text_order_is_the_order_of_commits(void **state UNUSED)
{
    static const uint64_t edges[] = { 0, 1, 2, 9, 10, 15, 16, 255, 256, 99999, UINT32_MAX - 1ULL, UINT32_MAX, UINT32_MAX + 1ULL,
                                      UINT64_MAX - 1, UINT64_MAX };
    uint64_t seed = test_seed();
    char a[BOOKMARK_LEN + 1], b[BOOKMARK_LEN + 1];

    for (size_t i = 1; i < ARRAY_LEN(edges); i++) {
        bookmark_format(uuid, edges[i - 1], a);
        bookmark_format(uuid, edges[i], b);
        assert_true(strcmp(a, b) < 0);
    }
    for (int i = 0; i < 10000; i++) {
        uint64_t x = test_random(&seed) >> test_random(&seed) % 64, y = test_random(&seed) >> test_random(&seed) % 64;
        bookmark_format(uuid, x, a);
        bookmark_format(other, y, b);
        if (x != y)
            assert_int_equal(strcmp(a, b) < 0, x < y);
    }
}

static void a_bookmark_is_read_back(void **state UNUSED)
{
    static const uint64_t commits[] = { 0, 1, 0x1234567890ULL, UINT32_MAX, UINT64_MAX };
    char text[BOOKMARK_LEN + 1];
    uint64_t commit;
    bool is_own;

    for (size_t i = 0; i < ARRAY_LEN(commits); i++) {
        bookmark_format(uuid, commits[i], text);
        assert_true(bookmark_parse(slice_cstr(text), uuid, &commit, &is_own));
        assert_true(commit == commits[i] && is_own);
        assert_true(bookmark_parse(slice_cstr(text), other, &commit, &is_own));
        assert_true(commit == commits[i] && !is_own);
    }
    /* miniflare's */
    assert_true(bookmark_parse(SLICE_LIT("00000000-00000001-00000000-00000000000000000000000000000000"), uuid, &commit, &is_own));
    assert_true(commit == 1 && !is_own);
}

static void other_text_is_no_bookmark(void **state UNUSED)
{
    static const char *const texts[] = {
        "",
        "first-primary",
        "zzzz",
        "00000000-00000001-00000000-0000000000000000000000000000000",
        "00000000-00000001-00000000-000000000000000000000000000000000",
        "00000000-00000001-00000000-0000000000000000000000000000000g",
        "00000000-00000001-00000000-0000000000000000000000000000000A",
        "0000000-000000010-00000000-00000000000000000000000000000000",
        "00000000-00000001-00000000-0000000000000000-000000000000000",
        "00000000_00000001_00000000_00000000000000000000000000000000",
    };
    uint64_t commit;
    bool is_own;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(bookmark_parse(slice_cstr(texts[i]), uuid, &commit, &is_own));
    assert_false(bookmark_parse(SLICE_NONE, uuid, &commit, &is_own));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bookmark_has_the_form_of_d1s),
        cmocka_unit_test(the_same_state_has_the_same_name),
        cmocka_unit_test(text_order_is_the_order_of_commits),
        cmocka_unit_test(a_bookmark_is_read_back),
        cmocka_unit_test(other_text_is_no_bookmark),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
