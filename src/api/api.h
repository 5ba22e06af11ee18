/*
 * api.h - what the handlers of all APIs share: the application's state, and the way from a path to a database.
 *
 * Handlers are named after their route (control/routes.c has the table). Each answers exactly once.
 */
#ifndef DIONE_API_API_H
#define DIONE_API_API_H

#include "http/envelope.h"
#include "http/http.h"
#include "metrics/metrics.h"
#include "store/store.h"
#include "store/tokens.h"

struct asset_server;
struct kv;
struct transfers;
struct workers;

/* http_request.app. Lives as long as the server. */
struct api {
    struct store *store;
    struct tokens *tokens;
    struct token_cache *token_caches; /* one a loop */
    struct metrics *metrics;
    struct transfers *transfers;
    struct workers *_Atomic workers; /* NULL: this server runs none, or not yet */
    struct asset_server *assets;     /* never NULL: `dione dev` has assets without the above */
    char binding_key[TOKEN_LEN + 1]; /* of binding_token.h; random, new at each start */
    struct kv *kv;
};

/* Parsing a larger body would hold up a loop for a millisecond: a pool does it. */
enum { API_LARGE_BODY_BYTES = 512 * 1024 };

enum api_right { API_READ, API_WRITE };

static inline struct api *api_of(const struct http_request *req)
{
    return req->app;
}

/*
 * The database that params[1] names (by id or name), if the token may do `right` with it. NULL: it has answered 404 or 403.
 * Otherwise the caller owns a reference.
 */
struct database *api_database(struct http_request *req, enum api_right right) MUST_CHECK;
/* The same by any name, with the error in *err instead of an answer. */
struct database *api_find_database(struct http_request *req, struct slice id_or_name, enum api_right right,
                                   struct error *err) MUST_CHECK;
/* Whether the token may do `right` with the account as a whole. False: it has answered. */
bool api_account(struct http_request *req, enum api_right right) MUST_CHECK;
/* Keeps the request for after the handler, and parses its body. False: it has answered. */
bool api_keep_body(struct http_request *req, const struct json **ret) MUST_CHECK;
/* Answers with an error made on the spot. */
void api_fail(struct http_request *req, enum status st, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
