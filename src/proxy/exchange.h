/* One request and its response, from head to log line: the only state machine that knows both sides. Its worker's thread only.
 *
 *   NEW → CHOOSING (→ QUEUED →) CONNECTING → SENT → RESPONDING → DONE, or RAW after a 101
 *
 * A failure at the upstream leads back to CHOOSING while the retry table allows it. The client's side creates an exchange; it is
 * freed when it calls the client's `end`, when a send to the client failed, or when the client said that it is gone. */
#ifndef PENSTOCK_PROXY_EXCHANGE_H
#define PENSTOCK_PROXY_EXCHANGE_H

#include "balance/ops.h"
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

enum { EXCHANGE_TRIED_MAX = 12 };

struct exchange_times { /* monotonic; 0: not reached */
    nsec_t start, chosen, connected, sent, first_byte, end;
};

struct exchange {
    enum exchange_state state;
    struct worker *worker;
    struct snapshot *snapshot;      /* held until the end, or a 101 */
    struct list link;               /* on the worker's queue, or alone */
    struct timer timer;             /* queue, then the whole exchange's total, where there is one */

    /* the client's side */
    const struct client_ops *client_ops;
    void *client;
    const struct address *peer;     /* of the connection */
    const struct worker_listener *listener; /* NULL: a probe */
    bool secure;                    /* TLS to the client */

    /* the request: the creator fills these in; buffers belong to the client's side and don't change until the end */
    struct http_head *head;
    const char *base;
    struct http_message message;
    struct slice host;              /* of the request, lower case or not, without port */
    struct slice prefix;            /* payload of the body that came with the head */
    bool prefix_is_all;

    /* the body: first the prefix, then the buffer. Kept for sending again while it is whole. */
    struct buffer *body;
    size_t prefix_sent;
    uint32_t body_sent;             /* bytes of `body` */
    bool body_ended;                /* all of it has arrived */
    bool body_finished;             /* and was sent */
    bool body_whole;                /* nothing of it was dropped yet: it can be sent again */
    bool body_blocked;              /* the client's side waits for room */
    uint64_t body_bytes;

    /* where it goes */
    const struct load_balancer *load_balancer;
    const struct endpoint *endpoint; /* of the current try */
    const struct endpoint *only;     /* a probe: this one and no other */
    const struct endpoint *tried[EXCHANGE_TRIED_MAX];
    unsigned n_tried;
    unsigned retries;                /* to other endpoints */
    bool retried_fresh;              /* once on the same endpoint, after a reuse race */
    bool in_budget;                  /* counts in the worker's retry budget */
    const struct upstream_ops *upstream_ops;
    void *upstream;                  /* NULL: none */

    /* the response */
    unsigned status;                 /* as the client got it; 0: none yet */
    bool local_reply;                /* made by us */
    bool blocked_by_client;          /* the upstream waits for room */
    uint64_t response_bytes;
    unsigned interims;
    struct slice local_rest;         /* of our own reply, when the client did not take it at once; static or in `reply` */
    char reply[512];

    enum reason reason;              /* why it ended as it did */
    struct exchange_times times;
    char request_id[40];
    uint8_t request_id_length;
    char upstream_address[64];
    bool upstream_reused;
};

/* A new exchange in state NEW with nothing but the client's side filled in; NULL when memory is out. */
struct exchange *exchange_new(struct worker *, const struct client_ops *, void *client);
/* The request's head is complete and judged. `end`, or any other operation, may be called before this returns. */
void exchange_start(struct exchange *);
/* A request that is refused before it goes anywhere: answers with that status. */
void exchange_refuse(struct exchange *, unsigned status, enum reason);
/* Frees an exchange that was never started. */
void exchange_discard(struct exchange *);
/* The worker found room: a queued exchange chooses again. */
void exchange_unqueue(struct exchange *);
/* The worker stops: an upgraded connection, or one that has outlived the grace, is cut. */
void exchange_cut(struct exchange *, enum reason);

#endif
