/* subprocess.c - see subprocess.h. */
#include "cli/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

void arguments_add(struct arguments *a, const char *fmt, ...)
{
    char **grown = realloc(a->items, (a->n + 2) * sizeof(*grown));
    va_list values;

    if (!grown)
        abort();
    a->items = grown;
    va_start(values, fmt);
    if (vasprintf(&a->items[a->n], fmt, values) < 0)
        abort();
    va_end(values);
    a->items[++a->n] = NULL;
}

void arguments_release(struct arguments *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->items[i]);
    free(a->items);
    *a = (struct arguments){ 0 };
}

/* A child starts with the signals as a shell would give them: the server in this process blocks and ignores some. */
static void plain_signals(posix_spawnattr_t *attr)
{
    sigset_t none, back;

    sigemptyset(&none);
    sigemptyset(&back);
    sigaddset(&back, SIGPIPE);
    sigaddset(&back, SIGINT);
    sigaddset(&back, SIGTERM);
    (void)posix_spawnattr_setsigmask(attr, &none); /* these three fail on bad arguments only */
    (void)posix_spawnattr_setsigdefault(attr, &back);
    (void)posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(char *const argv[], const char *folder, int out_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;

    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attr) != 0)
        abort();
    plain_signals(&attr);
    int rc = posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawnp(ret_pid, argv[0], &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rc;
}

static void collect(int fd, struct buf *out)
{
    char chunk[16 * 1024];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            buf_append(out, chunk, (size_t)n);
}

static int wait_for(pid_t pid)
{
    int how;

    while (waitpid(pid, &how, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

enum status subprocess_run(char *const argv[], const char *folder, struct buf *ret_output, int *ret_code,
                           struct error *err)
{
    int ends[2] = { -1, -1 };
    pid_t pid;

    if (ret_output && pipe2(ends, O_CLOEXEC) != 0)
        return error_errno(err, errno, "cannot start %s", argv[0]);
    int rc = spawn(argv, folder, ret_output ? ends[1] : STDERR_FILENO, &pid);
    if (ret_output)
        (void)close(ends[1]); /* the child has its own */
    if (rc == 0 && ret_output)
        collect(ends[0], ret_output);
    if (ret_output)
        (void)close(ends[0]); /* read only */
    if (rc != 0)
        return error_errno(err, rc, "cannot start %s", argv[0]);
    *ret_code = wait_for(pid);
    return STATUS_OK;
}
