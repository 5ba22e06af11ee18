/* subprocess.h - programs that a command starts and waits for: esbuild, a project's own build command. */
#ifndef DIONE_CLI_SUBPROCESS_H
#define DIONE_CLI_SUBPROCESS_H

#include "base/buf.h"
#include "base/error.h"

/* A growing, NULL-terminated list of owned texts. Zero it before use; aborts when memory runs out. */
struct arguments {
    char **items;
    size_t n;
};

void arguments_add(struct arguments *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arguments_release(struct arguments *a);

/*
 * Runs argv[0] (a path, or a name to be found in PATH) in `folder` with nothing on its standard input, and waits.
 * *ret_output gets both its output streams in the order they came; NULL: they go to our standard error.
 * *ret_code is its exit code, or 128 + the signal that ended it. Errors  NOTFOUND no such program; IO.
 */
enum status subprocess_run(char *const argv[], const char *folder, struct buf *ret_output, int *ret_code,
                           struct error *err) MUST_CHECK;

#endif
