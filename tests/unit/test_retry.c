/* The retry table, row by row. */
#include "proxy/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void set_status(struct failover *f, unsigned status)
{
    f->on_status[status / 8] |= (uint8_t)(1U << (status % 8));
}

/* What a load balancer has where nothing is given, with a timeout failed over too. */
static struct failover by_default(void)
{
    struct failover f = {
        .retries = 2,
        .on = FAILOVER_CONNECT_ERROR | FAILOVER_RESET | FAILOVER_TUNNEL_INACTIVE | FAILOVER_TIMEOUT,
    };

    for (unsigned s = 502; s <= 504; s++)
        set_status(&f, s);
    for (unsigned s = 520; s <= 527; s++)
        set_status(&f, s);
    set_status(&f, 530);
    return f;
}

/* N: no; S: the same endpoint on a fresh connection; O: another endpoint; C: another one, charged to the budget. */
static char letter(struct retry_decision d)
{
    if (d.retry == RETRY_OTHER)
        return d.charged ? 'C' : 'O';
    assert_false(d.charged);
    return d.retry == RETRY_SAME_FRESH ? 'S' : 'N';
}

static const enum http_method methods[] = {
    METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_TRACE, METHOD_PUT, METHOD_DELETE, METHOD_POST, METHOD_PATCH, METHOD_OTHER
};
enum { METHODS = sizeof methods / sizeof *methods };

struct row {
    const char *name;
    struct retry_case c;
    char expected[METHODS + 1];       /* by method, body kept */
    char undelivered[METHODS + 1];    /* the same with retry_post_undelivered; "": as before */
};

