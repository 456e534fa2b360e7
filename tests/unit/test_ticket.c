#include "net/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_rotation(void **state)
{
    struct ticket_keys keys = TICKET_KEYS_INIT;
    struct ticket_key first, second, third, found;
    nsec_t now = 1000;
    (void)state;
    ticket_keys_current(&keys, now, &first);
    ticket_keys_current(&keys, now + TICKET_KEY_LIFE - 1, &found);
    assert_memory_equal(&found, &first, sizeof first);
    assert_int_equal(ticket_keys_find(&keys, now, first.name, &found), TICKET_KEY_CURRENT);
    assert_memory_equal(&found, &first, sizeof first);

    now += TICKET_KEY_LIFE;
    memset(&found, 0, sizeof found);
    assert_int_equal(ticket_keys_find(&keys, now, first.name, &found), TICKET_KEY_PREVIOUS); /* finding rotates as well */
    assert_memory_equal(&found, &first, sizeof first);
    ticket_keys_current(&keys, now, &second);
    assert_memory_not_equal(second.name, first.name, sizeof first.name);
    assert_memory_not_equal(second.cipher, first.cipher, sizeof first.cipher);
    assert_memory_not_equal(second.mac, first.mac, sizeof first.mac);

    now += TICKET_KEY_LIFE;
    ticket_keys_current(&keys, now, &third);
    assert_int_equal(ticket_keys_find(&keys, now, first.name, &found), TICKET_KEY_UNKNOWN);
    assert_int_equal(ticket_keys_find(&keys, now, second.name, &found), TICKET_KEY_PREVIOUS);
    assert_int_equal(ticket_keys_find(&keys, now, third.name, &found), TICKET_KEY_CURRENT);

    now += 2 * TICKET_KEY_LIFE; /* silence: the third is too old even as the previous one */
    assert_int_equal(ticket_keys_find(&keys, now, third.name, &found), TICKET_KEY_UNKNOWN);
}

static void test_names_nobody_made(void **state)
{
    struct ticket_keys keys = TICKET_KEYS_INIT;
    static const uint8_t zero[TICKET_NAME_SIZE];
    struct ticket_key found;
    (void)state;
    assert_int_equal(ticket_keys_find(&keys, 1, zero, &found), TICKET_KEY_UNKNOWN);
    assert_int_equal(ticket_keys_find(&keys, 1 + TICKET_KEY_LIFE, zero, &found), TICKET_KEY_UNKNOWN);
    assert_int_equal(ticket_keys_find(&keys, 1 + 4 * TICKET_KEY_LIFE, zero, &found), TICKET_KEY_UNKNOWN); /* no previous key */
}

static void *use_keys(void *arg)
{
    struct ticket_keys *keys = arg;
    struct ticket_key key, found;
    uintptr_t failures = 0;
    for (nsec_t i = 1; i <= 2000; i++) {
        nsec_t now = i * (TICKET_KEY_LIFE / 100);
        ticket_keys_current(keys, now, &key);
        failures += ticket_keys_find(keys, now, key.name, &found) != TICKET_KEY_UNKNOWN && memcmp(&found, &key, sizeof key) != 0;
    }
    return (void *)failures;
}

static void test_many_threads(void **state)
{
    struct ticket_keys keys = TICKET_KEYS_INIT;
    pthread_t threads[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_keys, &keys), 0);
    for (int i = 0; i < 3; i++) {
        void *failures;
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_names_nobody_made),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
