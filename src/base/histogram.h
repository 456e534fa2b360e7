/* Durations counted in buckets whose bounds double: 1 ms, 2 ms, 4 ms … 65.5 s, and above. One writer, any reader. */
#ifndef PENSTOCK_BASE_HISTOGRAM_H
#define PENSTOCK_BASE_HISTOGRAM_H

#include "base/clock.h"

#include <stdatomic.h>
#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 18 };

struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS]; /* the last has no upper bound */
    _Atomic uint64_t sum_usec;
};

/* Upper bound of a bucket, in milliseconds. */
static inline uint64_t histogram_bound_ms(unsigned bucket)
{
    return UINT64_C(1) << bucket;
}

static inline void histogram_add(struct histogram *h, nsec_t duration)
{
    uint64_t ms = duration > 0 ? ((uint64_t)duration + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC : 0;
    unsigned bucket = ms <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(ms - 1);
    if (bucket >= HISTOGRAM_BUCKETS)
        bucket = HISTOGRAM_BUCKETS - 1;
    atomic_store_explicit(&h->buckets[bucket], atomic_load_explicit(&h->buckets[bucket], memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&h->sum_usec,
                          atomic_load_explicit(&h->sum_usec, memory_order_relaxed) + (uint64_t)(duration > 0 ? duration / NSEC_PER_USEC : 0),
                          memory_order_relaxed);
}

#endif
