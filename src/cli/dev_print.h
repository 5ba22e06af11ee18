/* dev_print.h - what `dione dev` shows: requests, console output, its own remarks. A line is written whole. Any thread. */
#ifndef DIONE_CLI_DEV_PRINT_H
#define DIONE_CLI_DEV_PRINT_H

#include "cli/bundle.h"
#include "workers/runtime.h"

#include <pthread.h>

struct source_map;

struct dev_print {
    pthread_mutex_t lock;
    struct source_map *map; /* of the bundle that runs; NULL: none. Under the lock, like the rest */
    bool starting, in_failure;
};

void dev_print_init(struct dev_print *p);
void dev_print_release(struct dev_print *p);
/* A process is being started (what it says of its own failing comes back as an error too) or no longer. */
void dev_print_starting(struct dev_print *p, bool starting);
/* From now on places in stack traces are told as places in the project's files. */
void dev_print_use_map(struct dev_print *p, const struct bundle *b);

/* The runtime's hooks; arg is the struct dev_print. */
void dev_print_access(void *arg, const struct runtime_access *access);
void dev_print_output(void *arg, struct slice worker, bool is_error, struct slice line);

/* For runtime_tail_subscribe: exceptions that nobody caught, and crons with their outcome. */
void dev_print_event(void *arg, struct slice json);

/* A remark of our own, to standard output. */
void dev_say(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Text that is laid out already, to standard error; places in it are translated by the map that is given, or by none. */
void dev_complain(struct slice text, const struct source_map *map);
/* Whether standard error is a terminal that shows colours. */
bool dev_has_color(void);

#endif
