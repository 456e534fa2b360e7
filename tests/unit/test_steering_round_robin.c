/* In turn and by weight. Where a worker begins is random, so nothing here depends on it. */
#include "steering_group.h"

static void use_many(struct group_under_test *g, unsigned *counts, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        counts[group_use(g)]++;
}

static void test_equal_weights_take_turns(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 5);
    size_t first[5];

    (void)state;
    group_update(g);
    for (unsigned i = 0; i < 5; i++)
        first[i] = group_use(g);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(group_use(g), first[i % 5]);
    for (unsigned i = 0; i < 5; i++)
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(first[i], first[j]);
    group_free(g);
}

/* After any number of choices nobody is more than two off its share: one for where its turns began, one for where the others' did. */
static void test_weights_are_kept_at_any_time(void **state)
{
    static const double weights[] = { 5, 1, 1, 0.5, 2.5 };
    struct group_under_test *g = group_new("round_robin", NULL, 0, 5);
    unsigned counts[5] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        g->candidates[i].weight = weights[i];
    group_update(g);
    for (unsigned n = 1; n <= 1000; n++) {
        counts[group_use(g)]++;
        for (unsigned i = 0; i < 5; i++)
            if (fabs(counts[i] - n * weights[i] / 10) > 2)
                fail_msg("after %u choices %u had %u", n, i, counts[i]);
    }
    assert_in_range(counts[0], 499, 501);
    assert_in_range(counts[3], 49, 51);
    group_free(g);
}

/* Smooth: the heavy one is spread over the period, not served in a burst. */
static void test_the_heavy_one_does_not_come_in_bursts(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 4);
    unsigned run = 0;

    (void)state;
    g->candidates[0].weight = 3;
    group_update(g);
    for (unsigned i = 0; i < 600; i++) {
        run = group_use(g) == 0 ? run + 1 : 0;
        assert_true(run <= 3);
    }
    group_free(g);
}

static void test_choosing_alone_moves_nothing(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 3);

    (void)state;
    group_update(g);
    size_t next = group_choose(g);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(group_choose(g), next);
    assert_int_equal(group_use(g), next);
    assert_int_not_equal(group_choose(g), next);
    group_free(g);
}

static void test_one_struck_out_does_not_catch_up(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 4);
    unsigned away[4] = { 0 }, back[4] = { 0 };

    (void)state;
    group_update(g);
    group_strike_out(g, 2, true);
    use_many(g, away, 300);
    assert_int_equal(away[2], 0);
    for (unsigned i = 0; i < 4; i++)
        if (i != 2)
            assert_int_equal(away[i], 100);
    group_strike_out(g, 2, false);
    use_many(g, back, 40);
    assert_in_range(back[2], 10, 11);
    group_free(g);
}

/* Whoever is struck out, of the others it is the one due first. */
static void test_the_first_due_of_those_not_struck_out(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 100);
    double scores[100];

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        g->candidates[i].weight = 1 + i % 5;
    group_update(g);
    for (unsigned round = 0; round < 500; round++) {
        for (unsigned i = 0; i < 100; i++)
            group_strike_out(g, i, random_u64(&g->random) % 100 < round / 5);
        size_t chosen = g->policy->choose(g->worker, &g->request, &g->view, scores);
        for (unsigned i = 0; i < 100; i++)
            assert_true(isnan(scores[i]) || scores[chosen] <= scores[i]);
        if (chosen != STEERING_NONE)
            g->policy->commit(g->worker, chosen);
    }
    group_free(g);
}

/* The order survives an update that changes nothing, and the turn of one survives the removal of another. */
static size_t first_due(const struct group_under_test *g, const double *scores)
{
    size_t first = STEERING_NONE;

    for (size_t i = 0; i < g->n; i++)
        if (!isnan(scores[i]) && (first == STEERING_NONE || scores[i] < scores[first]))
            first = i;
    return first;
}

