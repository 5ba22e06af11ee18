/* cron.c - see cron.h. */
#include "workers/cron.h"

#include <stdio.h>
#include <time.h>

struct field {
    const char *name;
    unsigned min, max;
    const char *names; /* three letters each, for min and up; NULL: none */
};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, N_FIELDS };

static const struct field fields[N_FIELDS] = {
    [MINUTE] = { "minute", 0, 59, NULL },
    [HOUR] = { "hour", 0, 23, NULL },
    [DAY] = { "day of the month", 1, 31, NULL },
    [MONTH] = { "month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC" },
    [WEEKDAY] = { "day of the week", 1, 7, "SUNMONTUEWEDTHUFRISAT" },
};

/* ---- values ---- */

static bool read_name(struct slice s, const struct field *f, unsigned *ret)
{
    for (unsigned v = f->min; f->names && v <= f->max; v++)
        if (slice_eq_nocase(s, slice_of(f->names + (size_t)(v - f->min) * 3, 3))) {
            *ret = v;
            return true;
        }
    return false;
}

static bool read_number(struct slice s, unsigned min, unsigned max, unsigned *ret)
{
    uint64_t v;

    if (s.len > 2 || !slice_to_u64(s, max, &v) || v < min)
        return false;
    *ret = (unsigned)v;
    return true;
}

static bool read_value(struct slice s, const struct field *f, unsigned *ret)
{
    return read_name(s, f, ret) || read_number(s, f->min, f->max, ret);
}

/* VALUE, VALUE-VALUE, each with or without a step; or a star with a step. */
static bool read_item(struct slice item, const struct field *f, uint64_t *set)
{
    struct slice step_text = item, range = slice_cut(&step_text, '/'), end_text = range;
    struct slice start_text = slice_cut(&end_text, '-');
    unsigned start = f->min, end = f->max, step = 1, n = f->max - f->min + 1;

    if (step_text.ptr && !read_number(step_text, 1, f->max - f->min, &step))
        return false;
    if (slice_eq(range, SLICE_LIT("*"))) {
        if (!step_text.ptr)
            return false; /* a star in a list is no list */
    } else {
        if (!read_value(start_text, f, &start))
            return false;
        if (end_text.ptr && !read_value(end_text, f, &end))
            return false;
        if (!end_text.ptr && !step_text.ptr)
            end = start;
    }
    /* 50-10 goes over the end and begins anew. */
    unsigned length = (end + n - start) % n;
    for (unsigned i = 0; i <= length; i += step)
        *set |= 1ULL << (f->min + (start - f->min + i) % n);
    return true;
}

static bool is_star(struct slice s)
{
    return slice_eq(s, SLICE_LIT("*")) || slice_eq(s, SLICE_LIT("?"));
}

static bool read_set(struct slice text, const struct field *f, uint64_t *ret)
{
    uint64_t set = 0;

    if (is_star(text)) {
        for (unsigned v = f->min; v <= f->max; v++)
            set |= 1ULL << v;
        *ret = set;
        return true;
    }
    while (text.ptr)
        if (!read_item(slice_cut(&text, ','), f, &set))
            return false;
    *ret = set;
    return true;
}

/* ---- days ---- */

static bool ends_with(struct slice *s, char c)
{
    if (!s->len || (s->ptr[s->len - 1] | 0x20) != (c | 0x20))
        return false;
    s->len--;
    return true;
}

static bool read_plain_days(struct slice text, const struct field *f, struct cron_days *ret)
{
    uint64_t set;

    if (is_star(text)) {
        *ret = (struct cron_days){ .kind = CRON_ANY };
        return true;
    }
    if (!read_set(text, f, &set))
        return false;
    *ret = (struct cron_days){ .kind = CRON_SET, .days = (uint32_t)set };
    return true;
}

/* L, L-n, LW, L-nW, nW */
static bool read_days_of_month(struct slice text, struct cron_days *ret)
{
    struct slice rest = text;
    bool working = ends_with(&rest, 'w');
    unsigned n = 0;

    if (rest.len && (rest.ptr[0] | 0x20) == 'l') {
        struct slice offset = slice_from(rest, 1);
        if (offset.len && (offset.ptr[0] != '-' || !read_number(slice_from(offset, 1), 1, 30, &n)))
            return false;
        *ret = (struct cron_days){ .kind = working ? CRON_LAST_WORKING : CRON_LAST, .n = (int)n };
        return true;
    }
    if (!working)
        return read_plain_days(text, &fields[DAY], ret);
    if (!read_number(rest, 1, 31, &n))
        return false;
    *ret = (struct cron_days){ .kind = CRON_WORKING, .n = (int)n };
    return true;
}

/* nL, L, n#m */
static bool read_days_of_week(struct slice text, struct cron_days *ret)
{
    struct slice nth_text = text, day_text = slice_cut(&nth_text, '#'), last = text;
    unsigned day = fields[WEEKDAY].max, nth;

    if (nth_text.ptr) {
        if (!read_value(day_text, &fields[WEEKDAY], &day) || !read_number(nth_text, 1, 5, &nth))
            return false;
        *ret = (struct cron_days){ .kind = CRON_NTH, .n = (int)day, .nth = (int)nth };
        return true;
    }
    if (!ends_with(&last, 'l'))
        return read_plain_days(text, &fields[WEEKDAY], ret);
    if (!last.len) { /* the last day of the week, each week */
        *ret = (struct cron_days){ .kind = CRON_SET, .days = 1U << day };
        return true;
    }
    if (!read_value(last, &fields[WEEKDAY], &day))
        return false;
    *ret = (struct cron_days){ .kind = CRON_LAST, .n = (int)day };
    return true;
}

