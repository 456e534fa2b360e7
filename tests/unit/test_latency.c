/* Peak EWMA: a slower answer counts at once, a faster one over time. */
#include "balance/latency.h"
#include "pool_under_test.h"

static void assert_latency(const struct endpoint_live *live, double expected)
{
    double seen = atomic_load(&live->latency_s);

    if (fabs(seen - expected) > 1e-9)
        fail_msg("%.9f, expected %.9f", seen, expected);
}

static void test_the_first_sample_is_the_figure(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    latency_record(live, START, 0.25, LATENCY_DECAY);
    assert_latency(live, 0.25);
    assert_int_equal(atomic_load(&live->latency_at), START);
    endpoint_live_unref(live);
}

static void test_a_peak_counts_at_once_and_fades(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    latency_record(live, START, 0.1, LATENCY_DECAY);
    latency_record(live, START + 1, 2.0, LATENCY_DECAY);
    assert_latency(live, 2.0);
    latency_record(live, START + 1 + 10 * SECOND, 0.1, LATENCY_DECAY); /* one time constant later */
    assert_latency(live, 2.0 * exp(-1) + 0.1 * (1 - exp(-1)));
    latency_record(live, START + 1000 * SECOND, 0.1, LATENCY_DECAY);
    assert_latency(live, 0.1);
    endpoint_live_unref(live);
}

static void test_the_time_constant_is_the_callers(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    latency_record(live, START, 2.0, SECOND);
    latency_record(live, START + 2 * SECOND, 1.0, SECOND);
    assert_latency(live, 1.0 + exp(-2));
    endpoint_live_unref(live);
}

/* Many samples in one instant are one instant's worth. */
static void test_samples_of_one_instant_do_not_fade(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    latency_record(live, START, 1.0, LATENCY_DECAY);
    for (unsigned i = 0; i < 1000; i++)
        latency_record(live, START, 0.001, LATENCY_DECAY);
    assert_latency(live, 1.0);
    endpoint_live_unref(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_sample_is_the_figure),
        cmocka_unit_test(test_a_peak_counts_at_once_and_fades),
        cmocka_unit_test(test_the_time_constant_is_the_callers),
        cmocka_unit_test(test_samples_of_one_instant_do_not_fade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
