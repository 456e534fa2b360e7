/* The keys that programs may rely on. */
#include "control/metrics.h"
#include "control/status.h"
#include "sample_control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static int start(void **state)
{
    *state = sample_control_new();
    return 0;
}

static int stop(void **state)
{
    sample_control_free(*state);
    return 0;
}

/* By a path of keys and indices: "pools.0.endpoints.1.state". */
static const json_t *at(const json_t *value, const char *path)
{
    char copy[128];

    snprintf(copy, sizeof copy, "%s", path);
    for (char *rest = copy, *key; (key = strtok_r(rest, ".", &rest));)
        value = json_is_array(value) ? json_array_get(value, (size_t)atoi(key)) : json_object_get(value, key);
    return value;
}

static void keys_by_table(void **state)
{
    static const struct {
        const char *path, *json; /* as compact JSON */
    } cases[] = {
        { "generation", "3" },
        { "stopping", "false" },
        { "last_rejection", "null" },
        { "load_balancers.0.hostnames", "[\"app.example.com\",\"*.app.example.com\"]" },
        { "load_balancers.0.state", "\"degraded\"" },
        { "load_balancers.0.pool", "\"europe\"" },
        { "load_balancers.0.default_pools", "[\"europe\",\"spare\"]" },
        { "load_balancers.0.fallback_in_use", "false" },
        { "pools.0.name", "\"europe\"" },
        { "pools.0.state", "\"degraded\"" },
        { "pools.0.reason", "\"1 of 2 endpoints usable\"" },
        { "pools.0.minimum_endpoints", "1" },
        { "pools.0.healthy_endpoints", "1" },
        { "pools.0.panic", "false" },
        { "pools.0.monitors", "[\"app\"]" },
        { "pools.0.since", "\"2025-11-24T16:00:00.000Z\"" },
        { "pools.1.panic", "true" },
        { "pools.0.endpoints.0.name", "\"ams\"" },
        { "pools.0.endpoints.0.id", "\"europe/ams\"" },
        { "pools.0.endpoints.0.state", "\"down\"" },
        { "pools.0.endpoints.0.reason", "\"down: 530/1033 from the edge 3 times\"" },
        { "pools.0.endpoints.0.weight", "1.0" },
        { "pools.0.endpoints.0.in_flight", "0" },
        { "pools.0.endpoints.0.max_in_flight", "10" },
        { "pools.0.endpoints.0.latency_ms", "null" },
        { "pools.0.endpoints.0.tunnel", "\"" SAMPLE_TUNNEL "\"" },
        { "pools.0.endpoints.0.address", "\"ams.example.com:443\"" },
        { "pools.0.endpoints.0.monitors.0.health", "\"down\"" },
        { "pools.0.endpoints.1.tunnel", "null" },
        { "pools.0.endpoints.1.weight", "0.5" },
        { "pools.0.endpoints.1.weight_override", "null" },
        { "pools.0.endpoints.1.override", "null" },
        { "pools.0.endpoints.1.ejected_until", "null" },
        { "pools.0.endpoints.1.max_in_flight", "null" },
        { "pools.1.endpoints.0.reason", "\"down: connection refused ?\"" },
        { "tunnels.0.id", "\"" SAMPLE_TUNNEL "\"" },
        { "tunnels.0.name", "\"ams\"" },
        { "tunnels.0.status", "\"down\"" },
        { "tunnels.0.since", "\"2025-11-24T16:00:00.000Z\"" },
        { "tunnels.0.connectors", "[]" },
        { "tunnels.0.endpoints", "[\"europe/ams\"]" },
        { "alerts.0.name", "\"ops\"" },
        { "alerts.0.type", "\"webhook\"" },
        { "alerts.0.backlog", "0" },
        { "alerts.0.last_success", "null" },
        { "alerts.0.last_error", "null" },
        { "store.durable", "false" },
    };
    json_t *status = status_json(*state);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = json_dumps(at(status, cases[i].path), JSON_COMPACT | JSON_ENCODE_ANY);
        if (!got || strcmp(got, cases[i].json) != 0)
            fail_msg("%s is %s, not %s", cases[i].path, got ? got : "missing", cases[i].json);
        free(got);
    }
    json_decref(status);
}

static void overrides_show(void **state)
{
    struct control *c = *state;
    control_set_admin(c, "europe/fra", ADMIN_DRAINED);
    control_set_weight(c, "europe/fra", 0);
    struct endpoint_record *r = control_find_endpoint(c, "europe/fra");
    atomic_store(&r->live->latency_s, 0.0125);
    atomic_store(&r->live->counts[1].requests, 7);
    atomic_store(&r->live->counts[0].requests, 5);
    json_t *e = status_endpoint_json(c, r);

    assert_string_equal(json_string_value(json_object_get(e, "state")), "drained");
    assert_string_equal(json_string_value(json_object_get(e, "override")), "drained");
    assert_true(json_number_value(json_object_get(e, "weight")) == 0);
    assert_true(json_number_value(json_object_get(e, "weight_override")) == 0);
    assert_true(json_number_value(json_object_get(e, "weight_configured")) == 0.5);
    assert_true(json_number_value(json_object_get(e, "latency_ms")) == 12.5);
    assert_int_equal(json_integer_value(json_object_get(e, "requests")), 12);
    json_decref(e);
}

