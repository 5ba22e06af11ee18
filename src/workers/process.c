/* process.c - see process.h. */
#include "workers/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: 0 to 2 as ever, then these, then the sockets. */
enum { CONTROL_FD = 3, CONFIG_FD = 4, FIRST_SOCKET_FD = 5, ABOVE_ALL_FD = FIRST_SOCKET_FD + PROCESS_MAX_SOCKETS };

struct plan {
    const struct process_options *opt;
    int config;
    int out[2], err[2], control[2];
    pid_t parent;
    char *argv[16 + 2 * PROCESS_MAX_SOCKETS];
    char words[PROCESS_MAX_SOCKETS][64];
    char *envp[8];
    char variables[4][1024];
};

/* The configuration as a file without a name. */
static int make_config(struct slice text)
{
    int fd = memfd_create("dione-worker", MFD_CLOEXEC);

    for (size_t at = 0; fd >= 0 && at < text.len;) {
        ssize_t n = write(fd, text.ptr + at, text.len - at);
        if (n < 0 && errno != EINTR) {
            (void)close(fd); /* goes with it */
            return -1;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return fd;
}

static void plan_words(struct plan *p)
{
    size_t n = 0;

    p->argv[n++] = (char *)p->opt->program;
    p->argv[n++] = (char *)"serve";
    if (!p->opt->stable_only)
        p->argv[n++] = (char *)"--experimental"; /* config.c says why */
    p->argv[n++] = (char *)"-I/";
    p->argv[n++] = (char *)"/proc/self/fd/4";
    p->argv[n++] = (char *)"--control-fd=3";
    for (size_t i = 0; i < p->opt->n_sockets; i++) {
        snprintf(p->words[i], sizeof(p->words[i]), "%s=%d", p->opt->sockets[i].name, FIRST_SOCKET_FD + (int)i);
        p->argv[n++] = (char *)"--socket-fd";
        p->argv[n++] = p->words[i];
    }
    p->argv[n] = NULL;
}

/* Nothing of our environment: it may hold tokens. */
static void plan_environment(struct plan *p)
{
    static const char *const passed[] = { "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR" };
    size_t n = 0;

    p->envp[n++] = (char *)"TZ=UTC";
    for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
        const char *value = getenv(passed[i]);
        if (value && snprintf(p->variables[i], sizeof(p->variables[i]), "%s=%s", passed[i], value) <
                         (int)sizeof(p->variables[i]))
            p->envp[n++] = p->variables[i];
    }
    p->envp[n] = NULL;
}

/* ---- in the child, between fork and exec: system calls only ---- */

static void child_fail(const char *what)
{
    (void)!write(STDERR_FILENO, what, strlen(what)); /* nobody else can be told */
    _exit(127);
}

static int child_lift(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE_ALL_FD);

    if (high < 0)
        child_fail("cannot duplicate a file descriptor\n");
    return high;
}

/* First all out of the way, then each to its place: a source may sit where another one goes. */
static void child_place_files(const struct plan *p)
{
    int sockets[PROCESS_MAX_SOCKETS];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int in = child_lift(null), out = child_lift(p->out[1]), err = child_lift(p->err[1]);
    int control = child_lift(p->control[1]), config = child_lift(p->config);

    for (size_t i = 0; i < p->opt->n_sockets; i++)
        sockets[i] = child_lift(p->opt->sockets[i].fd);
    bool ok = dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2 && dup2(control, CONTROL_FD) == CONTROL_FD &&
              dup2(config, CONFIG_FD) == CONFIG_FD;
    for (size_t i = 0; i < p->opt->n_sockets; i++)
        ok = ok && dup2(sockets[i], FIRST_SOCKET_FD + (int)i) >= 0;
    if (!ok)
        child_fail("cannot place a file descriptor\n");
    (void)close_range(FIRST_SOCKET_FD + (unsigned)p->opt->n_sockets, ~0U,
                      0); /* what a caller of ours has left open, too */
}

static void child_run(const struct plan *p)
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* the supervisor blocks all */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setpgid(0, 0); /* Ctrl-C on our terminal is for us: we stop it in order */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != p->parent)
        _exit(127); /* we died before the line above */
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    child_place_files(p);
    if (chdir("/") != 0) /* no folder stays busy because of it */
        child_fail("cannot change to /\n");
    struct rlimit data = { .rlim_cur = (rlim_t)p->opt->data_limit_bytes, .rlim_max = (rlim_t)p->opt->data_limit_bytes };
    struct rlimit core = { 0 }; /* secrets stay out of core files */
    if (p->opt->data_limit_bytes > 0)
        (void)setrlimit(RLIMIT_DATA, &data); /* the watch on resident memory holds without it */
    (void)setrlimit(RLIMIT_CORE, &core);
    execve(p->opt->program, p->argv, p->envp);
    child_fail("cannot execute workerd\n");
}

/* ---- in the parent ---- */

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            (void)close(pair[i]); /* nothing was written here */
}

static enum status open_files(struct plan *p, struct error *err)
{
    p->config = make_config(p->opt->config);
    if (p->config < 0 || pipe2(p->out, O_CLOEXEC) != 0 || pipe2(p->err, O_CLOEXEC) != 0 ||
        pipe2(p->control, O_CLOEXEC) != 0)
        return error_errno(err, errno, "cannot start workerd");
    return STATUS_OK;
}

static enum status fork_child(struct plan *p, struct process *ret, struct error *err)
{
    p->parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "cannot start workerd");
    if (pid == 0)
        child_run(p);
    ret->pid = pid;
    ret->pid_fd = pidfd_open(pid, 0);
    if (ret->pid_fd < 0) {
        int why = errno;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return error_errno(err, why, "cannot watch workerd");
    }
    return STATUS_OK;
}

enum status process_start(const struct process_options *opt, struct process *ret, struct error *err)
{
    struct plan *p = calloc(1, sizeof(*p));

    if (!p)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    *p = (struct plan){ .opt = opt, .config = -1, .out = { -1, -1 }, .err = { -1, -1 }, .control = { -1, -1 } };
    plan_words(p);
    plan_environment(p);
    struct process made = { 0 };
    enum status st = open_files(p, err);
    if (st == STATUS_OK)
        st = fork_child(p, &made, err);
    if (st == STATUS_OK) {
        made.out = p->out[0];
        made.err = p->err[0];
        made.control = p->control[0];
        p->out[0] = p->err[0] = p->control[0] = -1;
        *ret = made;
    }
    close_pair(p->out);
    close_pair(p->err);
    close_pair(p->control);
    if (p->config >= 0)
        (void)close(p->config); /* the child has its own */
    free(p);
    return st;
}

void process_reap(pid_t pid, char *ret_text, size_t cap)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        snprintf(ret_text, cap, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(ret_text, cap, "ended with status %d", WEXITSTATUS(status));
}

bool process_look(pid_t pid, struct process_usage *ret)
{
    char path[64], text[1024], state;
    unsigned long user, system;
    long resident;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f); /* read only */
    text[n] = '\0';
    const char *after_name = strrchr(text, ')'); /* a name may hold anything */
    if (!after_name ||
        sscanf(after_name, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
               &state, &user, &system, &resident) != 4)
        return false;
    ret->resident_bytes = (int64_t)resident * sysconf(_SC_PAGESIZE);
    ret->cpu_ms = (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
    ret->computes = state == 'R';
    return true;
}
