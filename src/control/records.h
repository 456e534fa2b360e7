/* What control remembers over reloads: one record per endpoint, pool, load balancer and tunnel of the configuration in force. */
#ifndef PENSTOCK_CONTROL_RECORDS_H
#define PENSTOCK_CONTROL_RECORDS_H

#include "control/control.h"

/* Gives each endpoint of a configuration that is about to be published its live state: the one it has already, or a new one. */
void records_attach(struct control *, struct config *);
/* The records are those of this configuration from now on. */
void records_follow(struct control *, const struct config *);
void records_clear(struct control *);

#endif
