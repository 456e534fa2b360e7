/* The same key, the same candidate; who leaves gives away what it had, and moves nothing else. Few candidates and many. */
#include "steering_group.h"

enum { KEYS = 20000, FEW = 10, MANY = 100 };

static struct group_under_test *hash_group(size_t n, double bounded_load)
{
    struct steering_option bound = { .name = "bounded_load", .type = STEERING_NUMBER, .number = bounded_load };
    struct group_under_test *g = group_new("hash", &bound, 1, n);

    for (size_t i = 0; i < n; i++) { /* ids are hashes of names */
        struct random names = { g->candidates[i].id };
        g->candidates[i].id = random_u64(&names);
    }
    return g;
}

/* Key 0 would be none. */
static size_t choose_key(struct group_under_test *g, unsigned k)
{
    struct random keys = { k };
    g->request.key = random_u64(&keys) | 1;
    return group_choose(g);
}

static void choose_all(struct group_under_test *g, size_t *out)
{
    for (unsigned k = 0; k < KEYS; k++)
        out[k] = choose_key(g, k);
}

static void test_a_key_stays(void **state)
{
    static const size_t sizes[] = { FEW, MANY };

    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        struct group_under_test *g = hash_group(sizes[s], 0);
        group_update(g);
        for (unsigned k = 0; k < 100; k++) {
            size_t first = choose_key(g, k);
            for (unsigned i = 0; i < 5; i++)
                assert_int_equal(choose_key(g, k), first);
        }
        group_free(g);
    }
}

/* Worker by worker and process by process the same: nothing but ids, weights and the key counts. */
static void test_order_does_not_matter(void **state)
{
    static const size_t sizes[] = { FEW, MANY };

    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        struct group_under_test *a = hash_group(sizes[s], 0), *b = hash_group(sizes[s], 0);
        for (size_t i = 0; i < b->n; i++)
            b->candidates[i].id = a->candidates[a->n - 1 - i].id;
        group_update(a);
        group_update(b);
        for (unsigned k = 0; k < 2000; k++)
            assert_int_equal(a->candidates[choose_key(a, k)].id, b->candidates[choose_key(b, k)].id);
        group_free(a);
        group_free(b);
    }
}

static void test_shares_of_few_follow_weights(void **state)
{
    struct group_under_test *g = hash_group(4, 0);
    static const double weights[] = { 1, 2.5, 0, 6 };
    unsigned counts[4] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        g->candidates[i].weight = weights[i];
    group_update(g);
    for (unsigned k = 0; k < KEYS; k++)
        counts[choose_key(g, k)]++;
    assert_int_equal(counts[2], 0);
    assert_true(chi_square(g, counts) < 13.8); /* 99.9 % at 2 degrees of freedom */
    group_free(g);
}

/* Points on a circle are a sample: each share is within some tens of percent, those of many together within a few. */
static void test_shares_of_many_follow_weights(void **state)
{
    struct group_under_test *g = hash_group(MANY, 0);
    static const double weights[] = { 1, 3, 0.3, 5.5, 0 };
    unsigned by_weight[5] = { 0 }, counts[MANY] = { 0 };
    double total = 0;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        g->candidates[i].weight = weights[i % 5];
        total += weights[i % 5];
    }
    group_update(g);
    for (unsigned k = 0; k < KEYS; k++) {
        size_t chosen = choose_key(g, k);
        counts[chosen]++;
        by_weight[chosen % 5]++;
    }
    assert_int_equal(by_weight[4], 0);
    for (unsigned i = 0; i < 4; i++) {
        double expected = KEYS * 20 * weights[i] / total;
        assert_true(fabs(by_weight[i] - expected) < 0.06 * expected + 60);
    }
    for (size_t i = 0; i < MANY; i++) {
        double expected = KEYS * weights[i % 5] / total;
        assert_true(fabs(counts[i] - expected) < 0.4 * expected + 40);
    }
    group_free(g);
}

static size_t lowest(const double *scores, size_t n)
{
    size_t best = STEERING_NONE;

    for (size_t i = 0; i < n; i++)
        if (!isnan(scores[i]) && (best == STEERING_NONE || scores[i] < scores[best]))
            best = i;
    return best;
}

/* What is looked up by a guess is what looking at every point finds: circles of all sizes, weights of one octave and of several, and
 * so few left that a search goes far along the circle and over its end. */
static void test_the_nearest_has_it(void **state)
{
    static const size_t sizes[] = { 33, MANY, 257, 1000 };
    static double scores[GROUP_MAX];

    (void)state;
    for (unsigned s = 0; s < 4; s++)
        for (unsigned octaves = 1; octaves <= 4; octaves += 3)
            for (unsigned left = 1; left < 64; left *= 7) {
                struct group_under_test *g = hash_group(sizes[s], 0);
                for (size_t i = 0; i < g->n; i++) {
                    g->candidates[i].weight = ldexp(1 + (double)(i % 3) / 3, (int)(i % octaves));
                    group_strike_out(g, i, i % left != 0);
                }
                group_update(g);
                for (unsigned k = 0; k < 300; k++) {
                    size_t chosen = choose_key(g, k);
                    assert_int_equal(g->policy->choose(g->worker, &g->request, &g->view, scores), chosen);
                    assert_int_equal(lowest(scores, g->n), chosen);
                }
                group_free(g);
            }
}

