/* Endpoints' names: one subscription to the resolver per endpoint, numeric hosts included. */
#ifndef PENSTOCK_CONTROL_NAMES_H
#define PENSTOCK_CONTROL_NAMES_H

#include "control/control.h"

/* Follows what the endpoint of the configuration in force is reached by. The first answer comes from a later event. */
void names_watch(struct control *, struct endpoint_record *);
void names_unwatch(struct endpoint_record *);

/* What is wrong with the answer for the name of a tunnel: NULL, or a text that names the cure. Pure. */
const char *names_problem(const struct endpoint *, const struct address_set *, char out[static VERDICT_TEXT_SIZE]);

#endif
