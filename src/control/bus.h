/* Everything that happens passes here once: numbered, committed by the store together with its alerts, and only then seen by channels,
 * API streams and whoever else subscribed, in the order it was published. Control thread only. */
#ifndef PENSTOCK_CONTROL_BUS_H
#define PENSTOCK_CONTROL_BUS_H

#include "alerts/dispatcher.h"
#include "balance/config.h"
#include "balance/event.h"
#include "control/store.h"

#include <jansson.h>

struct bus;
/* The store and the dispatcher outlive their use by the bus: stop with dispatcher_free after bus_set_dispatcher(bus, NULL), then
 * store_close (which brings the last events), then bus_free. */
struct bus *bus_new(struct store *);
void bus_free(struct bus *);
/* Whose channels decide who wants an event; takes its own reference. */
void bus_set_config(struct bus *, struct config *);
void bus_set_dispatcher(struct bus *, struct dispatcher *); /* NULL: none */

/* Takes over the reference to `data`, an object (NULL: an empty one). `subject` is what order is kept within. The text of the id lives until
 * the next call. */
const char *bus_publish(struct bus *, const char *type, const char *subject, enum severity, bool recovery, json_t *data);

/* `seen` runs on the control loop for each event from now on; it may unsubscribe itself. */
struct bus_subscription;
struct bus_subscription *bus_subscribe(struct bus *, void (*seen)(void *arg, struct event *), void *arg);
void bus_unsubscribe(struct bus_subscription *);

/* The history. Who wants it and then a stream subscribes first, reads, and skips what came twice by event.sequence. */
struct store_read *bus_query(struct bus *, const struct event_query *, void (*done)(void *arg, struct event *const *, size_t n, bool found_after),
                             void *arg);

/* Publishes an alert.test event and sends it to this channel alone, once. `done` gets the outcome in words. False: no such channel. */
bool bus_test_channel(struct bus *, const char *channel, dispatcher_tested *done, void *arg);

#endif
