/* Load shedding: the part of a pool's requests that its operator sends elsewhere. A request's lot is the same however often it is asked
 * for. Worker's thread. */
#ifndef PENSTOCK_PROXY_SHEDDING_H
#define PENSTOCK_PROXY_SHEDDING_H

#include "balance/config.h"

struct exchange;

/* Of a hundred seeds a pool sheds `percent`, another pool others. */
bool shedding_takes(double percent, uint64_t seed, uint64_t pool);

/* Once the load balancer and the session are known, where one of its pools sheds. */
void shedding_begin(struct exchange *);
/* Does the pool shed this request? */
bool shedding_sheds(const struct exchange *, const struct pool *);
/* The same of a pool that would have had it, which counts. */
bool shedding_sends_away(struct exchange *, const struct pool *);
/* Does one of the list that was chosen for it, and that is enabled? */
bool shedding_has_shed(const struct exchange *);

#endif
