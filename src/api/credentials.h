/* credentials.h - where clients put their token. */
#ifndef DIONE_API_CREDENTIALS_H
#define DIONE_API_CREDENTIALS_H

#include "http/http.h"

/*
 * The secret in Authorization: Bearer, X-API-Key, X-Auth-Key (wrangler's and the SDK's global API key; X-Auth-Email beside
 * it says nothing new) or X-Auth-User-Service-Key. The first of them that is there decides, even when it is malformed. The absent slice: none.
 * Points into the request.
 */
struct slice credentials_secret(const struct http_request *req);

#endif
