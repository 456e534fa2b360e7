#define PCRE2_CODE_UNIT_WIDTH 8

#include "monitors/check.h"

#include "base/list.h"
#include "base/mem.h"

#include <pcre2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_codes(struct monitor *monitor, unsigned from, unsigned to)
{
    monitor->expected_codes_given = true;
    for (unsigned status = from; status <= to; status++)
        monitor->expected_codes[status / 8] |= (uint8_t)(1 << status % 8);
}

/* What an answer means: with expected codes 200-299, and without. */

struct answer_case {
    const char *name;
    bool cloudflare;
    enum reason reason;
    unsigned status;
    const char *body, *location;
    enum diagnosis strict, lenient;
    const char *detail; /* of the strict one: how it begins */
};

static const char challenge[] = "<html><title>Just a moment...</title><script src=\"/cdn-cgi/challenge-platform/h/g\"></script>";

static const struct answer_case answers[] = {
    { "good", false, REASON_NONE, 200, "ok", NULL, DIAGNOSIS_OK, DIAGNOSIS_OK, "200 in" },
    { "no content", true, REASON_NONE, 204, NULL, NULL, DIAGNOSIS_OK, DIAGNOSIS_OK, "204 in" },
    { "login page elsewhere", false, REASON_NONE, 302, NULL, "https://sso.example.com/?from=x", DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK,
      "expected 200-299, got 302 to https://sso.example.com/" },
    { "not found", false, REASON_NONE, 404, NULL, NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK, "expected 200-299, got 404" },
    { "application error", false, REASON_NONE, 500, "x", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK, "expected 200-299, got 500" },
    { "501", false, REASON_NONE, 501, "x", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK, "expected" },
    { "plain 502", false, REASON_NONE, 502, "x", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_WRONG_STATUS, "expected 200-299, got 502" },
    { "plain 503", false, REASON_NONE, 503, "x", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_WRONG_STATUS, "expected" },
    { "plain 504", false, REASON_NONE, 504, "x", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_WRONG_STATUS, "expected" },
    { "plain 530", false, REASON_NONE, 530, "error code: 1033", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_WRONG_STATUS, "expected" },
    { "plain 429", false, REASON_NONE, 429, "x", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK, "expected" },
    { "plain 599", false, REASON_NONE, 599, "x", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK, "expected" },

    { "no connector", true, REASON_NONE, 530, "<h1>Error 1033</h1> Cloudflare Tunnel error", NULL, DIAGNOSIS_TUNNEL_INACTIVE,
      DIAGNOSIS_TUNNEL_INACTIVE, "530/1033 from the edge" },
    { "no connector, plain text", true, REASON_NONE, 530, "error code: 1033", NULL, DIAGNOSIS_TUNNEL_INACTIVE, DIAGNOSIS_TUNNEL_INACTIVE,
      "530/1033 from the edge" },
    { "no record", true, REASON_NONE, 530, "<span>Error</span> <span>1016</span>", NULL, DIAGNOSIS_TUNNEL_INACTIVE, DIAGNOSIS_TUNNEL_INACTIVE,
      "530/1016 from the edge" },
    { "530 without a body", true, REASON_NONE, 530, NULL, NULL, DIAGNOSIS_TUNNEL_INACTIVE, DIAGNOSIS_TUNNEL_INACTIVE, "530 from the edge" },
    { "530 and other digits", true, REASON_NONE, 530, "error at 10:33:12 code 10330 x", NULL, DIAGNOSIS_TUNNEL_INACTIVE,
      DIAGNOSIS_TUNNEL_INACTIVE, "530 from the edge" },
    { "service behind the tunnel", true, REASON_NONE, 502, "Unable to reach the origin service", NULL, DIAGNOSIS_ORIGIN_DOWN,
      DIAGNOSIS_ORIGIN_DOWN, "502 from the edge" },
    { "origin refuses", true, REASON_NONE, 521, NULL, NULL, DIAGNOSIS_ORIGIN_DOWN, DIAGNOSIS_ORIGIN_DOWN, "521 from the edge" },
    { "catch-all", true, REASON_NONE, 404, NULL, NULL, DIAGNOSIS_NO_INGRESS_RULE, DIAGNOSIS_OK, "404 with an empty body" },
    { "the application's 404", true, REASON_NONE, 404, "no such page", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK, "expected" },
    { "Access login", true, REASON_NONE, 302, NULL, "https://team.cloudflareaccess.com/cdn-cgi/access/login/x", DIAGNOSIS_PROBE_BLOCKED,
      DIAGNOSIS_OK, "302 to team.cloudflareaccess.com" },
    { "a name that only ends alike", true, REASON_NONE, 302, NULL, "https://evilcloudflareaccess.com/", DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK,
      "expected" },
    { "Access refuses", true, REASON_NONE, 403, "<a href=https://team.cloudflareaccess.com>", NULL, DIAGNOSIS_PROBE_BLOCKED, DIAGNOSIS_OK,
      "403 from the edge" },
    { "challenge", true, REASON_NONE, 503, challenge, NULL, DIAGNOSIS_PROBE_BLOCKED, DIAGNOSIS_PROBE_BLOCKED, "503 from the edge" },
    { "overload, no challenge", true, REASON_NONE, 503, "busy", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_WRONG_STATUS, "expected" },
    { "firewall rule", true, REASON_NONE, 403, "error code: 1020", NULL, DIAGNOSIS_PROBE_BLOCKED, DIAGNOSIS_OK, "403/1020 from the edge" },
    { "rate limit", true, REASON_NONE, 429, "error code: 1015", NULL, DIAGNOSIS_PROBE_BLOCKED, DIAGNOSIS_OK, "429/1015 from the edge" },
    { "the application's 403", true, REASON_NONE, 403, "forbidden", NULL, DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_OK, "expected" },
    { "our headers", true, REASON_NONE, 403, "{\"error_code\":1000}", NULL, DIAGNOSIS_FORBIDDEN_HEADERS, DIAGNOSIS_FORBIDDEN_HEADERS,
      "403/1000 from the edge" },
    { "a page about errors", true, REASON_NONE, 200, "error code: 1000", NULL, DIAGNOSIS_OK, DIAGNOSIS_OK, "200 in" },

    { "refused", false, REASON_CONNECT_FAILED, 0, NULL, NULL, DIAGNOSIS_UNREACHABLE, DIAGNOSIS_UNREACHABLE, "words of the network" },
    { "certificate", true, REASON_TLS_FAILED, 0, NULL, NULL, DIAGNOSIS_UNREACHABLE, DIAGNOSIS_UNREACHABLE, "words of the network" },
    { "silence", false, REASON_RESPONSE_TIMEOUT, 0, NULL, NULL, DIAGNOSIS_UNREACHABLE, DIAGNOSIS_UNREACHABLE, "words of the network" },
    { "no such name", false, REASON_NO_ADDRESS, 0, NULL, NULL, DIAGNOSIS_NAME, DIAGNOSIS_NAME, "words of the network" },
    { "not HTTP", false, REASON_MALFORMED, 0, NULL, NULL, DIAGNOSIS_MALFORMED, DIAGNOSIS_MALFORMED, "words of the network" },
    { "cut off in the body", false, REASON_TRUNCATED, 200, "o", NULL, DIAGNOSIS_UNREACHABLE, DIAGNOSIS_UNREACHABLE, "words of the network" },
};

