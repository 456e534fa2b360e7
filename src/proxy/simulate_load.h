/* What a simulation's requests do to its endpoints: those under way leave when their time is over, those that found all full wait. Plain data. */
#ifndef PENSTOCK_PROXY_SIMULATE_LOAD_H
#define PENSTOCK_PROXY_SIMULATE_LOAD_H

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct departure {
    nsec_t at;
    size_t endpoint; /* its index */
};
/* A heap, the next on top. Zero-initialised is empty. */
struct departures {
    struct departure *items;
    size_t n, size;
};
/* False: memory is out. */
bool departures_add(struct departures *, struct departure);
/* The next one that is due; false: none is. */
bool departures_take(struct departures *, nsec_t now, struct departure *out);
void departures_clear(struct departures *);

struct load_balancer;
struct rule;

struct waiting {
    size_t request; /* its index */
    uint64_t draws; /* where what is left to chance for it comes from */
    nsec_t until;
    const struct load_balancer *load_balancer; /* whose it is */
    const struct rule *rule;
};
/* A ring, first come, first served. Zero-initialised is empty; `size` is its bound. */
struct waiters {
    struct waiting *items;
    size_t first, n, size;
};
/* False: memory is out. */
bool waiters_init(struct waiters *, size_t size);
/* False: it is full. */
bool waiters_add(struct waiters *, struct waiting);
/* The first; false: there is none. */
bool waiters_take(struct waiters *, struct waiting *out);
/* The first, if it has waited for long enough. */
bool waiters_take_overdue(struct waiters *, nsec_t now, struct waiting *out);
void waiters_clear(struct waiters *);

#endif
