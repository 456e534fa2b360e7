/* HTTP requests to the outside by libcurl on an event loop: certificates verified, no redirects followed, nothing but http and https,
 * and nothing that blocks the loop. One thread. */
#ifndef PENSTOCK_ALERTS_TRANSFER_H
#define PENSTOCK_ALERTS_TRANSFER_H

#include "alerts/channel.h"

#include <ev.h>

enum { TRANSFER_BODY_MAX = 4096, TRANSFER_ERROR_SIZE = 256 };
#define TRANSFER_TIMEOUT_DEFAULT (15 * NSEC_PER_SEC)

struct transfer_result {
    unsigned status;     /* 0: no answer */
    char error[TRANSFER_ERROR_SIZE]; /* of the network or TLS, where there was no answer */
    char body[TRANSFER_BODY_MAX + 1]; /* the beginning of it */
    size_t body_length;
    nsec_t retry_after;  /* what the answer asked for; 0: nothing */
    nsec_t duration;
};

struct transfers;
struct transfers *transfers_new(struct ev_loop *);
/* All transfers must have ended or been cancelled. */
void transfers_free(struct transfers *);

struct transfer;
struct transfer_options {
    nsec_t timeout;      /* 0: the default; all of it, connecting included */
    bool tls_verify;
    const char *ca_file; /* NULL: the system's */
};
/* POSTs. Takes over the request's texts. `done` runs once from the loop, never from within this call, unless it is cancelled first. */
struct transfer *transfer_start(struct transfers *, struct channel_request *, const struct transfer_options *,
                                void (*done)(void *arg, const struct transfer_result *), void *arg) __attribute__((returns_nonnull));
void transfer_cancel(struct transfer *);

#endif
