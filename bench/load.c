// A closed-loop load generator for HTTP/1.1 and for Redis' protocol: N keep-alive connections, one thread, one request in
// flight on each. It exists because the client shares the machine with the server under test: what
// the client burns, the server does not get. So it parses just enough to be right (Content-Length
// and chunked), never copies a body, and asks the clock once per request.
//
// Every answer is checked (2xx, an expected text, a least size), so a wrong answer counts as an
// error and cannot look fast.
//
// Both protocols share everything but the few bytes that frame a message, so that a comparison of an HTTP server with Redis is
// one of servers and not of clients.
//
// A request file is the text of an HTTP request without Content-Length: request line, headers, an
// empty line, the body. For Redis it is one line of words, a command and its arguments. In body and request line `{key}` becomes a new random number from --keys
// and `{seq}` a running number; in --expect `{key}` is the last one drawn.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "draw.h"
#include "histogram.h"

#define MAX_REQUESTS 16
#define MAX_PIDS 8
#define MAX_HEAD (16 * 1024)
#define READY_MAX 256 // events taken at once
#define MAX_EXPECT 128
#define MAX_WORDS 8
#define SAMPLE 200
#define RECEIVE_SIZE (256 * 1024)
#define DRAIN_NS (60 * UINT64_C(1000000000))
#define OVERTIME_NS (60 * UINT64_C(1000000000))
#define GIVE_UP_ERRORS 1000

// ---- what to send ----

enum piece_kind { PIECE_TEXT, PIECE_KEY, PIECE_SEQ };

struct piece {
    enum piece_kind kind;
    const char *text;
    size_t len;
};

struct form {
    struct piece *pieces;
    size_t count;
    size_t room; // enough for any filled-in form
};

struct request {
    const char *name;
    struct form head, body, expect;
    struct form words[MAX_WORDS]; // Redis
    unsigned word_count;
    bool has_body;
    unsigned weight;
    uint64_t low, high; // range of {key}
    uint64_t min_body;
    struct histogram latency;
    uint64_t errors;
};

// ---- a connection and its place in the response ----

enum phase { HEAD, SIZED_BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, DONE };

struct conn {
    int fd;
    struct request *request;
    uint64_t started;
    bool waiting_to_write;

    char *out;
    size_t out_len, out_sent;

    enum phase phase;
    int status;
    bool close;
    uint64_t left;     // bytes of this body or chunk still to come
    uint64_t body_len; // bytes seen
    size_t line_len;   // of the chunk-size or trailer line under way
    char head[MAX_HEAD];
    size_t head_len; // of a head that came in parts

    char expect[MAX_EXPECT];
    size_t expect_len;
    bool found;
    char tail[MAX_EXPECT]; // last bytes of the part before, for a match across parts
    size_t tail_len;
    char sample[SAMPLE]; // start of the body, to show what a wrong answer said
    size_t sample_len;
};

static struct {
    bool redis;
    struct sockaddr_in address;
    unsigned connections;
    double seconds, warmup;
    struct request requests[MAX_REQUESTS];
    unsigned request_count, weight_sum;
    int pids[MAX_PIDS];
    unsigned pid_count;
} options = { .connections = 1, .seconds = 2, .warmup = 0.5 };

static struct {
    int epoll;
    uint64_t completed, errors, bytes;
    bool counting, draining;
    unsigned in_flight;
    struct conn *ready[READY_MAX]; // answered, to be started again
    unsigned ready_count;
    char first_error[512];
} run;

