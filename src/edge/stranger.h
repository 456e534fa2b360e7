/* Connections that are not registered: what is logged of those that ended so, within a quota, and never of those that look and leave; and
 * addresses that failed too often, whose connections are closed as they come for a while. Their worker's thread. */
#ifndef PENSTOCK_EDGE_STRANGER_H
#define PENSTOCK_EDGE_STRANGER_H

#include "balance/reason.h"
#include "edge/connection.h"

/* EDGE_FAILURES_PER_ADDRESS within EDGE_FAILURES_WINDOW: whoever guesses secrets gets few answers and costs few handshakes. */
bool stranger_is_barred(struct edge_worker *, const struct address *peer);
/* Its registration was refused. */
void stranger_failed(const struct edge_connection *);
void stranger_tell_end(const struct edge_connection *, enum reason, const char *detail);
/* Closed as it came, for there are too many that have not registered, of this address or of all. */
void stranger_tell_refused(struct edge_worker *, const struct address *peer);

#endif
