/* clock.c - see clock.h. Calendar arithmetic is by the civil-day count, so no time zone state of the C library is used. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void clock_iso(int64_t wall_ms, char ret_text[CLOCK_ISO_LEN + 1])
{
    int ms = (int)(wall_ms % 1000);
    struct tm tm;

    if (ms < 0)
        ms += 1000; /* before 1970: the second that it lies in is the earlier one */
    time_t seconds = (time_t)((wall_ms - ms) / 1000);

    gmtime_r(&seconds, &tm);
    size_t n = strftime(ret_text, CLOCK_ISO_LEN + 1, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text + n, CLOCK_ISO_LEN + 1 - n, ".%03dZ", ms);
}

/* Takes exactly n digits. */
static bool take_digits(struct slice *s, size_t n, int *ret)
{
    int v = 0;

    if (s->len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->ptr[i] < '0' || s->ptr[i] > '9')
            return false;
        v = v * 10 + (s->ptr[i] - '0');
    }
    *s = slice_from(*s, n);
    *ret = v;
    return true;
}

static bool take_char(struct slice *s, const char *any_of)
{
    if (!s->len || !s->ptr[0] || !strchr(any_of, s->ptr[0]))
        return false;
    *s = slice_from(*s, 1);
    return true;
}

static bool take_offset(struct slice *s, int *ret_minutes)
{
    int hours, minutes = 0, sign = 1;

    *ret_minutes = 0;
    if (!s->len || take_char(s, "Zz"))
        return true;
    if (s->ptr[0] == '-')
        sign = -1;
    if (!take_char(s, "+-") || !take_digits(s, 2, &hours))
        return false;
    bool colon = take_char(s, ":"); /* optional */
    if ((colon || s->len) && !take_digits(s, 2, &minutes))
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return hours < 24 && minutes < 60;
}

static bool take_clock(struct slice *s, int64_t *ret_ms)
{
    int hour, minute, second = 0, fraction = 0;

    if (!take_digits(s, 2, &hour) || !take_char(s, ":") || !take_digits(s, 2, &minute))
        return false;
    if (take_char(s, ":") && !take_digits(s, 2, &second))
        return false;
    if (take_char(s, ".")) {
        int scale = 100, n = 0;
        for (int digit; take_digits(s, 1, &digit); n++, scale /= 10)
            fraction += digit * scale;
        if (n == 0)
            return false;
    }
    *ret_ms = ((hour * 60 + minute) * 60 + second) * (int64_t)1000 + fraction;
    return hour < 24 && minute < 60 && second < 61;
}

static bool date_is_valid(int year, int month, int day)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    if (month < 1 || month > 12 || day < 1)
        return false;
    return day <= days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 of a Gregorian date; March-based years put the leap day last. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

bool clock_parse_iso(struct slice text, int64_t *ret_wall_ms)
{
    int year, month, day, offset = 0;
    int64_t in_day_ms = 0;
    struct slice s = slice_trim(text);

    if (!take_digits(&s, 4, &year) || !take_char(&s, "-") || !take_digits(&s, 2, &month) || !take_char(&s, "-") ||
        !take_digits(&s, 2, &day) || !date_is_valid(year, month, day))
        return false;
    if (s.len && (!take_char(&s, "Tt ") || !take_clock(&s, &in_day_ms) || !take_offset(&s, &offset)))
        return false;
    if (s.len)
        return false;
    *ret_wall_ms = days_from_civil(year, month, day) * 86400000 + in_day_ms - (int64_t)offset * 60000;
    return true;
}