static char receive_buffer[RECEIVE_SIZE];

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static void *must_alloc(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        die("out of memory");
    return p;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- templates ----

static struct form form_parse(const char *text, size_t len)
{
    struct form t = { .pieces = must_alloc((len / 2 + 2) * sizeof(struct piece)) };
    const char *end = text + len, *start = text;
    for (const char *p = text; p < end; p++) {
        if (*p != '{' || end - p < 5)
            continue;
        bool key = memcmp(p, "{key}", 5) == 0, seq = memcmp(p, "{seq}", 5) == 0;
        if (!key && !seq)
            continue;
        t.pieces[t.count++] = (struct piece){ PIECE_TEXT, start, (size_t)(p - start) };
        t.pieces[t.count++] = (struct piece){ .kind = key ? PIECE_KEY : PIECE_SEQ };
        t.room += 20;
        start = p + 5;
        p += 4;
    }
    t.pieces[t.count++] = (struct piece){ PIECE_TEXT, start, (size_t)(end - start) };
    t.room += len;
    return t;
}

static size_t put_number(char *to, uint64_t n)
{
    char digits[20];
    size_t len = 0;
    do
        digits[len++] = (char)('0' + n % 10);
    while (n /= 10);
    for (size_t i = 0; i < len; i++)
        to[i] = digits[len - 1 - i];
    return len;
}

// With `fixed`, every {key} is that one: an expectation speaks of the key already sent.
static size_t form_fill(const struct form *t, const struct request *r, bool fixed, uint64_t *key,
                        char *to)
{
    char *p = to;
    for (size_t i = 0; i < t->count; i++) {
        const struct piece *piece = &t->pieces[i];
        switch (piece->kind) {
        case PIECE_TEXT:
            memcpy(p, piece->text, piece->len);
            p += piece->len;
            break;
        case PIECE_KEY:
            if (!fixed)
                *key = draw_between(r->low, r->high);
            p += put_number(p, *key);
            break;
        case PIECE_SEQ:
            p += put_number(p, draw_next());
            break;
        }
    }
    return (size_t)(p - to);
}

// Room for any filled-in form that needs its length written before it.
static char *part_room(size_t room)
{
    static char *part;
    static size_t part_size;
    if (room > part_size) {
        free(part);
        part_size = room;
        part = must_alloc(part_size);
    }
    return part;
}

static char *put_length(char *to, char mark, size_t len)
{
    *to++ = mark;
    to += put_number(to, len);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static char *build_command(struct conn *c, uint64_t *key)
{
    struct request *r = c->request;
    char *p = put_length(c->out, '*', r->word_count);
    for (unsigned i = 0; i < r->word_count; i++) {
        char *word = part_room(r->words[i].room);
        size_t len = form_fill(&r->words[i], r, false, key, word);
        p = put_length(p, '$', len);
        memcpy(p, word, len);
        p += len;
        *p++ = '\r';
        *p++ = '\n';
    }
    return p;
}

static char *build_http(struct conn *c, uint64_t *ret_key)
{
    struct request *r = c->request;
    char *body = part_room(r->body.room);
    uint64_t key = 0;
    char *p = c->out + form_fill(&r->head, r, false, &key, c->out);
    if (r->has_body) {
        size_t len = form_fill(&r->body, r, false, &key, body);
        memcpy(p, "content-length: ", 16);
        p += 16;
        p += put_number(p, len);
        memcpy(p, "\r\n\r\n", 4);
        p += 4;
        memcpy(p, body, len);
        p += len;
    } else {
        memcpy(p, "\r\n", 2);
        p += 2;
    }
    *ret_key = key;
    return p;
}

static void conn_build(struct conn *c)
{
    struct request *r = c->request;
    uint64_t key = 0;
    char *end = options.redis ? build_command(c, &key) : build_http(c, &key);
    c->out_len = (size_t)(end - c->out);
    c->out_sent = 0;
    c->expect_len = form_fill(&r->expect, r, true, &key, c->expect);
}

// ---- sending ----

static void watch(struct conn *c, int operation, bool writing)
{
    struct epoll_event e = { .events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = c };
    if (epoll_ctl(run.epoll, operation, c->fd, &e) < 0)
        die("epoll_ctl: %s", strerror(errno));
    c->waiting_to_write = writing;
}

static void conn_flush(struct conn *c)
{
    while (c->out_sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
        if (n > 0) {
            c->out_sent += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!c->waiting_to_write)
                watch(c, EPOLL_CTL_MOD, true);
            return;
        } else {
            return; // the receiving side sees the same failure and reports it
        }
    }
    if (c->waiting_to_write)
        watch(c, EPOLL_CTL_MOD, false);
}

static struct request *pick_request(void)
{
    if (options.request_count == 1)
        return &options.requests[0];
    unsigned dart = (unsigned)draw_between(0, options.weight_sum - 1);
    struct request *r = options.requests;
    while (dart >= r->weight)
        dart -= r++->weight;
    return r;
}

static void conn_start(struct conn *c, uint64_t now)
{
    c->request = pick_request();
    conn_build(c);
    c->started = now;
    c->phase = HEAD;
    c->head_len = c->tail_len = c->sample_len = c->line_len = 0;
    c->body_len = 0;
    c->found = c->expect_len == 0;
    run.in_flight++;
    conn_flush(c);
}

static void conn_connect(struct conn *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 ||
        connect(c->fd, (struct sockaddr *)&options.address, sizeof options.address) < 0)
        die("connect: %s", strerror(errno));
    int one = 1;
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        die("TCP_NODELAY: %s", strerror(errno));
    int flags = fcntl(c->fd, F_GETFL);
    if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        die("O_NONBLOCK: %s", strerror(errno));
    watch(c, EPOLL_CTL_ADD, false);
}

