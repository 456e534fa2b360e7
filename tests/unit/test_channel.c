#include "alerts/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void types_are_found_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; channel_types[i]; i++) {
        assert_ptr_equal(channel_type_find(channel_types[i]->name), channel_types[i]);
        assert_true(i == 0 || strcmp(channel_types[i - 1]->name, channel_types[i]->name) < 0);
    }
    assert_null(channel_type_find("pigeon"));
}

static void patterns_match_whole_types(void **state)
{
    static const struct {
        const char *pattern, *type;
        bool matches;
    } cases[] = {
        { "tunnel.*", "tunnel.inactive", true },
        { "tunnel.*", "tunnel.", true },
        { "tunnel.*", "tunnel", false },
        { "tunnel.*", "tunnels.x", false },
        { "tunnel.inactive", "tunnel.inactive", true },
        { "tunnel.inactive", "tunnel.inactive2", false },
        { "*", "anything", true },
        { "*", "", true },
        { "", "", true },
        { "", "x", false },
        { "*.healthy", "pool.healthy", true },
        { "*.healthy", "pool.unhealthy", false },
        { "*healthy", "pool.unhealthy", true },
        { "*.*", "pool", false },
        { "p*l.*y", "pool.healthy", true },
        { "p*l.*z", "pool.healthy", false },
        { "**a**b**", "xxaxxbxx", true },
        { "*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (event_type_matches(cases[i].pattern, cases[i].type) != cases[i].matches)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].type);
}

static void channels_get_what_they_want(void **state)
{
    static const char *const tunnels_and_pools[] = { "tunnel.*", "pool.*" };
    static const struct {
        const char *type;
        enum severity severity;
        bool recovery, by_default, by_pattern;
    } cases[] = {
        { "tunnel.inactive", SEVERITY_CRITICAL, false, true, true },
        { "tunnel.degraded", SEVERITY_WARNING, false, true, true },
        { "tunnel.healthy", SEVERITY_INFO, true, true, true },
        { "tunnel.healthy", SEVERITY_INFO, false, false, true },
        { "endpoint.unhealthy", SEVERITY_WARNING, false, true, false },
        { "endpoint.healthy", SEVERITY_INFO, true, true, false },
        { "config.reloaded", SEVERITY_INFO, false, false, false },
        { "config.rejected", SEVERITY_WARNING, false, true, false },
    };
    struct channel_conf by_default = { .name = "a" }, by_pattern = { .name = "b", .events = { tunnels_and_pools, 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct event event = { .type = cases[i].type, .severity = cases[i].severity, .recovery = cases[i].recovery };
        if (channel_wants(&by_default, &event) != cases[i].by_default)
            fail_msg("%s by default", cases[i].type);
        if (channel_wants(&by_pattern, &event) != cases[i].by_pattern)
            fail_msg("%s by pattern", cases[i].type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_found_by_name),
        cmocka_unit_test(patterns_match_whole_types),
        cmocka_unit_test(channels_get_what_they_want),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
