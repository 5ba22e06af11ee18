/* server.h - listening, connections and shutdown of the HTTP server. Main thread unless stated. */
#ifndef DIONE_HTTP_SERVER_H
#define DIONE_HTTP_SERVER_H

#include "http/http.h"

/* Takes over loops[0..n_loops) for its connections; they must outlive the server. Copies *opt. */
struct http_server *http_server_new(const struct http_options *opt, struct loop *loops, int n_loops);
/*
 * Listens on HOST:PORT (IPv4, [IPv6] or a name; port 0 takes a free one) and accepts from the next moment on.
 * *ret_port is the real port. IO: says why not, in words (address in use, permission).
 */
enum status http_server_listen(struct http_server *s, const char *address, int *ret_port, struct error *err) MUST_CHECK;
/*
 * The same on a Unix socket at `path`, which must not exist; the folder decides who may connect. At most once, beside
 * http_server_listen or instead of it. The file stays when the server stops.
 */
enum status http_server_listen_unix(struct http_server *s, const char *path, struct error *err) MUST_CHECK;
/* A socket that listens on the address, and its port. `option`: what the error text suggests to change. */
enum status http_open_listener(const char *address, const char *option, int *ret_fd, int *ret_port,
                               struct error *err) MUST_CHECK;
/* Whether HOST of "HOST:PORT" is a loopback address. An address that makes no sense counts as one. */
bool http_address_is_loopback(const char *address);
/* Gives a connected stream socket to the server, which then owns it. Any thread. */
void http_server_adopt(struct http_server *s, int fd);
/* Stops accepting, lets running requests end for at most `grace_ms`, closes all connections. Blocks. */
void http_server_drain(struct http_server *s, int64_t grace_ms);
/* After the loops have ended, since its timers are on them. NULL is fine. */
void http_server_free(struct http_server *s);

#endif
