/* Puts a configuration in force everywhere at once: records, scheduler, channels, workers. */
#ifndef PENSTOCK_CONTROL_PUBLISH_H
#define PENSTOCK_CONTROL_PUBLISH_H

#include "balance/probe.h"
#include "control/control.h"

/* Completes and publishes; takes over the reference. Its sockets are prepared. The former configuration lives on as long as somebody
 * uses it. */
void publish(struct control *, struct config *);
/* Posts the configuration in force to the workers again, after control->listening has changed, or the certificate of the edge. */
void publish_listening(struct control *);
/* Hands a probe to one worker after the other, one over a connection of our edge to the connection's owner; `control` is the struct control. A check_run, and the scheduler's. */
void publish_run_probe(void *control, struct probe *);

#endif
