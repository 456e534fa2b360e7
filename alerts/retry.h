/* When an alert is tried again. Pure. */
#ifndef PENSTOCK_ALERTS_RETRY_H
#define PENSTOCK_ALERTS_RETRY_H

#include "base/clock.h"

#define RETRY_GIVE_UP_AFTER (24 * 3600 * NSEC_PER_SEC) /* from the event on */
#define RETRY_AFTER_MAX (3600 * NSEC_PER_SEC)

/* The pause after so many failures in a row (>= 1): 1, 2, 5, 15, 30, 60 s, then 5 min, ±10 % by `draw` (0 to 1): alerts of an outage are
 * worth most in its first minute. `retry_after`: what the receiver asked for, at most RETRY_AFTER_MAX of it; never less than that. 0: nothing. */
nsec_t retry_pause(unsigned failures, nsec_t retry_after, double draw);

#endif
