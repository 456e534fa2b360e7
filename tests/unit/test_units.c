/* Durations, sizes and instants as text. */
#include "base/clock.h"
#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void durations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        nsec_t value;
    } rows[] = {
        { "0", 0 },
        { "0s", 0 },
        { "1ns", 1 },
        { "1us", 1000 },
        { "250ms", 250 * NSEC_PER_MSEC },
        { "15s", 15 * NSEC_PER_SEC },
        { "1.5s", 1500 * NSEC_PER_MSEC },
        { "0.001s", NSEC_PER_MSEC },
        { "5m", 300 * NSEC_PER_SEC },
        { "1h", 3600 * NSEC_PER_SEC },
        { "365d", INT64_C(365) * 86400 * NSEC_PER_SEC },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nsec_t value = -1;
        assert_true(duration_parse(rows[i].text, &value));
        assert_int_equal(value, rows[i].value);
    }
}

static void other_durations_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = { "", "10", "00", "s", "-1s", "+1s", " 1s", "1s ", "1 s", "1S", "1.s", ".5s", "1.5.5s", "1e3s", "0x1s",
                                        "1sec", "inf", "nan", "infs", "1,5s", "99999999999d", "1m30s" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nsec_t value = 42;
        if (duration_parse(rows[i], &value))
            fail_msg("\"%s\" was read", rows[i]);
        assert_int_equal(value, 42);
    }
}

static void sizes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } rows[] = {
        { "0", 0 }, { "1", 1 }, { "64k", 65536 }, { "64K", 65536 }, { "1m", 1048576 }, { "2g", UINT64_C(2) << 30 }, { "1.5k", 1536 },
        { "4503599627370496", UINT64_C(1) << 52 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t value = 1234567;
        assert_true(size_parse(rows[i].text, &value));
        assert_int_equal(value, rows[i].value);
    }
}

static void other_sizes_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = { "", "k", "-1", "+1", " 1", "1 ", "1 k", "1kb", "1t", "1.3", "0.3k", "1e3", "0x10", "inf",
                                        "99999999999999999999", "99999999g" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t value = 42;
        if (size_parse(rows[i], &value))
            fail_msg("\"%s\" was read", rows[i]);
        assert_int_equal(value, 42);
    }
}

static void durations_are_written_and_read_again(void **state)
{
    (void)state;
    static const struct {
        nsec_t value;
        const char *text;
    } rows[] = {
        { 0, "0s" },
        { 1, "1ns" },
        { 1001, "1001ns" },
        { 1500 * NSEC_PER_USEC, "1500us" },
        { 1500 * NSEC_PER_MSEC, "1500ms" },
        { 15 * NSEC_PER_SEC, "15s" },
        { 90 * NSEC_PER_SEC, "90s" },
        { 120 * NSEC_PER_SEC, "2m" },
        { 7200 * NSEC_PER_SEC, "2h" },
        { 86400 * NSEC_PER_SEC, "1d" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[DURATION_TEXT_SIZE];
        nsec_t again;
        assert_string_equal(duration_format(rows[i].value, text), rows[i].text);
        assert_true(duration_parse(text, &again));
        assert_int_equal(again, rows[i].value);
    }
    char text[DURATION_TEXT_SIZE];
    assert_string_equal(duration_format(INT64_MAX, text), "9223372036854775807ns");
    assert_string_equal(duration_format(-5 * NSEC_PER_SEC, text), "-5s");
}

static void sizes_are_written_and_read_again(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *text;
    } rows[] = { { 0, "0" }, { 1, "1" }, { 1000, "1000" }, { 1024, "1k" }, { 1536, "1536" }, { 3 << 20, "3m" }, { UINT64_C(5) << 30, "5g" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[SIZE_TEXT_SIZE];
        uint64_t again;
        assert_string_equal(size_format(rows[i].value, text), rows[i].text);
        assert_true(size_parse(text, &again));
        assert_int_equal(again, rows[i].value);
    }
    char text[SIZE_TEXT_SIZE];
    assert_string_equal(size_format(UINT64_MAX, text), "18446744073709551615");
}

static void instants_are_written(void **state)
{
    (void)state;
    static const struct {
        nsec_t wall;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 999999, "1970-01-01T00:00:00.000Z" },
        { INT64_C(951782400) * NSEC_PER_SEC, "2000-02-29T00:00:00.000Z" },
        { INT64_C(1767225599) * NSEC_PER_SEC + 987 * NSEC_PER_MSEC, "2025-12-31T23:59:59.987Z" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[CLOCK_RFC3339_SIZE];
        assert_string_equal(clock_rfc3339(rows[i].wall, text), rows[i].text);
    }
}

static void clocks_go_forward(void **state)
{
    (void)state;
    nsec_t before = clock_monotonic();
    assert_true(clock_monotonic() >= before);
    assert_true(clock_wall() > INT64_C(1700000000) * NSEC_PER_SEC);
    assert_true(nsec_to_seconds(1500 * NSEC_PER_MSEC) == 1.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(other_durations_are_refused),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(durations_are_written_and_read_again),
        cmocka_unit_test(sizes_are_written_and_read_again),
        cmocka_unit_test(instants_are_written),
        cmocka_unit_test(clocks_go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
