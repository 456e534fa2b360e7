#include "balance/latency.h"

#include <math.h>

void latency_record(struct endpoint_live *live, nsec_t now, double seconds, nsec_t decay)
{
    double known = atomic_load_explicit(&live->latency_s, memory_order_relaxed);
    if (!isnan(known) && seconds < known) {
        nsec_t at = atomic_load_explicit(&live->latency_at, memory_order_relaxed);
        double keep = exp(-(double)(now - at) / (double)decay);
        seconds = known * keep + seconds * (1 - keep);
    }
    atomic_store_explicit(&live->latency_s, seconds, memory_order_relaxed);
    atomic_store_explicit(&live->latency_at, now, memory_order_relaxed);
}
