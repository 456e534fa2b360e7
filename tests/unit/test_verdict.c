/* Scenarios: what is known of an endpoint, and the verdict with its sentence. */
#include "balance/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW (1000 * NSEC_PER_SEC)

struct scenario {
    const char *name;
    struct {
        struct monitor_evidence monitors[3];
        unsigned n_monitors;
        enum reason ejected_for; /* REASON_NONE: not ejected */
        unsigned consecutive_failures;
        const char *name_problem; /* NULL: dialable */
        struct tunnel_evidence tunnel;
        enum admin_state admin;
        bool disabled;
    } given;
    struct {
        enum verdict_state state;
        enum health health;
        enum diagnosis diagnosis;
        const char *reason;
    } expected;
};

#define PASSES(n) { .name = n, .health = HEALTH_UP, .passes = 7, .diagnosis = DIAGNOSIS_OK, .detail = "200 in 12 ms", .at = 1 }
#define FAILS(n, count, what, text) { .name = n, .health = HEALTH_DOWN, .failures = count, .diagnosis = what, .detail = text, .at = 1 }
#define NO_RESULT(n) { .name = n }

static const struct scenario scenarios[] = {
    /* healthy */
    { "one monitor passes", { .monitors = { PASSES("app") }, .n_monitors = 1 },
      { VERDICT_HEALTHY, HEALTH_UP, DIAGNOSIS_OK, "healthy: monitor app passes" } },
    { "all of several pass", { .monitors = { PASSES("app"), PASSES("port") }, .n_monitors = 2 },
      { VERDICT_HEALTHY, HEALTH_UP, DIAGNOSIS_OK, "healthy: all 2 monitors pass" } },
    { "on its way up",
      { .monitors = { { .name = "app", .health = HEALTH_DOWN, .passes = 1, .diagnosis = DIAGNOSIS_OK, .detail = "200 in 9 ms", .at = 1 } },
        .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_OK, "down: monitor app passes again, but not often enough yet" } },
    { "no monitor", { .n_monitors = 0 }, { VERDICT_HEALTHY, HEALTH_UP, DIAGNOSIS_OK, "healthy: no monitor, judged by traffic alone" } },
    { "fails once, still within the threshold",
      { .monitors = { { .name = "app", .health = HEALTH_UP, .failures = 1, .diagnosis = DIAGNOSIS_ORIGIN_DOWN, .detail = "502 from the edge", .at = 1 } },
        .n_monitors = 1 },
      { VERDICT_HEALTHY, HEALTH_UP, DIAGNOSIS_OK, "healthy: monitor app passes" } },
    { "traffic fails, but the pool can't spare it", { .monitors = { PASSES("app") }, .n_monitors = 1, .consecutive_failures = 12 },
      { VERDICT_HEALTHY, HEALTH_UP, DIAGNOSIS_OK, "healthy: monitor app passes; the last 12 requests failed" } },

    /* each diagnosis */
    { "a dead tunnel", { .monitors = { FAILS("app", 3, DIAGNOSIS_TUNNEL_INACTIVE, "530/1033 from the edge") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_TUNNEL_INACTIVE,
        "down: 530/1033 from the edge 3 times: no connector of the tunnel is connected" } },
    { "a dead tunnel, as the edge's name lookup puts it",
      { .monitors = { FAILS("app", 1, DIAGNOSIS_TUNNEL_INACTIVE, "530/1016 from the edge") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_TUNNEL_INACTIVE,
        "down: 530/1016 from the edge once: no connector of the tunnel is connected" } },
    { "a dead origin behind a living tunnel", { .monitors = { FAILS("app", 4, DIAGNOSIS_ORIGIN_DOWN, "502 from the edge") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_ORIGIN_DOWN,
        "down: 502 from the edge 4 times: the way there works, but the service at its end does not answer" } },
    { "a host that the tunnel has no rule for",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_NO_INGRESS_RULE, "404 with an empty body") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_NO_INGRESS_RULE,
        "down: 404 with an empty body 3 times: the tunnel's ingress has no rule for this host, its catch-all answered" } },
    { "our own headers", { .monitors = { FAILS("app", 3, DIAGNOSIS_FORBIDDEN_HEADERS, "403/1000 from the edge") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_FORBIDDEN_HEADERS,
        "down: 403/1000 from the edge 3 times: the edge refuses our headers or sees a loop (error 1000); the balancer's own name must be "
        "DNS-only" } },
    { "unreachable", { .monitors = { FAILS("port", 3, DIAGNOSIS_UNREACHABLE, "connection refused (10.1.2.3:80)") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_UNREACHABLE,
        "down: connection refused (10.1.2.3:80) 3 times: the endpoint can't be reached" } },
    { "a wrong status says it all itself", { .monitors = { FAILS("app", 3, DIAGNOSIS_WRONG_STATUS, "expected 200-299, got 404") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_WRONG_STATUS, "down: expected 200-299, got 404 3 times" } },
    { "a wrong body", { .monitors = { FAILS("app", 3, DIAGNOSIS_WRONG_BODY, "the body lacks \"ok\"") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_WRONG_BODY, "down: the body lacks \"ok\" 3 times" } },
    { "not HTTP", { .monitors = { FAILS("app", 2, DIAGNOSIS_MALFORMED, "invalid start line") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_MALFORMED, "down: invalid start line 2 times: the answer is not valid HTTP" } },
    { "a failure without words", { .monitors = { FAILS("app", 2, DIAGNOSIS_WRONG_STATUS, "") }, .n_monitors = 1 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_WRONG_STATUS, "down: monitor app fails" } },
    { "a blocked probe says nothing about traffic",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_PROBE_BLOCKED, "429: the rate of requests is limited") }, .n_monitors = 1 },
      { VERDICT_UNKNOWN, HEALTH_UNKNOWN, DIAGNOSIS_PROBE_BLOCKED,
        "unknown: 429: the rate of requests is limited 3 times: the probe is blocked, which says nothing about traffic; let it pass, or give it "
        "a service token" } },
    { "a name that leads nowhere",
      { .monitors = { PASSES("app") }, .n_monitors = 1,
        .name_problem = "x.cfargotunnel.com resolves only to fd10:aec2:5dae::, which can't be reached from here: give it a hostname or connect_to" },
      { VERDICT_DOWN, HEALTH_UP, DIAGNOSIS_NAME,
        "down: x.cfargotunnel.com resolves only to fd10:aec2:5dae::, which can't be reached from here: give it a hostname or connect_to" } },
    { "a name that leads nowhere, without words", { .name_problem = "" },
      { VERDICT_DOWN, HEALTH_UP, DIAGNOSIS_NAME, "down: the name leads to no address that can be reached from here" } },

    /* several monitors */
    { "one of two fails",
      { .monitors = { PASSES("app"), FAILS("port", 3, DIAGNOSIS_UNREACHABLE, "connection refused") }, .n_monitors = 2 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_UNREACHABLE, "down: connection refused 3 times: the endpoint can't be reached" } },
    { "what explains the other leads",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_ORIGIN_DOWN, "502 from the edge"), FAILS("api", 2, DIAGNOSIS_TUNNEL_INACTIVE, "API says down since 09:41") },
        .n_monitors = 2 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_TUNNEL_INACTIVE,
        "down: API says down since 09:41 2 times: no connector of the tunnel is connected; app: 502 from the edge" } },
    { "one fails, one is blocked",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_PROBE_BLOCKED, "429"), FAILS("port", 3, DIAGNOSIS_UNREACHABLE, "timed out") }, .n_monitors = 2 },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_UNREACHABLE, "down: timed out 3 times: the endpoint can't be reached" } },
    { "one passes, one has no result", { .monitors = { PASSES("app"), NO_RESULT("port") }, .n_monitors = 2 },
      { VERDICT_UNKNOWN, HEALTH_UNKNOWN, DIAGNOSIS_OK, "unknown: monitor port has no result yet" } },
    { "one passes, one is blocked",
      { .monitors = { PASSES("port"), FAILS("app", 3, DIAGNOSIS_PROBE_BLOCKED, "") }, .n_monitors = 2 },
      { VERDICT_UNKNOWN, HEALTH_UNKNOWN, DIAGNOSIS_PROBE_BLOCKED,
        "unknown: the probe is blocked, which says nothing about traffic; let it pass, or give it a service token" } },

    /* not enough seen */
    { "the first probe is under way", { .monitors = { NO_RESULT("app") }, .n_monitors = 1 },
      { VERDICT_UNKNOWN, HEALTH_UNKNOWN, DIAGNOSIS_OK, "unknown: monitor app has no result yet" } },
    { "failed at first, below the threshold",
      { .monitors = { { .name = "app", .failures = 1, .diagnosis = DIAGNOSIS_UNREACHABLE, .detail = "timed out", .at = 1 } }, .n_monitors = 1 },
      { VERDICT_UNKNOWN, HEALTH_UNKNOWN, DIAGNOSIS_OK, "unknown: monitor app has not seen enough yet (last: timed out)" } },

    /* traffic */
    { "ejected while the monitors pass", { .monitors = { PASSES("app") }, .n_monitors = 1, .ejected_for = REASON_STATUS },
      { VERDICT_EJECTED, HEALTH_UP, DIAGNOSIS_ORIGIN_DOWN,
        "ejected: requests failed: the answer was a gateway error (502-504, 520-527); tried again in 8 s" } },
    { "ejected, no monitor", { .ejected_for = REASON_TUNNEL_INACTIVE },
      { VERDICT_EJECTED, HEALTH_UP, DIAGNOSIS_TUNNEL_INACTIVE,
        "ejected: requests failed: no connector of the tunnel is connected (530); tried again in 8 s" } },
    { "ejected before the first result", { .monitors = { NO_RESULT("app") }, .n_monitors = 1, .ejected_for = REASON_RESET },
      { VERDICT_EJECTED, HEALTH_UNKNOWN, DIAGNOSIS_UNREACHABLE,
        "ejected: requests failed: the connection was closed or reset before a response; tried again in 8 s" } },
    { "the monitors' word counts more than traffic's",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_ORIGIN_DOWN, "502") }, .n_monitors = 1, .ejected_for = REASON_STATUS },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_ORIGIN_DOWN,
        "down: 502 3 times: the way there works, but the service at its end does not answer" } },

    /* a tunnel of our own edge */
    { "no such tunnel", { .monitors = { NO_RESULT("app") }, .n_monitors = 1, .tunnel = { .of_edge = true } },
      { VERDICT_DOWN, HEALTH_UNKNOWN, DIAGNOSIS_TUNNEL_INACTIVE, "down: there is no such tunnel; `penstock tunnel create` makes one" } },
    { "never connected", { .tunnel = { .of_edge = true, .exists = true, .status = TUNNEL_INACTIVE } },
      { VERDICT_DOWN, HEALTH_UP, DIAGNOSIS_TUNNEL_INACTIVE, "down: the tunnel is inactive, no connector has ever connected" } },
    { "the last connection is gone, whatever the monitors saw through it",
      { .monitors = { PASSES("app") }, .n_monitors = 1, .tunnel = { .of_edge = true, .exists = true, .status = TUNNEL_DOWN } },
      { VERDICT_DOWN, HEALTH_UP, DIAGNOSIS_TUNNEL_INACTIVE, "down: no connector is connected" } },
    { "the last connection explains monitors that fail",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_UNREACHABLE, "timed out") }, .n_monitors = 1, .tunnel = { .of_edge = true, .exists = true, .status = TUNNEL_DOWN } },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_TUNNEL_INACTIVE, "down: no connector is connected" } },
    { "connected, but drained", { .tunnel = { .of_edge = true, .exists = true, .held_back = true, .status = TUNNEL_HEALTHY } },
      { VERDICT_DRAINED, HEALTH_UP, DIAGNOSIS_OK, "drained: connectors are connected, but the operator drained them or gave them weight 0" } },
    { "connected, but silent", { .tunnel = { .of_edge = true, .exists = true, .status = TUNNEL_HEALTHY } },
      { VERDICT_DOWN, HEALTH_UP, DIAGNOSIS_TUNNEL_INACTIVE, "down: connectors are connected, but none takes requests: they are going, or do not answer" } },
    { "soon after the start", { .tunnel = { .of_edge = true, .exists = true, .status = TUNNEL_UNKNOWN } },
      { VERDICT_UNKNOWN, HEALTH_UP, DIAGNOSIS_OK, "unknown: connectors have time to come back after the start" } },
    { "connected", { .monitors = { PASSES("app") }, .n_monitors = 1, .tunnel = { .of_edge = true, .exists = true, .usable = true, .status = TUNNEL_HEALTHY } },
      { VERDICT_HEALTHY, HEALTH_UP, DIAGNOSIS_OK, "healthy: monitor app passes" } },
    { "connected, but the service does not answer",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_ORIGIN_DOWN, "502 of the connector") }, .n_monitors = 1, .tunnel = { .of_edge = true, .exists = true, .usable = true, .status = TUNNEL_DEGRADED } },
      { VERDICT_DOWN, HEALTH_DOWN, DIAGNOSIS_ORIGIN_DOWN,
        "down: 502 of the connector 3 times: the way there works, but the service at its end does not answer" } },
    { "drained without a connector", { .tunnel = { .of_edge = true, .exists = true, .status = TUNNEL_DOWN }, .admin = ADMIN_DRAINED },
      { VERDICT_DRAINED, HEALTH_UP, DIAGNOSIS_TUNNEL_INACTIVE, "drained by the operator (down: no connector is connected)" } },

    /* the operator and the file have the last word, and what would be otherwise is told */
    { "drained", { .monitors = { PASSES("app") }, .n_monitors = 1, .admin = ADMIN_DRAINED },
      { VERDICT_DRAINED, HEALTH_UP, DIAGNOSIS_OK, "drained by the operator (healthy: monitor app passes)" } },
    { "disabled while down",
      { .monitors = { FAILS("app", 3, DIAGNOSIS_UNREACHABLE, "timed out") }, .n_monitors = 1, .admin = ADMIN_DISABLED },
      { VERDICT_DISABLED, HEALTH_DOWN, DIAGNOSIS_UNREACHABLE,
        "disabled by the operator (down: timed out 3 times: the endpoint can't be reached)" } },
    { "disabled in the file beats drained", { .disabled = true, .admin = ADMIN_DRAINED },
      { VERDICT_DISABLED, HEALTH_UP, DIAGNOSIS_OK, "disabled in the configuration (healthy: no monitor, judged by traffic alone)" } },
};

