/* A connection to an endpoint, from inside: what upstream.c (its requests and responses, one state machine), upstream_connect.c (until
 * it stands) and upstream_pool.c (while nobody needs it) share. For them alone; all others have upstream.h. Worker's thread. */
#ifndef PENSTOCK_PROXY_UPSTREAM_INSIDE_H
#define PENSTOCK_PROXY_UPSTREAM_INSIDE_H

#include "http/chunked.h"
#include "proxy/exchange.h"
#include "proxy/upstream.h"

enum upstream_state {
    UPSTREAM_DIALLING,
    UPSTREAM_HANDSHAKE,
    UPSTREAM_WAITING, /* for a response's head */
    UPSTREAM_BODY,    /* its head was given to the exchange */
    UPSTREAM_IDLE,
    UPSTREAM_CLOSED
};

enum { UPSTREAM_LINE = 64 }; /* of memory */

/* With many endpoints none of this is in the nearer caches when its turn comes. So what each request touches stands together: a pool's first
 * line, and all of a connection before `dialling`. */
struct upstream_pool {
    _Alignas(UPSTREAM_LINE) struct worker *worker;
    struct endpoint_live *live;
    struct upstream *recent;  /* the idle one that was used last; NULL: it is in use */
    struct list idle;         /* those before it, the most recently used first: left alone while one is enough */
    nsec_t idle_time;         /* shorter while connections turn out to be closed when they are used again */
    unsigned n_idle;
    unsigned users;           /* configurations that name it; none: nothing is kept any more */
    unsigned refs;            /* those and the connections */
    uint64_t dial_hash;
    SSL_SESSION *session;     /* the newest, to be resumed by the next connection */
};

struct upstream {
    _Alignas(UPSTREAM_LINE) struct stream stream;
    struct upstream_pool *pool;
    struct exchange *exchange;
    uint32_t requests, requests_max;
    uint8_t state;
    uint8_t reading;          /* enum http_body of the response */
    bool keep_alive;          /* the response says so */
    bool ended;               /* the response has come whole */
    bool extra;               /* and more than that */
    bool head_given;          /* the exchange has the response's head */
    bool got_bytes;           /* of a response, since the request was sent */
    bool written;             /* a byte of the request may have been sent */
    bool request_done;        /* and all of it was taken */
    bool write_broken;
    bool blocked;             /* the client's side has no room */
    bool alone;               /* carries an upgrade: not for others */
    bool large_reads;
    bool over_unix;
    uint8_t interims;
    struct http_head *head;   /* while a response is awaited */
    struct buffer *in;        /* [start, end) is payload not taken yet, or the part of a head */
    struct list link;         /* on the worker's list of busy or dead ones, or the pool's idle list; on none: the recent one */
    uint32_t addresses_version; /* of the endpoint's addresses when `address` was last seen among them */
    struct http_parser parser;
    uint64_t body_left;
    nsec_t expires;
    char *tls_name;           /* the name verified, where it follows the request's host; NULL: always the same */
    struct timer timer;
    struct soon soon;         /* reads on, or gives on what was read, without waiting for the socket */
    struct h1_out out;
    struct dialling *dialling; /* while connecting to an address */
    SSL *ssl;                 /* made before dialling; the stream's afterwards */
    nsec_t born, connected, secured;
    struct chunk_decoder decoder; /* of a chunked response */
    struct address address;
};

static inline struct worker *upstream_worker(const struct upstream *u)
{
    return u->pool->worker;
}

static inline struct endpoint_counts *upstream_counts(const struct upstream *u)
{
    return worker_counts(u->pool->worker, u->pool->live);
}

static inline const struct timeouts *upstream_timeouts(const struct upstream *u)
{
    return u->exchange->timeouts;
}

static inline void upstream_set_state(struct upstream *u, enum upstream_state state)
{
    u->state = (uint8_t)state;
}

static inline void upstream_set_deadline(struct upstream *u, nsec_t after)
{
    timer_arm(&upstream_worker(u)->timers, &u->timer, after);
}

/* --- upstream.c --- */

/* Does nothing when it is closed already; the worker frees it at the end of the turn. */
void upstream_close(struct upstream *);
/* Closes it, and tells its exchange. `detail`: in words; NULL: none. */
void upstream_fail(struct upstream *, enum reason, const char *detail);
/* It stands: the exchange sends its request. */
void upstream_become_ready(struct upstream *);
/* The stream's events. */
void upstream_on_io(struct ev_loop *, ev_io *, int events);

/* --- upstream_connect.c --- */

/* Dials as the exchange's endpoint is to be dialled; ends in upstream_become_ready or upstream_fail, never before it returns. False:
 * it can't even begin, see *why_not, and is to be closed. */
bool upstream_connect(struct upstream *, const struct exchange *, enum reason *why_not);
/* DIALLING, and its unix socket has something to tell. */
void upstream_on_unix_connected(struct upstream *);
/* HANDSHAKE, and there are bytes. */
void upstream_shake_hands(struct upstream *);
void upstream_stop_dialling(struct upstream *);

/* --- upstream_pool.c --- */

/* Each connection holds its pool. */
void upstream_pool_release(struct upstream_pool *);
/* The first of its pool, in place of the one that is idle for longest where there are enough. */
void upstream_keep_idle(struct upstream *);
/* From whatever list it is on. */
void upstream_leave_idle(struct upstream *);
/* One that leads where the exchange has to go, on no list any more; NULL: none. Closes those it finds to be of no use. */
struct upstream *upstream_take_idle(struct upstream_pool *, const struct exchange *, enum upstream_want);
/* Begins to fetch what a request touches of it. */
void upstream_prefetch(const struct upstream *);
/* Kept connections that turn out closed say that we keep them for too long. */
void upstream_note_reuse_race(struct upstream *);

#endif
