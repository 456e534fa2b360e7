/* From evidence to events: the control thread's records, with a store in memory, a real loop, and evidence given by hand. */
#include "control/health.h"

#include "balance/live.h"
#include "base/mem.h"
#include "control/names.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "live_control.h"

enum { PATIENCE_S = 20, EVENTS_MAX = 64 };

#define TUNNEL "c1744f8b-faa1-48a4-9e5c-02ac921467fa"

static const char configuration[] =
    "listeners = ( { address = \"127.0.0.1:8080\"; } );\n"
    "monitors = ( { name = \"app\"; type = \"http\"; interval = \"1h\"; timeout = \"1s\"; } );\n"
    "pools = (\n"
    "  { name = \"europe\"; monitors = [ \"app\" ]; slow_start = \"1h\"; passive = { ejection = \"200ms\"; consecutive = 2; }; endpoints = (\n"
    "    { name = \"ams\"; address = \"http://127.0.0.1:1\"; }, { name = \"fra\"; address = \"http://127.0.0.1:2\"; } ); },\n"
    "  { name = \"america\"; monitors = [ ]; passive = { ejection = \"200ms\"; consecutive = 2; }; slow_start = \"0\"; endpoints = (\n"
    "    { name = \"nyc\"; tunnel = \"" TUNNEL "\"; hostname = \"nyc.example.com\"; connect_to = \"127.0.0.1:3\"; },\n"
    "    { name = \"lax\"; address = \"http://127.0.0.1:4\"; } ); } );\n"
    "load_balancers = ( { hostnames = [ \"app.test\" ]; default_pools = [ \"europe\", \"america\" ]; } );\n";

/* Without fra. */
static const char smaller_configuration[] =
    "listeners = ( { address = \"127.0.0.1:8080\"; } );\n"
    "monitors = ( { name = \"app\"; type = \"http\"; interval = \"1h\"; timeout = \"1s\"; } );\n"
    "pools = ( { name = \"europe\"; monitors = [ \"app\" ]; endpoints = ( { name = \"ams\"; address = \"http://127.0.0.1:1\"; } ); } );\n"
    "load_balancers = ( { hostnames = [ \"app.test\" ]; default_pools = [ \"europe\" ]; } );\n";

struct fixture {
    struct control control;
    char *events[EVENTS_MAX]; /* "type subject severity[ recovery]" */
    unsigned n;
};

static void on_event(void *arg, struct event *event)
{
    struct fixture *f = arg;
    assert_true(f->n < EVENTS_MAX);
    f->events[f->n++] = mem_printf("%s %s %s%s", event->type, event->subject, severity_name(event->severity), event->recovery ? " recovery" : "");
}

static struct config *load(const char *text)
{
    char path[] = "/tmp/penstock-health-XXXXXX";
    struct conf_messages messages = { 0 };
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    struct config *config = conf_load(path, &messages);
    unlink(path);
    for (size_t i = 0; !config && i < messages.n; i++)
        print_message("%s:%u: %s\n", messages.items[i].file, messages.items[i].line, messages.items[i].text);
    conf_messages_clear(&messages);
    assert_non_null(config);
    return config;
}

static void *setup_on(struct fixture *f)
{
    struct control *c = &f->control;
    c->n_workers = 1;
    live_control_start(c, on_event, f);
    live_control_put_in_force(c, load(configuration));
    return f;
}

static int setup(void **state)
{
    *state = setup_on(mem_zero(sizeof(struct fixture)));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    live_control_stop(&f->control);
    for (unsigned i = 0; i < f->n; i++)
        free(f->events[i]);
    free(f);
    return 0;
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    *(bool *)timer->data = true;
    ev_break(loop, EVBREAK_ALL);
}

/* Turns the loop until the condition holds, or fails the test. */
static void turn_until(struct fixture *f, bool (*holds)(struct fixture *))
{
    struct ev_loop *loop = f->control.loop;
    bool late = false;
    ev_timer timer;
    ev_timer_init(&timer, on_late, PATIENCE_S, 0.);
    timer.data = &late;
    ev_timer_start(loop, &timer);
    while (!holds(f) && !late)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &timer);
    assert_true(holds(f));
}

