/*
 * call.h - what the handlers of KV share, whichever protocol they speak: one request, its namespace, its body.
 * Loop thread.
 */
#ifndef DIONE_KV_CALL_H
#define DIONE_KV_CALL_H

#include "api/api.h"
#include "kv/kv.h"
#include "kv/limits.h"
#include "kv/spool.h"

/*
 * The JSON of a bulk read: an object from key to text, or the value itself with `as_json`, or null; with metadata an object
 * of both, and of the expiry when `with_expiration`.
 */
struct bulk_format {
    bool as_json, with_metadata, with_expiration;
};

/* Lives in the request's arena. */
struct kv_call {
    struct http_request *req;
    struct kv_namespace *ns;
    struct spool *spool; /* of a large body */
    struct slice body;   /* as sent */
    uint64_t body_total; /* more than `body` when that was cut off */
    enum status status;  /* of what was started */
    struct error err;
    void (*done)(struct kv_call *call);
    union {
        struct kv_read read;
        struct kv_write write;
        struct kv_bulk_read bulk_read;
        struct kv_bulk_write bulk_write;
        struct kv_list list;
    };
    struct bulk_format format; /* of a bulk read */
    struct job job;
    struct loop_msg msg;
};

/* The namespace, if the token may do `right` with it; lent until the handler returns. KVNONAMESPACE, FORBIDDEN. */
enum status call_namespace(struct http_request *req, struct slice id, enum api_right right, struct kv_namespace **ret,
                           struct error *err) MUST_CHECK;
/* Adds a reference to the namespace. NULL: out of memory. */
struct kv_call *call_new(struct http_request *req, struct kv_namespace *ns) MUST_CHECK;
/* Gives back what the call holds; its arena stays until the answer. */
void call_end(struct kv_call *call);

/* Keeps a body that came in memory, if it may hold a value that a write does not copy at once. */
enum status call_keep_body(struct kv_call *call) MUST_CHECK;
/* In a route's `begin`: the body goes to disk; see spool.h. */
void call_spool(struct http_request *req, uint64_t keep_bytes, void (*whole)(struct http_request *req, struct spool *s),
                void (*failed)(struct http_request *req, const struct error *err));
/* Its body is the call's. */
void call_take_spool(struct kv_call *call, struct spool *s);

/* Starts the request; each calls `done` at its end, also when that is at once. */
void call_read(struct kv_call *call, struct kv_place *place, bool want_bytes, void (*done)(struct kv_call *call));
void call_write(struct kv_call *call, void (*done)(struct kv_call *call));
/* Takes prefix and cursor from the query string; `limit` is that one's text. The caller has set write_key. */
void call_list(struct kv_call *call, struct slice limit, void (*done)(struct kv_call *call));
/* Appends the JSON to bulk_read.run.out. KVINVALID: a value that is not JSON; TOOBIG. */
void call_bulk_read(struct kv_call *call, void (*done)(struct kv_call *call));
void call_bulk_write(struct kv_call *call, void (*done)(struct kv_call *call));

/* Answers with the value of a finished read. */
void call_send_value(struct kv_call *call, const char *content_type);

/* A cursor is the last key of the list before it. */
void cursor_write(struct buf *b, struct slice key);
enum status cursor_read(struct slice cursor, struct arena *a, struct slice *ret_key, struct error *err) MUST_CHECK;

/* The keys and options of its body: {"keys":[..],"type":..,"withMetadata":..,"cacheTtl":..}. Fills call->bulk_read and call->format. */
enum status bulk_take_request(struct kv_call *call, const struct json *body) MUST_CHECK;

#endif
