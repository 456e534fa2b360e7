/* The shortest wait, kept until another is clearly better. */
#include "balance/latency.h"
#include "steering_group.h"

#define SECOND INT64_C(1000000000)
#define MS (SECOND / 1000)

static struct group_under_test *latency_group(size_t n)
{
    return group_new("dynamic_latency", NULL, 0, n);
}

/* As seen now. */
static void set_latency(struct group_under_test *g, size_t i, double seconds)
{
    g->latency[i].seconds = seconds;
    g->latency[i].at = g->request.now;
}

static const struct row {
    const char *name;
    double latencies[4], probes[4], weights[4];
    uint32_t in_flight[4];
    uint64_t struck_out;
    size_t n, expected;
} rows[] = {
    { "the fastest", { 0.05, 0.01, 0.2 }, { NAN, NAN, NAN }, { 1, 1, 1 }, { 0 }, 0, 3, 1 },
    { "the fastest that is not struck out", { 0.05, 0.01, 0.2 }, { NAN, NAN, NAN }, { 1, 1, 1 }, { 0 }, 2, 3, 0 },
    { "the fastest that weighs something", { 0.05, 0.01, 0.2 }, { NAN, NAN, NAN }, { 1, 0, 1 }, { 0 }, 0, 3, 0 },
    { "less those that wait there", { 0.05, 0.01, 0.2 }, { NAN, NAN, NAN }, { 1, 1, 1 }, { 0, 5, 0 }, 0, 3, 0 },
    { "over weight", { 0.05, 0.02, 0.2 }, { NAN, NAN, NAN }, { 10, 1, 1 }, { 0 }, 0, 3, 0 },
    { "one that was never tried, at once", { 0.05, NAN, 0.001 }, { NAN, NAN, NAN }, { 1, 1, 1 }, { 0 }, 0, 3, 1 },
    { "but by one request only", { 0.05, NAN, 0.2 }, { NAN, NAN, NAN }, { 1, 1, 1 }, { 0, 1, 0 }, 0, 3, 0 },
    { "also where a probe was fast", { 0.05, NAN, 0.2 }, { NAN, 0.001, NAN }, { 1, 1, 1 }, { 0, 1, 0 }, 0, 3, 0 },
    { "a probe tells who isn't worth trying", { 0.05, NAN, 0.2 }, { NAN, 0.3, NAN }, { 1, 1, 1 }, { 0 }, 0, 3, 0 },
    { "and who is", { 0.05, NAN, 0.2 }, { NAN, 0.01, NAN }, { 1, 1, 1 }, { 0 }, 0, 3, 1 },
    { "all are being tried: the fewest", { NAN, NAN, NAN }, { NAN, NAN, NAN }, { 1, 1, 1 }, { 2, 1, 3 }, 0, 3, 1 },
    { "one alone", { NAN }, { NAN }, { 1 }, { 7 }, 0, 1, 0 },
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct group_under_test *g = latency_group(rows[i].n);
        for (size_t j = 0; j < g->n; j++) {
            set_latency(g, j, rows[i].latencies[j]);
            g->latency[j].probe_seconds = rows[i].probes[j];
            g->candidates[j].weight = rows[i].weights[j];
            g->in_flight[j] = rows[i].in_flight[j];
        }
        g->struck_out[0] = rows[i].struck_out;
        group_update(g);
        for (unsigned k = 0; k < 20; k++)
            if (group_choose(g) != rows[i].expected)
                fail_msg("%s", rows[i].name);
        group_free(g);
    }
}

