/* A tunnel that our own edge serves, as everybody sees it: who is connected, and how a stream to it is got. The edge's registry on the
 * control thread makes it and says who is in it; the workers that own its connections say how those are. */
#ifndef PENSTOCK_BALANCE_TUNNEL_H
#define PENSTOCK_BALANCE_TUNNEL_H

#include "balance/ops.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "net/address.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    TUNNEL_SECRET_MIN = 32,    /* bytes: what cloudflared makes, and the least it takes */
    TUNNEL_SECRET_MAX = 128,
};
enum { TUNNEL_CONNECTORS_MAX = 25, TUNNEL_CONNECTIONS_MAX = 100, TUNNEL_NAME_SIZE = 64, CONNECTOR_TEXT_SIZE = 64 };

/* UNKNOWN: not known yet. Of a tunnel of our edge: the process is young, and connectors that knew it have not had the time to come back. Of one
 * of Cloudflare's: no endpoint has told anything of it. */
enum tunnel_status { TUNNEL_UNKNOWN, TUNNEL_HEALTHY, TUNNEL_DEGRADED /* fewer connections than expected; Cloudflare's: endpoints contradict each other */,
                     TUNNEL_DOWN, TUNNEL_INACTIVE /* never connected */ };
const char *tunnel_status_name(enum tunnel_status); /* "unknown", "healthy", "degraded", "down", "inactive" */

/* Of one connection. The owner writes all but SICK. */
enum line_state {
    LINE_USABLE,
    LINE_SUSPECT,  /* nothing is heard of it: no new stream until it answers */
    LINE_DRAINING, /* said that it goes, or was told to: running streams end */
    LINE_CLOSED
};

/* One HTTP/2 connection of a connector. Counted; its `owner` is for the thread of `worker` alone. */
struct tunnel_line {
    _Atomic unsigned refs;
    uint64_t id;                    /* never repeats in this process; 0 is none */
    unsigned char uuid[16];         /* what the connector is told */
    unsigned index;                 /* connIndex */
    nsec_t opened_wall;
    struct address peer;
    _Atomic unsigned worker;        /* who owns it; changes once at the most, before its first request */
    _Atomic uint8_t state;          /* enum line_state */
    _Atomic bool sick;              /* control: monitors found that it does not carry requests */
    _Atomic uint32_t in_flight;     /* owner */
    _Atomic nsec_t heard_at;        /* owner: its last bytes */
    _Atomic nsec_t rtt;             /* owner; 0: not measured yet */
    _Atomic bool window_is_low;     /* owner: uploads that the connector does not take leave little room for others */
    void *owner;                    /* struct edge_connection */
};
struct tunnel_line *tunnel_line_ref(struct tunnel_line *);
void tunnel_line_unref(struct tunnel_line *);

/* One running cloudflared. Counted, immutable but for the atomics; a view lists its lines. */
struct tunnel_connector {
    _Atomic unsigned refs;
    char id[UUID_TEXT_SIZE];
    char version[CONNECTOR_TEXT_SIZE], arch[CONNECTOR_TEXT_SIZE];
    nsec_t run_at_wall;
    uint64_t hash;                  /* of the id */
    float latitude, longitude;      /* of its address; NaN: unknown */
    _Atomic double weight;          /* control */
    _Atomic nsec_t drained_at;      /* control: by the operator; 0: it is not */
    _Atomic nsec_t doubted_at;      /* its lines' owners: one of them ended without a word, or fell silent; 0: never */
};
struct tunnel_connector *tunnel_connector_ref(struct tunnel_connector *);
void tunnel_connector_unref(struct tunnel_connector *);

/* Who is connected at one time: immutable, counted. */
struct tunnel_view {
    _Atomic unsigned refs;
    size_t n_connectors, n_lines;
    struct tunnel_view_connector {
        struct tunnel_connector *connector; /* one reference */
        size_t first_line, n_lines;         /* in `lines` */
    } *connectors;
    struct tunnel_line **lines;             /* one reference each, grouped by connector */
};
void tunnel_view_unref(struct tunnel_view *);

struct tunnel {
    _Atomic unsigned refs;
    char id[UUID_TEXT_SIZE];
    char name[TUNNEL_NAME_SIZE];
    _Atomic uint8_t status;         /* enum tunnel_status; control */
    _Atomic uint32_t usable;        /* lines that a new stream may go to; 0: the tunnel is no candidate */
    _Atomic uint32_t held_back;     /* lines that one could go to, had the operator not drained their connectors or given them weight 0 */
    _Atomic bool scales;            /* control: some endpoint's weight follows `usable`; never taken back */
    _Atomic uint64_t version;       /* moves with each new view, and when control counts anew: drains and weights are read again */
    pthread_mutex_t lock;           /* guards `view` and the counting of `usable`; taken when somebody comes or goes, never per request */
    struct tunnel_view *view;       /* never NULL */
};

