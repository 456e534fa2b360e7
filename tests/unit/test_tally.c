/* Counting on several threads, and who ends it. */
#include "balance/tally.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { WORKERS = 3, TIMES = 100000 };

struct counting {
    struct tally *tally;
    unsigned worker;
};

static void *count(void *arg)
{
    const struct counting *c = arg;
    for (unsigned i = 0; i < TIMES; i++)
        tally_add(c->tally, c->worker);
    tally_unref(c->tally);
    return NULL;
}

static void test_workers_count_apart(void **state)
{
    struct tally *t = tally_new(WORKERS);
    struct counting counting[WORKERS];
    pthread_t threads[WORKERS];
    (void)state;
    assert_int_equal(tally_sum(t), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        counting[i] = (struct counting){ tally_ref(t), i };
        assert_int_equal(pthread_create(&threads[i], NULL, count, &counting[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(tally_sum(t), WORKERS * TIMES);
    tally_unref(t);
}

static void test_nobody_wants_to_know(void **state)
{
    (void)state;
    tally_add(NULL, 0);
    tally_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_count_apart),
        cmocka_unit_test(test_nobody_wants_to_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
