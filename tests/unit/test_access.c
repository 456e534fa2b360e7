/* Who may use the admin API; and the parts of a target. */
#include "control/access.h"
#include "control/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void access_by_table(void **state)
{
    static const struct {
        const char *client; /* NULL: the unix socket */
        enum http_method method;
        const char *host, *authorization, *token;
        enum access access;
    } cases[] = {
        { NULL, METHOD_PATCH, "", NULL, NULL, ACCESS_GRANTED },
        { NULL, METHOD_POST, "evil.example.com", "Bearer wrong", "right", ACCESS_GRANTED },
        { "127.0.0.1", METHOD_GET, "localhost:9090", NULL, NULL, ACCESS_GRANTED },
        { "127.0.0.1", METHOD_HEAD, "LOCALHOST", NULL, NULL, ACCESS_GRANTED },
        { "127.8.9.1", METHOD_GET, "127.0.0.1:9090", NULL, NULL, ACCESS_GRANTED },
        { "::1", METHOD_GET, "[::1]:9090", NULL, NULL, ACCESS_GRANTED },
        { "::ffff:127.0.0.1", METHOD_GET, "127.0.0.1", NULL, NULL, ACCESS_GRANTED },
        { "127.0.0.1", METHOD_POST, "localhost", NULL, NULL, ACCESS_READ_ONLY },
        { "127.0.0.1", METHOD_DELETE, "localhost", NULL, NULL, ACCESS_READ_ONLY },
        { "127.0.0.1", METHOD_OTHER, "localhost", NULL, NULL, ACCESS_READ_ONLY },
        { "127.0.0.1", METHOD_GET, "evil.example.com", NULL, NULL, ACCESS_FOREIGN_HOST },
        { "127.0.0.1", METHOD_GET, "localhost.evil.example.com:9090", NULL, NULL, ACCESS_FOREIGN_HOST },
        { "127.0.0.1", METHOD_GET, "127.0.0.1.evil.example.com", NULL, NULL, ACCESS_FOREIGN_HOST },
        { "127.0.0.1", METHOD_GET, "10.0.0.1:9090", NULL, NULL, ACCESS_FOREIGN_HOST },
        { "127.0.0.1", METHOD_GET, "[::1", NULL, NULL, ACCESS_FOREIGN_HOST },
        { "127.0.0.1", METHOD_GET, "", NULL, NULL, ACCESS_FOREIGN_HOST },
        { "127.0.0.1", METHOD_GET, ":9090", NULL, NULL, ACCESS_FOREIGN_HOST },
        { "10.0.0.1", METHOD_GET, "localhost", NULL, NULL, ACCESS_NOT_LOOPBACK },
        { "2001:db8::1", METHOD_GET, "localhost", NULL, NULL, ACCESS_NOT_LOOPBACK },
        { "10.0.0.1", METHOD_GET, "lb.example.com", "Bearer right", "right", ACCESS_GRANTED },
        { "10.0.0.1", METHOD_PATCH, "lb.example.com", "bearer  right ", "right", ACCESS_GRANTED },
        { "127.0.0.1", METHOD_GET, "localhost", NULL, "right", ACCESS_TOKEN_MISSING },
        { "127.0.0.1", METHOD_GET, "localhost", "Basic cmlnaHQ=", "right", ACCESS_TOKEN_MISSING },
        { "127.0.0.1", METHOD_GET, "localhost", "Bearer", "right", ACCESS_TOKEN_MISSING },
        { "127.0.0.1", METHOD_GET, "localhost", "Bearer ", "right", ACCESS_TOKEN_WRONG },
        { "127.0.0.1", METHOD_GET, "localhost", "Bearer wrong", "right", ACCESS_TOKEN_WRONG },
        { "127.0.0.1", METHOD_GET, "localhost", "Bearer righ", "right", ACCESS_TOKEN_WRONG },
        { "127.0.0.1", METHOD_GET, "localhost", "Bearer rightt", "right", ACCESS_TOKEN_WRONG },
        { "127.0.0.1", METHOD_GET, "localhost", "Bearer Right", "right", ACCESS_TOKEN_WRONG },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct local_request r = { .method = cases[i].method, .over_unix_socket = !cases[i].client };
        r.host = slice_of(cases[i].host);
        r.authorization = slice_of(cases[i].authorization);
        if (cases[i].client)
            assert_true(address_parse(cases[i].client, 40000, &r.client));
        if (access_judge(&r, cases[i].token, ACCESS_TO_STATE) != cases[i].access)
            fail_msg("case %zu", i);
    }
}

static void secrets_are_told_over_the_socket_or_to_the_token(void **state)
{
    static const struct {
        bool over_unix_socket;
        const char *authorization, *token;
        enum access access;
    } cases[] = {
        { true, NULL, NULL, ACCESS_GRANTED },
        { true, NULL, "right", ACCESS_GRANTED },
        { false, NULL, NULL, ACCESS_NO_SECRETS },
        { false, "Bearer right", NULL, ACCESS_NO_SECRETS },
        { false, NULL, "right", ACCESS_TOKEN_MISSING },
        { false, "Bearer wrong", "right", ACCESS_TOKEN_WRONG },
        { false, "Bearer right", "right", ACCESS_GRANTED },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct local_request r = { .method = METHOD_GET,
                                   .over_unix_socket = cases[i].over_unix_socket,
                                   .host = SLICE("localhost") };
        r.authorization = slice_of(cases[i].authorization);
        assert_true(address_parse("127.0.0.1", 40000, &r.client));
        if (access_judge(&r, cases[i].token, ACCESS_TO_SECRETS) != cases[i].access)
            fail_msg("case %zu", i);
    }
}

static void decoding(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        { "", "" },
        { "abc", "abc" },
        { "a%2Fb", "a/b" },
        { "%41%6a", "Aj" },
        { "a+b", "a+b" },
        { "%c3%a9", "\xc3\xa9" },
        { "%", NULL },
        { "%4", NULL },
        { "%4g", NULL },
        { "a%00b", NULL },
        { "12345678", NULL },
        { "1234567", "1234567" },
        { "%312345678", NULL },
        { "%31234567", "1234567" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[8];
        bool fine = percent_decode(slice_of(cases[i].in), out, sizeof out);
        assert_int_equal(fine, cases[i].out != NULL);
        if (fine)
            assert_string_equal(out, cases[i].out);
    }
}

static void parameters(void **state)
{
    static const struct {
        const char *query, *name;
        enum query_result result;
        const char *value;
    } cases[] = {
        { "host=a.b&pool=x", "host", QUERY_FOUND, "a.b" },
        { "host=a.b&pool=x", "pool", QUERY_FOUND, "x" },
        { "host=a.b", "hos", QUERY_ABSENT, NULL },
        { "a=1&a=2", "a", QUERY_FOUND, "1" },
        { "a", "a", QUERY_FOUND, "" },
        { "&&a=1&", "a", QUERY_FOUND, "1" },
        { "a=%zz", "a", QUERY_MALFORMED, NULL },
        { "", "a", QUERY_ABSENT, NULL },
        { "a=b=c", "a", QUERY_FOUND, "b=c" },
        { "=x", "", QUERY_FOUND, "x" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char value[16];
        assert_int_equal(query_find(slice_of(cases[i].query), cases[i].name, value, sizeof value), cases[i].result);
        if (cases[i].value)
            assert_string_equal(value, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access_by_table),
        cmocka_unit_test(secrets_are_told_over_the_socket_or_to_the_token),
        cmocka_unit_test(decoding),
        cmocka_unit_test(parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
