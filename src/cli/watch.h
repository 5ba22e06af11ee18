/*
 * watch.h - says when something in a set of folders has changed, once for a whole burst of changes.
 *
 * Folders and not files: editors save by writing a new file over the old one, which a watch on a file would miss. Subfolders
 * are not looked into. Everything runs on the thread of the loop.
 */
#ifndef DIONE_CLI_WATCH_H
#define DIONE_CLI_WATCH_H

#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>
#include <uv.h>

struct watch;

struct watch_options {
    unsigned quiet_ms;
    /* Called `quiet_ms` after the last change of a burst, and at the latest ten times that after the first. */
    void (*on_change)(void *arg);
    /* Whether a change of this file or folder counts; `path` lives for the call. NULL: each does. */
    bool (*matters)(void *arg, const char *path);
    void *arg;
};

struct watch *watch_new(uv_loop_t *loop, const struct watch_options *opt);
/*
 * From now on these folders (absolute; twice is fine) and no others. One that was removed and made again is watched anew.
 * Folders that are not there are passed over. FULL: the system has no more watches to give; *err says how many folders
 * are watched without.
 */
enum status watch_set(struct watch *w, const struct slice *folders, size_t n, struct error *err) MUST_CHECK;
/* Ends it; the loop must run once more before it is closed. NULL is fine. */
void watch_free(struct watch *w);

#endif
