/* program.h - where workerd is, and which one it is. Any thread; blocks. */
#ifndef DIONE_WORKERS_PROGRAM_H
#define DIONE_WORKERS_PROGRAM_H

#include "base/error.h"

enum { PROGRAM_PATH_MAX = 4096, PROGRAM_VERSION_MAX = 32 };

struct program {
    char path[PROGRAM_PATH_MAX];
    char version[PROGRAM_VERSION_MAX]; /* "2026-11-17" */
};

/*
 * Looks at `configured` alone when it is given, else at $DIONE_WORKERD, beside this executable, in deps/ of a source
 * tree, and along PATH. NOTIMPL: there is none that runs; the text says what to do.
 */
enum status program_find(const char *configured, struct program *ret, struct error *err) MUST_CHECK;

#endif
