/* The state of everything, as the JSON that `penstock status --json` and the API show. Control thread. Each function returns a new
 * reference. */
#ifndef PENSTOCK_CONTROL_STATUS_H
#define PENSTOCK_CONTROL_STATUS_H

#include "control/control.h"

json_t *status_json(struct control *);
json_t *status_load_balancers_json(struct control *);
json_t *status_pools_json(struct control *);
json_t *status_endpoint_json(struct control *, const struct endpoint_record *);
/* The tunnels of our edge, and those of Cloudflare's that endpoints of the configuration name. */
json_t *status_tunnels_json(struct control *);
json_t *status_channels_json(struct control *);

json_t *status_pool_names_json(const struct pool_list *);
/* RFC 3339; null for 0. */
json_t *status_time_json(nsec_t wall);
/* Null for NULL; what came over the network and isn't UTF-8 is masked. */
json_t *status_text_json(const char *);

#endif
