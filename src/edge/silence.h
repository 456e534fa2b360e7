/* Does a connector's connection still answer? A PING goes out every EDGE_PING_IDLE, and at once when a stream has waited with nothing received
 * on the connection for max(EDGE_QUIET_MIN, 4 × RTT), at growing distances as long as answers come; none back within EDGE_SUSPECT_AFTER:
 * suspect; within EDGE_DEAD_AFTER: dead. What a waiting request is moved by comes a tick of the timers early at the most, and never late.
 * The connection's worker only. */
#ifndef PENSTOCK_EDGE_SILENCE_H
#define PENSTOCK_EDGE_SILENCE_H

#include "base/clock.h"

#define EDGE_PING_IDLE (10 * NSEC_PER_SEC)
#define EDGE_QUIET_MIN (250 * NSEC_PER_MSEC)
#define EDGE_SUSPECT_AFTER NSEC_PER_SEC
#define EDGE_DEAD_AFTER (5 * NSEC_PER_SEC)

struct edge_connection;

struct silence {
    nsec_t received_at;   /* the last bytes */
    nsec_t ping_sent_at;  /* 0: none is out */
    nsec_t ping_distance; /* grows while answers come */
};

/* The connection serves from now on; its timer is ours until it is closed. */
void silence_begin(struct edge_connection *);
/* Bytes came: one that was suspect is usable again. */
void silence_heard(struct edge_connection *);
void silence_on_pong(struct edge_connection *);
/* The timer fired. The connection may be closed afterwards. */
void silence_watch(struct edge_connection *);
/* Is it alive? A PING goes out at once. */
void silence_check(struct edge_connection *);
/* A stream waits for its answer from now on: silence is looked at closely again. */
void silence_watch_closely(struct edge_connection *);
/* It ended without a word: what did that mostly did so to all of its process. */
void silence_doubt_the_others(const struct edge_connection *);

#endif
