#include "alerts/channel.h"
#include "alerts/retry.h"
#include "alerts/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char body[] = "{\"type\":\"tunnel.inactive\",\"timestamp\":\"2025-11-24T16:00:00Z\",\"data\":{\"tunnel\":\"t1\"}}";
#define SECRET "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define SIGNATURE "v1,7ipIYiRhXB97ZFuyYSm9oVPRgAqZcLmAm6GiL6CB6SI="

static char *sign(const char *secrets)
{
    struct text out = { 0 };
    assert_null(signature_check_secrets(secrets));
    signature_write(secrets, "msg_tlb_0001", 1764000000, body, strlen(body), &out);
    return text_take(&out);
}

static void signatures_are_those_of_the_convention(void **state)
{
    static const struct {
        const char *secrets, *signatures;
    } cases[] = {
        { SECRET, SIGNATURE },
        { "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", SIGNATURE }, /* without padding */
        { "0123456789abcdef0123456789abcdef", SIGNATURE },                  /* the same bytes as a text */
        { " " SECRET "\n0123456789abcdef0123456789abcdef\n", SIGNATURE " " SIGNATURE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *signatures = sign(cases[i].secrets);
        assert_string_equal(signatures, cases[i].signatures);
        free(signatures);
    }
    char *other = sign("another");
    assert_int_equal(strlen(other), strlen(SIGNATURE));
    assert_string_not_equal(other, SIGNATURE);
    free(other);
}

static void unusable_secrets_are_refused_without_being_shown(void **state)
{
    static const char *const secrets[] = { "", " \n", "whsec_", "whsec_!!!!", "whsec_MDEy=MDEy", "whsec_A", "whsk_MDEyMzQ1", "whpk_MDEyMzQ1",
                                           "good whsec_@", "a b c d e" };

    (void)state;
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        const char *wrong = signature_check_secrets(secrets[i]);
        if (!wrong)
            fail_msg("'%s' was taken", secrets[i]);
        assert_null(strstr(wrong, "MDEy"));
    }
    char *longest = malloc(512);
    memset(longest, 'x', 511);
    longest[511] = '\0';
    assert_non_null(signature_check_secrets(longest));
    longest[256] = '\0';
    assert_null(signature_check_secrets(longest));
    free(longest);
}

static const struct channel_type *webhook(void)
{
    return channel_type_find("webhook");
}

static void options_are_checked(void **state)
{
    static const struct {
        const char *url, *secret, *wrong; /* NULL: fine; else part of the message */
    } cases[] = {
        { "https://hooks.example.com/penstock", NULL, NULL },
        { "http://127.0.0.1:8080/x?y=z", SECRET, NULL },
        { "https://[::1]:8443/", "text", NULL },
        { NULL, NULL, "url is missing" },
        { "", NULL, "url is missing" },
        { "hooks.example.com/x y", NULL, "url" },
        { "ftp://example.com/", NULL, "https://" },
        { "file:///etc/passwd", NULL, "https://" },
        { "https:///path", NULL, "url" },
        { "https://example.com/#top", NULL, "fragment" },
        { "https://example.com/", "whsec_!", "secret: " },
        { "https://example.com/", " ", "secret: " },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct channel_conf conf = { .name = "ops", .type = webhook(), .url = cases[i].url, .secret = cases[i].secret };
        char error[256] = "";
        bool fine = webhook()->check(&conf, error);
        if (fine != !cases[i].wrong)
            fail_msg("%s: %s", cases[i].url ? cases[i].url : "none", error);
        if (!fine)
            assert_non_null(strstr(error, cases[i].wrong));
    }
}

