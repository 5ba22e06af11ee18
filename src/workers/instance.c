/* instance.c - see instance.h. */
#include "workers/instance.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    FIRST_BACKOFF_MS = 100,
    MAX_BACKOFF_MS = 10000,
    STEADY_MS = 1000, /* a process that lived so long is started again at once */
    RETIRE_TICK_MS = 100,
    RETIRE_TERM_MS = 30000, /* from SIGTERM, at which workerd ends what other Workers asked of it, to SIGKILL */
    STOP_TERM_MS = 5000,
    STOP_LINGER_MS = 1000, /* for what is behind the last answers, and for crons, when Dione stops */
    STOP_DRAIN_MS = 3000,
    LONGEST_LINE = 4 << 20,
    LAST_WORDS_MAX = 16 * 1024, /* of a start that fails */
    DYING_WORDS_MAX = 1024,     /* of a process that ran */
    /* V8 reserves address ranges that count as data without being memory. */
    RESERVED_BYTES = 1 << 30,
};

/* A stream of lines from the process. */
struct lines {
    uv_pipe_t pipe;
    struct run *run;
    struct buf rest;
    bool skipping; /* the rest of a line that was too long */
    void (*on_line)(struct run *run, struct slice line);
};

/* One start: what libuv holds of it. Lives until all of that is closed. */
struct run {
    struct instance *instance; /* NULL: no longer its run */
    struct process process;
    uv_poll_t exit;
    struct lines out, err, control;
    int n_handles;
    size_t n_accepting; /* sockets that it said it accepts on */
    char chunk[64 * 1024];
};

static int64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

/* ---- making ---- */

static enum status listen_at(const char *path, int *ret, struct error *err)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(sa.sun_path))
        return error_set(err, STATUS_INVALID, 0, "the path of the Worker's socket is too long: %s", path);
    memcpy(sa.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, BACKLOG) != 0) {
        int why = errno;
        if (fd >= 0)
            (void)close(fd); /* never listened */
        return error_errno(err, why, "cannot listen on %s", path);
    }
    *ret = fd;
    return STATUS_OK;
}

static enum status add_socket(struct instance *in, const char *name, const char *path, struct error *err)
{
    struct process_socket *s = &in->sockets[in->n_sockets];

    if (in->n_sockets == PROCESS_MAX_SOCKETS)
        return error_set(err, STATUS_LIMIT, 0, "The Worker has more than %d entrypoints that others call",
                         PROCESS_MAX_SOCKETS - 2);
    snprintf(s->name, sizeof(s->name), "%s", name);
    enum status st = listen_at(path, &s->fd, err);
    if (st == STATUS_OK)
        in->n_sockets++;
    return st;
}

