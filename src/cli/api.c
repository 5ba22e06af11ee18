/*
 * api.c - see api.h.
 *
 * One easy handle does everything in turn, so its connection is kept alive. For the server in this process
 * the sockets come from backend_connect, whatever a URL says: a signed URL leads to the same place.
 */
#include "cli/api.h"

#include "cli/backend.h"
#include "cli/curl_lib.h"
#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define JSON_TYPE "application/json"

enum { CONNECT_TIMEOUT_MS = 15000, ERROR_BODY_MAX_BYTES = 64 * 1024 };

struct api {
    struct backend backend;
    const struct curl_lib *lib;
    CURL *curl;
    int placeholder;           /* a socket that waits to be swapped; -1: none */
    uint64_t failed_statement; /* see api_failed_statement */
};

/* ---- life ---- */

static void add_header(const struct curl_lib *lib, struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = lib->slist_append(*list, line);

    if (!longer)
        abort();
    *list = longer;
}

/* With two tokens at hand, takes the one that the server knows. */
static enum status choose_token(struct api *api, struct error *err)
{
    struct backend *b = &api->backend;
    struct api_answer answer = { 0 };
    char *refused = b->token;

    if (!b->other_token)
        return STATUS_OK;
    enum status st = api_call(api, "GET", "/user/tokens/verify", SLICE_NONE, &answer, err);
    api_answer_release(&answer);
    if (st != STATUS_UNAUTH && st != STATUS_FORBIDDEN)
        return st;
    b->token = b->other_token;
    b->other_token = refused;
    return STATUS_OK;
}

enum status api_open(const struct api_options *opt, struct api **ret, struct error *err)
{
    struct api *api = calloc(1, sizeof(*api));

    if (!api)
        abort();
    api->placeholder = -1;
    enum status st = curl_lib_get(&api->lib, err);
    if (st == STATUS_OK)
        st = backend_open(opt, &api->backend, err);
    if (st == STATUS_OK) {
        api->curl = api->lib->easy_init();
        st = api->curl ? choose_token(api, err) : error_set(err, STATUS_NOMEM, 0, "libcurl does not start");
    }
    if (st != STATUS_OK) {
        api_close(api);
        return st;
    }
    *ret = api;
    return STATUS_OK;
}

void api_close(struct api *api)
{
    if (!api)
        return;
    if (api->curl)
        api->lib->easy_cleanup(api->curl);
    backend_release(&api->backend);
    free(api);
}

struct server *api_server(const struct api *api)
{
    return api->backend.server;
}

const char *api_url(const struct api *api)
{
    return api->backend.url;
}

const char *api_token(const struct api *api)
{
    return api->backend.token;
}

bool api_is_in_process(const struct api *api)
{
    return api->backend.server != NULL;
}

const char *api_place(const struct api *api)
{
    return api->backend.place;
}

/* ---- one transfer ---- */

struct transfer {
    struct api *api;
    const char *method;
    const char *path_or_url;  /* a URL gets no token */
    const char *content_type; /* of the body; NULL: none is told */
    const char *bearer;       /* instead of the token; NULL: the token */
    struct slice body;        /* absent: none */
    FILE *upload;             /* or this, of upload_bytes */
    uint64_t upload_bytes;
    FILE *out;                 /* a successful answer's body goes here; NULL: to `text` */
    struct progress *progress; /* NULL: none */

    long http_status;
    struct buf text;
    char etag[API_ETAG_MAX];
    int write_errno; /* of `out` */
};

/*
 * libcurl cannot simply be handed a connected socket: told CURL_SOCKOPT_ALREADY_CONNECTED, 7.88 (Debian 12) connects it
 * all the same, and fails. So it gets a datagram socket first, whose connect() always succeeds and sends nothing, and
 * the real one takes that one's place before the first byte is sent.
 */
static curl_socket_t open_placeholder(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct api *api = user;

    (void)purpose;
    api->placeholder = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return api->placeholder < 0 ? CURL_SOCKET_BAD : api->placeholder;
}

