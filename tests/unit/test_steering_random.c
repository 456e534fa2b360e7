/* Shares follow weights, at a fixed seed. */
#include "steering_group.h"

#include "steering/draw.h"

/* The 99.9 % quantiles of the chi-square distribution for the degrees of freedom used here. */
static const double CHI_2 = 13.8, CHI_3 = 16.3, CHI_99 = 148.2;

static void draw_many(struct group_under_test *g, unsigned *counts, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        counts[group_use(g)]++;
}

static void test_equal_weights(void **state)
{
    struct group_under_test *g = group_new("random", NULL, 0, 4);
    unsigned counts[4] = { 0 };

    (void)state;
    group_update(g);
    draw_many(g, counts, 40000);
    assert_true(chi_square(g, counts) < CHI_3);
    group_free(g);
}

static void test_unequal_weights(void **state)
{
    struct group_under_test *g = group_new("random", NULL, 0, 4);
    static const double weights[] = { 0.5, 0, 3, 0.001 };
    unsigned counts[4] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        g->candidates[i].weight = weights[i];
    group_update(g);
    draw_many(g, counts, 200000);
    assert_int_equal(counts[1], 0);
    assert_true(chi_square(g, counts) < CHI_2);
    group_free(g);
}

static void test_a_hundred_candidates(void **state)
{
    struct group_under_test *g = group_new("random", NULL, 0, 100);
    unsigned counts[100] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        g->candidates[i].weight = 1 + i % 7;
    group_update(g);
    draw_many(g, counts, 200000);
    assert_true(chi_square(g, counts) < CHI_99);
    group_free(g);
}

/* The share of one struck out goes to the others by their weights, also where nearly all are and drawing again would not do. */
static void test_shares_without_the_struck_out(void **state)
{
    struct group_under_test *g = group_new("random", NULL, 0, 3);
    unsigned counts[3] = { 0 };

    (void)state;
    g->candidates[0].weight = 1000;
    g->candidates[1].weight = 2;
    g->candidates[2].weight = 1;
    group_update(g);
    group_strike_out(g, 0, true);
    draw_many(g, counts, 30000);
    assert_int_equal(counts[0], 0);
    assert_in_range(counts[1], 19500, 20500);
    group_free(g);
}

/* Whatever rounding does to the table: a draw does not look whether who it leads to has weight. */
static void test_no_column_leads_to_weight_zero(void **state)
{
    struct draw_table table = { 0 };
    struct steering_candidate candidates[257] = { 0 };
    struct random random = { 1 };

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        size_t n = 1 + random_u64(&random) % 257;
        for (size_t i = 0; i < n; i++)
            candidates[i].weight = random_u64(&random) % 3 ? pow(random_unit(&random), 1 + round % 40) : 0;
        assert_true(draw_table_build(&table, candidates, n));
        for (size_t i = 0; i < n && table.total > 0; i++) {
            const struct draw_column *c = &table.columns[i];
            assert_true(c->threshold <= 0 || candidates[i].weight > 0);
            assert_true(c->threshold >= 1 || candidates[c->alias].weight > 0);
        }
    }
    draw_table_clear(&table);
}

static void test_scores_are_chances(void **state)
{
    struct group_under_test *g = group_new("random", NULL, 0, 3);
    double scores[3];

    (void)state;
    g->candidates[0].weight = 3;
    group_update(g);
    group_strike_out(g, 2, true);
    g->policy->choose(g->worker, &g->request, &g->view, scores);
    assert_true(fabs(scores[0] - 0.75) < 1e-9 && fabs(scores[1] - 0.25) < 1e-9 && isnan(scores[2]));
    group_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_weights),
        cmocka_unit_test(test_unequal_weights),
        cmocka_unit_test(test_a_hundred_candidates),
        cmocka_unit_test(test_shares_without_the_struck_out),
        cmocka_unit_test(test_no_column_leads_to_weight_zero),
        cmocka_unit_test(test_scores_are_chances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
