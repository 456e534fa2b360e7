/* From a request to those who may choose for it: its load balancer, the rule that holds, its session and its lot. Worker's thread. */
#ifndef PENSTOCK_PROXY_DIRECT_H
#define PENSTOCK_PROXY_DIRECT_H

struct exchange;
struct rule;

enum direction {
    DIRECT_TO_ENDPOINTS,
    DIRECT_NO_LOAD_BALANCER, /* nobody serves its host */
    DIRECT_DISABLED,         /* the load balancer is */
    DIRECT_RESPONSE          /* the rule answers by itself */
};
/* Sets the load balancer (a rule's own, where one holds) and its timeouts. `rule`: the one that holds, or NULL. */
enum direction direct_to_load_balancer(struct exchange *, const struct rule **rule);
/* Then, before anything is chosen. */
void direct_to_session(struct exchange *);

#endif
