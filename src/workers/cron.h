/*
 * cron.h - cron expressions as Cloudflare takes them. Pure; all times are UTC.
 *
 * Five fields: minute 0-59, hour 0-23, day of month 1-31, month 1-12 or JAN-DEC, weekday 1-7 or SUN-SAT (1 is Sunday). Each
 * is "*" or a list of values, ranges (which may wrap around) and steps: "1,10-20/5,50-10". Besides, alone in their field:
 *   day of month: L (last), L-3 (three days before it), LW (last weekday), L-3W and 15W (the weekday nearest to that day)
 *   weekday:      6L (the last Friday), L (Saturday), 2#3 (the third Monday)
 * With both a day of month and a weekday, either is enough.
 */
#ifndef DIONE_WORKERS_CRON_H
#define DIONE_WORKERS_CRON_H

#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>

enum { CRON_MAX_LEN = 199 };

enum cron_day_kind {
    CRON_ANY,
    CRON_SET,          /* `days` */
    CRON_LAST,         /* `n` days before the end of the month; or the last weekday `n` of the month */
    CRON_LAST_WORKING, /* the working day nearest to that */
    CRON_WORKING,      /* the working day nearest to day `n` */
    CRON_NTH,          /* weekday `n`, the `nth` in the month */
};

struct cron_days {
    enum cron_day_kind kind;
    uint32_t days; /* bit 1: the first; weekdays: bit 1 is Sunday */
    int n, nth;
};

struct cron {
    uint64_t minutes;
    uint32_t hours;
    uint32_t months; /* bit 1: January */
    struct cron_days of_month, of_week;
};

/* INVALID says which field is wrong, and how. */
enum status cron_parse(struct slice text, struct cron *ret, struct error *err) MUST_CHECK;
/* Whether it is due in the minute that `wall_ms` is in. */
bool cron_is_due(const struct cron *c, int64_t wall_ms);
/*
 * Whether what is due in the minute that begins at `minute_ms` is to be run, when the last one that was is `last_ms`. Not
 * when the clock was woken a moment early or corrected by a little; but a clock that was set back is believed.
 */
bool cron_minute_is_new(int64_t minute_ms, int64_t last_ms);

#endif
