/* clock.h - the two clocks, and ISO 8601 text. Any thread. */
#ifndef DIONE_BASE_CLOCK_H
#define DIONE_BASE_CLOCK_H

#include "base/attrs.h"
#include "base/slice.h"

/* Monotonic, ns since some fixed moment: for durations and deadlines. */
int64_t clock_mono_ns(void);
/* Wall clock, ms since 1970-01-01T00:00:00Z. */
int64_t clock_wall_ms(void);

enum { CLOCK_ISO_LEN = 24 };
/* Writes "2026-11-21T02:48:30.123Z" and a NUL. */
void clock_iso(int64_t wall_ms, char ret_text[CLOCK_ISO_LEN + 1]);
/* Reads a date, or a date and time with optional seconds, fraction and offset ("Z", "+01:00"; none means UTC). */
bool clock_parse_iso(struct slice text, int64_t *ret_wall_ms) MUST_CHECK;

#endif
