/* What the files of an exchange share of its life (exchange.c): its state, its clock, its queue and its end. For them alone; all
 * others have exchange.h. Worker's thread. */
#ifndef PENSTOCK_PROXY_EXCHANGE_INSIDE_H
#define PENSTOCK_PROXY_EXCHANGE_INSIDE_H

#include "base/log.h"
#include "proxy/exchange.h"

/* The only place that changes the state. */
static inline void exchange_set_state(struct exchange *ex, enum exchange_state state)
{
    trace(TRACE_EXCHANGE, "%s: %s -> %s", ex->request_id, exchange_state_name(ex->state), exchange_state_name(state));
    ex->state = (uint8_t)state;
}

/* After each change of one of the four times it waits for. */
void exchange_arm_timer(struct exchange *);
/* Until an endpoint has room again, at most for timeouts.queue in all. */
void exchange_wait_in_queue(struct exchange *);
/* Everything that has to be known of it is counted and written down; the exchange is gone afterwards. Its upstream is
 * the caller's to let go. */
void exchange_finish(struct exchange *, enum reason);
/* The same, and the client's side is told. */
void exchange_end(struct exchange *, enum reason client_is_told, enum reason);

#endif
