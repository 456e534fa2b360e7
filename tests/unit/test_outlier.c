/* Passive health on a scripted clock, then by several threads at once. */
#include "pool_under_test.h"

#include <pthread.h>

#define NO_JITTER (UINT64_C(1) << 63)

static bool record(struct pool_under_test *p, enum reason reason, nsec_t now)
{
    return outlier_record(live_of(p, 0), &p->pool.passive, reason, now, NO_JITTER, true);
}

static nsec_t ejected_for(struct pool_under_test *p, nsec_t now)
{
    return atomic_load(&live_of(p, 0)->ejected_until) - now;
}

static void test_five_in_a_row_eject(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_false(record(p, REASON_RESET, START));
    assert_true(record(p, REASON_RESET, START));
    assert_true(outlier_is_ejected(live_of(p, 0), START));
    assert_int_equal(ejected_for(p, START), 10 * SECOND);
    assert_int_equal(atomic_load(&live_of(p, 0)->ejected_for), REASON_RESET);
    pool_free(p);
}

static void test_one_success_begins_the_row_anew(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    p->pool.passive.ratio = 0;
    for (unsigned i = 0; i < 100; i++)
        assert_false(record(p, i % 5 == 4 ? REASON_NONE : REASON_RESET, START));
    pool_free(p);
}

static void test_what_counts(void **state)
{
    (void)state;
    for (enum reason r = REASON_NONE; r < REASONS; r++) {
        struct pool_under_test *p = pool_new(2);
        bool ejected = false;
        for (unsigned i = 0; i < 10; i++)
            ejected |= record(p, r, START);
        assert_int_equal(ejected, reason_counts_against_endpoint(r));
        pool_free(p);
    }
}

/* Half of 20 within the window, never five in a row. */
static void test_ratio(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    for (unsigned i = 0; i < 19; i++)
        assert_false(record(p, i % 2 ? REASON_STATUS : REASON_NONE, START + i * SECOND / 10));
    assert_true(record(p, REASON_STATUS, START + 2 * SECOND));
    pool_free(p);
}

static void test_ratio_below_the_threshold(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        assert_false(record(p, i % 3 == 2 ? REASON_STATUS : REASON_NONE, START + i * SECOND / 100));
    pool_free(p);
}

/* What is older than the window has no part in the ratio. */
static void test_ratio_forgets(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    p->pool.passive.consecutive = 0;
    for (unsigned i = 0; i < 19; i++)
        assert_false(record(p, REASON_STATUS, START));
    assert_false(record(p, REASON_STATUS, START + 11 * SECOND));
    /* And an old half is not mistaken for a new one, however long nobody came. */
    assert_false(record(p, REASON_STATUS, START + 100000 * SECOND));
    pool_free(p);
}

static void test_both_detectors_can_be_off(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    p->pool.passive.consecutive = 0;
    p->pool.passive.ratio = 0;
    for (unsigned i = 0; i < 100; i++)
        assert_false(record(p, REASON_RESET, START));
    pool_free(p);
}

/* Requests that were under way when it was ejected neither prolong the ejection nor count afterwards. */
static void test_nothing_counts_while_ejected(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    pool_eject(p, 0, REASON_RESET, START);
    for (unsigned i = 0; i < 50; i++)
        assert_false(record(p, REASON_RESET, START + SECOND));
    assert_int_equal(ejected_for(p, START), 10 * SECOND);
    assert_false(outlier_is_ejected(live_of(p, 0), START + 10 * SECOND));
    for (unsigned i = 0; i < 4; i++)
        assert_false(record(p, REASON_RESET, START + 10 * SECOND));
    assert_true(record(p, REASON_RESET, START + 10 * SECOND));
    pool_free(p);
}

static void test_ejections_grow_to_the_cap(void **state)
{
    struct pool_under_test *p = pool_new(2);
    nsec_t now = START;

    (void)state;
    for (unsigned n = 1; n <= 40; n++) {
        nsec_t expected = (n < 30 ? n : 30) * 10 * SECOND;
        pool_eject(p, 0, REASON_RESET, now);
        assert_int_equal(ejected_for(p, now), expected);
        now += expected;
        assert_false(outlier_sweep(live_of(p, 0), &p->pool.passive, now - 1));
        assert_true(outlier_sweep(live_of(p, 0), &p->pool.passive, now));
        assert_false(outlier_sweep(live_of(p, 0), &p->pool.passive, now));
    }
    pool_free(p);
}

