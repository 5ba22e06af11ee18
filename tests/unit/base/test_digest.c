/* SHA-256, MD5 and hex against published values, and MD5 in every pair of pieces. */
#include "../testing.h"

#include "base/digest.h"

static void hex_is_lower_case_and_terminated(void **state UNUSED)
{
    char text[2 * 5 + 1];

    hex_encode("\x00\x7f\x80\xab\xff", 5, text);
    assert_string_equal(text, "007f80abff");
    hex_encode("", 0, text);
    assert_string_equal(text, "");
}

static void sha256_agrees_with_the_standard(void **state UNUSED)
{
    char text[SHA256_HEX_LEN + 1];

    sha256_hex(SLICE_LIT(""), text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex(SLICE_LIT("abc"), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(SLICE_LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), text);
    assert_string_equal(text, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void md5_in_pieces_is_md5_of_the_whole(void **state UNUSED)
{
    static const char text[] = "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
    char hex[MD5_HEX_LEN + 1];

    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct md5 *m = md5_new();
        md5_update(m, slice_of(text, cut));
        md5_update(m, slice_of(text + cut, sizeof(text) - 1 - cut));
        md5_finish_hex(m, hex);
        assert_string_equal(hex, "57edf4a22be3c955ac49da2e2107b67a");
    }
}

static void md5_of_nothing_and_a_digest_that_is_given_up(void **state UNUSED)
{
    char hex[MD5_HEX_LEN + 1];
    struct md5 *m = md5_new();

    md5_finish_hex(m, hex);
    assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
    m = md5_new();
    md5_update(m, SLICE_LIT("x"));
    md5_free(m);
    md5_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_is_lower_case_and_terminated),
        cmocka_unit_test(sha256_agrees_with_the_standard),
        cmocka_unit_test(md5_in_pieces_is_md5_of_the_whole),
        cmocka_unit_test(md5_of_nothing_and_a_digest_that_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
