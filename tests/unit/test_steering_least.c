/* Weight over load: requests in flight for one policy, open connections for the other. Few are all looked at, many are drawn from. Each test
 * runs for both, with the figures that are not the policy's speaking for somebody else. */
#include "steering_group.h"

static const char *const policies[] = { "least_outstanding_requests", "least_connections" };
enum { POLICIES = sizeof policies / sizeof *policies };

static struct group_under_test *least_group(size_t policy, size_t n)
{
    return group_new(policies[policy], NULL, 0, n);
}

static uint32_t *loads_of(struct group_under_test *g, size_t policy)
{
    return policy == 0 ? g->in_flight : g->connections;
}

static uint32_t *others_of(struct group_under_test *g, size_t policy)
{
    return loads_of(g, !policy);
}

static const struct row {
    const char *name;
    size_t n;
    double weights[3];
    uint32_t loads[3], others[3];
    uint64_t struck_out;
    size_t expected;
} rows[] = {
    { "one alone", 1, { 1 }, { 9 }, { 9 }, 0, 0 },
    { "the idle one", 3, { 1, 1, 1 }, { 4, 0, 2 }, { 0, 9, 0 }, 0, 1 },
    { "the least loaded", 3, { 1, 1, 1 }, { 4, 1, 2 }, { 0, 9, 0 }, 0, 1 },
    { "the heavier of two that are as busy", 2, { 1, 2 }, { 1, 1 }, { 0, 9 }, 0, 1 },
    { "twice the weight bears twice the load", 2, { 1, 2 }, { 0, 2 }, { 5, 0 }, 0, 0 },
    { "twice the weight, less than twice the load", 2, { 1, 2 }, { 2, 4 }, { 0, 5 }, 0, 1 },
    { "a weight of 0 is out, however idle", 2, { 0, 0.1 }, { 0, 50 }, { 0, 0 }, 0, 1 },
    { "one struck out is out, however idle", 3, { 1, 1, 1 }, { 0, 3, 2 }, { 0, 0, 0 }, 1, 2 },
    { "nobody is left", 2, { 1, 1 }, { 0, 0 }, { 0, 0 }, 3, STEERING_NONE },
};

static void check_row(size_t policy, const struct row *row)
{
    struct group_under_test *g = least_group(policy, row->n);

    for (size_t j = 0; j < g->n; j++) {
        g->candidates[j].weight = row->weights[j];
        loads_of(g, policy)[j] = row->loads[j];
        others_of(g, policy)[j] = row->others[j];
    }
    g->struck_out[0] = row->struck_out;
    group_update(g);
    for (unsigned k = 0; k < 20; k++)
        if (group_use(g) != row->expected)
            fail_msg("%s: %s", policies[policy], row->name);
    group_free(g);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t p = 0; p < POLICIES; p++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            check_row(p, &rows[i]);
}

/* Requests that stay: their numbers come to stand as the weights do. */
static void test_loads_follow_weights(void **state)
{
    static const double weights[] = { 1, 2, 5 };

    (void)state;
    for (size_t p = 0; p < POLICIES; p++) {
        struct group_under_test *g = least_group(p, 3);
        for (unsigned i = 0; i < 3; i++)
            g->candidates[i].weight = weights[i];
        group_update(g);
        for (unsigned i = 0; i < 800; i++)
            loads_of(g, p)[group_use(g)]++;
        for (unsigned i = 0; i < 3; i++)
            assert_in_range(loads_of(g, p)[i], 100 * (unsigned)weights[i] - 1, 100 * (unsigned)weights[i] + 1);
        group_free(g);
    }
}

