/* One request and its response, from head to log line: the only state machine that knows both sides. Its worker's thread only.
 *
 *   NEW → CHOOSING (→ QUEUED →) CONNECTING → SENT → RESPONDING → DONE, or RAW after a 101
 *
 * A failure at the upstream leads back to CHOOSING while the retry table allows it. The client's side creates an exchange; it is
 * freed when it calls the client's `end`, when a send to the client failed, or when the client said that it is gone. */
#ifndef PENSTOCK_PROXY_EXCHANGE_H
#define PENSTOCK_PROXY_EXCHANGE_H

#include "balance/ops.h"
#include "balance/place.h"
#include "http/trailers.h"
#include "proxy/core.h"

enum exchange_state {
    EXCHANGE_NEW,
    EXCHANGE_CHOOSING,
    EXCHANGE_QUEUED,     /* every endpoint that may be used is at its max_in_flight */
    EXCHANGE_CONNECTING, /* waits for its upstream */
    EXCHANGE_SENT,       /* the head is sent; the body may still be under way */
    EXCHANGE_RESPONDING, /* the response's head was given to the client */
    EXCHANGE_RAW,        /* after a 101: bytes both ways */
    EXCHANGE_DONE
};
const char *exchange_state_name(enum exchange_state);

enum { EXCHANGE_TRIED_MAX = 12, EXCHANGE_ID_MAX = 64 };

struct exchange_times { /* monotonic; 0: not reached */
    nsec_t start, chosen, connected, sent, first_byte;
};

/* What an upgraded connection keeps of its beginning, for its log line: everything else is let go. */
struct exchange_memory;

/* Where it has to go if it can; see affinity.h. */
struct session {
    const struct endpoint *endpoint; /* NULL: none, or none any more */
    uint64_t connector;              /* of its tunnel, the hash of its id; 0: any */
    uint32_t issued, seen;           /* seconds since 1970 */
    uint64_t key;                    /* what its endpoint is a hash of; 0: none */
};

struct exchange {
    struct worker *worker;
    struct snapshot *snapshot;      /* held until the end, or a 101 */
    struct list link;               /* on the worker's list of exchanges */
    struct list queue;              /* on its queue, or alone */
    struct timer timer;             /* the next of the four below */
    nsec_t upstream_until;          /* the answer, or more of it, is awaited; only where the upstream doesn't keep time itself */
    nsec_t queue_until, total_until, abort_at; /* 0: not running. RAW: abort_at is when it has been idle for too long */

    /* the client's side; the creator fills in everything up to prefix_is_all */
    const struct client_ops *client_ops;
    void *client;
    const struct address *peer;     /* of the connection; NULL: a unix socket, or ourselves */
    bool secure;                    /* TLS to the client */
    const char *listener;           /* its address as the configuration has it; NULL: none */

    /* the request; bytes belong to the client's side and don't change until the end */
    struct http_head *head;         /* the exchange's: given back at its end */
    const char *base;
    struct http_message message;
    struct slice prefix;            /* payload of the body that came with the head */
    bool prefix_is_all;

    /* the body: first the prefix, then the buffer. Kept for sending again while it is whole. */
    bool body_ended;                /* all of it has arrived */
    bool body_finished;             /* and was sent */
    bool body_dropped;              /* something that was sent is not kept any more: it can't be sent again */
    bool body_blocked;              /* the client's side waits for room */
    uint32_t body_sent;             /* bytes of `body` */
    size_t prefix_sent;
    struct buffer *body;
    struct trailers request_trailers, response_trailers; /* lines as they came */
    uint64_t body_bytes;

    /* where it goes */
    struct slice host;              /* the request's, without port */
    const struct load_balancer *load_balancer;
    struct explanation *explanation; /* nobody sent it: see proxy/explain.h */
    struct decision *decision;      /* how it goes is noted there; NULL: nowhere */
    const struct pool_list *pools;  /* of the load balancer, for this client; NULL: not chosen yet */
    bool located;
    struct place place;             /* of the client, once located */
    const struct timeouts *timeouts;
    struct session session;
    uint64_t lot, lot_of_client;    /* see shedding.h */
    uint64_t shed_by;               /* a bit per pool (of 64 that share one, the first): counted as shed by it already */
    const struct endpoint *endpoint; /* of the current try */
    const struct endpoint *only;    /* a probe: this one and no other, by connections of its own */
    struct upstream_pool *only_pool;
    uint64_t only_line;             /* and over this connection of its tunnel; 0: any */
    bool connect_only;              /* a probe that asks for nothing */
    const struct upstream_ops *upstream_ops;
    void *upstream;                 /* NULL: none */
    bool counted;                   /* in the endpoint's in-flight */
    bool in_budget;
    bool timed_out;                 /* a try ended so */
    bool all_down;                  /* nobody was well when it was chosen: health was ignored */
    uint8_t n_tried;
    uint8_t same_tried;
    uint8_t retries;                /* to other endpoints */
    const struct endpoint *tried[EXCHANGE_TRIED_MAX];
    struct tunnel_try over;         /* what of the endpoint's tunnel the current try goes over; line 0: no tunnel of our edge */
    uint8_t n_lines_tried, n_line_failures;
    struct tunnel_try lines_tried[TUNNEL_TRIES_MAX];

    /* the response */
    uint8_t state;
    bool blocked_by_client;         /* the upstream waits for room */
    bool local_reply;               /* made by us */
    uint8_t reason;                 /* enum reason: of the last failure, or of our own reply */
    uint16_t status;                /* as the client got it; 0: none yet */
    uint64_t response_bytes;
    struct slice rest;              /* of our own reply, not taken by the client yet */
    struct exchange_memory *memory; /* RAW only */

    struct exchange_times times;
    nsec_t started_wall;
    bool upstream_reused;

    /* not zeroed at the start */
    char request_id[EXCHANGE_ID_MAX + 1];
    char upstream_address[80];
    char reply_text[256];
};

/* A new exchange in state NEW with nothing but the client's side filled in; NULL when memory is out. */
struct exchange *exchange_new(struct worker *, const struct client_ops *, void *client);
/* Gives it its head: of a request that no client sent, judged like any other. False: it is none, or memory is out. */
bool exchange_read_head(struct exchange *, struct slice bytes);
/* The request's head is complete and judged. `end`, or any other operation, may be called before this returns. */
void exchange_start(struct exchange *);
/* A request that is refused before it goes anywhere: answers with that status. */
void exchange_refuse(struct exchange *, unsigned status, enum reason);
/* Of an exchange that is explained and whose endpoint is a tunnel: which of its connections would be chosen. */
void exchange_explain_tunnel(struct exchange *);
/* Frees an exchange that was never started. */
void exchange_discard(struct exchange *);
/* There may be room: a queued exchange chooses again. False: it waits on, at the end of the queue. */
bool exchange_unqueue(struct exchange *);
/* The worker stops and the grace is over. */
void exchange_cut(struct exchange *, enum reason);

#endif
