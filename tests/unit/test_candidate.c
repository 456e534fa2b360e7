/* Who may be sent to and how gladly, and what that makes of a pool. */
#include "pool_under_test.h"

/* What can be said of one endpoint. */
struct circumstances {
    enum health health;
    enum admin_state admin;
    bool disabled; /* by the file */
    bool no_address;
    bool ejected;
    bool unwatched; /* the pool has no monitors */
    enum { NO_EDGE, NO_TUNNEL, AWAITED, UNCONNECTED, CONNECTED } tunnel;
};

static const struct {
    const char *name;
    struct circumstances given;
    enum usability expected;
} usabilities[] = {
    { "up", { .health = HEALTH_UP }, USABLE_HEALTHY },
    { "up, ejected", { .health = HEALTH_UP, .ejected = true }, USABLE_EJECTED },
    { "unknown", { .health = HEALTH_UNKNOWN }, USABLE_UNKNOWN },
    { "unknown, ejected", { .health = HEALTH_UNKNOWN, .ejected = true }, USABLE_LAST_RESORT },
    { "down", { .health = HEALTH_DOWN }, USABLE_LAST_RESORT },
    { "down, ejected", { .health = HEALTH_DOWN, .ejected = true }, USABLE_LAST_RESORT },
    { "up, no address", { .health = HEALTH_UP, .no_address = true }, USABLE_LAST_RESORT },
    { "no monitor", { .unwatched = true }, USABLE_HEALTHY },
    { "no monitor, down from before", { .health = HEALTH_DOWN, .unwatched = true }, USABLE_HEALTHY },
    { "no monitor, ejected", { .unwatched = true, .ejected = true }, USABLE_EJECTED },
    { "no monitor, no address", { .unwatched = true, .no_address = true }, USABLE_LAST_RESORT },
    { "drained", { .health = HEALTH_UP, .admin = ADMIN_DRAINED }, USABLE_NEVER },
    { "disabled by the operator", { .health = HEALTH_UP, .admin = ADMIN_DISABLED }, USABLE_NEVER },
    { "disabled by the file", { .health = HEALTH_UP, .disabled = true }, USABLE_NEVER },
    { "no such tunnel", { .health = HEALTH_UP, .tunnel = NO_TUNNEL }, USABLE_ABSENT },
    { "no connector", { .health = HEALTH_UP, .tunnel = UNCONNECTED }, USABLE_ABSENT },
    { "no connector yet", { .health = HEALTH_UP, .tunnel = AWAITED }, USABLE_ABSENT },
    { "no connector, nor monitor", { .unwatched = true, .tunnel = UNCONNECTED }, USABLE_ABSENT },
    { "no connector, drained", { .admin = ADMIN_DRAINED, .tunnel = UNCONNECTED }, USABLE_NEVER },
    { "a connector", { .health = HEALTH_UP, .tunnel = CONNECTED }, USABLE_HEALTHY },
    { "a connector, but down", { .health = HEALTH_DOWN, .tunnel = CONNECTED }, USABLE_LAST_RESORT },
    { "a connector, kept out for its rules", { .health = HEALTH_UP, .no_address = true, .tunnel = CONNECTED }, USABLE_ABSENT },
    { "drained and down", { .health = HEALTH_DOWN, .admin = ADMIN_DRAINED }, USABLE_NEVER },
};

static void give_tunnel(struct endpoint *e, const struct circumstances *c)
{
    if (c->tunnel == NO_EDGE)
        return;
    e->kind = ENDPOINT_EDGE;
    if (c->tunnel == NO_TUNNEL)
        return;
    e->edge_tunnel = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
    atomic_store(&e->edge_tunnel->status, c->tunnel == AWAITED ? TUNNEL_UNKNOWN : c->tunnel == CONNECTED ? TUNNEL_HEALTHY : TUNNEL_DOWN);
    atomic_store(&e->edge_tunnel->usable, c->tunnel == CONNECTED);
}

static void apply(struct pool_under_test *p, size_t i, const struct circumstances *c)
{
    give_tunnel(&p->endpoints[i], c);
    endpoint_set_health(live_of(p, i), c->health, START);
    endpoint_set_admin(live_of(p, i), c->admin, START);
    p->endpoints[i].enabled = !c->disabled;
    atomic_store(&live_of(p, i)->dialable, !c->no_address);
    if (c->unwatched)
        p->pool.n_monitors = 0;
    if (c->ejected)
        pool_eject(p, i, REASON_RESET, START);
}

