/*
 * backend.h - whom a command talks to: the base URL, the token, and for local work the server in this process.
 */
#ifndef DIONE_CLI_BACKEND_H
#define DIONE_CLI_BACKEND_H

#include "cli/api.h"

struct server;

struct backend {
    char *url, *token;
    char *other_token;     /* the one that is meant when `token` is refused; NULL: there is no doubt */
    char *found_token_in;  /* a data directory where `token` was found, unasked; NULL: it was given */
    char *place;           /* for api_place() */
    bool direct;           /* no proxy: the server is on this machine by definition */
    struct server *server; /* local, in this process; NULL: reach it by URL */
};

enum status backend_open(const struct api_options *opt, struct backend *ret, struct error *err) MUST_CHECK;
void backend_release(struct backend *b);
/* A connected, non-blocking socket to the server in this process; -1 with errno. The caller closes it. */
int backend_connect(struct backend *b);

#endif