static void judge(const struct monitor *monitor, const struct answer_case *c, struct judgement *out)
{
    struct pool pool = { .name = "p" };
    struct endpoint endpoint = { .id = "p/e", .pool = &pool, .behind_cloudflare = c->cloudflare };
    struct probe probe = { .endpoint = &endpoint };

    probe.result = (struct probe_result){ .reason = c->reason, .status = c->status, .body = (char *)c->body,
                                          .body_length = c->body ? strlen(c->body) : 0, .location = (char *)c->location };
    if (c->reason != REASON_NONE)
        snprintf(probe.result.detail, sizeof probe.result.detail, "words of the network");
    monitor->type->judge(monitor, &probe, out);
}

static void answers_are_told_apart(void **state)
{
    struct monitor strict = { .name = "strict", .type = monitor_type_find("http") }, lenient = strict;

    (void)state;
    expect_codes(&strict, 200, 299);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct answer_case *c = &answers[i];
        struct judgement with = { 0 }, without = { 0 };
        judge(&strict, c, &with);
        judge(&lenient, c, &without);
        if (with.diagnosis != c->strict || without.diagnosis != c->lenient)
            fail_msg("%s: %s, %s", c->name, diagnosis_code(with.diagnosis), diagnosis_code(without.diagnosis));
        assert_int_equal(with.pass, c->strict == DIAGNOSIS_OK);
        assert_int_equal(without.pass, c->lenient == DIAGNOSIS_OK);
        if (strncmp(with.detail, c->detail, strlen(c->detail)) != 0)
            fail_msg("%s: %s", c->name, with.detail);
    }
}

