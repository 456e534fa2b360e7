/* Arguments of a target, and the part of a request that a policy is keyed by. */
#include "balance/request_key.h"
#include "http/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_target_is_split(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } rows[] = {
        { "/", "/", NULL }, { "/a?b=c", "/a", "b=c" }, { "/a?", "/a", "" }, { "?b", "", "b" }, { "/a?b?c", "/a", "b?c" }, { "", "", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice path, query;
        target_split(slice_of(rows[i].target), &path, &query);
        assert_true(slice_eq(path, slice_of(rows[i].path)));
        assert_int_equal(query.p != NULL, rows[i].query != NULL);
        assert_true(slice_eq(query, slice_of(rows[i].query)));
    }
}

static void an_argument_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value;
    } rows[] = {
        { "", "a", NULL },        { "a=1", "a", "1" },      { "a=1&b=2", "b", "2" },      { "a=1&a=2", "a", "1" }, { "aa=1", "a", NULL },
        { "a", "a", "" },         { "a&b=1", "b", "1" },    { "a=", "a", "" },            { "&&b=1", "b", "1" },   { "a=1=2&b", "a", "1=2" },
        { "x=a&a=1", "a", "1" },  { "A=1", "a", NULL },     { "b=1&a", "a", "" },         { "a%20b=1", "a%20b", "1" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice value = target_argument(slice_of(rows[i].query), slice_of(rows[i].name));
        assert_int_equal(value.p != NULL, rows[i].value != NULL);
        assert_true(slice_eq(value, slice_of(rows[i].value)));
    }
}

static void keys_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
        enum request_key_kind kind; /* NONE: it is none */
    } rows[] = {
        { "client_ip", NULL, REQUEST_KEY_CLIENT_IP },
        { "path", NULL, REQUEST_KEY_PATH },
        { "header:X-Tenant", "X-Tenant", REQUEST_KEY_HEADER },
        { "cookie:_ga", "_ga", REQUEST_KEY_COOKIE },
        { "query:user[id]", "user[id]", REQUEST_KEY_QUERY },
        { "client_ips", NULL, REQUEST_KEY_NONE },
        { "path:/a", NULL, REQUEST_KEY_NONE },
        { "header", NULL, REQUEST_KEY_NONE },
        { "header:", NULL, REQUEST_KEY_NONE },
        { "header:a b", NULL, REQUEST_KEY_NONE },
        { "cookie:a=b", NULL, REQUEST_KEY_NONE },
        { "query:a&b", NULL, REQUEST_KEY_NONE },
        { "query:a b", NULL, REQUEST_KEY_NONE },
        { "", NULL, REQUEST_KEY_NONE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request_key key = { 0 };
        assert_int_equal(request_key_parse(rows[i].text, &key), rows[i].kind != REQUEST_KEY_NONE);
        if (rows[i].kind == REQUEST_KEY_NONE)
            continue;
        assert_int_equal(key.kind, rows[i].kind);
        assert_true(slice_eq(slice_of(key.name), slice_of(rows[i].name)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_split),
        cmocka_unit_test(an_argument_is_found),
        cmocka_unit_test(keys_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
