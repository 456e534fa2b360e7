/* A decision in words and in JSON. */
#ifndef PENSTOCK_CONTROL_EXPLANATION_H
#define PENSTOCK_CONTROL_EXPLANATION_H

#include "control/control.h"
#include "proxy/explain.h"

/* Of a request that nobody sent and that a load balancer serves. What endpoints and pools are out for is told as status tells it. */
json_t *explanation_json(struct control *, const struct explanation *);
/* Of one that a worker remembers; what endpoints were out for is told as the worker knew it. */
json_t *explanation_remembered_json(struct control *, const struct decision *, unsigned same_id);
/* The same in short. */
json_t *explanation_row_json(const struct decision *);

#endif
