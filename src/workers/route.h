/*
 * route.h - route patterns as Cloudflare has them: "[http[s]://]HOST/PATH". Pure.
 *
 * HOST may begin with "*." (every name below) or "*" (that name too, and every name that ends so); PATH may end with "*".
 * No other "*". Without a path, "/" is meant. The query takes no part; a port takes part only when the pattern has one.
 */
#ifndef DIONE_WORKERS_ROUTE_H
#define DIONE_WORKERS_ROUTE_H

#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>

enum { ROUTE_MAX_LEN = 1024 };

struct route {
    struct slice host, path; /* without their stars; point into the pattern */
    bool any_host_start, any_path_end, has_port;
    bool needs_scheme, needs_https;
};

/* INVALID says what is wrong with the pattern. */
enum status route_parse(struct slice pattern, struct route *ret, struct error *err) MUST_CHECK;
/* `host` as in the Host header, port included. */
bool route_matches(const struct route *r, bool is_https, struct slice host, struct slice path);
/* < 0: a is the more specific one and goes before b. Of two that match the same request never 0 unless they are equal. */
int route_compare(const struct route *a, const struct route *b);

#endif
