/* A request whose connection belongs to another worker: handed over by message, head, body, credit and the stage of a failure.
 *
 * The front, an upstream of the exchange's worker, and the back, the user of a stream on the connection's, are halves of one counted object, which
 * each message on its way holds as well: a half that is over lets go, and nothing is answered or waited for. A small request takes two messages. */
#ifndef PENSTOCK_EDGE_RELAY_H
#define PENSTOCK_EDGE_RELAY_H

#include "edge/core.h"

/* An upstream that is ready: the request goes out with ops->send_head. NULL when memory is out. */
void *relay_front_new(struct edge_worker *, struct exchange *, const struct tunnel_line *);
extern const struct upstream_ops relay_front_ops;
/* The worker ends, all threads have: its halves are let go without another word. */
void relay_free_all(struct edge_worker *);

#endif
