/* The answers that penstock gives itself: errors, what rules answer, pages of load balancers that have nobody to send to. Also
 * exchange_refuse (exchange.h). An answer lets go of upstream, endpoint and queue first; after each of these the exchange may be
 * gone. Worker's thread. */
#ifndef PENSTOCK_PROXY_EXCHANGE_ANSWER_H
#define PENSTOCK_PROXY_EXCHANGE_ANSWER_H

#include "proxy/exchange.h"

void exchange_answer_by_rule(struct exchange *, const struct rule_response *);
/* There is nobody to send to: the load balancer's page, else a 503 that says `why`. */
void exchange_answer_by_page_or(struct exchange *, const char *why);
/* No endpoint is left to try: the last failure, if there was one, says why. A probe gets no answer but the reason. */
void exchange_give_up(struct exchange *, enum reason);
/* There is room again for what the client's side did not take of the answer. */
void exchange_give_rest_of_reply(struct exchange *);

#endif
