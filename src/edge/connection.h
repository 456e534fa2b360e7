/* One TLS connection that a connector made to us: HTTP/2 with reversed roles (we are the client), its control stream, its PINGs. */
#ifndef PENSTOCK_EDGE_CONNECTION_H
#define PENSTOCK_EDGE_CONNECTION_H

#include "base/buffer.h"
#include "edge/edge.h"
#include "edge/rpc.h"
#include "net/stream.h"
#include "net/timer.h"

#include <nghttp2/nghttp2.h>

struct edge_stream;

/* PING every PING_INTERVAL, and at once when a stream has waited with nothing received on the connection for max(250 ms, 4 × RTT); none
 * back within SUSPECT_AFTER: suspect; within DEAD_AFTER: dead. */
#define EDGE_PING_INTERVAL (5 * NSEC_PER_SEC)
#define EDGE_QUIET_MIN (250 * NSEC_PER_MSEC)
#define EDGE_SUSPECT_AFTER NSEC_PER_SEC
#define EDGE_DEAD_AFTER (5 * NSEC_PER_SEC)

enum connection_phase {
    CONNECTION_HANDSHAKE,   /* TLS */
    CONNECTION_REGISTERING, /* HTTP/2 is up, the control stream open */
    CONNECTION_ASKED,       /* control was asked */
    CONNECTION_SERVING,
    CONNECTION_DRAINING,
    CONNECTION_CLOSED
};

#endif