/* By more than 10 % and more than 5 ms. */
static void test_the_one_in_use_is_kept(void **state)
{
    static const struct {
        double current, other;
        bool moves;
    } cases[] = {
        { 0.100, 0.095, false }, { 0.100, 0.091, false }, { 0.100, 0.089, true }, { 0.020, 0.016, false },
        { 0.020, 0.014, true },  { 0.004, 0.0001, false }, { 1.0, 0.95, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct group_under_test *g = latency_group(2);
        set_latency(g, 0, 0.001);
        set_latency(g, 1, 1);
        group_update(g);
        assert_int_equal(group_use(g), 0);
        set_latency(g, 0, cases[i].current);
        set_latency(g, 1, cases[i].other);
        group_update(g); /* tables come and go, what is in use is known still */
        if (group_choose(g) != cases[i].moves)
            fail_msg("case %zu", i);
        group_free(g);
    }
}

static void test_idle_ones_fade_toward_the_median(void **state)
{
    struct group_under_test *g = latency_group(4);
    double scores[4];

    (void)state;
    static const double latencies[] = { 0.01, 0.05, 0.07, 2 };
    for (unsigned i = 0; i < 4; i++)
        set_latency(g, i, latencies[i]);
    group_update(g);
    g->request.now += 10 * SECOND;
    g->latency[0].at = g->request.now;
    g->latency[2].probe_seconds = 0.5; /* slower than that: the probe knows */
    g->policy->choose(g->worker, &g->request, &g->view, scores);
    assert_true(fabs(scores[0] - 0.01) < 1e-9);
    assert_true(fabs(scores[1] - (0.06 - 0.01 * exp(-1))) < 1e-9);
    assert_true(fabs(scores[2] - (0.5 - 0.43 * exp(-1))) < 1e-9);
    assert_true(fabs(scores[3] - (0.06 + 1.94 * exp(-1))) < 1e-9);
    group_free(g);
}

/* After five times the decay a probe counts more than what traffic once said; without one, nobody knows better than the median. */
static void test_a_forgotten_one_is_tried_by_its_probe(void **state)
{
    static const struct {
        double idle, probe;
        uint32_t in_flight;
        size_t expected;
    } cases[] = {
        { 51, 0.01, 0, 1 }, { 49, 0.01, 0, 0 }, { 51, 0.01, 1, 0 }, { 51, 0.06, 0, 0 }, { 51, 0.048, 0, 0 }, { 51, NAN, 0, 0 }, { 5000, NAN, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct group_under_test *g = latency_group(2);
        set_latency(g, 0, 0.05);
        set_latency(g, 1, 0.4);
        group_update(g);
        assert_int_equal(group_use(g), 0);
        g->request.now += (int64_t)(cases[i].idle * (double)SECOND);
        set_latency(g, 0, 0.05);
        g->latency[1].probe_seconds = cases[i].probe;
        g->in_flight[1] = cases[i].in_flight;
        if (group_choose(g) != cases[i].expected)
            fail_msg("case %zu", i);
        group_free(g);
    }
}

/* Within a hundredth of the decay nothing fades, for few and for many: those looked at all the time cost no median and no exponential. */
static void test_what_was_just_seen_has_not_faded(void **state)
{
    static const size_t sizes[] = { 4, 100 };
    double scores[100];

    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        struct group_under_test *g = latency_group(sizes[s]);
        for (size_t i = 0; i < g->n; i++)
            set_latency(g, i, 0.5);
        set_latency(g, 0, 0.01);
        group_update(g);
        g->request.now += 99 * MS;
        g->policy->choose(g->worker, &g->request, &g->view, scores);
        assert_true(scores[0] == 0.01);
        g->request.now += 2 * MS;
        g->policy->choose(g->worker, &g->request, &g->view, scores);
        assert_true(scores[0] > 0.014 && scores[0] < 0.016);
        group_free(g);
    }
}

/* --- against origins of known latency, one request after the other --- */

struct trace {
    struct group_under_test *g;
    struct endpoint_live *live[3];
    unsigned counts[3];
};

static void start_trace(struct trace *t)
{
    *t = (struct trace){ .g = latency_group(3) };
    for (unsigned i = 0; i < 3; i++)
        t->live[i] = endpoint_live_new("pool/x", 1);
    group_update(t->g);
}

static void end_trace(struct trace *t)
{
    for (unsigned i = 0; i < 3; i++)
        endpoint_live_unref(t->live[i]);
    group_free(t->g);
}

/* Sends one request, which the origin answers after its latency; 1 ms later the next may come. */
static size_t send_one(struct trace *t, const double *latencies)
{
    struct group_under_test *g = t->g;
    size_t i = group_use(g);

    g->request.now += (int64_t)(latencies[i] * (double)SECOND);
    latency_record(t->live[i], g->request.now, latencies[i], LATENCY_DECAY);
    set_latency(g, i, atomic_load(&t->live[i]->latency_s));
    g->request.now += MS;
    t->counts[i]++;
    return i;
}

static void test_finds_the_fastest_and_leaves_it_when_it_degrades(void **state)
{
    static const double healthy[] = { 0.05, 0.01, 0.2 }, degraded[] = { 0.05, 0.4, 0.2 };
    struct trace t;
    unsigned changes = 0, left_after = 0;

    (void)state;
    start_trace(&t);
    for (unsigned i = 0; i < 60; i++)
        send_one(&t, healthy);
    assert_true(t.counts[1] >= 57);
    while (left_after < 10 && send_one(&t, degraded) == 1)
        left_after++;
    assert_true(left_after < 10);
    size_t last = 0;
    for (unsigned i = 0; i < 200; i++) {
        size_t now = send_one(&t, degraded);
        changes += now != last;
        last = now;
    }
    assert_int_equal(last, 0);
    assert_true(changes <= 2);
    end_trace(&t);
}

static void test_near_equals_do_not_take_turns(void **state)
{
    struct trace t;
    struct random r = { 7 };
    unsigned changes = 0;

    (void)state;
    start_trace(&t);
    size_t last = 0;
    for (unsigned i = 0; i < 2000; i++) {
        double latencies[3];
        for (unsigned k = 0; k < 3; k++)
            latencies[k] = 0.050 + 0.002 * random_unit(&r);
        size_t now = send_one(&t, latencies);
        changes += i > 3 && now != last;
        last = now;
    }
    assert_int_equal(changes, 0);
    end_trace(&t);
}

/* --- the same with requests that overlap --- */

enum { FAST, MIDDLE, SLOW, RATE = 20, UNDER_WAY_MAX = 256 };

struct traffic {
    struct trace trace;
    struct random arrivals;
    struct answer {
        int64_t at;
        size_t from;
        double took;
    } under_way[UNDER_WAY_MAX];
    size_t n_under_way;
    size_t last;      /* whom the request before went to */
    unsigned changes; /* requests that went elsewhere than the one before */
};

static void take_answer(struct traffic *t, size_t n)
{
    struct answer a = t->under_way[n];
    struct group_under_test *g = t->trace.g;

    t->under_way[n] = t->under_way[--t->n_under_way];
    g->in_flight[a.from]--;
    latency_record(t->trace.live[a.from], a.at, a.took, LATENCY_DECAY);
    g->latency[a.from].seconds = atomic_load(&t->trace.live[a.from]->latency_s);
    g->latency[a.from].at = a.at;
}

/* What comes until the next request is sent, in order. */
static void take_answers(struct traffic *t, int64_t until)
{
    for (;;) {
        size_t first = t->n_under_way;
        for (size_t i = 0; i < t->n_under_way; i++)
            if (t->under_way[i].at <= until && (first == t->n_under_way || t->under_way[i].at < t->under_way[first].at))
                first = i;
        if (first == t->n_under_way)
            return;
        take_answer(t, first);
    }
}

static size_t next_request(struct traffic *t, const double *latencies)
{
    struct group_under_test *g = t->trace.g;
    int64_t now = g->request.now + (int64_t)(-log(1 - random_unit(&t->arrivals)) / RATE * (double)SECOND);

    take_answers(t, now);
    g->request.now = now;
    size_t i = group_use(g);
    g->in_flight[i]++;
    assert_true(t->n_under_way < UNDER_WAY_MAX);
    t->under_way[t->n_under_way++] = (struct answer){ now + (int64_t)(latencies[i] * (double)SECOND), i, latencies[i] };
    t->changes += i != t->last;
    t->last = i;
    return i;
}

/* Twenty a second, at random; the fastest degrades and recovers, as the monitors see too. A spell of more requests than usual may go to
 * the next by one or two: that is no oscillation. */
static void test_a_trace(void **state)
{
    static const double healthy[] = { 0.01, 0.05, 0.2 }, degraded[] = { 0.4, 0.05, 0.2 };

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct traffic t = { .arrivals = { seed } };
        unsigned on_fast = 0, left_late = 0, stayed = 0, returned = 0;
        start_trace(&t.trace);
        for (unsigned i = 0; i < 60; i++)
            on_fast += next_request(&t, healthy) == FAST;
        assert_true(on_fast >= 57);
        t.changes = 0;
        for (unsigned i = 0; i < 200; i++)
            on_fast += next_request(&t, healthy) == FAST;
        assert_true(on_fast >= 257 - 4 && t.changes <= 4);

        for (unsigned i = 0; i < 200; i++) {
            size_t chosen = next_request(&t, degraded);
            left_late += chosen == FAST;
            stayed += chosen == MIDDLE;
        }
        assert_true(left_late <= 10);
        assert_true(stayed >= 180);

        for (unsigned i = 0; i < 3; i++)
            t.trace.g->latency[i].probe_seconds = healthy[i];
        for (unsigned i = 0; i < 60 * RATE; i++)
            next_request(&t, healthy);
        t.changes = 0;
        for (unsigned i = 0; i < 200; i++)
            returned += next_request(&t, healthy) == FAST;
        assert_true(returned >= 196 && t.changes <= 4);
        end_trace(&t.trace);
    }
}

