/* A request whose connection belongs to another worker: handed over by message, head, body, credit and the stage of a failure.
 *
 * The front, an upstream of the exchange's worker, and the back, the user of a stream on the connection's, know each other's address for as
 * long as both live: the front says CLOSE once, whatever happened; the back answers CLOSED and is gone; so is the front then. */
#ifndef PENSTOCK_EDGE_RELAY_H
#define PENSTOCK_EDGE_RELAY_H

#include "edge/core.h"

/* An upstream that is ready: the request goes out with ops->send_head. NULL when memory is out. */
void *relay_front_new(struct edge_worker *, struct exchange *, unsigned to_worker, uint64_t line);
extern const struct upstream_ops relay_front_ops;
/* The worker ends: its halves are freed without another word. */
void relay_free_all(struct edge_worker *);

#endif
