/* program.c - see program.h. */
#include "workers/program.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__aarch64__)
#define PACKAGE "workerd-linux-arm64"
#else
#define PACKAGE "workerd-linux-64"
#endif

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

/* Beside this executable as installed, or in the deps/ of the tree it was built in. */
static bool find_near(char ret[PROGRAM_PATH_MAX])
{
    static const char *const places[] = { "workerd", "../libexec/dione/workerd",
                                          "../deps/node_modules/@cloudflare/" PACKAGE "/bin/workerd",
                                          "../../deps/node_modules/@cloudflare/" PACKAGE "/bin/workerd" };
    char self[PROGRAM_PATH_MAX - 128];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n <= 0)
        return false;
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = '\0';
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(ret, PROGRAM_PATH_MAX, "%s/%s", self, places[i]);
        if (is_program(ret))
            return true;
    }
    return false;
}

static bool find_in_path(char ret[PROGRAM_PATH_MAX])
{
    const char *at = getenv("PATH");

    while (at && *at) {
        size_t len = strcspn(at, ":");
        int n = snprintf(ret, PROGRAM_PATH_MAX, "%.*s/workerd", (int)len, at);
        if (len && n < PROGRAM_PATH_MAX && is_program(ret))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

static enum status locate(const char *configured, char ret[PROGRAM_PATH_MAX], struct error *err)
{
    const char *said = configured ? configured : getenv("DIONE_WORKERD");

    if (said && *said) {
        if (strlen(said) >= PROGRAM_PATH_MAX || !is_program(said))
            return error_set(err, STATUS_NOTIMPL, 0, "Workers cannot run: '%s' (%s) is no program: %s", said,
                             configured ? "--workerd" : "DIONE_WORKERD", strerror(errno));
        snprintf(ret, PROGRAM_PATH_MAX, "%s", said);
        return STATUS_OK;
    }
    if (find_near(ret) || find_in_path(ret))
        return STATUS_OK;
    return error_set(err, STATUS_NOTIMPL, 0,
                     "Workers cannot run: workerd was not found. ./run installs it; or put it in PATH, or say where it "
                     "is with --workerd or DIONE_WORKERD");
}

/* Absolute, since the processes start in "/". */
static void make_absolute(char path[PROGRAM_PATH_MAX])
{
    char *real = realpath(path, NULL);

    if (real && strlen(real) < PROGRAM_PATH_MAX)
        snprintf(path, PROGRAM_PATH_MAX, "%s", real);
    free(real);
}

/* "workerd 2026-11-17" */
static enum status read_version(struct program *p, struct error *err)
{
    char command[PROGRAM_PATH_MAX + 32], line[128] = "", quoted[PROGRAM_PATH_MAX];
    size_t n = 0;

    for (const char *c = p->path; *c && n < sizeof(quoted) - 5; c++) {
        if (*c == '\'')
            n += (size_t)snprintf(quoted + n, sizeof(quoted) - n, "'\\''");
        else
            quoted[n++] = *c;
    }
    quoted[n] = '\0';
    snprintf(command, sizeof(command), "'%s' --version 2>/dev/null", quoted);
    FILE *out = popen(command, "re");
    bool ok = out && fgets(line, sizeof(line), out);
    if (out)
        ok = pclose(out) == 0 && ok;
    if (!ok || sscanf(line, "workerd %31s", p->version) != 1)
        return error_set(err, STATUS_NOTIMPL, 0, "Workers cannot run: '%s --version' does not answer as workerd does",
                         p->path);
    return STATUS_OK;
}

enum status program_find(const char *configured, struct program *ret, struct error *err)
{
    struct program *p = calloc(1, sizeof(*p));

    if (!p)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    enum status st = locate(configured, p->path, err);
    if (st == STATUS_OK) {
        make_absolute(p->path);
        st = read_version(p, err);
    }
    if (st == STATUS_OK)
        *ret = *p;
    free(p);
    return st;
}