// ---- receiving ----

static bool header_is(const char *line, size_t len, const char *name, size_t name_len)
{
    return len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0;
}

static void parse_head(struct conn *c, const char *head, size_t len)
{
    const char *end = head + len;
    c->status = len > 12 ? (int)strtol(head + 9, NULL, 10) : 0;
    c->left = 0;
    c->close = false;
    bool chunked = false;
    const char *line = memchr(head, '\n', len);
    while (line && ++line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = (size_t)((next ? next : end) - line);
        if (header_is(line, line_len, "content-length", 14))
            c->left = strtoull(line + 15, NULL, 10);
        else if (header_is(line, line_len, "transfer-encoding", 17))
            chunked = memmem(line, line_len, "chunked", 7) != NULL;
        else if (header_is(line, line_len, "connection", 10))
            c->close = memmem(line, line_len, "close", 5) != NULL;
        line = next;
    }
    if (c->status == 204 || c->status == 304)
        c->phase = DONE;
    else if (chunked)
        c->phase = CHUNK_SIZE;
    else
        c->phase = c->left ? SIZED_BODY : DONE;
}

// Takes bytes of the head; returns how many of them belong to it.
static size_t take_head(struct conn *c, const char *p, size_t len)
{
    if (c->head_len == 0) {
        const char *stop = memmem(p, len < MAX_HEAD ? len : MAX_HEAD, "\r\n\r\n", 4);
        if (stop) {
            parse_head(c, p, (size_t)(stop - p) + 2);
            return (size_t)(stop - p) + 4;
        }
    }
    size_t room = MAX_HEAD - c->head_len, before = c->head_len;
    if (room == 0)
        die("a response head of more than %d bytes", MAX_HEAD);
    size_t part = len < room ? len : room;
    memcpy(c->head + c->head_len, p, part);
    c->head_len += part;
    const char *stop = memmem(c->head, c->head_len, "\r\n\r\n", 4);
    if (!stop)
        return part;
    size_t head_len = (size_t)(stop - c->head) + 4;
    parse_head(c, c->head, head_len - 2);
    return head_len - before;
}

static void search_body(struct conn *c, const char *p, size_t len)
{
    char seam[2 * MAX_EXPECT];
    size_t overlap = c->expect_len - 1, part = len < overlap ? len : overlap;
    memcpy(seam, c->tail, c->tail_len);
    memcpy(seam + c->tail_len, p, part);
    size_t seam_len = c->tail_len + part;
    c->found = memmem(seam, seam_len, c->expect, c->expect_len) != NULL ||
               memmem(p, len, c->expect, c->expect_len) != NULL;
    if (c->found)
        return;
    if (len >= overlap) {
        memcpy(c->tail, p + len - overlap, overlap);
        c->tail_len = overlap;
    } else {
        size_t keep = seam_len < overlap ? seam_len : overlap;
        memcpy(c->tail, seam + seam_len - keep, keep);
        c->tail_len = keep;
    }
}

