/* A configuration's life: who holds it, what goes with its last reference; and looking things up in it. */
#include "balance/config.h"
#include "balance/live.h"
#include "balance/probe.h"
#include "balance/tunnel.h"
#include "base/mem.h"
#include "net/tls.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static unsigned released;

static void count_release(void *config)
{
    assert_string_equal(config, "settings");
    released++;
}

static const struct steering_policy counted = { .name = "counted", .abi = STEERING_ABI, .release = count_release };
static const struct steering_policy without_release = { .name = "without_release", .abi = STEERING_ABI };
static char settings[] = "settings";

static void fill_pool(struct config *c, size_t at, const char *name, size_t n_endpoints)
{
    struct pool *p = &c->pools[at];

    p->name = arena_copy_text(&c->arena, name);
    p->n_endpoints = n_endpoints;
    p->endpoints = arena_array(&c->arena, n_endpoints, sizeof *p->endpoints);
    for (size_t i = 0; i < n_endpoints; i++) {
        struct endpoint *e = &p->endpoints[i];
        e->id = arena_printf(&c->arena, "%s/e%zu", name, i);
        e->hash = config_hash(e->id);
        e->live = endpoint_live_new(e->id, 1);
        c->endpoints[c->n_endpoints++] = e;
    }
}

static struct config *two_pools(void)
{
    struct config *c = config_new();

    c->n_pools = 2;
    c->pools = arena_array(&c->arena, 2, sizeof *c->pools);
    c->endpoints = arena_array(&c->arena, 5, sizeof *c->endpoints);
    fill_pool(c, 0, "europe", 3);
    fill_pool(c, 1, "america", 2);
    return c;
}

static void test_an_empty_one(void **state)
{
    struct config *c = config_new();

    (void)state;
    assert_int_equal(c->generation, 0);
    assert_null(config_find_pool(c, "europe"));
    assert_null(config_find_endpoint(c, "europe/e0"));
    config_unref(c);
    config_unref(NULL);
}

static void test_finding(void **state)
{
    struct config *c = two_pools();

    (void)state;
    assert_ptr_equal(config_find_pool(c, "america"), &c->pools[1]);
    assert_null(config_find_pool(c, "asia"));
    assert_ptr_equal(config_find_endpoint(c, "europe/e2"), &c->pools[0].endpoints[2]);
    assert_ptr_equal(config_find_endpoint(c, "america/e0"), &c->pools[1].endpoints[0]);
    assert_null(config_find_endpoint(c, "america/e2"));
    assert_null(config_find_endpoint(c, "america"));
    config_unref(c);
}

/* Ids are kept over restarts and compared between nodes: the hash must not depend on the build. Known answers of xxh3. */
static void test_the_hash_is_stable(void **state)
{
    (void)state;
    assert_true(config_hash("") == UINT64_C(0x2d06800538d394c2));
    assert_true(config_hash("europe/ams") == config_hash("europe/ams"));
    assert_true(config_hash("europe/ams") != config_hash("europe/fra"));
}

static void test_live_state_outlives_the_configuration(void **state)
{
    struct config *c = two_pools();
    struct endpoint_live *kept = endpoint_live_ref(c->pools[0].endpoints[0].live);

    (void)state;
    config_unref(c);
    assert_string_equal(kept->id, "europe/e0");
    assert_int_equal(atomic_load(&kept->refs), 1);
    endpoint_live_unref(kept);
}

static void test_policies_are_released_once(void **state)
{
    struct config *c = two_pools();

    (void)state;
    c->n_load_balancers = 3;
    c->load_balancers = arena_array(&c->arena, 3, sizeof *c->load_balancers);
    c->pools[0].steering = (struct steering_conf){ .policy = &counted, .config = settings };
    c->pools[1].steering = (struct steering_conf){ .policy = &counted, .config = NULL };
    c->load_balancers[0].steering = (struct steering_conf){ .policy = &counted, .config = settings };
    c->load_balancers[1].steering = (struct steering_conf){ .policy = &without_release, .config = settings };
    c->edge.replica_steering = (struct steering_conf){ .policy = &counted, .config = settings };
    released = 0;
    config_ref(c);
    config_unref(c);
    assert_int_equal(released, 0);
    config_unref(c);
    assert_int_equal(released, 3);
}

static void test_tunnels_outlive_the_configuration(void **state)
{
    struct config *c = two_pools();
    struct tunnel *t = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");

    (void)state;
    c->endpoints[0]->edge_tunnel = tunnel_ref(t);
    c->endpoints[3]->edge_tunnel = tunnel_ref(t);
    assert_int_equal(atomic_load(&t->refs), 3);
    config_unref(c);
    assert_int_equal(atomic_load(&t->refs), 1);
    tunnel_unref(t);
}

