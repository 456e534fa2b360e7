/* The connection to a service: HTTP/1.1 with keep-alive, or the bare bytes of a TCP stream. Lenient in what it reads. */
#ifndef PENSTOCK_SIM_ORIGIN_H
#define PENSTOCK_SIM_ORIGIN_H

#include "tests/sim/connector/request.h"

/* `head` is sent first; it is empty for a TCP stream. What comes of it is told to the request. */
void origin_start(struct request *, const struct peer *, struct slice head, bool chunked);
void origin_body_came(struct origin *);     /* or ended */
void origin_response_left(struct origin *); /* there may be room for more */
void origin_drop(struct origin *);          /* the request is over */
void origin_close_idle(struct sim *);

#endif
