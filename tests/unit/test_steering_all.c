/* What every policy owes, whatever it is: each test runs over all rows of the registry. */
#include "steering_group.h"

#define FOR_EACH_POLICY(p) for (const struct steering_policy *const *p = steering_policies; *p; p++)

static struct group_under_test *plain(const struct steering_policy *p, size_t n)
{
    return group_new(p->name, NULL, 0, n);
}

static void test_registry_is_sorted_and_complete(void **state)
{
    (void)state;
    for (const struct steering_policy *const *p = steering_policies; *p; p++) {
        assert_ptr_equal(steering_find((*p)->name), *p);
        assert_int_equal((*p)->abi, STEERING_ABI);
        assert_true((*p)->worker_new && (*p)->update && (*p)->choose && (*p)->worker_free);
        if (p[1])
            assert_true(strcmp((*p)->name, p[1]->name) < 0);
    }
    assert_null(steering_find("nearest"));
}

static void test_option_rows_belong_to_policies(void **state)
{
    (void)state;
    for (size_t i = 0; i < steering_option_row_count; i++) {
        const struct steering_option_row *row = &steering_option_rows[i];
        const struct steering_policy *p = steering_find(row->policy);
        assert_non_null(p);
        assert_non_null(p->configure);
        assert_true(row->min <= row->max);
        assert_true(row->fallback && row->help && row->help[0]);
    }
}

static void test_nobody_to_choose(void **state)
{
    (void)state;
    FOR_EACH_POLICY(p) {
        struct group_under_test *g = plain(*p, 0);
        assert_int_equal(group_choose(g), STEERING_NONE); /* before any update */
        group_update(g);
        assert_int_equal(group_choose(g), STEERING_NONE);
        group_free(g);
    }
}

static void test_one(void **state)
{
    (void)state;
    FOR_EACH_POLICY(p) {
        struct group_under_test *g = plain(*p, 1);
        group_update(g);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(group_use(g), 0);
        group_strike_out(g, 0, true);
        assert_int_equal(group_choose(g), STEERING_NONE);
        group_free(g);
    }
}

static void test_all_of_weight_zero(void **state)
{
    (void)state;
    FOR_EACH_POLICY(p) {
        struct group_under_test *g = plain(*p, 3);
        for (unsigned i = 0; i < 3; i++)
            g->candidates[i].weight = 0;
        group_update(g);
        assert_int_equal(group_choose(g), STEERING_NONE);
        group_free(g);
    }
}

static void test_all_struck_out(void **state)
{
    static const size_t sizes[] = { 3, 40, 1000 };

    (void)state;
    FOR_EACH_POLICY(p)
        for (unsigned s = 0; s < 3; s++) {
            struct group_under_test *g = plain(*p, sizes[s]);
            group_update(g);
            memset(g->struck_out, 0xff, sizeof g->struck_out);
            assert_int_equal(group_choose(g), STEERING_NONE);
            group_free(g);
        }
}

/* The one open candidate is found, wherever it stands. */
static void test_all_but_one_struck_out(void **state)
{
    static const size_t sizes[] = { 2, 33, 200 };

    (void)state;
    FOR_EACH_POLICY(p)
        for (unsigned s = 0; s < 3; s++) {
            struct group_under_test *g = plain(*p, sizes[s]);
            group_update(g);
            memset(g->struck_out, 0xff, sizeof g->struck_out);
            for (size_t i = 0; i < g->n; i++) {
                group_strike_out(g, i, false);
                assert_int_equal(group_use(g), i);
                group_strike_out(g, i, true);
            }
            group_free(g);
        }
}

static void test_random_groups_never_yield_who_must_not_be_chosen(void **state)
{
    (void)state;
    FOR_EACH_POLICY(p) {
        struct random r = { 42 };
        for (unsigned round = 0; round < 200; round++) {
            struct group_under_test *g = plain(*p, 1 + random_u64(&r) % 100);
            bool open = false;
            for (size_t i = 0; i < g->n; i++) {
                g->candidates[i].weight = random_u64(&r) % 3 ? random_unit(&r) : 0;
                g->candidates[i].usable_since = (int64_t)(random_u64(&r) % 1200) * INT64_C(1000000000);
                g->latency[i].seconds = random_u64(&r) % 2 ? random_unit(&r) : (double)NAN;
                g->latency[i].at = (int64_t)(random_u64(&r) % 1200) * INT64_C(1000000000);
                g->latency[i].probe_seconds = random_u64(&r) % 2 ? random_unit(&r) : (double)NAN;
                g->connections[i] = (uint32_t)(random_u64(&r) % 10);
                g->in_flight[i] = (uint32_t)(random_u64(&r) % 10);
                group_strike_out(g, i, random_u64(&r) % 3 == 0);
                open |= g->candidates[i].weight > 0 && !steering_is_struck_out(&g->view, i);
            }
            group_update(g);
            for (unsigned i = 0; i < 50; i++) {
                size_t chosen = group_use(g);
                assert_int_equal(chosen != STEERING_NONE, open);
                if (!open)
                    continue;
                assert_true(chosen < g->n);
                assert_true(g->candidates[chosen].weight > 0);
                assert_false(steering_is_struck_out(&g->view, chosen));
            }
            group_free(g);
        }
    }
}