static void test_usability(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof usabilities / sizeof *usabilities; i++) {
        struct pool_under_test *p = pool_new(1);
        apply(p, 0, &usabilities[i].given);
        enum usability seen = endpoint_usability(&p->endpoints[0], START);
        if (seen != usabilities[i].expected)
            fail_msg("%s: %u", usabilities[i].name, seen);
        pool_free(p);
    }
}

static void test_an_ejection_ends_by_the_clock(void **state)
{
    struct pool_under_test *p = pool_new(1);

    (void)state;
    pool_eject(p, 0, REASON_RESET, START);
    assert_int_equal(endpoint_usability(&p->endpoints[0], START + 10 * SECOND - 1), USABLE_EJECTED);
    assert_int_equal(endpoint_usability(&p->endpoints[0], START + 10 * SECOND), USABLE_HEALTHY);
    pool_free(p);
}

/* --- weight --- */

static void test_the_operators_weight_beats_the_files(void **state)
{
    struct pool_under_test *p = pool_new(1);

    (void)state;
    p->endpoints[0].weight = 0.5;
    assert_true(endpoint_weight(&p->endpoints[0], START, true) == 0.5);
    atomic_store(&live_of(p, 0)->weight_override, 2.0);
    assert_true(endpoint_weight(&p->endpoints[0], START, true) == 2.0);
    atomic_store(&live_of(p, 0)->weight_override, 0.0);
    assert_true(endpoint_weight(&p->endpoints[0], START, true) == 0);
    atomic_store(&live_of(p, 0)->weight_override, (double)NAN);
    assert_true(endpoint_weight(&p->endpoints[0], START, true) == 0.5);
    pool_free(p);
}

static void test_weight_by_connections(void **state)
{
    static const struct { unsigned scaling; uint32_t usable; double weight; } rows[] = {
        { 0, 8, 3 }, { 4, 4, 3 }, { 4, 8, 6 }, { 4, 1, 0.75 }, { 100, 1, 0.03 },
        { 4, 0, 3 }, /* absent, which is not the same as of no weight */
    };
    struct pool_under_test *p = pool_new(2);

    (void)state;
    give_tunnel(&p->endpoints[0], &(struct circumstances){ .tunnel = CONNECTED });
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        p->pool.connection_scaling = rows[i].scaling;
        p->endpoints[0].weight = p->endpoints[1].weight = 3;
        atomic_store(&p->endpoints[0].edge_tunnel->usable, rows[i].usable);
        assert_true(fabs(endpoint_weight(&p->endpoints[0], START, true) - rows[i].weight) < 1e-9);
        assert_true(endpoint_weight(&p->endpoints[1], START, true) == 3); /* it is no tunnel */
    }
    assert_int_equal(endpoint_usability(&p->endpoints[0], START), USABLE_ABSENT);
    pool_free(p);
}

static void test_slow_start(void **state)
{
    static const struct { nsec_t after; double share; } rows[] = {
        { 0, 0.1 }, { 1 * SECOND, 0.1 }, { 3 * SECOND, 0.1 }, { 6 * SECOND, 0.2 }, { 15 * SECOND, 0.5 }, { 27 * SECOND, 0.9 },
        { 30 * SECOND, 1 }, { 3000 * SECOND, 1 },
    };
    struct pool_under_test *p = pool_new(1);

    (void)state;
    p->endpoints[0].weight = 4;
    endpoint_set_health(live_of(p, 0), HEALTH_DOWN, START);
    endpoint_set_health(live_of(p, 0), HEALTH_UP, START + SECOND);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nsec_t now = START + SECOND + rows[i].after;
        assert_true(fabs(endpoint_weight(&p->endpoints[0], now, true) - 4 * rows[i].share) < 1e-9);
        assert_true(endpoint_weight(&p->endpoints[0], now, false) == 4);
        assert_int_equal(endpoint_is_ramping(&p->endpoints[0], now), rows[i].share < 1);
    }
    p->pool.slow_start = 0;
    assert_false(endpoint_is_ramping(&p->endpoints[0], START + SECOND));
    pool_free(p);
}

static void test_no_slow_start_at_the_start(void **state)
{
    struct pool_under_test *p = pool_new(2);
    struct steering_candidate out[2];

    (void)state;
    pool_fill_candidates(&p->pool, USABLE_HEALTHY, START, out, NULL);
    assert_true(out[0].weight == 1 && out[1].weight == 1);
    pool_free(p);
}

