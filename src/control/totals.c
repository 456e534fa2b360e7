#include "control/totals.h"

#include "proxy/worker.h"

static const void *member_of_worker(const struct control *c, size_t worker, size_t offset)
{
    return (const char *)worker_counters(c->workers[worker]) + offset;
}

uint64_t totals_counter(const struct control *c, size_t offset)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->n_workers; i++)
        sum += counter_read(member_of_worker(c, i, offset));
    return sum;
}

int64_t totals_gauge(const struct control *c, size_t offset)
{
    int64_t sum = 0;
    for (size_t i = 0; i < c->n_workers; i++) {
        const _Atomic int64_t *gauge = member_of_worker(c, i, offset);
        sum += atomic_load_explicit(gauge, memory_order_relaxed);
    }
    return sum;
}

void totals_histogram(const struct control *c, size_t offset, struct histogram_totals *out)
{
    uint64_t usec = 0;

    *out = (struct histogram_totals){ 0 };
    for (size_t i = 0; i < c->n_workers; i++) {
        const struct histogram *h = member_of_worker(c, i, offset);
        for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++)
            out->buckets[b] += counter_read(&h->buckets[b]);
        usec += counter_read(&h->sum_usec);
    }
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++)
        out->count += out->buckets[b];
    out->sum_s = (double)usec / 1e6;
}

void totals_endpoint(const struct endpoint_live *live, struct endpoint_totals *out)
{
    *out = (struct endpoint_totals){ 0 };
    for (unsigned i = 0; i < endpoint_workers(live); i++) {
        const struct endpoint_counts *n = &live->counts[i];
        out->in_flight += atomic_load_explicit(&n->in_flight, memory_order_relaxed);
        out->connections += atomic_load_explicit(&n->connections, memory_order_relaxed);
        out->requests += counter_read(&n->requests);
        out->failures += counter_read(&n->failures);
        out->retries += counter_read(&n->retries);
        out->reuse_races += counter_read(&n->reuse_races);
        out->bytes_sent += counter_read(&n->bytes_sent);
        out->bytes_received += counter_read(&n->bytes_received);
    }
}
