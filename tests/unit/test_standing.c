#include "control/standing.h"

#include "steering/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* healthy, ejected, unknown, down, absent, drained */
#define CENSUS(...) { .at = { __VA_ARGS__ } }

static void pool_standing(void **state)
{
    (void)state;
    static const struct {
        unsigned minimum;
        bool disabled;
        struct pool_census census;
        enum pool_state expected;
        bool settled;
        const char *reason;
    } rows[] = {
        { 1, false, CENSUS(2, 0, 0, 0, 0, 0), POOL_HEALTHY, true, "2 of 2 endpoints usable" },
        { 1, false, CENSUS(1, 0, 0, 1, 0, 0), POOL_DEGRADED, true, "1 of 2 endpoints usable" },
        { 2, false, CENSUS(1, 0, 0, 1, 0, 0), POOL_CRITICAL, true, "1 of 2 endpoints usable, 2 needed" },
        { 1, false, CENSUS(0, 1, 0, 1, 0, 0), POOL_CRITICAL, true, "0 of 2 endpoints usable, 1 ejected" },
        { 1, false, CENSUS(0, 0, 2, 0, 0, 0), POOL_UNKNOWN, false, "0 of 2 endpoints usable, 2 unknown" },
        { 1, false, CENSUS(1, 0, 1, 0, 0, 0), POOL_UNKNOWN, false, "1 of 2 endpoints usable, 1 unknown" },
        { 1, false, CENSUS(1, 0, 0, 0, 0, 1), POOL_HEALTHY, true, "1 of 1 endpoints usable, 1 drained or disabled" },
        { 1, false, CENSUS(0, 0, 0, 0, 0, 2), POOL_CRITICAL, true, "0 of 0 endpoints usable, 2 drained or disabled" },
        { 1, false, { .at = { [USABLE_NEVER] = 3 }, .weightless = 2 }, POOL_CRITICAL, true, "0 of 0 endpoints usable, 1 drained or disabled, 2 of weight 0" },
        { 1, false, CENSUS(1, 0, 0, 0, 1, 0), POOL_DEGRADED, true, "1 of 2 endpoints usable, 1 without a connector" },
        { 1, false, { .at = { [USABLE_ABSENT] = 2 }, .awaited = 1 }, POOL_UNKNOWN, false, "0 of 2 endpoints usable, 2 without a connector" },
        { 1, false, { .at = { [USABLE_HEALTHY] = 1, [USABLE_ABSENT] = 2 }, .kept_out = 1 }, POOL_DEGRADED, true,
          "1 of 3 endpoints usable, 1 without a connector, 1 kept out by \"identical\"" },
        { 1, false, { .at = { [USABLE_ABSENT] = 4 }, .kept_out = 1, .held_back = 2 }, POOL_CRITICAL, true,
          "0 of 4 endpoints usable, 1 without a connector, 1 kept out by \"identical\", 2 whose connectors are drained or of weight 0" },
        { 1, false, { .at = { [USABLE_HEALTHY] = 1, [USABLE_ABSENT] = 1 }, .held_back = 1 }, POOL_DEGRADED, true,
          "1 of 2 endpoints usable, 1 whose connectors are drained or of weight 0" },
        { 1, true, CENSUS(2, 0, 0, 0, 0, 0), POOL_DISABLED, true, "disabled by the configuration" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pool pool = { .name = "europe", .enabled = !rows[i].disabled, .minimum_endpoints = rows[i].minimum };
        struct pool_standing standing;
        pool_stand(&pool, &rows[i].census, &standing);
        assert_string_equal(standing.reason, rows[i].reason);
        assert_int_equal(standing.state, rows[i].expected);
        assert_int_equal(standing.settled, rows[i].settled);
    }
}

struct expected {
    const char *type; /* NULL: nothing */
    enum severity severity;
    bool recovery;
};

static void check_announcement(bool told, const struct announcement *what, const struct expected *expected)
{
    assert_int_equal(told, expected->type != NULL);
    if (!told)
        return;
    assert_string_equal(what->type, expected->type);
    assert_int_equal(what->severity, expected->severity);
    assert_int_equal(what->recovery, expected->recovery);
}

static void pool_announcements(void **state)
{
    (void)state;
    static const struct {
        enum pool_state told, now;
        struct expected expected;
    } rows[] = {
        { POOL_UNKNOWN, POOL_HEALTHY, { "pool.healthy", SEVERITY_INFO, false } },
        { POOL_UNKNOWN, POOL_CRITICAL, { "pool.critical", SEVERITY_CRITICAL, false } },
        { POOL_HEALTHY, POOL_HEALTHY, { NULL, SEVERITY_INFO, false } },
        { POOL_HEALTHY, POOL_UNKNOWN, { NULL, SEVERITY_INFO, false } },
        { POOL_HEALTHY, POOL_DISABLED, { NULL, SEVERITY_INFO, false } },
        { POOL_HEALTHY, POOL_DEGRADED, { "pool.degraded", SEVERITY_WARNING, false } },
        { POOL_DEGRADED, POOL_CRITICAL, { "pool.critical", SEVERITY_CRITICAL, false } },
        { POOL_CRITICAL, POOL_DEGRADED, { "pool.degraded", SEVERITY_WARNING, false } },
        { POOL_CRITICAL, POOL_HEALTHY, { "pool.healthy", SEVERITY_INFO, true } },
        { POOL_DEGRADED, POOL_HEALTHY, { "pool.healthy", SEVERITY_INFO, true } },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pool_standing now = { .state = rows[i].now, .settled = rows[i].now != POOL_UNKNOWN };
        struct announcement what;
        bool told = announce_pool(rows[i].told, &now, &what);
        check_announcement(told, &what, &rows[i].expected);
    }
}

struct lb_row {
    struct pool_census europe, america, fallback;
    enum when_all_down when_all_down;
    bool europe_disabled;
    enum load_balancer_state expected;
    const char *pool; /* NULL: nowhere */
    bool settled;
    const char *reason;
};

static void check_load_balancer(const struct lb_row *row, double weight_of_america)
{
    struct pool pools[] = {
        { .name = "europe", .enabled = !row->europe_disabled, .minimum_endpoints = 1 },
        { .name = "america", .enabled = true, .minimum_endpoints = 1 },
        { .name = "spare", .enabled = true, .minimum_endpoints = 1 },
    };
    struct pool *const defaults[] = { &pools[0], &pools[1] };
    const double weights[] = { 1, weight_of_america };
    const struct pool_list list = { .pools = defaults, .weights = weights, .n = 2 };
    struct load_balancer lb = { .name = "app", .enabled = true, .fallback_pool = &pools[2], .when_all_down = row->when_all_down,
                                .steering.policy = steering_find("off") };
    struct pool_census censuses[] = { row->europe, row->america };
    struct load_balancer_standing standing;
    load_balancer_stand(&lb, &list, censuses, &row->fallback, &standing);
    assert_string_equal(standing.reason, row->reason);
    assert_int_equal(standing.state, row->expected);
    assert_int_equal(standing.settled, row->settled);
    assert_string_equal(standing.pool ? standing.pool->name : "", row->pool ? row->pool : "");
}

static void load_balancer_standing(void **state)
{
    (void)state;
    static const struct pool_census up = CENSUS(1, 0, 0, 0, 0, 0), down = CENSUS(0, 0, 0, 1, 0, 0), half = CENSUS(1, 0, 0, 1, 0, 0), unknown = CENSUS(0, 0, 1, 0, 0, 0),
                                    ejected = CENSUS(0, 1, 0, 0, 0, 0), drained = CENSUS(0, 0, 0, 0, 0, 1), absent = CENSUS(0, 0, 0, 0, 1, 0),
                                    awaited = { .at = { [USABLE_LAST_RESORT] = 2 }, .awaited = 2 };
    const struct lb_row rows[] = {
        { up, up, up, 0, false, LB_HEALTHY, "europe", true, "all pools are healthy: europe comes first, by off" },
        { half, up, up, 0, false, LB_DEGRADED, "europe", true, "pool europe is degraded (1 of 2 endpoints usable): europe comes first, by off" },
        { up, down, up, 0, false, LB_DEGRADED, "europe", true, "pool america is critical (0 of 1 endpoints usable): traffic goes to europe" },
        { down, up, up, 0, false, LB_FAILOVER, "america", true,
          "failover: pool europe is critical (0 of 1 endpoints usable): traffic goes to america" },
        { ejected, up, up, 0, false, LB_FAILOVER, "america", true,
          "failover: pool europe is critical (0 of 1 endpoints usable, 1 ejected): traffic goes to america" },
        { ejected, down, up, 0, false, LB_DEGRADED, "europe", true,
          "pool europe is critical (0 of 1 endpoints usable, 1 ejected), pool america is critical (0 of 1 endpoints usable): traffic goes to europe" },
        { unknown, up, up, 0, false, LB_FAILOVER, "america", false,
          "failover: pool europe is unknown (0 of 1 endpoints usable, 1 unknown): traffic goes to america" },
        { unknown, unknown, unknown, 0, false, LB_UNKNOWN, "europe", false, "no verdict yet: europe comes first, by off" },
        { down, up, up, 0, true, LB_HEALTHY, "america", true, "all pools are healthy: traffic goes to america" },
        { down, down, up, WHEN_ALL_DOWN_FALLBACK_POOL, false, LB_FALLBACK, "spare", true,
          "fallback: pool europe is critical (0 of 1 endpoints usable), pool america is critical (0 of 1 endpoints usable): "
          "traffic goes to the fallback pool spare, health ignored" },
        { drained, down, drained, WHEN_ALL_DOWN_FALLBACK_POOL, false, LB_DOWN, NULL, true,
          "down: pool europe is critical (0 of 0 endpoints usable, 1 drained or disabled), pool america is critical (0 of 1 endpoints usable): "
          "requests are answered with 503" },
        { down, down, up, WHEN_ALL_DOWN_503, false, LB_DOWN, NULL, true,
          "down: pool europe is critical (0 of 1 endpoints usable), pool america is critical (0 of 1 endpoints usable): requests are answered with 503" },
        { drained, drained, drained, WHEN_ALL_DOWN_LEAST_BAD, false, LB_DOWN, NULL, true,
          "down: pool europe is critical (0 of 0 endpoints usable, 1 drained or disabled), pool america is critical (0 of 0 endpoints usable, "
          "1 drained or disabled): requests are answered with 503" },
        { absent, absent, up, WHEN_ALL_DOWN_LEAST_BAD, false, LB_DOWN, NULL, true,
          "down: pool europe is critical (0 of 1 endpoints usable, 1 without a connector), pool america is critical (0 of 1 endpoints usable, 1 without a "
          "connector): requests are answered with 503" },
        { absent, down, up, WHEN_ALL_DOWN_LEAST_BAD, false, LB_FALLBACK, "america", true,
          "fallback: pool europe is critical (0 of 1 endpoints usable, 1 without a connector), pool america is critical (0 of 1 endpoints usable): "
          "traffic goes to the least bad endpoint" },
        { awaited, down, drained, WHEN_ALL_DOWN_LEAST_BAD, false, LB_UNKNOWN, "europe", false,
          "no verdict yet: names are being resolved, or connectors are on their way" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_load_balancer(&rows[i], 0.5);
}

static void where_requests_go_is_the_policys_matter(void **state)
{
    (void)state;
    struct pool pools[] = { { .name = "europe", .enabled = true }, { .name = "america", .enabled = true }, { .name = "asia", .enabled = true } };
    struct pool *const defaults[] = { &pools[0], &pools[1], &pools[2] };
    const struct pool_list list = { .pools = defaults, .n = 3 };
    const struct {
        const char *policy;
        unsigned up[3];
        const char *reason;
    } rows[] = {
        { "random", { 1, 1, 1 }, "all pools are healthy: random steers between 3 pools" },
        { "random", { 0, 1, 1 }, "failover: pool europe is critical (0 of 1 endpoints usable): random steers between 2 pools" },
        { "random", { 0, 0, 1 }, "failover: pool europe is critical (0 of 1 endpoints usable), pool america is critical (0 of 1 endpoints usable): traffic goes to asia" },
        { "geo", { 0, 1, 1 }, "failover: pool europe is critical (0 of 1 endpoints usable): america comes first, by geo" },
        { "proximity", { 1, 1, 1 }, "all pools are healthy: proximity steers between 3 pools" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct load_balancer lb = { .name = "app", .enabled = true, .steering.policy = steering_find(rows[i].policy) };
        struct pool_census censuses[3] = { 0 };
        struct load_balancer_standing standing;
        for (unsigned p = 0; p < 3; p++)
            censuses[p].at[rows[i].up[p] ? USABLE_HEALTHY : USABLE_LAST_RESORT] = 1;
        load_balancer_stand(&lb, &list, censuses, NULL, &standing);
        assert_string_equal(standing.reason, rows[i].reason);
    }
}

static void a_pool_without_weight_is_none(void **state)
{
    (void)state;
    static const struct pool_census up = CENSUS(1, 0, 0, 0, 0, 0), down = CENSUS(0, 0, 0, 1, 0, 0);
    const struct lb_row rows[] = {
        { up, down, up, 0, false, LB_HEALTHY, "europe", true, "all pools are healthy: traffic goes to europe" },
        { down, up, up, WHEN_ALL_DOWN_FALLBACK_POOL, false, LB_FALLBACK, "spare", true,
          "fallback: pool europe is critical (0 of 1 endpoints usable): traffic goes to the fallback pool spare, health ignored" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_load_balancer(&rows[i], 0);
}

static void a_reason_that_is_too_long_is_cut(void **state)
{
    (void)state;
    char name[200];
    memset(name, 'p', sizeof name);
    name[sizeof name - 1] = '\0';
    struct pool pools[] = { { .name = name, .enabled = true, .minimum_endpoints = 1 }, { .name = name, .enabled = true, .minimum_endpoints = 1 },
                            { .name = "last", .enabled = true, .minimum_endpoints = 1 } };
    struct pool *const defaults[] = { &pools[0], &pools[1], &pools[2] };
    const struct pool_list list = { .pools = defaults, .n = 3 };
    struct load_balancer lb = { .name = "app", .enabled = true, .steering.policy = steering_find("off") };
    struct load_balancer_standing standing;
    struct pool_census censuses[] = { CENSUS(0, 0, 0, 1, 0, 0), CENSUS(0, 0, 0, 1, 0, 0), CENSUS(1, 0, 0, 0, 0, 0) };
    load_balancer_stand(&lb, &list, censuses, NULL, &standing);
    assert_int_equal(strlen(standing.reason), sizeof standing.reason - 1);
    censuses[2] = (struct pool_census)CENSUS(0, 0, 0, 1, 0, 0);
    load_balancer_stand(&lb, &list, censuses, NULL, &standing);
    assert_int_equal(strlen(standing.reason), sizeof standing.reason - 1);
}

static void the_worse_of_two(void **state)
{
    static const enum load_balancer_state order[] = { LB_HEALTHY, LB_DEGRADED, LB_UNKNOWN, LB_FAILOVER, LB_FALLBACK, LB_DOWN, LB_DISABLED };
    (void)state;
    for (size_t i = 0; i < COUNT(order); i++)
        for (size_t k = 0; k < COUNT(order); k++)
            assert_int_equal(load_balancer_worse(order[i], order[k]), order[i > k ? i : k]);
}

static void load_balancer_announcements(void **state)
{
    (void)state;
    static const struct {
        enum load_balancer_state told, now;
        bool unsettled;
        struct expected expected;
    } rows[] = {
        { LB_UNKNOWN, LB_HEALTHY, false, { NULL, SEVERITY_INFO, false } },
        { LB_UNKNOWN, LB_FAILOVER, true, { NULL, SEVERITY_INFO, false } },
        { LB_UNKNOWN, LB_FAILOVER, false, { "load_balancer.failover", SEVERITY_WARNING, false } },
        { LB_HEALTHY, LB_DEGRADED, false, { NULL, SEVERITY_INFO, false } },
        { LB_DEGRADED, LB_FALLBACK, false, { "load_balancer.fallback", SEVERITY_CRITICAL, false } },
        { LB_FALLBACK, LB_FALLBACK, false, { NULL, SEVERITY_INFO, false } },
        { LB_FALLBACK, LB_DOWN, false, { "load_balancer.down", SEVERITY_CRITICAL, false } },
        { LB_DOWN, LB_FAILOVER, false, { "load_balancer.failover", SEVERITY_WARNING, false } },
        { LB_FAILOVER, LB_DEGRADED, false, { "load_balancer.recovered", SEVERITY_INFO, true } },
        { LB_FALLBACK, LB_HEALTHY, false, { "load_balancer.recovered", SEVERITY_INFO, true } },
        { LB_FAILOVER, LB_DISABLED, false, { NULL, SEVERITY_INFO, false } },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct load_balancer_standing now = { .state = rows[i].now, .settled = !rows[i].unsettled };
        struct announcement what;
        bool told = announce_load_balancer(rows[i].told, &now, &what);
        check_announcement(told, &what, &rows[i].expected);
    }
}

static void endpoint_announcements(void **state)
{
    (void)state;
    static const struct {
        enum verdict_state told, now;
        struct expected expected;
    } rows[] = {
        { VERDICT_UNKNOWN, VERDICT_HEALTHY, { "endpoint.healthy", SEVERITY_INFO, false } },
        { VERDICT_UNKNOWN, VERDICT_DOWN, { "endpoint.unhealthy", SEVERITY_WARNING, false } },
        { VERDICT_UNKNOWN, VERDICT_DRAINED, { "endpoint.drained", SEVERITY_INFO, false } },
        { VERDICT_HEALTHY, VERDICT_UNKNOWN, { NULL, SEVERITY_INFO, false } },
        { VERDICT_HEALTHY, VERDICT_EJECTED, { "endpoint.unhealthy", SEVERITY_WARNING, false } },
        { VERDICT_EJECTED, VERDICT_DOWN, { "endpoint.unhealthy", SEVERITY_WARNING, false } },
        { VERDICT_DOWN, VERDICT_EJECTED, { NULL, SEVERITY_INFO, false } },
        { VERDICT_DOWN, VERDICT_HEALTHY, { "endpoint.healthy", SEVERITY_INFO, true } },
        { VERDICT_EJECTED, VERDICT_HEALTHY, { "endpoint.healthy", SEVERITY_INFO, true } },
        { VERDICT_DOWN, VERDICT_DRAINED, { "endpoint.drained", SEVERITY_INFO, true } },
        { VERDICT_DRAINED, VERDICT_HEALTHY, { "endpoint.healthy", SEVERITY_INFO, false } },
        { VERDICT_DRAINED, VERDICT_DISABLED, { "endpoint.drained", SEVERITY_INFO, false } },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct announcement what;
        bool told = announce_endpoint(rows[i].told, rows[i].now, &what);
        check_announcement(told, &what, &rows[i].expected);
    }
}

/* --- tunnels --- */

#define SEEN(verdict, why) { .name = "m", .health = (verdict), .diagnosis = (why), .at = 1 }

static void tunnel_opinions(void **state)
{
    (void)state;
    static const struct {
        unsigned n;
        struct monitor_evidence monitors[2];
        bool traffic_failed, traffic_passed;
        enum tunnel_opinion expected;
    } rows[] = {
        { 0, { { 0 } }, false, false, OPINION_NONE },
        { 0, { { 0 } }, false, true, OPINION_ALIVE },
        { 0, { { 0 } }, true, false, OPINION_INACTIVE },
        { 1, { { .name = "m" } }, false, true, OPINION_NONE }, /* the monitor will say */
        { 1, { SEEN(HEALTH_UNKNOWN, DIAGNOSIS_OK) }, false, false, OPINION_NONE },
        { 1, { SEEN(HEALTH_UP, DIAGNOSIS_OK) }, false, false, OPINION_ALIVE },
        { 1, { SEEN(HEALTH_UP, DIAGNOSIS_OK) }, true, false, OPINION_INACTIVE },
        { 1, { SEEN(HEALTH_UP, DIAGNOSIS_TUNNEL_INACTIVE) }, false, false, OPINION_NONE }, /* failing, not yet down */
        { 1, { SEEN(HEALTH_DOWN, DIAGNOSIS_TUNNEL_INACTIVE) }, false, true, OPINION_INACTIVE },
        { 1, { SEEN(HEALTH_DOWN, DIAGNOSIS_OK) }, false, false, OPINION_NONE }, /* passing, not yet up */
        { 1, { SEEN(HEALTH_DOWN, DIAGNOSIS_ORIGIN_DOWN) }, false, false, OPINION_ALIVE },
        { 1, { SEEN(HEALTH_DOWN, DIAGNOSIS_NO_INGRESS_RULE) }, false, false, OPINION_ALIVE },
        { 1, { SEEN(HEALTH_DOWN, DIAGNOSIS_UNREACHABLE) }, false, false, OPINION_NONE },
        { 2, { SEEN(HEALTH_UP, DIAGNOSIS_OK), SEEN(HEALTH_DOWN, DIAGNOSIS_TUNNEL_INACTIVE) }, false, false, OPINION_INACTIVE },
        { 2, { SEEN(HEALTH_DOWN, DIAGNOSIS_UNREACHABLE), SEEN(HEALTH_UP, DIAGNOSIS_OK) }, false, false, OPINION_ALIVE },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct evidence e = { .n_monitors = rows[i].n };
        memcpy(e.monitors, rows[i].monitors, sizeof rows[i].monitors);
        assert_int_equal(tunnel_opinion_of(&e, rows[i].traffic_failed, rows[i].traffic_passed), rows[i].expected);
    }
}

static void tunnel_status(void **state)
{
    (void)state;
    static const struct {
        enum tunnel_status before;
        struct tunnel_tally tally;
        enum tunnel_status expected;
    } rows[] = {
        { TUNNEL_UNKNOWN, { 0, 0 }, TUNNEL_UNKNOWN }, { TUNNEL_UNKNOWN, { 1, 0 }, TUNNEL_HEALTHY }, { TUNNEL_UNKNOWN, { 0, 1 }, TUNNEL_DOWN },
        { TUNNEL_HEALTHY, { 0, 0 }, TUNNEL_HEALTHY }, { TUNNEL_HEALTHY, { 1, 1 }, TUNNEL_DEGRADED }, { TUNNEL_DOWN, { 0, 0 }, TUNNEL_DOWN },
        { TUNNEL_DOWN, { 2, 0 }, TUNNEL_HEALTHY },    { TUNNEL_DEGRADED, { 0, 2 }, TUNNEL_DOWN },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(tunnel_stand(rows[i].before, rows[i].tally), rows[i].expected);
}

static void tunnel_announcements(void **state)
{
    (void)state;
    struct announcement what;
    assert_false(announce_tunnel(TUNNEL_DOWN, TUNNEL_DOWN, &what));
    assert_true(announce_tunnel(TUNNEL_UNKNOWN, TUNNEL_HEALTHY, &what));
    assert_string_equal(what.type, "tunnel.healthy");
    assert_false(what.recovery);
    assert_true(announce_tunnel(TUNNEL_HEALTHY, TUNNEL_DOWN, &what));
    assert_string_equal(what.type, "tunnel.inactive");
    assert_int_equal(what.severity, SEVERITY_CRITICAL);
    assert_true(announce_tunnel(TUNNEL_DOWN, TUNNEL_DEGRADED, &what));
    assert_string_equal(what.type, "tunnel.degraded");
    assert_true(announce_tunnel(TUNNEL_DEGRADED, TUNNEL_HEALTHY, &what));
    assert_true(what.recovery);
}

static void certificates(void **state)
{
    (void)state;
    const nsec_t day = INT64_C(86400) * NSEC_PER_SEC, now = 20000 * day;
    static const struct {
        int days;
        enum certificate_standing expected;
    } rows[] = { { 90, CERTIFICATE_FINE }, { 15, CERTIFICATE_FINE }, { 14, CERTIFICATE_SOON }, { 4, CERTIFICATE_SOON }, { 3, CERTIFICATE_VERY_SOON },
                 { 1, CERTIFICATE_VERY_SOON }, { 0, CERTIFICATE_EXPIRED }, { -5, CERTIFICATE_EXPIRED } };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(certificate_stand(now + rows[i].days * day, now), rows[i].expected);

    struct announcement what;
    assert_false(announce_certificate(CERTIFICATE_FINE, CERTIFICATE_FINE, &what));
    assert_false(announce_certificate(CERTIFICATE_SOON, CERTIFICATE_SOON, &what));
    assert_true(announce_certificate(CERTIFICATE_FINE, CERTIFICATE_SOON, &what));
    assert_string_equal(what.type, "certificate.expiring");
    assert_int_equal(what.severity, SEVERITY_WARNING);
    assert_true(announce_certificate(CERTIFICATE_SOON, CERTIFICATE_VERY_SOON, &what));
    assert_int_equal(what.severity, SEVERITY_CRITICAL);
    assert_true(announce_certificate(CERTIFICATE_EXPIRED, CERTIFICATE_FINE, &what));
    assert_true(what.recovery);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_standing),
        cmocka_unit_test(pool_announcements),
        cmocka_unit_test(load_balancer_standing),
        cmocka_unit_test(a_reason_that_is_too_long_is_cut),
        cmocka_unit_test(where_requests_go_is_the_policys_matter),
        cmocka_unit_test(a_pool_without_weight_is_none),
        cmocka_unit_test(the_worse_of_two),
        cmocka_unit_test(load_balancer_announcements),
        cmocka_unit_test(endpoint_announcements),
        cmocka_unit_test(tunnel_opinions),
        cmocka_unit_test(tunnel_status),
        cmocka_unit_test(tunnel_announcements),
        cmocka_unit_test(certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
