/* Random numbers, UUIDs, histograms. */
#include "base/histogram.h"
#include "base/random.h"
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The values that the generator's authors publish for seed 1234567. */
static void the_generator_is_splitmix64(void **state)
{
    (void)state;
    static const uint64_t expected[] = { UINT64_C(6457827717110365317), UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
                                         UINT64_C(4593380528125082431), UINT64_C(16408922859458223821) };
    struct random r = { 1234567 };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(random_u64(&r), expected[i]);
}

static void units_are_below_one_and_spread(void **state)
{
    (void)state;
    struct random r = { 1 };
    unsigned tenths[10] = { 0 };
    for (int i = 0; i < 10000; i++) {
        double u = random_unit(&r);
        assert_true(u >= 0 && u < 1);
        tenths[(int)(u * 10)]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(tenths[i], 850, 1150);
}

static void seeds_differ(void **state)
{
    (void)state;
    struct random a, b;
    random_seed(&a);
    random_seed(&b);
    assert_true(a.state != b.state); /* equal once in 2^64 */
}

static void a_rehearsal_repeats_itself(void **state)
{
    (void)state;
    struct random a, b, c;
    random_rehearse(1);
    random_seed(&a);
    random_seed(&b);
    random_end_rehearsal();
    random_seed(&c);
    assert_true(a.state == b.state && a.state != c.state);
}

static void uuids_are_version_4_and_differ(void **state)
{
    (void)state;
    char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE], parsed[UUID_TEXT_SIZE];
    for (int i = 0; i < 100; i++) {
        assert_ptr_equal(uuid_make(a), a);
        assert_int_equal(strlen(a), 36);
        assert_true(uuid_parse(a, parsed));
        assert_string_equal(parsed, a);
        assert_int_equal(a[14], '4');
        assert_non_null(strchr("89ab", a[19]));
    }
    assert_string_not_equal(a, uuid_make(b));
}

static void uuids_are_read(void **state)
{
    (void)state;
    char out[UUID_TEXT_SIZE];
    assert_true(uuid_parse("C1744F8B-faa1-48a4-9e5c-02AC921467FA", out));
    assert_string_equal(out, "c1744f8b-faa1-48a4-9e5c-02ac921467fa");
    assert_true(uuid_parse("00000000-0000-0000-0000-000000000000", NULL));
    static const char *const rows[] = {
        "",
        "c1744f8b",
        "c1744f8bfaa148a49e5c02ac921467fa",
        "c1744f8b-faa1-48a4-9e5c-02ac921467f",
        "c1744f8b-faa1-48a4-9e5c-02ac921467fa0",
        "c1744f8b-faa1-48a4-9e5c-02ac921467fg",
        "c1744f8b+faa1-48a4-9e5c-02ac921467fa",
        "{c1744f8b-faa1-48a4-9e5c-02ac921467fa}",
        " c1744f8b-faa1-48a4-9e5c-02ac921467fa",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        strcpy(out, "untouched");
        assert_false(uuid_parse(rows[i], out));
        assert_string_equal(out, "untouched");
    }
}

static void durations_fall_into_their_bucket(void **state)
{
    (void)state;
    static const struct {
        nsec_t duration;
        unsigned bucket;
    } rows[] = {
        { -1, 0 },
        { 0, 0 },
        { 1, 0 },
        { NSEC_PER_MSEC, 0 },
        { NSEC_PER_MSEC + 1, 1 },
        { 2 * NSEC_PER_MSEC, 1 },
        { 2 * NSEC_PER_MSEC + 1, 2 },
        { 4 * NSEC_PER_MSEC, 2 },
        { 1000 * NSEC_PER_MSEC, 10 },
        { 65536 * NSEC_PER_MSEC, 16 },
        { 65536 * NSEC_PER_MSEC + 1, 17 },
        { INT64_MAX, 17 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct histogram h = { 0 };
        histogram_add(&h, rows[i].duration);
        for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
            assert_int_equal(h.buckets[b], b == rows[i].bucket);
        assert_int_equal(h.sum_usec, rows[i].duration > 0 ? rows[i].duration / NSEC_PER_USEC : 0);
        if (rows[i].bucket < HISTOGRAM_BUCKETS - 1)
            assert_true(rows[i].duration <= (nsec_t)histogram_bound_ms(rows[i].bucket) * NSEC_PER_MSEC);
    }
}

static void histograms_add_up(void **state)
{
    (void)state;
    struct histogram h = { 0 };
    for (int i = 0; i < 3; i++)
        histogram_add(&h, 5 * NSEC_PER_MSEC);
    assert_int_equal(h.buckets[3], 3);
    assert_int_equal(h.sum_usec, 15000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_is_splitmix64),
        cmocka_unit_test(units_are_below_one_and_spread),
        cmocka_unit_test(seeds_differ),
        cmocka_unit_test(a_rehearsal_repeats_itself),
        cmocka_unit_test(uuids_are_version_4_and_differ),
        cmocka_unit_test(uuids_are_read),
        cmocka_unit_test(durations_fall_into_their_bucket),
        cmocka_unit_test(histograms_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