static const struct row rows[] = {
    { "refused", { .stage = STAGE_NOT_CONNECTED, .reason = REASON_CONNECT_FAILED }, "OOOOOOOOO", "" },
    { "no address", { .stage = STAGE_NOT_CONNECTED, .reason = REASON_NO_ADDRESS }, "OOOOOOOOO", "" },
    { "TLS not finished", { .stage = STAGE_NOT_CONNECTED, .reason = REASON_TLS_FAILED }, "OOOOOOOOO", "" },
    { "tunnel without a connection", { .stage = STAGE_NOT_CONNECTED, .reason = REASON_TUNNEL_INACTIVE }, "OOOOOOOOO", "" },
    { "kept connection found closed, nothing written", { .stage = STAGE_REUSED_UNSENT, .reason = REASON_REUSE_RACE }, "SSSSSSSSS", "" },
    { "the same again on a fresh one", { .stage = STAGE_REUSED_UNSENT, .reason = REASON_REUSE_RACE, .same_tried = 1 }, "OOOOOOOOO", "" },
    { "kept connection closed, request written", { .stage = STAGE_REUSED_SENT, .reason = REASON_REUSE_RACE }, "SSSSSSNNN", "" },
    { "the same again on a fresh one, request written", { .stage = STAGE_REUSED_SENT, .reason = REASON_REUSE_RACE, .same_tried = 1 },
      "OOOOOONNN", "" },
    { "reset after the request", { .stage = STAGE_SENT, .reason = REASON_RESET }, "OOOOOONNN", "" },
    { "response timeout", { .stage = STAGE_RESPONSE_TIMEOUT, .reason = REASON_RESPONSE_TIMEOUT }, "OOOONNNNN", "" },
    { "response timeout again", { .stage = STAGE_RESPONSE_TIMEOUT, .reason = REASON_RESPONSE_TIMEOUT, .timed_out_before = true },
      "NNNNNNNNN", "" },
    { "response timeout after a refusal", { .stage = STAGE_RESPONSE_TIMEOUT, .reason = REASON_RESPONSE_TIMEOUT, .others_tried = 1 },
      "OOOONNNNN", "" },
    { "a connection of a tunnel is lost, of which there are more, after all retries",
      { .stage = STAGE_SENT, .reason = REASON_CONNECTION_LOST, .others_tried = 2, .has_line = true }, "OOOOOONNN", "" },
    { "the same before the request had begun",
      { .stage = STAGE_NOT_CONNECTED, .reason = REASON_CONNECTION_LOST, .others_tried = 2, .has_line = true }, "OOOOOOOOO", "" },
    { "a connection of a tunnel is lost after all retries", { .stage = STAGE_SENT, .reason = REASON_CONNECTION_LOST, .others_tried = 2 }, "NNNNNNNNN", "" },
    { "502", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 502 }, "CCCCNNNNN", "" },
    { "503", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 503 }, "CCCCNNNNN", "" },
    { "504", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 504 }, "CCCCNNNNN", "" },
    { "520", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 520 }, "CCCCNNNNN", "" },
    { "521", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 521 }, "CCCCNNNNN", "CCCCCCCCC" },
    { "522", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 522 }, "CCCCNNNNN", "" },
    { "523", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 523 }, "CCCCNNNNN", "CCCCCCCCC" },
    { "524", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 524 }, "CCCCNNNNN", "" },
    { "525", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 525 }, "CCCCNNNNN", "CCCCCCCCC" },
    { "526", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 526 }, "CCCCNNNNN", "CCCCCCCCC" },
    { "527", { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 527 }, "CCCCNNNNN", "" },
    { "530 of a dead tunnel", { .stage = STAGE_RESPONSE, .reason = REASON_TUNNEL_INACTIVE, .status = 530 }, "CCCCNNNNN", "CCCCCCCCC" },
    { "500 is the application's", { .stage = STAGE_RESPONSE, .status = 500 }, "NNNNNNNNN", "" },
    { "404 is an answer", { .stage = STAGE_RESPONSE, .status = 404 }, "NNNNNNNNN", "" },
    { "not HTTP", { .stage = STAGE_RESPONSE, .reason = REASON_MALFORMED }, "CCCCCCNNN", "" },
    { "forwarded in part", { .stage = STAGE_RESPONSE, .reason = REASON_TRUNCATED, .status = 502, .forwarded = true }, "NNNNNNNNN", "" },
    { "forwarded, then reset", { .stage = STAGE_SENT, .reason = REASON_RESET, .forwarded = true }, "NNNNNNNNN", "" },
    { "no endpoint left to try", { .stage = STAGE_NOT_CONNECTED, .reason = REASON_CONNECT_FAILED, .others_tried = 2 }, "NNNNNNNNN", "" },
    { "the reuse race does not use up a try", { .stage = STAGE_REUSED_SENT, .reason = REASON_REUSE_RACE, .others_tried = 2 }, "SSSSSSNNN", "" },
    { "the client went", { .stage = STAGE_SENT, .reason = REASON_CLIENT_GONE }, "NNNNNNNNN", "" },
    { "the deadline of it all", { .stage = STAGE_NOT_CONNECTED, .reason = REASON_TOTAL_TIMEOUT }, "NNNNNNNNN", "" },
    { "we are out of descriptors", { .stage = STAGE_NOT_CONNECTED, .reason = REASON_INTERNAL }, "NNNNNNNNN", "" },
};

static void assert_row(const struct row *row, const struct failover *f, const char *expected)
{
    for (unsigned m = 0; m < METHODS; m++) {
        struct retry_case c = row->c;
        c.method = methods[m];
        c.body_kept = true;
        char seen = letter(retry_decide(f, &c));
        if (seen != expected[m])
            fail_msg("%s, %s: %c instead of %c", row->name, http_method_name(methods[m]), seen, expected[m]);
    }
}

static void test_table(void **state)
{
    struct failover plain = by_default(), undelivered = by_default();

    (void)state;
    undelivered.retry_post_undelivered = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_row(&rows[i], &plain, rows[i].expected);
        assert_row(&rows[i], &undelivered, *rows[i].undelivered ? rows[i].undelivered : rows[i].expected);
    }
}