static size_t take_body(struct conn *c, const char *p, size_t len)
{
    size_t part = len < c->left ? len : (size_t)c->left;
    if (c->body_len == 0) {
        c->sample_len = part < SAMPLE ? part : SAMPLE;
        memcpy(c->sample, p, c->sample_len);
    }
    c->left -= part;
    c->body_len += part;
    if (!c->found)
        search_body(c, p, part);
    return part;
}

// One line of the chunked coding, which may come in parts. Returns bytes taken; `*ret_ended` says
// that the line is whole, then c->head holds it.
static size_t take_line(struct conn *c, const char *p, size_t len, bool *ret_ended)
{
    const char *stop = memchr(p, '\n', len);
    size_t part = stop ? (size_t)(stop - p) + 1 : len;
    if (c->line_len + part >= MAX_HEAD)
        die("a chunk line of more than %d bytes", MAX_HEAD);
    memcpy(c->head + c->line_len, p, part);
    c->line_len += part;
    c->head[c->line_len] = 0;
    *ret_ended = stop != NULL;
    return part;
}

static size_t take_chunk_line(struct conn *c, const char *p, size_t len)
{
    bool ended;
    size_t part = take_line(c, p, len, &ended);
    if (!ended)
        return part;
    switch (c->phase) {
    case CHUNK_SIZE:
        c->left = strtoull(c->head, NULL, 16);
        c->phase = c->left ? CHUNK_DATA : TRAILER;
        break;
    case CHUNK_END:
        c->phase = CHUNK_SIZE;
        break;
    default: // TRAILER: an empty line ends the message
        if (c->line_len <= 2)
            c->phase = DONE;
        break;
    }
    c->line_len = 0;
    return part;
}

// The first line of Redis' answer: all of it, or the length of what follows.
static size_t take_reply(struct conn *c, const char *p, size_t len)
{
    bool ended;
    size_t part = take_line(c, p, len, &ended);
    if (!ended)
        return part;
    long follows = c->head[0] == '$' ? strtol(c->head + 1, NULL, 10) : 0;
    c->status = c->head[0] == '-' ? 500 : follows < 0 ? 404 : 200;
    c->close = false;
    if (c->head[0] == '$' && follows >= 0) {
        c->left = (uint64_t)follows + 2; // with its line's end
        c->phase = SIZED_BODY;
        return part;
    }
    size_t shown = c->line_len;
    c->line_len = 0;
    c->left = shown;
    (void)take_body(c, c->head, shown);
    c->phase = DONE;
    return part;
}

static size_t conn_take(struct conn *c, const char *p, size_t len)
{
    size_t part;
    switch (c->phase) {
    case HEAD:
        return options.redis ? take_reply(c, p, len) : take_head(c, p, len);
    case SIZED_BODY:
        part = take_body(c, p, len);
        if (c->left == 0)
            c->phase = DONE;
        return part;
    case CHUNK_DATA:
        part = take_body(c, p, len);
        if (c->left == 0)
            c->phase = CHUNK_END;
        return part;
    case CHUNK_SIZE:
    case CHUNK_END:
    case TRAILER:
        return take_chunk_line(c, p, len);
    case DONE:
        break;
    }
    die("the server sent more than it was asked for");
}

// ---- the life of a request ----

static void count_error(struct conn *c, const char *what)
{
    run.errors++;
    c->request->errors++;
    if (!run.first_error[0])
        snprintf(run.first_error, sizeof run.first_error,
                 "%s: %s: status %d, %" PRIu64 " bytes: %.*s", c->request->name, what, c->status,
                 c->body_len, (int)c->sample_len, c->sample);
    if (run.errors > GIVE_UP_ERRORS)
        die("%d errors, the first: %s", GIVE_UP_ERRORS, run.first_error);
}

static void conn_reconnect(struct conn *c)
{
    close(c->fd);
    conn_connect(c);
}

