/* What the files of proxy/ share: the inside of a worker, and a configuration as one worker uses it. */
#ifndef PENSTOCK_PROXY_CORE_H
#define PENSTOCK_PROXY_CORE_H

#include "base/buffer.h"
#include "base/freelist.h"
#include "base/list.h"
#include "base/random.h"
#include "net/mailbox.h"
#include "net/timer.h"
#include "proxy/access_log.h"
#include "proxy/h1_out.h"
#include "proxy/locate.h"
#include "proxy/retry.h"
#include "proxy/route.h"
#include "proxy/worker.h"

struct group;
struct remembered;
struct rules_room;
struct upstream_pool;

/* Counted without atomics: by the worker while it is the newest, and by the exchanges that began with it. */
struct snapshot {
    struct config *config;
    struct worker *worker;
    unsigned refs;
    struct route_table *routes;
    struct group *lists;          /* steering between pools, by the list's index */
    struct group *pools;          /* steering within a pool, by its index */
    struct upstream_pool **upstreams; /* by the endpoint's index */
    const struct endpoint **by_hash;  /* by the endpoints' hashes */
    struct rules_room *rules_room;    /* for their regular expressions */
};

struct snapshot *snapshot_new(struct worker *, struct config *, const struct snapshot *old);
static inline struct snapshot *snapshot_ref(struct snapshot *s)
{
    s->refs++;
    return s;
}
void snapshot_unref(struct snapshot *);
/* By its hash; NULL: the configuration has none. */
const struct endpoint *snapshot_find_endpoint(const struct snapshot *, uint64_t hash);

/* One listening socket of this worker. It outlives the configurations that name it, and the last connection it accepted. */
struct worker_listener {
    ev_io io;
    struct list link;
    struct worker *worker;
    unsigned refs;
    struct tls_server *tls; /* of the newest configuration; NULL: plain */
    bool is_unix;
    char *address;
};

/* Something to be done before the loop waits again, outside of whatever runs now. Unlike an event that is fed to a watcher it is not
 * forgotten when the watcher changes. Part of its owner, who cancels it before going. */
struct soon {
    struct list link;
    void (*run)(struct soon *);
};

static inline void soon_init(struct soon *soon, void (*run)(struct soon *))
{
    list_init(&soon->link);
    soon->run = run;
}

static inline void soon_cancel(struct soon *soon)
{
    list_remove(&soon->link);
}

struct worker {
    struct ev_loop *loop;
    struct worker_options options;
    struct timers timers;
    struct mailbox mailbox;
    struct random random;
    struct buffer_pool buffers;
    struct freelist clients_free, upstreams_free, exchanges_free, heads_free;
    struct h1_writer writer;
    struct snapshot *snapshot;     /* the newest; NULL before the first */
    struct list listeners;
    struct list clients, dead_clients, dead_upstreams;
    struct list busy_upstreams, exchanges;
    struct list queue;             /* exchanges that wait for an endpoint below its max_in_flight */
    struct soon queue_soon;        /* an endpoint has room again */
    struct timer queue_timer;      /* looks again: other workers free endpoints too */
    nsec_t accept_complained;      /* when the log was told last that they are; 0: never */
    struct timer accept_timer;     /* accepts again after descriptors were out */
    struct log_lines *lines;       /* NULL: no access log since the start */
    struct log_lines *log;         /* the same while the configuration wants one */
    struct retry_budget budget;
    struct remembered *remembered; /* how the last requests were decided */
    struct locator locator;
    ev_check check;                /* the first callback of each turn of the loop */
    ev_prepare prepare;            /* the last */
    struct list soon;
    ev_idle not_yet;               /* runs while there is something to be done soon: the loop must not wait */
    local_handler *local;          /* the admin API; NULL: load balancers */
    void *local_arg;
    bool stopping;
    nsec_t stop_at, cut_at;        /* when exchanges, and upgraded connections, are cut */
    struct timer stop_timer;
    struct worker_counters counters;
};

static inline nsec_t worker_now(const struct worker *w)
{
    return w->timers.now;
}

static inline struct endpoint_counts *worker_counts(struct worker *w, struct endpoint_live *live)
{
    return &live->counts[w->options.index];
}

static inline void worker_soon(struct worker *w, struct soon *soon)
{
    if (!list_empty(&soon->link))
        return;
    if (list_empty(&w->soon))
        ev_idle_start(w->loop, &w->not_yet); /* it may have been asked for after our last callback before the loop waits */
    list_push_back(&w->soon, &soon->link);
}

/* Tells the worker that one fewer exchange is under way on an endpoint: a queued one may go. */
void worker_wake_queue(struct worker *);
/* Tells the worker that a connection or an exchange is gone: a stopping worker may end. */
void worker_check_stopped(struct worker *);

void listener_unref(struct worker_listener *);

#endif
