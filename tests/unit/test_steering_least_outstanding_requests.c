/* Weight over load. Few are all looked at, many are drawn from. */
#include "steering_group.h"

struct row {
    const char *name;
    size_t n;
    double weights[4];
    uint32_t in_flight[4];
    uint64_t struck_out;
    size_t expected;
};

static const struct row rows[] = {
    { "the idle one", 3, { 1, 1, 1 }, { 4, 0, 2 }, 0, 1 },
    { "the heavier of two idle ones", 2, { 1, 2 }, { 0, 0 }, 0, 1 },
    { "twice the weight bears twice the load", 2, { 1, 2 }, { 0, 2 }, 0, 0 },
    { "twice the weight, less than twice the load", 2, { 1, 2 }, { 2, 4 }, 0, 1 },
    { "a weight of 0 is out, however idle", 2, { 0, 0.1 }, { 0, 50 }, 0, 1 },
    { "one struck out is out, however idle", 3, { 1, 1, 1 }, { 0, 3, 2 }, 1, 2 },
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct group_under_test *g = group_new("least_outstanding_requests", NULL, 0, rows[i].n);
        for (size_t j = 0; j < g->n; j++) {
            g->candidates[j].weight = rows[i].weights[j];
            g->in_flight[j] = rows[i].in_flight[j];
        }
        g->struck_out[0] = rows[i].struck_out;
        group_update(g);
        for (unsigned k = 0; k < 20; k++)
            if (group_use(g) != rows[i].expected)
                fail_msg("%s", rows[i].name);
        group_free(g);
    }
}

/* A draw decides between equals, so workers that see the same don't all do the same. */
static void test_equals_share(void **state)
{
    struct group_under_test *g = group_new("least_outstanding_requests", NULL, 0, 4);
    unsigned counts[4] = { 0 };

    (void)state;
    group_update(g);
    for (unsigned i = 0; i < 40000; i++)
        counts[group_use(g)]++;
    assert_true(chi_square(g, counts) < 16.3); /* 99.9 % at 3 degrees of freedom */
    group_free(g);
}

/* Requests that stay: their numbers come to stand as the weights do. */
static void test_loads_follow_weights(void **state)
{
    struct group_under_test *g = group_new("least_outstanding_requests", NULL, 0, 3);
    static const double weights[] = { 1, 2, 5 };

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        g->candidates[i].weight = weights[i];
    group_update(g);
    for (unsigned i = 0; i < 800; i++)
        g->in_flight[group_use(g)]++;
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(g->in_flight[i], 100 * (unsigned)weights[i] - 1, 100 * (unsigned)weights[i] + 1);
    group_free(g);
}

/* Two draws keep the fullest of many near the mean (one draw would put it at some 125 of 100). */
static void test_many_stay_balanced(void **state)
{
    struct group_under_test *g = group_new("least_outstanding_requests", NULL, 0, 200);
    uint32_t most = 0;

    (void)state;
    group_update(g);
    for (unsigned i = 0; i < 20000; i++)
        g->in_flight[group_use(g)]++;
    for (unsigned i = 0; i < 200; i++)
        most = g->in_flight[i] > most ? g->in_flight[i] : most;
    assert_in_range(most, 100, 105);
    group_free(g);
}

static void test_many_by_weight(void **state)
{
    struct group_under_test *g = group_new("least_outstanding_requests", NULL, 0, 64);

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        g->candidates[i].weight = i < 32 ? 3 : 1;
    group_update(g);
    for (unsigned i = 0; i < 12800; i++)
        g->in_flight[group_use(g)]++;
    uint32_t heavy = 0;
    for (unsigned i = 0; i < 32; i++)
        heavy += g->in_flight[i];
    assert_in_range(heavy, 9400, 9800); /* three quarters */
    group_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_equals_share),
        cmocka_unit_test(test_loads_follow_weights),
        cmocka_unit_test(test_many_stay_balanced),
        cmocka_unit_test(test_many_by_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
