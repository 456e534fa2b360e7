/* A tunnel's status over time: what is shown, what is told and when, on a clock of ours. */
#include "control/tunnel_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Steps are "SECOND:CONNECTORS/CONNECTIONS" and, with a "!", connections that are sick; what is told is looked for each 100 ms. */
struct scenario {
    const char *name;
    const char *before; /* of a former process: "healthy", "down told", "never"; NULL: made now */
    const char *steps;
    const char *told;   /* "SECOND TYPE[ recovery]", in tenths where it isn't whole */
    const char *status; /* at the end */
};

static const struct scenario scenarios[] = {
    { "never connected: nothing is told", NULL, "100:0/0", "", "inactive" },
    { "four connections a second apart are one event", NULL, "1:1/1 2:1/2 3:1/3 4:1/4 30:1/4", "4 tunnel.healthy", "healthy" },
    { "fewer than expected, for good", NULL, "1:1/2 30:1/2", "6 tunnel.degraded", "degraded" },
    { "they come slowly: told in the end", NULL, "1:1/1 5:1/2 9:1/3 13:2/4 17:2/5 30:2/6", "21 tunnel.degraded", "degraded" },
    { "the last connection's end is told at once", NULL, "1:1/4 10:0/0 20:0/0", "1 tunnel.healthy, 10 tunnel.inactive", "down" },
    { "degraded for a moment is not told", NULL, "1:1/4 10:1/3 12:1/4 30:1/4", "1 tunnel.healthy", "healthy" },
    { "degraded on the way down", NULL, "1:1/4 10:1/2 11:0/0 20:0/0", "1 tunnel.healthy, 11 tunnel.inactive", "down" },
    { "lasting loss of one", NULL, "1:1/4 10:1/3 40:1/3", "1 tunnel.healthy, 15 tunnel.degraded", "degraded" },
    { "back from degraded", NULL, "1:1/4 10:1/3 40:1/4 50:1/4", "1 tunnel.healthy, 15 tunnel.degraded, 40 tunnel.healthy recovery", "healthy" },
    { "back from down, one after the other", NULL, "1:1/4 10:0/0 20:1/1 21:1/2 22:1/3 23:1/4 40:1/4",
      "1 tunnel.healthy, 10 tunnel.inactive, 23 tunnel.healthy recovery", "healthy" },
    { "back from down, and not all of them", NULL, "1:1/4 10:0/0 20:1/2 40:1/2", "1 tunnel.healthy, 10 tunnel.inactive, 25 tunnel.degraded", "degraded" },
    { "a replica comes", NULL, "1:1/4 10:2/5 11:2/6 12:2/7 13:2/8 30:2/8", "1 tunnel.healthy", "healthy" },
    { "a replica goes", NULL, "1:2/8 10:1/4 30:1/4", "1 tunnel.healthy", "healthy" },
    { "one that carries no requests", NULL, "1:1/4 10:1/4!1 40:1/4", "1 tunnel.healthy, 15 tunnel.degraded, 40 tunnel.healthy recovery", "healthy" },

    { "a restart that connectors survive", "healthy", "0:0/0 15:1/1 16:1/2 17:1/3 18:1/4 100:1/4", "", "healthy" },
    { "a restart that they don't", "healthy", "0:0/0 100:0/0", "60 tunnel.inactive", "down" },
    { "a restart that some survive", "healthy", "0:0/0 15:1/2 100:1/2", "60 tunnel.degraded", "degraded" },
    { "degraded again after it", "healthy", "0:0/0 15:1/4 70:1/3 100:1/3", "75 tunnel.degraded", "degraded" },
    { "lost again within the grace", "healthy", "0:0/0 10:1/4 20:0/0 100:0/0", "20 tunnel.inactive", "down" },
    { "down before, down after: known", "down told", "0:0/0 100:0/0", "", "down" },
    { "down before, back after", "down told", "0:0/0 10:1/4 100:1/4", "10 tunnel.healthy recovery", "healthy" },
    { "never connected before", "never", "0:0/0 100:0/0", "", "inactive" },
};

