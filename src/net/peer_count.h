/* How many connections are open from each address: for limits on clients, and on connectors that have not registered yet. Any thread; takes a
 * lock when a connection begins and ends. */
#ifndef PENSTOCK_NET_PEER_COUNT_H
#define PENSTOCK_NET_PEER_COUNT_H

#include "net/address.h"

struct peer_counts;
struct peer_counts *peer_counts_new(void);
void peer_counts_free(struct peer_counts *);
/* Counts one more connection of that address unless it would be over a limit (0: none). IPv6 addresses count by their /64, which is
 * what one customer is given. */
bool peer_count_enter(struct peer_counts *, const struct address *, unsigned limit, unsigned limit_per_client);
void peer_count_leave(struct peer_counts *, const struct address *);

#endif