static void request_carries_the_event_as_it_is(void **state)
{
    struct event event = { .id = "evt_01", .type = "tunnel.inactive", .subject = "u", .severity = SEVERITY_CRITICAL, .data = "{\"a\":1}",
                           .wall = INT64_C(1764000000123) * NSEC_PER_MSEC };
    struct channel_conf conf = { .name = "ops", .type = webhook(), .url = "https://example.com/" };
    struct channel_request request = { 0 };

    (void)state;
    webhook()->compose(&conf, &event, INT64_C(1764000060) * NSEC_PER_SEC, &request);
    assert_string_equal(request.url.p, "https://example.com/");
    assert_string_equal(request.headers.p, "Content-Type: application/json\nwebhook-id: evt_01\nwebhook-timestamp: 1764000060\n");
    assert_string_equal(request.body.p, "{\"id\":\"evt_01\",\"type\":\"tunnel.inactive\",\"timestamp\":\"2025-11-24T16:00:00.123Z\","
                                        "\"severity\":\"critical\",\"data\":{\"a\":1}}");
    text_clear(&request.headers);
    text_clear(&request.url);

    struct text signature = { 0 };
    signature_write(SECRET, "evt_01", 1764000060, request.body.p, request.body.n, &signature);
    text_clear(&request.body);
    conf.secret = SECRET;
    webhook()->compose(&conf, &event, INT64_C(1764000060) * NSEC_PER_SEC, &request);
    assert_non_null(strstr(request.headers.p, "webhook-signature: v1,"));
    assert_non_null(strstr(request.headers.p, signature.p));
    text_clear(&signature);
    text_clear(&request.headers);
    text_clear(&request.url);
    text_clear(&request.body);
}

static void answers_decide_what_becomes_of_an_alert(void **state)
{
    static const struct {
        unsigned status;
        enum delivery delivery;
    } cases[] = {
        { 200, DELIVERY_DONE }, { 202, DELIVERY_DONE }, { 204, DELIVERY_DONE }, { 299, DELIVERY_DONE },
        { 0, DELIVERY_RETRY }, { 301, DELIVERY_RETRY }, { 302, DELIVERY_RETRY }, { 408, DELIVERY_RETRY }, { 425, DELIVERY_RETRY },
        { 429, DELIVERY_RETRY }, { 500, DELIVERY_RETRY }, { 502, DELIVERY_RETRY }, { 503, DELIVERY_RETRY }, { 599, DELIVERY_RETRY },
        { 410, DELIVERY_GONE },
        { 400, DELIVERY_REFUSED }, { 401, DELIVERY_REFUSED }, { 403, DELIVERY_REFUSED }, { 404, DELIVERY_REFUSED }, { 422, DELIVERY_REFUSED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (webhook()->judge(cases[i].status, "") != cases[i].delivery)
            fail_msg("status %u", cases[i].status);
}

static void pauses_grow(void **state)
{
    static const struct {
        unsigned failures;
        nsec_t retry_after;
        double draw;
        double seconds;
    } cases[] = {
        { 1, 0, 0.5, 1 }, { 2, 0, 0.5, 2 }, { 3, 0, 0.5, 5 }, { 4, 0, 0.5, 15 }, { 5, 0, 0.5, 30 }, { 6, 0, 0.5, 60 }, { 7, 0, 0.5, 300 },
        { 8, 0, 0.5, 300 }, { 4000, 0, 0.5, 300 },
        { 1, 0, 0, 0.9 }, { 1, 0, 1, 1.1 }, { 7, 0, 0, 270 },
        { 1, 20 * NSEC_PER_SEC, 0.5, 20 }, { 7, 20 * NSEC_PER_SEC, 0.5, 300 }, { 1, INT64_MAX, 0.5, 3600 }, { 1, NSEC_PER_SEC, 0, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double seconds = nsec_to_seconds(retry_pause(cases[i].failures, cases[i].retry_after, cases[i].draw));
        if (seconds < cases[i].seconds - 0.001 || seconds > cases[i].seconds + 0.001)
            fail_msg("after %u failures: %g", cases[i].failures, seconds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_the_convention),
        cmocka_unit_test(unusable_secrets_are_refused_without_being_shown),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(request_carries_the_event_as_it_is),
        cmocka_unit_test(answers_decide_what_becomes_of_an_alert),
        cmocka_unit_test(pauses_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
