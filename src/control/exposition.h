/* The text formats of Prometheus (0.0.4) and OpenMetrics (1.0): families, samples, labels. No I/O. */
#ifndef PENSTOCK_CONTROL_EXPOSITION_H
#define PENSTOCK_CONTROL_EXPOSITION_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPOSITION_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define EXPOSITION_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct label {
    const char *name, *value;
};

struct exposition {
    struct text *out;
    bool openmetrics;
    const char *family; /* the one whose samples are being written */
    enum metric_type type;
};

/* `name` of a counter is without "_total": the formats differ in where that goes. A family's samples follow it at once. */
void exposition_family(struct exposition *, const char *name, enum metric_type, const char *help);
/* Counters and gauges. NaN means unknown: nothing is written. */
void exposition_sample(struct exposition *, const struct label *labels, size_t n, double value);
/* `buckets` are counts each for itself; `bounds` their upper limits, one fewer: the last has none. */
void exposition_histogram(struct exposition *, const uint64_t *buckets, const double *bounds, size_t n_buckets, double sum);
void exposition_end(struct exposition *);

#endif
