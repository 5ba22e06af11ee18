/*
 * ws_client.h - the client's side of a WebSocket (RFC 6455), for texts.
 *
 * libcurl makes the connection, with TLS and proxies; the libcurl of Debian 12 has no WebSockets of its own. Main thread;
 * Ctrl-C ends every wait.
 */
#ifndef DIONE_CLI_WS_CLIENT_H
#define DIONE_CLI_WS_CLIENT_H

#include "base/error.h"
#include "base/slice.h"

struct ws_client;

/* `url` is ws:// or wss://. Errors  INVALID the address; IO no connection, or no WebSocket there; STOPPING. */
enum status ws_client_open(const char *url, const char *protocol, struct ws_client **ret, struct error *err) MUST_CHECK;
/* Closes it without ado. NULL is fine. */
void ws_client_free(struct ws_client *c);

enum status ws_client_send_text(struct ws_client *c, struct slice text, struct error *err) MUST_CHECK;
enum status ws_client_ping(struct ws_client *c, struct error *err) MUST_CHECK;

enum ws_event {
    WS_EVENT_TEXT,   /* *ret_text, valid until the next call */
    WS_EVENT_PONG,   /* the answer to a ping */
    WS_EVENT_IDLE,   /* nothing came within the time */
    WS_EVENT_CLOSED, /* by the server, in order: it is done */
    WS_EVENT_LOST,   /* broken, or closed for a reason that err names */
};

/* Pings of the server are answered on the way. LOST also after Ctrl-C (err is STOPPING). */
enum ws_event ws_client_next(struct ws_client *c, int timeout_ms, struct slice *ret_text, struct error *err);

#endif
