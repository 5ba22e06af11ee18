/* backend.c - see backend.h. */
#include "cli/backend.h"

#include "cli/files.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SMALL_FILE_BYTES = 64 * 1024, WAIT_STEP_MS = 10, WAIT_NOTE_MS = 1000, WAIT_MAX_MS = 5000 };

/* No name is looked up: connections are handed out by the server itself. */
#define IN_PROCESS_URL "http://127.0.0.1"

static char *copy_text(struct slice s)
{
    char *copy = s.ptr ? strndup(s.ptr, s.len) : NULL;

    if (s.ptr && !copy)
        abort();
    return copy;
}

static char *join(const char *a, const char *b)
{
    char *joined;

    if (asprintf(&joined, "%s%s", a, b) < 0)
        abort();
    return joined;
}

/* DIR/name, without the white space around it. */
static enum status read_small(const char *data, const char *name, struct buf *ret, struct error *err)
{
    char *path = join(data, name);

    ret->limit = SMALL_FILE_BYTES;
    enum status st = file_read(path, ret, err);
    free(path);
    return st;
}

static enum status read_token(const char *data, char **ret, struct error *err)
{
    struct buf text = { 0 };
    enum status st = read_small(data, "/token", &text, err);

    if (st == STATUS_OK)
        *ret = copy_text(slice_trim(buf_slice(&text)));
    buf_release(&text);
    return st;
}

static bool is_loopback(const char *url)
{
    static const char *const hosts[] = { "http://127.0.0.1", "http://localhost", "http://[::1]" };

    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        size_t n = strlen(hosts[i]);
        if (strncasecmp(url, hosts[i], n) == 0 && (!url[n] || url[n] == ':' || url[n] == '/'))
            return true;
    }
    return false;
}

static enum status open_remote(const struct api_options *opt, struct backend *b, struct error *err)
{
    b->url = copy_text(slice_cstr(opt->url));
    b->place = join("remote ", opt->url);
    if (opt->token) {
        b->token = copy_text(slice_cstr(opt->token));
        return STATUS_OK;
    }
    /* The token of a data directory here goes to a server here, and to nobody else. */
    struct error ignored;
    if (is_loopback(opt->url) && read_token(opt->data, &b->token, &ignored) == STATUS_OK) {
        b->found_token_in = copy_text(slice_cstr(opt->data));
        return STATUS_OK;
    }
    return error_set(err, STATUS_UNAUTH, 0, "no token for %s: pass --token or set DIONE_TOKEN", opt->url);
}

/* One that a killed server left behind names a process that is gone. */
static bool is_running(const struct json *announcement)
{
    int64_t pid;

    return json_i64(json_get(announcement, "pid"), &pid) && pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* DIR/server.json, written by the server that holds the folder. NOTFOUND: none that is running has announced itself. */
static enum status read_running_url(const char *data, char **ret, struct error *err)
{
    struct buf text = { 0 };
    struct arena arena;
    struct json *root = NULL;

    arena_init(&arena, SMALL_FILE_BYTES * 16);
    enum status st = read_small(data, "/server.json", &text, err);
    if (st == STATUS_OK)
        st = json_parse(buf_slice(&text), JSON_STRICT, &arena, &root, err);
    if (st == STATUS_OK && !is_running(root))
        st = error_set(err, STATUS_NOTFOUND, 0, "%s/server.json is of a server that is gone", data);
    if (st == STATUS_OK) {
        *ret = copy_text(json_get_text(root, "url"));
        if (!*ret)
            st = error_set(err, STATUS_CORRUPT, 0, "%s/server.json names no url", data);
    }
    arena_release(&arena);
    buf_release(&text);
    return st;
}

/*
 * The token of the server that holds the folder: the one in DIR/token, unless DIONE_TOKEN gave it another. The file may
 * then be an old one, and our own DIONE_TOKEN may be for somebody else, so with both at hand both are kept.
 */
static enum status running_tokens(const struct api_options *opt, struct backend *b, struct error *err)
{
    enum status st = read_token(opt->data, &b->token, err);

    if (!opt->token)
        return st;
    if (st == STATUS_OK)
        b->other_token = copy_text(slice_cstr(opt->token));
    else
        b->token = copy_text(slice_cstr(opt->token));
    return STATUS_OK;
}

/* Another process holds the folder: a server to ask (OK), or a command like this one that will be done soon (BUSY). */
static enum status open_running(const struct api_options *opt, struct backend *b, const struct error *busy,
                                struct error *err)
{
    struct error why = { 0 };
    enum status st = read_running_url(opt->data, &b->url, &why);

    if (st == STATUS_NOTFOUND)
        return error_set(err, STATUS_BUSY, 0, "%s", busy->msg);
    if (st == STATUS_OK)
        st = running_tokens(opt, b, &why);
    return st == STATUS_OK ? st : error_set(err, st, 0, "%s, and it cannot be asked: %s", busy->msg, why.msg);
}

/* Starts the server in this process, or finds the one that runs; waits for commands that are in between. */
static enum status open_folder(const struct api_options *opt, struct backend *b, struct error *err)
{
    const struct server_options options = {
        .data_dir = opt->data,
        .listen = opt->listen,
        .threads = opt->listen ? 0 : 1, /* one client */
    };
    const struct timespec pause = { .tv_nsec = WAIT_STEP_MS * 1000000L };
    enum status st = STATUS_BUSY;

    for (int waited_ms = 0; st == STATUS_BUSY && waited_ms <= WAIT_MAX_MS; waited_ms += WAIT_STEP_MS) {
        struct error why = { 0 };
        if (waited_ms == WAIT_NOTE_MS)
            print_note("waiting for %s: another dione holds it, perhaps an open `dione shell`", opt->data);
        if (waited_ms)
            (void)nanosleep(&pause, NULL); /* a signal only shortens it */
        if (interrupt_requested())
            return interrupt_error(err);
        st = server_start(&options, &b->server, &why);
        if (st == STATUS_BUSY)
            st = open_running(opt, b, &why, err);
        else if (st != STATUS_OK)
            return error_set(err, st, why.native, "%s", why.msg);
    }
    return st;
}

static enum status open_local(const struct api_options *opt, struct backend *b, struct error *err)
{
    if (!opt->create_data && access(opt->data, F_OK) != 0)
        return error_set(err, STATUS_NOTFOUND, 0,
                         "there is no data directory '%s': `dione d1 create NAME` makes one, --data names another, "
                         "and --remote asks a server",
                         opt->data);
    b->place = join("local ", opt->data);
    b->direct = true;
    enum status st = open_folder(opt, b, err);
    if (st != STATUS_OK || !b->server)
        return st;
    b->url = copy_text(SLICE_LIT(IN_PROCESS_URL));
    b->token = copy_text(slice_cstr(server_token(b->server)));
    return STATUS_OK;
}

enum status backend_open(const struct api_options *opt, struct backend *ret, struct error *err)
{
    struct backend b = { 0 };
    enum status st = opt->remote ? open_remote(opt, &b, err) : open_local(opt, &b, err);

    if (st != STATUS_OK) {
        backend_release(&b);
        return st;
    }
    *ret = b;
    return STATUS_OK;
}

void backend_release(struct backend *b)
{
    if (b->server)
        server_stop(b->server);
    free(b->url);
    free(b->token);
    free(b->other_token);
    free(b->found_token_in);
    free(b->place);
    *b = (struct backend){ 0 };
}

int backend_connect(struct backend *b)
{
    int fd = server_connect_fd(b->server);

    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* cannot fail on a fresh socket */
    return fd;
}