static enum status make_entry_sockets(struct instance *in, struct error *err)
{
    in->entry_paths = calloc(in->opt.n_entrypoints + 1, sizeof(char *));
    if (!in->entry_paths)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < in->opt.n_entrypoints; i++) {
        char path[128], name[32];
        snprintf(path, sizeof(path), "%s/i%llu.%zu", in->opt.run_dir, (unsigned long long)in->opt.number, i);
        snprintf(name, sizeof(name), "entry-%zu", i);
        if (!(in->entry_paths[i] = strdup(path)))
            return error_set(err, STATUS_NOMEM, 0, "out of memory");
        enum status st = add_socket(in, name, path, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static enum status make_sockets(struct instance *in, struct error *err)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/i%llu", in->opt.run_dir, (unsigned long long)in->opt.number);
    in->target = target_new(path, in->opt.n_loops);
    if (!in->target)
        return error_set(err, STATUS_NOMEM, 0, "out of memory, or too long a path: %s", path);
    snprintf(in->cron_path, sizeof(in->cron_path), "%s/i%llu.cron", in->opt.run_dir,
             (unsigned long long)in->opt.number);
    enum status st = add_socket(in, "http", in->target->path, err);
    if (st == STATUS_OK)
        st = add_socket(in, "cron", in->cron_path, err);
    return st == STATUS_OK ? make_entry_sockets(in, err) : st;
}

enum status instance_new(const struct instance_options *opt, struct instance **ret, struct error *err)
{
    struct instance *in = calloc(1, sizeof(*in));

    if (!in)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    in->opt = *opt;
    snprintf(in->name, sizeof(in->name), "%.*s", SLICE_FMT(opt->name));
    snprintf(in->version, sizeof(in->version), "%.*s", SLICE_FMT(opt->version));
    in->last_words.limit = LAST_WORDS_MAX;
    enum status st = make_sockets(in, err);
    if (st != STATUS_OK) {
        instance_free(in);
        return st;
    }
    *ret = in;
    return STATUS_OK;
}

static void close_sockets(struct instance *in)
{
    for (size_t i = 0; i < in->n_sockets; i++)
        (void)close(in->sockets[i].fd); /* whoever waits there is told by a reset */
    in->n_sockets = 0;
    if (in->target)
        (void)unlink(in->target->path); /* may never have been made */
    (void)unlink(in->cron_path);
    for (size_t i = 0; in->entry_paths && in->entry_paths[i]; i++)
        (void)unlink(in->entry_paths[i]);
}

void instance_free(struct instance *in)
{
    if (!in)
        return;
    close_sockets(in);
    target_unref(in->target);
    buf_release(&in->config);
    buf_release(&in->last_words);
    for (size_t i = 0; in->entry_paths && in->entry_paths[i]; i++)
        free(in->entry_paths[i]);
    free(in->entry_paths);
    free(in);
}

/* ---- lines of the process ---- */

static void take_lines(struct lines *l, const char *data, size_t len)
{
    struct slice rest = slice_of(data, len);

    while (rest.len) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t n = end ? (size_t)(end - rest.ptr) : rest.len;
        if (!l->skipping && l->rest.len + n <= LONGEST_LINE)
            buf_append(&l->rest, rest.ptr, n);
        else
            l->skipping = true;
        if (end && !l->skipping && l->run->instance)
            l->on_line(l->run, buf_slice(&l->rest));
        if (end) {
            buf_clear(&l->rest);
            l->skipping = false;
        }
        rest = slice_from(rest, n + (end != NULL));
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *ret)
{
    struct lines *l = handle->data;

    *ret = uv_buf_init(l->run->chunk, sizeof(l->run->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct lines *l = stream->data;

    if (n > 0)
        take_lines(l, b->base, (size_t)n);
    else if (n < 0)
        uv_read_stop(stream);
}

/* What is still in the pipe of a process that has ended. */
static void read_rest(struct lines *l)
{
    uv_os_fd_t fd;
    ssize_t n;

    if (uv_fileno((uv_handle_t *)&l->pipe, &fd) != 0)
        return;
    while ((n = read(fd, l->run->chunk, sizeof(l->run->chunk))) > 0)
        take_lines(l, l->run->chunk, (size_t)n);
    if (l->rest.len && !l->skipping && l->run->instance)
        l->on_line(l->run, buf_slice(&l->rest));
    buf_clear(&l->rest);
}

static void on_out_line(struct run *run, struct slice line)
{
    run->instance->opt.hooks.on_line(run->instance, false, line);
}

static void on_err_line(struct run *run, struct slice line)
{
    struct instance *in = run->instance;

    if (in->state != INSTANCE_STARTING && in->last_words.len > DYING_WORDS_MAX)
        buf_clear(&in->last_words);
    if (in->last_words.len + line.len + 1 < LAST_WORDS_MAX) {
        buf_append_slice(&in->last_words, line);
        buf_append_char(&in->last_words, '\n');
    }
    in->opt.hooks.on_line(in, true, line);
}

static void become_running(struct instance *in);

/* {"event":"listen",...} once for each socket. */
static void on_control_line(struct run *run, struct slice line)
{
    struct instance *in = run->instance;

    if (!memmem(line.ptr, line.len, "\"listen\"", 8))
        return;
    if (++run->n_accepting == in->n_sockets && in->state == INSTANCE_STARTING)
        become_running(in);
}

/* ---- one run ---- */

static void on_run_handle_closed(uv_handle_t *handle)
{
    struct run *run = CONTAINER_OF(handle, struct run, exit);

    if (handle->type == UV_NAMED_PIPE)
        run = ((struct lines *)handle->data)->run;
    if (--run->n_handles)
        return;
    (void)close(run->process.pid_fd); /* watched no more */
    buf_release(&run->out.rest);
    buf_release(&run->err.rest);
    buf_release(&run->control.rest);
    free(run);
}

static void run_close(struct run *run)
{
    run->instance = NULL;
    uv_close((uv_handle_t *)&run->exit, on_run_handle_closed);
    uv_close((uv_handle_t *)&run->out.pipe, on_run_handle_closed);
    uv_close((uv_handle_t *)&run->err.pipe, on_run_handle_closed);
    uv_close((uv_handle_t *)&run->control.pipe, on_run_handle_closed);
}

static void on_ended(struct instance *in, const char *how);

static void on_exit_readable(uv_poll_t *poll, int rc UNUSED, int events UNUSED)
{
    struct run *run = CONTAINER_OF(poll, struct run, exit);
    struct instance *in = run->instance;
    char how[96];

    uv_poll_stop(poll);
    process_reap(run->process.pid, how, sizeof(how));
    read_rest(&run->control);
    read_rest(&run->out);
    read_rest(&run->err);
    run_close(run);
    in->run = NULL;
    atomic_store(&in->pid, 0);
    on_ended(in, how);
}

static void watch_lines(struct run *run, struct lines *l, int fd, void (*on_line)(struct run *, struct slice))
{
    l->run = run;
    l->on_line = on_line;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* cannot fail on a fresh pipe */
    uv_pipe_init(&run->instance->opt.loop->uv, &l->pipe, 0);
    l->pipe.data = l;
    if (uv_pipe_open(&l->pipe, fd) == 0)
        (void)uv_read_start((uv_stream_t *)&l->pipe, on_alloc, on_read);
    else
        (void)close(fd); /* libuv did not take it */
}

static enum status run_new(struct instance *in, struct error *err)
{
    struct process_options opt = {
        .program = in->opt.program,
        .config = buf_slice(&in->config),
        .sockets = in->sockets,
        .n_sockets = in->n_sockets,
        .stable_only = in->opt.stable_only,
        .data_limit_bytes = in->opt.memory_limit_bytes * 2 + RESERVED_BYTES,
    };
    struct run *run = calloc(1, sizeof(*run));

    if (!run)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    enum status st = process_start(&opt, &run->process, err);
    if (st != STATUS_OK) {
        free(run);
        return st;
    }
    run->instance = in;
    run->n_handles = 4;
    in->run = run;
    atomic_store(&in->pid, run->process.pid);
    watch_lines(run, &run->out, run->process.out, on_out_line);
    watch_lines(run, &run->err, run->process.err, on_err_line);
    watch_lines(run, &run->control, run->process.control, on_control_line);
    uv_poll_init(&in->opt.loop->uv, &run->exit, run->process.pid_fd);
    uv_poll_start(&run->exit, UV_READABLE, on_exit_readable);
    return STATUS_OK;
}

/* ---- states ---- */

static void send_signal(struct instance *in, int sig)
{
    if (in->run)
        (void)kill(in->run->process.pid, sig); /* not reaped yet, so the number is still its own */
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct instance *in = handle->data;

    in->opt.hooks.on_gone(in);
    instance_free(in);
}

static void be_gone(struct instance *in)
{
    in->state = INSTANCE_GONE;
    close_sockets(in);
    uv_close((uv_handle_t *)&in->timer, on_timer_closed);
}

static void on_start_limit(uv_timer_t *timer)
{
    struct instance *in = timer->data;

    buf_printf(&in->last_words, "The script did not start within %lld ms.\n", (long long)in->opt.start_timeout_ms);
    send_signal(in, SIGKILL);
}

static void start_run(struct instance *in);

static void on_backoff_over(uv_timer_t *timer)
{
    start_run(timer->data);
}

static void wait_and_start(struct instance *in)
{
    in->state = INSTANCE_WAITING;
    uv_timer_start(&in->timer, on_backoff_over, (uint64_t)in->backoff_ms, 0);
    in->backoff_ms = in->backoff_ms ? 2 * in->backoff_ms : FIRST_BACKOFF_MS;
    if (in->backoff_ms > MAX_BACKOFF_MS)
        in->backoff_ms = MAX_BACKOFF_MS;
}

static void start_run(struct instance *in)
{
    struct error err;

    in->state = INSTANCE_STARTING;
    in->started_ms = now_ms();
    in->seen_cpu_ms = in->busy_ms = 0;
    in->death = NULL;
    buf_clear(&in->last_words);
    if (run_new(in, &err) == STATUS_OK) {
        uv_timer_start(&in->timer, on_start_limit, (uint64_t)in->opt.start_timeout_ms, 0);
        return;
    }
    buf_append_cstr(&in->last_words, err.msg);
    on_ended(in, "not started");
}

static void become_running(struct instance *in)
{
    uv_timer_stop(&in->timer);
    in->state = INSTANCE_RUNNING;
    atomic_store(&in->target->why_down, NULL);
    atomic_store(&in->target->limit_hit_ms, 0);
    buf_clear(&in->last_words);
    atomic_store(&in->target->state, TARGET_UP);
    if (!in->first_start_over) {
        in->first_start_over = true;
        in->opt.hooks.on_started(in, true, SLICE_NONE);
        return;
    }
    log_line(LOG_INFO, "Worker %s is up again after %lld ms", in->name,
             (long long)(now_ms() - atomic_load(&in->target->down_since_ms)));
}

static void mark_down(struct instance *in)
{
    struct target *t = in->target;

    if (atomic_load(&t->state) == TARGET_DOWN)
        return;
    atomic_store(&t->down_since_ms, now_ms());
    if (!atomic_load(&t->why_down))
        atomic_store(&t->why_down, "crashed");
    atomic_store(&t->state, TARGET_DOWN);
}

static void log_death(const struct instance *in, const char *how)
{
    const char *when = in->backoff_ms ? " in a while" : "";
    struct slice words = slice_trim(buf_slice(&in->last_words));
    size_t n = words.len < DYING_WORDS_MAX ? words.len : DYING_WORDS_MAX;

    if (in->death)
        log_line(LOG_WARN, "Worker %s %s; starting it again%s", in->name, atomic_load(&in->target->why_down), when);
    else
        log_line(LOG_WARN, "Worker %s: its process %s; starting it again%s%s%.*s", in->name, how, when,
                 n ? ". It said last: " : "", (int)n, n ? words.ptr + words.len - n : "");
}

static void on_ended(struct instance *in, const char *how)
{
    const struct instance_hooks *hooks = &in->opt.hooks;

    if (!in->first_start_over) {
        hooks->on_started(in, false, buf_slice(&in->last_words));
        be_gone(in);
        return;
    }
    if (in->state == INSTANCE_RETIRED) {
        be_gone(in);
        return;
    }
    bool was_running = in->state == INSTANCE_RUNNING;
    if (was_running && now_ms() - in->started_ms > STEADY_MS)
        in->backoff_ms = 0;
    mark_down(in);
    atomic_fetch_add(&in->n_restarts, 1);
    log_death(in, how);
    if (was_running)
        hooks->on_death(in, in->death ? in->death : "crashed", how);
    wait_and_start(in);
}

/* ---- the end of it ---- */

/* Whether what it does behind its answers may still go on. A tail Worker reports each request when that is over. */
static bool may_still_work(const struct instance *in)
{
    uint64_t n_requests = atomic_load(&in->target->n_requests);

    if (n_requests == 0 || (in->mark[0] && atomic_load(&in->n_events) >= n_requests))
        return false;
    return now_ms() - atomic_load(&in->target->last_end_ms) < in->opt.linger_ms;
}

bool instance_is_lingering(const struct instance *in)
{
    return in->state == INSTANCE_RETIRED && !in->term_ms && atomic_load(&in->target->n_requests) > 0 &&
           atomic_load(&in->target->n_in_flight) == 0;
}

void instance_end(struct instance *in)
{
    if (in->term_ms)
        return;
    in->term_ms = now_ms();
    send_signal(in, SIGTERM);
}

static void on_retire_tick(uv_timer_t *timer)
{
    struct instance *in = timer->data;
    int64_t now = now_ms();
    bool busy = atomic_load(&in->target->n_in_flight) > 0 || may_still_work(in);

    if (in->term_ms && now - in->term_ms > in->kill_after_ms)
        send_signal(in, SIGKILL);
    if (in->term_ms || (busy && now - in->retired_ms < in->opt.drain_ms))
        return;
    instance_end(in);
}

void instance_retire(struct instance *in)
{
    if (in->state == INSTANCE_RETIRED || in->state == INSTANCE_GONE)
        return;
    bool has_run = in->run != NULL;
    in->state = INSTANCE_RETIRED;
    in->retired_ms = now_ms();
    in->kill_after_ms = RETIRE_TERM_MS;
    atomic_store(&in->target->retired, true);
    in->opt.hooks.on_retire(in);
    uv_timer_stop(&in->timer);
    if (has_run)
        uv_timer_start(&in->timer, on_retire_tick, 2 * RETIRE_TICK_MS,
                       RETIRE_TICK_MS); /* a loop may just send one more */
    else
        be_gone(in);
}

void instance_stop(struct instance *in)
{
    if (!in->first_start_over) {
        send_signal(in, SIGKILL); /* nothing of it is in use: somebody waits for on_started, which its end calls */
        return;
    }
    instance_retire(in);
    if (in->state != INSTANCE_RETIRED)
        return;
    in->kill_after_ms = STOP_TERM_MS;
    if (in->opt.linger_ms > STOP_LINGER_MS)
        in->opt.linger_ms = STOP_LINGER_MS;
    in->opt.drain_ms = now_ms() - in->retired_ms + STOP_DRAIN_MS;
    on_retire_tick(&in->timer);
}

void instance_start(struct instance *in)
{
    uv_timer_init(&in->opt.loop->uv, &in->timer);
    in->timer.data = in;
    start_run(in);
}

/* ---- limits ---- */

static void kill_for(struct instance *in, const char *outcome, const char *why)
{
    in->death = outcome;
    atomic_store(&in->target->limit_hit_ms, now_ms());
    atomic_store(&in->target->why_down, why);
    if (in->state == INSTANCE_STARTING)
        buf_printf(&in->last_words, "The script %s.\n", why);
    send_signal(in, SIGKILL);
}

/* Processor time counts against it for as long as no answer moves and it never rests. */
static bool is_stuck(struct instance *in, const struct process_usage *u)
{
    uint64_t signs = atomic_load_explicit(&in->target->n_signs, memory_order_relaxed);

    in->busy_ms = signs != in->seen_signs || !u->computes ? 0 : in->busy_ms + u->cpu_ms - in->seen_cpu_ms;
    in->seen_signs = signs;
    in->seen_cpu_ms = u->cpu_ms;
    return in->busy_ms > in->opt.cpu_limit_ms;
}

void instance_watch(struct instance *in)
{
    struct process_usage usage;

    if (!in->run || in->death || !process_look(in->run->process.pid, &usage))
        return;
    if (in->state != INSTANCE_STARTING && is_stuck(in, &usage)) /* a start has a time limit of its own */
        kill_for(in, "exceededCpu", "exceeded its CPU time limit");
    else if (usage.resident_bytes > in->opt.memory_limit_bytes)
        kill_for(in, "exceededMemory", "exceeded its memory limit");
}
