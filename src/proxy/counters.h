/* What one worker counts. Written by it alone, read by the control thread: relaxed atomics. */
#ifndef PENSTOCK_PROXY_COUNTERS_H
#define PENSTOCK_PROXY_COUNTERS_H

#include "balance/reason.h"
#include "base/histogram.h"

#include <stdatomic.h>
#include <stdint.h>

struct worker_counters {
    _Atomic uint64_t connections_accepted, connections_refused, tls_handshakes, tls_resumed, tls_failures;
    _Atomic uint64_t requests, responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx, upgrades;
    _Atomic uint64_t bytes_from_clients, bytes_to_clients, bytes_to_upstreams, bytes_from_upstreams;
    _Atomic uint64_t retries, retries_refused_by_budget, reuse_races, extra_responses, panic_choices, fallback_choices, geoip_lookups;
    _Atomic uint64_t failures[REASONS]; /* how exchanges ended, by reason */
    _Atomic int64_t connections, exchanges, upstreams, upgraded; /* open now */
    struct histogram latency;            /* of whole exchanges */
    struct histogram first_byte;         /* of upstreams */
};

static inline void counter_add(_Atomic uint64_t *c, uint64_t n)
{
    /* One writer: no read-modify-write needed. */
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void gauge_add(_Atomic int64_t *c, int64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t counter_read(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
