/* Which connection of a tunnel a request goes over: a connector by its session or the replica steering, then the least busy of its connections, one of our
 * own worker where there is one. Worker's thread. */
#ifndef PENSTOCK_EDGE_GATE_H
#define PENSTOCK_EDGE_GATE_H

#include "edge/core.h"

/* For struct tunnel_gate. */
struct tunnel_opened gate_open(void *edge_worker, struct tunnel *, struct exchange *, const struct tunnel_wish *);
struct tunnel_home gate_home(void *edge_worker, struct tunnel *, const struct tunnel_session *);
/* Another policy: the tables are made anew. */
void gate_set_policy(struct edge_worker *, const struct steering_policy *, void *config);
void gate_clear(struct edge_worker *);

#endif
