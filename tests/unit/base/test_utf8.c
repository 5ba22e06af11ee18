/* Every scalar value is encoded and recognised; everything else is refused, with the part that WHATWG replaces. */
#include "../testing.h"

#include "base/utf8.h"

static size_t sequence(const char *bytes, size_t len, size_t *ret_skip)
{
    return utf8_sequence((const unsigned char *)bytes, len, ret_skip);
}

static void every_scalar_value_goes_round(void **state UNUSED)
{
    size_t skip;
    char text[4];

    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        size_t n = utf8_encode(cp, text), want = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
        assert_int_equal(n, want);
        assert_int_equal(sequence(text, n, &skip), n);
        uint32_t back = n == 1 ? (uint32_t)text[0] : (uint32_t)text[0] & (0xFFU >> (n + 1));
        for (size_t i = 1; i < n; i++)
            back = back << 6 | ((uint32_t)text[i] & 0x3F);
        assert_int_equal(back, cp);
    }
}

static void a_sequence_that_is_cut_off_is_ill_formed_as_a_whole(void **state UNUSED)
{
    static const char *const rows[] = { "\xC3\xA4", "\xE2\x82\xAC", "\xED\x9F\xBF", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF" };
    size_t skip;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t len = 1; len < strlen(rows[i]); len++) {
            assert_int_equal(sequence(rows[i], len, &skip), 0);
            assert_int_equal(skip, len);
        }
    }
}

static void ill_formed_bytes_are_replaced_as_whatwg_says(void **state UNUSED)
{
    static const struct {
        const char *bytes;
        size_t skip;
    } rows[] = {
        { "\x80", 1 },             /* a tail alone */
        { "\xBF", 1 },
        { "\xC0\x80", 1 },         /* overlong */
        { "\xC1\xBF", 1 },
        { "\xE0\x80\x80", 1 },
        { "\xE0\x9F\xBF", 1 },
        { "\xED\xA0\x80", 1 },     /* a surrogate */
        { "\xED\xBF\xBF", 1 },
        { "\xF0\x80\x80\x80", 1 },
        { "\xF0\x8F\xBF\xBF", 1 },
        { "\xF4\x90\x80\x80", 1 }, /* past U+10FFFF */
        { "\xF5\x80\x80\x80", 1 },
        { "\xFF", 1 },
        { "\xC3(", 1 },
        { "\xE2\x82(", 2 },
        { "\xE2(\xAC", 1 },
        { "\xF0\x9F\x98(", 3 },
        { "\xF0\x9F(\x80", 2 },
        { "\xF1\x80\xC3\xA4", 2 },
    };
    size_t skip;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(sequence(rows[i].bytes, strlen(rows[i].bytes), &skip), 0);
        assert_int_equal(skip, rows[i].skip);
    }
}

/* All starts of up to three bytes: what is taken is exactly what some scalar value is written as. */
static void nothing_but_encodings_is_taken(void **state UNUSED)
{
    unsigned n_taken[4] = { 0 };

    for (uint32_t bytes = 0; bytes < 1U << 24; bytes++) {
        unsigned char p[3] = { (unsigned char)(bytes >> 16), (unsigned char)(bytes >> 8), (unsigned char)bytes };
        size_t skip, n = utf8_sequence(p, 3, &skip);
        if (n == 3 || (n == 2 && p[2] == 0) || (n == 1 && p[1] == 0 && p[2] == 0))
            n_taken[n]++;
        if (n > 3 || (n == 0 && (skip == 0 || skip > 3)))
            fail();
    }
    assert_int_equal(n_taken[1], 0x80);
    assert_int_equal(n_taken[2], 0x800 - 0x80);
    assert_int_equal(n_taken[3], 0x10000 - 0x800 - 0x800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_goes_round),
        cmocka_unit_test(a_sequence_that_is_cut_off_is_ill_formed_as_a_whole),
        cmocka_unit_test(ill_formed_bytes_are_replaced_as_whatwg_says),
        cmocka_unit_test(nothing_but_encodings_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
