/* Rules of connectors: equal ones are equal however they are written, and differences are named. */
#include "control/ingress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CATCH_ALL "{\"service\":\"http_status:404\"}"
#define RULE(host, service) "{\"hostname\":\"" host "\",\"service\":\"" service "\"}"
#define INGRESS(rules) "{\"ingress\":[" rules "]}"

static json_t *read_rules(const char *json)
{
    return ingress_read(json, strlen(json));
}

/* What a connector really reports. */
static void reported_equals_pushed(void **state)
{
    (void)state;
    json_t *reported =
        read_rules("{\"__configuration_flags\":{\"loglevel\":\"info\",\"metrics\":\"127.0.0.1:20241\"},"
                   "\"ingress\":[{\"hostname\":\"app.test\",\"path\":\"\",\"service\":\"http://a\",\"originRequest\":{}},"
                   "{\"service\":\"http_status:404\",\"originRequest\":{\"noTLSVerify\":false}}],\"warp-routing\":{}}");
    json_t *pushed = read_rules(
        "{\"originRequest\":null, \"ingress\": [ {\"service\":\"http://a\",\"hostname\":\"app.test\"}, " CATCH_ALL " ]}");
    char words[INGRESS_DIFFERENCE_SIZE];
    assert_non_null(reported);
    assert_true(json_equal(reported, pushed));
    assert_true(ingress_hash(reported) == ingress_hash(pushed));
    assert_false(ingress_difference(reported, pushed, words));
    json_decref(reported);
    json_decref(pushed);
}

static void differences_are_named(void **state)
{
    static const struct {
        const char *here, *there, *words;
    } cases[] = {
        { INGRESS(RULE("a.test", "http://x") "," CATCH_ALL), INGRESS(RULE("a.test", "http://y") "," CATCH_ALL),
          "rule 1 (a.test): service is http://x here, http://y there" },
        { INGRESS(RULE("a.test", "http://x") "," CATCH_ALL), INGRESS(RULE("b.test", "http://x") "," CATCH_ALL),
          "rule 1 (a.test): hostname is a.test here, b.test there" },
        { INGRESS(RULE("a.test", "http://x") "," CATCH_ALL), INGRESS(CATCH_ALL),
          "rule 1 (a.test): hostname is a.test here, not set there" },
        { INGRESS(RULE("a.test", "http://x")), INGRESS(RULE("a.test", "http://x") "," CATCH_ALL),
          "rule 2 (any host, http_status:404) stands there only" },
        { INGRESS(RULE("a.test", "http://x") "," CATCH_ALL), INGRESS(RULE("a.test", "http://x")),
          "rule 2 (any host, http_status:404) stands here only" },
        { INGRESS("{\"service\":\"http://x\",\"originRequest\":{\"connectTimeout\":5}}"),
          INGRESS("{\"service\":\"http://x\",\"originRequest\":{\"connectTimeout\":10,\"noTLSVerify\":true}}"),
          "rule 1 (any host): originRequest.connectTimeout is 5 here, 10 there" },
        { INGRESS("{\"service\":\"http://x\"}"), INGRESS("{\"service\":\"http://x\",\"originRequest\":{\"noTLSVerify\":true}}"),
          "rule 1 (any host): originRequest is not set here, {\"noTLSVerify\":true} there" },
        { "{\"ingress\":[" CATCH_ALL "],\"originRequest\":{\"http2Origin\":true}}", INGRESS(CATCH_ALL),
          "all rules: originRequest is {\"http2Origin\":true} here, not set there" },
        { INGRESS(""), INGRESS(CATCH_ALL), "rule 1 (any host, http_status:404) stands there only" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[INGRESS_DIFFERENCE_SIZE] = "";
        json_t *here = read_rules(cases[i].here), *there = read_rules(cases[i].there);
        assert_true(ingress_difference(here, there, words));
        assert_string_equal(words, cases[i].words);
        assert_false(ingress_hash(here) == ingress_hash(there));
        json_decref(here);
        json_decref(there);
    }
}

static void order_of_rules_counts(void **state)
{
    char words[INGRESS_DIFFERENCE_SIZE];
    (void)state;
    json_t *here = read_rules(INGRESS(RULE("a", "http://x") "," RULE("b", "http://y"))),
           *there = read_rules(INGRESS(RULE("b", "http://y") "," RULE("a", "http://x")));
    assert_true(ingress_difference(here, there, words));
    json_decref(here);
    json_decref(there);
}

static void what_has_no_rules_is_refused(void **state)
{
    static const char *const cases[] = {
        "", "nonsense", "[]", "{}", "{\"ingress\":{}}", "{\"ingress\":[],\"ingress\":[]}", "{\"ingress\":[\"\xff\"]}"
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_null(read_rules(cases[i]));
}

/* Cut between characters. */
static void long_differences_stay_text(void **state)
{
    char here_text[2000], there_text[] = INGRESS(CATCH_ALL), words[INGRESS_DIFFERENCE_SIZE];
    (void)state;
    for (size_t pad = 0; pad < 4; pad++) {
        char host[1600] = "xyz";
        size_t n = pad;
        while (n < 1200)
            n += (size_t)snprintf(host + n, sizeof host - n, "\u20ac");
        snprintf(here_text, sizeof here_text, "{\"ingress\":[{\"hostname\":\"%s\",\"service\":\"http://x\"}]}", host);
        json_t *here = read_rules(here_text), *there = read_rules(there_text);
        assert_non_null(here);
        assert_true(ingress_difference(here, there, words));
        json_t *string = json_string(words);
        assert_non_null(string);
        json_decref(string);
        json_decref(here);
        json_decref(there);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reported_equals_pushed),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(order_of_rules_counts),
        cmocka_unit_test(what_has_no_rules_is_refused),
        cmocka_unit_test(long_differences_stay_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
