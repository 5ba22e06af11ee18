/* databases.h - the handlers for databases as objects: create, list, get, change, delete, time travel. */
#ifndef DIONE_D1_DATABASES_H
#define DIONE_D1_DATABASES_H

struct http_request;

void databases_create(struct http_request *req);
void databases_list(struct http_request *req);
void databases_get(struct http_request *req);
void databases_update(struct http_request *req); /* PATCH and PUT */
void databases_delete(struct http_request *req);
void databases_bookmark(struct http_request *req);
void databases_restore(struct http_request *req);

#endif
