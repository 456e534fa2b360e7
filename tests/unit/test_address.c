#include "net/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct address address(const char *host, uint16_t port)
{
    struct address a;
    assert_true(address_parse(host, port, &a));
    return a;
}

static void test_split(void **state)
{
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        { "127.0.0.1:80", "127.0.0.1", 80 },
        { "example.com:65535", "example.com", 65535 },
        { "[::1]:443", "::1", 443 },
        { ":8080", "", 8080 },
        { "h:00080", "h", 80 },
        { "h:0", NULL, 0 },
        { "h:65536", NULL, 0 },
        { "h:99999999999999999999", NULL, 0 },
        { "h:", NULL, 0 },
        { "h", NULL, 0 },
        { "", NULL, 0 },
        { ":", NULL, 0 },
        { "h:80x", NULL, 0 },
        { "h:+80", NULL, 0 },
        { "h: 80", NULL, 0 },
        { "::1:80", NULL, 0 },
        { "[::1]", NULL, 0 },
        { "[::1]80", NULL, 0 },
        { "[::1:80", NULL, 0 },
        { "[]:80", NULL, 0 },
        { "[h]:80", NULL, 0 },
        { "0123456789abcdef:80", NULL, 0 }, /* longer than the host's place */
        { "0123456789abcde:80", "0123456789abcde", 80 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char host[16] = "";
        uint16_t port = 0;
        bool ok = address_split(cases[i].text, host, sizeof host, &port);
        if (ok != (cases[i].host != NULL))
            fail_msg("\"%s\" was %s", cases[i].text, ok ? "accepted" : "refused");
        if (ok) {
            assert_string_equal(host, cases[i].host);
            assert_int_equal(port, cases[i].port);
        }
    }
}

static void test_parse_and_format(void **state)
{
    static const struct {
        const char *host, *formatted, *with_port;
    } cases[] = {
        { "0.0.0.0", "0.0.0.0", "0.0.0.0:80" },
        { "255.250.199.1", "255.250.199.1", "255.250.199.1:80" },
        { "::ffff:10.0.0.7", "10.0.0.7", "10.0.0.7:80" },
        { "", "::", "[::]:80" },
        { "2001:DB8:0::1", "2001:db8::1", "[2001:db8::1]:80" },
        { "1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888",
          "[1111:2222:3333:4444:5555:6666:7777:8888]:80" },
    };
    static const char *const refused[] = { "1.2.3", "1.2.3.4.5", "256.0.0.1", "localhost", "[::1]", "::1%lo", "1.2.3.4 ", "0x7f.1", ":" };
    char text[ADDRESS_TEXT_SIZE];
    struct address a;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        a = address(cases[i].host, 80);
        assert_int_equal(address_port(&a), 80);
        assert_int_equal(address_format_host(&a, text), strlen(cases[i].formatted));
        assert_string_equal(text, cases[i].formatted);
        assert_int_equal(address_format(&a, text), strlen(cases[i].with_port));
        assert_string_equal(text, cases[i].with_port);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (address_parse(refused[i], 80, &a))
            fail_msg("\"%s\" was accepted", refused[i]);
    }
    a = address("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 65535); /* the longest */
    assert_int_equal(address_format(&a, text), strlen("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"));
}

static void test_length_and_port(void **state)
{
    struct address v4 = address("1.2.3.4", 1), v6 = address("::1", 1);
    (void)state;
    assert_int_equal(address_length(&v4), sizeof(struct sockaddr_in));
    assert_int_equal(address_length(&v6), sizeof(struct sockaddr_in6));
    address_set_port(&v4, 65535);
    address_set_port(&v6, 258);
    assert_int_equal(address_port(&v4), 65535);
    assert_int_equal(address_port(&v6), 258);
}

static void test_equal(void **state)
{
    struct address a = address("10.0.0.1", 80), same = address("10.0.0.1", 80), mapped = address("::ffff:10.0.0.1", 80);
    struct address other_port = address("10.0.0.1", 81), other = address("10.0.0.2", 80), v6 = address("::10.0.0.1", 80);
    (void)state;
    assert_true(address_equal(&a, &same));
    assert_true(address_equal(&a, &mapped));
    assert_true(address_equal(&mapped, &a));
    assert_false(address_equal(&a, &other_port));
    assert_false(address_equal(&a, &other));
    assert_false(address_equal(&a, &v6));
}

