/* In order; who comes back waits. A table of what has been usable since when, and who gets the request. */
#include "steering_group.h"

#define SECONDS INT64_C(1000000000)
enum { NOW = 1000 };

struct option_case {
    double delay; /* < 0: not given */
    bool stay;    /* preempt = false */
};

struct row {
    const char *name;
    struct option_case options;
    int64_t since[4];     /* in seconds; -1: weight 0; the list ends with -2 */
    uint64_t struck_out;
    size_t expected;
};

static const struct row rows[] = {
    { "the first of those usable since the start", { -1, false }, { 0, 0, 0, -2 }, 0, 0 },
    { "a weight of 0 is passed over", { -1, false }, { -1, 0, 0, -2 }, 0, 1 },
    { "one struck out is passed over", { -1, false }, { 0, 0, 0, -2 }, 1, 1 },
    { "back for 29 s: not yet", { -1, false }, { NOW - 29, 0, 0, -2 }, 0, 1 },
    { "back for 30 s: preferred", { -1, false }, { NOW - 30, 0, 0, -2 }, 0, 0 },
    { "a delay of its own", { 60, false }, { NOW - 59, 0, -2 }, 0, 1 },
    { "a delay of its own is over", { 60, false }, { NOW - 60, 0, -2 }, 0, 0 },
    { "no delay", { 0, false }, { NOW, 0, -2 }, 0, 0 },
    { "back too early, but the other one is gone", { -1, false }, { NOW - 5, -1, -2 }, 0, 0 },
    { "back too early, but the other one was tried", { -1, false }, { NOW - 5, 0, -2 }, 2, 0 },
    { "all back too early: whoever came first stays", { -1, false }, { NOW - 5, NOW - 10, NOW - 1, -2 }, 0, 1 },
    { "all back at once: by order", { -1, false }, { NOW - 5, NOW - 5, NOW - 5, -2 }, 0, 0 },
    { "of two settled ones the first in order, not the longest", { -1, false }, { NOW - 5, NOW - 40, 0, -2 }, 0, 1 },
    { "a process younger than the delay", { 2000, false }, { 0, 0, -2 }, 0, 0 },
    { "a process younger than the delay, the first came back", { 2000, false }, { NOW - 5, 0, 0, -2 }, 0, 1 },
    { "preempt off: whoever stayed keeps it", { -1, true }, { NOW - 900, 0, 0, -2 }, 0, 1 },
    { "preempt off: back once the other one is gone", { -1, true }, { NOW - 900, -1, -1, -2 }, 0, 0 },
    { "preempt off: the longest of several that came back", { -1, true }, { NOW - 100, NOW - 200, NOW - 150, -2 }, 0, 1 },
    { "preempt off: at the start by order", { -1, true }, { 0, 0, 0, -2 }, 0, 0 },
};

static struct group_under_test *group_of(const char *policy, const struct row *row)
{
    struct steering_option options[2];
    size_t n_options = 0, n = 0;

    if (row->options.delay >= 0)
        options[n_options++] = (struct steering_option){ "failback_delay", STEERING_DURATION, .number = row->options.delay };
    if (row->options.stay)
        options[n_options++] = (struct steering_option){ "preempt", STEERING_FLAG, .flag = false };
    while (row->since[n] != -2)
        n++;
    struct group_under_test *g = group_new(policy, options, n_options, n);
    for (size_t i = 0; i < n; i++) {
        g->candidates[i].weight = row->since[i] == -1 ? 0 : 1;
        g->candidates[i].usable_since = row->since[i] > 0 ? row->since[i] * SECONDS : 0;
    }
    g->request.now = NOW * SECONDS;
    g->struck_out[0] = row->struck_out;
    group_update(g);
    return g;
}

static void check_rows(const char *policy)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct group_under_test *g = group_of(policy, &rows[i]);
        size_t chosen = group_use(g);
        if (chosen != rows[i].expected)
            fail_msg("%s, %s: got %zu", policy, rows[i].name, chosen);
        double scores[GROUP_MAX];
        g->policy->choose(g->worker, &g->request, &g->view, scores);
        for (size_t k = 0; k < g->n; k++)
            if (scores[k] <= scores[chosen] && k != chosen)
                fail_msg("%s, %s: the score of %zu is as low as that of the one chosen", policy, rows[i].name, k);
        group_free(g);
    }
}

static void test_table(void **state)
{
    (void)state;
    check_rows("off");
    check_rows("geo");
}

/* Not the index but the order counts. */
static void test_order_is_the_configurations(void **state)
{
    struct group_under_test *g = group_new("off", NULL, 0, 3);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        g->candidates[i].order = 2 - i;
    group_update(g);
    assert_int_equal(group_choose(g), 2);
    group_strike_out(g, 2, true);
    assert_int_equal(group_choose(g), 1);
    group_free(g);
}

/* A whole outage on a scripted clock: failover at once, failback after the delay, no flapping in between. */
static void test_outage_of_the_first(void **state)
{
    struct group_under_test *g = group_new("off", NULL, 0, 2);

    (void)state;
    group_update(g);
    assert_int_equal(group_choose(g), 0);
    g->candidates[0].weight = 0;
    group_update(g);
    assert_int_equal(group_choose(g), 1);
    g->candidates[0].weight = 1;
    g->candidates[0].usable_since = g->request.now;
    group_update(g);
    int64_t back = g->request.now;
    for (unsigned second = 0; second < 30; second++) {
        g->request.now = back + second * SECONDS;
        assert_int_equal(group_choose(g), 1);
    }
    g->request.now = back + 30 * SECONDS;
    assert_int_equal(group_choose(g), 0);
    group_free(g);
}

static void test_scores_are_places(void **state)
{
    struct group_under_test *g = group_new("off", NULL, 0, 4);
    double scores[4];

    (void)state;
    g->candidates[0].usable_since = g->request.now - SECONDS;
    g->candidates[2].weight = 0;
    group_update(g);
    assert_int_equal(g->policy->choose(g->worker, &g->request, &g->view, scores), 1);
    assert_true(scores[1] < scores[3] && scores[3] < scores[0]);
    assert_true(isnan(scores[2]));
    group_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_order_is_the_configurations),
        cmocka_unit_test(test_outage_of_the_first),
        cmocka_unit_test(test_scores_are_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
