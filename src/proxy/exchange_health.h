/* What an exchange says of its endpoint's health: failures and latencies, as traffic sees them. Probes say nothing here, they are
 * judged by their monitor. The exchange's endpoint is known. Worker's thread. */
#ifndef PENSTOCK_PROXY_EXCHANGE_HEALTH_H
#define PENSTOCK_PROXY_EXCHANGE_HEALTH_H

#include "proxy/exchange.h"

/* How a try came out. May eject the endpoint, and wakes its monitors. */
void exchange_account_health(struct exchange *, enum reason);
/* The head of its response is here. */
void exchange_note_first_byte(struct exchange *, unsigned status);
/* What an answer with that status says of whom it comes from; REASON_NONE: nothing bad. */
enum reason exchange_reason_of_status(unsigned status);

#endif
