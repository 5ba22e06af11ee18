/* graphql.h - POST graphql: the two questions that `wrangler d1 info` and `wrangler d1 insights` ask. Loop thread. */
#ifndef DIONE_D1_GRAPHQL_H
#define DIONE_D1_GRAPHQL_H

struct http_request;

void graphql_post(struct http_request *req);

#endif
