/* query.h - the handlers that run SQL: query and raw, and interactive transactions. */
#ifndef DIONE_D1_QUERY_H
#define DIONE_D1_QUERY_H

struct http_request;

void query_objects(struct http_request *req); /* POST .../query */
void query_arrays(struct http_request *req);  /* POST .../raw */
void transaction_begin(struct http_request *req);
void transaction_query(struct http_request *req);
void transaction_raw(struct http_request *req);
void transaction_commit(struct http_request *req);
void transaction_rollback(struct http_request *req);

#endif
