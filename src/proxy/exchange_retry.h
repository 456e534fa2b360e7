/* What a failed try leads to: the same endpoint over a fresh connection, another connection of its tunnel, another endpoint, the
 * queue, or an answer that says what failed. The retry table (retry.h) and the budget decide. Also exchange_upstream_failed and
 * exchange_upstream_suspect (balance/ops.h). Worker's thread. */
#ifndef PENSTOCK_PROXY_EXCHANGE_RETRY_H
#define PENSTOCK_PROXY_EXCHANGE_RETRY_H

#include "proxy/exchange.h"

/* The try has ended (exchange_end_try), and nothing of a response has gone to the client. The exchange may be gone afterwards. */
void exchange_after_failure(struct exchange *, enum upstream_stage, enum reason);
/* The upstream has kept the exchange waiting for too long. The exchange may be gone afterwards. */
void exchange_upstream_is_late(struct exchange *);
/* An answer that another endpoint may do better. True: the exchange has gone on to that one, or is gone. */
bool exchange_retry_instead(struct exchange *, unsigned status);

#endif
