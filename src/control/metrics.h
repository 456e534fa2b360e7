/* Prometheus text format (OpenMetrics where asked for). Control thread. */
#ifndef PENSTOCK_CONTROL_METRICS_H
#define PENSTOCK_CONTROL_METRICS_H

#include "base/text.h"
#include "control/control.h"

void metrics_write(struct control *, bool openmetrics, struct text *out);

#endif
