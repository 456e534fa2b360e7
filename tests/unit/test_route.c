/* Hostname to load balancer: the most specific name wins. */
#include "proxy/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const app[] = { "app.example.com", "*.app.example.com" };
static const char *const wild[] = { "*.example.com" };
static const char *const deep[] = { "*.b.a.example.com", "x.example.com" };
static const char *const all[] = { "*" };
static const char *const local[] = { "localhost", "127.0.0.1", "[::1]" };

#define BALANCER(title, list) { .name = title, .hostnames = { list, sizeof list / sizeof *list }, .enabled = true }

static struct load_balancer balancers[] = {
    BALANCER("app", app), BALANCER("wild", wild), BALANCER("deep", deep), BALANCER("local", local), BALANCER("all", all),
};
enum { BALANCERS = sizeof balancers / sizeof *balancers };

static const struct {
    const char *host, *expected; /* NULL: nobody, where there is no "*" */
} rows[] = {
    { "app.example.com", "app" },
    { "APP.Example.COM", "app" },
    { "app.example.com.", "app" },
    { "www.app.example.com", "app" },
    { "a.b.c.app.example.com", "app" },
    { "A.B.app.example.com.", "app" },
    { "example.com", NULL },
    { "www.example.com", "wild" },
    { "a.b.www.example.com", "wild" },
    { "xapp.example.com", "wild" },
    { "x.example.com", "deep" },
    { "y.x.example.com", "wild" },
    { "b.a.example.com", "wild" },
    { "c.b.a.example.com", "deep" },
    { "d.c.b.a.example.com", "deep" },
    { "localhost", "local" },
    { "127.0.0.1", "local" },
    { "[::1]", "local" },
    { "other.org", NULL },
    { "example.com.evil.org", NULL },
    { "com", NULL },
    { "", NULL },
    { ".", NULL },
    { ".example.com", "wild" },
    { "a..example.com", "wild" },
    { "*.example.com", "wild" },
};

static void assert_rows(size_t n_balancers, const char *otherwise)
{
    struct config config = { .load_balancers = balancers, .n_load_balancers = n_balancers };
    struct route_table *t = route_table_new(&config);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct load_balancer *lb = route_find(t, slice_of(rows[i].host));
        const char *expected = rows[i].expected ? rows[i].expected : otherwise;
        if (!expected != !lb || (lb && strcmp(lb->name, expected) != 0))
            fail_msg("%s: %s", rows[i].host, lb ? lb->name : "nobody");
    }
    route_table_free(t);
}

static void test_table(void **state)
{
    (void)state;
    assert_rows(BALANCERS - 1, NULL);
}

static void test_table_with_a_star(void **state)
{
    (void)state;
    assert_rows(BALANCERS, "all");
}

static void test_an_empty_table(void **state)
{
    struct config config = { 0 };
    struct route_table *t = route_table_new(&config);

    (void)state;
    assert_null(route_find(t, SLICE("app.example.com")));
    assert_null(route_find(t, (struct slice){ NULL, 0 }));
    route_table_free(t);
    route_table_free(NULL);
}

/* Longer than a name can be: no suffix of it is looked at. */
static void test_a_host_of_any_length(void **state)
{
    struct config config = { .load_balancers = balancers, .n_load_balancers = BALANCERS };
    struct route_table *t = route_table_new(&config);
    static const char suffix[] = ".example.com";
    char host[1024];

    (void)state;
    for (size_t n = sizeof suffix; n < sizeof host; n++) {
        memset(host, 'a', n);
        memcpy(host + n - (sizeof suffix - 1), suffix, sizeof suffix - 1);
        const struct load_balancer *lb = route_find(t, (struct slice){ host, n });
        assert_string_equal(lb->name, n <= 255 ? "wild" : "all");
    }
    memset(host, '.', sizeof host);
    for (size_t n = 0; n < sizeof host; n++)
        assert_string_equal(route_find(t, (struct slice){ host, n })->name, "all");
    route_table_free(t);
}

static void test_a_disabled_one_keeps_its_names(void **state)
{
    struct config config = { .load_balancers = balancers, .n_load_balancers = BALANCERS };

    (void)state;
    balancers[0].enabled = false;
    struct route_table *t = route_table_new(&config);
    const struct load_balancer *lb = route_find(t, SLICE("app.example.com"));
    assert_string_equal(lb->name, "app");
    assert_false(lb->enabled);
    route_table_free(t);
    balancers[0].enabled = true;
}

enum { MANY = 2000 };

static void test_many_names(void **state)
{
    static char names[MANY][32];
    const char *list[MANY];
    struct load_balancer lb = { .name = "many", .hostnames = { list, MANY } };
    struct config config = { .load_balancers = &lb, .n_load_balancers = 1 };

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], i % 2 ? "*.host%u.example" : "host%u.example", i);
        list[i] = names[i];
    }
    struct route_table *t = route_table_new(&config);
    for (unsigned i = 0; i < 2 * MANY; i++) {
        char host[32];
        snprintf(host, sizeof host, "host%u.example", i);
        assert_int_equal(route_find(t, slice_of(host)) != NULL, i < MANY && i % 2 == 0);
        snprintf(host, sizeof host, "x.host%u.example", i);
        assert_int_equal(route_find(t, slice_of(host)) != NULL, i < MANY && i % 2 == 1);
    }
    route_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_with_a_star),
        cmocka_unit_test(test_an_empty_table),
        cmocka_unit_test(test_a_host_of_any_length),
        cmocka_unit_test(test_a_disabled_one_keeps_its_names),
        cmocka_unit_test(test_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
