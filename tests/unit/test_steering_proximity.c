/* The nearest by the great circle. */
#include "steering_group.h"

struct place {
    float latitude, longitude;
};
/* Macros, since an initializer of a table must be constant. */
#define AMSTERDAM { 52.37f, 4.90f }
#define FRANKFURT { 50.11f, 8.68f }
#define SYDNEY { -33.87f, 151.21f }
#define ASHBURN { 39.04f, -77.49f }
#define NOWHERE { NAN, NAN }
#define FIJI { -17.7f, 178.0f }
#define SAMOA { -13.8f, -171.8f }
#define POLE { 90, 0 }

static void put(struct group_under_test *g, size_t i, struct place p)
{
    g->candidates[i].latitude = p.latitude;
    g->candidates[i].longitude = p.longitude;
}

static void look_from(struct group_under_test *g, struct place p)
{
    g->request.latitude = p.latitude;
    g->request.longitude = p.longitude;
}

static const struct row {
    const char *name;
    struct place client;
    struct place candidates[3];
    double weights[3];
    uint64_t struck_out;
    size_t expected;
} rows[] = {
    { "near by", { 52, 5 }, { FRANKFURT, AMSTERDAM, SYDNEY }, { 1, 1, 1 }, 0, 1 },
    { "the second nearest where the nearest is struck out", { 52, 5 }, { FRANKFURT, AMSTERDAM, SYDNEY }, { 1, 1, 1 }, 2, 0 },
    { "however little it weighs", { 52, 5 }, { FRANKFURT, AMSTERDAM, SYDNEY }, { 100, 0.01, 1 }, 0, 1 },
    { "unless that is nothing", { 52, 5 }, { FRANKFURT, AMSTERDAM, SYDNEY }, { 1, 0, 1 }, 0, 0 },
    { "across the date line", { -17, -179 }, { SAMOA, FIJI, SYDNEY }, { 1, 1, 1 }, 0, 1 },
    { "across a pole", { 85, 100 }, { POLE, ASHBURN, SYDNEY }, { 1, 1, 1 }, 0, 0 },
    { "one whose place is known before one whose isn't", { -60, -120 }, { NOWHERE, AMSTERDAM, NOWHERE }, { 1, 1, 1 }, 0, 1 },
    { "at the very place", SYDNEY, { AMSTERDAM, SYDNEY, FIJI }, { 1, 1, 1 }, 0, 1 },
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct group_under_test *g = group_new("proximity", NULL, 0, 3);
        for (size_t j = 0; j < 3; j++) {
            put(g, j, rows[i].candidates[j]);
            g->candidates[j].weight = rows[i].weights[j];
        }
        g->struck_out[0] = rows[i].struck_out;
        look_from(g, rows[i].client);
        group_update(g);
        for (unsigned k = 0; k < 20; k++)
            if (group_use(g) != rows[i].expected)
                fail_msg("%s", rows[i].name);
        group_free(g);
    }
}

static void assert_shares(struct group_under_test *g)
{
    unsigned counts[4] = { 0 };

    for (unsigned i = 0; i < 40000; i++)
        counts[group_use(g)]++;
    assert_true(chi_square(g, counts) < 16.3); /* 99.9 % at 3 degrees of freedom */
}

static void test_equally_near_ones_share_by_weight(void **state)
{
    static const double weights[] = { 1, 3, 0.5, 2 };

    (void)state;
    for (unsigned known = 0; known < 2; known++) {
        struct group_under_test *g = group_new("proximity", NULL, 0, 4);
        for (unsigned i = 0; i < 4; i++) {
            put(g, i, known ? (struct place)AMSTERDAM : (struct place)NOWHERE);
            g->candidates[i].weight = weights[i];
        }
        look_from(g, (struct place)SYDNEY);
        group_update(g);
        assert_shares(g);
        group_free(g);
    }
}

static void test_all_share_where_the_client_is_not_known(void **state)
{
    struct group_under_test *g = group_new("proximity", NULL, 0, 4);
    static const struct place places[] = { { 52.37f, 4.90f }, { 50.11f, 8.68f }, { -33.87f, 151.21f }, { 39.04f, -77.49f } };

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        put(g, i, places[i]);
    group_update(g);
    assert_shares(g);
    group_free(g);
}

static void test_scores_are_kilometres(void **state)
{
    struct group_under_test *g = group_new("proximity", NULL, 0, 4);
    double scores[4];

    (void)state;
    put(g, 0, (struct place)AMSTERDAM);
    put(g, 1, (struct place)FRANKFURT);
    put(g, 2, (struct place)SYDNEY);
    group_strike_out(g, 2, true);
    look_from(g, (struct place)AMSTERDAM);
    group_update(g);
    assert_int_equal(g->policy->choose(g->worker, &g->request, &g->view, scores), 0);
    assert_true(fabs(scores[0]) < 1 && fabs(scores[1] - 364) < 5 && isnan(scores[2]) && fabs(scores[3] - 20015) < 1);
    group_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_equally_near_ones_share_by_weight),
        cmocka_unit_test(test_all_share_where_the_client_is_not_known),
        cmocka_unit_test(test_scores_are_kilometres),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
