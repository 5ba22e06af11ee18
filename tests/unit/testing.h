/*
 * testing.h - what most unit tests need: cmocka with the headers that it wants first, numbers from a printed seed, a
 * folder that goes away, and waiting for a condition without a fixed sleep.
 */
#ifndef DIONE_TESTS_TESTING_H
#define DIONE_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attrs.h"
#include "base/slice.h"

/* DIONE_SEED repeats a run; the seed of every other is in its output. */
static inline uint64_t test_seed(void)
{
    const char *wish = getenv("DIONE_SEED");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = wish ? strtoull(wish, NULL, 10) : (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec;
    printf("# DIONE_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64: any seed will do. */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* For conditions that another thread will make true: gives the processor away in between. The test runner's own time
 * limit ends a wait that never does. */
static inline void test_yield(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        while (!(condition))                                                                       \
            test_yield();                                                                          \
    } while (0)

/* A fresh folder; `ret` is at least 64 bytes. */
static inline void test_dir_make(char *ret)
{
    strcpy(ret, "/tmp/dione-unit-XXXXXX");
    if (!mkdtemp(ret)) {
        perror("mkdtemp");
        abort();
    }
}

static inline void test_dir_remove(const char *dir)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    if (system(command) != 0)
        abort();
}

static inline void check_slice(struct slice got, const char *want, const char *file, int line)
{
    if (slice_eq(got, slice_cstr(want)))
        return;
    print_error("got  %.*s\nwant %s\n", SLICE_FMT(got), want);
    _fail(file, line);
}

#define CHECK_SLICE(got, want) check_slice((got), (want), __FILE__, __LINE__)

#endif
