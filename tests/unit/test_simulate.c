/* What a simulation makes of a configuration. That it foretells what happens is for tests/e2e/test_simulate.py. */
#include "proxy/simulate.h"

#include "balance/live.h"
#include "conf_under_test.h"
#include "control/simulation.h"
#include "proxy/simulate_load.h"

#include <math.h>

#define ENDPOINTS                                                                                                                          \
    "endpoints = ( { name = \"a\"; address = \"http://127.0.0.1:1\"; weight = 2.0; max_in_flight = %u; }, "                               \
    "{ name = \"b\"; address = \"http://127.0.0.1:2\"; }, { name = \"c\"; address = \"http://127.0.0.1:3\"; } ); "

static struct config *load(const char *policy, unsigned a_max)
{
    char text[2048];
    snprintf(text, sizeof text, LISTENER "pools = ( { name = \"p\"; endpoint_steering = { policy = \"%s\"; }; " ENDPOINTS "} );\n" BALANCER, policy, a_max);
    return load_text(text);
}

/* "a" is lost; weights 2, 1, 1. */
static struct simulation *run(struct config *config, double rate, uint64_t seed)
{
    struct address client = { .v4 = { .sin_family = AF_INET } };
    simulation_attach(config, NULL);
    struct simulation *x = simulation_new(config);
    for (unsigned i = 0; i < 1000; i++) {
        client.v4.sin_addr.s_addr = htonl(0x01000000 + i);
        simulation_add_request(x, "GET", "app.test", "/", NULL, &client, 1);
    }
    x->n = 4000;
    x->rate = rate;
    x->seed = seed;
    x->endpoints[0].down = true;
    simulate(x);
    assert_true(x->complete);
    return x;
}

static double share(const struct simulation *x, const char *name, enum simulated_phase phase)
{
    for (size_t i = 0; i < x->config->n_endpoints; i++)
        if (strcmp(x->config->endpoints[i]->name, name) == 0)
            return (double)x->endpoints[i].sent[phase] / x->of_traffic[phase];
    return NAN;
}

static void assert_near(double is, double should, double by)
{
    if (!(fabs(is - should) <= by))
        fail_msg("%g in place of %g", is, should);
}

static void test_weights(void **state)
{
    static const struct {
        const char *policy;
        double tolerance;
    } rows[] = { { "round_robin", 0.001 }, { "random", 0.05 }, { "hash", 0.05 } };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct simulation *x = run(load(rows[i].policy, 0), 0, 1);
        assert_near(share(x, "a", SIMULATED_NOW), 0.5, rows[i].tolerance);
        assert_near(share(x, "b", SIMULATED_NOW), 0.25, rows[i].tolerance);
        assert_int_equal(x->endpoints[0].sent[SIMULATED_THEN], 0);
        assert_near(share(x, "b", SIMULATED_THEN), 0.5, rows[i].tolerance);
        assert_near(share(x, "c", SIMULATED_THEN), 0.5, rows[i].tolerance);
        assert_int_equal(x->made[SIMULATED_THEN], 4000);
        simulation_free(x);
    }
}

static void test_the_same_seed_the_same_answer(void **state)
{
    struct simulation *one = run(load("random", 0), 100, 7), *same = run(load("random", 0), 100, 7), *other = run(load("random", 0), 100, 8);
    (void)state;
    assert_memory_equal(one->endpoints[1].sent, same->endpoints[1].sent, sizeof one->endpoints[1].sent);
    assert_memory_not_equal(one->endpoints[1].sent, other->endpoints[1].sent, sizeof one->endpoints[1].sent);
    simulation_free(one);
    simulation_free(same);
    simulation_free(other);
}

/* Two load balancers, each with a pool of its own: x/a of the first is lost. */
static struct config *load_two(const char *policy, const char *of_x, const char *of_y)
{
    char text[2048];
    snprintf(text, sizeof text,
             LISTENER "pools = ( { name = \"x\"; endpoint_steering = { policy = \"%s\"; }; endpoints = ( { name = \"a\"; address = \"http://127.0.0.1:1\"; }, "
                      "{ name = \"b\"; address = \"http://127.0.0.1:2\"; } ); }, { name = \"y\"; slow_start = \"30s\"; endpoint_steering = { policy = \"%s\"; }; "
                      "endpoints = ( { name = \"c\"; address = \"http://127.0.0.1:3\"; weight = 2.0; }, { name = \"d\"; address = \"http://127.0.0.1:4\"; }, "
                      "{ name = \"e\"; address = \"http://127.0.0.1:5\"; } ); } );\n"
                      "load_balancers = ( { hostnames = [ \"x.test\" ]; default_pools = [ \"x\" ]; %s }, { hostnames = [ \"y.test\" ]; default_pools = [ \"y\" ]; %s } );\n",
             policy, policy, of_x, of_y);
    return load_text(text);
}

