/* Names to addresses with c-ares, on the control thread's loop. A name is refreshed before its TTL ends and keeps its last good
 * answer when that fails. Numeric hosts are answered without a query. */
#ifndef PENSTOCK_NET_RESOLVER_H
#define PENSTOCK_NET_RESOLVER_H

#include "base/clock.h"
#include "net/address.h"

#include <ev.h>

enum { ADDRESS_SET_MAX = 16 };
struct address_set {
    unsigned n;
    struct address items[ADDRESS_SET_MAX]; /* port set; families interleaved, IPv6 first (RFC 8305 section 4) */
};

struct resolver;
/* 0 and NULL stand for the defaults. */
struct resolver_options {
    const char *servers;     /* "127.0.0.1:5353,…" for tests and split DNS; NULL: the system's */
    const char *resolv_conf; /* path; read again when it has changed. Default: /etc/resolv.conf */
    nsec_t min_ttl, max_ttl; /* clamps; 1 s and 5 min by default */
    nsec_t retry;            /* after a failure; 5 s by default */
    nsec_t timeout;          /* of the first of three tries, of which each waits longer; 2 s by default */
};
/* NULL with a message in `error` (>= RESOLVER_ERROR_SIZE bytes) if c-ares can't start or `servers` can't be read. */
#define RESOLVER_ERROR_SIZE 128
struct resolver *resolver_new(struct ev_loop *, const struct resolver_options *, char *error);
/* All watches must be ended. */
void resolver_free(struct resolver *);

/* One subscription to a name. `changed` runs on the loop when the set differs from before (in its addresses, not in their order) and
 * after a failure, and `failed` on each failed refresh (reason in words; `kept`: addresses of the last good answer still in use).
 * Neither runs inside resolver_watch; either may end the watch. */
struct resolver_watch;
struct resolver_callbacks {
    void (*changed)(void *arg, const struct address_set *);
    void (*failed)(void *arg, const char *reason, unsigned kept);
};
struct resolver_watch *resolver_watch(struct resolver *, const char *host, uint16_t port, const struct resolver_callbacks *, void *arg);
void resolver_unwatch(struct resolver_watch *);
/* Asks again now, unless a query is under way or the last ended within a second. */
void resolver_refresh(struct resolver_watch *);

#endif
