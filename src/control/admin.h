/* The admin API over HTTP: routes requests to the functions of control.h. Runs on the control thread as a local_handler. */
#ifndef PENSTOCK_CONTROL_ADMIN_H
#define PENSTOCK_CONTROL_ADMIN_H

#include "control/control.h"
#include "proxy/local.h"

enum { ADMIN_WEIGHT_MAX = 1000 }; /* of an override */

/* A local_handler. */
void admin_handle(void *control, struct local_call *);

/* Subscribes event streams to the bus; once at start. And ends all streams at stop. */
void admin_start(struct control *);
void admin_stop(struct control *);
/* NULL before the start and after the stop. */
struct event_streams *admin_streams(const struct control *);

#endif