/* --- many --- */

static void test_many_avoid_the_slow(void **state)
{
    struct group_under_test *g = latency_group(200);
    unsigned slow = 0;

    (void)state;
    for (size_t i = 0; i < g->n; i++)
        set_latency(g, i, i < 100 ? 0.01 : 0.2);
    group_update(g);
    for (unsigned i = 0; i < 10000; i++)
        slow += group_use(g) >= 100;
    assert_in_range(slow, 2300, 2700); /* only where both that were drawn are slow */
    group_free(g);
}

static void test_many_try_new_ones_one_request_at_a_time(void **state)
{
    struct group_under_test *g = latency_group(100);
    unsigned tried = 0;

    (void)state;
    for (size_t i = 0; i < g->n; i++)
        set_latency(g, i, i == 42 ? (double)NAN : 0.01);
    group_update(g);
    for (unsigned i = 0; i < 2000 && !tried; i++)
        tried = group_use(g) == 42;
    assert_int_equal(tried, 1);
    g->in_flight[42] = 1;
    for (unsigned i = 0; i < 5000; i++)
        tried += group_use(g) == 42;
    assert_in_range(tried, 1, 3); /* only where it was drawn twice */
    group_free(g);
}

static void test_decay_is_told(void **state)
{
    struct steering_option decay = { .name = "decay", .type = STEERING_DURATION, .number = 2.5 };
    struct group_under_test *g = group_new("dynamic_latency", &decay, 1, 1);

    (void)state;
    assert_true(g->policy->latency_decay(g->config) == 2.5);
    group_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_the_one_in_use_is_kept),
        cmocka_unit_test(test_idle_ones_fade_toward_the_median),
        cmocka_unit_test(test_a_forgotten_one_is_tried_by_its_probe),
        cmocka_unit_test(test_what_was_just_seen_has_not_faded),
        cmocka_unit_test(test_finds_the_fastest_and_leaves_it_when_it_degrades),
        cmocka_unit_test(test_near_equals_do_not_take_turns),
        cmocka_unit_test(test_a_trace),
        cmocka_unit_test(test_many_avoid_the_slow),
        cmocka_unit_test(test_many_try_new_ones_one_request_at_a_time),
        cmocka_unit_test(test_decay_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
