/* router.h - matches a path against the route table. Pure: any thread. */
#ifndef DIONE_HTTP_ROUTER_H
#define DIONE_HTTP_ROUTER_H

#include "http/http.h"

/*
 * Finds the first route that fits method and path (leading '/' and `prefix` are skipped), and fills ret_params with the
 * decoded ":name" segments (copied to the arena only when they hold escapes). NULL: none; then *ret_path_known says
 * whether another method would have fitted.
 */
const struct http_route *router_match(const struct http_route *routes, const char *prefix, enum http_method method,
                                      struct slice path, struct arena *a, struct slice ret_params[HTTP_MAX_PARAMS],
                                      bool *ret_path_known);

#endif
