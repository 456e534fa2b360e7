/* The text formats that metrics are written in. */
#include "control/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void write_sample(struct exposition *e)
{
    const struct label labels[] = { { "pool", "a\\b" }, { "endpoint", "say \"hi\"\nand go" } };
    static const uint64_t buckets[] = { 2, 0, 3 };
    static const double bounds[] = { 0.001, 0.5 };

    exposition_family(e, "penstock_requests", METRIC_COUNTER, "Requests, \\ and \"all\".");
    exposition_sample(e, NULL, 0, 12345678901.0);
    exposition_family(e, "penstock_latency_seconds", METRIC_GAUGE, "Latency.");
    exposition_sample(e, labels, 2, 0.25);
    exposition_sample(e, labels, 1, NAN);
    exposition_sample(e, labels, 1, INFINITY);
    exposition_family(e, "penstock_duration_seconds", METRIC_HISTOGRAM, "Duration.");
    exposition_histogram(e, buckets, bounds, 3, 1.5);
    exposition_end(e);
}

static void prometheus(void **state)
{
    struct text out = { 0 };
    struct exposition e = { .out = &out };
    (void)state;
    write_sample(&e);
    assert_string_equal(out.p, "# HELP penstock_requests_total Requests, \\\\ and \"all\".\n"
                               "# TYPE penstock_requests_total counter\n"
                               "penstock_requests_total 12345678901\n"
                               "# HELP penstock_latency_seconds Latency.\n"
                               "# TYPE penstock_latency_seconds gauge\n"
                               "penstock_latency_seconds{pool=\"a\\\\b\",endpoint=\"say \\\"hi\\\"\\nand go\"} 0.25\n"
                               "penstock_latency_seconds{pool=\"a\\\\b\"} +Inf\n"
                               "# HELP penstock_duration_seconds Duration.\n"
                               "# TYPE penstock_duration_seconds histogram\n"
                               "penstock_duration_seconds_bucket{le=\"0.001\"} 2\n"
                               "penstock_duration_seconds_bucket{le=\"0.5\"} 2\n"
                               "penstock_duration_seconds_bucket{le=\"+Inf\"} 5\n"
                               "penstock_duration_seconds_sum 1.5\n"
                               "penstock_duration_seconds_count 5\n");
    text_clear(&out);
}

static void openmetrics(void **state)
{
    struct text out = { 0 };
    struct exposition e = { .out = &out, .openmetrics = true };
    (void)state;
    write_sample(&e);
    assert_non_null(strstr(out.p, "# HELP penstock_requests Requests, \\\\ and \\\"all\\\".\n"
                                  "# TYPE penstock_requests counter\n"
                                  "penstock_requests_total 12345678901\n"));
    assert_string_equal(out.p + out.n - 6, "# EOF\n");
    text_clear(&out);
}

static void nothing_is_rounded_away(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = { { 0, "0" },   { 0.1, "0.1" },      { 1e15, "1000000000000000" }, { 1795536000.123, "1795536000.123" },
                  { -1, "-1" }, { 65.536, "65.536" } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text out = { 0 };
        struct exposition e = { .out = &out };
        char expected[64];
        exposition_family(&e, "x", METRIC_GAUGE, "X.");
        exposition_sample(&e, NULL, 0, cases[i].value);
        snprintf(expected, sizeof expected, "# HELP x X.\n# TYPE x gauge\nx %s\n", cases[i].text);
        assert_string_equal(out.p, expected);
        text_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prometheus),
        cmocka_unit_test(openmetrics),
        cmocka_unit_test(nothing_is_rounded_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
