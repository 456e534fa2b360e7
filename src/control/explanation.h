/* An explanation in words and in JSON. */
#ifndef PENSTOCK_CONTROL_EXPLANATION_H
#define PENSTOCK_CONTROL_EXPLANATION_H

#include "control/control.h"
#include "proxy/explain.h"

/* Of a request that a load balancer serves; `host` is what was asked for. What endpoints and pools are out for is told as status tells it. */
json_t *explanation_json(struct control *, const struct explanation *, const char *host);

#endif
