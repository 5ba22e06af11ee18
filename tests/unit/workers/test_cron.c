/* Cron expressions: when they are due, and what is refused. */
#include "../testing.h"

#include "base/clock.h"
#include "workers/cron.h"

static bool is_due(const char *text, const char *when)
{
    struct cron c;
    struct error err;
    int64_t ms;

    if (cron_parse(slice_cstr(text), &c, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    assert_true(clock_parse_iso(slice_cstr(when), &ms));
    return cron_is_due(&c, ms);
}

#define DUE(cron, when) assert_true(is_due(cron, when))
#define NOT_DUE(cron, when) assert_false(is_due(cron, when))

static void minutes_hours_and_months_are_sets(void **state UNUSED)
{
    DUE("* * * * *", "2026-11-21T07:46:00Z");
    DUE("*/5 * * * *", "2026-11-21T07:45:59Z");
    NOT_DUE("*/5 * * * *", "2026-11-21T07:46:00Z");
    DUE("3-59/15 * * * *", "2026-11-21T07:18:00Z");
    NOT_DUE("3-59/15 * * * *", "2026-11-21T07:15:00Z");
    DUE("5/20 * * * *", "2026-11-21T07:45:00Z");
    NOT_DUE("5/20 * * * *", "2026-11-21T07:40:00Z");
    DUE("1,10-20/5,50 7 * * *", "2026-11-21T07:15:00Z");
    DUE("1,10-20/5,50 7 * * *", "2026-11-21T07:50:00Z");
    NOT_DUE("1,10-20/5,50 7 * * *", "2026-11-21T07:11:00Z");
    NOT_DUE("1,10-20/5,50 7 * * *", "2026-11-21T08:15:00Z");
    DUE("50-10 * * * *", "2026-11-21T07:05:00Z");
    DUE("50-10 * * * *", "2026-11-21T07:55:00Z");
    NOT_DUE("50-10 * * * *", "2026-11-21T07:30:00Z");
    DUE("0 22-2/2 * * *", "2026-11-21T00:00:00Z");
    NOT_DUE("0 22-2/2 * * *", "2026-11-21T01:00:00Z");
    DUE("0 0 1 JAN *", "2027-01-01T00:00:00Z");
    DUE("0 0 1 jan-mar/2 *", "2027-03-01T00:00:00Z");
    NOT_DUE("0 0 1 jan-mar/2 *", "2027-02-01T00:00:00Z");
    DUE("0 0 * 11-1 *", "2026-12-05T00:00:00Z");
}

static void weekdays_begin_with_sunday_as_one(void **state UNUSED)
{
    DUE("0 0 * * 1", "2026-11-22T00:00:00Z");
    DUE("0 0 * * SUN", "2026-11-22T00:00:00Z");
    DUE("0 0 * * 7", "2026-11-21T00:00:00Z");
    DUE("0 0 * * mon-FRI", "2026-11-20T00:00:00Z");
    NOT_DUE("0 0 * * mon-FRI", "2026-11-21T00:00:00Z");
    DUE("0 0 * * FRI-MON", "2026-11-23T00:00:00Z");
    NOT_DUE("0 0 * * FRI-MON", "2026-11-24T00:00:00Z");
    DUE("0 0 ? * 2", "2026-11-23T00:00:00Z");
}

static void the_last_days_of_a_month_follow_its_length(void **state UNUSED)
{
    DUE("0 0 L * *", "2026-02-28T00:00:00Z");
    DUE("0 0 L * *", "2028-02-29T00:00:00Z");
    NOT_DUE("0 0 L * *", "2028-02-28T00:00:00Z");
    NOT_DUE("0 0 L * *", "2000-02-28T00:00:00Z");
    DUE("0 0 L * *", "2100-02-28T00:00:00Z");
    DUE("0 0 l-3 * *", "2026-04-27T00:00:00Z");
    DUE("0 0 LW * *", "2026-02-27T00:00:00Z"); /* the 28th is a Saturday */
    DUE("0 0 LW * *", "2026-05-29T00:00:00Z"); /* the 31st is a Sunday */
    DUE("0 0 L-1W * *", "2026-05-29T00:00:00Z");
    DUE("0 0 * * 6L", "2026-11-27T00:00:00Z");
    NOT_DUE("0 0 * * 6L", "2026-11-20T00:00:00Z");
    DUE("0 0 * * friL", "2026-11-27T00:00:00Z");
    DUE("0 0 * * L", "2026-11-28T00:00:00Z"); /* any Saturday */
    DUE("0 0 * * L", "2026-11-21T00:00:00Z");
    DUE("0\t0 \t* * 7L", "2026-11-28T00:00:00Z");
}

static void working_days_stay_in_their_month(void **state UNUSED)
{
    DUE("0 0 15W * *", "2026-11-16T00:00:00Z"); /* the 15th is a Sunday */
    NOT_DUE("0 0 15W * *", "2026-11-15T00:00:00Z");
    DUE("0 0 21W * *", "2026-11-20T00:00:00Z"); /* a Saturday */
    DUE("0 0 18w * *", "2026-11-18T00:00:00Z");
    DUE("0 0 1W * *", "2026-08-03T00:00:00Z");  /* the 1st is a Saturday: not back into July */
    DUE("0 0 31W * *", "2026-05-29T00:00:00Z"); /* the 31st is a Sunday: not on into June */
    for (int day = 1; day <= 30; day++) {
        char when[32];
        snprintf(when, sizeof(when), "2026-11-%02dT00:00:00Z", day);
        NOT_DUE("0 0 31W * *", when);
    }
}

static void the_nth_weekday_of_a_month_is_counted(void **state UNUSED)
{
    DUE("0 0 * * 2#3", "2026-11-16T00:00:00Z");
    NOT_DUE("0 0 * * 2#3", "2026-11-23T00:00:00Z");
    DUE("0 0 * * MON#5", "2026-11-30T00:00:00Z");
    DUE("0 0 * * 1#1", "2026-11-01T00:00:00Z");
}

static void a_day_and_a_weekday_are_alternatives(void **state UNUSED)
{
    DUE("0 0 13 * 6", "2026-11-13T00:00:00Z");
    DUE("0 0 13 * 6", "2026-11-20T00:00:00Z");
    DUE("0 0 13 * 6", "2026-10-13T00:00:00Z");
    NOT_DUE("0 0 13 * 6", "2026-11-21T00:00:00Z");
}

static void a_clock_that_was_set_back_is_believed(void **state UNUSED)
{
    int64_t minute = 60 * 1000;

    assert_true(cron_minute_is_new(100 * minute, 99 * minute));
    assert_true(cron_minute_is_new(200 * minute, 99 * minute));
    assert_false(cron_minute_is_new(100 * minute, 100 * minute));
    assert_false(cron_minute_is_new(99 * minute, 100 * minute));
    assert_true(cron_minute_is_new(98 * minute, 100 * minute));
}

static void anything_else_is_refused_with_its_field(void **state UNUSED)
{
    static const char *const wrong[][2] = {
        { "", "five fields" },
        { "* * * *", "five fields" },
        { "* * * * * *", "five fields" },
        { "60 * * * *", "minute" },
        { "-1 * * * *", "minute" },
        { "*/0 * * * *", "minute" },
        { "*/60 * * * *", "minute" },
        { "1, * * * *", "minute" },
        { ",1 * * * *", "minute" },
        { "1-2-3 * * * *", "minute" },
        { "1/2/3 * * * *", "minute" },
        { "*,1 * * * *", "minute" },
        { "x * * * *", "minute" },
        { "* 24 * * *", "hour" },
        { "* * 0 * *", "day of the month" },
        { "* * 32 * *", "day of the month" },
        { "* * L-31 * *", "day of the month" },
        { "* * L,1 * *", "day of the month" },
        { "* * 1,15W * *", "day of the month" },
        { "* * W * *", "day of the month" },
        { "* * * 13 *", "month" },
        { "* * * JANU *", "month" },
        { "* * * * 0", "1 is Sunday" },
        { "* * * * 8", "day of the week" },
        { "* * * * 1#6", "day of the week" },
        { "* * * * #1", "day of the week" },
        { "* * * * 1#2,3", "day of the week" },
    };
    struct cron c;
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (cron_parse(slice_cstr(wrong[i][0]), &c, &err) != STATUS_INVALID || !strstr(err.msg, wrong[i][1]))
            fail_msg("'%s' should be refused for its %s", wrong[i][0], wrong[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minutes_hours_and_months_are_sets),
        cmocka_unit_test(weekdays_begin_with_sunday_as_one),
        cmocka_unit_test(the_last_days_of_a_month_follow_its_length),
        cmocka_unit_test(working_days_stay_in_their_month),
        cmocka_unit_test(the_nth_weekday_of_a_month_is_counted),
        cmocka_unit_test(a_day_and_a_weekday_are_alternatives),
        cmocka_unit_test(a_clock_that_was_set_back_is_believed),
        cmocka_unit_test(anything_else_is_refused_with_its_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
