/* What is logged of connections that ended before they registered: within a quota, and never of those that look and leave. Their worker's
 * thread. */
#ifndef PENSTOCK_EDGE_STRANGER_H
#define PENSTOCK_EDGE_STRANGER_H

#include "balance/reason.h"
#include "edge/connection.h"

void stranger_tell_end(const struct edge_connection *, enum reason, const char *detail);
/* Closed as it came: too many that have not registered, of this address or of all. */
void stranger_tell_refused(struct edge_worker *, const struct address *peer);

#endif
