/* A number that all workers count up, each on a cache line of its own. It outlives configurations: those that count by it, and whoever knows
 * it by name, hold references. */
#ifndef PENSTOCK_BALANCE_TALLY_H
#define PENSTOCK_BALANCE_TALLY_H

#include <stdint.h>

struct tally;
struct tally *tally_new(unsigned workers) __attribute__((returns_nonnull, warn_unused_result));
struct tally *tally_ref(struct tally *);
void tally_unref(struct tally *); /* NULL is fine */
/* On the worker's own thread. NULL: nobody wants to know. */
void tally_add(struct tally *, unsigned worker);
/* Any thread. */
uint64_t tally_sum(const struct tally *);

#endif
