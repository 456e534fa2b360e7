/* What the files of edge/ share: the inside of the edge on one worker. */
#ifndef PENSTOCK_EDGE_CORE_H
#define PENSTOCK_EDGE_CORE_H

#include "base/buffer.h"
#include "base/list.h"
#include "base/log_quota.h"
#include "edge/edge.h"
#include "http/head.h"
#include "net/peer_count.h"
#include "net/timer.h"

#include <uthash.h>

enum {
    EDGE_SCRATCH_SIZE = 128 * 1024, /* heads are put together here, bytes read and written pass through it */
    EDGE_BUFFERS_KEPT = 64,
};

struct edge_connection;
struct gate_tunnel;

struct edge_listener {
    ev_io io;
    struct list link;
    struct edge_worker *worker;
};

struct edge_worker {
    struct ev_loop *loop;
    struct edge_worker_options options;
    const struct edge_worker_options *given; /* the same, for messages to control: it outlives them */
    struct tunnel_gate gate;
    struct mailbox mailbox;
    struct timers timers;
    struct buffer_pool buffers;
    struct list listeners;
    struct tls_server *tls;        /* control's */
    struct list connections, dead; /* all that are open; and those to be freed once no callback can be on the stack */
    struct list dirty;             /* connections with something to send or to tell, before the loop waits */
    struct edge_connection *by_ticket, *by_line; /* uthash */
    uint64_t next_ticket;
    struct peer_counts *strangers_by_address; /* connections that are not registered yet */
    struct peer_counts *failures_by_address; /* of those, since the window began: refused, no TLS, no HTTP/2 */
    nsec_t failures_since;
    struct log_quota strangers_told, strangers_warned_of;
    struct gate_tunnel *tunnels;   /* uthash: what the gate keeps of each tunnel it met */
    const struct steering_policy *policy; /* among connectors */
    void *policy_config;
    const struct steering_policy *keyed_policy; /* for sessions that are a matter of a key */
    void *keyed_config;
    struct list relay_fronts, relay_backs; /* so that they can be ended with the worker */
    bool ended;                    /* being freed: what is still in the mailbox is told nobody */
    ev_check check;
    ev_prepare prepare;
    ev_idle not_yet;               /* runs while something is dirty: the loop must not wait */
    bool stopping;
    struct timer stop_timer;
    void (*stopped)(void *arg, unsigned index);
    struct http_head head;         /* of the response that is being told */
    char text[EDGE_SCRATCH_SIZE];  /* its bytes, or a request's lower-case names */
    char wire[EDGE_SCRATCH_SIZE];  /* bytes from or for the socket */
};

static inline nsec_t edge_now(const struct edge_worker *w)
{
    return w->timers.now;
}

/* Before the loop waits the connection sends what it has and tells its streams' users what they have to know. */
void edge_worker_mark(struct edge_worker *, struct edge_connection *);
/* A connection or a relay ended: a stopping worker may have ended with it. */
void edge_worker_check_stopped(struct edge_worker *);
void edge_worker_epoch_moved(struct edge_worker *);

#endif