/* Alone it takes everything: a ramp would ramp nothing. */
static void test_no_slow_start_alone(void **state)
{
    struct pool_under_test *p = pool_new(2);
    struct steering_candidate out[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        endpoint_set_health(live_of(p, i), HEALTH_DOWN, START);
    endpoint_set_health(live_of(p, 0), HEALTH_UP, START + 1);
    pool_fill_candidates(&p->pool, USABLE_HEALTHY, START + 2, out, NULL);
    assert_true(out[0].weight == 1 && out[1].weight == 0);
    endpoint_set_health(live_of(p, 1), HEALTH_UP, START + 15 * SECOND + 1);
    pool_fill_candidates(&p->pool, USABLE_HEALTHY, START + 15 * SECOND + 1, out, NULL);
    assert_true(fabs(out[0].weight - 0.5) < 1e-9 && fabs(out[1].weight - 0.1) < 1e-9);
    pool_free(p);
}

/* --- pools --- */

static const struct {
    const char *name;
    unsigned minimum;
    bool disabled;
    char endpoints[8]; /* h: healthy, e: ejected, u: unknown, d: down, t: no connector, a: awaited, k: connected, but kept out, l: connected, and taken for lost, n: its
                           name is being resolved, m: it leads nowhere, x: drained, 0: healthy of weight 0 */
    enum pool_state state;
    bool usable[USABLE_LEVELS];
} pools[] = {
    { "all healthy", 1, false, "hhh", POOL_HEALTHY, { true, true, true, true } },
    { "one drained is no loss", 1, false, "hhx", POOL_HEALTHY, { true, true, true, true } },
    { "one of weight 0 is no loss", 1, false, "h0", POOL_HEALTHY, { true, true, true, true } },
    { "one down", 1, false, "hd", POOL_DEGRADED, { true, true, true, true } },
    { "one ejected", 1, false, "he", POOL_DEGRADED, { true, true, true, true } },
    { "one without a verdict yet", 1, false, "hu", POOL_UNKNOWN, { true, true, true, true } },
    { "one down, one without a verdict", 1, false, "hdu", POOL_DEGRADED, { true, true, true, true } },
    { "below the minimum", 2, false, "hdd", POOL_CRITICAL, { false, false, false, true } },
    { "the minimum could still be met", 2, false, "hud", POOL_UNKNOWN, { false, false, true, true } },
    { "all ejected", 1, false, "ee", POOL_CRITICAL, { false, true, true, true } },
    { "all down", 1, false, "dd", POOL_CRITICAL, { false, false, false, true } },
    { "all drained", 1, false, "xx", POOL_CRITICAL, { false } },
    { "all of weight 0", 1, false, "00", POOL_CRITICAL, { false } },
    { "none has a verdict", 1, false, "uu", POOL_UNKNOWN, { false, false, true, true } },
    { "drained below the minimum", 2, false, "hx", POOL_CRITICAL, { false } },
    { "a minimum of 0 is one of 1", 0, false, "d", POOL_CRITICAL, { false, false, false, true } },
    { "one without a connector", 1, false, "ht", POOL_DEGRADED, { true, true, true, true } },
    { "none has a connector", 1, false, "tt", POOL_CRITICAL, { false } },
    { "one is awaited", 1, false, "ha", POOL_UNKNOWN, { true, true, true, true } },
    { "awaiting them could meet the minimum", 2, false, "haa", POOL_UNKNOWN, { false } },
    { "awaiting them could not", 3, false, "hat", POOL_CRITICAL, { false } },
    { "one is kept out for its rules", 1, false, "hk", POOL_DEGRADED, { true, true, true, true } },
    { "the operator holds one back", 1, false, "hb", POOL_DEGRADED, { true, true, true, true } },
    { "one is taken for lost", 1, false, "hl", POOL_DEGRADED, { true, true, true, true } },
    { "one whose name is being resolved", 1, false, "hn", POOL_UNKNOWN, { true, true, true, true } },
    { "none whose name is resolved yet", 1, false, "nn", POOL_UNKNOWN, { false, false, false, true } },
    { "a name that leads nowhere", 1, false, "hm", POOL_DEGRADED, { true, true, true, true } },
    { "disabled", 1, true, "hh", POOL_DISABLED, { false } },
};

static void set_endpoints(struct pool_under_test *p, const char *letters)
{
    for (size_t i = 0; letters[i]; i++) {
        apply(p, i, &(struct circumstances){
            .health = letters[i] == 'd' ? HEALTH_DOWN : letters[i] == 'u' ? HEALTH_UNKNOWN : HEALTH_UP,
            .admin = letters[i] == 'x' ? ADMIN_DRAINED : ADMIN_ENABLED,
            .ejected = letters[i] == 'e',
            .no_address = letters[i] == 'n' || strchr("mkl", letters[i]),
            .tunnel = strchr("tb", letters[i]) ? UNCONNECTED : letters[i] == 'a' ? AWAITED : strchr("kl", letters[i]) ? CONNECTED : NO_EDGE,
        });
        atomic_store(&live_of(p, i)->resolving, letters[i] == 'n');
        atomic_store(&live_of(p, i)->kept_out, letters[i] == 'k');
        if (p->endpoints[i].edge_tunnel)
            atomic_store(&p->endpoints[i].edge_tunnel->held_back, strchr("bkl", letters[i]) != NULL); /* no matter where some are usable */
        p->endpoints[i].weight = letters[i] == '0' ? 0 : 1;
    }
}

static void test_pool_state_and_usability(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        struct pool_under_test *p = pool_new(strlen(pools[i].endpoints));
        struct pool_census census;
        p->pool.minimum_endpoints = pools[i].minimum;
        p->pool.enabled = !pools[i].disabled;
        set_endpoints(p, pools[i].endpoints);
        pool_take_census(&p->pool, START, &census);
        if (pool_state(&p->pool, &census) != pools[i].state)
            fail_msg("%s: %s", pools[i].name, pool_state_name(pool_state(&p->pool, &census)));
        assert_int_equal(census.kept_out, strchr(pools[i].endpoints, 'k') != NULL);
        assert_int_equal(census.held_back, strchr(pools[i].endpoints, 'b') != NULL);
        for (enum usability level = USABLE_HEALTHY; level <= USABLE_LAST_RESORT; level++)
            if (pool_is_usable(&p->pool, &census, level) != pools[i].usable[level])
                fail_msg("%s, level %u", pools[i].name, level);
        pool_free(p);
    }
}

