/*
 * binding.h - what a Worker's env.DB talks to: workerd's D1 binding protocol.
 *
 * workerd's service for the binding adds a header with the database's id to every request; control/routes.c leads such
 * requests here. Answers are JSON: an array with one result an entry, or one failure object for the whole request.
 *
 * Sessions: a request may say in the header D1_SESSION_HEADER how fresh its answer must be, and a successful answer then
 * carries the bookmark of what it has seen in the same header. A bookmark of this database is waited for, up to
 * BINDING_BOOKMARK_WAIT_MS: it can only be ahead when the database's files were replaced by older ones. Everything
 * else ("first-primary", "first-unconstrained", a bookmark that another server has given out, as browsers keep them
 * when an application moves, other text) is answered from the current state, since there is no newer one anywhere.
 *
 * Loop thread; each handler answers exactly once.
 */
#ifndef DIONE_D1_BINDING_H
#define DIONE_D1_BINDING_H

#include "base/error.h"

#define D1_BINDING_HEADER "x-d1-database-id"
#define D1_SESSION_HEADER "x-cf-d1-session-commit-token"

enum { BINDING_BOOKMARK_WAIT_MS = 2000, BINDING_READS_BODY_BYTES = 1024 * 1024 };

struct http_request;

void binding_query(struct http_request *req); /* POST /query and /execute, ?resultsFormat= */
/*
 * POST /reads: entries of several requests of a Worker, each for itself: {"success":true,"results":{"columns":...},"meta":...},
 * or {"success":false} for one that is not quickly read, or fails: the Worker asks for that one again alone (workers/js/d1.js).
 */
void binding_reads(struct http_request *req);
void binding_dump(struct http_request *req); /* POST /dump: refused, as D1 does */
/* {"success":false,"error":"..."} */
void binding_error(struct http_request *req, const struct error *err);

#endif
