/* routes.h - the route table of the whole server, and the hook that guards it. */
#ifndef DIONE_CONTROL_ROUTES_H
#define DIONE_CONTROL_ROUTES_H

#include "http/http.h"

/* Ends with a NULL pattern. Handlers expect a struct api as http_request.app. */
extern const struct http_route routes[];

/* http_options.routes_by_header: requests of a Worker's bindings have tables of their own. */
const struct http_route *routes_by_header(const struct http_request *req);
/* http_options.admit: every route needs a valid token but those marked public. Also checks the account of the path. */
bool routes_admit(struct http_request *req);
/* http_options.fail: in the form that the client reads. */
void routes_fail(struct http_request *req, const struct error *err);

#endif
