/* progress.h - what long work tells others while it runs, and how they end it. Any thread. */
#ifndef DIONE_STORE_PROGRESS_H
#define DIONE_STORE_PROGRESS_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
    _Atomic uint64_t bytes;      /* read or written so far */
    _Atomic uint64_t statements; /* run or written so far */
    _Atomic bool cancelled;      /* set by anybody; the work stops soon, with STOPPING */
};

static inline bool progress_is_cancelled(struct progress *p)
{
    return atomic_load_explicit(&p->cancelled, memory_order_relaxed);
}

#endif