/* A name by config_is_name(), shorter than TUNNEL_NAME_SIZE, and no UUID. */
bool tunnel_name_is_valid(const char *);

struct tunnel *tunnel_new(const char *id, const char *name);
struct tunnel *tunnel_ref(struct tunnel *);
void tunnel_unref(struct tunnel *); /* NULL is fine */
/* One reference to the present view. Any thread. */
struct tunnel_view *tunnel_get_view(struct tunnel *);
/* Takes the view over. Control thread. True if the tunnel became usable by it, or ceased to be, or if a weight follows from it: the caller moves
 * the epoch. */
bool tunnel_set_view(struct tunnel *, struct tunnel_view *);
/* The line's owner, or control for `sick`, `drained_at` and `weight` (0: no new stream): sets it and counts anew. True as above. */
bool tunnel_set_line_state(struct tunnel *, struct tunnel_line *, enum line_state);
bool tunnel_recount(struct tunnel *);

static inline bool tunnel_line_is_usable(const struct tunnel_line *l)
{
    return atomic_load_explicit(&l->state, memory_order_acquire) == LINE_USABLE && !atomic_load_explicit(&l->sick, memory_order_relaxed);
}
/* What ends one connection, or silences it, mostly does so to all of its process: the others are doubtful until something is heard of them. */
static inline bool tunnel_line_is_doubtful(const struct tunnel_connector *c, const struct tunnel_line *l)
{
    nsec_t doubted_at = atomic_load_explicit(&c->doubted_at, memory_order_acquire);
    return doubted_at && atomic_load_explicit(&l->heard_at, memory_order_relaxed) <= doubted_at;
}
static inline bool tunnel_is_usable(const struct tunnel *t)
{
    return atomic_load_explicit(&t->usable, memory_order_acquire) > 0;
}

/* Is it the operator alone who keeps new streams from it? */
static inline bool tunnel_is_held_back(const struct tunnel *t)
{
    return !tunnel_is_usable(t) && atomic_load_explicit(&t->held_back, memory_order_relaxed) > 0;
}

/* --- the gate: how a worker gets a stream without knowing the edge --- */

/* Connections of one tunnel that one request may meet; and those among them that live, but did not answer it. */
enum { TUNNEL_TRIES_MAX = 8, TUNNEL_FAILURES_MAX = 3 };

struct tunnel_try {
    uint64_t line;                  /* id of the connection */
    uint64_t connector;             /* hash of the id of the connector, which a view may have forgotten meanwhile */
};
/* Where in a tunnel a request's session is. All zero: it has none. */
struct tunnel_session {
    uint64_t connector;             /* hash of its id: there while it has a connection; 0: by the key */
    uint64_t key;                   /* of this a connector is the weighted hash that the replica steering has no say in; 0: none */
    nsec_t drain_duration;          /* for so long its connector, once drained, keeps it */
    bool no_other;                  /* a request that failed at its connector goes to no other */
};

struct decision;
struct tunnel_wish {
    struct decision *decision;      /* the choice is noted there; NULL: nowhere */
    bool asks_only;                 /* nothing is opened, and nothing moves: nobody sent the request */
    uint64_t line;                  /* this connection and no other: a probe; 0: any */
    const struct tunnel_try *tried; /* out of the question; the last failure comes last */
    unsigned n_tried;
    bool has_body;
    bool other_connector;           /* none of those that were tried: the service behind them is out of reach */
    bool no_doubtful;               /* none beside one that failed or fell silent, and was not heard of since */
    struct slice host;              /* that the request is for */
    uint64_t random, key;           /* for the replica steering, see steering/policy.h */
    float latitude, longitude;      /* of the client; NaN: unknown */
    struct tunnel_session session;
};
struct tunnel_opened {
    const struct upstream_ops *ops;
    void *upstream;                 /* NULL: none, see reason. It is ready: the request may be sent at once */
    struct tunnel_try over;         /* where it goes */
    enum reason reason;             /* NO_LOAD_BALANCER: nobody may ask for that host through a tunnel */
};
struct tunnel_home { /* the connector that a session has */
    bool takes_it;                  /* also if it takes no other requests */
    char id[UUID_TEXT_SIZE];        /* "": it is not connected */
};
struct tunnel_gate {
    void *worker;                   /* the edge's half of this worker */
    struct tunnel_opened (*open)(void *worker, struct tunnel *, struct exchange *, const struct tunnel_wish *);
    struct tunnel_home (*home)(void *worker, struct tunnel *, const struct tunnel_session *);
};

#endif
