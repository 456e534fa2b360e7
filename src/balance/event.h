/* Something happened to a subject. Made on the control thread, immutable afterwards. */
#ifndef PENSTOCK_BALANCE_EVENT_H
#define PENSTOCK_BALANCE_EVENT_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_CRITICAL };

struct event {
    uint64_t sequence;   /* the store's row, growing over restarts */
    char id[32];         /* "evt_" and 26 characters of time and randomness (a ULID): never repeats, sorts by time */
    const char *type;    /* "tunnel.inactive" */
    const char *subject; /* what it happened to: "europe/ams", a tunnel's UUID, a pool's name … order within one is kept */
    enum severity severity;
    bool recovery;       /* ends what an earlier event of the subject reported */
    nsec_t wall;
    const char *data;    /* a JSON object as text */
};

const char *severity_name(enum severity);

#endif
