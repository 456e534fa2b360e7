/* A loop that turns until something was counted, or the test fails after `patience_s` seconds: for tests of what answers from a loop. After cmocka.h. */
#ifndef PENSTOCK_UNIT_TURN_UNTIL_H
#define PENSTOCK_UNIT_TURN_UNTIL_H

#include <ev.h>

static inline void on_late(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    *(bool *)w->data = true;
    ev_break(loop, EVBREAK_ALL);
}

static inline void turn_until(struct ev_loop *loop, const unsigned *counter, unsigned wanted, double patience_s)
{
    bool late = false;
    ev_timer timer;

    ev_timer_init(&timer, on_late, patience_s, 0);
    timer.data = &late;
    ev_timer_start(loop, &timer);
    while (*counter < wanted && !late)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &timer);
    assert_false(late);
}

#endif
