/* The state of everything, as the JSON that `penstock status --json` and the API show. Control thread. */
#ifndef PENSTOCK_CONTROL_STATUS_H
#define PENSTOCK_CONTROL_STATUS_H

#include "control/control.h"

json_t *status_json(struct control *);
json_t *status_load_balancers_json(struct control *);
json_t *status_pools_json(struct control *);
json_t *status_endpoint_json(struct control *, const struct endpoint_record *);

#endif