static unsigned wanted;

static bool are_told(struct fixture *f)
{
    return f->n >= wanted;
}

/* Exactly these have been told since the last time, in this order. */
static void expect_events(struct fixture *f, const char *const *expected)
{
    for (wanted = 0; expected[wanted];)
        wanted++;
    turn_until(f, are_told);
    for (unsigned i = 0; i < wanted; i++)
        assert_string_equal(f->events[i], expected[i]);
    assert_int_equal(f->n, wanted);
    for (unsigned i = 0; i < f->n; i++)
        free(f->events[i]);
    f->n = 0;
}
#define EXPECT_EVENTS(f, ...) expect_events(f, (const char *const[]){ __VA_ARGS__, NULL })
/* america has no monitors */
#define AT_THE_START "endpoint.healthy america/nyc info", "endpoint.healthy america/lax info", "pool.healthy america info"

static struct endpoint_record *record_of(struct fixture *f, const char *id)
{
    struct endpoint_record *record = control_find_endpoint(&f->control, id);
    assert_non_null(record);
    return record;
}

static void monitor_says(struct fixture *f, const char *id, enum health health, enum diagnosis diagnosis)
{
    struct evidence e = { .n_monitors = 1 };
    e.monitors[0] = (struct monitor_evidence){ .name = "app", .health = health, .diagnosis = diagnosis, .at = clock_monotonic() };
    e.monitors[0].passes = diagnosis == DIAGNOSIS_OK;
    e.monitors[0].failures = diagnosis != DIAGNOSIS_OK;
    snprintf(e.monitors[0].detail, sizeof e.monitors[0].detail, "said by hand");
    health_take_evidence(&f->control, record_of(f, id)->endpoint, &e);
}

/* As a worker ejects: the live state first, then the notice. */
static void traffic_ejects(struct fixture *f, const char *id, enum reason reason)
{
    struct endpoint_record *record = record_of(f, id);
    atomic_store(&record->live->ejected_until, clock_monotonic() + 200 * NSEC_PER_MSEC);
    atomic_store(&record->live->ejected_for, (uint8_t)reason);
    atomic_fetch_add(&record->live->ejections, 1);
    health_take_notice(&f->control, record->live, reason, true);
}

static const struct load_balancer_record *load_balancer(struct fixture *f)
{
    return f->control.load_balancers;
}

static void first_verdicts_are_told_quietly(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(record_of(f, "europe/ams")->verdict.state, VERDICT_UNKNOWN);
    assert_int_equal(record_of(f, "america/lax")->verdict.state, VERDICT_HEALTHY);
    EXPECT_EVENTS(f, AT_THE_START);
    monitor_says(f, "europe/ams", HEALTH_UP, DIAGNOSIS_OK);
    EXPECT_EVENTS(f, "endpoint.healthy europe/ams info"); /* europe waits for fra; the load balancer is not in failover */
    monitor_says(f, "europe/fra", HEALTH_UP, DIAGNOSIS_OK);
    EXPECT_EVENTS(f, "endpoint.healthy europe/fra info", "pool.healthy europe info");
    assert_int_equal(load_balancer(f)->state, LB_HEALTHY);
    assert_int_equal(atomic_load(&record_of(f, "europe/ams")->live->health), HEALTH_UP);
}

