/* Sums of what each worker counts for itself. Any thread; here the control thread, for status and metrics. */
#ifndef PENSTOCK_CONTROL_TOTALS_H
#define PENSTOCK_CONTROL_TOTALS_H

#include "control/control.h"
#include "proxy/counters.h"

/* `offset`: of the member in struct worker_counters. */
uint64_t totals_counter(const struct control *, size_t offset);
int64_t totals_gauge(const struct control *, size_t offset);
#define TOTALS_COUNTER(control, member) totals_counter(control, offsetof(struct worker_counters, member))
#define TOTALS_GAUGE(control, member) totals_gauge(control, offsetof(struct worker_counters, member))

struct histogram_totals {
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* each for itself, not cumulated */
    uint64_t count;
    double sum_s;
};
void totals_histogram(const struct control *, size_t offset, struct histogram_totals *out);

struct endpoint_totals {
    uint64_t in_flight, connections; /* now */
    uint64_t requests, failures, retries, reuse_races, bytes_sent, bytes_received;
};
void totals_endpoint(const struct endpoint_live *, struct endpoint_totals *out);

#endif
