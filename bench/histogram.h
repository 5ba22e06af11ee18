// Latencies in log-linear buckets, 64 to each power of two: any quantile within 1.6 % of the truth,
// in constant space, and cheap enough to stay out of what it measures.
#pragma once

#include <stdint.h>

#define SUB_BITS 6
#define SUB (1u << SUB_BITS)
#define BUCKETS ((64 - SUB_BITS + 1) * SUB)

struct histogram {
    uint64_t count, sum, max;
    uint32_t bucket[BUCKETS];
};

static inline unsigned bucket_of(uint64_t ns)
{
    if (ns < SUB)
        return (unsigned)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    return (top - SUB_BITS + 1) * SUB + (unsigned)((ns >> (top - SUB_BITS)) & (SUB - 1));
}

static inline uint64_t bucket_middle(unsigned i)
{
    if (i < SUB)
        return i;
    unsigned shift = i / SUB - 1;
    uint64_t low = (uint64_t)(SUB + i % SUB) << shift;
    return low + ((UINT64_C(1) << shift) >> 1);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->count++;
    h->sum += ns;
    if (ns > h->max)
        h->max = ns;
    h->bucket[bucket_of(ns)]++;
}

static inline double histogram_us(const struct histogram *h, double quantile)
{
    uint64_t rank = (uint64_t)(quantile * (double)h->count), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > rank) {
            uint64_t ns = bucket_middle(i);
            return (double)(ns < h->max ? ns : h->max) / 1000.0;
        }
    }
    return (double)h->max / 1000.0;
}