static void loss_and_return(void **state)
{
    struct fixture *f = *state;
    EXPECT_EVENTS(f, AT_THE_START);
    monitor_says(f, "europe/ams", HEALTH_UP, DIAGNOSIS_OK);
    monitor_says(f, "europe/fra", HEALTH_UP, DIAGNOSIS_OK);
    EXPECT_EVENTS(f, "endpoint.healthy europe/ams info", "endpoint.healthy europe/fra info", "pool.healthy europe info");

    monitor_says(f, "europe/ams", HEALTH_DOWN, DIAGNOSIS_UNREACHABLE);
    EXPECT_EVENTS(f, "endpoint.unhealthy europe/ams warning", "pool.degraded europe warning");
    monitor_says(f, "europe/fra", HEALTH_DOWN, DIAGNOSIS_UNREACHABLE);
    EXPECT_EVENTS(f, "endpoint.unhealthy europe/fra warning", "pool.critical europe critical", "load_balancer.failover app.test warning");
    assert_string_equal(load_balancer(f)->pool->name, "america");
    assert_string_equal(load_balancer(f)->reason, "failover: pool europe is critical (0 of 2 endpoints usable): traffic goes to america");

    uint64_t epoch = balance_epoch_read(&f->control.epoch);
    monitor_says(f, "europe/fra", HEALTH_UP, DIAGNOSIS_OK);
    assert_true(balance_epoch_read(&f->control.epoch) > epoch);
    EXPECT_EVENTS(f, "endpoint.healthy europe/fra info recovery", "pool.degraded europe warning", "load_balancer.recovered app.test info recovery");
    assert_true(record_of(f, "europe/fra")->ramping);
    assert_true(ev_is_active(&f->control.sweep));

    epoch = balance_epoch_read(&f->control.epoch);
    monitor_says(f, "europe/fra", HEALTH_UP, DIAGNOSIS_OK); /* nothing new: nothing moves */
    assert_int_equal(balance_epoch_read(&f->control.epoch), epoch);
}

static bool lax_is_healthy(struct fixture *f)
{
    return record_of(f, "america/lax")->verdict.state == VERDICT_HEALTHY;
}

static bool nothing_is_swept(struct fixture *f)
{
    return !ev_is_active(&f->control.sweep);
}

static void ejection_ends_by_itself(void **state)
{
    struct fixture *f = *state;
    EXPECT_EVENTS(f, AT_THE_START);
    traffic_ejects(f, "america/lax", REASON_RESET);
    assert_int_equal(record_of(f, "america/lax")->verdict.state, VERDICT_EJECTED);
    EXPECT_EVENTS(f, "endpoint.unhealthy america/lax warning", "pool.degraded america warning");
    turn_until(f, lax_is_healthy);
    EXPECT_EVENTS(f, "endpoint.healthy america/lax info recovery", "pool.healthy america info recovery");
    turn_until(f, nothing_is_swept); /* once the count has decayed, and not a turn longer */
    assert_int_equal(atomic_load(&record_of(f, "america/lax")->live->ejections), 0);
}

static void passing_monitor_forgives_a_failure_of_transport(void **state)
{
    struct fixture *f = *state;
    EXPECT_EVENTS(f, AT_THE_START);
    monitor_says(f, "europe/ams", HEALTH_UP, DIAGNOSIS_OK);
    EXPECT_EVENTS(f, "endpoint.healthy europe/ams info");
    traffic_ejects(f, "europe/ams", REASON_CONNECT_FAILED);
    assert_int_equal(record_of(f, "europe/ams")->verdict.state, VERDICT_EJECTED);
    monitor_says(f, "europe/ams", HEALTH_UP, DIAGNOSIS_OK);
    assert_int_equal(record_of(f, "europe/ams")->verdict.state, VERDICT_HEALTHY);
    traffic_ejects(f, "europe/ams", REASON_STATUS); /* what the application says, a monitor's path may not see */
    monitor_says(f, "europe/ams", HEALTH_UP, DIAGNOSIS_OK);
    assert_int_equal(record_of(f, "europe/ams")->verdict.state, VERDICT_EJECTED);
}

static bool nyc_is_not_ejected(struct fixture *f)
{
    return record_of(f, "america/nyc")->verdict.state == VERDICT_HEALTHY;
}

static bool tunnel_is_healthy(struct fixture *f)
{
    return f->control.tunnels->status == TUNNEL_HEALTHY;
}

