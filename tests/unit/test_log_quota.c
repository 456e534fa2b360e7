/* Lines that strangers cause. */
#include "base/log_quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned take_many(struct log_quota *q, unsigned n, nsec_t now)
{
    unsigned taken = 0;
    while (n--)
        taken += log_quota_take(q, now);
    return taken;
}

static void some_are_logged_and_the_others_counted(void **state)
{
    (void)state;
    struct log_quota q = { 0 };
    nsec_t now = 1000 * NSEC_PER_SEC;
    assert_int_equal(log_quota_end(&q, now), 0);
    assert_int_equal(take_many(&q, 3, now), 3);
    assert_int_equal(take_many(&q, 30, now + NSEC_PER_SEC), LOG_QUOTA_LINES - 3);
    assert_int_equal(log_quota_end(&q, now + LOG_QUOTA_WINDOW - 1), 0);
    assert_int_equal(take_many(&q, 1, now + LOG_QUOTA_WINDOW - 1), 0);
    assert_int_equal(log_quota_end(&q, now + LOG_QUOTA_WINDOW), 33 - LOG_QUOTA_LINES + 1);
    assert_int_equal(log_quota_end(&q, now + LOG_QUOTA_WINDOW), 0);
    assert_int_equal(take_many(&q, 30, now + LOG_QUOTA_WINDOW), LOG_QUOTA_LINES);
}

static void a_window_begins_with_its_first_line(void **state)
{
    (void)state;
    struct log_quota q = { 0 };
    assert_int_equal(take_many(&q, 9, 5), LOG_QUOTA_LINES);
    assert_int_equal(log_quota_end(&q, 4 + LOG_QUOTA_WINDOW), 0);
    assert_int_equal(log_quota_end(&q, 5 + LOG_QUOTA_WINDOW), 9 - LOG_QUOTA_LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_are_logged_and_the_others_counted),
        cmocka_unit_test(a_window_begins_with_its_first_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
