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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
