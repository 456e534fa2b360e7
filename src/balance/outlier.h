/* Passive health: judged where it is seen, by any worker, without a lock. Time is an argument. */
#ifndef PENSTOCK_BALANCE_OUTLIER_H
#define PENSTOCK_BALANCE_OUTLIER_H

#include "balance/config.h"
#include "balance/live.h"
#include "balance/reason.h"

/* One answered request, good (REASON_NONE) or not; reasons that say nothing about the endpoint are ignored, as is all that comes in while
 * it is ejected. True when this very call ejected the endpoint: the caller moves the epoch and tells the control thread. `may_eject`:
 * whether the pool can spare it, see outlier_may_eject; not looked at with REASON_NONE. */
bool outlier_record(struct endpoint_live *, const struct passive *, enum reason, nsec_t now, uint64_t random, bool may_eject);
/* The cap is a count: passive signals alone never eject the last max(1, ceil(n * panic)) usable endpoints of a pool. Two workers that
 * eject two endpoints in the same instant may go below it; the level USABLE_EJECTED then serves until the shorter ejection ends. */
bool outlier_may_eject(const struct pool *, const struct endpoint *, nsec_t now);
bool outlier_is_ejected(const struct endpoint_live *, nsec_t now);
/* Control thread, about once per 100 ms: ends an ejection whose time is over and lets the count decay. True if it ended now. */
bool outlier_sweep(struct endpoint_live *, const struct passive *, nsec_t now);
/* An active check passed: lifts an ejection for transport errors. True if it did. */
bool outlier_forgive(struct endpoint_live *, nsec_t now);

#endif