/* A body that has gone past the buffer can't be sent again, whatever happened. */
static void test_nothing_without_the_body(void **state)
{
    struct failover f = by_default();

    (void)state;
    f.retry_post_undelivered = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned m = 0; m < METHODS; m++) {
            struct retry_case c = rows[i].c;
            c.method = methods[m];
            assert_int_equal(retry_decide(&f, &c).retry, RETRY_NO);
        }
}

static void test_an_idempotency_key_makes_a_post_a_put(void **state)
{
    struct failover f = by_default();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct retry_case post = rows[i].c, put = rows[i].c;
        post.method = METHOD_POST;
        put.method = METHOD_PUT;
        post.body_kept = put.body_kept = post.idempotency_key = true;
        f.idempotency_key = true;
        assert_int_equal(letter(retry_decide(&f, &post)), letter(retry_decide(&f, &put)));
        f.idempotency_key = false;
        char with = letter(retry_decide(&f, &post));
        post.idempotency_key = false;
        assert_int_equal(letter(retry_decide(&f, &post)), with);
    }
}

/* Each condition of the list stands for its own stage. */
static void test_the_list_decides(void **state)
{
    static const struct {
        unsigned on;
        struct retry_case c;
    } conditions[] = {
        { FAILOVER_CONNECT_ERROR, { .stage = STAGE_NOT_CONNECTED, .reason = REASON_CONNECT_FAILED } },
        { FAILOVER_CONNECT_ERROR, { .stage = STAGE_REUSED_UNSENT, .reason = REASON_REUSE_RACE, .same_tried = 1 } },
        { FAILOVER_TUNNEL_INACTIVE, { .stage = STAGE_NOT_CONNECTED, .reason = REASON_TUNNEL_INACTIVE } },
        { FAILOVER_TUNNEL_INACTIVE, { .stage = STAGE_RESPONSE, .reason = REASON_TUNNEL_INACTIVE, .status = 530 } },
        { FAILOVER_RESET, { .stage = STAGE_SENT, .reason = REASON_RESET } },
        { FAILOVER_RESET, { .stage = STAGE_RESPONSE, .reason = REASON_MALFORMED } },
        { FAILOVER_TIMEOUT, { .stage = STAGE_RESPONSE_TIMEOUT, .reason = REASON_RESPONSE_TIMEOUT } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        struct retry_case c = conditions[i].c;
        c.method = METHOD_GET;
        c.body_kept = true;
        for (unsigned on = 1; on <= FAILOVER_TIMEOUT; on *= 2) {
            struct failover f = { .retries = 2, .on = on };
            assert_int_equal(retry_decide(&f, &c).retry == RETRY_OTHER, on == conditions[i].on);
        }
    }
}

static void test_statuses_of_the_list(void **state)
{
    struct failover f = { .retries = 1 };

    (void)state;
    set_status(&f, 500);
    set_status(&f, 530);
    for (unsigned status = 100; status < 600; status++) {
        struct retry_case c = { .stage = STAGE_RESPONSE, .status = status, .method = METHOD_GET, .body_kept = true };
        assert_int_equal(letter(retry_decide(&f, &c)), status == 500 || status == 530 ? 'C' : 'N');
    }
}

static void test_why_not(void **state)
{
    static const struct {
        struct retry_case c;
        enum retry_refused refused;
    } cases[] = {
        { { .stage = STAGE_RESPONSE, .status = 200, .method = METHOD_GET }, REFUSED_NO_FAILURE },
        { { .stage = STAGE_SENT, .reason = REASON_CLIENT_GONE, .method = METHOD_GET, .body_kept = true }, REFUSED_NO_FAILURE },
        { { .stage = STAGE_SENT, .reason = REASON_RESET, .method = METHOD_GET, .body_kept = true, .forwarded = true }, REFUSED_BEGUN },
        { { .stage = STAGE_NOT_CONNECTED, .reason = REASON_CONNECT_FAILED, .method = METHOD_PUT }, REFUSED_BODY },
        { { .stage = STAGE_SENT, .reason = REASON_RESET, .method = METHOD_POST, .body_kept = true }, REFUSED_METHOD },
        { { .stage = STAGE_REUSED_SENT, .reason = REASON_REUSE_RACE, .method = METHOD_POST, .body_kept = true }, REFUSED_METHOD },
        { { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 503, .method = METHOD_POST, .body_kept = true }, REFUSED_METHOD },
        { { .stage = STAGE_RESPONSE, .reason = REASON_STATUS, .status = 503, .method = METHOD_GET, .body_kept = true, .others_tried = 2 }, REFUSED_RETRIES },
        { { .stage = STAGE_RESPONSE_TIMEOUT, .reason = REASON_RESPONSE_TIMEOUT, .method = METHOD_GET, .body_kept = true, .timed_out_before = true },
          REFUSED_TIMED_OUT },
        { { .stage = STAGE_SENT, .reason = REASON_RESET, .method = METHOD_GET, .body_kept = true }, REFUSED_NOT },
    };
    struct failover f = by_default(), nothing = { .retries = 2 };
    struct retry_case reset = { .stage = STAGE_SENT, .reason = REASON_RESET, .method = METHOD_GET, .body_kept = true };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct retry_decision d = retry_decide(&f, &cases[i].c);
        assert_int_equal(d.refused, cases[i].refused);
        assert_int_equal(d.retry == RETRY_NO, d.refused != REFUSED_NOT);
    }
    assert_int_equal(retry_decide(&nothing, &reset).refused, REFUSED_KIND);
}