/* Called before every request, on new connections and on kept ones. */
static int swap_placeholder(void *user, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    struct api *api = user;
    int placeholder = api->placeholder, fd;

    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    if (placeholder < 0)
        return CURL_PREREQFUNC_OK;
    api->placeholder = -1;
    fd = backend_connect(&api->backend);
    if (fd < 0)
        return CURL_PREREQFUNC_ABORT;
    bool swapped = dup3(fd, placeholder, O_CLOEXEC) >= 0;
    (void)close(fd); /* the placeholder's number is the one that stays */
    return swapped ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    size_t len = size * n;

    if (t->http_status == 0)
        (void)t->api->lib->easy_getinfo(t->api->curl, CURLINFO_RESPONSE_CODE, &t->http_status);
    if (t->out && t->http_status / 100 == 2) {
        size_t written = fwrite(bytes, 1, len, t->out);
        if (written != len)
            t->write_errno = errno;
        return written;
    }
    if (t->out)
        t->text.limit = ERROR_BODY_MAX_BYTES;
    buf_append(&t->text, bytes, len);
    return t->text.overflowed ? 0 : len;
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    struct slice value = slice_of(line, size * n), name = slice_cut(&value, ':');

    value = value.ptr ? slice_trim(value) : value;
    if (slice_eq_nocase(name, SLICE_LIT("x-dione-statement")) &&
        !slice_to_u64(value, UINT32_MAX, &t->api->failed_statement))
        t->api->failed_statement = 0;
    if (value.ptr && slice_eq_nocase(name, SLICE_LIT("etag"))) {
        if (value.len >= 2 && value.ptr[0] == '"')
            value = slice_of(value.ptr + 1, value.len - 2);
        snprintf(t->etag, sizeof(t->etag), "%.*s", SLICE_FMT(value));
    }
    return size * n;
}

/* 1 ends the transfer. */
static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    struct transfer *t = user;

    if (t->progress && t->upload)
        progress_bytes(t->progress, (uint64_t)up, (uint64_t)up_total);
    else if (t->progress && t->out)
        progress_bytes(t->progress, (uint64_t)down, (uint64_t)down_total);
    return interrupt_requested();
}

static size_t on_read(char *into, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    size_t len = fread(into, size, n, t->upload);

    return len == 0 && ferror(t->upload) ? CURL_READFUNC_ABORT : len * size;
}

/* A kept connection may turn out closed; then libcurl sends again from the start. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct transfer *t = user;

    return fseeko(t->upload, offset, origin) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static void set_body(struct transfer *t)
{
    const struct curl_lib *lib = t->api->lib;
    CURL *curl = t->api->curl;

    if (t->upload) {
        lib->easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        lib->easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->upload_bytes);
        lib->easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        lib->easy_setopt(curl, CURLOPT_READDATA, t);
        lib->easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        lib->easy_setopt(curl, CURLOPT_SEEKDATA, t);
    } else if (t->body.ptr || strcmp(t->method, "GET") != 0) {
        lib->easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len);
        lib->easy_setopt(curl, CURLOPT_POSTFIELDS, t->body.ptr ? t->body.ptr : "");
        lib->easy_setopt(curl, CURLOPT_CUSTOMREQUEST, t->method);
    }
}

/* The caller frees them. */
static struct curl_slist *make_headers(const struct transfer *t)
{
    const struct curl_lib *lib = t->api->lib;
    struct curl_slist *list = NULL;
    struct buf line = { 0 };

    if (t->path_or_url[0] == '/') {
        buf_printf(&line, "Authorization: Bearer %s", t->bearer ? t->bearer : t->api->backend.token);
        add_header(lib, &list, line.ptr);
        buf_clear(&line);
    }
    buf_append_cstr(&line, "Content-Type:"); /* without a value it keeps libcurl from sending one */
    if (t->content_type)
        buf_printf(&line, " %s", t->content_type);
    add_header(lib, &list, line.ptr);
    add_header(lib, &list, "Expect:"); /* waiting for "100 Continue" only costs time */
    buf_release(&line);
    return list;
}

/* Every libcurl from 7.85 on knows the options, and the values are valid: setopt's result says nothing new. */
static void set_options(struct transfer *t, const char *url, struct curl_slist *headers)
{
    const struct curl_lib *lib = t->api->lib;
    CURL *curl = t->api->curl;

    lib->easy_reset(curl); /* keeps the connection */
    lib->easy_setopt(curl, CURLOPT_URL, url);
    lib->easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    lib->easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    lib->easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); /* a key may be called ".." */
    lib->easy_setopt(curl, CURLOPT_USERAGENT, "dione");
    lib->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib->easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    lib->easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
    lib->easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
    lib->easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    lib->easy_setopt(curl, CURLOPT_WRITEDATA, t);
    lib->easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    lib->easy_setopt(curl, CURLOPT_HEADERDATA, t);
    lib->easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    lib->easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    lib->easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    if (t->api->backend.direct)
        lib->easy_setopt(curl, CURLOPT_PROXY, "");
    if (t->api->backend.server) {
        lib->easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_placeholder);
        lib->easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t->api);
        lib->easy_setopt(curl, CURLOPT_PREREQFUNCTION, swap_placeholder);
        lib->easy_setopt(curl, CURLOPT_PREREQDATA, t->api);
    }
    set_body(t);
}

