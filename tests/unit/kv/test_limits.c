/* Limits and their texts; the times are given, so nothing waits. */
#include "../testing.h"

#include "kv/kv.h"
#include "kv/limits.h"

static struct error err;

#define REFUSED(call, status, text) \
    do { \
        assert_int_equal((call), (status)); \
        assert_string_equal(err.msg, (text)); \
    } while (0)

static void keys(void **state UNUSED)
{
    char text[KV_KEY_MAX + 1];

    memset(text, 'k', sizeof(text));
    assert_int_equal(kv_check_key(slice_of(text, KV_KEY_MAX), &err), STATUS_OK);
    REFUSED(kv_check_key(slice_of(text, KV_KEY_MAX + 1), &err), STATUS_KVKEY,
            "UTF-8 encoded length of 513 exceeds key length limit of 512.");
    REFUSED(kv_check_key(SLICE_NONE, &err), STATUS_KVINVALID, "Key names must not be empty");
    REFUSED(kv_check_key(SLICE_LIT(".."), &err), STATUS_KVINVALID,
            "Illegal key name \"..\". Please use a different name.");
    REFUSED(kv_check_key(SLICE_LIT("a\xC3"), &err), STATUS_KVINVALID, "Could not URL-decode key name");
    assert_int_equal(kv_check_key(SLICE_LIT("..."), &err), STATUS_OK);
    assert_int_equal(kv_check_prefix(SLICE_LIT(""), &err), STATUS_OK);
}

static void sizes(void **state UNUSED)
{
    assert_int_equal(kv_check_value(KV_VALUE_MAX, &err), STATUS_OK);
    REFUSED(kv_check_value(KV_VALUE_MAX + 1, &err), STATUS_KVVALUE,
            "Value length of 26214401 exceeds limit of 26214400.");
    assert_int_equal(kv_check_metadata(1024, &err), STATUS_OK);
    REFUSED(kv_check_metadata(1025, &err), STATUS_KVVALUE, "Metadata length of 1025 exceeds limit of 1024.");
}

static int64_t expiry(const char *expiration, const char *ttl, int min_ttl_s, int64_t now_ms)
{
    int64_t at = -1;

    assert_int_equal(kv_take_expiry(expiration ? slice_cstr(expiration) : SLICE_NONE,
                                    ttl ? slice_cstr(ttl) : SLICE_NONE, min_ttl_s, now_ms, &at, &err),
                     STATUS_OK);
    return at;
}

static void times(void **state UNUSED)
{
    static const struct {
        const char *ttl, *text;
    } bad[] = {
        { "59", "Invalid expiration_ttl of 59. Expiration TTL must be at least 60." },
        { "0", "Invalid expiration_ttl of 0. Please specify integer greater than 0." },
        { "", "Invalid expiration_ttl of . Please specify integer greater than 0." },
        { "-60", "Invalid expiration_ttl of -60. Please specify integer greater than 0." },
        { "60.0", "Invalid expiration_ttl of 60.0. Please specify integer greater than 0." },
        { "99999999999999999999",
          "Invalid expiration_ttl of 99999999999999999999. Please specify integer greater than 0." },
    };
    int64_t at;

    assert_int_equal(expiry(NULL, NULL, 60, 5500), 0);
    assert_int_equal(expiry(NULL, "60", 60, 5500), 65000);
    assert_int_equal(expiry(NULL, "2", 1, 5500), 7500);
    assert_int_equal(expiry("65", NULL, 60, 5500), 65000);
    assert_int_equal(expiry("1", "60", 60, 5500), 65000);
    assert_int_equal(kv_expiration_s(7500), 8);
    assert_int_equal(kv_expiration_s(65000), 65);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        REFUSED(kv_take_expiry(SLICE_NONE, slice_cstr(bad[i].ttl), 60, 5500, &at, &err), STATUS_KVINVALID, bad[i].text);
    REFUSED(kv_take_expiry(SLICE_LIT("64"), SLICE_NONE, 60, 5500, &at, &err), STATUS_KVINVALID,
            "Invalid expiration of 64. Expiration times must be at least 60 seconds in the future.");
    REFUSED(kv_take_expiry(SLICE_LIT("5"), SLICE_NONE, 60, 5500, &at, &err), STATUS_KVINVALID,
            "Invalid expiration of 5. Please specify integer greater than the current number of seconds since the UNIX "
            "epoch.");
}

static void lists(void **state UNUSED)
{
    int limit = 0;

    assert_int_equal(kv_take_limit(SLICE_NONE, &limit, &err), STATUS_OK);
    assert_int_equal(limit, 1000);
    assert_int_equal(kv_take_limit(SLICE_LIT("1"), &limit, &err), STATUS_OK);
    assert_int_equal(limit, 1);
    REFUSED(kv_take_limit(SLICE_LIT("0"), &limit, &err), STATUS_KVINVALID,
            "Invalid key_count_limit of 0. Please specify an integer greater than 0.");
    REFUSED(kv_take_limit(SLICE_LIT("1001"), &limit, &err), STATUS_KVINVALID,
            "Invalid key_count_limit of 1001. Please specify an integer less than 1000.");
    assert_int_equal(kv_check_cache_ttl(SLICE_LIT("30"), &err), STATUS_OK);
    REFUSED(kv_check_cache_ttl(SLICE_LIT("29"), &err), STATUS_KVINVALID,
            "Invalid cache_ttl of 29. Cache TTL must be at least 30.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(sizes),
        cmocka_unit_test(times),
        cmocka_unit_test(lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
