/* Cookies of a request, and the one we set. */
#include "http/cookies.h"
#include "tests/unit/http_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void cookies_are_taken_one_by_one(void **state)
{
    (void)state;
    static const struct {
        const char *value, *cookies;
    } rows[] = {
        { "", "" },
        { "a=b", "[a|b]" },
        { "a=b; c=d", "[a|b][c|d]" },
        { "a=b;c=d;", "[a|b][c|d]" },
        { " a = b ;; ;\tc=", "[a|b][c|]" },
        { "a=b=c; d==", "[a|b=c][d|=]" },
        { "a; b; c=d; e", "[c|d]" },
        { "=a; b=c", "[b|c]" },
        { "a=\"b\"; a=c", "[a|\"b\"][a|c]" },
        { "a=b,c; d=e", "[a|b,c][d|e]" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice rest = slice_of(rows[i].value), name, value;
        char cookies[64] = "";
        size_t n = 0;
        while (cookie_next(&rest, &name, &value))
            n += (size_t)snprintf(cookies + n, sizeof cookies - n, "[%.*s|%.*s]", SLICE_ARG(name), SLICE_ARG(value));
        assert_string_equal(cookies, rows[i].cookies);
    }
}

static void a_cookie_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *value; /* NULL: not found */
    } rows[] = {
        { "", NULL },
        { "Cookie: b=1\r\n", NULL },
        { "Cookie: A=1\r\n", NULL },
        { "Cookie: aa=1; b=a=2\r\n", NULL },
        { "X-Cookie: a=1\r\n", NULL },
        { "Cookie: a=1\r\n", "1" },
        { "Cookie: b=0; a=1; a=2\r\n", "1" },
        { "Cookie: b=0\r\nX: y\r\ncookie: a=1\r\nCookie: a=2\r\n", "1" },
        { "Cookie: a=\r\n", "" },
    };
    static const struct http_limits limits = { .size = 1024, .count = 10 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_fed fed;
        char input[256];
        size_t n = (size_t)snprintf(input, sizeof input, "GET / HTTP/1.1\r\n%s\r\n", rows[i].fields);
        http_feed(&fed, http_parse_request, input, n, n, n, &limits);
        assert_int_equal(fed.result, HTTP_PARSE_DONE);
        struct slice value = cookie_find(&fed.head, input, SLICE("a"));
        assert_int_equal(value.p != NULL, rows[i].value != NULL);
        assert_true(slice_eq(value, slice_of(rows[i].value)));
    }
}

static void a_cookie_is_written(void **state)
{
    (void)state;
    static const struct {
        struct cookie cookie;
        const char *expected;
    } rows[] = {
        { { .max_age = -1 }, "n=v; Path=/; HttpOnly" },
        { { .max_age = 0 }, "n=v; Path=/; Max-Age=0; HttpOnly" },
        { { .max_age = 90 * NSEC_PER_SEC + 1, .secure = true }, "n=v; Path=/; Max-Age=90; HttpOnly; Secure" },
        { { .max_age = -1, .same_site = SAME_SITE_LAX }, "n=v; Path=/; HttpOnly; SameSite=Lax" },
        { { .max_age = -1, .same_site = SAME_SITE_STRICT }, "n=v; Path=/; HttpOnly; SameSite=Strict" },
        { { .max_age = INT64_MAX, .secure = true, .same_site = SAME_SITE_NONE },
          "n=v; Path=/; Max-Age=9223372036; HttpOnly; Secure; SameSite=None" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cookie cookie = rows[i].cookie;
        char out[128];
        cookie.name = SLICE("n");
        cookie.value = SLICE("v");
        size_t length = strlen(rows[i].expected);
        assert_int_equal(cookie_write(&cookie, out, sizeof out), length);
        assert_memory_equal(out, rows[i].expected, length);
        for (size_t size = 0; size <= length; size++)
            assert_int_equal(cookie_write(&cookie, out, size), size == length ? length : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cookies_are_taken_one_by_one),
        cmocka_unit_test(a_cookie_is_found),
        cmocka_unit_test(a_cookie_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
