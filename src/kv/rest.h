/*
 * rest.h - KV's REST API, as Cloudflare has it, and what goes beyond it (docs/kv.md). Named after the routes; NS is
 * accounts/:account/storage/kv/namespaces/:ns, and each handler answers exactly once. Loop thread.
 *
 *     GET    NS/values/:key            kv_rest_get
 *     PUT    NS/values/:key            kv_rest_put, large bodies kv_rest_put_begin
 *     DELETE NS/values/:key            kv_rest_delete
 *     POST   NS/values/:key/increment  kv_rest_increment
 *     GET    NS/metadata/:key          kv_rest_metadata
 *     GET    NS/keys                   kv_rest_keys
 *     PUT    NS/bulk                   kv_rest_bulk_put, large bodies kv_rest_bulk_put_begin
 *     DELETE NS/bulk                   kv_rest_bulk_delete, large bodies kv_rest_bulk_delete_begin
 *     POST   NS/bulk/delete            the same
 *     POST   NS/bulk/get               kv_rest_bulk_get
 */
#ifndef DIONE_KV_REST_H
#define DIONE_KV_REST_H

#include "kv/call.h"

void kv_rest_get(struct http_request *req);
void kv_rest_put(struct http_request *req);
void kv_rest_put_begin(struct http_request *req);
void kv_rest_delete(struct http_request *req);
void kv_rest_increment(struct http_request *req);
void kv_rest_metadata(struct http_request *req);
void kv_rest_keys(struct http_request *req);
void kv_rest_bulk_put(struct http_request *req);
void kv_rest_bulk_put_begin(struct http_request *req);
void kv_rest_bulk_delete(struct http_request *req);
void kv_rest_bulk_delete_begin(struct http_request *req);
void kv_rest_bulk_get(struct http_request *req);

void kv_rest_create(struct http_request *req);
void kv_rest_list(struct http_request *req);
void kv_rest_namespace(struct http_request *req);
void kv_rest_update(struct http_request *req);
void kv_rest_remove(struct http_request *req);

/* ---- shared by the files behind it ---- */

/* Answers with the error; what is wrong with a key reads `op: 'text'`, as Cloudflare has it. */
void rest_fail(struct http_request *req, const char *op, const struct error *err);
/* The version of what stands there now, as an ETag. */
void rest_respond_version(struct http_request *req, uint64_t version);
/* Ends the call with call->err. */
void rest_end(struct kv_call *call, const char *op);
/* The call on the path's namespace. NULL: it has answered. */
struct kv_call *rest_call(struct http_request *req, enum api_right right) MUST_CHECK;
/*
 * In a route's `begin`: takes a large body to disk, if the token may write to the path's namespace. Small bodies are left to
 * `handle`.
 */
void rest_spool(struct http_request *req, uint64_t keep_bytes,
                void (*whole)(struct http_request *req, struct spool *s));
/* For `whole`: the call with that body. NULL: it has answered. */
struct kv_call *rest_call_spooled(struct http_request *req, struct spool *s) MUST_CHECK;

#endif
