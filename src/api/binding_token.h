/*
 * binding_token.h - what workerd sends with the requests of a Worker's binding: a token for that one resource.
 *
 * A Worker's own code can get at the requests of its bindings and repeat them with another path. So what it finds there must
 * be good for nothing that the Worker does not have anyway.
 *
 * A token is HMAC-SHA256 of the binding's header and its value under a key that the server makes at its start. Any thread.
 */
#ifndef DIONE_API_BINDING_TOKEN_H
#define DIONE_API_BINDING_TOKEN_H

#include "base/slice.h"
#include "base/digest.h"

enum { BINDING_TOKEN_LEN = SHA256_HEX_LEN };

/* As a resource: all that the header may name. For Dione's own requests; no Worker gets it. */
#define BINDING_ANY "*"

void binding_token(const char *key, const char *header, struct slice resource, char ret[BINDING_TOKEN_LEN + 1]);
/* Whether `secret` is the token for it. Remembers, in each thread, what it worked out last. */
bool binding_token_is_good(const char *key, const char *header, struct slice resource, struct slice secret);

#endif
