/* How a test looks at the stand-in and breaks it: cloudflared's metrics listener, and a socket that takes commands.
 *
 * A command is a line, its answer one line of JSON, {"ok": true} or {"error": "…"}:
 *   status                         connectors and their connections
 *   goaway|reset-control|end-control|junk|close|cut|abandon [INDEX]   to the connections of that number, or to all: GOAWAY;
 *                                  RST_STREAM, END_STREAM or junk on the control stream; an end of TCP, in order, by a reset, or unheard
 *   mute-ping|silent|never-register|wrong-secret|broken-headers|no-meta on|off
 *   refuse N                       so many streams are refused from now on
 *   huge-header BYTES              every response of a service gets such a field; 0: none */
#ifndef PENSTOCK_SIM_OBSERVE_H
#define PENSTOCK_SIM_OBSERVE_H

#include "tests/sim/connector/connector.h"

struct observer;
/* NULL with errno. `address` is "host:port". */
struct observer *observer_metrics(struct sim *, const char *address);
struct observer *observer_control(struct sim *, const char *path);
void observer_free(struct observer *); /* NULL is fine */

/* The caller frees. */
char *command_run(struct sim *, const char *line);

#endif
