/*
 * internal.h - what the files of src/metrics share.
 *
 * Lock order: flush, the store's control lock; or lock alone, for moments.
 */
#ifndef DIONE_METRICS_INTERNAL_H
#define DIONE_METRICS_INTERNAL_H

#include "metrics/pending.h"

#include <pthread.h>
#include <stdio.h>

enum {
    HOUR_MS = 3600 * 1000,
    METRICS_HOURLY_DAYS = 2, /* days before today whose texts have lost their hours; younger ones have them */
};

struct metrics {
    struct store *store;
    pthread_mutex_t flush; /* held while counts are on their way to disk */
    int64_t tidied_day;    /* guarded by flush */
    pthread_mutex_t lock;  /* guards pending */
    struct pending pending;
};

#endif
