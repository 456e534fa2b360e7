/* The same part of a request, the same number; another, another; none, 0. */
#include "proxy/exchange.h"
#include "proxy/request_hash.h"
#include "tests/unit/http_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct cidr network;
static struct config config = { .trusted_proxies = { &network, 1 } };

static uint64_t hash(const char *key_text, const char *peer, const char *target, const char *fields)
{
    static const struct http_limits limits = { .size = 4096, .count = 100 };
    static char input[4096];
    static struct http_fed fed;
    struct snapshot snapshot = { .config = &config };
    struct address address;
    struct request_key key;

    size_t n = (size_t)snprintf(input, sizeof input, "GET %s HTTP/1.1\r\nHost: a.test\r\n%s\r\n", target, fields);
    http_feed(&fed, http_parse_request, input, n, n, n, &limits);
    assert_int_equal(fed.result, HTTP_PARSE_DONE);
    assert_true(cidr_parse("10.0.0.0/8", &network) && request_key_parse(key_text, &key));
    assert_true(!peer || address_parse(peer, 4711, &address));
    struct exchange ex = { .snapshot = &snapshot, .peer = peer ? &address : NULL, .head = &fed.head, .base = input };
    return request_hash(&ex, &key);
}

struct request {
    const char *peer, *target, *fields;
};

static const struct row {
    const char *key;
    struct request a, b;
    enum { SAME, OTHER, NONE /* the first has nothing of the kind */ } expected;
} rows[] = {
    { "client_ip", { "192.0.2.1", "/", "" }, { "192.0.2.1", "/b", "A: b\r\n" }, SAME },
    { "client_ip", { "192.0.2.1", "/", "" }, { "::ffff:192.0.2.1", "/", "" }, SAME },
    { "client_ip", { "192.0.2.1", "/", "" }, { "192.0.2.2", "/", "" }, OTHER },
    { "client_ip", { "2001:db8::1", "/", "" }, { "2001:db8::2", "/", "" }, OTHER },
    { "client_ip", { "192.0.2.1", "/", "" }, { "10.1.1.1", "/", "X-Forwarded-For: 192.0.2.1\r\n" }, SAME },
    { "client_ip", { "192.0.2.1", "/", "" }, { "192.0.2.1", "/", "X-Forwarded-For: 192.0.2.9\r\n" }, SAME },
    { "client_ip", { NULL, "/", "" }, { NULL, "/", "" }, NONE },
    { "header:x-tenant", { NULL, "/", "X-Tenant: a\r\n" }, { NULL, "/b", "x-TENANT:  a \r\n" }, SAME },
    { "header:X-Tenant", { NULL, "/", "X-Tenant: a\r\n" }, { NULL, "/", "X-Tenant: b\r\n" }, OTHER },
    { "header:X-Tenant", { NULL, "/", "X-Other: a\r\n" }, { NULL, "/", "" }, NONE },
    { "cookie:id", { NULL, "/", "Cookie: a=b; id=7\r\n" }, { NULL, "/", "Cookie: id=7\r\n" }, SAME },
    { "cookie:id", { NULL, "/", "Cookie: id=7\r\n" }, { NULL, "/", "Cookie: id=8\r\n" }, OTHER },
    { "cookie:id", { NULL, "/", "Cookie: ID=7\r\n" }, { NULL, "/", "" }, NONE },
    { "path", { NULL, "/a?b", "" }, { NULL, "/a?c", "" }, SAME },
    { "path", { NULL, "/", "" }, { NULL, "http://a.test", "" }, SAME },
    { "path", { NULL, "/", "" }, { NULL, "http://a.test?b", "" }, SAME },
    { "path", { NULL, "/a", "" }, { NULL, "/A", "" }, OTHER },
    { "query:u", { NULL, "/a?u=1", "" }, { NULL, "/b?x=2&u=1", "" }, SAME },
    { "query:u", { NULL, "/?u=1", "" }, { NULL, "/?u=2", "" }, OTHER },
    { "query:u", { NULL, "/?v=1", "" }, { NULL, "/", "" }, NONE },
    { "query:u", { NULL, "/u=1", "" }, { NULL, "/", "" }, NONE },
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        uint64_t a = hash(r->key, r->a.peer, r->a.target, r->a.fields), b = hash(r->key, r->b.peer, r->b.target, r->b.fields);
        if ((a == 0) != (r->expected == NONE) || (a == b) != (r->expected != OTHER))
            fail_msg("row %zu: %s", i, r->key);
    }
}

static void nothing_is_asked_for(void **state)
{
    (void)state;
    struct exchange ex = { 0 };
    assert_int_equal(request_hash(&ex, &(struct request_key){ 0 }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(nothing_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
