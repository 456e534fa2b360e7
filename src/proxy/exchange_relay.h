/* What passes between the two sides: the request's head and body to the upstream, the response to the client, trailers both ways,
 * and raw bytes after a 101. Most of it is called by the sides themselves (balance/ops.h). Worker's thread. */
#ifndef PENSTOCK_PROXY_EXCHANGE_RELAY_H
#define PENSTOCK_PROXY_EXCHANGE_RELAY_H

#include "proxy/exchange.h"

/* The head, and what there is of the body, to an upstream that is ready. A failure is told by the upstream, later. */
void exchange_send_request(struct exchange *);
/* The body is sent from its beginning next time. Only while all of it is kept. */
static inline void exchange_rewind_body(struct exchange *ex)
{
    ex->prefix_sent = 0;
    ex->body_sent = 0;
    ex->body_finished = false;
}

/* How much of a body is kept for sending it again. */
uint64_t exchange_replay_limit(const struct exchange *);

#endif
