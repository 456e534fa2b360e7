/* Coarse timers: many, cheap to move, never early and at most two ticks late. One wheel per loop, used by its thread alone.
 *
 * Arming an armed timer for later costs one store: the wheel looks at the deadline only when it meets the timer. */
#ifndef PENSTOCK_NET_TIMER_H
#define PENSTOCK_NET_TIMER_H

#include "base/clock.h"
#include "base/list.h"

#include <ev.h>
#include <stdbool.h>

enum { TIMER_SLOTS = 512 };
#define TIMER_TICK (50 * NSEC_PER_MSEC)

struct timer {
    struct list link;  /* on a slot of the wheel while armed */
    nsec_t deadline;
    nsec_t slot_time;  /* when the wheel will meet it */
    void (*fire)(struct timer *); /* disarmed when called; may arm itself again or free its owner */
};

struct timers {
    struct ev_loop *loop;
    ev_timer tick;
    nsec_t now;        /* monotonic; refreshed by timers_refresh and when the wheel turns */
    nsec_t turned_to;  /* slots up to this instant were met */
    nsec_t wake_at;    /* while `tick` is active: the first slot with a timer; nothing wakes the loop in between */
    unsigned armed;
    struct list slots[TIMER_SLOTS];
};

void timers_init(struct timers *, struct ev_loop *);
/* All timers must be disarmed. */
void timers_clear(struct timers *);
/* Reads the clock; call once per turn of the loop before any callback arms a timer. */
void timers_refresh(struct timers *);

static inline void timer_init(struct timer *t, void (*fire)(struct timer *))
{
    list_init(&t->link);
    t->deadline = t->slot_time = 0;
    t->fire = fire;
}
void timer_arm_at(struct timers *, struct timer *, nsec_t deadline);
static inline void timer_arm(struct timers *ts, struct timer *t, nsec_t after)
{
    timer_arm_at(ts, t, ts->now + after);
}
void timer_disarm(struct timers *, struct timer *);
static inline bool timer_is_armed(const struct timer *t)
{
    return !list_empty(&t->link);
}

#endif