static void begin(struct tunnel_standing *s, const char *before)
{
    tunnel_standing_init(s, 1000);
    if (!before)
        return;
    bool down = strcmp(before, "down told") == 0, healthy = strcmp(before, "healthy") == 0;
    s->ever = down || healthy;
    s->status = s->told = down ? TUNNEL_DOWN : healthy ? TUNNEL_HEALTHY : TUNNEL_INACTIVE;
    tunnel_standing_resume(s, 0, 2000);
}

static void look(struct tunnel_standing *s, nsec_t now, char *told, size_t size)
{
    enum tunnel_status from;
    struct announcement what;
    size_t n = strlen(told);
    if (!tunnel_standing_tell(s, now, &from, &what))
        return;
    assert_true(from != s->told);
    snprintf(told + n, size - n, "%s%g %s%s", n ? ", " : "", nsec_to_seconds(now), what.type, what.recovery ? " recovery" : "");
}

static void run(const struct scenario *scenario)
{
    struct tunnel_standing s;
    char told[512] = "";
    nsec_t now = 0;
    begin(&s, scenario->before);
    for (const char *p = scenario->steps; *p; p += strcspn(p, " "), p += *p == ' ') {
        unsigned at, connectors, connections, sick = 0;
        assert_true(sscanf(p, "%u:%u/%u!%u", &at, &connectors, &connections, &sick) >= 3);
        for (; now < (nsec_t)at * NSEC_PER_SEC; now += 100 * NSEC_PER_MSEC)
            look(&s, now, told, sizeof told);
        struct tunnel_count count = { .connectors = connectors, .connections = connections, .sick = sick, .expected = 4 };
        tunnel_standing_count(&s, &count, now, now);
        look(&s, now, told, sizeof told);
    }
    if (strcmp(told, scenario->told) != 0 || strcmp(tunnel_status_name(s.status), scenario->status) != 0)
        fail_msg("%s: told \"%s\", is %s", scenario->name, told, tunnel_status_name(s.status));
}

static void scenarios_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        run(&scenarios[i]);
}

static void says_why(void **state)
{
    struct tunnel_standing s;
    (void)state;
    tunnel_standing_init(&s, 5);
    assert_string_equal(s.reason, "no connector has ever connected");
    struct tunnel_count some = { .connectors = 2, .connections = 5, .sick = 1, .expected = 4 };
    tunnel_standing_count(&s, &some, 1, 10);
    assert_string_equal(s.reason, "5 of 8 connections that 2 connectors should have, 1 of them carries no requests");
    assert_true(s.since == 10 && s.connected_at == 10 && s.lost_at == 0);
    struct tunnel_count none = { .expected = 4, .last_end = "closed by the connector" };
    tunnel_standing_count(&s, &none, 2, 20);
    assert_string_equal(s.reason, "no connector is connected; the last connection ended: closed by the connector");
    assert_true(s.since == 20 && s.connected_at == 0 && s.lost_at == 20);
}

static void awaits_connectors_after_a_start(void **state)
{
    struct tunnel_standing s;
    (void)state;
    begin(&s, "healthy");
    assert_int_equal(s.status, TUNNEL_DOWN); /* not inactive: it was connected */
    assert_true(tunnel_standing_is_expected(&s, TUNNEL_GRACE - 1));
    assert_false(tunnel_standing_is_expected(&s, TUNNEL_GRACE));
    struct tunnel_count one = { .connectors = 1, .connections = 1, .expected = 4 };
    tunnel_standing_count(&s, &one, 5, 5);
    assert_false(tunnel_standing_is_expected(&s, 6));
    begin(&s, "down told");
    assert_false(tunnel_standing_is_expected(&s, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenarios_hold),
        cmocka_unit_test(says_why),
        cmocka_unit_test(awaits_connectors_after_a_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
