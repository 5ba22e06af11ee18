/*
 * api.h - the handlers of the account itself: who am I, and the tokens. Named after their routes:
 *
 *     GET    user/tokens/verify                  identity_verify
 *     GET    user                                identity_user
 *     GET    accounts                            identity_accounts
 *     GET    accounts/:account                   identity_account
 *     GET    memberships                         identity_memberships
 *     POST   accounts/:account/dione/tokens      token_create
 *     GET    accounts/:account/dione/tokens      token_list
 *     DELETE accounts/:account/dione/tokens/:id  token_revoke
 *
 * The handlers of a token check that the asking one has full rights. Each answers exactly once. Loop thread.
 */
#ifndef DIONE_CONTROL_API_H
#define DIONE_CONTROL_API_H

struct http_request;

void identity_verify(struct http_request *req);
void identity_user(struct http_request *req);
void identity_accounts(struct http_request *req);
void identity_account(struct http_request *req);
void identity_memberships(struct http_request *req);

void token_create(struct http_request *req);
void token_list(struct http_request *req);
void token_revoke(struct http_request *req);

#endif