static void test_pool_state_names(void **state)
{
    static const char *const names[] = { "healthy", "degraded", "critical", "unknown", "disabled" };

    (void)state;
    for (enum pool_state s = POOL_HEALTHY; s <= POOL_DISABLED; s++)
        assert_string_equal(pool_state_name(s), names[s]);
}

/* One level after the other: each adds those that are worse. */
static void test_candidates_by_level(void **state)
{
    static const char letters[] = "heudtx";
    struct pool_under_test *p = pool_new(6);
    struct steering_candidate out[6];

    (void)state;
    set_endpoints(p, letters);
    p->endpoints[1].latitude = 48;
    for (enum usability level = USABLE_HEALTHY; level <= USABLE_NEVER; level++) {
        pool_fill_candidates(&p->pool, level, START, out, NULL);
        for (unsigned i = 0; i < 6; i++) {
            bool expected = i <= level && i < 4;
            assert_int_equal(out[i].weight > 0, expected);
            assert_int_equal(out[i].id, 100 + i);
            assert_int_equal(out[i].order, i);
        }
    }
    assert_true(out[0].latitude == 52.0F && out[1].latitude == 48.0F && out[1].longitude == 5.0F);
    pool_free(p);
}

/* --- load balancers --- */

struct balancer_under_test {
    struct pool_under_test *first, *second;
    struct pool *pools[2];
    double weights[2];
    struct pool_list list;
};

static struct balancer_under_test *balancer_new(size_t n)
{
    struct balancer_under_test *b = calloc(1, sizeof *b);

    assert_non_null(b);
    b->first = pool_new(n);
    b->second = pool_new(n);
    b->second->pool.hash = 2;
    b->pools[0] = &b->first->pool;
    b->pools[1] = &b->second->pool;
    b->weights[0] = 0.7;
    b->weights[1] = 0.3;
    b->list = (struct pool_list){ .pools = b->pools, .weights = b->weights, .n = 2 };
    return b;
}

static void balancer_free(struct balancer_under_test *b)
{
    pool_free(b->first);
    pool_free(b->second);
    free(b);
}

