/* Connecting to one of several addresses: the next is tried 250 ms after the one before, or at once when that failed (RFC 8305
 * section 5). One thread. */
#ifndef PENSTOCK_NET_DIAL_H
#define PENSTOCK_NET_DIAL_H

#include "net/resolver.h"
#include "net/timer.h"

#include <ev.h>

#define DIAL_STAGGER (250 * NSEC_PER_MSEC)
enum { DIAL_PARALLEL = 4 }; /* attempts under way at once */

struct dial;
struct dial_attempt {
    struct ev_io io;
    struct dial *dial;
    unsigned index; /* of its address */
};

struct dial {
    struct ev_loop *loop;
    struct timers *timers;
    struct address_set addresses;
    unsigned first, started; /* attempts begun; the n-th goes to addresses[(first + n) % n_addresses] */
    unsigned pending;
    struct dial_attempt attempts[DIAL_PARALLEL];
    struct timer stagger;
    ev_prepare soon; /* tells of a result that was known at once, from an event */
    void (*done)(struct dial *);
    int fd;          /* the result: connected, now the caller's; or -1 with `error` */
    int error;       /* errno of the last failure */
    unsigned index;  /* of the address that connected, or of the last that failed */
};

/* Begins; `done` runs once from a later event, never within this call, and may free the dial. The set is copied; n >= 1; `first` counts
 * modulo n. Again after `done` or dial_cancel is fine. */
void dial_start(struct dial *, struct ev_loop *, struct timers *, const struct address_set *, unsigned first, void (*done)(struct dial *));
/* Ends all attempts; `done` will not run. Safe after `done` and on a zeroed one. */
void dial_cancel(struct dial *);

#endif
