/* What outlives the process: the history of events, alerts not delivered yet, what the operator said at run time. SQLite in
 * DIRECTORY/penstock.db (write-ahead log, every commit synced), or in memory when there is no directory. The database belongs to a
 * thread of its own, so nobody waits for a disk; answers come back to the control loop. All functions belong to the control thread.
 *
 * A write that fails (full disk, I/O error) is tried again until it succeeds, in order, and shows in the status meanwhile. Events are
 * shown and alerts sent without it once it has failed for STORE_PATIENCE: an alert about an outage must not wait for the disk that is
 * part of it. */
#ifndef PENSTOCK_CONTROL_STORE_H
#define PENSTOCK_CONTROL_STORE_H

#include "balance/event.h"
#include "balance/live.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STORE_KEEP_DAYS = 30,
    STORE_KEEP_EVENTS = 100000,
    STORE_QUEUE_MAX = 20000,  /* writes waiting; further ones are lost, counted and logged */
    STORE_READ_MAX = 1000,    /* events in one answer */
    STORE_ERROR_SIZE = 256,
};
#define STORE_PATIENCE (10 * NSEC_PER_SEC)

struct store;

struct store_options {
    const char *directory; /* must exist; NULL: in memory, gone with the process */
    nsec_t keep_age;       /* of events; 0: STORE_KEEP_DAYS. Undelivered alerts keep their event */
    uint64_t keep_events;  /* 0: STORE_KEEP_EVENTS */
    nsec_t patience;       /* 0: STORE_PATIENCE */
};

/* Reads what was kept and starts the thread. A database that is corrupt or of another kind is renamed to penstock.db.corrupt-TIME and
 * a new one begun, with a warning. NULL, and `error` says why, when the directory can't be used. */
struct store *store_open(struct ev_loop *, const struct store_options *, char error[static STORE_ERROR_SIZE]);
/* Commits everything queued (trying for STORE_PATIENCE at the most), ends the thread, runs the callbacks that are due, frees. */
void store_close(struct store *);

/* What was kept by the time of store_open; for the start only, before anything is written. */
void store_each_override(const struct store *, void (*each)(void *arg, const char *endpoint, enum admin_state, double weight), void *arg);
/* In the order of their events. The callee refs the event if it keeps it. */
void store_each_undelivered(const struct store *, void (*each)(void *arg, const char *channel, struct event *), void *arg);
/* The last event of each subject and kind ("pool" of "pool.healthy"). The callee refs the event if it keeps it. */
void store_each_last(const struct store *, void (*each)(void *arg, struct event *), void *arg);
/* Of the last event ever kept, also when its row is gone. */
uint64_t store_last_sequence(const struct store *);

/* Commits the event together with one outbox row per channel, all or nothing, then `done` runs once; `durable`: it is on disk (or in the
 * memory that stands for it). Events come back in the order they were added. */
void store_add_event(struct store *, struct event *, const char *const *channels, size_t n_channels,
                     void (*done)(void *arg, struct event *, bool durable), void *arg);
/* The alert was delivered, or never will be: its outbox row goes. */
void store_forget_delivery(struct store *, uint64_t sequence, const char *channel);
/* ADMIN_ENABLED with NaN: nothing said, the row goes. */
void store_set_override(struct store *, const char *endpoint, enum admin_state, double weight);
/* `done` runs once, later, when all that was given before is committed (`durable`), or when STORE_PATIENCE is over. */
void store_when_written(struct store *, void (*done)(void *arg, bool durable), void *arg);

struct event_query {
    const char *after;  /* id of an event; those that follow it, oldest first. NULL: from the oldest kept */
    nsec_t since;       /* wall; 0: no bound */
    const char *type;   /* pattern, see event_type_matches; NULL: any */
    const char *subject; /* NULL: any */
    unsigned limit;     /* 0 or more than STORE_READ_MAX: STORE_READ_MAX */
    bool newest;        /* the last `limit` that fit instead of the first; oldest first all the same */
};
struct store_read;
/* `done` runs once, unless cancelled first. It gets the events oldest first and refs those that it keeps. `found_after`: false if `after` names an event
 * that is not kept (any more): then nothing else is said. */
struct store_read *store_read_events(struct store *, const struct event_query *,
                                     void (*done)(void *arg, struct event *const *, size_t n, bool found_after), void *arg);
/* `done` will not run. Not after it has. */
void store_cancel_read(struct store_read *);

struct store_status {
    bool durable;           /* false: in memory */
    bool failing;           /* the last write failed and is being tried again */
    nsec_t failing_since;   /* wall */
    char error[STORE_ERROR_SIZE]; /* of the last failed write; stays after it succeeded */
    unsigned queued;        /* writes waiting */
    uint64_t lost;          /* writes refused because the queue was full */
    uint64_t events;        /* kept */
};
void store_get_status(struct store *, struct store_status *out);

#endif