static void test_jitter_is_a_tenth_and_the_cap_holds(void **state)
{
    struct random { uint64_t draw; nsec_t least, most; } cases[] = {
        { 0, 9 * SECOND, 9 * SECOND }, { UINT64_MAX, 11 * SECOND - 1000, 11 * SECOND }, { UINT64_MAX / 4, 9 * SECOND, 10 * SECOND },
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct pool_under_test *p = pool_new(2);
        for (unsigned n = 0; n < 5; n++)
            outlier_record(live_of(p, 0), &p->pool.passive, REASON_RESET, START, cases[i].draw, true);
        assert_true(ejected_for(p, START) >= cases[i].least && ejected_for(p, START) <= cases[i].most);
        pool_free(p);
    }
    struct pool_under_test *p = pool_new(2);
    atomic_store(&live_of(p, 0)->ejections, 50);
    for (unsigned n = 0; n < 5; n++)
        outlier_record(live_of(p, 0), &p->pool.passive, REASON_RESET, START, UINT64_MAX, true);
    assert_int_equal(ejected_for(p, START), 300 * SECOND);
    pool_free(p);
}

static void test_count_decays_by_one_per_clean_period(void **state)
{
    struct pool_under_test *p = pool_new(2);
    struct endpoint_live *live = live_of(p, 0);

    (void)state;
    atomic_store(&live->ejections, 2);
    pool_eject(p, 0, REASON_RESET, START); /* the third: 30 s */
    nsec_t end = START + 30 * SECOND;
    assert_true(outlier_sweep(live, &p->pool.passive, end));
    outlier_sweep(live, &p->pool.passive, end + 10 * SECOND - 1);
    assert_int_equal(atomic_load(&live->ejections), 3);
    outlier_sweep(live, &p->pool.passive, end + 10 * SECOND);
    assert_int_equal(atomic_load(&live->ejections), 2);
    outlier_sweep(live, &p->pool.passive, end + 19 * SECOND);
    assert_int_equal(atomic_load(&live->ejections), 2);
    outlier_sweep(live, &p->pool.passive, end + 500 * SECOND);
    assert_int_equal(atomic_load(&live->ejections), 0);
    outlier_sweep(live, &p->pool.passive, end + 900 * SECOND);
    assert_int_equal(atomic_load(&live->ejections), 0);
    pool_free(p);
}

/* A pass of a monitor is no answer to what real requests met, but it is to a connection that could not be made. */
static void test_forgiving(void **state)
{
    (void)state;
    for (enum reason r = REASON_NONE; r < REASONS; r++) {
        if (!reason_counts_against_endpoint(r))
            continue;
        struct pool_under_test *p = pool_new(2);
        assert_false(outlier_forgive(live_of(p, 0), START));
        pool_eject(p, 0, r, START);
        assert_int_equal(outlier_forgive(live_of(p, 0), START + SECOND), reason_is_transport(r));
        assert_int_equal(outlier_is_ejected(live_of(p, 0), START + SECOND), !reason_is_transport(r));
        pool_free(p);
    }
}

static void test_forgiven_twice_is_remembered(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    pool_eject(p, 0, REASON_CONNECT_FAILED, START);
    assert_true(outlier_forgive(live_of(p, 0), START + SECOND));
    pool_eject(p, 0, REASON_CONNECT_FAILED, START + 2 * SECOND);
    assert_int_equal(ejected_for(p, START + 2 * SECOND), 20 * SECOND);
    pool_free(p);
}

/* --- the cap --- */

static unsigned eject_as_many_as_may(struct pool_under_test *p)
{
    unsigned ejected = 0;

    for (size_t i = 0; i < p->pool.n_endpoints; i++)
        if (outlier_may_eject(&p->pool, &p->endpoints[i], START)) {
            pool_eject(p, i, REASON_RESET, START);
            ejected++;
        }
    return ejected;
}

