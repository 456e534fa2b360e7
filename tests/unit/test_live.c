/* Live state: what is noted when an endpoint is lost and when it returns, counts, addresses. */
#include "pool_under_test.h"

#include <pthread.h>

static nsec_t since(const struct endpoint_live *live)
{
    return endpoint_usable_since(live);
}

static nsec_t until(const struct endpoint_live *live)
{
    return atomic_load(&live->stretches[atomic_load(&live->stretch) % STRETCHES_KEPT].until);
}

static void test_a_new_one(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 3);

    (void)state;
    assert_string_equal(live->id, "pool/a");
    assert_int_equal((uintptr_t)live->counts % 64, 0);
    assert_int_equal(atomic_load(&live->health), HEALTH_UNKNOWN);
    assert_int_equal(atomic_load(&live->admin), ADMIN_ENABLED);
    assert_true(atomic_load(&live->dialable));
    assert_true(isnan(atomic_load(&live->weight_override)) && isnan(atomic_load(&live->latency_s)) &&
                isnan(atomic_load(&live->probe_latency_s)));
    assert_int_equal(endpoint_in_flight(live), 0);
    assert_ptr_equal(endpoint_live_ref(live), live);
    endpoint_live_unref(live);
    endpoint_live_unref(live);
}

static void test_in_flight_is_the_sum(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 3);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        atomic_store(&live->counts[i].in_flight, 10 + i);
    assert_int_equal(endpoint_in_flight(live), 33);
    endpoint_live_unref(live);
}

/* The first verdict after the start is no return: no slow start then. */
static void test_up_at_the_start_is_no_return(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    assert_true(endpoint_set_health(live, HEALTH_UP, START));
    assert_false(endpoint_set_health(live, HEALTH_UP, START));
    assert_int_equal(since(live), 0);
    assert_int_equal(atomic_load(&live->slow_start_from), 0);
    endpoint_live_unref(live);
}

static void test_down_and_up_is_a_return(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    endpoint_set_health(live, HEALTH_DOWN, START);
    assert_false(endpoint_in_service(live, START));
    assert_int_equal(until(live), START);
    endpoint_set_health(live, HEALTH_UP, START + 5);
    assert_int_equal(since(live), START + 5);
    assert_int_equal(atomic_load(&live->slow_start_from), START + 5);
    endpoint_live_unref(live);
}

static void test_undrained_is_a_return(void **state)
{
    static const enum admin_state states[] = { ADMIN_DRAINED, ADMIN_DISABLED };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct endpoint_live *live = endpoint_live_new("pool/a", 1);
        endpoint_set_health(live, HEALTH_UP, START);
        assert_true(endpoint_set_admin(live, states[i], START + 1));
        assert_int_equal(until(live), START + 1);
        assert_true(endpoint_set_admin(live, ADMIN_ENABLED, START + 9));
        assert_int_equal(since(live), START + 9);
        endpoint_live_unref(live);
    }
}

/* Of two causes the first is the loss, and the end of the last the return. */
static void test_overlapping_outages(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    endpoint_set_health(live, HEALTH_UP, START);
    endpoint_set_admin(live, ADMIN_DRAINED, START + 10);
    endpoint_set_health(live, HEALTH_DOWN, START + 20);
    endpoint_set_admin(live, ADMIN_ENABLED, START + 30);
    assert_int_equal(until(live), START + 10);
    assert_int_equal(since(live), 0);
    endpoint_set_health(live, HEALTH_UP, START + 40);
    assert_int_equal(since(live), START + 40);
    endpoint_live_unref(live);
}

static void test_an_ended_ejection_is_a_return(void **state)
{
    struct pool_under_test *p = pool_new(2);

    (void)state;
    pool_eject(p, 0, REASON_RESET, START + SECOND);
    assert_int_equal(until(live_of(p, 0)), START + SECOND);
    outlier_sweep(live_of(p, 0), &p->pool.passive, START + 11 * SECOND);
    assert_int_equal(since(live_of(p, 0)), START + 11 * SECOND);
    /* Unless something else keeps it out. */
    pool_eject(p, 1, REASON_RESET, START + SECOND);
    endpoint_set_health(live_of(p, 1), HEALTH_DOWN, START + 2 * SECOND);
    outlier_sweep(live_of(p, 1), &p->pool.passive, START + 11 * SECOND);
    assert_int_equal(since(live_of(p, 1)), 0);
    assert_int_equal(until(live_of(p, 1)), START + SECOND);
    /* Nor was it in service when traffic of a last resort met it. */
    pool_eject(p, 1, REASON_RESET, START + 20 * SECOND);
    assert_int_equal(until(live_of(p, 1)), START + SECOND);
    pool_free(p);
}

