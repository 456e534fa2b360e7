/* A client's HTTP/1 connection: reads requests, hands each to an exchange, writes what comes back. Worker's thread. */
#ifndef PENSTOCK_PROXY_CLIENT_H
#define PENSTOCK_PROXY_CLIENT_H

#include "proxy/core.h"

struct client;

/* A connection the listener accepted: takes `fd` over, and serves at once what has come already. */
void client_accept(struct worker_listener *, int fd, const struct sockaddr_storage *peer);
/* The worker stops: an idle connection closes now, a busy one after its response. */
void client_stop(struct client *);
/* The grace is over: closes a connection that has no exchange. */
void client_cut(struct client *);
struct client *client_of_link(struct list *);
/* Frees a closed connection: the worker calls it once no callback of it can be under way. */
void client_free(struct client *);
size_t client_size(void);

#endif
