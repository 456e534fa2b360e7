/* A probe as the client's side of an exchange: so that a monitor dials exactly as traffic does. Worker's thread. */
#ifndef PENSTOCK_PROXY_PROBE_CLIENT_H
#define PENSTOCK_PROXY_PROBE_CLIENT_H

#include "proxy/core.h"

/* Takes the probe over; it goes back to the control thread's mailbox when it is over. */
void probe_client_start(struct worker *, struct probe *);

#endif
