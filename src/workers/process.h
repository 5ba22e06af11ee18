/*
 * process.h - one workerd process: its start, and what is left of it afterwards.
 *
 * It dies with the thread that started it (kill -9 of Dione leaves none behind), so that thread must live as long as the
 * process is wanted: the supervisor's.
 */
#ifndef DIONE_WORKERS_PROCESS_H
#define DIONE_WORKERS_PROCESS_H

#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>
#include <sys/types.h>

enum { PROCESS_MAX_SOCKETS = 32 };

struct process_socket {
    char name[32]; /* in the configuration */
    int fd;        /* listening; stays the caller's */
};

struct process_options {
    const char *program;
    struct slice config; /* Cap'n Proto text */
    const struct process_socket *sockets;
    size_t n_sockets;         /* at most PROCESS_MAX_SOCKETS */
    bool stable_only;         /* without --experimental */
    int64_t data_limit_bytes; /* of private memory, reserved but unused ranges included; 0: none */
};

struct process {
    pid_t pid;
    int pid_fd;   /* readable once it has ended */
    int out, err; /* its standard output and error */
    int control;  /* a line of JSON for each socket once it accepts */
};

/* All file descriptors of *ret are the caller's. */
enum status process_start(const struct process_options *opt, struct process *ret, struct error *err) MUST_CHECK;
/* After pid_fd became readable: takes the exit status and writes it in words. */
void process_reap(pid_t pid, char *ret_text, size_t cap);
struct process_usage {
    int64_t resident_bytes;
    int64_t cpu_ms; /* so far */
    bool computes;  /* at this moment; otherwise it waits for something */
};

/* False: it is gone. */
bool process_look(pid_t pid, struct process_usage *ret);

#endif
