/* The keys of sessions' cookies where the configuration has none: kept in the state directory, so that sessions outlive the process.
 * Control thread. */
#ifndef PENSTOCK_CONTROL_SESSION_KEYS_H
#define PENSTOCK_CONTROL_SESSION_KEYS_H

#include "control/control.h"

/* Completes a configuration before it is published, if one of its load balancers needs keys and the file gives none. Without a state
 * directory, or where its file can't be used, they are the process's own. */
void session_keys_complete(struct control *, struct config *);

#endif
