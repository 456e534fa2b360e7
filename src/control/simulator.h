/* The simulation under way, of which there is one at most: measured on the control loop, run on a thread of its own, answered on the control
 * loop. Neither workers nor the control thread wait for it. Control thread. */
#ifndef PENSTOCK_CONTROL_SIMULATOR_H
#define PENSTOCK_CONTROL_SIMULATOR_H

#include "control/request.h"

/* Answers the request now or later. */
void simulator_serve(const struct request *);
/* Ends it: before the control thread's mailbox is cleared. NULL is fine. */
void simulator_free(struct simulator *);

#endif
