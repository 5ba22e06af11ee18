/* tail_print.h - one event of a Worker's tail, for people. Pure but for the time zone. */
#ifndef DIONE_CLI_TAIL_PRINT_H
#define DIONE_CLI_TAIL_PRINT_H

#include "base/json.h"

/*
 * Appends its lines: "GET http://... - Ok @ 2026-11-21 08:00:00", then what it logged and threw. Control characters come out
 * as escapes, so that no request can steer the terminal.
 */
void tail_append_event(struct buf *out, const struct json *event);

#endif
