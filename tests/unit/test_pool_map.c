/* Which list of pools is for a client: the most specific map that has it. */
#include "balance/pool_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { DEFAULTS, WIDE, NARROW, V6, CALIFORNIA, US, GERMANY, WNAM, WEU, LISTS };

static struct pool_list lists[LISTS];
static struct cidr wide[2], narrow[1], v6[1];
static const struct client_map clients[] = { { { wide, 2 }, WIDE }, { { narrow, 1 }, NARROW }, { { v6, 1 }, V6 } };
static const struct place_map subdivisions[] = { { "US-CA", CALIFORNIA } };
static const struct place_map countries[] = { { "DE", GERMANY }, { "US", US } };
static const struct place_map regions[] = { { "WEU", WEU }, { "WNAM", WNAM } };
static const struct load_balancer lb = {
    .lists = lists, .n_lists = LISTS, .client_maps = clients, .n_client_maps = 3,
    .subdivision_maps = subdivisions, .n_subdivision_maps = 1, .country_maps = countries, .n_country_maps = 2,
    .region_maps = regions, .n_region_maps = 2,
};

static const struct row {
    const char *client, *country, *subdivision;
    unsigned list;
    enum pool_map_kind by;
} rows[] = {
    { "192.0.2.1", "", "", DEFAULTS, MAP_NONE },
    { NULL, "", "", DEFAULTS, MAP_NONE },
    { "192.0.2.1", "JP", "13", DEFAULTS, MAP_NONE },
    { "192.0.2.1", "US", "CA", CALIFORNIA, MAP_SUBDIVISION },
    { "192.0.2.1", "US", "WA", US, MAP_COUNTRY },
    { "192.0.2.1", "US", "", US, MAP_COUNTRY },
    { "192.0.2.1", "DE", "BE", GERMANY, MAP_COUNTRY },
    { "192.0.2.1", "FR", "", WEU, MAP_REGION },
    { "192.0.2.1", "MX", "", WNAM, MAP_REGION },
    { NULL, "MX", "", WNAM, MAP_REGION },
    { "192.0.2.1", "CA", "ON", DEFAULTS, MAP_NONE },
    { "10.9.9.9", "US", "CA", WIDE, MAP_CLIENT },
    { "::ffff:10.9.9.9", "US", "CA", WIDE, MAP_CLIENT },
    { "10.1.9.9", "US", "CA", NARROW, MAP_CLIENT },
    { "172.16.1.1", "", "", WIDE, MAP_CLIENT },
    { "2001:db8::7", "DE", "", V6, MAP_CLIENT },
    { "2001:db9::7", "DE", "", GERMANY, MAP_COUNTRY },
};

static void test_table(void **state)
{
    (void)state;
    assert_true(cidr_parse("10.0.0.0/8", &wide[0]) && cidr_parse("172.16.0.0/12", &wide[1]) && cidr_parse("10.1.0.0/16", &narrow[0]) &&
                cidr_parse("2001:db8::/32", &v6[0]));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct address client;
        struct place place = place_unknown;
        enum pool_map_kind by;
        strcpy(place.country, rows[i].country);
        strcpy(place.subdivision, rows[i].subdivision);
        place.region = (uint8_t)region_of(place.country, place.subdivision);
        assert_true(!rows[i].client || address_parse(rows[i].client, 1, &client));
        const struct pool_list *list = load_balancer_pools_for(&lb, rows[i].client ? &client : NULL, &place, &by);
        if (list != &lists[rows[i].list] || by != rows[i].by)
            fail_msg("row %zu: list %td by %s", i, list - lists, pool_map_key(by));
    }
    assert_true(load_balancer_asks_for_place(&lb));
}

static void without_maps_the_default(void **state)
{
    (void)state;
    static const struct load_balancer plain = { .lists = lists, .n_lists = 1 };
    struct address client;
    enum pool_map_kind by;
    assert_true(address_parse("192.0.2.1", 1, &client));
    assert_ptr_equal(load_balancer_pools_for(&plain, &client, &place_unknown, &by), &lists[0]);
    assert_int_equal(by, MAP_NONE);
    assert_false(load_balancer_asks_for_place(&plain));
}

static void pools_that_are_used(void **state)
{
    (void)state;
    struct pool pools[4] = { 0 };
    struct pool *defaults[] = { &pools[0] }, *mapped[] = { &pools[1] };
    struct pool_list both[] = { { .pools = defaults, .n = 1 }, { .pools = mapped, .n = 1 } };
    struct load_balancer one = { .default_pools = defaults, .n_default_pools = 1, .fallback_pool = &pools[2], .lists = both, .n_lists = 2 };
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(load_balancer_uses_pool(&one, &pools[i]), i < 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(without_maps_the_default),
        cmocka_unit_test(pools_that_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
