/* What the operator said at run time: beats the file, outlives reloads and, with a state directory, restarts. */
#ifndef PENSTOCK_CONTROL_OVERRIDE_H
#define PENSTOCK_CONTROL_OVERRIDE_H

#include "control/control.h"

/* What the store kept; once at start. */
void override_load(struct control *);
void override_clear(struct control *);
/* Shows it to the endpoint's live state; judging is the caller's. */
void override_apply(const struct control *, struct endpoint_record *);

#endif