/* Purity: the same request gets the same answer, asked for scores or not, until something is committed. */
static void test_choose_is_pure(void **state)
{
    double scores[100];

    (void)state;
    FOR_EACH_POLICY(p) {
        struct group_under_test *g = plain(*p, 100);
        g->candidates[3].weight = 0;
        group_update(g);
        group_strike_out(g, 5, true);
        for (unsigned i = 0; i < 20; i++) {
            size_t first = group_choose(g);
            assert_int_equal(g->policy->choose(g->worker, &g->request, &g->view, scores), first);
            assert_int_equal(g->policy->choose(g->worker, &g->request, &g->view, NULL), first);
            assert_true(isnan(scores[3]) && isnan(scores[5]));
            assert_true(!isnan(scores[first]));
        }
        group_free(g);
    }
}

static void test_one_that_is_removed_is_chosen_no_more(void **state)
{
    (void)state;
    FOR_EACH_POLICY(p) {
        struct group_under_test *g = plain(*p, 50);
        group_update(g);
        for (unsigned i = 0; i < 75; i++)
            group_use(g);
        memmove(g->candidates + 10, g->candidates + 11, (size_t)39 * sizeof *g->candidates);
        g->n = 49;
        group_update(g);
        for (unsigned i = 0; i < 200; i++)
            assert_true(group_use(g) < 49);
        g->n = 0;
        group_update(g);
        assert_int_equal(group_choose(g), STEERING_NONE);
        group_free(g);
    }
}

/* --- shares --- */

/* By order alone: equals don't share. */
static bool goes_by_order(const struct steering_policy *p)
{
    return strcmp(p->name, "off") == 0 || strcmp(p->name, "geo") == 0;
}

static size_t use_with_key(struct group_under_test *g, struct random *keys)
{
    g->request.key = random_u64(keys) | 1;
    return group_use(g);
}

/* Ids are hashes of names. */
static void spread_ids(struct group_under_test *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct random names = { g->candidates[i].id };
        g->candidates[i].id = random_u64(&names);
    }
}

/* Nobody has anything to do, no latency and no place is known: all have the same share, few or many, but for a ring's unevenness. */
static void test_equals_share(void **state)
{
    static const struct {
        size_t n;
        double at_most; /* 99.9 % of the chi-square distribution at n - 1 degrees of freedom */
    } sizes[] = { { 4, 16.3 }, { 32, 61.1 }, { 64, 103.4 } };

    (void)state;
    FOR_EACH_POLICY(p)
        for (unsigned s = 0; s < 3; s++) {
            bool ring = strcmp((*p)->name, "hash") == 0 && sizes[s].n > 32;
            if (goes_by_order(*p) || ring)
                continue;
            struct group_under_test *g = plain(*p, sizes[s].n);
            unsigned counts[64] = { 0 };
            struct random keys = { 3 };
            spread_ids(g);
            group_update(g);
            for (unsigned i = 0; i < 64000; i++)
                counts[use_with_key(g, &keys)]++;
            if (chi_square(g, counts) >= sizes[s].at_most)
                fail_msg("%s, %zu: %f", (*p)->name, sizes[s].n, chi_square(g, counts));
            group_free(g);
        }
}

/* Those that promise shares. By load that holds where all take equally long, and where each has so many requests under way that one more
 * hardly counts, or one comes after the other. */
static const struct {
    const char *name;
    bool by_load;
} by_weight[] = {
    { "hash", false }, { "least_connections", true }, { "least_outstanding_requests", true }, { "random", false }, { "round_robin", false },
};
enum { BY_WEIGHT = sizeof by_weight / sizeof *by_weight, REQUESTS = 100000, UNDER_WAY_EACH = 100, UNDER_WAY_MAX = 100 * UNDER_WAY_EACH };

