/* Location and Set-Cookie of an endpoint with a hostname of its own. */
#include "http/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST(name, with_port) .host = { (name), sizeof(name) - 1 }, .host_port = { (with_port), sizeof(with_port) - 1 }
#define FROM .from = { "Fra.example.com", 15 }, .from_port = 8443

static const struct rewrite plain = { FROM, HOST("app.test", "app.test:8080") };
static const struct rewrite secure = { FROM, HOST("app.test", "app.test"), .secure = true };
static const struct rewrite by_v6 = { FROM, HOST("[::1]", "[::1]:8080") };
static const struct rewrite by_v4 = { FROM, HOST("192.0.2.1", "192.0.2.1:8080") };
static const struct rewrite without_host = { FROM, HOST("", "") };

struct row {
    const struct rewrite *rewrite;
    const char *value, *expected; /* NULL: unchanged */
};

static const struct row locations[] = {
    { &plain, "https://fra.example.com/a?b#c", "http://app.test:8080/a?b#c" },
    { &secure, "https://fra.example.com/a?b#c", "https://app.test/a?b#c" },
    { &secure, "http://fra.example.com/a", "https://app.test/a" },
    { &by_v6, "https://fra.example.com/a", "http://[::1]:8080/a" },
    { &secure, "HTTPS://FRA.Example.COM/A", "https://app.test/A" },
    { &secure, "https://fra.example.com", "https://app.test" },
    { &secure, "https://fra.example.com?q=/", "https://app.test?q=/" },
    { &secure, "https://fra.example.com#f", "https://app.test#f" },
    { &secure, "https://fra.example.com:8443/a", "https://app.test/a" },
    { &secure, "http://fra.example.com:8443/a", "https://app.test/a" },
    { &secure, "https://fra.example.com:443/a", "https://app.test/a" },
    { &secure, "http://fra.example.com:80/a", "https://app.test/a" },
    { &secure, "https://fra.example.com:/a", "https://app.test/a" },
    { &plain, "//fra.example.com/a", "//app.test:8080/a" },
    { &plain, "//fra.example.com:8443/a", "//app.test:8080/a" },
    { &secure, "https://fra.example.com//evil.test/", "https://app.test//evil.test/" },
    /* another server */
    { &secure, "https://fra.example.com:9000/a", NULL },
    { &secure, "https://fra.example.com:80/a", NULL },
    { &secure, "http://fra.example.com:443/a", NULL },
    { &secure, "//fra.example.com:80/a", NULL },
    { &secure, "https://example.com/a", NULL },
    { &secure, "https://x.fra.example.com/a", NULL },
    { &secure, "https://fra.example.com.evil.test/", NULL },
    { &secure, "https://evil.test/fra.example.com", NULL },
    { &secure, "https://evil.test?https://fra.example.com/", NULL },
    { &secure, "https://fra.example.comx/", NULL },
    /* not for us to judge */
    { &secure, "https://user@fra.example.com/", NULL },
    { &secure, "https://fra.example.com@evil.test/", NULL },
    { &secure, "https://fra.example.com\\@evil.test/", NULL },
    { &secure, "https://fra.example.com:99999/", NULL },
    { &secure, "https://fra.example.com:x/", NULL },
    { &secure, "https:/fra.example.com/", NULL },
    { &secure, "https:fra.example.com/", NULL },
    { &secure, "ftp://fra.example.com/", NULL },
    { &secure, "/fra.example.com/", NULL },
    { &secure, "fra.example.com/", NULL },
    { &secure, "?a", NULL },
    { &secure, "", NULL },
    { &secure, "//", NULL },
    { &secure, "https://", NULL },
    { &without_host, "https://fra.example.com/a", NULL },
};

static const struct row cookies[] = {
    { &plain, "a=b; Domain=fra.example.com", "a=b; Domain=app.test" },
    { &plain, "a=b; Domain=.fra.example.com; Path=/", "a=b; Domain=app.test; Path=/" },
    { &plain, "a=b; Path=/;domain=FRA.EXAMPLE.COM;Secure", "a=b; Path=/; Domain=app.test;Secure" },
    { &plain, "a=b; DOMAIN = fra.example.com ; HttpOnly", "a=b; Domain=app.test; HttpOnly" },
    { &plain, "a=b; Domain=fra.example.com; Domain=fra.example.com", "a=b; Domain=app.test; Domain=app.test" },
    { &plain, "a=b; Domain=x.test; Domain=fra.example.com", "a=b; Domain=x.test; Domain=app.test" },
    { &by_v4, "a=b; Domain=fra.example.com", "a=b; Domain=192.0.2.1" },
    { &by_v6, "a=b; Domain=fra.example.com; Path=/", "a=b; Path=/" },
    { &by_v6, "a=b; Path=/; Domain=fra.example.com", "a=b; Path=/" },
    /* another domain */
    { &plain, "a=b; Domain=example.com", NULL },
    { &plain, "a=b; Domain=.example.com", NULL },
    { &plain, "a=b; Domain=x.fra.example.com", NULL },
    { &plain, "a=b; Domain=..fra.example.com", NULL },
    { &plain, "a=b; Domain=fra.example.com.evil.test", NULL },
    { &plain, "a=b; Domain=", NULL },
    { &plain, "a=b; Domain", NULL },
    { &plain, "a=b; xDomain=fra.example.com", NULL },
    /* the cookie itself */
    { &plain, "Domain=fra.example.com", NULL },
    { &plain, "Domain=fra.example.com; Path=/", NULL },
    { &plain, "a=b Domain=fra.example.com", NULL },
    { &plain, "a=b", NULL },
    { &plain, "a=b;", NULL },
    { &plain, ";", NULL },
    { &plain, "", NULL },
    { &without_host, "a=b; Domain=fra.example.com", NULL },
};

typedef size_t rewrite_fn(const struct rewrite *, struct slice, char *, size_t);

/* Into memory that is just large enough, and into all that is too small. */
static void check(rewrite_fn *rewrite, const struct row *row)
{
    char out[256];
    size_t n = rewrite(row->rewrite, slice_of(row->value), out, sizeof out);
    if (!row->expected && n)
        fail_msg("\"%s\" became \"%.*s\"", row->value, (int)n, out);
    if (row->expected && !slice_eq((struct slice){ out, n }, slice_of(row->expected)))
        fail_msg("\"%s\" became \"%.*s\", not \"%s\"", row->value, (int)n, out, row->expected);
    for (size_t size = 0; size <= n; size++) {
        char *exact = malloc(size ? size : 1);
        assert_non_null(exact);
        assert_int_equal(rewrite(row->rewrite, slice_of(row->value), exact, size), size == n ? n : 0);
        free(exact);
    }
}

static void locations_name_the_requested_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof locations / sizeof *locations; i++)
        check(rewrite_location, &locations[i]);
}

static void cookies_name_the_requested_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cookies / sizeof *cookies; i++)
        check(rewrite_set_cookie, &cookies[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locations_name_the_requested_host),
        cmocka_unit_test(cookies_name_the_requested_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
