/* Where a load balancer's requests can go: its default pools, the lists of its maps, and those of its rules, each with a standing of its own,
 * so that what stands in no default list is followed too. Lists of which the same can be said are one way. Control thread. */
#ifndef PENSTOCK_CONTROL_WAYS_H
#define PENSTOCK_CONTROL_WAYS_H

#include "control/control.h"

struct way {
    char *subject;             /* of its events, and what it is known by: the load balancer's name for the first, else that and `label` */
    const char *label;         /* "default_pools", "country_pools DE", "rule beta", "rule beta, country_pools DE" */
    unsigned others;           /* maps and rules that have the same list */
    const struct load_balancer *balancer; /* or the rule's */
    const struct pool_list *list;
    enum load_balancer_state state;
    enum load_balancer_state told; /* by the last event, of this process or the one before; UNKNOWN: none yet */
    nsec_t since;              /* wall; 0: not looked at yet */
    char reason[VERDICT_TEXT_SIZE];
    const struct pool *pool;   /* where its requests go by order; NULL: nowhere */
};

/* Those of the load balancer, the default pools first; what is known of one of the same subject is kept. */
void ways_follow(struct control *, struct load_balancer_record *, const struct load_balancer *);
void ways_clear(struct load_balancer_record *);

#endif