static enum status explain(const struct transfer *t, CURLcode rc, const char *detail, struct error *err)
{
    if (interrupt_requested())
        return interrupt_error(err);
    if (t->write_errno)
        return error_errno(err, t->write_errno, "cannot write what was downloaded");
    if (t->text.overflowed)
        return error_set(err, STATUS_NOMEM, 0, "the answer is too large");
    if (rc == CURLE_ABORTED_BY_CALLBACK && t->upload)
        return error_set(err, STATUS_IO, 0, "cannot read the file that is uploaded");
    if (!detail[0])
        detail = t->api->lib->easy_strerror(rc);
    if (rc == CURLE_COULDNT_CONNECT)
        return error_set(err, STATUS_IO, (int)rc, "no answer from %s: %s\n`dione serve` starts a server",
                         t->api->backend.place, detail);
    return error_set(err, STATUS_IO, (int)rc, "no answer from %s: %s", t->api->backend.place, detail);
}

/* Runs it; OK whatever the HTTP status. t->text belongs to the caller. */
static enum status perform(struct transfer *t, struct error *err)
{
    struct api *api = t->api;
    struct curl_slist *headers = make_headers(t);
    char detail[CURL_ERROR_SIZE] = "";
    struct buf url = { 0 };

    api->failed_statement = 0;
    buf_printf(&url, "%s%s", t->path_or_url[0] == '/' ? api->backend.url : "", t->path_or_url);
    set_options(t, url.ptr, headers);
    api->lib->easy_setopt(api->curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode rc = api->lib->easy_perform(api->curl);
    api->lib->easy_setopt(api->curl, CURLOPT_ERRORBUFFER, NULL); /* it ends with this function, as they do */
    api->lib->easy_setopt(api->curl, CURLOPT_HTTPHEADER, NULL);
    api->lib->slist_free_all(headers);
    buf_release(&url);
    if (rc != CURLE_OK)
        return explain(t, rc, detail, err);
    api->lib->easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &t->http_status);
    return STATUS_OK;
}

/* ---- answers ---- */

void api_answer_release(struct api_answer *a)
{
    arena_release(&a->arena);
    buf_release(&a->text);
    *a = (struct api_answer){ 0 };
}

static enum status status_of_http(long http)
{
    switch (http) {
    case 401:
        return STATUS_UNAUTH;
    case 403:
        return STATUS_FORBIDDEN;
    case 404:
        return STATUS_NOTFOUND;
    case 413:
        return STATUS_TOOBIG;
    case 429:
        return STATUS_RATE;
    case 501:
        return STATUS_NOTIMPL;
    case 503:
        return STATUS_BUSY;
    default:
        return http >= 500 ? STATUS_INTERNAL : STATUS_INVALID;
    }
}

/* The errors of an envelope, or of GraphQL, one a line. */
static enum status api_error(const struct json *errors, long http, struct error *err)
{
    struct buf text = { 0 };
    int64_t code = 0;

    for (const struct json *e = errors ? errors->child : NULL; e; e = e->next) {
        struct slice message = json_get_text(e, "message");
        int64_t this_code;
        if (json_i64(json_get(e, "code"), &this_code) && code == 0 && this_code > 0 && this_code <= INT32_MAX)
            code = this_code;
        buf_printf(&text, "%s%.*s", text.len ? "\n" : "", SLICE_FMT(message));
    }
    if (text.len == 0)
        buf_printf(&text, "the server answered with HTTP status %ld", http);
    enum status st = error_set(err, status_of_http(http), (int)code, "%s", text.ptr);
    buf_release(&text);
    return st;
}

/* Takes over t->text. */
static enum status parse_answer(struct transfer *t, struct api_answer *ret, struct error *err)
{
    struct api_answer a = { .text = buf_take(&t->text) };
    struct json *root = NULL;
    struct error why;

