/*
 * progress.h - one line on standard error that says how far a long transfer is.
 *
 * Only on a terminal, only after a moment (quick commands stay quiet), at most ten times a second, and always
 * wiped in the end. Main thread.
 */
#ifndef DIONE_CLI_PROGRESS_H
#define DIONE_CLI_PROGRESS_H

#include "base/slice.h"

struct progress {
    const char *label;
    int64_t next_ns; /* monotonic: not drawn before */
    bool enabled, drawn;
};

/* `label` is borrowed until the next start or end. */
void progress_start(struct progress *p, const char *label);
/* total 0: not known. */
void progress_bytes(struct progress *p, uint64_t done, uint64_t total);
/* What the server says about itself, "Processed 12 queries." */
void progress_text(struct progress *p, struct slice text);
void progress_end(struct progress *p);

/* "512 B", "12.3 kB", "1.5 GB": decimal units, as wrangler prints sizes. */
enum { SIZE_TEXT_MAX = 32 };
void size_text(uint64_t bytes, char ret[SIZE_TEXT_MAX]);

#endif
