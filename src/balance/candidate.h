/* Who may be sent to, how gladly, and what that makes of a pool: file, operator, monitors and passing traffic combined in one place,
 * for the workers that choose and for the control thread that tells. Reads live state; any thread. */
#ifndef PENSTOCK_BALANCE_CANDIDATE_H
#define PENSTOCK_BALANCE_CANDIDATE_H

#include "balance/config.h"
#include "balance/decision.h"
#include "balance/live.h"

#include <math.h>

/* From the best to the worst. A choice looks at one level after the other. */
enum usability {
    USABLE_HEALTHY,     /* the monitors pass, or there are none; traffic has nothing against it */
    USABLE_EJECTED,     /* the monitors pass, traffic failed */
    USABLE_UNKNOWN,     /* no verdict yet */
    USABLE_LAST_RESORT, /* down, or nothing speaks for it and traffic against it; only when everything is (panic) */
    USABLE_ABSENT,      /* a tunnel that no connector carries, or whose rules keep it out: there is nothing to send to, but it counts as bad */
    USABLE_NEVER,       /* drained, disabled, by the file or by the operator: nothing overrides that */
    USABILITIES
};
enum { USABLE_LEVELS = USABLE_LAST_RESORT + 1 }; /* those that a choice looks at */

/* What an endpoint's usability comes from: the first that applies. */
enum condition {
    CONDITION_DISABLED_BY_FILE,
    CONDITION_DISABLED,         /* by the operator */
    CONDITION_DRAINED,
    CONDITION_NO_CONNECTOR,     /* of its tunnel is connected */
    CONDITION_KEPT_OUT,         /* connected, but not used for its rules */
    CONDITION_NO_ADDRESS,       /* its name has none, or none that can be reached */
    CONDITION_DOWN,             /* the monitors failed */
    CONDITION_UNKNOWN_EJECTED,  /* no verdict yet, and traffic failed */
    CONDITION_UNKNOWN,
    CONDITION_EJECTED,
    CONDITION_GOOD
};
enum condition endpoint_condition(const struct endpoint *, nsec_t now);
enum usability condition_usability(enum condition);
enum usability endpoint_usability(const struct endpoint *, nsec_t now);
/* The same for a request that is excepted from what the operator said, or for which the endpoint's tunnel has a connection while it has none
 * for others. */
enum { ASSUME_ENABLED = 1, ASSUME_CONNECTED = 2 };
enum usability endpoint_usability_assuming(const struct endpoint *, unsigned assumed, nsec_t now);

/* All that makes an endpoint's weight: the file's or the operator's, times the slow start's share (linear from 10 % over the pool's
 * slow_start), times the connections of its tunnel over the pool's connection_scaling. `ramp`: whether slow start applies (not where fewer
 * than two endpoints are usable). */
struct weight {
    double configured;
    double given;      /* by the operator, in place of that; NaN: nothing */
    double slow_start; /* 1: it is over, or does not apply */
    double connections; /* 1 where they don't matter, or there are none: then it is no candidate anyway */
};
struct weight endpoint_weigh(const struct endpoint *, nsec_t now, bool ramp);
static inline double weight_total(const struct weight *w)
{
    return (isnan(w->given) ? w->configured : w->given) * w->slow_start * w->connections;
}
double endpoint_weight(const struct endpoint *, nsec_t now, bool ramp);
bool endpoint_is_ramping(const struct endpoint *, nsec_t now);

/* Endpoints of weight 0 count as never usable here: no policy would choose them. */
struct pool_census {
    unsigned at[USABILITIES];
    unsigned awaited; /* of those at USABLE_ABSENT or LAST_RESORT: their connectors may still come back after our start, or their names
                       * have had no answer yet */
    unsigned kept_out; /* of those at USABLE_ABSENT: connected, but not used for their rules */
    unsigned weightless; /* of those at USABLE_NEVER: only their weight is against them */
    unsigned held_back; /* of those at USABLE_ABSENT: connected, but the operator drained all connectors or gave them weight 0 */
};
void pool_take_census(const struct pool *, nsec_t now, struct pool_census *);
/* Is the pool enabled, and has it its minimum of endpoints of that level or better? */
bool pool_is_usable(const struct pool *, const struct pool_census *, enum usability level);

enum pool_state { POOL_HEALTHY, POOL_DEGRADED, POOL_CRITICAL, POOL_UNKNOWN, POOL_DISABLED };
const char *pool_state_name(enum pool_state); /* "healthy", "degraded", "critical", "unknown", "disabled" */
/* healthy: all endpoints that may be used are; degraded: some are down or ejected, the minimum is met; critical: it isn't; unknown: some have
 * no verdict yet or are awaited, and either none is known to be bad or the minimum could be met once they have one. */
enum pool_state pool_state(const struct pool *, const struct pool_census *);

/* What keeps a candidate out of a choice, and where its weight comes from: what `explain` says of it. */
struct candidacy {
    uint8_t ruled_out;     /* enum ruled_out: IN, USABILITY, DISABLED or WEIGHT */
    uint8_t condition;     /* enum condition, of an endpoint */
    uint8_t ejected_for;   /* enum reason, of one that is ejected */
    uint8_t placed;        /* enum placed */
    struct weight weight;
};

/* What a policy is shown: one candidate per endpoint of the pool, by its order, of weight 0 where it is worse than `level`.
 * `standings`: the same by the same index; may be NULL, here and below. */
void pool_fill_candidates(const struct pool *, enum usability level, nsec_t now, struct steering_candidate *out, struct candidacy *standings);
/* The same for the pools of a list: weight 0 where the pool isn't usable at that level. A pool has been usable for as long
 * as its minimum was met without a gap, by whichever of its endpoints were in service (a restart of one after the other is no gap). */
void pool_list_fill_candidates(const struct pool_list *, enum usability level, nsec_t now, struct steering_candidate *out,
                               struct candidacy *standings);

#endif
