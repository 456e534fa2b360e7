#include "balance/latency.h"

#include <math.h>

/* The time in which an old figure fades to 1/e. */
static const double DECAY_SECONDS = 10.0;

void latency_record(struct endpoint_live *live, nsec_t now, double seconds)
{
    double known = atomic_load_explicit(&live->latency_s, memory_order_relaxed);
    if (!isnan(known) && seconds < known) {
        nsec_t at = atomic_load_explicit(&live->latency_at, memory_order_relaxed);
        double keep = exp(-nsec_to_seconds(now - at) / DECAY_SECONDS);
        seconds = known * keep + seconds * (1 - keep);
    }
    atomic_store_explicit(&live->latency_s, seconds, memory_order_relaxed);
    atomic_store_explicit(&live->latency_at, now, memory_order_relaxed);
}