static void test_cidr_contains(void **state)
{
    static const struct {
        const char *network, *inside, *outside; /* NULL: none to try */
    } cases[] = {
        { "10.0.0.0/8", "10.255.0.1", "11.0.0.0" },
        { "10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3" },
        { "10.1.2.3/8", "10.9.9.9", "9.255.255.255" },
        { "192.168.1.128/25", "192.168.1.255", "192.168.1.127" },
        { "192.168.1.1", "192.168.1.1", "192.168.1.0" },
        { "192.168.1.1/32", "192.168.1.1", "192.168.1.3" },
        { "0.0.0.0/0", "203.0.113.9", "2001:db8::1" },
        { "::/0", "203.0.113.9", NULL },
        { "::ffff:10.0.0.0/104", "10.9.0.1", "11.0.0.1" },
        { "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1" },
        { "2001:db8::1", "2001:db8::1", "2001:db8::" },
        { "fd00::/8", "fdff::1", "fe00::1" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cidr other = { { 1 }, 128 }, items[2] = { other };
        assert_true(cidr_parse(cases[i].network, &items[1]));
        struct cidr_set set = { items, 2 };
        struct address inside = address(cases[i].inside, 1);
        if (!cidr_set_contains(&set, &inside))
            fail_msg("%s is not in %s", cases[i].inside, cases[i].network);
        if (cases[i].outside) {
            struct address outside = address(cases[i].outside, 1);
            if (cidr_set_contains(&set, &outside))
                fail_msg("%s is in %s", cases[i].outside, cases[i].network);
        }
        assert_false(cidr_set_contains(&(struct cidr_set){ NULL, 0 }, &inside));
    }
}

static void test_cidr_is_written_as_it_is_read(void **state)
{
    static const char *const texts[][2] = {
        { "10.1.2.3/8", "10.0.0.0/8" }, { "192.0.2.1", "192.0.2.1/32" }, { "0.0.0.0/0", "0.0.0.0/0" },
        { "2001:db8::1/32", "2001:db8::/32" }, { "::1", "::1/128" }, { "::/0", "::/0" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct cidr network;
        char text[CIDR_TEXT_SIZE];
        assert_true(cidr_parse(texts[i][0], &network));
        cidr_format(&network, text);
        assert_string_equal(text, texts[i][1]);
    }
}

static void test_cidr_refuses(void **state)
{
    static const char *const refused[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/8/8", "10.0.0.0/+8", "10.0.0.0/ 8",
                                           "10.0.0/8", "a/8", "10.0.0.0/8x", "10.0.0.0/-1", "[::1]/128",
                                           "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8" };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct cidr c;
        if (cidr_parse(refused[i], &c))
            fail_msg("\"%s\" was accepted", refused[i]);
    }
}

static void test_unique_local(void **state)
{
    static const struct {
        const char *host;
        bool local;
    } cases[] = {
        { "fd10:aec2:5dae::", true }, { "fc00::1", true },     { "fe80::1", true },      { "::1", true },
        { "::", true },               { "127.0.0.1", true },   { "10.0.0.1", true },     { "172.31.255.255", true },
        { "192.168.0.1", true },      { "169.254.1.1", true }, { "100.127.0.1", true },  { "0.0.0.0", true },
        { "::ffff:10.0.0.1", true },  { "fe00::1", false },    { "2606:4700::1", false }, { "::2", false },
        { "172.32.0.1", false },      { "172.15.0.1", false }, { "100.128.0.1", false }, { "1.1.1.1", false },
        { "192.169.0.1", false },     { "::ffff:1.1.1.1", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address a = address(cases[i].host, 443);
        if (address_is_unique_local(&a) != cases[i].local)
            fail_msg("%s", cases[i].host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),         cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_length_and_port),
        cmocka_unit_test(test_equal),         cmocka_unit_test(test_cidr_contains),    cmocka_unit_test(test_cidr_is_written_as_it_is_read),
        cmocka_unit_test(test_cidr_refuses),
        cmocka_unit_test(test_unique_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