static void conn_finish(struct conn *c, uint64_t now)
{
    run.in_flight--;
    if (c->status < 200 || c->status > 299)
        count_error(c, "status");
    else if (!c->found)
        count_error(c, "expected text missing");
    else if (c->body_len < c->request->min_body)
        count_error(c, "body too short");
    else if (run.counting) {
        // A slow answer that ends after the window still is a latency, but not throughput.
        histogram_add(&c->request->latency, now - c->started);
        if (!run.draining) {
            run.completed++;
            run.bytes += c->body_len;
        }
    }
    if (c->close)
        conn_reconnect(c);
    if (!run.draining)
        run.ready[run.ready_count++] = c;
}

static void conn_readable(struct conn *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, receive_buffer, sizeof receive_buffer, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            run.in_flight -= c->phase != DONE;
            count_error(c, "connection closed by the server");
            conn_reconnect(c);
            if (!run.draining)
                conn_start(c, now_ns());
            return;
        }
        const char *p = receive_buffer, *end = p + n;
        while (p < end)
            p += conn_take(c, p, (size_t)(end - p));
        if (c->phase == DONE) {
            conn_finish(c, now_ns());
            return;
        }
        if ((size_t)n < sizeof receive_buffer)
            return;
    }
}

// Runs until `deadline`, or less: until nothing is in flight when draining, until `enough` answers
// were counted when it is not 0.
static void run_until(uint64_t deadline, uint64_t enough)
{
    struct epoll_event events[READY_MAX];
    for (;;) {
        uint64_t now = now_ns();
        if (now >= deadline || (run.draining && run.in_flight == 0) ||
            (enough && run.completed >= enough))
            return;
        int wait_ms = (int)((deadline - now) / 1000000u) + 1;
        int n = epoll_wait(run.epoll, events, READY_MAX, wait_ms);
        if (n < 0 && errno != EINTR)
            die("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                conn_flush(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                conn_readable(c);
        }
        // Answers that came together are followed by requests that go together: waking the server for
        // each of them would measure the scheduler.
        for (unsigned i = 0; i < run.ready_count; i++)
            conn_start(run.ready[i], now_ns());
        run.ready_count = 0;
    }
}

// ---- processor time ----

static double server_cpu_seconds(void)
{
    double sum = 0;
    for (unsigned i = 0; i < options.pid_count; i++) {
        char path[64], line[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", options.pids[i]);
        FILE *f = fopen(path, "r");
        if (!f || !fgets(line, sizeof line, f))
            die("%s: %s", path, strerror(errno));
        fclose(f);
        // The name in parentheses may hold anything; the fields after it are fixed.
        const char *p = strrchr(line, ')');
        unsigned long user, kernel;
        if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &kernel) != 2)
            die("%s: cannot be read", path);
        sum += (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
    }
    return sum;
}

static double own_cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// ---- the report ----

static void put_json_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
            printf("\\u%04x", (unsigned)(unsigned char)*s);
        else
            putchar(*s);
    }
    putchar('"');
}

static void put_latency(const struct histogram *h)
{
    printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"mean_us\":%.1f", histogram_us(h, 0.5),
           histogram_us(h, 0.99), (double)h->max / 1e3,
           h->count ? (double)h->sum / (double)h->count / 1e3 : 0);
}

static void report(double seconds, double server_cpu, double own_cpu)
{
    static struct histogram all;
    for (unsigned i = 0; i < options.request_count; i++) {
        const struct histogram *h = &options.requests[i].latency;
        all.count += h->count;
        all.sum += h->sum;
        all.max = h->max > all.max ? h->max : all.max;
        for (unsigned b = 0; b < BUCKETS; b++)
            all.bucket[b] += h->bucket[b];
    }
    double requests = (double)run.completed;
    printf("{\"connections\":%u,\"seconds\":%.3f,\"requests\":%" PRIu64 ",\"errors\":%" PRIu64
           ",\"rate\":%.1f,\"body_bytes\":%.0f,",
           options.connections, seconds, run.completed, run.errors, requests / seconds,
           requests > 0 ? (double)run.bytes / requests : 0);
    put_latency(&all);
    printf(",\"server_cpu_us\":%.2f,\"server_cpu\":%.3f,\"client_cpu\":%.3f,\"kinds\":[",
           requests > 0 ? server_cpu * 1e6 / requests : 0, server_cpu / seconds, own_cpu / seconds);
    for (unsigned i = 0; i < options.request_count; i++) {
        const struct request *r = &options.requests[i];
        printf("%s{\"name\":", i ? "," : "");
        put_json_string(r->name);
        printf(",\"requests\":%" PRIu64 ",\"errors\":%" PRIu64 ",", r->latency.count, r->errors);
        put_latency(&r->latency);
        putchar('}');
    }
    printf("],\"first_error\":");
    if (run.first_error[0])
        put_json_string(run.first_error);
    else
        fputs("null", stdout);
    puts("}");
}

