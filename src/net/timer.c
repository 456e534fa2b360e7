#include "net/timer.h"

/* The wheel turns only to slots that hold a timer: `wake_at` is the first of them. Slots before it are empty, so none is missed
 * when `turned_to` lags behind the clock meanwhile. */

static nsec_t tick_floor(nsec_t t)
{
    return t - t % TIMER_TICK;
}

static struct list *slot_at(struct timers *ts, nsec_t slot_time)
{
    return &ts->slots[slot_time / TIMER_TICK % TIMER_SLOTS];
}

static void set_wake(struct timers *ts, nsec_t slot_time)
{
    ts->wake_at = slot_time;
    ev_timer_stop(ts->loop, &ts->tick);
    /* The loop's clock may be a little behind: one millisecond more saves a wake-up that comes too early. */
    nsec_t delay = slot_time > ts->now ? slot_time - ts->now + NSEC_PER_MSEC : 0;
    ev_timer_set(&ts->tick, nsec_to_seconds(delay), 0.);
    ev_timer_start(ts->loop, &ts->tick);
}

/* Into the slot of the first tick not before the deadline; a deadline beyond the wheel's turn is met at its end and linked again. */
static void link_timer(struct timers *ts, struct timer *t)
{
    nsec_t slot_time = tick_floor(t->deadline + TIMER_TICK - 1);
    if (slot_time <= ts->turned_to)
        slot_time = ts->turned_to + TIMER_TICK;
    else if (slot_time >= ts->turned_to + TIMER_SLOTS * TIMER_TICK)
        slot_time = ts->turned_to + (TIMER_SLOTS - 1) * TIMER_TICK;
    t->slot_time = slot_time;
    list_push_back(slot_at(ts, slot_time), &t->link);
    if (!ev_is_active(&ts->tick) || slot_time < ts->wake_at)
        set_wake(ts, slot_time);
}

/* Takes the timers of all slots up to now. */
static void collect_met(struct timers *ts, struct list *met)
{
    nsec_t until = tick_floor(ts->now);
    for (unsigned i = 0; i < TIMER_SLOTS && ts->turned_to < until; i++) {
        ts->turned_to += TIMER_TICK;
        list_append_all(met, slot_at(ts, ts->turned_to));
    }
    if (ts->turned_to < until)
        ts->turned_to = until;
}

static void wake_for_next_slot(struct timers *ts)
{
    for (nsec_t i = 1; i < TIMER_SLOTS; i++) {
        nsec_t slot_time = ts->turned_to + i * TIMER_TICK;
        if (!list_empty(slot_at(ts, slot_time))) {
            set_wake(ts, slot_time);
            return;
        }
    }
}

static void on_tick(struct ev_loop *loop, ev_timer *tick, int events)
{
    struct timers *ts = tick->data;
    struct list met, *link;
    (void)loop;
    (void)events;

    timers_refresh(ts);
    list_init(&met);
    collect_met(ts, &met);
    while ((link = list_pop_front(&met))) {
        struct timer *t = CONTAINER_OF(link, struct timer, link);
        if (t->deadline > ts->now) {
            link_timer(ts, t);
        } else {
            ts->armed--;
            t->fire(t);
        }
    }
    wake_for_next_slot(ts);
}

void timers_init(struct timers *ts, struct ev_loop *loop)
{
    ts->loop = loop;
    ts->armed = 0;
    ts->wake_at = 0;
    ev_timer_init(&ts->tick, on_tick, 0., 0.);
    ts->tick.data = ts;
    for (unsigned i = 0; i < TIMER_SLOTS; i++)
        list_init(&ts->slots[i]);
    timers_refresh(ts);
    ts->turned_to = tick_floor(ts->now);
}

void timers_clear(struct timers *ts)
{
    ev_timer_stop(ts->loop, &ts->tick);
}

void timers_refresh(struct timers *ts)
{
    ts->now = clock_monotonic();
}

void timer_arm_at(struct timers *ts, struct timer *t, nsec_t deadline)
{
    t->deadline = deadline;
    if (timer_is_armed(t)) {
        if (deadline > t->slot_time - TIMER_TICK)
            return;
        list_remove(&t->link);
    } else if (ts->armed++ == 0) {
        ts->turned_to = tick_floor(ts->now);
    }
    link_timer(ts, t);
}

void timer_disarm(struct timers *ts, struct timer *t)
{
    if (!timer_is_armed(t))
        return;
    list_remove(&t->link);
    if (--ts->armed == 0)
        ev_timer_stop(ts->loop, &ts->tick);
}
