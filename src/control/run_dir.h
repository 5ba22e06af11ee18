/*
 * run_dir.h - the private folder of a running server, for its Unix sockets and what its Workers' processes need.
 *
 * Not in the data directory, whose path may be longer than a socket's address can hold (108 bytes). The folder is
 * $XDG_RUNTIME_DIR/dione-run-XXXXXX, else /tmp/dione-run-XXXXXX, mode 0700. The file `lock` in it is locked for as long as
 * its server lives: a folder whose lock is free belongs to a dead process, and the next server that starts removes it.
 * Main thread.
 */
#ifndef DIONE_CONTROL_RUN_DIR_H
#define DIONE_CONTROL_RUN_DIR_H

#include "base/error.h"

enum { RUN_DIR_MAX = 64 }; /* bytes of its path, so that the name of a socket fits behind it */

struct run_dir {
    char path[RUN_DIR_MAX + 1];
    int lock_fd;
};

/* IO: says which folder could not be made. */
enum status run_dir_make(struct run_dir *ret, struct error *err) MUST_CHECK;
/* Removes it with all that is in it. Zeroed is fine. */
void run_dir_remove(struct run_dir *d);

#endif
