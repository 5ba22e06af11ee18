/*
 * websocket.h - the server's side of a WebSocket (RFC 6455): a connection that a handler takes over.
 *
 *     GET /path, Upgrade: websocket ---websocket_accept---> open --either side closes, or is lost--> on_closed
 *
 * Messages out go through a queue that is bounded in bytes: a client that does not keep up loses messages (the sender is
 * told), never the server's memory. Dead clients are found by pings. Only text is spoken; a client that sends binary
 * messages is told so and closed.
 */
#ifndef DIONE_HTTP_WEBSOCKET_H
#define DIONE_HTTP_WEBSOCKET_H

#include "http/http.h"

struct websocket;

/* Zero means the default. The callbacks come on the request's loop, never after on_closed. */
struct websocket_options {
    const char *protocol;     /* subprotocol: sent back when the client offers it. Must outlive the connection */
    size_t max_message_bytes; /* of the client's; 1 MiB */
    size_t max_queue_bytes;   /* on their way to the client; 4 MiB */
    void *arg;
    void (*on_text)(void *arg, struct slice text); /* a whole message; NULL: they are ignored */
    void (*on_closed)(void *arg);                  /* once; NULL: nobody cares */
};

/*
 * In a GET handler (or later, like an answer): ends the request and opens the WebSocket. NULL: it was no proper handshake,
 * or the client has left, and the request is answered. The caller owns a reference. Loop thread.
 */
struct websocket *websocket_accept(struct http_request *req, const struct websocket_options *opt) MUST_CHECK;
/* Queues a message; any thread. False: it is dropped, since the queue is full, memory is, or the socket is closed. */
bool websocket_send(struct websocket *ws, struct slice text);
/* Sends what is queued, then closes with this code (1000: done, 1001: going away). Any thread. */
void websocket_close(struct websocket *ws, int code, const char *reason);
/* Any thread. The connection lives on without references; close it first when it should not. NULL is fine. */
void websocket_unref(struct websocket *ws);

#endif
