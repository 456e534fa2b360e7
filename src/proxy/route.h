/* Hostname to load balancer. Built once per configuration, immutable afterwards; a look-up allocates nothing and costs as many probes
 * of a hash table as the name has labels. */
#ifndef PENSTOCK_PROXY_ROUTE_H
#define PENSTOCK_PROXY_ROUTE_H

#include "balance/config.h"
#include "base/slice.h"

struct route_table;
/* The table points into the configuration, which must outlive it. */
struct route_table *route_table_new(const struct config *) __attribute__((returns_nonnull, warn_unused_result));
void route_table_free(struct route_table *); /* NULL is fine */

/* The exact name before "*.x" (any depth, not x itself) of the longest x, before "*". Case and one final dot don't matter; `host` has no
 * port. NULL: nobody serves it. A disabled load balancer keeps its names: they don't fall to a wildcard, and the caller sees `enabled`. */
const struct load_balancer *route_find(const struct route_table *, struct slice host);

#endif