static void expected_codes_rule_over_symptoms(void **state)
{
    static const struct answer_case access = { "", true, REASON_NONE, 302, NULL, "https://team.cloudflareaccess.com/", 0, 0, "" };
    static const struct answer_case empty = { "", true, REASON_NONE, 404, NULL, NULL, 0, 0, "" };
    struct monitor monitor = { .name = "m", .type = monitor_type_find("http") };
    struct judgement judgement;

    (void)state;
    expect_codes(&monitor, 302, 302);
    judge(&monitor, &access, &judgement);
    assert_true(judgement.pass);
    judge(&monitor, &empty, &judgement);
    assert_false(judgement.pass);
}

static void details_are_printable(void **state)
{
    static const struct answer_case strange = { "", false, REASON_NONE, 302, NULL, "https://x/\xff\xfe\x01", 0, 0, "" };
    struct monitor monitor = { .name = "m", .type = monitor_type_find("http") };
    struct judgement judgement;

    (void)state;
    expect_codes(&monitor, 200, 204);
    judge(&monitor, &strange, &judgement);
    assert_string_equal(judgement.detail, "expected 200-204, got 302 to https://x/???");
}

/* Bodies */

static void bodies_are_searched(void **state)
{
    static const struct {
        const char *expected, *pattern, *body;
        bool pass;
    } cases[] = {
        { "OK", NULL, "status: ok", true }, /* Cloudflare's expected_body ignores case too */
        { "ok", NULL, "o k", false },
        { "ok", NULL, NULL, false },
        { "", NULL, "anything", true },
        { NULL, "^status: (up|fine)$", "status: fine", true },
        { NULL, "^status: (up|fine)$", "status: down", false },
        { NULL, "^$", NULL, true },
        { NULL, "(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false }, /* ends at the limit of steps */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code;
        PCRE2_SIZE offset;
        struct answer_case answer = { .status = 200, .body = cases[i].body };
        struct monitor monitor = { .name = "m", .type = monitor_type_find("http"), .expected_body = cases[i].expected };
        struct judgement judgement;

        if (cases[i].pattern)
            monitor.expected_pattern = pcre2_compile((PCRE2_SPTR)cases[i].pattern, PCRE2_ZERO_TERMINATED, 0, &code, &offset, NULL);
        expect_codes(&monitor, 200, 299);
        judge(&monitor, &answer, &judgement);
        assert_int_equal(judgement.pass, cases[i].pass);
        assert_int_equal(judgement.diagnosis, cases[i].pass ? DIAGNOSIS_OK : DIAGNOSIS_WRONG_BODY);
        pcre2_code_free(monitor.expected_pattern);
    }
}

static void tcp_needs_a_connection_and_no_more(void **state)
{
    static const struct answer_case connected = { "", true, REASON_NONE, 0, NULL, NULL, 0, 0, "" };
    static const struct answer_case refused = { "", true, REASON_CONNECT_FAILED, 0, NULL, NULL, 0, 0, "" };
    struct monitor monitor = { .name = "m", .type = monitor_type_find("tcp") };
    struct judgement judgement;

    (void)state;
    judge(&monitor, &connected, &judgement);
    assert_true(judgement.pass);
    judge(&monitor, &refused, &judgement);
    assert_false(judgement.pass);
    assert_int_equal(judgement.diagnosis, DIAGNOSIS_UNREACHABLE);
}

/* Checks: a scripted endpoint answers the probes one by one. */

struct script {
    enum reason reason;
    unsigned status;
    const char *location;
    nsec_t total;
};

struct check_fixture {
    struct config *config;
    struct probe *out; /* the one under way */
    unsigned probes;
    char asked[1024]; /* "host path;" of each */
    nsec_t timeout;   /* of the last */
    unsigned done;
    struct judgement judgement;
};

static void on_run(void *arg, struct probe *probe)
{
    struct check_fixture *f = arg;
    size_t n = strlen(f->asked);

    assert_null(f->out);
    f->out = probe;
    f->probes++;
    f->timeout = probe->timeout;
    snprintf(f->asked + n, sizeof f->asked - n, "%s %s;", probe->host, probe->path ? probe->path : "-");
}

static void on_done(void *arg, const struct judgement *judgement, const struct probe *last)
{
    struct check_fixture *f = arg;
    assert_non_null(last);
    f->done++;
    f->judgement = *judgement;
}

static void answer(struct check_fixture *f, const struct script *script)
{
    struct probe *probe = f->out;

    f->out = NULL;
    probe->result.reason = script->reason;
    probe->result.status = script->status;
    probe->result.location = script->location ? mem_copy_text(script->location) : NULL;
    probe->result.total = script->total;
    probe->done(probe, probe->arg);
}

static struct config *make_config(void)
{
    static const char *const hostnames[] = { "*.example.com", "app.example.com" };
    struct config *config = config_new();
    struct arena *arena = &config->arena;
    struct pool *pool = arena_alloc(arena, sizeof *pool);
    struct endpoint *endpoint = arena_alloc(arena, sizeof *endpoint);
    struct endpoint **endpoints = arena_array(arena, 1, sizeof *endpoints);
    struct pool **default_pools = arena_array(arena, 1, sizeof *default_pools);
    struct load_balancer *lb = arena_alloc(arena, sizeof *lb);

    *endpoint = (struct endpoint){ .name = "e", .id = "p/e", .pool = pool, .enabled = true, .dial_host = "10.0.0.1", .dial_port = 80 };
    *pool = (struct pool){ .name = "p", .enabled = true, .endpoints = endpoint, .n_endpoints = 1 };
    endpoints[0] = endpoint;
    default_pools[0] = pool;
    *lb = (struct load_balancer){ .name = "lb", .hostnames = { hostnames, 2 }, .default_pools = default_pools, .n_default_pools = 1 };
    config->endpoints = endpoints;
    config->n_endpoints = 1;
    config->load_balancers = lb;
    config->n_load_balancers = 1;
    return config;
}

static const struct header_pair host_header[] = { { "Accept", "*/*" }, { "host", "probe.example.com" } };

static void checks_follow_and_repeat(void **state)
{
    static const struct {
        const char *name;
        bool follow, own_host, plain_config;
        unsigned retries;
        struct script script[8];
        unsigned probes;
        enum diagnosis diagnosis;
        const char *asked;
    } cases[] = {
        { "one answer", false, false, false, 1, { { .status = 200 } }, 1, DIAGNOSIS_OK, "app.example.com /health;" },
        { "an answer is not asked for twice", false, false, false, 3, { { .status = 500 } }, 1, DIAGNOSIS_WRONG_STATUS, "app.example.com /health;" },
        { "lost once", false, false, false, 1, { { .reason = REASON_RESET }, { .status = 200 } }, 2, DIAGNOSIS_OK,
          "app.example.com /health;app.example.com /health;" },
        { "lost for good", false, false, false, 2, { { .reason = REASON_RESET }, { .reason = REASON_CONNECT_TIMEOUT }, { .reason = REASON_RESET } }, 3,
          DIAGNOSIS_UNREACHABLE, "app.example.com /health;app.example.com /health;app.example.com /health;" },
        { "no retries", false, false, false, 0, { { .reason = REASON_RESET } }, 1, DIAGNOSIS_UNREACHABLE, "app.example.com /health;" },
        { "the monitor's own Host", false, true, false, 0, { { .status = 200 } }, 1, DIAGNOSIS_OK, "probe.example.com /health;" },
        { "no name to be had", false, false, true, 0, { { .status = 200 } }, 1, DIAGNOSIS_OK, "10.0.0.1 /health;" },
        { "redirect not followed", false, false, false, 0, { { .status = 302, .location = "/x" } }, 1, DIAGNOSIS_WRONG_STATUS,
          "app.example.com /health;" },
        { "redirects within", true, false, false, 0,
          { { .status = 302, .location = "/a?b=c#d" }, { .status = 301, .location = "http://APP.example.com:80/e" }, { .status = 200 } }, 3,
          DIAGNOSIS_OK, "app.example.com /health;app.example.com /a?b=c;app.example.com /e;" },
        { "relative", true, false, false, 0, { { .status = 307, .location = "live/" }, { .status = 200 } }, 2, DIAGNOSIS_OK,
          "app.example.com /health;app.example.com /live/;" },
        { "another host", true, false, false, 0, { { .status = 302, .location = "http://other.example.com/" } }, 1, DIAGNOSIS_WRONG_STATUS,
          "app.example.com /health;" },
        { "another port", true, false, false, 0, { { .status = 302, .location = "http://app.example.com:81/" } }, 1, DIAGNOSIS_WRONG_STATUS,
          "app.example.com /health;" },
        { "another scheme", true, false, false, 0, { { .status = 302, .location = "https://app.example.com/" } }, 1, DIAGNOSIS_WRONG_STATUS,
          "app.example.com /health;" },
        { "what is no URL", true, false, false, 0, { { .status = 302, .location = "http://[" } }, 1, DIAGNOSIS_WRONG_STATUS,
          "app.example.com /health;" },
        { "round and round", true, false, false, 0,
          { { .status = 302, .location = "/" }, { .status = 302, .location = "/" }, { .status = 302, .location = "/" },
            { .status = 302, .location = "/" }, { .status = 302, .location = "/" }, { .status = 302, .location = "/" } },
          6, DIAGNOSIS_WRONG_STATUS,
          "app.example.com /health;app.example.com /;app.example.com /;app.example.com /;app.example.com /;app.example.com /;" },
        { "the time is up", true, false, false, 0, { { .status = 302, .location = "/", .total = 5 * NSEC_PER_SEC } }, 1, DIAGNOSIS_WRONG_STATUS,
          "app.example.com /health;" },
        { "lost after a redirect", true, false, false, 1,
          { { .status = 302, .location = "/x" }, { .reason = REASON_RESET }, { .status = 302, .location = "/x" }, { .status = 200 } }, 4,
          DIAGNOSIS_OK, "app.example.com /health;app.example.com /x;app.example.com /health;app.example.com /x;" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct check_fixture f = { .config = make_config() };
        struct monitor monitor = { .name = "m", .type = monitor_type_find("http"), .path = "/health", .method = "GET", .timeout = 5 * NSEC_PER_SEC,
                                   .retries = cases[i].retries, .follow_redirects = cases[i].follow };

        expect_codes(&monitor, 200, 299);
        if (cases[i].own_host) {
            monitor.headers = host_header;
            monitor.n_headers = 2;
        }
        if (cases[i].plain_config)
            f.config->n_load_balancers = 0;
        check_start(f.config, f.config->endpoints[0], &monitor, 0, on_run, &f, on_done, &f);
        for (size_t step = 0; f.out && step < 8; step++)
            answer(&f, &cases[i].script[step]);
        if (strcmp(f.asked, cases[i].asked) != 0)
            fail_msg("%s: %s", cases[i].name, f.asked);
        assert_int_equal(f.done, 1);
        assert_int_equal(f.probes, cases[i].probes);
        assert_int_equal(f.judgement.diagnosis, cases[i].diagnosis);
        config_unref(f.config);
    }
}

static void redirects_share_the_timeout(void **state)
{
    static const struct script first = { .status = 302, .location = "/x", .total = 2 * NSEC_PER_SEC }, second = { .status = 200 };
    struct check_fixture f = { .config = make_config() };
    struct monitor monitor = { .name = "m", .type = monitor_type_find("http"), .timeout = 5 * NSEC_PER_SEC, .follow_redirects = true };

    (void)state;
    check_start(f.config, f.config->endpoints[0], &monitor, 0, on_run, &f, on_done, &f);
    assert_true(f.timeout == 5 * NSEC_PER_SEC);
    answer(&f, &first);
    assert_true(f.timeout == 3 * NSEC_PER_SEC);
    answer(&f, &second);
    assert_int_equal(f.done, 1);
    config_unref(f.config);
}

static void abandoned_check_says_nothing(void **state)
{
    static const struct script good = { .status = 200 };
    struct check_fixture f = { .config = make_config() };
    struct monitor monitor = { .name = "m", .type = monitor_type_find("http"), .timeout = 1, .retries = 1 };

    (void)state;
    struct check *check = check_start(f.config, f.config->endpoints[0], &monitor, 0, on_run, &f, on_done, &f);
    check_abandon(check);
    config_unref(f.config); /* the check and its probe keep it alive */
    answer(&f, &good);
    assert_int_equal(f.done, 0);
    assert_null(f.out);
}

static void types_are_found_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; monitor_types[i]; i++) {
        assert_ptr_equal(monitor_type_find(monitor_types[i]->name), monitor_types[i]);
        assert_true(i == 0 || strcmp(monitor_types[i - 1]->name, monitor_types[i]->name) < 0);
    }
    assert_null(monitor_type_find("icmp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_told_apart),
        cmocka_unit_test(expected_codes_rule_over_symptoms),
        cmocka_unit_test(details_are_printable),
        cmocka_unit_test(bodies_are_searched),
        cmocka_unit_test(tcp_needs_a_connection_and_no_more),
        cmocka_unit_test(checks_follow_and_repeat),
        cmocka_unit_test(redirects_share_the_timeout),
        cmocka_unit_test(abandoned_check_says_nothing),
        cmocka_unit_test(types_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
