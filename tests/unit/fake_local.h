/* Requests to local handlers without a socket: stands in for proxy/local.h's functions and keeps what was answered. */
#ifndef PENSTOCK_UNIT_FAKE_LOCAL_H
#define PENSTOCK_UNIT_FAKE_LOCAL_H

#include "proxy/local.h"

struct local_call {
    struct local_request request;
    bool answered;      /* in full, or the stream was ended */
    bool streaming;
    bool stalled;       /* the client reads nothing: writes fail */
    unsigned status;
    char *content_type, *extra;
    struct text body;
    void (*gone)(void *arg);
    void *gone_arg;
};

/* A request over the unix socket; `target` may have a query. The texts must outlive the call. */
void fake_call_init(struct local_call *, enum http_method, const char *target, const char *body);
/* The same over TCP from this machine; `authorization` NULL: none. */
void fake_call_init_tcp(struct local_call *, enum http_method, const char *target, const char *authorization);
void fake_call_clear(struct local_call *);
/* The client goes away, as the worker would tell. */
void fake_call_leave(struct local_call *);

#endif
