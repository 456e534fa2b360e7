/* Weight over load, the one to come included. All are looked at while they are few; of many, two drawn by weight (Mitzenmacher,
 * "The power of two choices in randomized load balancing"). But first one is drawn by weight, and has the request if it is idle: nobody
 * bears less, and the lighter ones have their share, too, while there is little to do, which the highest score alone would never give
 * them. What load is, is the policy's. */
#ifndef PENSTOCK_STEERING_LEAST_H
#define PENSTOCK_STEERING_LEAST_H

#include "steering/draw.h"

typedef uint32_t least_load(const struct steering_view *, size_t index);

void *least_worker_new(void *config);
bool least_update(void *w, const struct steering_candidate *, size_t n);
/* The scores are weight over load. */
size_t least_choose(const struct draw_table *, const struct steering_request *, const struct steering_view *, least_load *,
                    double *scores);
void least_worker_free(void *w);

#endif
