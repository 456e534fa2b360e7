/* One event loop that moves traffic: its listeners, connections to upstreams, counters. The control thread owns one too, which serves
 * the admin API. Unless said otherwise a function belongs to the worker's own thread. */
#ifndef PENSTOCK_PROXY_WORKER_H
#define PENSTOCK_PROXY_WORKER_H

#include "balance/config.h"
#include "balance/live.h"
#include "balance/probe.h"
#include "balance/tunnel.h"
#include "proxy/counters.h"
#include "proxy/local.h"

#include <ev.h>

struct worker;
struct log_sink;
struct geoip_slot;
struct peer_counts; /* net/peer_count.h */

struct worker_options {
    unsigned index;             /* 0 … workers-1: its place in endpoint_live.counts */
    struct balance_epoch *epoch;
    struct log_sink *access_log; /* NULL: none */
    struct peer_counts *peer_counts; /* shared by all workers; NULL: connections are not limited */
    const struct tunnel_gate *gate; /* to the tunnels of our own edge; NULL: there are none */
    struct geoip_slot *geoip;   /* where clients are; NULL: nobody knows */
    struct mailbox *control;    /* where probes go back to and notices are posted */
    /* Both run on the control thread, brought there by its mailbox. An endpoint failed (`ejected`: and this failure ejected it). */
    void (*notice)(void *arg, const struct endpoint_live *, enum reason, bool ejected);
    /* The posted configuration of this generation is in force in the worker, which watches only the sockets that came with it: the control
     * thread may close others. */
    void (*adopted)(void *arg, unsigned index, uint64_t generation);
    void *arg;
};

/* Any thread, before its loop runs. */
struct worker *worker_new(struct ev_loop *, const struct worker_options *);
/* After its loop has ended. */
void worker_free(struct worker *);

/* Any thread: counters are atomics. */
const struct worker_counters *worker_counters(const struct worker *);

/* Any thread; takes over one reference to the configuration. `fds`: this worker's listening socket per listener of the configuration, or
 * -1 where it is not to listen (yet); copied. The sockets stay the control thread's: the worker never closes one. */
void worker_post_config(struct worker *, struct config *, const int *fds);
void worker_post_probe(struct worker *, struct probe *);
/* Any thread: stop accepting, let exchanges end within the timeouts of shutdown, then break the loop. Again with less: sooner. */
void worker_post_stop(struct worker *, nsec_t grace, nsec_t upgrade_grace);

/* Serves `handler` on these listening sockets instead of load balancers: the admin worker. Again after a reload: these sockets from now on,
 * the others are not watched any more when this returns. Takes over one reference to the configuration. */
void worker_serve_local(struct worker *, const int *fds, size_t n, local_handler *, void *arg, struct config *);

#endif
