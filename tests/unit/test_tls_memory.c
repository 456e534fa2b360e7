#include "net/tls_memory.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 40 };

static void test_record_buffers_are_kept(void **state)
{
    void *first = OPENSSL_malloc(16384 + 336), *second;
    (void)state;
    assert_non_null(first);
    memset(first, 1, 16384 + 336);
    OPENSSL_free(first);
    second = OPENSSL_zalloc(16384 + 88); /* of another size within the class, and what is asked to be zero is */
    assert_ptr_equal(second, first);
    for (int i = 0; i < 16384 + 88; i++)
        assert_int_equal(((char *)second)[i], 0);
    OPENSSL_free(second);
}

static void test_no_more_than_a_few(void **state)
{
    void *buffers[MANY];
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            buffers[i] = OPENSSL_malloc(17000);
            assert_non_null(buffers[i]);
            memset(buffers[i], i, 17000);
        }
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(((char *)buffers[i])[16999], i); /* nobody else's */
            OPENSSL_free(buffers[i]);
        }
    }
}

static void test_other_sizes_pass(void **state)
{
    static const size_t sizes[] = { 1, 100, 16384, 17408, 17409, 20000, 100000 };
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = OPENSSL_malloc(sizes[i]);
        assert_non_null(p);
        memset(p, 7, sizes[i]);
        p = OPENSSL_realloc(p, sizes[i] * 2);
        assert_non_null(p);
        assert_int_equal(p[sizes[i] - 1], 7);
        memset(p, 8, sizes[i] * 2);
        p = OPENSSL_realloc(p, sizes[i]);
        assert_non_null(p);
        OPENSSL_free(p);
    }
    assert_null(OPENSSL_malloc(0));
    OPENSSL_free(NULL);
}

static void *use_and_end(void *arg)
{
    for (int i = 0; i < 100; i++)
        OPENSSL_free(OPENSSL_malloc(16500));
    OPENSSL_free(arg); /* another thread's */
    return OPENSSL_malloc(16500);
}

/* What a thread has kept goes with it: LeakSanitizer tells. */
static void test_threads(void **state)
{
    pthread_t threads[4];
    void *left;
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_and_end, OPENSSL_malloc(16500)), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &left);
        assert_non_null(left);
        OPENSSL_free(left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_buffers_are_kept),
        cmocka_unit_test(test_no_more_than_a_few),
        cmocka_unit_test(test_other_sizes_pass),
        cmocka_unit_test(test_threads),
    };
    tls_memory_keep_buffers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