static void test_the_cap_is_a_count(void **state)
{
    static const struct { size_t n; double panic; unsigned ejectable; } rows[] = {
        { 1, 0, 0 }, { 2, 0, 1 }, { 3, 0, 2 }, { 4, 0.5, 2 }, { 5, 0.5, 2 }, { 3, 0.34, 1 }, { 4, 1, 0 }, { 10, 0.1, 9 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pool_under_test *p = pool_new(rows[i].n);
        p->pool.panic = rows[i].panic;
        unsigned ejected = eject_as_many_as_may(p);
        if (ejected != rows[i].ejectable)
            fail_msg("%zu endpoints, panic %g: %u ejected", rows[i].n, rows[i].panic, ejected);
        pool_free(p);
    }
}

/* Only those that could take over count as spare. */
static void test_the_cap_counts_usable_endpoints_only(void **state)
{
    struct pool_under_test *p = pool_new(5);

    (void)state;
    endpoint_set_health(live_of(p, 1), HEALTH_DOWN, START);
    endpoint_set_admin(live_of(p, 2), ADMIN_DRAINED, START);
    p->endpoints[3].weight = 0;
    pool_eject(p, 4, REASON_RESET, START);
    assert_false(outlier_may_eject(&p->pool, &p->endpoints[0], START));
    endpoint_set_health(live_of(p, 1), HEALTH_UP, START);
    assert_true(outlier_may_eject(&p->pool, &p->endpoints[0], START));
    pool_free(p);
}

static void test_what_may_not_be_ejected_is_once_it_may(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    for (unsigned i = 0; i < 7; i++)
        assert_false(outlier_record(live_of(p, 0), &p->pool.passive, REASON_RESET, START, NO_JITTER, false));
    assert_true(record(p, REASON_RESET, START));
    pool_free(p);
}

/* --- several workers --- */

enum { THREADS = 4, RECORDS = 20000 };

struct hammering {
    struct pool_under_test *p;
    enum reason reason;
    nsec_t now;
    unsigned ejections;
};

static void *hammer(void *arg)
{
    struct hammering *h = arg;

    for (unsigned i = 0; i < RECORDS; i++)
        h->ejections += outlier_record(live_of(h->p, 0), &h->p->pool.passive, h->reason, h->now, NO_JITTER, true);
    return NULL;
}

static unsigned hammer_from_all_threads(struct pool_under_test *p, enum reason reason, nsec_t now)
{
    pthread_t threads[THREADS];
    struct hammering h[THREADS];
    unsigned ejections = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        h[i] = (struct hammering){ p, reason, now, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &h[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        ejections += h[i].ejections;
    }
    return ejections;
}

static void test_one_of_several_workers_ejects(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    for (unsigned round = 1; round <= 10; round++) {
        nsec_t now = START + round * 1000 * SECOND;
        assert_int_equal(hammer_from_all_threads(p, REASON_CONNECT_FAILED, now), 1);
        assert_int_equal(atomic_load(&live_of(p, 0)->ejections), 1);
        assert_true(outlier_sweep(live_of(p, 0), &p->pool.passive, now + 10 * SECOND));
        outlier_sweep(live_of(p, 0), &p->pool.passive, now + 20 * SECOND);
    }
    pool_free(p);
}

/* No request is lost from the window, however many count at once. */
static void test_the_window_counts_exactly(void **state)
{
    struct pool_under_test *p = pool_new(2);
    nsec_t now = START;

    (void)state;
    assert_int_equal(hammer_from_all_threads(p, REASON_NONE, now), 0);
    p->pool.passive.consecutive = 0;
    p->pool.passive.min_requests = THREADS * RECORDS + 2;
    p->pool.passive.ratio = 1.0 / (THREADS * RECORDS + 2);
    assert_false(record(p, REASON_RESET, now));
    assert_true(record(p, REASON_RESET, now));
    pool_free(p);
}

struct sweeping {
    struct pool_under_test *p;
    _Atomic bool stop;
    unsigned ended;
};

static void *sweep(void *arg)
{
    struct sweeping *s = arg;

    for (nsec_t now = START; !atomic_load(&s->stop); now += SECOND) {
        s->ended += outlier_sweep(live_of(s->p, 0), &s->p->pool.passive, now);
        s->ended += outlier_forgive(live_of(s->p, 0), now);
        outlier_may_eject(&s->p->pool, &s->p->endpoints[0], now);
    }
    return NULL;
}

/* Control sweeps while workers count and eject: the next ejection begins only after the last one has ended. */
static void test_sweeping_while_workers_count(void **state)
{
    struct pool_under_test *p = pool_new(2);
    struct sweeping s = { .p = p };
    pthread_t sweeper;

    (void)state;
    assert_int_equal(pthread_create(&sweeper, NULL, sweep, &s), 0);
    unsigned ejections = hammer_from_all_threads(p, REASON_RESET, START);
    atomic_store(&s.stop, true);
    assert_int_equal(pthread_join(sweeper, NULL), 0);
    assert_true(ejections >= 1);
    assert_in_range(ejections, s.ended, s.ended + 1);
    pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_five_in_a_row_eject),
        cmocka_unit_test(test_one_success_begins_the_row_anew),
        cmocka_unit_test(test_what_counts),
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_ratio_below_the_threshold),
        cmocka_unit_test(test_ratio_forgets),
        cmocka_unit_test(test_both_detectors_can_be_off),
        cmocka_unit_test(test_nothing_counts_while_ejected),
        cmocka_unit_test(test_ejections_grow_to_the_cap),
        cmocka_unit_test(test_jitter_is_a_tenth_and_the_cap_holds),
        cmocka_unit_test(test_count_decays_by_one_per_clean_period),
        cmocka_unit_test(test_forgiving),
        cmocka_unit_test(test_forgiven_twice_is_remembered),
        cmocka_unit_test(test_the_cap_is_a_count),
        cmocka_unit_test(test_the_cap_counts_usable_endpoints_only),
        cmocka_unit_test(test_what_may_not_be_ejected_is_once_it_may),
        cmocka_unit_test(test_one_of_several_workers_ejects),
        cmocka_unit_test(test_the_window_counts_exactly),
        cmocka_unit_test(test_sweeping_while_workers_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