/* ---- all of it ---- */

/* Up to a space or tab. */
static struct slice cut_word(struct slice *rest)
{
    size_t n = 0;

    while (n < rest->len && rest->ptr[n] != ' ' && rest->ptr[n] != '\t')
        n++;
    struct slice word = slice_of(rest->ptr, n);
    *rest = n < rest->len ? slice_from(*rest, n + 1) : SLICE_NONE;
    return word;
}

static enum status split(struct slice text, struct slice ret[N_FIELDS], struct error *err)
{
    struct slice rest = slice_trim(text);
    int n = 0;

    while (rest.ptr && n <= N_FIELDS) {
        struct slice word = cut_word(&rest);
        if (!word.len)
            continue; /* several spaces */
        if (n < N_FIELDS)
            ret[n] = word;
        n++;
    }
    if (n == N_FIELDS)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, 0,
                     "The cron '%.*s' must have five fields: minute, hour, day of the month, month, day of the week",
                     SLICE_FMT(text));
}

static enum status refuse(struct slice text, struct slice word, const struct field *f, struct error *err)
{
    return error_set(err, STATUS_INVALID, 0, "The cron '%.*s' is wrong in its %s: '%.*s'. Values go from %u to %u%s",
                     SLICE_FMT(text), f->name, SLICE_FMT(word), f->min, f->max,
                     f == &fields[WEEKDAY] ? ", or from SUN to SAT; 1 is Sunday" : "");
}

enum status cron_parse(struct slice text, struct cron *ret, struct error *err)
{
    struct slice words[N_FIELDS];
    uint64_t hours, months;
    struct cron c;

    if (text.len > CRON_MAX_LEN)
        return error_set(err, STATUS_INVALID, 0, "A cron has at most %d characters", CRON_MAX_LEN);
    enum status st = split(text, words, err);
    if (st != STATUS_OK)
        return st;
    if (!read_set(words[MINUTE], &fields[MINUTE], &c.minutes))
        return refuse(text, words[MINUTE], &fields[MINUTE], err);
    if (!read_set(words[HOUR], &fields[HOUR], &hours))
        return refuse(text, words[HOUR], &fields[HOUR], err);
    if (!read_days_of_month(words[DAY], &c.of_month))
        return refuse(text, words[DAY], &fields[DAY], err);
    if (!read_set(words[MONTH], &fields[MONTH], &months))
        return refuse(text, words[MONTH], &fields[MONTH], err);
    if (!read_days_of_week(words[WEEKDAY], &c.of_week))
        return refuse(text, words[WEEKDAY], &fields[WEEKDAY], err);
    c.hours = (uint32_t)hours;
    c.months = (uint32_t)months;
    *ret = c;
    return STATUS_OK;
}

/* ---- when ---- */

static int days_in_month(const struct tm *t)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year = t->tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[t->tm_mon] + (t->tm_mon == 1 && leap);
}

/* Monday to Friday, nearest to `day` and in the same month. */
static int working_day_near(const struct tm *t, int day)
{
    int last = days_in_month(t);
    int weekday = ((t->tm_wday + day - t->tm_mday) % 7 + 7) % 7; /* 0: Sunday */

    if (weekday == 6)
        return day == 1 ? 3 : day - 1;
    if (weekday == 0)
        return day == last ? day - 2 : day + 1;
    return day;
}

static bool month_day_is_due(const struct cron_days *d, const struct tm *t)
{
    int last = days_in_month(t);

    switch (d->kind) {
    case CRON_SET:
        return d->days >> t->tm_mday & 1;
    case CRON_LAST:
        return t->tm_mday == last - d->n;
    case CRON_LAST_WORKING:
        return last - d->n >= 1 && t->tm_mday == working_day_near(t, last - d->n);
    case CRON_WORKING:
        return d->n <= last && t->tm_mday == working_day_near(t, d->n);
    case CRON_ANY:
    case CRON_NTH:
        break;
    }
    return true;
}

static bool weekday_is_due(const struct cron_days *d, const struct tm *t)
{
    int weekday = t->tm_wday + 1;

    switch (d->kind) {
    case CRON_SET:
        return d->days >> weekday & 1;
    case CRON_LAST:
        return weekday == d->n && t->tm_mday + 7 > days_in_month(t);
    case CRON_NTH:
        return weekday == d->n && (t->tm_mday - 1) / 7 + 1 == d->nth;
    case CRON_ANY:
    case CRON_LAST_WORKING:
    case CRON_WORKING:
        break;
    }
    return true;
}

bool cron_is_due(const struct cron *c, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;

    if (!gmtime_r(&seconds, &t) || !(c->minutes >> t.tm_min & 1) || !(c->hours >> t.tm_hour & 1) ||
        !(c->months >> (t.tm_mon + 1) & 1))
        return false;
    if (c->of_month.kind == CRON_ANY)
        return weekday_is_due(&c->of_week, &t);
    if (c->of_week.kind == CRON_ANY)
        return month_day_is_due(&c->of_month, &t);
    return month_day_is_due(&c->of_month, &t) || weekday_is_due(&c->of_week, &t);
}

bool cron_minute_is_new(int64_t minute_ms, int64_t last_ms)
{
    return minute_ms > last_ms || last_ms - minute_ms > 60 * 1000;
}
