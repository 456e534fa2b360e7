/* A configuration that is pushed to a connector (update-configuration) on a stream of its own, one at a time; how it ended is told to control.
 * The connection's worker only. */
#ifndef PENSTOCK_EDGE_CONFIG_PUSH_H
#define PENSTOCK_EDGE_CONFIG_PUSH_H

#include <stddef.h>
#include <stdint.h>

struct edge_connection;

struct config_push {
    int32_t stream; /* 0: none is under way */
    int version;
    char *json;
    size_t n, sent;
    char answer[512];
    size_t answer_n;
};

/* Nothing happens while another is under way, or where the connection does not serve. */
void config_push_begin(struct edge_connection *, int version, const char *json, size_t n);
/* The connector's answer, as it comes; what is over the room for it is dropped. */
void config_push_read(struct edge_connection *, const uint8_t *, size_t);
/* Its stream is closed. */
void config_push_end(struct edge_connection *);

#endif