static struct evidence evidence_of(const struct scenario *s)
{
    struct evidence e = {
        .n_monitors = s->given.n_monitors,
        .ejected = s->given.ejected_for != REASON_NONE,
        .ejected_for = s->given.ejected_for,
        .ejected_until = NOW + 15 * NSEC_PER_SEC / 2,
        .consecutive_failures = s->given.consecutive_failures,
        .dialable = !s->given.name_problem,
        .tunnel = s->given.tunnel,
        .admin = s->given.admin,
        .enabled = !s->given.disabled,
    };

    memcpy(e.monitors, s->given.monitors, sizeof s->given.monitors);
    if (s->given.name_problem)
        snprintf(e.name_detail, sizeof e.name_detail, "%s", s->given.name_problem);
    return e;
}

static void test_scenarios(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const struct scenario *s = &scenarios[i];
        struct evidence e = evidence_of(s);
        struct verdict v;
        verdict_reach(&e, NOW, &v);
        if (strcmp(v.reason, s->expected.reason) != 0)
            fail_msg("%s: \"%s\"", s->name, v.reason);
        if (v.state != s->expected.state || v.health != s->expected.health || v.diagnosis != s->expected.diagnosis)
            fail_msg("%s: %s, health %u, %s", s->name, verdict_state_name(v.state), v.health, diagnosis_code(v.diagnosis));
    }
}

