/* The error table and the messages: what is filled, how it is cut, and what each layer adds. */
#include "../testing.h"

#include "base/error.h"

#include <errno.h>

static void every_status_has_text_and_an_http_status(void **state UNUSED)
{
#define X(name, words, http, number)                                                               \
    assert_string_equal(status_text(STATUS_##name), words);                                        \
    assert_int_equal(status_http(STATUS_##name), http);                                            \
    assert_int_equal(status_code(STATUS_##name), number);
    STATUS_MAP(X)
#undef X
}

static void setting_fills_all_fields_and_returns_the_status(void **state UNUSED)
{
    struct error err;

    assert_int_equal(error_set(&err, STATUS_LIMIT, 7, "%d of %s", 3, "x"), STATUS_LIMIT);
    assert_int_equal(err.status, STATUS_LIMIT);
    assert_int_equal(err.native, 7);
    assert_string_equal(err.msg, "3 of x");
    assert_int_equal(error_set(NULL, STATUS_IO, 0, "nobody listens"), STATUS_IO);
}

static void an_errno_brings_its_text_and_picks_the_status(void **state UNUSED)
{
    struct error err;

    assert_int_equal(error_errno(&err, ENOSPC, "cannot write %s", "f"), STATUS_FULL);
    assert_string_equal(err.msg, "cannot write f: No space left on device");
    assert_int_equal(err.native, ENOSPC);
    assert_int_equal(error_errno(&err, EDQUOT, "x"), STATUS_FULL);
    assert_int_equal(error_errno(&err, ENOENT, "x"), STATUS_NOTFOUND);
    assert_int_equal(error_errno(&err, ENOMEM, "x"), STATUS_NOMEM);
    assert_int_equal(error_errno(NULL, EACCES, "x"), STATUS_IO);
}

static void a_prefix_goes_before_what_is_there(void **state UNUSED)
{
    struct error err;

    assert_int_equal(error_set(&err, STATUS_CORRUPT, 11, "page 3"), STATUS_CORRUPT);
    assert_int_equal(error_prefix(&err, "database %s", "a"), STATUS_CORRUPT);
    assert_string_equal(err.msg, "database a: page 3");
    assert_int_equal(err.native, 11);
}

static void check_cut(const struct error *err)
{
    size_t len = strlen(err->msg);

    assert_true(len < ERROR_MSG_MAX);
    assert_true(len > ERROR_MSG_MAX - 10);
    assert_string_equal(err->msg + len - 3, "...");
}

static void a_long_message_is_cut_and_says_so(void **state UNUSED)
{
    static char longer[2 * ERROR_MSG_MAX];
    struct error err;

    memset(longer, 'a', sizeof(longer) - 1);
    (void)error_set(&err, STATUS_SQL, 0, "%s", longer);
    check_cut(&err);
    (void)error_set(&err, STATUS_SQL, 0, "%.*s", ERROR_MSG_MAX - 10, longer);
    (void)error_prefix(&err, "in front of it");
    check_cut(&err);
    (void)error_errno(&err, ENOSPC, "%.*s", ERROR_MSG_MAX - 10, longer);
    check_cut(&err);
    (void)error_errno(&err, ENOSPC, "%s", longer);
    check_cut(&err);
}

static void the_longest_message_that_fits_is_left_alone(void **state UNUSED)
{
    static char text[ERROR_MSG_MAX];
    struct error err;

    memset(text, 'a', sizeof(text) - 1);
    (void)error_set(&err, STATUS_SQL, 0, "%s", text);
    assert_string_equal(err.msg, text);
}

static void a_cut_never_splits_a_character(void **state UNUSED)
{
    static const char *const letters[] = { "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80" };
    static char text[ERROR_MSG_MAX + 64];
    struct error err;

    for (size_t l = 0; l < ARRAY_LEN(letters); l++) {
        for (size_t shift = 0; shift < 4; shift++) {
            size_t n = shift, width = strlen(letters[l]);
            memset(text, 'x', shift);
            while (n + width < sizeof(text)) {
                memcpy(text + n, letters[l], width);
                n += width;
            }
            text[n] = '\0';
            (void)error_set(&err, STATUS_SQL, 0, "%s", text);
            check_cut(&err);
            assert_int_equal((strlen(err.msg) - 3 - shift) % width, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_text_and_an_http_status),
        cmocka_unit_test(setting_fills_all_fields_and_returns_the_status),
        cmocka_unit_test(an_errno_brings_its_text_and_picks_the_status),
        cmocka_unit_test(a_prefix_goes_before_what_is_there),
        cmocka_unit_test(a_long_message_is_cut_and_says_so),
        cmocka_unit_test(the_longest_message_that_fits_is_left_alone),
        cmocka_unit_test(a_cut_never_splits_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