/* Even without any failover a kept connection that turned out closed costs nobody the answer. */
static void test_the_reuse_race_is_no_failover(void **state)
{
    struct failover none = { 0 };
    struct retry_case c = { .stage = STAGE_REUSED_SENT, .reason = REASON_REUSE_RACE, .method = METHOD_GET, .body_kept = true };

    (void)state;
    assert_int_equal(letter(retry_decide(&none, &c)), 'S');
    c.same_tried = 1;
    assert_int_equal(letter(retry_decide(&none, &c)), 'N');
}

/* --- the budget --- */

static void begin_many(struct retry_budget *b, unsigned n)
{
    while (n--)
        retry_budget_begin(b);
}

static unsigned take_all(struct retry_budget *b)
{
    unsigned taken = 0;
    bool held;

    while (held = false, retry_budget_take(b, &held))
        taken++;
    return taken;
}

static void test_the_budget_is_a_fifth_but_three_at_least(void **state)
{
    static const struct { unsigned in_flight, budget; } budgets[] = {
        { 1, 3 }, { 3, 3 }, { 15, 3 }, { 19, 3 }, { 20, 4 }, { 100, 20 }, { 1000, 200 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        struct retry_budget b = { 0 };
        begin_many(&b, budgets[i].in_flight);
        assert_int_equal(take_all(&b), budgets[i].budget);
    }
}

static void test_an_exchange_holds_one_share_until_it_ends(void **state)
{
    struct retry_budget b = { 0 };
    bool held[4] = { false };

    (void)state;
    begin_many(&b, 4);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(retry_budget_take(&b, &held[i]));
        assert_true(retry_budget_take(&b, &held[i]));
    }
    assert_false(retry_budget_take(&b, &held[3]));
    assert_false(held[3]);
    retry_budget_end(&b, held[0]);
    assert_true(retry_budget_take(&b, &held[3]));
    for (unsigned i = 1; i < 4; i++)
        retry_budget_end(&b, held[i]);
    assert_int_equal(b.in_flight, 0);
    assert_int_equal(b.retrying, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_nothing_without_the_body),
        cmocka_unit_test(test_an_idempotency_key_makes_a_post_a_put),
        cmocka_unit_test(test_the_list_decides),
        cmocka_unit_test(test_statuses_of_the_list),
        cmocka_unit_test(test_why_not),
        cmocka_unit_test(test_the_reuse_race_is_no_failover),
        cmocka_unit_test(test_the_budget_is_a_fifth_but_three_at_least),
        cmocka_unit_test(test_an_exchange_holds_one_share_until_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