/* A tunnel that only traffic watches: down with the ejection, well with the first good answer and not before. */
static void traffic_tells_of_the_tunnel(void **state)
{
    struct fixture *f = *state;
    struct endpoint_record *nyc = record_of(f, "america/nyc");
    EXPECT_EVENTS(f, AT_THE_START);
    assert_string_equal(f->control.tunnels->id, TUNNEL);
    assert_string_equal(f->control.tunnels->name, "nyc");
    assert_int_equal(f->control.tunnels->status, TUNNEL_UNKNOWN);
    atomic_store(&nyc->live->counts[0].requests, 5);
    atomic_store(&nyc->live->counts[0].failures, 2);
    traffic_ejects(f, "america/nyc", REASON_TUNNEL_INACTIVE);
    EXPECT_EVENTS(f, "endpoint.unhealthy america/nyc warning", "tunnel.inactive " TUNNEL " critical", "pool.degraded america warning");
    assert_int_equal(f->control.tunnels->status, TUNNEL_DOWN);

    turn_until(f, nyc_is_not_ejected);
    EXPECT_EVENTS(f, "endpoint.healthy america/nyc info recovery", "pool.healthy america info recovery");
    assert_int_equal(f->control.tunnels->status, TUNNEL_DOWN);
    assert_true(ev_is_active(&f->control.sweep));
    atomic_fetch_add(&nyc->live->counts[0].requests, 1);
    turn_until(f, tunnel_is_healthy);
    EXPECT_EVENTS(f, "tunnel.healthy " TUNNEL " info recovery");
}

static bool tunnel_is_down(struct fixture *f)
{
    return f->control.tunnels->status == TUNNEL_DOWN;
}

/* The last endpoint of its pool is never ejected, and yet the tunnel is known to be down: by the row of failures. */
static void tunnel_of_an_endpoint_that_is_never_ejected(void **state)
{
    struct fixture *f = *state;
    struct endpoint_record *nyc = record_of(f, "america/nyc");
    EXPECT_EVENTS(f, AT_THE_START);
    atomic_store(&nyc->live->consecutive_failures, 1);
    health_take_notice(&f->control, nyc->live, REASON_TUNNEL_INACTIVE, false);
    assert_int_equal(f->control.tunnels->status, TUNNEL_UNKNOWN); /* once is not enough */
    atomic_store(&nyc->live->counts[0].requests, 2);
    atomic_store(&nyc->live->counts[0].failures, 2);
    atomic_store(&nyc->live->consecutive_failures, 2);
    turn_until(f, tunnel_is_down);
    EXPECT_EVENTS(f, "tunnel.inactive " TUNNEL " critical");
    atomic_store(&nyc->live->consecutive_failures, 0);
    atomic_fetch_add(&nyc->live->counts[0].requests, 1);
    turn_until(f, tunnel_is_healthy);
    turn_until(f, nothing_is_swept);
    EXPECT_EVENTS(f, "tunnel.healthy " TUNNEL " info recovery");
}

static void operator_drains_and_enables(void **state)
{
    struct fixture *f = *state;
    struct control *c = &f->control;
    EXPECT_EVENTS(f, AT_THE_START);
    assert_false(control_set_admin(c, "america/none", ADMIN_DRAINED));
    assert_false(control_set_weight(c, "none", 1));
    assert_true(control_set_admin(c, "america/lax", ADMIN_DRAINED));
    assert_int_equal(atomic_load(&record_of(f, "america/lax")->live->admin), ADMIN_DRAINED);
    EXPECT_EVENTS(f, "endpoint.drained america/lax info");
    assert_true(control_set_admin(c, "america/lax", ADMIN_ENABLED));
    EXPECT_EVENTS(f, "endpoint.healthy america/lax info");
    assert_null(c->overrides); /* nothing is left to keep */
}

