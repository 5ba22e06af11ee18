/*
 * http.h - the HTTP/1.1 server: what a handler sees.
 *
 * A request belongs to its connection and lives from the end of its head until its answer is sent; a connection has one
 * request at a time (further pipelined ones wait). A handler runs on the loop that owns the connection and either
 * answers at once or keeps the request, works elsewhere, and answers later on that same loop (http_request.loop).
 * Slices of a request point into the receive buffer and die when the handler returns, unless it calls
 * http_request_keep first; what is in `arena` lives until the answer.
 * A handler that keeps the request may ask to be told when the client goes away (on_gone); its answer then goes nowhere.
 */
#ifndef DIONE_HTTP_HTTP_H
#define DIONE_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "event/loop.h"
#include "event/pool.h"

enum http_method { HTTP_M_GET, HTTP_M_HEAD, HTTP_M_POST, HTTP_M_PUT, HTTP_M_PATCH, HTTP_M_DELETE, HTTP_M_OTHER };

enum { HTTP_MAX_HEADERS = 64, HTTP_MAX_PARAMS = 4, HTTP_MAX_HEAD_BYTES = 64 * 1024 };

struct http_header {
    struct slice name, value;
};

struct http_request;
struct http_server;

/* Receives a body piece by piece. `on_data` may call http_body_pause; `on_end` comes once after the last piece and must
 * answer; `on_abort` comes instead of it when the client left or was too slow, and must only clean up. */
struct http_sink {
    void (*on_data)(struct http_request *req, struct slice data);
    void (*on_end)(struct http_request *req);
    void (*on_abort)(struct http_request *req);
};

struct http_route {
    enum http_method method;
    const char *
        pattern; /* "accounts/:account/d1/database/:db/query"; each :name fills the next params[]; a last "*" is any rest */
    void (*handle)(struct http_request *req);
    size_t body_limit; /* bytes; 0: the server's default */
    unsigned flags;    /* the application's own */
    /* Instead of `handle`: runs at the end of the head, and gives the body to a sink (http_request_stream) or answers. */
    void (*begin)(struct http_request *req);
};

struct http_request {
    struct loop *loop;
    struct http_server *server;
    enum http_method method;
    struct slice path;  /* as sent, without the query */
    struct slice query; /* behind '?', undecoded */
    struct http_header headers[HTTP_MAX_HEADERS];
    size_t n_headers;
    struct slice body;
    struct slice params[HTTP_MAX_PARAMS]; /* decoded */
    const struct http_route *route;
    struct arena *arena;
    void *app;  /* the application's server-wide state, from http_options */
    void *auth; /* what the admit hook found; NULL at first */
    void *user; /* the handler's own */
    /* Set by a handler that keeps the request: called at most once, on the loop, when the client has closed its side
     * before the answer. The handler still has to answer. */
    void (*on_gone)(struct http_request *req);
};

struct http_options {
    const struct http_route *routes; /* ends with a NULL pattern; first match wins */
    /* Another table for requests that their headers single out, without the prefix; NULL from it: `routes`. May be NULL. */
    const struct http_route *(*routes_by_header)(const struct http_request *req);
    const char *prefix; /* optional leading part of every path, such as "client/v4/"; may be left out */
    void *app;
    /*
     * Runs at the end of the head, before any of the body is taken. False: it has answered. Also called when no
     * route matches (route NULL), so that strangers can't map the routes.
     */
    bool (*admit)(struct http_request *req);
    /* Answers for the server itself (malformed, too large, too slow, no such route). */
    void (*fail)(struct http_request *req, const struct error *err);
    struct pool *file_pool; /* reads files for http_respond_file */
    size_t body_limit;      /* bytes */
    int64_t
        request_timeout_ms;  /* to receive a head; each further 64 KiB of a body, or its rest; to take an answer on */
    int64_t idle_timeout_ms; /* a kept-alive connection without a request */
    size_t max_connections;
};

/* Headers, by case-insensitive name; absent slice when there is none. */
struct slice http_header(const struct http_request *req, const char *name);
/* Whether every % of the query string begins an escape. */
bool http_query_is_valid(const struct http_request *req);
/* A query parameter, percent-decoded into the arena; absent slice when there is none, or it is not valid. */
struct slice http_query(struct http_request *req, const char *name);
/* Decodes %XX (and + as a space when `plus`). Absent slice: malformed or out of memory. */
struct slice http_percent_decode(struct arena *a, struct slice s, bool plus);

/* Copies everything a request lends into its arena. False: out of memory (answer with NOMEM). */
bool http_request_keep(struct http_request *req) MUST_CHECK;
/* The same for the body alone, which is all that most handlers still need later. */
bool http_request_keep_body(struct http_request *req) MUST_CHECK;
/* In `begin`: the body goes to the sink; no total limit but `limit` bytes. The head is kept, as http_request_keep does. */
void http_request_stream(struct http_request *req, const struct http_sink *sink, uint64_t limit);
/* The Content-Length, or -1 when the body is chunked. In `begin` only: later it counts what is still to come. */
int64_t http_content_length(const struct http_request *req);
/* Stop and go on taking the body. Pauses don't nest. Loop thread. */
void http_body_pause(struct http_request *req);
void http_body_resume(struct http_request *req);

/* The reason phrase of the answer instead of the usual one: one line is made of it, cut at 512 bytes. */
void http_respond_reason(struct http_request *req, struct slice text);
/* Adds a header to the answer: one line, CR, LF and NUL in `value` become spaces. */
void http_respond_header(struct http_request *req, const char *name, struct slice value);
/* Sends the answer and ends the request: req is gone afterwards. Takes *body's memory. Loop thread. */
void http_respond(struct http_request *req, int status, const char *content_type, struct buf *body);
/* The same with bytes that stay the caller's: they are copied. For small answers. */
void http_respond_bytes(struct http_request *req, int status, const char *content_type, struct slice body);
/* The same with a file's content: takes fd, reads `size` bytes from offset 0. */
void http_respond_file(struct http_request *req, int status, const char *content_type, int fd, uint64_t size);

#endif
