/* call.h - what the handlers of src/workers share: the way to the job pool, bodies, and the objects in their answers. */
#ifndef DIONE_WORKERS_CALL_H
#define DIONE_WORKERS_CALL_H

#include "workers/workers.h"

/* Runs work on workers_pool, if the token may do `right` with the account. Loop thread. */
void worker_call(struct http_request *req, enum api_right right, enum status (*work)(struct blocking_call *call));
/* For work that waits for a Worker, which may take its time: other calls do not wait behind it. */
void worker_call_waiting(struct http_request *req, enum api_right right,
                         enum status (*work)(struct blocking_call *call));
/* The same with an answer of its own. */
void worker_call_then(struct http_request *req, enum api_right right, enum status (*work)(struct blocking_call *call),
                      void (*then)(struct blocking_call *call));
/* Runs fn under the lock of the Worker that params[1] names. */
enum status call_locked(struct blocking_call *call, enum status (*fn)(struct blocking_call *call)) MUST_CHECK;

static inline struct workers *workers_of(const struct blocking_call *call)
{
    return api_of(call->req)->workers;
}

/* The Worker that params[1] names. In work, as all that follows. */
enum status call_worker(struct blocking_call *call, struct worker **ret) MUST_CHECK;
/* The body as JSON of the type that is wanted. INVALID. */
enum status call_body(struct blocking_call *call, enum json_type want, const struct json **ret) MUST_CHECK;
enum status call_invalid(struct blocking_call *call, const char *what);
/* What made a change, as the API names it: from the User-Agent. */
struct slice call_source(struct blocking_call *call);

/* ,"key":"2026-01-31T12:00:00.000000Z" */
void write_time(struct buf *b, const char *key, int64_t ms);
/* A version; `full`: with its resources. */
void write_version(struct buf *b, const struct version *v, bool full);
void write_deployment(struct buf *b, const struct deployment *d);
/* The members of a script object behind its id; the object stays open. */
void write_script(struct buf *b, const struct worker *w, const struct version *v);

#endif
