// The random keys and running numbers that stand for {key} and {seq}.
//
// No run may repeat another: SQLite leaves a page alone when an UPDATE writes what is there already,
// so the same numbers a second time would be updates that write nothing and sync nothing.
#pragma once

#include <stdint.h>
#include <time.h>

static uint64_t draw_state, draw_sequence;

static inline void draw_start(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    // Microseconds: later than any number of a run before, and still exact as a JSON number.
    draw_sequence = (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
    draw_state = draw_sequence * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static inline uint64_t draw_between(uint64_t low, uint64_t high)
{
    uint64_t x = draw_state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    draw_state = x;
    return low + x * UINT64_C(0x2545f4914f6cdd1d) % (high - low + 1);
}

static inline uint64_t draw_next(void)
{
    return ++draw_sequence;
}
