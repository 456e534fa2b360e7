/* What the workers count for rules and pools, by their names, so that it survives reloads. Control thread. */
#ifndef PENSTOCK_CONTROL_TALLIES_H
#define PENSTOCK_CONTROL_TALLIES_H

#include "control/control.h"

/* Gives a configuration that is about to be published its own; what is of no rule or pool of it is forgotten. */
void tallies_attach(struct control *, struct config *);
void tallies_clear(struct control *);

#endif
