/* ISO 8601 text out and in. */
#include "../testing.h"

#include "base/clock.h"

static int64_t parse(const char *text)
{
    int64_t ms = INT64_MIN;

    return clock_parse_iso(slice_cstr(text), &ms) ? ms : INT64_MIN;
}

static void known_moments_are_written(void **state UNUSED)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1, "1970-01-01T00:00:00.001Z" },
        { 951827696789, "2000-02-29T12:34:56.789Z" },
        { 1795229310123, "2026-11-21T02:48:30.123Z" },
        { 253402300799999, "9999-12-31T23:59:59.999Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { -1000, "1969-12-31T23:59:59.000Z" },
    };
    char text[CLOCK_ISO_LEN + 1];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        clock_iso(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(parse(rows[i].text), rows[i].ms);
    }
}

static void what_is_written_reads_back(void **state UNUSED)
{
    uint64_t seed = test_seed();
    char text[CLOCK_ISO_LEN + 1];

    for (int i = 0; i < 20000; i++) {
        int64_t ms = (int64_t)(test_random(&seed) % 253402300800000ULL);
        clock_iso(ms, text);
        assert_int_equal(strlen(text), CLOCK_ISO_LEN);
        assert_int_equal(parse(text), ms);
    }
}

static void shorter_forms_and_offsets_are_understood(void **state UNUSED)
{
    static const struct {
        const char *text, *same_as;
    } rows[] = {
        { "2026-11-21", "2026-11-21T00:00:00.000Z" },
        { "2026-11-21T02:48", "2026-11-21T02:48:00.000Z" },
        { "2026-11-21 02:48:30", "2026-11-21T02:48:30.000Z" },
        { "2026-11-21t02:48:30z", "2026-11-21T02:48:30.000Z" },
        { " 2026-11-21T02:48:30Z\n", "2026-11-21T02:48:30.000Z" },
        { "2026-11-21T02:48:30.5Z", "2026-11-21T02:48:30.500Z" },
        { "2026-11-21T02:48:30.123456789Z", "2026-11-21T02:48:30.123Z" },
        { "2026-11-21T02:48:30+01:00", "2026-11-21T01:48:30.000Z" },
        { "2026-11-21T02:48:30-0530", "2026-11-21T08:18:30.000Z" },
        { "2026-11-21T02:48:30+01", "2026-11-21T01:48:30.000Z" },
        { "2026-01-01T00:30+01:00", "2025-12-31T23:30:00.000Z" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(parse(rows[i].text), parse(rows[i].same_as));
}

static void what_is_no_moment_is_refused(void **state UNUSED)
{
    static const char *const rows[] = {
        "", " ", "x", "2026", "2026-11", "2026-11-2", "2026-1-21", "2026-13-01", "2026-00-01", "2026-01-00",
        "2026-01-32", "2026-02-29", "2100-02-29", "2026-04-31", "2026-11-21T", "2026-11-21T02", "2026-11-21T02:4",
        "2026-11-21T24:00", "2026-11-21T02:60", "2026-11-21T02:48:61", "2026-11-21T02:48:3", "2026-11-21T02:48:30.",
        "2026-11-21T02:48:30.Z", "2026-11-21T02:48:30ZZ", "2026-11-21T02:48:30+", "2026-11-21T02:48:30+1",
        "2026-11-21T02:48:30+24:00", "2026-11-21T02:48:30+01:60", "2026-11-21T02:48:30+01:", "2026-11-21T02:48:30+01:0",
        "2026-11-21T02:48:30 +01:00", "2026-11-21x02:48", "-026-11-21", "2026-11-21Z", "1795229310123",
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = 77;
        if (clock_parse_iso(slice_cstr(rows[i]), &ms))
            fail_msg("taken: '%s'", rows[i]);
        assert_int_equal(ms, 77);
    }
    assert_false(clock_parse_iso(slice_of("2026-11-21\0", 11), &(int64_t){ 0 }));
}

static void leap_days_are_those_of_the_calendar(void **state UNUSED)
{
    assert_int_equal(parse("2000-02-29"), 951782400000);
    assert_int_equal(parse("2024-03-01") - parse("2024-02-29"), 86400000);
    assert_int_equal(parse("2023-03-01") - parse("2023-02-28"), 86400000);
    assert_int_equal(parse("2100-03-01") - parse("2100-02-28"), 86400000);
    assert_int_equal(parse("0000-03-01") - parse("0000-02-29"), 86400000);
}

static void the_monotonic_clock_never_goes_back(void **state UNUSED)
{
    int64_t last = clock_mono_ns();

    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_wall_ms() > parse("2026-01-01"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_moments_are_written),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(shorter_forms_and_offsets_are_understood),
        cmocka_unit_test(what_is_no_moment_is_refused),
        cmocka_unit_test(leap_days_are_those_of_the_calendar),
        cmocka_unit_test(the_monotonic_clock_never_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
