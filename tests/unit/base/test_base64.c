/* Base64 against the RFC's vectors, both alphabets, and every kind of text that is not base64. */
#include "../testing.h"

#include "base/base64.h"

static void the_vectors_of_the_standard(void **state UNUSED)
{
    static const char *const rows[][3] = {
        { "", "", "" },
        { "f", "Zg==", "Zg" },
        { "fo", "Zm8=", "Zm8" },
        { "foo", "Zm9v", "Zm9v" },
        { "foob", "Zm9vYg==", "Zm9vYg" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE" },
        { "\xfb\xff\xfe", "+//+", "-__-" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = { 0 };
        base64_encode(&b, slice_cstr(rows[i][0]));
        assert_true(slice_eq(buf_slice(&b), slice_cstr(rows[i][1])));
        buf_clear(&b);
        base64url_encode(&b, slice_cstr(rows[i][0]));
        assert_true(slice_eq(buf_slice(&b), slice_cstr(rows[i][2])));
        for (int form = 1; form <= 2; form++) {
            buf_clear(&b);
            assert_true(base64_decode(&b, slice_cstr(rows[i][form])));
            assert_true(slice_eq(buf_slice(&b), slice_cstr(rows[i][0])));
        }
        buf_release(&b);
    }
}

static void what_is_not_base64_is_refused(void **state UNUSED)
{
    static const char *const bad[] = { "A", "AAAAA", "A===", "====", "AA=A", "AA AA", "A\nAA", "Zm9v!", "=", "AAAA=" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct buf b = { 0 };
        if (base64_decode(&b, slice_cstr(bad[i])))
            fail_msg("'%s' was taken for base64", bad[i]);
        buf_release(&b);
    }
}

static void every_byte_survives_the_round_trip(void **state UNUSED)
{
    char bytes[256];
    struct buf text = { 0 }, back = { 0 };

    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t n = 0; n <= 256; n++) {
        buf_clear(&text);
        buf_clear(&back);
        base64_encode(&text, slice_of(bytes, n));
        assert_true(base64_decode(&back, buf_slice(&text)));
        assert_int_equal(back.len, n);
        assert_true(n == 0 || memcmp(back.ptr, bytes, n) == 0);
    }
    buf_release(&text);
    buf_release(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_standard),
        cmocka_unit_test(what_is_not_base64_is_refused),
        cmocka_unit_test(every_byte_survives_the_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