/* Evidence keeps instants of the monotonic clock; people get the time of day. */
static void results_of_monitors_have_the_time_of_day(void **state)
{
    struct control *c = *state;
    struct endpoint_record *r = control_find_endpoint(c, "europe/ams");
    char before[CLOCK_RFC3339_SIZE], after[CLOCK_RFC3339_SIZE];

    clock_rfc3339(clock_wall() - 60 * NSEC_PER_SEC, before);
    r->evidence.monitors[0].at = clock_monotonic();
    json_t *e = status_endpoint_json(c, r);
    clock_rfc3339(clock_wall() + 60 * NSEC_PER_SEC, after);
    const char *told = json_string_value(at(e, "monitors.0.at"));
    assert_non_null(told);
    assert_true(strcmp(before, told) < 0 && strcmp(told, after) < 0);
    json_decref(e);
}

/* The secret of the alert channel stands in the configuration. */
static void no_secret_is_shown(void **state)
{
    json_t *status = status_json(*state);
    char *text = json_dumps(status, 0);
    assert_null(strstr(text, "whsec"));
    assert_null(strstr(text, "MfKQ9r8"));
    free(text);
    json_decref(status);
}

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);
    for (const char *found = text; (found = strstr(found, line)); found++)
        if ((found == text || found[-1] == '\n') && found[n] == '\n')
            return true;
    return false;
}

static void metrics_of_it(void **state)
{
    static const char *const lines[] = {
        "penstock_config_generation 3",
        "penstock_requests_total 0",
        "penstock_responses_total{class=\"5xx\"} 0",
        "penstock_failures_total{reason=\"connect_failed\"} 0",
        "penstock_endpoint_up{pool=\"europe\",endpoint=\"fra\"} 1",
        "penstock_endpoint_up{pool=\"europe\",endpoint=\"ams\"} 0",
        "penstock_endpoint_state{pool=\"europe\",endpoint=\"ams\",state=\"down\"} 1",
        "penstock_endpoint_state{pool=\"europe\",endpoint=\"ams\",state=\"healthy\"} 0",
        "penstock_endpoint_weight{pool=\"europe\",endpoint=\"fra\"} 0.5",
        "penstock_monitor_up{pool=\"europe\",endpoint=\"fra\",monitor=\"app\"} 1",
        "penstock_pool_state{pool=\"spare\",state=\"critical\"} 1",
        "penstock_pool_endpoints{pool=\"europe\",usability=\"healthy\"} 1",
        "penstock_load_balancer_state{load_balancer=\"app.example.com\",state=\"degraded\"} 1",
        "penstock_tunnel_state{tunnel=\"" SAMPLE_TUNNEL "\",name=\"ams\",state=\"down\"} 1",
        "penstock_alerts_backlog{channel=\"ops\"} 0",
        "penstock_store_failing 0",
        "penstock_request_duration_seconds_count 0",
        "penstock_request_duration_seconds_bucket{le=\"0.001\"} 0",
    };
    struct text text = { 0 };

    metrics_write(*state, false, &text);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!has_line(text.p, lines[i]))
            fail_msg("no line %s in\n%s", lines[i], text.p);
    text_clear(&text);
}

/* A family has its HELP and TYPE once, and its samples right behind them. */
static void families_are_told_once(void **state)
{
    struct text text = { 0 };
    char seen[200][80];
    size_t n = 0;

    metrics_write(*state, true, &text);
    for (char *rest = text.p, *line; (line = strtok_r(rest, "\n", &rest));) {
        char name[80];
        if (sscanf(line, "# TYPE %79s", name) == 1) {
            for (size_t i = 0; i < n; i++)
                assert_string_not_equal(seen[i], name);
            assert_true(n < 200);
            snprintf(seen[n++], sizeof *seen, "%s", name);
        } else if (*line != '#') {
            assert_true(n > 0);
            assert_memory_equal(line, seen[n - 1], strlen(seen[n - 1]));
        }
    }
    assert_true(n > 40);
    text_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_by_table, start, stop),
        cmocka_unit_test_setup_teardown(overrides_show, start, stop),
        cmocka_unit_test_setup_teardown(results_of_monitors_have_the_time_of_day, start, stop),
        cmocka_unit_test_setup_teardown(no_secret_is_shown, start, stop),
        cmocka_unit_test_setup_teardown(metrics_of_it, start, stop),
        cmocka_unit_test_setup_teardown(families_are_told_once, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
