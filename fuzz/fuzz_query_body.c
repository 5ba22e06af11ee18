/*
 * Fuzzes what a client can say to a database: the input is the body of POST .../query (first byte even) or .../raw, on a
 * whole server in this process. Every answer must be a JSON envelope that says whether it worked.
 */
#include "base/json.h"
#include "control/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct server *server;
static char dir[] = "/tmp/dione-fuzz-XXXXXX", uuid[64];
static const char token[] = "a-token-for-fuzzing-that-is-long-enough";
static int fd = -1;

static void die(const char *what)
{
    fprintf(stderr, "fuzz_query_body: %s\n", what);
    abort();
}

/* ---- a small client ---- */

static void send_all(struct slice s)
{
    while (s.len) {
        ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);
        if (n <= 0)
            die("the server has closed the connection");
        s = slice_from(s, (size_t)n);
    }
}

/* The body of the answer; the connection stays open. */
static struct buf ask(const char *path, struct slice body)
{
    struct buf head = { 0 }, in = { 0 };
    char *end = NULL;

    buf_printf(&head, "POST %s HTTP/1.1\r\nAuthorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n", path, token, body.len);
    send_all(buf_slice(&head));
    send_all(body);
    buf_release(&head);
    for (size_t want = SIZE_MAX; in.len < want;) {
        buf_reserve(&in, 65536);
        ssize_t n = read(fd, in.ptr + in.len, 65536);
        if (n <= 0)
            die("no answer");
        in.len += (size_t)n;
        in.ptr[in.len] = '\0';
        end = memmem(in.ptr, in.len, "\r\n\r\n", 4);
        const char *length = end ? strstr(in.ptr, "Content-Length: ") : NULL;
        if (length)
            want = (size_t)(end + 4 - in.ptr) + strtoull(length + 16, NULL, 10);
    }
    size_t skip = (size_t)(end + 4 - in.ptr);
    in.len -= skip;
    memmove(in.ptr, in.ptr + skip, in.len);
    return in;
}

static void remove_dir(void)
{
    char command[64];

    server_stop(server);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command) != 0)
        fprintf(stderr, "%s stays behind\n", dir);
}

static void start(void)
{
    struct server_options opt = { .data_dir = dir, .token = token, .threads = 1, .statement_timeout_ms = 200,
                                  .max_result_bytes = 1 << 20, .max_database_bytes = 4 << 20 };
    struct error err;

    if (!mkdtemp(dir))
        die("mkdtemp");
    if (server_start(&opt, &server, &err) != STATUS_OK)
        die(err.msg);
    atexit(remove_dir);
    fd = server_connect_fd(server);
    struct buf made = ask("/accounts/local/d1/database", SLICE_LIT("{\"name\":\"fuzz\"}"));
    const char *at = strstr(made.ptr, "\"uuid\":\"");
    if (!at)
        die(made.ptr);
    snprintf(uuid, sizeof(uuid), "%.36s", at + 8);
    buf_release(&made);
}

/* ---- what must hold ---- */

static void check_envelope(struct slice text)
{
    struct json *v = NULL;
    struct arena a;
    struct error err;

    arena_init(&a, 256 << 20);
    if (json_parse(text, JSON_STRICT, &a, &v, &err) != STATUS_OK)
        die(err.msg);
    const struct json *success = json_get(v, "success"), *errors = json_get(v, "errors"), *result = json_get(v, "result");
    bool worked = json_is(success, JSON_TRUE);
    if (!worked && !json_is(success, JSON_FALSE))
        die("no success");
    if (!json_is(errors, JSON_ARRAY) || (errors->n == 0) != worked || json_is(result, JSON_ARRAY) != worked)
        die("an envelope that contradicts itself");
    for (const struct json *r = worked ? result->child : NULL; r; r = r->next)
        if (!json_get(r, "results") || !json_is(json_get(r, "success"), JSON_TRUE) || !json_is(json_get(r, "meta"), JSON_OBJECT))
            die("a result without its parts");
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];

    if (size < 1 || size > 64 << 10)
        return 0;
    if (!server)
        start();
    snprintf(path, sizeof(path), "/accounts/local/d1/database/%s/%s", uuid, data[0] % 2 ? "raw" : "query");
    struct buf out = ask(path, slice_of((const char *)data + 1, size - 1));
    check_envelope(buf_slice(&out));
    buf_release(&out);
    return 0;
}
