/* Whose lot it is to be shed. */
#include "proxy/shedding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SEEDS = 20000, POOL = 77, OTHER = 78 };

static void test_shares(void **state)
{
    static const double percents[] = { 0, 1, 25, 50, 99, 100 };

    for (size_t k = 0; k < sizeof percents / sizeof *percents; k++) {
        unsigned n = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            n += shedding_takes(percents[k], seed, POOL);
        double percent = 100.0 * n / SEEDS;
        assert_true(percent >= percents[k] - 1 && percent <= percents[k] + 1);
        if (percents[k] <= 0 || percents[k] >= 100)
            assert_true(n == 0 || n == SEEDS);
    }
    (void)state;
}

static void test_more_is_more_of_the_same(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        if (shedding_takes(20, seed, POOL))
            assert_true(shedding_takes(30, seed, POOL));
    (void)state;
}

/* Of what two pools shed by half each, a quarter is shed by both. */
static void test_pools_are_independent(void **state)
{
    unsigned both = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        both += shedding_takes(50, seed, POOL) && shedding_takes(50, seed, OTHER);
    assert_true(both > SEEDS / 4 - SEEDS / 50 && both < SEEDS / 4 + SEEDS / 50);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_more_is_more_of_the_same),
        cmocka_unit_test(test_pools_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
