/* Events over the API: the history as a list, and a stream (text/event-stream) of the history and then what happens. */
#ifndef PENSTOCK_CONTROL_EVENT_STREAM_H
#define PENSTOCK_CONTROL_EVENT_STREAM_H

#include "control/bus.h"
#include "proxy/local.h"

#include <ev.h>

enum {
    EVENT_STREAMS_MAX = 64,
    EVENT_STREAM_WAITING_MAX = 1000, /* events that happen while the history is read */
    EVENT_STREAM_KEEP_ALIVE_S = 15,
};

struct event_streams;
struct event_streams *event_streams_new(struct ev_loop *, struct bus *);
/* Ends all streams and forgets all lists under way. */
void event_streams_free(struct event_streams *);

struct event_filter {
    char after[64];   /* id; "": none */
    char type[64];    /* pattern; "": any */
    char subject[256]; /* "": any */
    nsec_t since;     /* wall; 0: no bound */
    unsigned limit;   /* of a list; 0: the most there can be */
};
/* Answers the call, now or later. Of what fits, a list without `after` and `since` has the newest. */
void event_streams_list(struct event_streams *, struct local_call *, const struct event_filter *);
/* Without `after` and `since` it begins with what happens next. An `after` that is not kept any more: with what is. */
void event_streams_follow(struct event_streams *, struct local_call *, const struct event_filter *);

#endif
