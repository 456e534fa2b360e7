/* What is known of an endpoint now. Keyed by its stable id, survives reloads, shared by all threads: every field says who
 * writes it. Workers read it on the request path, so nothing here takes a lock but the address set (read when connecting). */
#ifndef PENSTOCK_BALANCE_LIVE_H
#define PENSTOCK_BALANCE_LIVE_H

#include "base/clock.h"
#include "net/resolver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };
enum admin_state { ADMIN_ENABLED, ADMIN_DRAINED, ADMIN_DISABLED };

/* One cache line per worker, written by that worker only, summed on demand. */
struct endpoint_counts {
    _Alignas(64) uint32_t workers;    /* of how many the endpoint has such counts: sums need no other line */
    _Atomic uint32_t in_flight;
    _Atomic uint32_t connections;     /* open to the endpoint, idle ones included */
    _Atomic uint64_t requests;        /* sent */
    _Atomic uint64_t failures;        /* what passive health counts */
    _Atomic uint64_t retries;         /* moved away from here */
    _Atomic uint64_t reuse_races;     /* kept connections that turned out closed */
    _Atomic uint64_t bytes_sent, bytes_received;
};

/* Sliding window of passive health: the current half window and the one before. Each is one word, its number and its counts together,
 * so that whoever finds an old one begins it anew in the same compare-and-swap that counts; see outlier.c. */
struct outlier_window {
    _Atomic uint64_t halves[2];
};

/* A time in service. One that goes on ends at STRETCH_OPEN. */
struct stretch {
    _Atomic nsec_t since, until;      /* 0: since the start */
};
#define STRETCH_OPEN INT64_MAX
enum { STRETCHES_KEPT = 4 };

/* What a request touches stands on two cache lines: what the workers read and write by turns, and each worker's own counts. */
struct endpoint_live {
    char *id;
    _Atomic unsigned refs;

    /* control thread writes */
    _Atomic uint32_t stretch;         /* number of the current or last one */
    _Atomic double weight_override;   /* NaN: none */
    _Atomic nsec_t slow_start_from;   /* the last return from being down, ejected, drained or disabled; 0: none yet */
    _Atomic nsec_t admin_since;       /* when `admin` changed; 0: never */
    _Atomic nsec_t clean_since;       /* from when on the next clean period counts */
    _Atomic uint8_t health;           /* enum health: the monitors' verdict; by endpoint_set_health */
    _Atomic uint8_t admin;            /* enum admin_state: the operator's word at run time; by endpoint_set_admin */
    _Atomic bool dialable;            /* false: the name has no address, or none that can be reached */
    _Atomic bool kept_out;            /* not dialable because its tunnel's rules differ from its pool's, which has "identical" */
    _Atomic bool resolving;           /* the name has had no answer yet, neither good nor bad: not dialable, which says nothing */

    /* any worker writes */
    _Atomic uint8_t ejected_for;      /* enum reason of the last failure before it */
    _Atomic uint32_t address_turn;    /* which address the next connection begins with; moves on failure */

    /* Read or written with each request. Any worker writes, by compare-and-swap: */
    _Alignas(64) struct outlier_window window;
    _Atomic nsec_t ejected_until;     /* 0: not ejected */
    _Atomic double latency_s;         /* peak EWMA of time to first byte; NaN: unknown */
    _Atomic nsec_t latency_at;
    _Atomic uint32_t consecutive_failures;
    _Atomic uint32_t ejections;       /* in a row, for the back-off; decays by one per clean period */
    /* the control thread: */
    _Atomic double probe_latency_s;   /* NaN: unknown */
    _Atomic uint32_t addresses_version; /* moves with `addresses`, so that kept connections to former ones are not used any more */

    struct stretch stretches[STRETCHES_KEPT]; /* the last ones in service; by endpoint_note_return and endpoint_note_loss */

    pthread_mutex_t address_lock;     /* guards `addresses` */
    struct address_set addresses;

    struct endpoint_counts counts[];
};

struct endpoint_live *endpoint_live_new(const char *id, unsigned workers);
/* What is known of it now, for trying things out: nobody writes to the one by way of the other. Of one worker, without requests in flight; without
 * addresses. */
struct endpoint_live *endpoint_live_copy(const struct endpoint_live *);
struct endpoint_live *endpoint_live_ref(struct endpoint_live *);
void endpoint_live_unref(struct endpoint_live *);

/* The only writers of `health` and `admin`; control thread. A return to service begins the slow start and a stretch; the first verdict after
 * the start is no return. The caller moves the epoch. True if the value changed. */
bool endpoint_set_health(struct endpoint_live *, enum health, nsec_t now);
bool endpoint_set_admin(struct endpoint_live *, enum admin_state, nsec_t now);

/* Begins to fetch what the worker's next request there will touch, so that with many endpoints it does not wait for one line of memory
 * after the other. */
static inline void endpoint_prefetch(const struct endpoint_live *live, unsigned worker)
{
    __builtin_prefetch(&live->window, 1);
    __builtin_prefetch(&live->counts[worker], 1);
}

/* Not down, drained, disabled or ejected: what stretches are about. Any thread. */
bool endpoint_in_service(const struct endpoint_live *, nsec_t now);
/* Control thread: what kept it out of service is over. Nothing is noted while something else does. */
void endpoint_note_return(struct endpoint_live *, nsec_t now);
/* Control thread, or the worker that ejects: it was in service until now. */
void endpoint_note_loss(struct endpoint_live *, nsec_t now);
/* When the current or last stretch began; 0: with the process. */
nsec_t endpoint_usable_since(const struct endpoint_live *);
/* Was it in service in the moment before `instant`? As far back as stretches are kept. */
bool endpoint_was_in_service(const struct endpoint_live *, nsec_t instant);

static inline unsigned endpoint_workers(const struct endpoint_live *live)
{
    return live->counts[0].workers;
}
/* Sums over the workers. */
uint32_t endpoint_in_flight(const struct endpoint_live *);
uint32_t endpoint_open_connections(const struct endpoint_live *);

void endpoint_set_addresses(struct endpoint_live *, const struct address_set *); /* control */
void endpoint_get_addresses(struct endpoint_live *, struct address_set *out);    /* any thread */

/* The epoch: moves whenever health, weight, ejection or an operator's word changed, so that workers rebuild their tables at the
 * next choice. One per process. */
struct balance_epoch {
    _Atomic uint64_t value;
};
static inline void balance_epoch_move(struct balance_epoch *e)
{
    atomic_fetch_add_explicit(&e->value, 1, memory_order_release);
}
static inline uint64_t balance_epoch_read(const struct balance_epoch *e)
{
    return atomic_load_explicit(&e->value, memory_order_acquire);
}

#endif