/* As far back as stretches are kept, and no further. */
static void test_the_past(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    for (unsigned i = 1; i <= STRETCHES_KEPT; i++) {
        endpoint_set_health(live, HEALTH_DOWN, 100 * i);
        endpoint_set_health(live, HEALTH_UP, 100 * i + 10);
    }
    assert_false(endpoint_was_in_service(live, 50)); /* forgotten */
    for (unsigned i = 1; i <= STRETCHES_KEPT; i++) {
        assert_false(endpoint_was_in_service(live, 100 * i + 1));
        assert_false(endpoint_was_in_service(live, 100 * i + 10));
        assert_true(endpoint_was_in_service(live, 100 * i + 11));
        assert_true(endpoint_was_in_service(live, 100 * i + 100));
    }
    endpoint_live_unref(live);
}

/* A return whose loss nobody noted: the stretch begins anew. */
static void test_a_return_without_a_loss(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);

    (void)state;
    endpoint_note_return(live, START);
    assert_int_equal(since(live), START);
    assert_false(endpoint_was_in_service(live, START));
    assert_true(endpoint_was_in_service(live, START + 1));
    endpoint_live_unref(live);
}

static struct address_set set_of(uint16_t port, unsigned n)
{
    struct address_set set = { .n = n };

    for (unsigned i = 0; i < n; i++)
        set.items[i].v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
    return set;
}

static bool is_whole(const struct address_set *set)
{
    for (unsigned i = 1; i < set->n; i++)
        if (set->items[i].v4.sin_port != set->items[0].v4.sin_port)
            return false;
    return set->n == 0 || set->n == 1U + set->items[0].v4.sin_port % ADDRESS_SET_MAX;
}

static void *replace_addresses(void *live)
{
    for (unsigned i = 0; i < 5000; i++) {
        struct address_set set = set_of((uint16_t)i, 1 + i % ADDRESS_SET_MAX);
        endpoint_set_addresses(live, &set);
    }
    return NULL;
}

/* Whoever reads sees one set or the other, never a mixture. */
static void test_addresses_are_replaced_whole(void **state)
{
    struct endpoint_live *live = endpoint_live_new("pool/a", 1);
    struct address_set seen = { .n = 7 };
    pthread_t writer;

    (void)state;
    endpoint_get_addresses(live, &seen);
    assert_int_equal(seen.n, 0);
    assert_int_equal(pthread_create(&writer, NULL, replace_addresses, live), 0);
    for (unsigned i = 0; i < 5000; i++) {
        endpoint_get_addresses(live, &seen);
        assert_true(is_whole(&seen));
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    endpoint_live_unref(live);
}

static void test_a_copy_is_nobody_elses(void **state)
{
    struct endpoint_live *live = endpoint_live_new("p/e", 3), *copy;

    (void)state;
    endpoint_set_health(live, HEALTH_DOWN, 5);
    endpoint_set_health(live, HEALTH_UP, 9);
    atomic_store(&live->weight_override, 0.5);
    atomic_store(&live->latency_s, 0.25);
    atomic_store(&live->ejected_until, 77);
    atomic_store(&live->counts[2].in_flight, 4);
    atomic_store(&live->counts[2].connections, 6);
    copy = endpoint_live_copy(live);
    assert_string_equal(copy->id, "p/e");
    assert_int_equal(copy->counts[0].workers, 1);
    assert_true(atomic_load(&copy->health) == HEALTH_UP && atomic_load(&copy->ejected_until) == 77);
    assert_true(atomic_load(&copy->weight_override) == 0.5 && atomic_load(&copy->latency_s) == 0.25);
    assert_int_equal(endpoint_usable_since(copy), 9);
    assert_true(endpoint_was_in_service(copy, 3) && !endpoint_was_in_service(copy, 7));
    assert_int_equal(endpoint_in_flight(copy), 0);
    assert_int_equal(endpoint_open_connections(copy), 6);
    endpoint_set_admin(copy, ADMIN_DRAINED, 10);
    assert_int_equal(atomic_load(&live->admin), ADMIN_ENABLED);
    endpoint_live_unref(live);
    endpoint_live_unref(copy);
}

static void test_the_epoch_moves(void **state)
{
    struct balance_epoch epoch = { 0 };
    uint64_t before = balance_epoch_read(&epoch);

    (void)state;
    balance_epoch_move(&epoch);
    assert_true(balance_epoch_read(&epoch) != before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_one),
        cmocka_unit_test(test_in_flight_is_the_sum),
        cmocka_unit_test(test_up_at_the_start_is_no_return),
        cmocka_unit_test(test_down_and_up_is_a_return),
        cmocka_unit_test(test_undrained_is_a_return),
        cmocka_unit_test(test_overlapping_outages),
        cmocka_unit_test(test_an_ended_ejection_is_a_return),
        cmocka_unit_test(test_the_past),
        cmocka_unit_test(test_a_return_without_a_loss),
        cmocka_unit_test(test_addresses_are_replaced_whole),
        cmocka_unit_test(test_a_copy_is_nobody_elses),
        cmocka_unit_test(test_the_epoch_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
