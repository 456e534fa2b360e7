/* A kind of channel: how an event becomes an HTTP request to somebody. The outbox and the dispatcher do the rest. */
#ifndef PENSTOCK_ALERTS_CHANNEL_H
#define PENSTOCK_ALERTS_CHANNEL_H

#include "balance/config.h"
#include "balance/event.h"
#include "base/text.h"

struct channel_request {
    struct text url;
    struct text headers; /* one per line, "Name: value\n" */
    struct text body;
};

enum delivery { DELIVERY_DONE, DELIVERY_RETRY, DELIVERY_REFUSED /* permanent: this event will never be taken */, DELIVERY_GONE /* 410: the channel is closed */ };

struct channel_type {
    const char *name;
    /* False with a message (>= 256 bytes): the configuration is refused. Control thread, at load. */
    bool (*check)(const struct channel_conf *, char *error);
    /* Control thread, per attempt. `wall`: the time of this attempt. */
    void (*compose)(const struct channel_conf *, const struct event *, nsec_t wall, struct channel_request *out);
    /* Pure: what an answer means. status 0: no answer. `body` is at most 4 KiB of it. */
    enum delivery (*judge)(unsigned status, const char *body);
};

const struct channel_type *channel_type_find(const char *name);
extern const struct channel_type *const channel_types[]; /* alphabetical, NULL-terminated */

/* Does the channel want it? (patterns; by default severity warning and up, and recoveries) */
bool channel_wants(const struct channel_conf *, const struct event *);

#endif
