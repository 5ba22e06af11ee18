/* Random identifiers: form, validity, no repetition. */
#include "../testing.h"

#include "base/ids.h"

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void uuids_are_version_four_and_valid(void **state UNUSED)
{
    char text[UUID_LEN + 1];

    for (int i = 0; i < 1000; i++) {
        uuid_new(text);
        assert_int_equal(strlen(text), UUID_LEN);
        assert_true(uuid_is_valid(slice_cstr(text)));
        assert_int_equal(text[14], '4');
        assert_non_null(strchr("89ab", text[19]));
    }
}

static void ids_do_not_repeat(void **state UNUSED)
{
    static char uuids[2000][UUID_LEN + 1], tokens[2000][TOKEN_LEN + 1];

    for (int i = 0; i < 2000; i++) {
        uuid_new(uuids[i]);
        token_new(tokens[i]);
    }
    qsort(uuids, 2000, sizeof(uuids[0]), compare_text);
    qsort(tokens, 2000, sizeof(tokens[0]), compare_text);
    for (int i = 1; i < 2000; i++) {
        assert_string_not_equal(uuids[i - 1], uuids[i]);
        assert_string_not_equal(tokens[i - 1], tokens[i]);
    }
}

static void what_is_no_uuid_is_told_apart(void **state UNUSED)
{
    static const char *const rows[] = {
        "", "x", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000",
        "00000000-0000-0000-0000-00000000000G", "00000000-0000-0000-0000-00000000000A",
        "000000000-000-0000-0000-000000000000", "00000000 0000 0000 0000 000000000000",
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_false(uuid_is_valid(slice_cstr(rows[i])));
    assert_false(uuid_is_valid(SLICE_NONE));
    assert_true(uuid_is_valid(SLICE_LIT("00000000-0000-0000-0000-000000000000")));
}

static void tokens_use_all_of_their_alphabet_and_nothing_else(void **state UNUSED)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bool seen[64] = { false };
    char text[TOKEN_LEN + 1];

    for (int i = 0; i < 1000; i++) {
        token_new(text);
        assert_int_equal(strlen(text), TOKEN_LEN);
        for (int k = 0; k < TOKEN_LEN; k++) {
            const char *at = strchr(alphabet, text[k]);
            assert_non_null(at);
            seen[at - alphabet] = true;
        }
    }
    for (int i = 0; i < 64; i++)
        assert_true(seen[i]); /* 43,000 draws: missing one has odds of 1 in 10^290 */
}

static void random_bytes_fill_exactly_what_was_asked_for(void **state UNUSED)
{
    unsigned char bytes[600];
    bool changed[600] = { false };

    for (int round = 0; round < 20; round++) {
        memset(bytes, 0, sizeof(bytes));
        random_bytes(bytes + 1, sizeof(bytes) - 2);
        assert_int_equal(bytes[0], 0);
        assert_int_equal(bytes[sizeof(bytes) - 1], 0);
        for (size_t i = 1; i < sizeof(bytes) - 1; i++)
            changed[i] |= bytes[i] != 0;
    }
    for (size_t i = 1; i < sizeof(bytes) - 1; i++)
        assert_true(changed[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids_are_version_four_and_valid),
        cmocka_unit_test(ids_do_not_repeat),
        cmocka_unit_test(what_is_no_uuid_is_told_apart),
        cmocka_unit_test(tokens_use_all_of_their_alphabet_and_nothing_else),
        cmocka_unit_test(random_bytes_fill_exactly_what_was_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
