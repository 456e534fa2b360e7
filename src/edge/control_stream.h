/* The control stream of a connector's connection, the first that we open: its registration, of which control decides, its own configuration,
 * and its leave. It carries the bytes of edge/rpc.h. The connection's worker only. */
#ifndef PENSTOCK_EDGE_CONTROL_STREAM_H
#define PENSTOCK_EDGE_CONTROL_STREAM_H

#include "edge/edge.h"
#include "edge/rpc.h"

struct edge_connection;

struct control_stream {
    int32_t stream;
    struct rpc rpc;
    uint32_t register_question;
    char out[RPC_OUT_SIZE]; /* answers not given to nghttp2 yet */
    size_t out_n;
};

/* Once HTTP/2 is up. False when memory is out. */
bool control_stream_open(struct edge_connection *);
/* What the connector says on it. The connection may be closed afterwards, or drain. */
void control_stream_read(struct edge_connection *, const uint8_t *, size_t);
/* It is over, and why. Likewise. */
void control_stream_end(struct edge_connection *, const char *how);

/* Tell the connector what control decided. False: it has left while it registered. */
bool control_stream_accept(struct edge_connection *, const struct edge_answer *);
/* It has a moment to read why. */
void control_stream_refuse(struct edge_connection *, const struct edge_answer *);

#endif
