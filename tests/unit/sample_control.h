/* A control thread at rest: a configuration loaded, records as if health had looked, no workers, a store in memory. What would reach
 * beyond that is stood in for here. */
#ifndef PENSTOCK_UNIT_SAMPLE_CONTROL_H
#define PENSTOCK_UNIT_SAMPLE_CONTROL_H

#include "control/control.h"

/* Pool "europe" with "ams" (a tunnel, down) and "fra" (healthy, weight 0.5); pool "spare", no endpoint usable; one load balancer. */
struct control *sample_control_new(void);
void sample_control_free(struct control *);

#define SAMPLE_TUNNEL "c1744f8b-faa1-48a4-9e5c-02ac921467fa"

/* What the next control_reload does. */
extern bool sample_reload_succeeds;

#endif
