/* How many connections clients have open, over all workers: for limits.connections and limits.connections_per_client. Any thread;
 * takes a lock when a connection begins and ends, and only where a limit is set. */
#ifndef PENSTOCK_PROXY_CLIENT_COUNT_H
#define PENSTOCK_PROXY_CLIENT_COUNT_H

#include "net/address.h"

struct client_counts;
struct client_counts *client_counts_new(void);
void client_counts_free(struct client_counts *);
/* Counts one more connection of that address unless it would be over a limit (0: none). IPv6 addresses count by their /64, which is
 * what one customer is given. */
bool client_count_enter(struct client_counts *, const struct address *, unsigned limit, unsigned limit_per_client);
void client_count_leave(struct client_counts *, const struct address *);

#endif
