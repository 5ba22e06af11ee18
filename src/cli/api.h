/*
 * api.h - Dione's REST API as the commands see it: one way to call it, wherever the databases are.
 *
 * Remote: a server at a URL. Local: the data directory, opened in this process by the same server code, spoken
 * to over a socket pair; when a server runs on that folder already, that one is asked instead. Either way it
 * is HTTP through libcurl, so limits, messages and results are the same. Main thread.
 *
 * Errors of the API become enum status by their HTTP status; err->msg is the server's text and err->native its code.
 */
#ifndef DIONE_CLI_API_H
#define DIONE_CLI_API_H

#include "base/json.h"
#include "cli/progress.h"

#include <stdio.h>

/* Everything below the account; local and remote have the same one. */
#define API_ACCOUNT "/accounts/local"

struct api_options {
    bool remote;
    const char *url, *token; /* remote; without a trailing slash */
    const char *data;        /* local: the folder */
    bool create_data;        /* local: make it when it is missing */
    const char *listen;      /* local: where a server that starts in this process listens as well; NULL: nowhere */
};

struct api;
struct server;

/* The strings of `opt` are copied. NOTFOUND: no data directory, or no libcurl; else what the server's start says. */
enum status api_open(const struct api_options *opt, struct api **ret, struct error *err) MUST_CHECK;
/* Ends a local server and waits for it. NULL is fine. */
void api_close(struct api *api);
/* Whether the server is in this process, so that nobody else reaches it. */
bool api_is_in_process(const struct api *api);
/* "remote http://...", "local ./data": for remarks. */
const char *api_place(const struct api *api);

/* The server in this process; NULL: another one is asked, at this URL with this token. They live as long as the API. */
struct server *api_server(const struct api *api);
const char *api_url(const struct api *api);
const char *api_token(const struct api *api);

/* A parsed answer; its trees live until the release. Zero it before the first use. */
struct api_answer {
    struct arena arena;
    struct buf text;
    const struct json *root;
    const struct json *result;
};

/*
 * One call. `path` starts with '/' and is encoded already; `body` is JSON, or absent. *ret is filled only on
 * success ("success": true), and replaces what it held.
 */
enum status api_call(struct api *api, const char *method, const char *path, struct slice body, struct api_answer *ret,
                     struct error *err) MUST_CHECK;
/* The same for other kinds of bodies. */
struct api_request {
    const char *method, *path;
    const char *content_type; /* NULL: none is told */
    const char *bearer;       /* instead of the token; NULL: the token */
    struct slice body;        /* absent: none */
};
enum status api_send(struct api *api, const struct api_request *r, struct api_answer *ret,
                     struct error *err) MUST_CHECK;
/* Of the last call that failed: which of its statements did, from 1; 0: the server does not say. */
size_t api_failed_statement(const struct api *api);
/* POST /graphql, whose answers have no envelope: result is "data". */
enum status api_graphql(struct api *api, struct slice body, struct api_answer *ret, struct error *err) MUST_CHECK;
void api_answer_release(struct api_answer *a);

/* PUT of `size` bytes from the start of `file` to an absolute URL that the server handed out; no token is sent. */
enum { API_ETAG_MAX = 64 };
enum status api_upload(struct api *api, const char *url, FILE *file, uint64_t size, struct progress *progress,
                       char ret_etag[API_ETAG_MAX], struct error *err) MUST_CHECK;
/*
 * GET into `out`. A path (with the token), or an absolute URL that the server handed out (without).
 * On failure `out` may hold a part.
 */
enum status api_download(struct api *api, const char *path_or_url, FILE *out, struct progress *progress,
                         struct error *err) MUST_CHECK;

/* Appends `s` as one segment of a path. */
void api_append_encoded(struct buf *path, struct slice s);

#endif
