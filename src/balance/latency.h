/* Peak EWMA of an endpoint's time to first byte (behaviour: a slower answer counts at once, a faster one over time). */
#ifndef PENSTOCK_BALANCE_LATENCY_H
#define PENSTOCK_BALANCE_LATENCY_H

#include "balance/live.h"

#define LATENCY_DECAY (10 * NSEC_PER_SEC) /* where nobody wants another */

/* Any worker. `decay`: the time in which an old figure fades to 1/e. Two workers at the same instant may lose a sample, never
 * corrupt the figure. */
void latency_record(struct endpoint_live *, nsec_t now, double seconds, nsec_t decay);

#endif
