/* Carries alerts to their channels: one queue per channel, kept in order within a subject, several subjects at a time, repeated with
 * growing pauses until the channel has taken them. Control thread only; nothing here blocks its loop. */
#ifndef PENSTOCK_ALERTS_DISPATCHER_H
#define PENSTOCK_ALERTS_DISPATCHER_H

#include "alerts/channel.h"

#include <ev.h>

enum {
    DISPATCHER_BACKLOG_MAX = 10000, /* alerts waiting per channel; beyond, the oldest is dropped, counted and logged */
    DISPATCHER_PARALLEL = 8,        /* deliveries under way per channel, of different subjects */
    DISPATCHER_ERROR_SIZE = 256,
};

/* What keeps alerts over a restart; the owner of the dispatcher lends it. */
struct outbox {
    /* Delivered, or given up: the row of this event and channel goes. */
    void (*forget)(void *arg, uint64_t sequence, const char *channel);
    void *arg;
};

struct dispatcher;
struct dispatcher *dispatcher_new(struct ev_loop *, const struct outbox *);
/* What is under way is cut short and not forgotten: it is sent again after a restart. */
void dispatcher_free(struct dispatcher *);

/* The configuration in force changed; takes its own reference. Channels are known by name; a closed one opens again; the backlog of one
 * that is gone is dropped, forgotten and logged. */
void dispatcher_set_config(struct dispatcher *, struct config *);
/* Queues an event whose outbox row is on disk; takes its own reference. Without such a channel it is dropped, forgotten and logged. */
void dispatcher_deliver(struct dispatcher *, const char *channel, struct event *);

/* One attempt, past the queue, nothing repeated. `detail` says what came of it: "HTTP 204 in 31 ms". */
typedef void dispatcher_tested(void *arg, bool delivered, const char *detail);
/* False: no such channel, `done` does not run. Else it runs once, always; dispatcher_free runs it too. */
bool dispatcher_test(struct dispatcher *, const char *channel, struct event *, dispatcher_tested *done, void *arg);

struct channel_status {
    const char *name, *type;     /* of the configuration in force */
    size_t backlog;              /* waiting or under way */
    bool closed;                 /* it answered 410: nothing is sent until a reload or restart */
    uint64_t delivered, attempts, failures, dropped; /* since the start */
    nsec_t last_success;         /* wall; 0: never */
    nsec_t last_error_at;        /* wall; 0: never */
    char last_error[DISPATCHER_ERROR_SIZE]; /* "" : none since the last success */
};
/* In the order of the configuration. */
void dispatcher_each_channel(const struct dispatcher *, void (*each)(void *arg, const struct channel_status *), void *arg);

#endif
