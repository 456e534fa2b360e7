#include "monitors/scheduler.h"

#include "balance/live.h"
#include "base/mem.h"
#include "monitors/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "turn_until.h"

#define SECONDS(n) ((n) * NSEC_PER_SEC)

static const struct monitor by_the_book = {
    .name = "app", .interval = SECONDS(10), .interval_turning = SECONDS(2), .interval_down = SECONDS(5), .interval_down_max = SECONDS(30),
    .timeout = SECONDS(5), .consecutive_up = 2, .consecutive_down = 3,
};

/* History: letters are results ("p" pass, "f" failure, "b" blocked), the clock is ours. */

static void add(struct monitor_evidence *h, const struct monitor *monitor, char result, nsec_t now)
{
    struct judgement judgement = { .pass = result == 'p', .diagnosis = DIAGNOSIS_OK };
    if (result == 'f')
        judgement.diagnosis = DIAGNOSIS_UNREACHABLE;
    if (result == 'b')
        judgement.diagnosis = DIAGNOSIS_PROBE_BLOCKED;
    history_add(h, monitor, &judgement, now);
}

static void results_add_up(void **state)
{
    static const struct {
        const char *results, *health; /* after each: u, U(p), D(own) */
    } cases[] = {
        { "p", "U" },           /* the first pass counts alone */
        { "fp", "uU" },
        { "fff", "uuD" },       /* down after three */
        { "fffpp", "uuDDU" },   /* up after two */
        { "fffpfp", "uuDDDD" }, /* in a row */
        { "pffp", "UUUU" },
        { "pfff", "UUUD" },
        { "pffpff", "UUUUUU" },
        { "b", "u" },           /* a blocked probe says nothing … */
        { "bbbb", "uuuu" },
        { "pbbbb", "UUUUU" },
        { "pfbff", "UUUUD" },   /* … and interrupts nothing */
        { "fffbpbp", "uuDDDDU" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct monitor_evidence h = { .name = "app" };
        for (size_t step = 0; cases[i].results[step]; step++) {
            add(&h, &by_the_book, cases[i].results[step], SECONDS((nsec_t)step + 1));
            if ("uUD"[h.health] != cases[i].health[step])
                fail_msg("%s: %c after %zu", cases[i].results, "uUD"[h.health], step + 1);
            assert_true(h.at == SECONDS((nsec_t)step + 1));
        }
    }
}

static void thresholds_of_zero_are_one(void **state)
{
    struct monitor monitor = by_the_book;
    struct monitor_evidence h = { .name = "app" };

    (void)state;
    monitor.consecutive_up = monitor.consecutive_down = 0;
    add(&h, &monitor, 'f', 1);
    assert_int_equal(h.health, HEALTH_DOWN);
    add(&h, &monitor, 'p', 2);
    assert_int_equal(h.health, HEALTH_UP);
}

static void pauses_follow_the_state(void **state)
{
    static const struct {
        const char *results;
        double seconds; /* by a draw in the middle */
    } cases[] = {
        { "", 10 }, { "p", 10 }, { "ppp", 10 },
        { "pf", 2 }, { "pff", 2 }, { "f", 2 }, { "ff", 2 }, { "pfp", 10 },
        { "fff", 5 }, { "ffff", 10 }, { "fffff", 20 }, { "ffffff", 30 }, { "fffffffffff", 30 },
        { "fffp", 2 }, { "fffpp", 10 }, { "fffpf", 5 },
        { "b", 10 }, { "pb", 10 }, { "pfb", 10 }, { "fffb", 10 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct monitor_evidence h = { .name = "app" };
        for (const char *r = cases[i].results; *r; r++)
            add(&h, &by_the_book, *r, 1);
        double middle = nsec_to_seconds(history_pause(&h, &by_the_book, 0.5));
        double least = nsec_to_seconds(history_pause(&h, &by_the_book, 0)), most = nsec_to_seconds(history_pause(&h, &by_the_book, 1));
        if (middle < cases[i].seconds - 0.001 || middle > cases[i].seconds + 0.001)
            fail_msg("%s: %g", cases[i].results, middle);
        assert_true(least > cases[i].seconds * 0.899 && least < cases[i].seconds * 0.901);
        assert_true(most > cases[i].seconds * 1.099 && most < cases[i].seconds * 1.101);
    }
    assert_true(history_first_pause(&by_the_book, 0) == 0);
    assert_true(history_first_pause(&by_the_book, 0.5) == SECONDS(1));
}

static void hurry_keeps_a_distance(void **state)
{
    struct monitor_evidence h = { .name = "app" };

    (void)state;
    nsec_t now = SECONDS(100);
    assert_true(history_hurry(&h, &by_the_book, now, 0) == now); /* never looked: at once */
    h.at = SECONDS(50);
    assert_true(history_hurry(&h, &by_the_book, now, 0.5) <= now + NSEC_PER_SEC);
    h.at = now;
    assert_true(history_hurry(&h, &by_the_book, now, 0.5) == now + SECONDS(2));
}

/* A hard failure right after a look is known within interval + two turning intervals, 14 s and jitter. */
static void hard_failure_is_found_in_time(void **state)
{
    struct monitor_evidence h = { .name = "app" };
    nsec_t now = 0;

    (void)state;
    add(&h, &by_the_book, 'p', now);
    while (h.health != HEALTH_DOWN) {
        now += history_pause(&h, &by_the_book, 1);
        add(&h, &by_the_book, 'f', now);
    }
    assert_true(now <= SECONDS(16));
}

/* The scheduler on a loop, with milliseconds for seconds; probes are answered by hand. */

enum { PATIENCE_S = 30, OUT_MAX = 32 };

struct fixture {
    struct ev_loop *loop;
    struct scheduler *scheduler;
    struct probe *out[OUT_MAX];
    unsigned n_out, runs, told;
    char last_told[64];
    struct evidence evidence;
};

static void on_run(void *arg, struct probe *probe)
{
    struct fixture *f = arg;
    assert_true(f->n_out < OUT_MAX);
    f->out[f->n_out++] = probe;
    f->runs++;
    ev_break(f->loop, EVBREAK_ALL);
}

static void on_evidence(void *arg, const struct endpoint *endpoint, const struct evidence *evidence)
{
    struct fixture *f = arg;
    f->told++;
    f->evidence = *evidence;
    snprintf(f->last_told, sizeof f->last_told, "%s", endpoint->id);
}

static int setup(void **state)
{
    static const struct scheduler_callbacks callbacks = { .run = on_run, .evidence = on_evidence };
    struct fixture *f = mem_zero(sizeof *f);

    f->loop = ev_loop_new(0);
    f->scheduler = scheduler_new(f->loop, &callbacks, f);
    *state = f;
    return 0;
}

static void end_with(struct fixture *f, unsigned index, enum reason reason)
{
    struct probe *probe = f->out[index];

    f->out[index] = f->out[--f->n_out];
    probe->result.reason = reason;
    probe->result.connect = NSEC_PER_MSEC;
    probe->result.first_byte = 5 * NSEC_PER_MSEC;
    probe->result.status = 200;
    probe->done(probe, probe->arg);
}

static void answer(struct fixture *f, unsigned index, bool pass)
{
    end_with(f, index, pass ? REASON_NONE : REASON_CONNECT_FAILED);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->scheduler)
        scheduler_free(f->scheduler);
    while (f->n_out)
        answer(f, 0, true); /* they come back to nobody */
    ev_loop_destroy(f->loop);
    free(f);
    return 0;
}

/* Turns for as long as everything armed so far takes at least twice. */
static void turn_a_while(struct fixture *f)
{
    unsigned never = 0;
    bool over = false;
    ev_timer timer;

    ev_timer_init(&timer, on_late, 0.1, 0);
    timer.data = &over;
    ev_timer_start(f->loop, &timer);
    while (never == 0 && !over)
        ev_run(f->loop, EVRUN_ONCE);
    ev_timer_stop(f->loop, &timer);
}

/* "p/e1" … with these monitors in this order */
static struct config *make_config(unsigned n_endpoints, const char *const *monitors, size_t n_monitors)
{
    struct config *config = config_new();
    struct arena *arena = &config->arena;
    struct pool *pool = arena_alloc(arena, sizeof *pool);
    struct endpoint *endpoints = arena_array(arena, n_endpoints, sizeof *endpoints);
    struct monitor **of_pool = arena_array(arena, n_monitors, sizeof *of_pool);

    config->endpoints = arena_array(arena, n_endpoints, sizeof *config->endpoints);
    config->n_endpoints = n_endpoints;
    for (size_t i = 0; i < n_monitors; i++) {
        of_pool[i] = arena_alloc(arena, sizeof **of_pool);
        *of_pool[i] = by_the_book;
        of_pool[i]->name = arena_copy_text(arena, monitors[i]);
        of_pool[i]->type = monitor_type_find("http");
        of_pool[i]->interval = 10 * NSEC_PER_MSEC;
        of_pool[i]->interval_turning = 2 * NSEC_PER_MSEC;
        of_pool[i]->interval_down = 5 * NSEC_PER_MSEC;
        of_pool[i]->interval_down_max = 30 * NSEC_PER_MSEC;
    }
    *pool = (struct pool){ .name = "p", .enabled = true, .endpoints = endpoints, .n_endpoints = n_endpoints, .monitors = of_pool,
                           .n_monitors = n_monitors };
    for (unsigned i = 0; i < n_endpoints; i++) {
        endpoints[i] = (struct endpoint){ .id = arena_printf(arena, "p/e%u", i + 1), .pool = pool, .enabled = true, .dial_host = "10.0.0.1" };
        config->endpoints[i] = &endpoints[i];
    }
    return config;
}

static const char *const one[] = { "app" }, *const two[] = { "app", "deep" };

static void put_in_force(struct fixture *f, struct config *config)
{
    scheduler_set_config(f->scheduler, config);
    config_unref(config);
}

static void every_monitor_looks_at_every_endpoint(void **state)
{
    struct fixture *f = *state;
    struct evidence evidence;

    put_in_force(f, make_config(2, two, 2));
    assert_true(scheduler_evidence(f->scheduler, "p/e1", &evidence));
    assert_int_equal(evidence.n_monitors, 2);
    assert_int_equal(evidence.monitors[0].health, HEALTH_UNKNOWN);
    assert_string_equal(evidence.monitors[1].name, "deep");
    turn_until(f->loop, &f->runs, 4, PATIENCE_S);
    turn_a_while(f);
    assert_int_equal(f->runs, 4); /* one probe of each at a time */
    assert_int_equal(f->told, 0);
    while (f->n_out)
        answer(f, 0, true);
    assert_int_equal(f->told, 4);
    assert_true(scheduler_evidence(f->scheduler, "p/e2", &evidence));
    assert_int_equal(evidence.monitors[0].health, HEALTH_UP);
    assert_int_equal(evidence.monitors[1].health, HEALTH_UP);
    assert_false(scheduler_evidence(f->scheduler, "p/e3", &evidence));
    turn_until(f->loop, &f->runs, 8, PATIENCE_S); /* and again */
}

static void failures_turn_it_down_and_passes_up(void **state)
{
    static const char results[] = "pfffpp", health[] = "UUUDDU";
    struct fixture *f = *state;

    put_in_force(f, make_config(1, one, 1));
    for (unsigned i = 0; results[i]; i++) {
        turn_until(f->loop, &f->runs, i + 1, PATIENCE_S);
        answer(f, 0, results[i] == 'p');
        assert_int_equal(f->told, i + 1);
        assert_string_equal(f->last_told, "p/e1");
        assert_int_equal("uUD"[f->evidence.monitors[0].health], health[i]);
    }
}

static void histories_survive_a_reload(void **state)
{
    struct fixture *f = *state;
    struct evidence evidence;

    put_in_force(f, make_config(2, two, 2));
    turn_until(f->loop, &f->runs, 4, PATIENCE_S);
    while (f->n_out)
        answer(f, 0, true);
    put_in_force(f, make_config(1, one, 1)); /* an endpoint and a monitor go */
    assert_false(scheduler_evidence(f->scheduler, "p/e2", &evidence));
    assert_true(scheduler_evidence(f->scheduler, "p/e1", &evidence));
    assert_int_equal(evidence.n_monitors, 1);
    assert_int_equal(evidence.monitors[0].health, HEALTH_UP);
    assert_string_equal(evidence.monitors[0].name, "app");
    put_in_force(f, make_config(1, two, 2)); /* and come back as new */
    assert_true(scheduler_evidence(f->scheduler, "p/e1", &evidence));
    assert_int_equal(evidence.monitors[0].health, HEALTH_UP);
    assert_int_equal(evidence.monitors[1].health, HEALTH_UNKNOWN);
}

static void probe_that_is_out_over_a_reload_counts_if_its_job_stays(void **state)
{
    struct fixture *f = *state;
    struct evidence evidence;

    put_in_force(f, make_config(1, one, 1));
    turn_until(f->loop, &f->runs, 1, PATIENCE_S);
    put_in_force(f, make_config(1, one, 1));
    turn_a_while(f);
    assert_int_equal(f->runs, 1);
    answer(f, 0, true);
    assert_true(scheduler_evidence(f->scheduler, "p/e1", &evidence));
    assert_int_equal(evidence.monitors[0].health, HEALTH_UP);

    turn_until(f->loop, &f->runs, 2, PATIENCE_S);
    put_in_force(f, make_config(0, NULL, 0)); /* its job is gone */
    unsigned told = f->told;
    answer(f, 0, true);
    assert_int_equal(f->told, told);
}

static void probe_that_is_out_at_the_end_comes_back_to_nobody(void **state)
{
    struct fixture *f = *state;

    put_in_force(f, make_config(1, one, 1));
    turn_until(f->loop, &f->runs, 1, PATIENCE_S);
    scheduler_free(f->scheduler);
    f->scheduler = NULL;
    answer(f, 0, true);
    assert_int_equal(f->told, 0);
}

static void what_ends_with_us_is_no_evidence(void **state)
{
    struct fixture *f = *state;
    struct config *config = make_config(1, one, 1);

    config->endpoints[0]->pool->monitors[0]->consecutive_down = 1;
    put_in_force(f, config);
    turn_until(f->loop, &f->runs, 1, PATIENCE_S);
    answer(f, 0, true);
    turn_until(f->loop, &f->runs, 2, PATIENCE_S);
    end_with(f, 0, REASON_SHUTDOWN);
    turn_until(f->loop, &f->runs, 3, PATIENCE_S);
    assert_int_equal(f->evidence.monitors[0].health, HEALTH_UP);
}

static void disabled_endpoints_are_left_alone_and_forgotten(void **state)
{
    struct fixture *f = *state;
    struct config *config = make_config(1, one, 1);
    struct endpoint *endpoint = config->endpoints[0];

    endpoint->live = endpoint_live_new("p/e1", 1); /* the pool's endpoints are not in config->pools, so we release it */
    struct endpoint_live *live = endpoint->live;
    put_in_force(f, config);
    turn_until(f->loop, &f->runs, 1, PATIENCE_S);
    answer(f, 0, true);
    assert_int_equal(f->evidence.monitors[0].health, HEALTH_UP);
    assert_true(atomic_load(&live->probe_latency_s) > 0.0039 && atomic_load(&live->probe_latency_s) < 0.0041);
    atomic_store(&live->admin, ADMIN_DISABLED);
    turn_until(f->loop, &f->told, 2, PATIENCE_S);
    assert_int_equal(f->evidence.monitors[0].health, HEALTH_UNKNOWN);
    turn_a_while(f);
    assert_int_equal(f->runs, 1);
    assert_int_equal(f->told, 2); /* said once */
    atomic_store(&live->admin, ADMIN_DRAINED); /* drained ones are watched */
    turn_until(f->loop, &f->runs, 2, PATIENCE_S);
    answer(f, 0, true);
    assert_int_equal(f->evidence.monitors[0].health, HEALTH_UP);
    scheduler_free(f->scheduler);
    f->scheduler = NULL;
    endpoint_live_unref(live);
}

static void hurry_brings_the_next_look_forward(void **state)
{
    struct fixture *f = *state;
    struct config *config = make_config(1, one, 1);
    struct monitor *monitor = config->endpoints[0]->pool->monitors[0];

    monitor->interval = monitor->interval_turning = SECONDS(3600); /* nothing happens by itself */
    put_in_force(f, config);
    turn_a_while(f);
    assert_int_equal(f->runs, 0);
    monitor->interval_turning = NSEC_PER_MSEC;
    scheduler_hurry(f->scheduler, "p/unknown");
    scheduler_hurry(f->scheduler, "p/e1");
    turn_until(f->loop, &f->runs, 1, PATIENCE_S);
    scheduler_hurry(f->scheduler, "p/e1"); /* one is out already */
    turn_a_while(f);
    assert_int_equal(f->runs, 1);
    answer(f, 0, true);
    turn_a_while(f);
    assert_int_equal(f->runs, 1);
    scheduler_hurry(f->scheduler, "p/e1");
    turn_until(f->loop, &f->runs, 2, PATIENCE_S);
}

static void pool_without_monitors_has_no_evidence(void **state)
{
    struct fixture *f = *state;
    struct evidence evidence;

    put_in_force(f, make_config(1, NULL, 0));
    assert_true(scheduler_evidence(f->scheduler, "p/e1", &evidence));
    assert_int_equal(evidence.n_monitors, 0);
    turn_a_while(f);
    assert_int_equal(f->runs, 0);
}

#define WITH_SCHEDULER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_add_up),
        cmocka_unit_test(thresholds_of_zero_are_one),
        cmocka_unit_test(pauses_follow_the_state),
        cmocka_unit_test(hurry_keeps_a_distance),
        cmocka_unit_test(hard_failure_is_found_in_time),
        WITH_SCHEDULER(every_monitor_looks_at_every_endpoint),
        WITH_SCHEDULER(failures_turn_it_down_and_passes_up),
        WITH_SCHEDULER(histories_survive_a_reload),
        WITH_SCHEDULER(probe_that_is_out_over_a_reload_counts_if_its_job_stays),
        WITH_SCHEDULER(probe_that_is_out_at_the_end_comes_back_to_nobody),
        WITH_SCHEDULER(what_ends_with_us_is_no_evidence),
        WITH_SCHEDULER(disabled_endpoints_are_left_alone_and_forgotten),
        WITH_SCHEDULER(hurry_brings_the_next_look_forward),
        WITH_SCHEDULER(pool_without_monitors_has_no_evidence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
