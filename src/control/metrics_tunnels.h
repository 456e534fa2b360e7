/* Tunnels, their connectors and connections as metrics. Control thread. */
#ifndef PENSTOCK_CONTROL_METRICS_TUNNELS_H
#define PENSTOCK_CONTROL_METRICS_TUNNELS_H

#include "control/control.h"
#include "control/exposition.h"

void metrics_write_tunnels(const struct control *, struct exposition *);

#endif
