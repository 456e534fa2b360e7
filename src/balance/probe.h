/* One check of one endpoint: asked for by a monitor on the control thread, run on a worker exactly as traffic would be, answered
 * by message. Belongs to whoever has it at the moment. */
#ifndef PENSTOCK_BALANCE_PROBE_H
#define PENSTOCK_BALANCE_PROBE_H

#include "balance/config.h"
#include "balance/reason.h"
#include "net/mailbox.h"

enum { PROBE_BODY_MAX = 64 * 1024, PROBE_HOST_MAX = 256 };

enum probe_kind { PROBE_CONNECT /* TCP, and TLS where traffic uses it */, PROBE_REQUEST };

struct probe_result {
    enum reason reason;   /* REASON_NONE: connected (PROBE_CONNECT), or a whole head came (PROBE_REQUEST) */
    char detail[128];     /* words of the network or TLS layer: "connection refused", "certificate has expired" */
    unsigned status;
    char *body;           /* the first PROBE_BODY_MAX bytes, NUL-terminated; NULL: none */
    size_t body_length;
    char *location;       /* of a redirect, or NULL */
    char *server;         /* the Server field, or NULL */
    char *cf_ray;         /* or NULL */
    nsec_t connect, tls, first_byte, total; /* how long each step took, since the probe's start; 0: not reached */
    char address[80];     /* the one that was connected to */
};

struct probe {
    struct message message;
    enum probe_kind kind;
    struct config *config;          /* one reference */
    const struct endpoint *endpoint; /* in `config` */
    char method[16];
    char *path;
    char host[PROBE_HOST_MAX];      /* Host header where the endpoint has none of its own; also the TLS name then */
    const struct header_pair *headers; /* in `config`; a Host among them is not sent: it is in `host` already */
    size_t n_headers;
    bool want_body;
    nsec_t timeout;
    uint64_t line;                  /* over this connection of the endpoint's tunnel; 0: any */
    struct probe_result result;
    /* Runs on the control thread when the probe is over; owns it. */
    void (*done)(struct probe *, void *arg);
    void *arg;
};

struct probe *probe_new(struct config *, const struct endpoint *);
void probe_free(struct probe *);

#endif
