/* Answers of our own, as a client reads them. */
#include "proxy/reply.h"

#include "http/parse.h"
#include "http/rules.h"
#include "proxy/h1_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct reading {
    char bytes[4096];
    struct http_head head;
    struct http_message message;
};

/* Written as it would be sent, and parsed again. */
static void read_back(const struct reply *reply, struct reading *r)
{
    static const struct http_limits limits = { .size = sizeof r->bytes, .count = 16 };
    struct h1_message m = { .out = &reply->message, .role = H1_RESPONSE, .minor = 1 };
    struct http_parser parser;
    size_t n = h1_format_head(&m, r->bytes, sizeof r->bytes);

    http_parser_start(&parser, &r->head);
    assert_int_equal(http_parse_response(&parser, &r->head, r->bytes, n, &limits), HTTP_PARSE_DONE);
    assert_int_equal(http_response_rules(&r->head, r->bytes, METHOD_GET, false, &r->message), HTTP_ERROR_NONE);
    assert_int_equal(r->message.body, BODY_LENGTH);
    assert_int_equal(r->message.length, reply->body.n);
}

static void assert_field(const struct reading *r, const char *name, const char *expected)
{
    const struct http_field *f = http_head_find_name(&r->head, r->bytes, slice_of(name));

    if (!expected) {
        assert_null(f);
        return;
    }
    assert_non_null(f);
    if (!slice_eq(http_field_value(r->bytes, f), slice_of(expected)))
        fail_msg("%s: %.*s", name, SLICE_ARG(http_field_value(r->bytes, f)));
}

static void test_fields_by_status(void **state)
{
    static const struct {
        unsigned status;
        nsec_t retry_after;
        const char *allow, *retry;
    } rows[] = {
        { 400, 0, NULL, NULL },
        { 404, 0, NULL, NULL },
        { 405, 0, "GET, HEAD, OPTIONS, PUT, DELETE, POST, PATCH", NULL },
        { 503, 10 * NSEC_PER_SEC, NULL, "10" },
        { 503, 1, NULL, "1" }, /* rounded up: 0 would mean at once */
        { 503, 10 * NSEC_PER_SEC + 1, NULL, "11" },
        { 599, 0, NULL, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply reply;
        struct reading r;
        reply_compose(&reply, rows[i].status, "why not", rows[i].retry_after);
        read_back(&reply, &r);
        assert_int_equal(r.head.status, rows[i].status);
        assert_field(&r, "Content-Type", "text/plain; charset=utf-8");
        assert_field(&r, "Cache-Control", "no-store");
        assert_field(&r, "Allow", rows[i].allow);
        assert_field(&r, "Retry-After", rows[i].retry);
    }
    (void)state;
}

static void test_body_says_why(void **state)
{
    struct reply reply;

    reply_compose(&reply, 404, "no load balancer serves this hostname", 0);
    assert_true(slice_eq(reply.body, SLICE("404 Not Found: no load balancer serves this hostname\n")));
    (void)state;
}

static void test_a_page_is_sent_as_it_is(void **state)
{
    const struct down_page page = { .file = "sorry.html", .body = SLICE("<h1>Sorry\0</h1>"), .content_type = "text/html", .status = 500 };
    struct reply reply;
    struct reading r;

    reply_compose_page(&reply, &page, 10 * NSEC_PER_SEC);
    read_back(&reply, &r);
    assert_int_equal(r.head.status, 500);
    assert_true(slice_eq(reply.body, page.body));
    assert_field(&r, "Content-Type", "text/html");
    assert_field(&r, "Cache-Control", "no-store");
    assert_field(&r, "Retry-After", "10");
    (void)state;
}

static void test_request_id(void **state)
{
    struct reply reply;
    struct reading r;

    reply_compose(&reply, 405, "why", 10 * NSEC_PER_SEC);
    reply_add_request_id(&reply, "abc");
    read_back(&reply, &r);
    assert_field(&r, "X-Request-Id", "abc");
    assert_field(&r, "Retry-After", "10");
    reply_compose(&reply, 502, "why", 0);
    reply_add_request_id(&reply, "");
    read_back(&reply, &r);
    assert_field(&r, "X-Request-Id", NULL);
    (void)state;
}

static void test_long_words_are_cut(void **state)
{
    char why[2 * REPLY_BODY_MAX];
    struct reply reply;
    struct reading r;

    memset(why, 'w', sizeof why);
    why[sizeof why - 1] = '\0';
    reply_compose(&reply, 400, why, 0);
    assert_int_equal(reply.body.n, REPLY_BODY_MAX - 1);
    assert_int_equal(reply.body.p[reply.body.n - 1], '\n');
    read_back(&reply, &r);
    (void)state;
}

static void test_counts_by_class(void **state)
{
    struct worker *w = calloc(1, sizeof *w);
    static const unsigned statuses[] = { 0, 99, 101, 200, 299, 304, 404, 404, 404, 503, 599, 600 };

    assert_non_null(w);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        reply_count_status(w, statuses[i]);
    assert_int_equal(w->counters.responses_1xx, 1);
    assert_int_equal(w->counters.responses_2xx, 2);
    assert_int_equal(w->counters.responses_3xx, 1);
    assert_int_equal(w->counters.responses_4xx, 3);
    assert_int_equal(w->counters.responses_5xx, 2);
    reply_account_refusal(w, NULL, false, 408, REASON_CLIENT_HEADER_TIMEOUT);
    assert_int_equal(w->counters.responses_4xx, 4);
    assert_int_equal(w->counters.requests, 1);
    assert_int_equal(w->counters.failures[REASON_CLIENT_HEADER_TIMEOUT], 1);
    free(w);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_by_status),
        cmocka_unit_test(test_body_says_why),
        cmocka_unit_test(test_a_page_is_sent_as_it_is),
        cmocka_unit_test(test_request_id),
        cmocka_unit_test(test_long_words_are_cut),
        cmocka_unit_test(test_counts_by_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
