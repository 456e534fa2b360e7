/* What was told of a subject before the start, by the last event kept: what was bad then and is good now gets its recovery told, and what
 * has not changed is not told again. Control thread only. */
#ifndef PENSTOCK_CONTROL_TOLD_H
#define PENSTOCK_CONTROL_TOLD_H

#include "balance/tunnel.h"
#include "control/control.h"

/* Once the store is open; the rest needs nothing but what this keeps. */
void told_load(struct control *);
void told_clear(struct control *);

/* UNKNOWN: nothing, or nothing that this version has a name for. Each is for the first record of that name: what is told later, the record
 * knows itself, so it is forgotten here. */
enum verdict_state told_take_endpoint(struct control *, const char *id);
enum pool_state told_take_pool(struct control *, const char *name);
enum load_balancer_state told_take_load_balancer(struct control *, const char *name);
enum tunnel_status told_take_tunnel(struct control *, const char *id);

#endif