// ---- options ----

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "r");
    if (!f)
        die("%s: %s", path, strerror(errno));
    size_t len = 0, cap = 4096;
    char *text = must_alloc(cap);
    for (size_t n; (n = fread(text + len, 1, cap - len - 1, f)) > 0;) {
        len += n;
        if (len + 1 == cap) {
            cap *= 2;
            text = realloc(text, cap);
            if (!text)
                die("out of memory");
        }
    }
    if (ferror(f))
        die("%s: cannot be read", path);
    fclose(f);
    text[len] = 0;
    *ret_len = len;
    return text;
}

// The head's lines end in \n in the file and in \r\n on the wire.
static char *wire_head(const char *text, size_t len, size_t *ret_len)
{
    char *head = must_alloc(2 * len + 4), *p = head;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r')
            continue;
        if (text[i] == '\n')
            *p++ = '\r';
        *p++ = text[i];
    }
    if (p == head || p[-1] != '\n')
        p = stpcpy(p, "\r\n");
    *ret_len = (size_t)(p - head);
    return head;
}

static void add_words(struct request *r, char *text)
{
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
        if (r->word_count == MAX_WORDS)
            die("at most %d words in a command", MAX_WORDS);
        r->words[r->word_count] = form_parse(word, strlen(word));
        r->body.room += r->words[r->word_count++].room + 32;
    }
}

static void add_request(const char *path)
{
    if (options.request_count == MAX_REQUESTS)
        die("at most %d requests", MAX_REQUESTS);
    size_t len, head_len;
    char *text = read_file(path, &len);
    char *gap = strstr(text, "\n\n");
    struct request *r = &options.requests[options.request_count++];
    const char *slash = strrchr(path, '/');
    char *head = wire_head(text, gap ? (size_t)(gap - text) + 1 : len, &head_len);
    *r = (struct request){ .name = slash ? slash + 1 : path, .weight = 1, .low = 1, .high = 1 };
    if (options.redis) {
        add_words(r, text);
        return;
    }
    r->head = form_parse(head, head_len);
    r->has_body = gap && gap[2];
    if (r->has_body)
        r->body = form_parse(gap + 2, len - (size_t)(gap + 2 - text));
}

static double number_option(const char *name, const char *text, double low, double high)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= low && value <= high))
        die("--%s: a number from %g to %g, not '%s'", name, low, high, text);
    return value;
}

static const char help[] =
    "load --port PORT --request FILE [options of this request] [--request FILE ...] [options]\n"
    "  --redis           speak Redis' protocol; comes first\n"
    "  --connections N   keep-alive connections (1)\n"
    "  --seconds S       measured time (2)      --warmup S   uncounted time before it (0.5)\n"
    "  --pid PID         server process whose processor time counts; may repeat\n"
    "of the --request before:\n"
    "  --weight N        its share among several (1)\n"
    "  --keys LOW-HIGH   range of {key}\n"
    "  --expect TEXT     the body must hold it  --min-body N   and be so long\n"
    "One JSON object on stdout. Exit 1 if any answer was wrong, 2 if the run failed.\n";

static struct request *last_request(const char *option)
{
    if (options.request_count == 0)
        die("--%s belongs after a --request", option);
    return &options.requests[options.request_count - 1];
}

static void parse_keys(const char *text)
{
    struct request *r = last_request("keys");
    if (sscanf(text, "%" SCNu64 "-%" SCNu64, &r->low, &r->high) != 2 || r->low > r->high)
        die("--keys: LOW-HIGH, not '%s'", text);
}

