/* HTTP/1.1 connections to endpoints, and the pool each worker keeps of the idle ones of each endpoint. Worker's thread. */
#ifndef PENSTOCK_PROXY_UPSTREAM_H
#define PENSTOCK_PROXY_UPSTREAM_H

#include "balance/ops.h"
#include "proxy/core.h"

struct upstream;
extern const struct upstream_ops h1_upstream_ops;

/* The idle connections to one endpoint; lives on over reloads as long as the way to dial stays the same. */
struct upstream_pool *upstream_pool_new(struct worker *, const struct endpoint *);
/* NULL if the pool is not for dialling that endpoint as it is configured now. */
struct upstream_pool *upstream_pool_ref_for(struct upstream_pool *, const struct endpoint *);
/* The last one closes the idle connections; the busy ones close when they are done. */
void upstream_pool_unref(struct upstream_pool *);
/* Begins to fetch it: it is about to be asked for a connection. */
void upstream_pool_prefetch(const struct upstream_pool *);
/* The same for the connection that it would give. */
void upstream_pool_prefetch_next(const struct upstream_pool *);
/* Closes what is idle. */
void upstream_pool_close_idle(struct upstream_pool *);

enum upstream_want {
    UPSTREAM_ANY,   /* an idle connection if there is one */
    UPSTREAM_ALIVE, /* the same, but look first whether it was closed: the request could not be sent again */
    UPSTREAM_FRESH  /* a new connection, which is not kept afterwards either where the exchange is an upgrade */
};
struct upstream_start {
    struct upstream *upstream; /* NULL: it failed at once, see reason */
    bool ready;                /* send now; else exchange_upstream_ready will tell */
    enum reason reason;
};
struct upstream_start upstream_acquire(struct upstream_pool *, struct exchange *, enum upstream_want);

/* For the log line: the address connected to, and whether the connection had served before. */
void upstream_describe(const struct upstream *, char *address, size_t size, bool *reused);
/* When the connection was made, and when its TLS was ready; 0: not yet. For probes. */
void upstream_times(const struct upstream *, nsec_t *connected, nsec_t *secured);

void upstream_free(struct upstream *); /* of a closed one; the worker calls it */
struct upstream *upstream_of_link(struct list *);
size_t upstream_size(void);

#endif
