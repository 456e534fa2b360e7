/* What is written down of an exchange: its log line, its id, and what an upgraded one remembers of its beginning. */
#ifndef PENSTOCK_PROXY_EXCHANGE_LOG_H
#define PENSTOCK_PROXY_EXCHANGE_LOG_H

#include "proxy/exchange.h"

/* The id the client sent, else one of our own; for the log and for the endpoint. */
void exchange_note_request_id(struct exchange *);
void exchange_log(struct exchange *, enum reason);

/* NULL when memory is out. */
struct exchange_memory *exchange_memory_new(const struct exchange *);
void exchange_memory_free(struct exchange_memory *); /* NULL is fine */
struct endpoint_live *exchange_memory_live(const struct exchange_memory *);
/* After how long without a byte an upgraded connection is cut. */
nsec_t exchange_memory_idle(const struct exchange_memory *);

#endif
