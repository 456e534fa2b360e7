/* Ingress rules of the stand-in for cloudflared: which service answers, which rules are refused. */
#include "tests/sim/connector/ingress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct ingress *make(const char *rules, char error[static 256])
{
    json_t *json = json_loads(rules, 0, NULL);
    assert_non_null(json);
    struct ingress *in = ingress_new(json, error);
    json_decref(json);
    return in;
}

static const char rules[] =
    "{\"ingress\": [{\"hostname\": \"app.example\", \"path\": \"^/api\", \"service\": \"http_status:201\"},"
    "{\"hostname\": \"APP.example\", \"service\": \"http_status:202\"},"
    "{\"hostname\": \"*.wild.example\", \"service\": \"http_status:203\"},"
    "{\"hostname\": \"*\", \"path\": \"[.]css$\", \"service\": \"http_status:204\"}, {\"service\": \"http_status:404\"}]}";

static void test_match(void **state)
{
    (void)state;
    static const struct {
        const char *host, *path;
        unsigned status;
    } cases[] = {
        { "app.example", "/api/x", 201 },      { "app.example:8443", "/api", 201 },     { "App.Example", "/x/api", 202 },
        { "a.wild.example", "/", 203 },        { "a.b.wild.example", "/", 203 },        { "wild.example", "/", 404 },
        { "other.example", "/a.css?v=1", 204 }, { "other.example", "/a?v=a.css", 404 }, { "", "/", 404 },
    };
    char error[256];
    struct ingress *in = make(rules, error);
    assert_non_null(in);
    assert_true(in->all_local);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ingress_match(in, slice_of(cases[i].host), cases[i].path)->service.status, cases[i].status);
    ingress_unref(in);
}

static void test_services(void **state)
{
    (void)state;
    char error[256];
    struct ingress *in = make("{\"ingress\": [{\"path\": \"^/b\", \"service\": \"bytes:100\"},"
                              "{\"path\": \"^/u\", \"service\": \"unix:app.sock\"},"
                              "{\"service\": \"http://127.0.0.1:8080/x\","
                              "\"originRequest\": {\"httpHostHeader\": \"inner\"}}]}", error);
    assert_non_null(in);
    const struct rule *bytes = ingress_match(in, SLICE("x"), "/b"), *origin = ingress_match(in, SLICE("x"), "/");
    assert_true(bytes->service.kind == SERVICE_BYTES && bytes->service.n_bytes == 100);
    const struct rule *local = ingress_match(in, SLICE("x"), "/u");
    assert_true(local->service.kind == SERVICE_HTTP && local->service.origin.address.ss_family == AF_UNIX);
    assert_int_equal(origin->service.kind, SERVICE_HTTP);
    assert_string_equal(origin->service.origin.text, "127.0.0.1:8080");
    assert_string_equal(origin->host_header, "inner");
    assert_true(!in->all_local && origin->service.origin.length);
    ingress_unref(in);
}

static void test_no_rules(void **state)
{
    (void)state;
    char error[256];
    struct ingress *in = make("{\"ingress\": []}", error);
    assert_non_null(in);
    assert_null(ingress_match(in, SLICE("x"), "/"));
    ingress_unref(in);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{}", "{\"ingress\": 1}", "{\"ingress\": [{}]}", "{\"ingress\": [{\"service\": \"ftp://x\"}]}",
        "{\"ingress\": [{\"service\": \"http_status:99\"}]}", "{\"ingress\": [{\"service\": \"http_status:2x\"}]}",
        "{\"ingress\": [{\"service\": \"unix:\"}]}",
        "{\"ingress\": [{\"service\": \"http://\"}]}", "{\"ingress\": [{\"hostname\": \"a\", \"service\": \"http_status:200\"}]}",
        "{\"ingress\": [{\"path\": \"(\", \"service\": \"http_status:200\"}, {\"service\": \"http_status:200\"}]}",
    };
    char error[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_null(make(cases[i], error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_no_rules),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
