/* Connections per peer and in all: limits that refuse, and are released. */
#include "net/peer_count.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct address address(const char *text)
{
    struct address a;

    assert_true(address_parse(text, 1000, &a));
    return a;
}

static bool enter(struct peer_counts *counts, const char *text, unsigned limit, unsigned per_client)
{
    struct address a = address(text);

    return peer_count_enter(counts, &a, limit, per_client);
}

static void leave(struct peer_counts *counts, const char *text)
{
    struct address a = address(text);

    peer_count_leave(counts, &a);
}

static void test_limit_in_all(void **state)
{
    struct peer_counts *counts = peer_counts_new();

    assert_true(enter(counts, "10.0.0.1", 2, 0));
    assert_true(enter(counts, "10.0.0.2", 2, 0));
    assert_false(enter(counts, "10.0.0.1", 2, 0));
    assert_false(enter(counts, "10.0.0.3", 2, 0));
    leave(counts, "10.0.0.2");
    assert_true(enter(counts, "10.0.0.3", 2, 0));
    assert_false(enter(counts, "10.0.0.2", 2, 0));
    peer_counts_free(counts);
    (void)state;
}

static void test_limit_per_client(void **state)
{
    struct peer_counts *counts = peer_counts_new();

    assert_true(enter(counts, "10.0.0.1", 0, 1));
    assert_false(enter(counts, "10.0.0.1", 0, 1));
    assert_true(enter(counts, "10.0.0.2", 0, 1));
    leave(counts, "10.0.0.1");
    assert_true(enter(counts, "10.0.0.1", 0, 1));
    assert_true(enter(counts, "10.0.0.1", 0, 2)); /* a reload gives more */
    assert_false(enter(counts, "10.0.0.1", 0, 1)); /* or less */
    leave(counts, "10.0.0.1");
    assert_false(enter(counts, "10.0.0.1", 0, 1));
    leave(counts, "10.0.0.1");
    assert_true(enter(counts, "10.0.0.1", 0, 1));
    peer_counts_free(counts);
    (void)state;
}

static void test_both_limits(void **state)
{
    struct peer_counts *counts = peer_counts_new();

    assert_true(enter(counts, "10.0.0.1", 3, 2));
    assert_true(enter(counts, "10.0.0.1", 3, 2));
    assert_false(enter(counts, "10.0.0.1", 3, 2));
    assert_true(enter(counts, "10.0.0.2", 3, 2));
    assert_false(enter(counts, "10.0.0.3", 3, 2));
    assert_true(enter(counts, "10.0.0.3", 0, 0)); /* none of ours */
    peer_counts_free(counts);
    (void)state;
}

/* One address, or one customer's network. */
static void test_who_counts_as_one(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } rows[] = {
        { "10.0.0.1", "10.0.0.1", true },
        { "10.0.0.1", "10.0.0.2", false },
        { "10.0.0.1", "::ffff:10.0.0.1", true },
        { "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true },
        { "2001:db8:0:1::1", "2001:db8:0:2::1", false },
        { "::ffff:10.0.0.1", "::ffff:10.0.0.2", false },
        { "10.0.0.1", "0:0:ffff:a00:1::", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer_counts *counts = peer_counts_new();
        assert_true(enter(counts, rows[i].one, 0, 1));
        if (enter(counts, rows[i].other, 0, 1) == rows[i].same)
            fail_msg("%s and %s", rows[i].one, rows[i].other);
        peer_counts_free(counts);
    }
    (void)state;
}

enum { THREADS = 4, ROUNDS = 20000, LIMIT = 3 };

struct race {
    struct peer_counts *counts;
    struct address address;
    _Atomic unsigned inside, most, entered;
};

static void *come_and_go(void *arg)
{
    struct race *race = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (!peer_count_enter(race->counts, &race->address, LIMIT, 0))
            continue;
        unsigned inside = atomic_fetch_add(&race->inside, 1) + 1, most = atomic_load(&race->most);
        while (inside > most && !atomic_compare_exchange_weak(&race->most, &most, inside))
            ;
        atomic_fetch_add(&race->entered, 1);
        atomic_fetch_sub(&race->inside, 1);
        peer_count_leave(race->counts, &race->address);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct race race = { .counts = peer_counts_new(), .address = address("10.0.0.1") };
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &race), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(race.most, 1, LIMIT);
    assert_in_range(race.entered, ROUNDS, THREADS * ROUNDS); /* three of four at least always find room */
    for (int i = 0; i < LIMIT; i++)
        assert_true(peer_count_enter(race.counts, &race.address, LIMIT, LIMIT));
    assert_false(peer_count_enter(race.counts, &race.address, LIMIT, 0));
    peer_counts_free(race.counts);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_in_all),      cmocka_unit_test(test_limit_per_client), cmocka_unit_test(test_both_limits),
        cmocka_unit_test(test_who_counts_as_one), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
