#include "net/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The wheel's event is fed by hand and its clock is moved back instead of waiting: a timer armed when `now` was T ms ago is the same
 * as one armed now and looked at T ms later. */
struct probe {
    struct timer timer;
    struct timers *timers;
    unsigned fired;
    nsec_t again; /* armed again for so long when it fires; 0: not */
    struct timer *disarms;
    bool frees_itself;
};

static struct timers timers;
static unsigned freed;

static int setup(void **state)
{
    (void)state;
    timers_init(&timers, ev_loop_new(0));
    return timers.loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    timers_clear(&timers);
    ev_loop_destroy(timers.loop);
    return 0;
}

static void fire(struct timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    assert_false(timer_is_armed(t));
    p->fired++;
    if (p->again)
        timer_arm(p->timers, t, p->again);
    if (p->disarms)
        timer_disarm(p->timers, p->disarms);
    if (p->frees_itself) {
        free(p);
        freed++;
    }
}

static void probe_init(struct probe *p)
{
    *p = (struct probe){ .timers = &timers };
    timer_init(&p->timer, fire);
}

/* As if the wheel had been set up `age` ago. */
static void start_in_past(nsec_t age)
{
    timers.now = clock_monotonic() - age;
    timers.turned_to = timers.now - timers.now % TIMER_TICK;
}

static void turn(void)
{
    ev_feed_event(timers.loop, &timers.tick, EV_TIMER);
    ev_invoke_pending(timers.loop);
}

static void test_fires_on_time_and_never_early(void **state)
{
    static const nsec_t ages[] = { 0, 70 * NSEC_PER_MSEC, 3 * NSEC_PER_SEC, 25 * NSEC_PER_SEC, 26 * NSEC_PER_SEC, 300 * NSEC_PER_SEC };
    (void)state;
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        struct probe past, future;
        probe_init(&past);
        probe_init(&future);
        start_in_past(ages[i] + 2 * TIMER_TICK);
        timer_arm(&timers, &past.timer, ages[i]);
        timer_arm(&timers, &future.timer, ages[i] + 1000 * NSEC_PER_SEC);
        turn();
        /* A deadline beyond the wheel's end is met once before it, and linked anew. */
        if (!past.fired)
            turn();
        assert_int_equal(past.fired, 1);
        assert_false(timer_is_armed(&past.timer));
        assert_int_equal(future.fired, 0);
        assert_true(timer_is_armed(&future.timer));
        turn();
        assert_int_equal(past.fired, 1);
        timer_disarm(&timers, &future.timer);
        assert_int_equal(timers.armed, 0);
    }
}

static void test_every_deadline_is_met_in_its_slot(void **state)
{
    enum { N = 2 * TIMER_SLOTS };
    static struct probe probes[N];
    (void)state;
    start_in_past(N / 2 * TIMER_TICK);
    for (unsigned i = 0; i < N; i++) {
        probe_init(&probes[i]);
        timer_arm(&timers, &probes[i].timer, (nsec_t)i * TIMER_TICK + 1);
    }
    turn();
    for (unsigned i = 0; i < N; i++) {
        bool due = probes[i].timer.deadline <= timers.turned_to, not_yet = probes[i].timer.deadline > timers.now;
        if (due && !probes[i].fired)
            fail_msg("timer %u was not met", i);
        if (not_yet && probes[i].fired)
            fail_msg("timer %u was early", i);
        timer_disarm(&timers, &probes[i].timer);
    }
}

static void test_later_is_a_store_and_earlier_moves(void **state)
{
    struct probe later, earlier;
    (void)state;
    probe_init(&later);
    probe_init(&earlier);
    start_in_past(5 * NSEC_PER_SEC);
    timer_arm(&timers, &later.timer, NSEC_PER_SEC);
    nsec_t slot_time = later.timer.slot_time;
    timer_arm(&timers, &later.timer, 100 * NSEC_PER_SEC);
    assert_int_equal(later.timer.slot_time, slot_time);
    timer_arm(&timers, &earlier.timer, 100 * NSEC_PER_SEC);
    timer_arm(&timers, &earlier.timer, NSEC_PER_SEC);
    assert_int_equal(earlier.timer.slot_time, slot_time);
    assert_int_equal(timers.armed, 2);

    turn();
    assert_int_equal(later.fired, 0);
    assert_true(later.timer.slot_time > slot_time);
    assert_int_equal(earlier.fired, 1);
    timer_disarm(&timers, &later.timer);
    assert_int_equal(timers.armed, 0);
}

static void test_wakes_only_for_a_slot_with_a_timer(void **state)
{
    struct probe soon, later;
    (void)state;
    probe_init(&soon);
    probe_init(&later);
    assert_false(ev_is_active(&timers.tick));
    timer_arm(&timers, &later.timer, 20 * NSEC_PER_SEC);
    assert_true(ev_is_active(&timers.tick));
    assert_int_equal(timers.wake_at, later.timer.slot_time);
    timer_arm(&timers, &soon.timer, NSEC_PER_SEC);
    assert_int_equal(timers.wake_at, soon.timer.slot_time);
    timer_disarm(&timers, &soon.timer);
    turn();
    assert_int_equal(timers.wake_at, later.timer.slot_time);
    timer_disarm(&timers, &later.timer);
    timer_disarm(&timers, &later.timer); /* twice is fine */
    assert_false(ev_is_active(&timers.tick));
}

static void test_may_arm_itself_disarm_others_and_free_itself(void **state)
{
    struct probe repeats, disarms, victim, *frees = malloc(sizeof *frees);
    (void)state;
    assert_non_null(frees);
    probe_init(&repeats);
    probe_init(&disarms);
    probe_init(&victim);
    probe_init(frees);
    repeats.again = 10 * NSEC_PER_SEC;
    disarms.disarms = &victim.timer;
    frees->frees_itself = true;
    freed = 0;

    start_in_past(NSEC_PER_SEC);
    timer_arm(&timers, &repeats.timer, 0);
    timer_arm(&timers, &disarms.timer, 0);
    timer_arm(&timers, &victim.timer, 0); /* the same slot: taken off together with the others */
    timer_arm(&timers, &frees->timer, 0);
    turn();
    assert_int_equal(repeats.fired, 1);
    assert_int_equal(disarms.fired, 1);
    assert_int_equal(victim.fired, 0);
    assert_int_equal(freed, 1);
    assert_true(timer_is_armed(&repeats.timer));
    assert_int_equal(timers.armed, 1);
    assert_int_equal(timers.wake_at, repeats.timer.slot_time);
    timer_disarm(&timers, &repeats.timer);
}

static void test_runs_on_the_loop(void **state)
{
    struct probe p;
    (void)state;
    probe_init(&p);
    timers_refresh(&timers);
    nsec_t before = timers.now;
    timer_arm(&timers, &p.timer, TIMER_TICK);
    ev_run(timers.loop, 0); /* ends when nothing is armed */
    assert_int_equal(p.fired, 1);
    assert_true(clock_monotonic() - before >= TIMER_TICK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_fires_on_time_and_never_early),
        TEST(test_every_deadline_is_met_in_its_slot),
        TEST(test_later_is_a_store_and_earlier_moves),
        TEST(test_wakes_only_for_a_slot_with_a_timer),
        TEST(test_may_arm_itself_disarm_others_and_free_itself),
        TEST(test_runs_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