static void test_names(void **state)
{
    (void)state;
    for (enum diagnosis d = DIAGNOSIS_OK; d < DIAGNOSES; d++)
        assert_true(strlen(diagnosis_code(d)) > 1);
    for (enum diagnosis a = DIAGNOSIS_OK; a < DIAGNOSES; a++)
        for (enum diagnosis b = DIAGNOSIS_OK; b < a; b++)
            assert_string_not_equal(diagnosis_code(a), diagnosis_code(b));
    for (enum verdict_state s = VERDICT_HEALTHY; s <= VERDICT_DISABLED; s++)
        assert_true(strlen(verdict_state_name(s)) > 1);
}

/* A long detail is cut, never within a character: the sentence becomes JSON. */
static void test_a_long_reason_is_cut_between_characters(void **state)
{
    static const char *const characters[] = { "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x9a\x87" };

    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (size_t pad = 0; pad < 4; pad++) {
            struct evidence e = { .dialable = true, .enabled = true, .n_monitors = 2 };
            struct verdict v;
            size_t width = strlen(characters[i]), n = pad;
            for (unsigned j = 0; j < 2; j++)
                e.monitors[j] = (struct monitor_evidence)FAILS("app", 3, DIAGNOSIS_WRONG_STATUS, "");
            memset(e.monitors[0].detail, 'x', pad);
            for (; n + width < VERDICT_TEXT_SIZE; n += width)
                memcpy(e.monitors[0].detail + n, characters[i], width);
            memcpy(e.monitors[1].detail, e.monitors[0].detail, VERDICT_TEXT_SIZE);
            verdict_reach(&e, NOW, &v);
            size_t whole = strlen("down: ") + pad, length = strlen(v.reason);
            assert_in_range(length, VERDICT_TEXT_SIZE - 4, VERDICT_TEXT_SIZE - 1);
            assert_int_equal((length - whole) % width, 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_long_reason_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
