/*
 * Fuzzes what triggers a Worker: the first line is a cron, the second a route pattern, the third a host and path. A cron that
 * is accepted must be due only in minutes that its fields name; a route that is accepted must not depend on case in the host.
 */
#include "workers/cron.h"
#include "workers/route.h"

#include <ctype.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };

static void check_cron(struct slice text)
{
    struct cron c;
    struct error err;

    if (cron_parse(text, &c, &err) != STATUS_OK)
        return;
    if (!c.minutes || !c.hours || !c.months || c.minutes >> 60 || c.hours >> 24 || c.months & 1 || c.months >> 13)
        abort();
    /* 2026-11-21T00:00Z and on: one day. */
    for (int64_t minute = 0; minute < 24 * 60; minute++) {
        bool due = cron_is_due(&c, 1795219200000 + minute * MINUTE_MS);
        if (due && (!(c.minutes >> minute % 60 & 1) || !(c.hours >> minute / 60 & 1)))
            abort();
    }
}

static void check_route(struct slice pattern, struct slice host, struct slice path)
{
    struct route r;
    struct error err;
    char upper[256];

    if (route_parse(pattern, &r, &err) != STATUS_OK || host.len > sizeof(upper))
        return;
    for (size_t i = 0; i < host.len; i++)
        upper[i] = (char)toupper((unsigned char)host.ptr[i]);
    if (route_matches(&r, false, host, path) != route_matches(&r, false, slice_of(upper, host.len), path))
        abort();
    if (route_compare(&r, &r) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size);
    struct slice cron = slice_cut(&rest, '\n'), pattern = slice_cut(&rest, '\n'), path = rest,
                 host = slice_cut(&path, ' ');

    check_cron(cron);
    check_route(pattern, host, path);
    return 0;
}