static size_t many_under_way(const struct group_under_test *g)
{
    return g->n * UNDER_WAY_EACH < UNDER_WAY_MAX ? g->n * UNDER_WAY_EACH : UNDER_WAY_MAX;
}

/* The request that began n before ends just before the next one comes. */
static void count_shares(struct group_under_test *g, size_t n, unsigned *counts)
{
    static size_t under_way[UNDER_WAY_MAX];
    struct random keys = { 5 };

    for (unsigned i = 0; i < REQUESTS; i++) {
        size_t *slot = &under_way[i % n];
        if (i >= n) {
            g->in_flight[*slot]--;
            g->connections[*slot]--;
        }
        size_t chosen = *slot = use_with_key(g, &keys);
        g->in_flight[chosen]++;
        g->connections[chosen]++;
        counts[chosen]++;
    }
}

/* Each within 1 % of all. Many are counted together by weight. */
static void check_shares(const char *policy, size_t size, bool one_by_one)
{
    static const double weights[] = { 1, 2.5, 0, 6, 0.5 };
    struct group_under_test *g = plain(steering_find(policy), size);
    unsigned counts[GROUP_MAX] = { 0 };
    double shares[5] = { 0 };

    spread_ids(g);
    for (size_t i = 0; i < g->n; i++)
        g->candidates[i].weight = weights[i % 5];
    group_update(g);
    count_shares(g, one_by_one ? 1 : many_under_way(g), counts);
    for (size_t i = 0; i < g->n; i++)
        shares[i % 5] += (double)counts[i] / REQUESTS;
    for (unsigned i = 0; i < 5; i++)
        if (fabs(shares[i] - weights[i] / 10) > 0.01 || (weights[i] == 0 && shares[i] > 0))
            fail_msg("%s, %zu%s: %f of weight %f", policy, size, one_by_one ? ", one by one" : "", shares[i], weights[i]);
    group_free(g);
}

static void test_shares_are_within_a_hundredth(void **state)
{
    static const size_t sizes[] = { 5, 30, 100, 1000 };

    (void)state;
    for (unsigned p = 0; p < BY_WEIGHT; p++)
        for (unsigned s = 0; s < 4; s++) {
            check_shares(by_weight[p].name, sizes[s], true);
            if (!by_weight[p].by_load || sizes[s] * UNDER_WAY_EACH <= UNDER_WAY_MAX)
                check_shares(by_weight[p].name, sizes[s], false);
        }
}

/* Whoever is gone leaves its share to the others by their weights; the shares among those that stay are what they were. */
static void test_one_removed_leaves_the_others_in_proportion(void **state)
{
    static const double weights[] = { 1, 2, 3, 4 };

    (void)state;
    for (unsigned p = 0; p < BY_WEIGHT; p++)
        for (unsigned struck = 0; struck < 2; struck++) {
            struct group_under_test *g = plain(steering_find(by_weight[p].name), 4);
            unsigned counts[GROUP_MAX] = { 0 };
            spread_ids(g);
            for (size_t i = 0; i < 4; i++)
                g->candidates[i].weight = weights[i];
            if (struck)
                group_strike_out(g, 3, true);
            else
                g->candidates[3].weight = 0;
            group_update(g);
            count_shares(g, many_under_way(g), counts);
            assert_int_equal(counts[3], 0);
            for (size_t i = 0; i < 3; i++)
                if (fabs((double)counts[i] / REQUESTS - weights[i] / 6) > 0.01)
                    fail_msg("%s: %u of weight %f", by_weight[p].name, counts[i], weights[i]);
            group_free(g);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry_is_sorted_and_complete),
        cmocka_unit_test(test_option_rows_belong_to_policies),
        cmocka_unit_test(test_nobody_to_choose),
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_all_of_weight_zero),
        cmocka_unit_test(test_all_struck_out),
        cmocka_unit_test(test_all_but_one_struck_out),
        cmocka_unit_test(test_random_groups_never_yield_who_must_not_be_chosen),
        cmocka_unit_test(test_choose_is_pure),
        cmocka_unit_test(test_one_that_is_removed_is_chosen_no_more),
        cmocka_unit_test(test_equals_share),
        cmocka_unit_test(test_shares_are_within_a_hundredth),
        cmocka_unit_test(test_one_removed_leaves_the_others_in_proportion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
