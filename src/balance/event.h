/* Something happened to a subject. Made on the control thread, immutable afterwards, counted: any thread may hold a reference. */
#ifndef PENSTOCK_BALANCE_EVENT_H
#define PENSTOCK_BALANCE_EVENT_H

#include "base/clock.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_CRITICAL };

struct event {
    _Atomic unsigned refs;
    uint64_t sequence;   /* grows by one per event, over restarts; 0: none yet */
    char id[32];         /* "evt_" and 26 characters of time and randomness (a ULID): never repeats, sorts by time */
    const char *type;    /* "tunnel.inactive": letters, digits, "_" and "." */
    const char *subject; /* what it happened to: "europe/ams", a tunnel's UUID, a pool's name … order within one is kept */
    enum severity severity;
    bool recovery;       /* ends what an earlier event of the subject reported */
    nsec_t wall;
    const char *data;    /* a JSON object as text */
};

const char *severity_name(enum severity); /* "info", "warning", "critical" */
/* False for a name that is none. */
bool severity_parse(const char *name, enum severity *out);

/* A copy of its own, strings included, with one reference. */
struct event *event_new(const struct event *) __attribute__((returns_nonnull, warn_unused_result));
struct event *event_ref(struct event *);
void event_unref(struct event *); /* NULL is fine */

/* Does a type match a pattern in which "*" stands for any run of characters? */
bool event_type_matches(const char *pattern, const char *type);
/* {"id":…,"type":…,"timestamp":…,"severity":…,"data":{…}}: what channels are sent and the API shows. */
void event_write_json(const struct event *, struct text *out);

#endif
