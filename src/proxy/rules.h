/* Match blocks: which of a load balancer's rules a request is a matter of. Worker's thread. */
#ifndef PENSTOCK_PROXY_RULES_H
#define PENSTOCK_PROXY_RULES_H

#include "balance/config.h"

struct exchange;

/* What matching a regular expression needs, made once per configuration and worker. */
struct rules_room;
struct rules_room *rules_room_new(void); /* NULL: memory is out */
void rules_room_free(struct rules_room *); /* NULL is fine */

/* The first whose every condition holds; NULL: none. */
const struct rule *rules_find(struct exchange *, const struct load_balancer *);

#endif
