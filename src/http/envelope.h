/*
 * envelope.h - the answer format of Cloudflare's API, and handlers that may block.
 *
 *     {"success":true,"errors":[],"messages":[],"result":...,"result_info":...}
 *     {"success":false,"errors":[{"code":7404,"message":"..."}],"messages":[],"result":null}
 *
 * HTTP status and code come from the error's row in base/error.h.
 */
#ifndef DIONE_HTTP_ENVELOPE_H
#define DIONE_HTTP_ENVELOPE_H

#include "base/json.h"
#include "http/http.h"

/* Everything in front of the result and behind it, for handlers that write the whole answer into one buf. */
extern const struct slice ENVELOPE_OPEN;  /* up to and with "result": */
extern const struct slice ENVELOPE_CLOSE; /* the final brace */

/* Loop thread. `result` and `info` are JSON; an absent slice means null, and no result_info. */
void envelope_ok(struct http_request *req, struct slice result, struct slice info);
void envelope_error(struct http_request *req, const struct error *err);
/* A buf that holds a whole envelope (or any other JSON). Takes it. */
void envelope_send(struct http_request *req, struct buf *whole);

/* Parses the body as a JSON object. False: it has answered with 7400. An empty body is an empty object. */
bool envelope_body(struct http_request *req, const struct json **ret) MUST_CHECK;
/* The same without answering; on any thread, while the request is kept. */
enum status envelope_parse(struct http_request *req, const struct json **ret, struct error *err) MUST_CHECK;

/* {"page":1,"per_page":20,"count":2,"total_count":2,"total_pages":1} */
void envelope_page_info(struct buf *b, size_t page, size_t per_page, size_t count, size_t total);
/* page (from 1) and per_page (1 .. max) from the query string. False: it has answered. */
bool envelope_page(struct http_request *req, size_t default_per_page, size_t max_per_page, size_t *ret_page,
                   size_t *ret_per_page) MUST_CHECK;

/*
 * A handler that blocks: `work` runs on a pool thread, owns the request there (its arena, kept slices) and fills `result` or
 * returns an error; then `then` (NULL: the usual envelope) answers on the loop.
 */
struct blocking_call {
    struct http_request *req;
    enum status (*work)(struct blocking_call *call);
    void (*then)(struct blocking_call *call); /* must answer; the call is freed behind it */
    struct buf result, info;                  /* JSON */
    enum status status;
    struct error err;
    void *arg; /* the handler's own */
    struct job job;
    struct loop_msg msg;
};

/* Keeps the request and queues the work. Answers itself when memory is out. */
void blocking_call(struct http_request *req, struct pool *pool, enum status (*work)(struct blocking_call *call),
                   void (*then)(struct blocking_call *call), void *arg);

#endif