static struct simulation *run_two(struct config *config, double rate)
{
    struct address client = { .v4 = { .sin_family = AF_INET } };
    struct simulation *x = simulation_new(config);
    for (unsigned i = 0; i < 300; i++) {
        client.v4.sin_addr.s_addr = htonl(0x01000000 + i);
        simulation_add_request(x, "GET", i % 2 ? "x.test" : "y.test", "/", NULL, &client, 1);
    }
    x->n = 3000;
    x->rate = rate;
    x->seed = 5;
    x->endpoints[0].down = true;
    simulate(x);
    assert_true(x->complete);
    return x;
}

static void assert_untouched(const struct simulation *x)
{
    assert_string_equal(x->config->endpoints[2]->id, "y/c");
    for (size_t i = 2; i < 5; i++) {
        assert_int_equal(x->endpoints[i].sent[SIMULATED_NOW], x->endpoints[i].sent[SIMULATED_THEN]);
        assert_int_equal(x->endpoints[i].most_in_flight[SIMULATED_NOW], x->endpoints[i].most_in_flight[SIMULATED_THEN]);
    }
    assert_true(x->endpoints[0].sent[SIMULATED_NOW] && !x->endpoints[0].sent[SIMULATED_THEN]);
}

#define SESSIONS "session_affinity = { type = \"cookie\"; name = \"s\"; };"

static void test_what_the_loss_does_not_touch_is_the_same(void **state)
{
    static const char *const policies[] = { "random", "round_robin", "hash", "off", "least_outstanding_requests", "least_connections", "dynamic_latency" };
    static const char *const more[] = { "", SESSIONS };
    (void)state;
    for (size_t p = 0; p < sizeof policies / sizeof *policies; p++)
        for (unsigned k = 0; k < 4; k++) {
            struct config *config = load_two(policies[p], more[k / 2], more[k / 2]);
            simulation_attach(config, NULL);
            for (size_t i = 0; i < config->n_endpoints; i++) { /* one that returned a moment ago, others that are unlike */
                atomic_store(&config->endpoints[i]->live->latency_s, 0.02 * (double)(i + 1));
                atomic_store(&config->endpoints[i]->live->slow_start_from, i == 3 ? clock_monotonic() : 0);
            }
            struct simulation *x = run_two(config, k % 2 ? 200 : 0);
            assert_untouched(x);
            simulation_free(x);
        }
}

/* Its ejection would be over in the time that is made up. */
static void test_what_traffic_ejected_stays_so(void **state)
{
    struct config *config = load_two("random", "", "");
    (void)state;
    simulation_attach(config, NULL);
    atomic_store(&config->endpoints[3]->live->ejected_until, clock_monotonic() + NSEC_PER_SEC);
    struct simulation *x = run_two(config, 0);
    assert_untouched(x);
    assert_int_equal(x->endpoints[3].sent[SIMULATED_THEN], 0);
    simulation_free(x);
}

/* Nor does it grow into its part while clients get their sessions. */
static void test_a_slow_start_stands_where_it_stands(void **state)
{
    struct config *config = load_two("random", SESSIONS, "");
    (void)state;
    simulation_attach(config, NULL);
    atomic_store(&config->endpoints[3]->live->slow_start_from, clock_monotonic());
    struct simulation *x = run_two(config, 0);
    assert_untouched(x);
    assert_in_range(x->endpoints[3].sent[SIMULATED_NOW], 1, x->endpoints[4].sent[SIMULATED_NOW] / 2);
    simulation_free(x);
}

static void set_latencies(struct config *config, size_t endpoint, double traffic, double probe)
{
    atomic_store(&config->endpoints[endpoint]->live->latency_s, traffic);
    atomic_store(&config->endpoints[endpoint]->live->probe_latency_s, probe);
}

static void assert_latency(const struct simulation *x, size_t endpoint, double seconds, enum simulated_latency from)
{
    assert_near(x->endpoints[endpoint].latency_s, seconds, 1e-9);
    assert_int_equal(x->endpoints[endpoint].latency_from, from);
}