/* However it leaves: by losing its weight, by being struck out for one request, by being removed. */
static void test_who_leaves_moves_only_its_own_keys(void **state)
{
    static const size_t sizes[] = { FEW, MANY };
    static size_t before[KEYS], after[KEYS];

    (void)state;
    for (unsigned s = 0; s < 2; s++)
        for (unsigned how = 0; how < 3; how++) {
            struct group_under_test *g = hash_group(sizes[s], 0);
            for (size_t i = 0; i < g->n; i++)
                g->candidates[i].weight = 0.5 + (double)(i % 4);
            group_update(g);
            choose_all(g, before);
            size_t gone = 3, moved = 0;
            if (how == 0)
                g->candidates[gone].weight = 0;
            else if (how == 1)
                group_strike_out(g, gone, true);
            else
                memmove(g->candidates + gone, g->candidates + gone + 1, (--g->n - gone) * sizeof *g->candidates);
            group_update(g);
            choose_all(g, after);
            for (unsigned k = 0; k < KEYS; k++) {
                size_t now = how == 2 && after[k] >= gone ? after[k] + 1 : after[k];
                assert_true(now == before[k] || before[k] == gone);
                moved += now != before[k];
            }
            assert_true(moved > 0);
            group_free(g);
        }
}

static void test_who_gains_weight_only_takes(void **state)
{
    static const size_t sizes[] = { FEW, MANY };
    static size_t before[KEYS], after[KEYS];

    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        struct group_under_test *g = hash_group(sizes[s], 0);
        group_update(g);
        choose_all(g, before);
        g->candidates[5].weight = 1.7; /* within the octave */
        group_update(g);
        choose_all(g, after);
        size_t moved = 0;
        for (unsigned k = 0; k < KEYS; k++) {
            assert_true(after[k] == before[k] || after[k] == 5);
            moved += after[k] != before[k];
        }
        assert_true(moved > 0);
        group_free(g);
    }
}

/* Extreme weights beside each other: nobody is lost, nothing overflows. */
static void test_far_apart_weights(void **state)
{
    struct group_under_test *g = hash_group(MANY, 0);

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        g->candidates[i].weight = i % 2 ? ldexp(1, -(int)i * 3) : 1000;
    group_update(g);
    for (unsigned k = 0; k < 1000; k++)
        assert_int_equal(choose_key(g, k) % 2, 0);
    for (size_t i = 0; i < MANY; i += 2)
        group_strike_out(g, i, true);
    for (unsigned k = 0; k < 1000; k++)
        assert_int_equal(choose_key(g, k) % 2, 1);
    group_free(g);
}

static void test_without_a_key_by_weight(void **state)
{
    struct group_under_test *g = hash_group(3, 0);
    unsigned counts[3] = { 0 };

    (void)state;
    g->candidates[1].weight = 4;
    group_update(g);
    for (unsigned k = 0; k < KEYS; k++)
        counts[group_choose(g)]++;
    assert_true(chi_square(g, counts) < 13.8);
    group_free(g);
}

/* Requests of one key that stay: it takes as many as it may, then the next in its order. */
static void test_bounded_load(void **state)
{
    static const size_t sizes[] = { FEW, MANY };

    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        struct group_under_test *g = hash_group(sizes[s], 1.25);
        group_update(g);
        size_t first = choose_key(g, 1);
        for (unsigned i = 0; i < 40 * g->n; i++)
            g->in_flight[choose_key(g, 1)]++;
        uint32_t most = 0;
        for (size_t i = 0; i < g->n; i++)
            most = g->in_flight[i] > most ? g->in_flight[i] : most;
        assert_true(g->in_flight[first] >= 40);
        assert_in_range(most, 40, s == 0 ? 50 : 70); /* of many, the sum is an estimate */
        group_free(g);
    }
}

static void test_bounded_load_below_one_is_refused(void **state)
{
    struct steering_option bound = { .name = "bounded_load", .type = STEERING_NUMBER, .number = 0.5 };
    struct steering_error error = { 0 };
    void *config = NULL;

    (void)state;
    assert_false(steering_find("hash")->configure(&(struct steering_options){ &bound, 1 }, &error, &config));
    assert_string_equal(error.option, "bounded_load");
    assert_true(error.message[0] && !config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_stays),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_shares_of_few_follow_weights),
        cmocka_unit_test(test_shares_of_many_follow_weights),
        cmocka_unit_test(test_the_nearest_has_it),
        cmocka_unit_test(test_who_leaves_moves_only_its_own_keys),
        cmocka_unit_test(test_who_gains_weight_only_takes),
        cmocka_unit_test(test_far_apart_weights),
        cmocka_unit_test(test_without_a_key_by_weight),
        cmocka_unit_test(test_bounded_load),
        cmocka_unit_test(test_bounded_load_below_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