/* As whoever tries it out with one request after the other would see it. */
static void test_idle_ones_share_by_weight(void **state)
{
    static const struct {
        size_t n;
        double at_most; /* of chi-square: 99.9 % at one degree of freedom less than n */
    } sizes[] = { { 2, 10.8 }, { 5, 18.5 }, { 60, 98.3 } };

    (void)state;
    for (size_t p = 0; p < POLICIES; p++)
        for (unsigned s = 0; s < 3; s++) {
            struct group_under_test *g = least_group(p, sizes[s].n);
            unsigned counts[GROUP_MAX] = { 0 };
            for (size_t i = 0; i < g->n; i++)
                g->candidates[i].weight = i % 2 ? 0.5 : 1;
            group_update(g);
            for (unsigned i = 0; i < 20000; i++)
                counts[group_use(g)]++;
            assert_true(chi_square(g, counts) < sizes[s].at_most);
            group_free(g);
        }
}

/* A little weight beside one that is never idle, and not loaded enough for the scores alone to come to the small one. */
static void test_a_small_weight_has_its_share_of_little(void **state)
{
    (void)state;
    for (size_t p = 0; p < POLICIES; p++) {
        struct group_under_test *g = least_group(p, 2);
        unsigned small = 0;
        g->candidates[1].weight = 0.1;
        loads_of(g, p)[0] = 3;
        group_update(g);
        for (unsigned i = 0; i < 10000; i++)
            small += group_use(g) == 1;
        assert_in_range(small, 809, 1009); /* 1 of 11 */
        loads_of(g, p)[1] = 1;
        for (unsigned i = 0; i < 1000; i++)
            assert_int_equal(group_use(g), 0);
        group_free(g);
    }
}

/* Wherever the one stands that is out, or not as good. */
static void test_equals_share_evenly(void **state)
{
    (void)state;
    for (size_t p = 0; p < POLICIES; p++)
        for (size_t out = 0; out < 4; out++) {
            struct group_under_test *g = least_group(p, 4);
            unsigned counts[4] = { 0 };
            for (unsigned i = 0; i < 4; i++)
                loads_of(g, p)[i] = i == out ? 5 : 1;
            group_update(g);
            for (unsigned i = 0; i < 9000; i++)
                counts[group_use(g)]++;
            for (unsigned i = 0; i < 4; i++)
                assert_in_range(counts[i], i == out ? 0 : 2850, i == out ? 0 : 3150);
            group_free(g);
        }
}

/* Two draws keep the fullest of many near the mean (one draw would put it at some 125 of 100). */
static void test_many_stay_balanced(void **state)
{
    (void)state;
    for (size_t p = 0; p < POLICIES; p++) {
        struct group_under_test *g = least_group(p, 200);
        uint32_t most = 0;
        group_update(g);
        for (unsigned i = 0; i < 20000; i++)
            loads_of(g, p)[group_use(g)]++;
        for (unsigned i = 0; i < 200; i++)
            most = loads_of(g, p)[i] > most ? loads_of(g, p)[i] : most;
        assert_in_range(most, 100, 105);
        group_free(g);
    }
}

static void test_scores_are_weight_over_load(void **state)
{
    static const size_t sizes[] = { 4, 40 };
    double scores[40];

    (void)state;
    for (size_t p = 0; p < POLICIES; p++)
        for (unsigned s = 0; s < 2; s++) {
            struct group_under_test *g = least_group(p, sizes[s]);
            g->candidates[0].weight = 3;
            g->candidates[1].weight = 0;
            loads_of(g, p)[0] = 1;
            group_update(g);
            group_strike_out(g, 2, true);
            g->policy->choose(g->worker, &g->request, &g->view, scores);
            assert_true(scores[0] == 1.5 && scores[3] == 1 && isnan(scores[1]) && isnan(scores[2]));
            group_free(g);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_loads_follow_weights),
        cmocka_unit_test(test_idle_ones_share_by_weight),
        cmocka_unit_test(test_a_small_weight_has_its_share_of_little),
        cmocka_unit_test(test_equals_share_evenly),
        cmocka_unit_test(test_many_stay_balanced),
        cmocka_unit_test(test_scores_are_weight_over_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
