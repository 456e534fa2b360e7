/* Where a request goes: a pool of the load balancer, then an endpoint of the pool, by the same policies at both levels. Their tables
 * are kept per worker and rebuilt when the epoch has moved. Worker's thread. */
#ifndef PENSTOCK_PROXY_CHOOSE_H
#define PENSTOCK_PROXY_CHOOSE_H

#include "balance/candidate.h"
#include "proxy/core.h"

struct exchange;

/* The steering of one configuration: filled into the snapshot, and taken down with it. False: memory is out. */
bool choose_init(struct snapshot *);
void choose_clear(struct snapshot *);

enum choice_result {
    CHOICE_MADE,
    CHOICE_FULL, /* those that may be used are at their max_in_flight */
    CHOICE_NONE  /* nobody may be used, or all were tried */
};
/* Sets the exchange's endpoint, NULL unless the choice was made. Endpoints in its `tried` are left out. */
enum choice_result choose(struct exchange *);

#endif
