/*
 * binding.h - the protocol that workerd's KV bindings speak. A request for the namespace of its header x-kv-namespace-id:
 *
 *     GET    /<key>       PUT /<key>       DELETE /<key>       GET /  (a list)       POST /bulk/get
 *
 * What goes wrong is said in the status line's reason phrase, which is all that a Worker sees of it. Loop thread.
 */
#ifndef DIONE_KV_BINDING_H
#define DIONE_KV_BINDING_H

struct http_request;

#define KV_BINDING_HEADER "x-kv-namespace-id"

struct error;

/* http_route.handle of GET and PUT and DELETE of any path, and of POST bulk/get. */
void kv_binding(struct http_request *req);
/* http_route.begin of PUT: large values. */
void kv_binding_begin(struct http_request *req);
void kv_binding_error(struct http_request *req, const struct error *err);

#endif