/* However many weights there are, whoever is struck out meanwhile, and whenever weights change. */
static void test_nobody_is_due_before_the_one_chosen(void **state)
{
    struct random r = { 11 };

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        struct group_under_test *g = group_new("round_robin", NULL, 0, 1 + random_u64(&r) % 60);
        unsigned weights = 1 + (unsigned)(random_u64(&r) % 20);
        for (unsigned i = 0; i < 400; i++) {
            double scores[60];
            for (size_t k = 0; i % 100 == 0 && k < g->n; k++)
                g->candidates[k].weight = (double)(random_u64(&r) % (weights + 1));
            if (i % 100 == 0)
                group_update(g);
            for (size_t k = 0; k < g->n; k++)
                group_strike_out(g, k, random_u64(&r) % 4 == 0);
            size_t chosen = g->policy->choose(g->worker, &g->request, &g->view, scores);
            size_t first = first_due(g, scores);
            assert_int_equal(chosen == STEERING_NONE, first == STEERING_NONE);
            if (chosen == STEERING_NONE)
                continue;
            assert_true(scores[chosen] == scores[first]);
            g->policy->commit(g->worker, chosen);
        }
        group_free(g);
    }
}

static void test_an_update_keeps_the_turn(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 7);
    size_t turn[7];

    (void)state;
    group_update(g);
    for (unsigned i = 0; i < 7; i++)
        turn[i] = group_use(g);
    for (unsigned i = 0; i < 70; i++) {
        assert_int_equal(group_use(g), turn[i % 7]);
        group_update(g);
    }
    uint64_t next = g->candidates[turn[0]].id == 7919 ? g->candidates[turn[1]].id : g->candidates[turn[0]].id;
    memmove(g->candidates, g->candidates + 1, 6 * sizeof *g->candidates);
    g->n = 6;
    group_update(g);
    assert_int_equal(g->candidates[group_choose(g)].id, next);
    group_free(g);
}

static void test_a_changed_weight_counts_from_then_on(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 2);
    unsigned before[2] = { 0 }, after[2] = { 0 };

    (void)state;
    group_update(g);
    use_many(g, before, 100);
    assert_int_equal(before[0], 50);
    g->candidates[0].weight = 0.25;
    group_update(g);
    use_many(g, after, 100);
    assert_in_range(after[0], 19, 21);
    group_free(g);
}

static void test_a_thousand(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 1000);
    static unsigned counts[1000];

    (void)state;
    memset(counts, 0, sizeof counts);
    for (unsigned i = 0; i < 1000; i++)
        g->candidates[i].weight = 1 + i % 3;
    group_update(g);
    use_many(g, counts, 20000); /* 10 rounds of 2000 */
    for (unsigned i = 0; i < 1000; i++)
        assert_in_range(counts[i], 10 * (1 + i % 3) - 1, 10 * (1 + i % 3) + 1);
    group_free(g);
}

static void test_weights_beyond_all_measure(void **state)
{
    struct group_under_test *g = group_new("round_robin", NULL, 0, 3);
    unsigned counts[3] = { 0 };

    (void)state;
    g->candidates[0].weight = 1e-300;
    g->candidates[1].weight = 1e300;
    g->candidates[2].weight = 1e300;
    group_update(g);
    use_many(g, counts, 1000);
    assert_true(counts[0] <= 1);
    group_strike_out(g, 1, true);
    group_strike_out(g, 2, true);
    assert_int_equal(group_use(g), 0);
    group_strike_out(g, 1, false);
    group_strike_out(g, 2, false);
    memset(counts, 0, sizeof counts);
    use_many(g, counts, 1000);
    assert_true(counts[1] >= 499 && counts[2] >= 499);
    group_free(g);
}

/* Workers begin at different places: of 64, not all with the same candidate of 16 (by chance once in 16^63). */
static void test_workers_begin_at_different_places(void **state)
{
    uint32_t seen = 0;

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        struct group_under_test *g = group_new("round_robin", NULL, 0, 16);
        group_update(g);
        seen |= UINT32_C(1) << group_choose(g);
        group_free(g);
    }
    assert_true(seen & (seen - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_weights_take_turns),
        cmocka_unit_test(test_weights_are_kept_at_any_time),
        cmocka_unit_test(test_the_heavy_one_does_not_come_in_bursts),
        cmocka_unit_test(test_choosing_alone_moves_nothing),
        cmocka_unit_test(test_one_struck_out_does_not_catch_up),
        cmocka_unit_test(test_the_first_due_of_those_not_struck_out),
        cmocka_unit_test(test_nobody_is_due_before_the_one_chosen),
        cmocka_unit_test(test_an_update_keeps_the_turn),
        cmocka_unit_test(test_a_changed_weight_counts_from_then_on),
        cmocka_unit_test(test_a_thousand),
        cmocka_unit_test(test_weights_beyond_all_measure),
        cmocka_unit_test(test_workers_begin_at_different_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
