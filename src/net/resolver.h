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
struct resolver_options {
    const char *servers; /* "127.0.0.1:5353,…" for tests and split DNS; NULL: the system's */
    nsec_t min_ttl, max_ttl; /* clamps; 1 s and 5 min by default */
    nsec_t retry;        /* after a failure; 5 s by default */
};
/* NULL with errno-like text in `error` (>= 128 bytes) if c-ares can't start. */
struct resolver *resolver_new(struct ev_loop *, const struct resolver_options *, char *error);
void resolver_free(struct resolver *);

/* One subscription to a name. `changed` runs on the loop when the set differs from before, and `failed` on each failed refresh
 * (reason in words; `kept`: addresses of the last good answer still in use). Neither runs inside resolver_watch. */
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