static void test_latencies_that_nobody_measured(void **state)
{
    struct config *config = load_two("random", "", "");
    (void)state;
    simulation_attach(config, NULL);
    set_latencies(config, 0, NAN, 0.002); /* of a pool without traffic: as others do */
    set_latencies(config, 2, 0.100, 0.010);
    set_latencies(config, 3, NAN, 0.050); /* further away than c, and does the same work */
    set_latencies(config, 4, NAN, NAN);
    struct simulation *x = run_two(config, 0);
    assert_latency(x, 0, 0.092, LATENCY_OF_PROBES);
    assert_latency(x, 1, 0.100, LATENCY_OF_OTHERS);
    assert_latency(x, 2, 0.100, LATENCY_OF_TRAFFIC);
    assert_latency(x, 3, 0.140, LATENCY_OF_PROBES);
    assert_latency(x, 4, 0.100, LATENCY_OF_OTHERS);
    simulation_free(x);
    config = load_two("random", "", "");
    simulation_attach(config, NULL);
    set_latencies(config, 1, NAN, 0.003);
    x = run_two(config, 0);
    assert_latency(x, 0, 0.050, LATENCY_ASSUMED);
    assert_latency(x, 1, 0.003, LATENCY_OF_PROBES);
    simulation_free(x);
}

/* At 200 requests/s, from that client. */
static struct simulation *simulate_loss_of_first(struct config *config, const struct address *client)
{
    struct simulation *x = simulation_new(config);
    simulation_add_request(x, "GET", "app.test", "/", NULL, client, 1);
    x->n = 4000;
    x->rate = 200;
    x->endpoints[0].down = true;
    simulate(x);
    return x;
}

/* One that only its probes know is not believed to be as fast as they are: it gets its part, not all. */
static void test_probes_are_no_requests(void **state)
{
    static const char *const policies[] = { "dynamic_latency", "least_outstanding_requests" };
    (void)state;
    for (size_t p = 0; p < sizeof policies / sizeof *policies; p++) {
        struct config *config = load(policies[p], 0);
        struct address client = { .sa.sa_family = AF_UNSPEC };
        simulation_attach(config, NULL);
        set_latencies(config, 0, 0.050, 0.001);
        set_latencies(config, 1, 0.050, 0.001);
        set_latencies(config, 2, NAN, 0.001); /* never reached so far */
        struct simulation *x = simulate_loss_of_first(config, &client);
        assert_near(share(x, "b", SIMULATED_THEN), 0.5, 0.1);
        assert_near(share(x, "c", SIMULATED_THEN), 0.5, 0.1);
        simulation_free(x);
    }
}

/* Little's law: 100 requests/s that stay for 50 ms are 5 at a time, half of them at each of two. */
static void test_who_is_busy_gets_less(void **state)
{
    struct config *config = load("least_outstanding_requests", 0), *in_force = load("least_outstanding_requests", 0);
    (void)state;
    simulation_attach(in_force, NULL);
    atomic_store(&in_force->endpoints[1]->live->latency_s, 0.01);
    atomic_store(&in_force->endpoints[2]->live->latency_s, 0.1);
    simulation_attach(config, in_force);
    struct address client = { .v4 = { .sin_family = AF_INET } };
    struct simulation *x = simulate_loss_of_first(config, &client);
    assert_true(x->complete);
    assert_true(x->endpoints[1].sent[SIMULATED_THEN] > 2 * x->endpoints[2].sent[SIMULATED_THEN]);
    assert_near(x->seconds[SIMULATED_THEN], 20, 1.5);
    assert_true(x->endpoints[2].most_in_flight[SIMULATED_THEN] >= 5);
    assert_int_equal(endpoint_in_flight(in_force->endpoints[1]->live), 0); /* nobody else saw it */
    assert_int_equal(atomic_load(&in_force->endpoints[0]->live->health), HEALTH_UP);
    simulation_free(x);
    config_unref(in_force);
}

static unsigned count(const struct simulation *x, enum simulated_outcome outcome, enum simulated_phase phase)
{
    unsigned n = 0;
    for (size_t i = 0; i < x->n_counts; i++)
        n += x->counts[i].outcome == outcome ? x->counts[i].n[phase] : 0;
    return n;
}