static void test_patterns_of_names(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        { "ams", "ams", true }, { "ams", "amst", false }, { "ams", "am", false }, { "ams", "Ams", false },
        { "*", "ams", true }, { "*", "", true }, { "", "", true }, { "", "a", false },
        { "app-*", "app-1", true }, { "app-*", "app-", true }, { "app-*", "app", false }, { "app-*", "xapp-1", false },
        { "*-eu", "app-eu", true }, { "*-eu", "app-eu-eu", true }, { "*-eu", "app-eux", false },
        { "a*b*c", "abc", true }, { "a*b*c", "aXbYbZc", true }, { "a*b*c", "acb", false }, { "a**c", "abc", true },
        { "*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (config_pattern_matches(rows[i].pattern, rows[i].name) != rows[i].matches)
            fail_msg("%s, %s", rows[i].pattern, rows[i].name);
}

static void test_names(void **state)
{
    static const char *const good[] = { "a", "A1", "a-b_c" }, *const bad[] = { "", "1", "-a", "_", "a.b", "a b", "\xc3\xa4" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(config_is_name(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(config_is_name(bad[i]));
}

/* The sanitizer's leak check is the judge here. */
static void test_contexts_and_patterns_go_with_it(void **state)
{
    struct config *c = two_pools();
    struct tls_client_options options = { .verify = false };
    char error[TLS_ERROR_SIZE];
    int code;
    PCRE2_SIZE offset;

    (void)state;
    struct tls_client *client = tls_client_new(&options, error);
    assert_non_null(client);
    c->n_tls_clients = 1;
    c->tls_clients = arena_array(&c->arena, 1, sizeof *c->tls_clients);
    c->tls_clients[0] = client;
    for (size_t i = 0; i < c->n_endpoints; i++)
        c->endpoints[i]->tls_client = client; /* shared by all */
    c->n_monitors = 2;
    c->monitors = arena_array(&c->arena, 2, sizeof *c->monitors);
    c->monitors[1].expected_pattern = pcre2_compile((PCRE2_SPTR) "ok$", PCRE2_ZERO_TERMINATED, 0, &code, &offset, NULL);
    assert_non_null(c->monitors[1].expected_pattern);
    c->n_listeners = 1; /* one that is not TLS */
    c->listeners = arena_array(&c->arena, 1, sizeof *c->listeners);
    config_unref(c);
}

static void test_status_bits(void **state)
{
    uint8_t bits[75] = { 0 };

    (void)state;
    bits[502 / 8] |= 1 << (502 % 8);
    bits[74] |= 0x80;
    for (unsigned status = 0; status < 700; status++)
        assert_int_equal(status_bit(bits, status), status == 502 || status == 599);
}

static void *hold_and_let_go(void *config)
{
    for (unsigned i = 0; i < 10000; i++)
        config_unref(config_ref(config));
    config_unref(config);
    return NULL;
}

/* Workers let go of a snapshot in any order; the last frees it. */
static void test_threads_share_it(void **state)
{
    struct config *c = two_pools();
    pthread_t threads[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_let_go, config_ref(c)), 0);
    config_unref(c);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_a_probe_holds_its_configuration(void **state)
{
    struct config *c = two_pools();
    struct probe *p = probe_new(c, config_find_endpoint(c, "europe/e1"));

    (void)state;
    config_unref(c);
    assert_string_equal(p->endpoint->id, "europe/e1");
    assert_int_equal(p->result.reason, REASON_NONE);
    p->path = mem_copy_text("/healthz");
    p->result.body = mem_copy_text("ok");
    p->result.location = mem_copy_text("/login");
    p->result.server = mem_copy_text("cloudflare");
    p->result.cf_ray = mem_copy_text("8f00-AMS");
    probe_free(p);
    probe_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_one),
        cmocka_unit_test(test_finding),
        cmocka_unit_test(test_the_hash_is_stable),
        cmocka_unit_test(test_live_state_outlives_the_configuration),
        cmocka_unit_test(test_policies_are_released_once),
        cmocka_unit_test(test_tunnels_outlive_the_configuration),
        cmocka_unit_test(test_patterns_of_names),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_contexts_and_patterns_go_with_it),
        cmocka_unit_test(test_status_bits),
        cmocka_unit_test(test_threads_share_it),
        cmocka_unit_test(test_a_probe_holds_its_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