static void test_pools_as_candidates(void **state)
{
    struct balancer_under_test *b = balancer_new(1);
    struct steering_candidate out[2];
    struct candidacy standings[2];

    (void)state;
    pool_list_fill_candidates(&b->list, USABLE_HEALTHY, START, out, standings);
    assert_true(out[0].weight == 0.7 && out[1].weight == 0.3);
    for (size_t i = 0; i < 2; i++)
        assert_true(weight_total(&standings[i].weight) == out[i].weight);
    assert_true(out[0].id == 1 && out[1].id == 2 && out[1].order == 1 && out[0].latitude == 52.0F);
    endpoint_set_health(live_of(b->first, 0), HEALTH_DOWN, START);
    pool_list_fill_candidates(&b->list, USABLE_UNKNOWN, START, out, NULL);
    assert_true(out[0].weight == 0 && out[1].weight == 0.3);
    pool_list_fill_candidates(&b->list, USABLE_LAST_RESORT, START, out, NULL);
    assert_true(out[0].weight == 0.7);
    b->list.weights = NULL;
    pool_list_fill_candidates(&b->list, USABLE_LAST_RESORT, START, out, NULL);
    assert_true(out[0].weight == 1);
    balancer_free(b);
}

static nsec_t first_pool_usable_since(struct balancer_under_test *b, nsec_t now)
{
    struct steering_candidate out[2];

    pool_list_fill_candidates(&b->list, USABLE_HEALTHY, now, out, NULL);
    return out[0].usable_since;
}

static void outage(struct pool_under_test *p, size_t i, nsec_t from, nsec_t to)
{
    endpoint_set_health(live_of(p, i), HEALTH_DOWN, from);
    endpoint_set_health(live_of(p, i), HEALTH_UP, to);
}

static void test_a_pool_is_usable_since_its_endpoint_returned(void **state)
{
    struct balancer_under_test *b = balancer_new(1);

    (void)state;
    assert_int_equal(first_pool_usable_since(b, START), 0);
    outage(b->first, 0, START, START + 5);
    assert_int_equal(first_pool_usable_since(b, START + 9), START + 5);
    balancer_free(b);
}

/* One connector after the other is restarted: the pool was there all the time. */
static void test_a_rolling_restart_is_no_gap(void **state)
{
    struct balancer_under_test *b = balancer_new(3);

    (void)state;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 3; i++)
            outage(b->first, i, START + 30 * round + 10 * i, START + 30 * round + 10 * i + 5);
    assert_int_equal(first_pool_usable_since(b, START + 100), 0);
    /* And now two are down that bridged the first one's absence. */
    endpoint_set_health(live_of(b->first, 1), HEALTH_DOWN, START + 200);
    endpoint_set_health(live_of(b->first, 2), HEALTH_DOWN, START + 300);
    assert_int_equal(first_pool_usable_since(b, START + 400), 0);
    balancer_free(b);
}

static void test_a_gap_is_seen_behind_what_bridged_later_ones(void **state)
{
    struct balancer_under_test *b = balancer_new(2);

    (void)state;
    endpoint_set_health(live_of(b->first, 0), HEALTH_DOWN, START);
    endpoint_set_health(live_of(b->first, 1), HEALTH_DOWN, START + 10);
    endpoint_set_health(live_of(b->first, 0), HEALTH_UP, START + 20); /* the gap ends */
    endpoint_set_health(live_of(b->first, 1), HEALTH_UP, START + 30);
    endpoint_set_health(live_of(b->first, 0), HEALTH_DOWN, START + 40);
    assert_int_equal(first_pool_usable_since(b, START + 50), START + 20);
    balancer_free(b);
}

static void test_a_minimum_of_two_is_two_all_the_time(void **state)
{
    struct balancer_under_test *b = balancer_new(3);

    (void)state;
    b->first->pool.minimum_endpoints = 2;
    outage(b->first, 0, START, START + 10);
    assert_int_equal(first_pool_usable_since(b, START + 50), 0);
    outage(b->first, 1, START + 60, START + 70);
    outage(b->first, 2, START + 65, START + 90); /* only the first from 65 to 70 */
    assert_int_equal(first_pool_usable_since(b, START + 100), START + 70);
    balancer_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usability),
        cmocka_unit_test(test_an_ejection_ends_by_the_clock),
        cmocka_unit_test(test_the_operators_weight_beats_the_files),
        cmocka_unit_test(test_weight_by_connections),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_no_slow_start_at_the_start),
        cmocka_unit_test(test_no_slow_start_alone),
        cmocka_unit_test(test_pool_state_and_usability),
        cmocka_unit_test(test_pool_state_names),
        cmocka_unit_test(test_candidates_by_level),
        cmocka_unit_test(test_pools_as_candidates),
        cmocka_unit_test(test_a_pool_is_usable_since_its_endpoint_returned),
        cmocka_unit_test(test_a_rolling_restart_is_no_gap),
        cmocka_unit_test(test_a_gap_is_seen_behind_what_bridged_later_ones),
        cmocka_unit_test(test_a_minimum_of_two_is_two_all_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