static void operator_s_word_outlives_the_endpoint(void **state)
{
    struct fixture *f = *state;
    struct control *c = &f->control;
    assert_true(control_set_admin(c, "europe/fra", ADMIN_DISABLED));
    assert_true(control_set_weight(c, "europe/fra", 0.25));
    live_control_put_in_force(c, load(smaller_configuration));
    assert_null(control_find_endpoint(c, "europe/fra"));
    assert_false(control_set_weight(c, "europe/fra", 1));
    assert_null(c->tunnels);
    live_control_put_in_force(c, load(configuration));
    struct endpoint_live *live = record_of(f, "europe/fra")->live;
    assert_int_equal(atomic_load(&live->admin), ADMIN_DISABLED);
    assert_true(atomic_load(&live->weight_override) == 0.25);
    assert_int_equal(record_of(f, "europe/fra")->verdict.state, VERDICT_DISABLED);
    assert_true(control_set_weight(c, "europe/fra", NAN));
    assert_true(isnan(atomic_load(&live->weight_override)));
    assert_int_equal(record_of(f, "europe/fra")->verdict.state, VERDICT_DISABLED);
}

static void live_state_outlives_a_reload(void **state)
{
    struct fixture *f = *state;
    EXPECT_EVENTS(f, AT_THE_START);
    monitor_says(f, "europe/ams", HEALTH_UP, DIAGNOSIS_OK);
    EXPECT_EVENTS(f, "endpoint.healthy europe/ams info");
    traffic_ejects(f, "america/lax", REASON_RESET);
    EXPECT_EVENTS(f, "endpoint.unhealthy america/lax warning", "pool.degraded america warning");
    struct endpoint_live *live = record_of(f, "america/lax")->live;
    atomic_store(&live->ejected_until, clock_monotonic() + 3600 * NSEC_PER_SEC); /* however slow this machine is */
    live_control_put_in_force(&f->control, load(configuration));
    assert_ptr_equal(record_of(f, "america/lax")->live, live);
    assert_ptr_equal(config_find_endpoint(f->control.config, "america/lax")->live, live);
    assert_int_equal(record_of(f, "america/lax")->verdict.state, VERDICT_EJECTED);
}

static void names_of_tunnels_that_lead_nowhere(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        const char *addresses[2];
        bool problem;
    } rows[] = {
        { TUNNEL ".cfargotunnel.com", { "fd10:aec2:5dae::", NULL }, true },
        { TUNNEL ".cfargotunnel.com", { "fd10:aec2:5dae::", "192.0.2.1" }, false },
        { TUNNEL ".cfargotunnel.com", { NULL, NULL }, false },
        { "app.example.com", { "fd10:aec2:5dae::", NULL }, false },
        { ".cfargotunnel.com", { "fd10:aec2:5dae::", NULL }, false },
        { "10.0.0.1", { "10.0.0.1", NULL }, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct endpoint endpoint = { .dial_host = rows[i].host };
        struct address_set set = { 0 };
        char text[VERDICT_TEXT_SIZE];
        for (unsigned k = 0; k < 2 && rows[i].addresses[k]; k++)
            assert_true(address_parse(rows[i].addresses[k], 443, &set.items[set.n++]));
        const char *problem = names_problem(&endpoint, &set, text);
        assert_int_equal(problem != NULL, rows[i].problem);
        if (problem)
            assert_true(strstr(problem, "hostname") && strstr(problem, "connect_to") && strstr(problem, "fd10:aec2:5dae::"));
    }
}

#define WITH_CONTROL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CONTROL(first_verdicts_are_told_quietly),
        WITH_CONTROL(loss_and_return),
        WITH_CONTROL(ejection_ends_by_itself),
        WITH_CONTROL(passing_monitor_forgives_a_failure_of_transport),
        WITH_CONTROL(traffic_tells_of_the_tunnel),
        WITH_CONTROL(tunnel_of_an_endpoint_that_is_never_ejected),
        WITH_CONTROL(operator_drains_and_enables),
        WITH_CONTROL(operator_s_word_outlives_the_endpoint),
        WITH_CONTROL(live_state_outlives_a_reload),
        cmocka_unit_test(names_of_tunnels_that_lead_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