static void parse_options(int argc, char **argv)
{
    static const struct option table[] = {
        { "port", 1, NULL, 'p' },   { "connections", 1, NULL, 'c' }, { "seconds", 1, NULL, 's' },
        { "warmup", 1, NULL, 'w' }, { "request", 1, NULL, 'r' },     { "weight", 1, NULL, 'W' },
        { "redis", 0, NULL, 'R' },  { "keys", 1, NULL, 'k' },   { "expect", 1, NULL, 'e' },      { "min-body", 1, NULL, 'm' },
        { "pid", 1, NULL, 'P' },    { "help", 0, NULL, 'h' },        { 0 }
    };
    options.address.sin_family = AF_INET;
    options.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int o, i; (o = getopt_long(argc, argv, "", table, &i)) != -1;) {
        switch (o) {
        case 'R':
            options.redis = true;
            break;
        case 'p':
            options.address.sin_port = htons((uint16_t)number_option("port", optarg, 1, 65535));
            break;
        case 'c':
            options.connections = (unsigned)number_option("connections", optarg, 1, 60000);
            break;
        case 's':
            options.seconds = number_option("seconds", optarg, 0.01, 3600);
            break;
        case 'w':
            options.warmup = number_option("warmup", optarg, 0, 3600);
            break;
        case 'r':
            add_request(optarg);
            break;
        case 'W':
            last_request("weight")->weight = (unsigned)number_option("weight", optarg, 1, 1e6);
            break;
        case 'k':
            parse_keys(optarg);
            break;
        case 'm':
            last_request("min-body")->min_body = (uint64_t)number_option("min-body", optarg, 0,
                                                                         1e12);
            break;
        case 'e':
            last_request("expect")->expect = form_parse(optarg, strlen(optarg));
            if (last_request("expect")->expect.room > MAX_EXPECT)
                die("--expect: at most %d bytes", MAX_EXPECT);
            break;
        case 'P':
            if (options.pid_count == MAX_PIDS)
                die("at most %d --pid", MAX_PIDS);
            options.pids[options.pid_count++] = (int)number_option("pid", optarg, 1, 1e9);
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            fputs(help, stderr);
            exit(2);
        }
    }
    if (optind < argc || options.request_count == 0 || options.address.sin_port == 0) {
        fputs(help, stderr);
        exit(2);
    }
    for (unsigned i = 0; i < options.request_count; i++)
        options.weight_sum += options.requests[i].weight;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    draw_start();
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (run.epoll < 0)
        die("epoll: %s", strerror(errno));

    size_t room = 64;
    for (unsigned i = 0; i < options.request_count; i++)
        if (options.requests[i].head.room + options.requests[i].body.room + 64 > room)
            room = options.requests[i].head.room + options.requests[i].body.room + 64;
    struct conn *conns = must_alloc(options.connections * sizeof *conns);
    for (unsigned i = 0; i < options.connections; i++) {
        conns[i].out = must_alloc(room);
        conn_connect(&conns[i]);
    }
    for (unsigned i = 0; i < options.connections; i++)
        conn_start(&conns[i], now_ns());

    run_until(now_ns() + (uint64_t)(options.warmup * 1e9), 0);
    run.counting = true;
    double server_cpu = server_cpu_seconds(), own_cpu = own_cpu_seconds();
    uint64_t start = now_ns();
    run_until(start + (uint64_t)(options.seconds * 1e9), 0);
    // A server may answer all connections at once, long after they asked: a rate needs one round.
    run_until(now_ns() + OVERTIME_NS, options.connections);
    double seconds = (double)(now_ns() - start) / 1e9;
    server_cpu = server_cpu_seconds() - server_cpu;
    own_cpu = own_cpu_seconds() - own_cpu;
    run.draining = true;
    run_until(now_ns() + DRAIN_NS, 0);
    if (run.in_flight > 0)
        die("%u requests unanswered", run.in_flight);
    report(seconds, server_cpu, own_cpu);
    return run.errors ? 1 : 0;
}
