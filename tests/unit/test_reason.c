/* Every reason has its row, and the two questions asked of it have the answers that behaviour demands. */
#include "balance/reason.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_every_row_is_present(void **state)
{
    (void)state;
    for (enum reason r = REASON_NONE; r < REASONS; r++) {
        const char *code = reason_code(r);
        assert_non_null(code);
        for (const char *c = code; *c; c++)
            assert_true(islower((unsigned char)*c) || *c == '_');
        assert_true(strlen(code) > 1);
        assert_non_null(reason_sentence(r));
        assert_true(strlen(reason_sentence(r)) > 10);
    }
}

/* Log lines and metrics tell them apart by the code. */
static void test_codes_differ(void **state)
{
    (void)state;
    for (enum reason a = REASON_NONE; a < REASONS; a++)
        for (enum reason b = REASON_NONE; b < a; b++)
            assert_string_not_equal(reason_code(a), reason_code(b));
}

static const struct {
    enum reason reason;
    bool counts, transport;
} rows[] = {
    { REASON_NONE, false, false },          { REASON_NO_ADDRESS, true, true },     { REASON_CONNECT_FAILED, true, true },
    { REASON_CONNECT_TIMEOUT, true, true }, { REASON_TLS_FAILED, true, true },     { REASON_RESET, true, true },
    { REASON_RESPONSE_TIMEOUT, true, false }, { REASON_MALFORMED, true, false },   { REASON_STATUS, true, false },
    { REASON_TUNNEL_INACTIVE, true, true }, { REASON_ORIGIN_UNREACHABLE, true, false },
};

static void test_what_counts_against_an_endpoint(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(reason_counts_against_endpoint(rows[i].reason), rows[i].counts);
        assert_int_equal(reason_is_transport(rows[i].reason), rows[i].transport);
    }
    assert_false(reason_counts_against_endpoint(REASON_REUSE_RACE));
    for (enum reason r = REASON_CLIENT_GONE; r < REASONS; r++)
        assert_false(reason_counts_against_endpoint(r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_present),
        cmocka_unit_test(test_codes_differ),
        cmocka_unit_test(test_what_counts_against_an_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
