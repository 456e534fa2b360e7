/* One try: the request goes to the chosen endpoint, over a connection to it or one of its tunnel's, and the endpoint counts it as
 * in flight until the try is over. What comes of one that failed is exchange_retry.h's. Also exchange_explain_tunnel
 * (exchange.h). Worker's thread. */
#ifndef PENSTOCK_PROXY_EXCHANGE_TRY_H
#define PENSTOCK_PROXY_EXCHANGE_TRY_H

#include "proxy/exchange.h"
#include "proxy/upstream.h"

#define EXCHANGE_NO_LINE UINT64_MAX /* over.line: the try met a tunnel of our edge, and no connection of it */

/* The chosen endpoint. The body begins anew. The exchange may be gone afterwards: it may fail at once, and nobody be left. */
void exchange_try_endpoint(struct exchange *, enum upstream_want);
/* Another connection of the present endpoint's tunnel than those of lines_tried; `no_doubtful` as in struct tunnel_wish. False: there is none. */
bool exchange_try_line(struct exchange *, bool no_doubtful);
/* The upstream of this try is gone, or never was. `detail`: in words; NULL: the reason's own. */
void exchange_end_try(struct exchange *, enum reason, const char *detail);
/* Cancels what is under way at the upstream, if there is one. */
void exchange_abort_upstream(struct exchange *);

/* The try is over for its endpoint, if it was counted. */
void exchange_release_endpoint(struct exchange *);
/* The same where the exchange has another endpoint by now. */
void exchange_release(struct exchange *, struct endpoint_live *);
/* This worker is the only writer of its line. */
void exchange_add_in_flight(struct worker *, struct endpoint_live *, int n);

#endif
