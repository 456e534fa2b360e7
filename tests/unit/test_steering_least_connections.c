/* Weight over open connections, whatever is in flight. */
#include "steering_group.h"

static const struct row {
    const char *name;
    size_t n;
    double weights[3];
    uint32_t connections[3], in_flight[3];
    uint64_t struck_out;
    size_t expected;
} rows[] = {
    { "one alone", 1, { 1 }, { 9 }, { 9 }, 0, 0 },
    { "the fewest connections", 3, { 1, 1, 1 }, { 4, 1, 2 }, { 0, 9, 0 }, 0, 1 },
    { "twice the weight bears twice the connections", 2, { 1, 2 }, { 0, 2 }, { 5, 0 }, 0, 0 },
    { "a weight of 0 is out", 2, { 0, 0.1 }, { 0, 50 }, { 0, 0 }, 0, 1 },
    { "one struck out is out", 3, { 1, 1, 1 }, { 0, 3, 2 }, { 0, 0, 0 }, 1, 2 },
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct group_under_test *g = group_new("least_connections", NULL, 0, rows[i].n);
        for (size_t j = 0; j < g->n; j++) {
            g->candidates[j].weight = rows[i].weights[j];
            g->connections[j] = rows[i].connections[j];
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

static void test_equals_share(void **state)
{
    struct group_under_test *g = group_new("least_connections", NULL, 0, 4);
    unsigned counts[4] = { 0 };

    (void)state;
    group_update(g);
    for (unsigned i = 0; i < 40000; i++)
        counts[group_use(g)]++;
    assert_true(chi_square(g, counts) < 16.3); /* 99.9 % at 3 degrees of freedom */
    group_free(g);
}

static void test_many_stay_balanced(void **state)
{
    struct group_under_test *g = group_new("least_connections", NULL, 0, 200);
    uint32_t most = 0;

    (void)state;
    group_update(g);
    for (unsigned i = 0; i < 20000; i++)
        g->connections[group_use(g)]++;
    for (unsigned i = 0; i < 200; i++)
        most = g->connections[i] > most ? g->connections[i] : most;
    assert_in_range(most, 100, 105);
    group_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_equals_share),
        cmocka_unit_test(test_many_stay_balanced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
