/* What the process before told, as records find it. */
#include "control/told.h"

#include "base/mem.h"
#include "control/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

/* In place of the store: these are the events that it kept. */
static struct event kept[] = {
    { .type = "endpoint.unhealthy", .subject = "app/one", .data = "{\"from\":\"healthy\",\"to\":\"ejected\"}" },
    { .type = "pool.critical", .subject = "app", .data = "{\"to\":\"critical\"}" },
    { .type = "load_balancer.failover", .subject = "app", .data = "{\"to\":\"failover\"}" },
    { .type = "tunnel.inactive", .subject = "c1744f8b-faa1-48a4-9e5c-02ac921467fa", .data = "{\"to\":\"down\"}" },
    { .type = "endpoint.healthy", .subject = "app/odd", .data = "{\"to\":\"radiant\"}" },
    { .type = "endpoint.name_failed", .subject = "name:app/one", .data = "{\"endpoint\":\"app/one\"}" },
    { .type = "config.rejected", .subject = "configuration", .data = "[]" },
    { .type = "alert.test", .subject = "ops", .data = "no JSON" },
};

void store_each_last(const struct store *store, void (*each)(void *arg, struct event *), void *arg)
{
    (void)store;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        each(arg, &kept[i]);
}

static void states_are_taken_once(void **state)
{
    (void)state;
    struct control *control = mem_zero(sizeof *control);
    told_load(control);
    assert_int_equal(told_take_endpoint(control, "app/one"), VERDICT_EJECTED);
    assert_int_equal(told_take_endpoint(control, "app/one"), VERDICT_UNKNOWN);
    assert_int_equal(told_take_pool(control, "app"), POOL_CRITICAL);
    assert_int_equal(told_take_load_balancer(control, "app"), LB_FAILOVER);
    assert_int_equal(told_take_tunnel(control, "c1744f8b-faa1-48a4-9e5c-02ac921467fa"), TUNNEL_DOWN);
    told_clear(control);
    free(control);
}

static void what_has_no_name_here_is_unknown(void **state)
{
    (void)state;
    struct control *control = mem_zero(sizeof *control);
    told_load(control);
    assert_int_equal(told_take_endpoint(control, "app/odd"), VERDICT_UNKNOWN);
    assert_int_equal(told_take_endpoint(control, "app"), VERDICT_UNKNOWN);
    assert_int_equal(told_take_pool(control, "configuration"), POOL_UNKNOWN);
    assert_int_equal(told_take_load_balancer(control, "none"), LB_UNKNOWN);
    assert_int_equal(told_take_tunnel(control, "none"), TUNNEL_UNKNOWN);
    told_clear(control);
    free(control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_taken_once),
        cmocka_unit_test(what_has_no_name_here_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