    arena_init(&a.arena, SIZE_MAX);
    enum status st = json_parse(buf_slice(&a.text), JSON_STRICT, &a.arena, &root, &why);
    if (st != STATUS_OK || root->type != JSON_OBJECT) {
        st = error_set(err, STATUS_INTERNAL, 0, "%s answered with HTTP status %ld, and not in JSON: %.200s",
                       t->api->backend.place, t->http_status, a.text.len ? a.text.ptr : "(nothing)");
        api_answer_release(&a);
        return st;
    }
    a.root = root;
    api_answer_release(ret);
    *ret = a;
    return STATUS_OK;
}

/* The folder may be that of another server: a project's own, where `dione dev` has run. */
static enum status name_token(const struct api *api, enum status st, struct error *err)
{
    const struct error was = *err;

    if (st != STATUS_UNAUTH || !api->backend.found_token_in)
        return st;
    return error_set(err, st, was.native, "%s\nthe token of %s was tried; --token or DIONE_TOKEN gives another",
                     was.msg, api->backend.found_token_in);
}

enum { ENVELOPE, GRAPHQL };

static enum status call(struct transfer *t, int form, struct api_answer *ret, struct error *err)
{
    struct api_answer a = { 0 };
    enum status st = perform(t, err);

    if (st == STATUS_OK)
        st = parse_answer(t, &a, err);
    buf_release(&t->text);
    if (st != STATUS_OK)
        return st;
    a.result = json_get(a.root, form == ENVELOPE ? "result" : "data");
    bool good = form == ENVELOPE ? json_is(json_get(a.root, "success"), JSON_TRUE) : json_is(a.result, JSON_OBJECT);
    if (!good) {
        st = name_token(t->api, api_error(json_get(a.root, "errors"), t->http_status, err), err);
        api_answer_release(&a);
        return st;
    }
    api_answer_release(ret);
    *ret = a;
    return STATUS_OK;
}

enum status api_send(struct api *api, const struct api_request *r, struct api_answer *ret, struct error *err)
{
    struct transfer t = {
        .api = api,
        .method = r->method,
        .path_or_url = r->path,
        .content_type = r->content_type,
        .bearer = r->bearer,
        .body = r->body,
    };

    return call(&t, ENVELOPE, ret, err);
}

enum status api_call(struct api *api, const char *method, const char *path, struct slice body, struct api_answer *ret,
                     struct error *err)
{
    const struct api_request r = { .method = method, .path = path, .content_type = JSON_TYPE, .body = body };

    return api_send(api, &r, ret, err);
}

size_t api_failed_statement(const struct api *api)
{
    return api->failed_statement;
}

enum status api_graphql(struct api *api, struct slice body, struct api_answer *ret, struct error *err)
{
    struct transfer t = {
        .api = api,
        .method = "POST",
        .path_or_url = "/graphql",
        .content_type = JSON_TYPE,
        .body = body,
    };

    return call(&t, GRAPHQL, ret, err);
}

/* The reason in the body of a failed upload or download: an envelope, or text. */
static enum status transfer_failed(struct transfer *t, struct error *err)
{
    struct api_answer a = { 0 };
    struct error ignored;

    if (parse_answer(t, &a, &ignored) != STATUS_OK)
        return error_set(err, status_of_http(t->http_status), 0, "the server answered with HTTP status %ld",
                         t->http_status);
    enum status st = api_error(json_get(a.root, "errors"), t->http_status, err);
    api_answer_release(&a);
    return st;
}

enum status api_upload(struct api *api, const char *url, FILE *file, uint64_t size, struct progress *progress,
                       char ret_etag[API_ETAG_MAX], struct error *err)
{
    struct transfer t = {
        .api = api,
        .method = "PUT",
        .path_or_url = url,
        .upload = file,
        .upload_bytes = size,
        .progress = progress,
    };

    rewind(file);
    enum status st = perform(&t, err);
    if (st == STATUS_OK && t.http_status != 200)
        st = transfer_failed(&t, err);
    if (st == STATUS_OK)
        memcpy(ret_etag, t.etag, sizeof(t.etag));
    buf_release(&t.text);
    return st;
}

enum status api_download(struct api *api, const char *path_or_url, FILE *out, struct progress *progress,
                         struct error *err)
{
    struct transfer t = {
        .api = api,
        .method = "GET",
        .path_or_url = path_or_url,
        .out = out,
        .progress = progress,
    };
    enum status st = perform(&t, err);

    if (st == STATUS_OK && t.http_status / 100 != 2)
        st = transfer_failed(&t, err);
    buf_release(&t.text);
    return st;
}

void api_append_encoded(struct buf *path, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("-_.~", c)))
            buf_append_char(path, (char)c);
        else
            buf_printf(path, "%%%02X", c);
    }
}