/* One at a time that stays for 50 ms: 20 in a second. The others wait, and in the end in vain. */
static void test_who_finds_all_full_waits(void **state)
{
    struct config *config = load("off", 1);
    struct address client = { .sa.sa_family = AF_UNSPEC };
    (void)state;
    simulation_attach(config, NULL);
    struct simulation *x = simulation_new(config);
    simulation_add_request(x, "GET", "app.test", "/", NULL, &client, 1);
    x->n = 4000;
    x->rate = 100;
    x->endpoints[1].down = x->endpoints[2].down = true;
    simulate(x);
    assert_true(x->complete);
    assert_int_equal(count(x, SIMULATED_WAITED, SIMULATED_NOW), 0);
    assert_int_equal(x->endpoints[0].most_in_flight[SIMULATED_THEN], 1);
    assert_near(x->endpoints[0].sent[SIMULATED_THEN] / x->seconds[SIMULATED_THEN], 20, 2);
    assert_true(count(x, SIMULATED_WAITED, SIMULATED_THEN) > 1000);
    simulation_free(x);
}

static void test_cancelled(void **state)
{
    struct config *config = load("random", 0);
    struct address client = { .sa.sa_family = AF_UNSPEC };
    (void)state;
    simulation_attach(config, NULL);
    struct simulation *x = simulation_new(config);
    simulation_add_request(x, "GET", "app.test", "/", NULL, &client, 1);
    x->n = SIMULATE_REQUESTS_MAX;
    atomic_store(&x->cancelled, true);
    simulate(x);
    assert_false(x->complete);
    assert_int_equal(x->made[SIMULATED_NOW], 0);
    simulation_free(x);
}

static void test_what_no_client_can_send(void **state)
{
    struct config *config = load("random", 0);
    struct address client = { .sa.sa_family = AF_UNSPEC };
    (void)state;
    simulation_attach(config, NULL);
    struct simulation *x = simulation_new(config);
    simulation_add_request(x, "GET", "a b", "/", NULL, &client, 1);
    x->n = 10;
    simulate(x);
    assert_int_equal(count(x, SIMULATED_MALFORMED, SIMULATED_THEN), 10);
    simulation_free(x);
}

/* --- load --- */

static void test_departures_come_in_order(void **state)
{
    struct departures d = { 0 };
    struct departure next;
    nsec_t before = 0;
    (void)state;
    for (nsec_t i = 0; i < 1000; i++)
        assert_true(departures_add(&d, (struct departure){ i * 7919 % 1000, (size_t)i }));
    for (unsigned i = 0; i < 500; i++) {
        assert_true(departures_take(&d, 499, &next));
        assert_true(next.at >= before);
        before = next.at;
    }
    assert_false(departures_take(&d, 499, &next));
    assert_true(departures_take(&d, 500, &next));
    assert_int_equal(next.at, 500);
    departures_clear(&d);
}

static void test_waiters_are_served_in_turn(void **state)
{
    struct waiters w;
    struct waiting next;
    (void)state;
    assert_true(waiters_init(&w, 3));
    for (size_t round = 0; round < 5; round++) {
        for (size_t i = 0; i < 3; i++)
            assert_true(waiters_add(&w, (struct waiting){ .request = 3 * round + i, .until = (nsec_t)i }));
        assert_false(waiters_add(&w, (struct waiting){ 0 }));
        for (size_t i = 0; i < 3; i++) {
            assert_false(waiters_take_overdue(&w, (nsec_t)i - 1, &next));
            assert_true(round % 2 ? waiters_take(&w, &next) : waiters_take_overdue(&w, (nsec_t)i, &next));
            assert_int_equal(next.request, 3 * round + i);
        }
        assert_false(waiters_take(&w, &next));
    }
    waiters_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_the_same_seed_the_same_answer),
        cmocka_unit_test(test_what_the_loss_does_not_touch_is_the_same),
        cmocka_unit_test(test_what_traffic_ejected_stays_so),
        cmocka_unit_test(test_a_slow_start_stands_where_it_stands),
        cmocka_unit_test(test_latencies_that_nobody_measured),
        cmocka_unit_test(test_probes_are_no_requests),
        cmocka_unit_test(test_who_is_busy_gets_less),
        cmocka_unit_test(test_who_finds_all_full_waits),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_what_no_client_can_send),
        cmocka_unit_test(test_departures_come_in_order),
        cmocka_unit_test(test_waiters_are_served_in_turn),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
