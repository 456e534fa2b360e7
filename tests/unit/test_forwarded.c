/* Who the client is, and what the endpoint is told of it. */
#include "http/forwarded.h"
#include "tests/unit/http_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char input[4096];
static struct http_fed fed;
static struct cidr networks[3];
static const struct cidr_set trusted = { networks, 3 };

static int trust(void **state)
{
    (void)state;
    return !(cidr_parse("10.0.0.0/8", &networks[0]) && cidr_parse("2001:db8:1::/48", &networks[1]) && cidr_parse("192.0.2.7", &networks[2]));
}

static const struct http_head *parse(const char *fields)
{
    static const struct http_limits limits = { .size = sizeof input, .count = 100 };
    size_t n = (size_t)snprintf(input, sizeof input, "GET / HTTP/1.1\r\n%s\r\n", fields);
    http_feed(&fed, http_parse_request, input, n, n, n, &limits);
    assert_int_equal(fed.result, HTTP_PARSE_DONE);
    return &fed.head;
}

static const struct address *address(const char *host)
{
    static struct address a;
    if (!host)
        return NULL;
    assert_true(address_parse(host, 1234, &a));
    return &a;
}

/* As it is written; lasts until three more are. */
static struct slice host_text(const char *host)
{
    static char rooms[4][ADDRESS_TEXT_SIZE];
    static unsigned n;
    char *room = rooms[n++ % 4];
    return (struct slice){ room, host ? address_format_host(address(host), room) : 0 };
}

#define XFF "X-Forwarded-For: "
#define CF "CF-Connecting-IP: "

static void the_client_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *fields, *client;
    } rows[] = {
        /* an untrusted peer is the client, whatever it says */
        { "198.51.100.1", "", "198.51.100.1" },
        { "198.51.100.1", XFF "203.0.113.9\r\n" CF "203.0.113.8\r\n", "198.51.100.1" },
        { "2001:db8:2::1", XFF "203.0.113.9\r\n", "2001:db8:2::1" },
        /* the right-most that isn't trusted */
        { "10.0.0.1", "", "10.0.0.1" },
        { "10.0.0.1", XFF "203.0.113.9\r\n", "203.0.113.9" },
        { "::ffff:10.0.0.1", XFF "203.0.113.9\r\n", "203.0.113.9" },
        { "2001:db8:1::5", XFF "2001:db8:2::9\r\n", "2001:db8:2::9" },
        { "10.0.0.1", XFF "1.1.1.1, 203.0.113.9\r\n", "203.0.113.9" },
        { "10.0.0.1", XFF "1.1.1.1, 203.0.113.9, 10.0.0.2,192.0.2.7\r\n", "203.0.113.9" },
        { "10.0.0.1", XFF "203.0.113.9\r\nX: y\r\n" XFF "10.0.0.2\r\n", "203.0.113.9" },
        { "10.0.0.1", XFF "10.0.0.3, 10.0.0.2\r\n", "10.0.0.3" },
        { "10.0.0.1", XFF " , 203.0.113.9 ,, \r\n" XFF "\r\n", "203.0.113.9" },
        /* forms */
        { "10.0.0.1", XFF "203.0.113.9:4711\r\n", "203.0.113.9" },
        { "10.0.0.1", XFF "[2001:db8:2::9]\r\n", "2001:db8:2::9" },
        { "10.0.0.1", XFF "[2001:db8:2::9]:4711\r\n", "2001:db8:2::9" },
        /* a broken chain ends where it breaks */
        { "10.0.0.1", XFF "203.0.113.9, unknown\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF "203.0.113.9, unknown, 10.0.0.2\r\n", "10.0.0.2" },
        { "10.0.0.1", XFF "203.0.113.9:x\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF "203.0.113\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF "[2001:db8:2::9\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF "[2001:db8:2::9]x\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF "[]\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF ":80\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF "fe80::1%eth0\r\n", "10.0.0.1" },
        { "10.0.0.1", XFF "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", "10.0.0.1" },
        /* Cloudflare's word */
        { "10.0.0.1", CF "203.0.113.8\r\n" XFF "203.0.113.9\r\n", "203.0.113.8" },
        { "10.0.0.1", CF "2001:db8:2::8\r\n", "2001:db8:2::8" },
        { "10.0.0.1", CF "203.0.113.8\r\n" CF "203.0.113.7\r\n" XFF "203.0.113.9\r\n", "203.0.113.9" },
        { "10.0.0.1", CF "203.0.113.8, 203.0.113.7\r\n" XFF "203.0.113.9\r\n", "203.0.113.9" },
        { "10.0.0.1", CF "\r\n" XFF "203.0.113.9\r\n", "203.0.113.9" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[ADDRESS_TEXT_SIZE];
        const struct http_head *head = parse(rows[i].fields);
        struct address client = forwarded_client(head, input, address(rows[i].peer), &trusted);
        address_format_host(&client, text);
        if (strcmp(text, rows[i].client) != 0)
            fail_msg("%s %s: %s, not %s", rows[i].peer, rows[i].fields, text, rows[i].client);
    }
}

static void endless_chains_are_not_followed(void **state)
{
    (void)state;
    for (unsigned proxies = FORWARDED_HOPS_MAX - 1; proxies <= FORWARDED_HOPS_MAX; proxies++) {
        char fields[1024], text[ADDRESS_TEXT_SIZE];
        size_t n = (size_t)sprintf(fields, XFF "203.0.113.9");
        for (unsigned i = 0; i < proxies; i++)
            n += (size_t)sprintf(fields + n, ", 10.0.0.%u", i + 2);
        sprintf(fields + n, "\r\n");
        struct address client = forwarded_client(parse(fields), input, address("10.0.0.1"), &trusted);
        address_format_host(&client, text);
        assert_string_equal(text, proxies < FORWARDED_HOPS_MAX ? "203.0.113.9" : "10.0.0.2");
    }
}

static void the_chain_is_continued(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool keep;
        const char *peer, *expected;
    } rows[] = {
        { "", true, "192.0.2.1", "192.0.2.1" },
        { "", false, "2001:db8::1", "2001:db8::1" },
        { "", true, "::ffff:192.0.2.1", "192.0.2.1" },
        { XFF "1.1.1.1, 2.2.2.2\r\n", false, "192.0.2.1", "192.0.2.1" },
        { XFF "1.1.1.1, 2.2.2.2\r\n", true, "192.0.2.1", "1.1.1.1, 2.2.2.2, 192.0.2.1" },
        { XFF "1.1.1.1\r\nX: y\r\n" XFF "\r\n" XFF "unknown\r\n", true, "192.0.2.1", "1.1.1.1, unknown, 192.0.2.1" },
        { XFF "1.1.1.1\r\n", true, NULL, "1.1.1.1" },
        { XFF "1.1.1.1\r\n", false, NULL, "" },
        { "", true, NULL, "" },
        { XFF "\"a\r\n", true, "192.0.2.1", "\"a, 192.0.2.1" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[128];
        size_t n = forwarded_for(parse(rows[i].fields), input, rows[i].keep, host_text(rows[i].peer), out, sizeof out);
        if (!slice_eq((struct slice){ out, n }, slice_of(rows[i].expected)))
            fail_msg("%s: \"%.*s\", not \"%s\"", rows[i].fields, (int)n, out, rows[i].expected);
    }
}

static void a_chain_too_long_loses_its_begin(void **state)
{
    (void)state;
    static const struct {
        size_t from, to; /* bytes there are */
        const char *expected;
    } rows[] = {
        { 0, 8, "" },
        { 9, 17, "192.0.2.1" },
        { 18, 26, "3.3.3.3, 192.0.2.1" },
        { 27, 35, "2.2.2.2, 3.3.3.3, 192.0.2.1" },
        { 36, 64, "1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1" },
    };
    const struct http_head *head = parse(XFF "1.1.1.1\r\n" XFF "2.2.2.2, 3.3.3.3\r\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t size = rows[i].from; size <= rows[i].to; size++) {
            char *out = malloc(size ? size : 1);
            assert_non_null(out);
            size_t n = forwarded_for(head, input, true, host_text("192.0.2.1"), out, size);
            if (!slice_eq((struct slice){ out, n }, slice_of(rows[i].expected)))
                fail_msg("in %zu bytes: \"%.*s\", not \"%s\"", size, (int)n, out, rows[i].expected);
            free(out);
        }
}

#define FWD "Forwarded: "

static void forwarded_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool keep;
        const char *peer, *host_port;
        bool secure;
        const char *expected;
    } rows[] = {
        { "", false, "192.0.2.1", "a.example", false, "for=192.0.2.1;host=a.example;proto=http" },
        { "", true, "192.0.2.1", "a.example:8443", true, "for=192.0.2.1;host=\"a.example:8443\";proto=https" },
        { "", true, "2001:db8::1", "[2001:db8::2]:80", true, "for=\"[2001:db8::1]\";host=\"[2001:db8::2]:80\";proto=https" },
        { "", true, "::ffff:192.0.2.1", "", true, "for=192.0.2.1;proto=https" },
        { "", true, NULL, "a(b)=;c", false, "host=\"a(b)=;c\";proto=http" },
        { FWD "for=1.1.1.1\r\n", false, "192.0.2.1", "", true, "for=192.0.2.1;proto=https" },
        { FWD "for=1.1.1.1\r\n", true, "192.0.2.1", "", true, "for=1.1.1.1, for=192.0.2.1;proto=https" },
        { FWD "for=1.1.1.1\r\n" FWD "for=\"[::1]\";by=\"a,b\"\r\n", true, "192.0.2.1", "", true,
          "for=1.1.1.1, for=\"[::1]\";by=\"a,b\", for=192.0.2.1;proto=https" },
        /* a quote that stays open would swallow what we add */
        { FWD "for=\"1.1.1.1\r\n", true, "192.0.2.1", "", true, "for=192.0.2.1;proto=https" },
        { FWD "for=\"1.1.1.1\\\"\r\n", true, "192.0.2.1", "", true, "for=192.0.2.1;proto=https" },
        { FWD "for=\"1.1.1.1\\\r\n", true, "192.0.2.1", "", true, "for=192.0.2.1;proto=https" },
        { FWD "for=1.1.1.1\r\n" FWD "by=\"\r\n" FWD "for=2.2.2.2\r\n", true, "192.0.2.1", "", true,
          "for=2.2.2.2, for=192.0.2.1;proto=https" },
        { FWD "by=\"\\\",\\\\\"\r\n", true, "192.0.2.1", "", true, "by=\"\\\",\\\\\", for=192.0.2.1;proto=https" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[256];
        const struct http_head *head = parse(rows[i].fields);
        struct forwarded_hop hop = { .peer = host_text(rows[i].peer), .host_port = slice_of(rows[i].host_port), .secure = rows[i].secure };
        size_t n = forwarded_write(head, input, rows[i].keep, &hop, out, sizeof out);
        if (!slice_eq((struct slice){ out, n }, slice_of(rows[i].expected)))
            fail_msg("%s: \"%.*s\", not \"%s\"", rows[i].fields, (int)n, out, rows[i].expected);
    }
}

/* The chain came as X-Forwarded-For or CF-Connecting-IP. */
static void forwarded_tells_a_client_known_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool keep;
        const char *client, *expected;
    } rows[] = {
        { "", true, "203.0.113.7", "for=203.0.113.7, for=192.0.2.1;proto=http" },
        { "", true, "2001:db8::7", "for=\"[2001:db8::7]\", for=192.0.2.1;proto=http" },
        { "", true, "192.0.2.1", "for=192.0.2.1;proto=http" },
        { "", false, "203.0.113.7", "for=192.0.2.1;proto=http" },
        { FWD "for=1.1.1.1\r\n", true, "203.0.113.7", "for=1.1.1.1, for=192.0.2.1;proto=http" },
        { FWD "for=\"1.1.1.1\r\n", true, "203.0.113.7", "for=203.0.113.7, for=192.0.2.1;proto=http" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[256];
        const struct http_head *head = parse(rows[i].fields);
        struct forwarded_hop hop = { .peer = host_text("192.0.2.1"), .client = host_text(rows[i].client), .host_port = SLICE("") };
        size_t n = forwarded_write(head, input, rows[i].keep, &hop, out, sizeof out);
        if (!slice_eq((struct slice){ out, n }, slice_of(rows[i].expected)))
            fail_msg("%s: \"%.*s\", not \"%s\"", rows[i].fields, (int)n, out, rows[i].expected);
    }
}

static void forwarded_too_long_loses_its_begin(void **state)
{
    (void)state;
    static const struct {
        size_t from, to;
        const char *expected;
    } rows[] = {
        { 0, 23, "" },
        { 24, 43, "for=192.0.2.1;proto=http" },
        { 44, 56, "for=\"2,2\";by=\"3,3\", for=192.0.2.1;proto=http" },
        { 57, 80, "for=1.1.1.1, for=\"2,2\";by=\"3,3\", for=192.0.2.1;proto=http" },
    };
    const struct http_head *head = parse(FWD "for=1.1.1.1, for=\"2,2\";by=\"3,3\"\r\n");
    struct forwarded_hop hop = { .peer = host_text("192.0.2.1"), .host_port = SLICE("") };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t size = rows[i].from; size <= rows[i].to; size++) {
            char *out = malloc(size ? size : 1);
            assert_non_null(out);
            size_t n = forwarded_write(head, input, true, &hop, out, size);
            if (!slice_eq((struct slice){ out, n }, slice_of(rows[i].expected)))
                fail_msg("in %zu bytes: \"%.*s\", not \"%s\"", size, (int)n, out, rows[i].expected);
            free(out);
        }
}

static void proto_and_host_are_believed_from_trusted_peers(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool trusted;
        const char *proto, *host;
    } rows[] = {
        { "", true, "https", "a:80" },
        { "X-Forwarded-Proto: http\r\nX-Forwarded-Host: b\r\n", false, "https", "a:80" },
        { "X-Forwarded-Proto: http\r\nX-Forwarded-Host: b\r\n", true, "http", "b" },
        { "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: b:8443\r\n", true, "HTTPS", "b:8443" },
        { "X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: b, c\r\n", true, "https", "a:80" },
        { "X-Forwarded-Proto: http,http\r\nX-Forwarded-Host: u@b\r\n", true, "https", "a:80" },
        { "X-Forwarded-Proto:\r\nX-Forwarded-Host:\r\n", true, "https", "a:80" },
        { "X-Forwarded-Proto: http\r\nX-Forwarded-Host: b\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: b\r\n", true, "https", "a:80" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct http_head *head = parse(rows[i].fields);
        assert_true(slice_eq(forwarded_proto(head, input, rows[i].trusted, true), slice_of(rows[i].proto)));
        assert_true(slice_eq(forwarded_host(head, input, rows[i].trusted, SLICE("a:80")), slice_of(rows[i].host)));
    }
    assert_true(slice_eq(forwarded_proto(parse(""), input, true, false), SLICE("http")));
}

static void request_ids_are_32_digits_and_differ(void **state)
{
    (void)state;
    struct random r = { 1234567 };
    char a[REQUEST_ID_SIZE], b[REQUEST_ID_SIZE];
    assert_string_equal(request_id_make(&r, a), "599ed017fb08fc852c73f08458540fa5");
    request_id_make(&r, b);
    assert_int_equal(strspn(b, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_is_found),
        cmocka_unit_test(endless_chains_are_not_followed),
        cmocka_unit_test(the_chain_is_continued),
        cmocka_unit_test(a_chain_too_long_loses_its_begin),
        cmocka_unit_test(forwarded_is_written),
        cmocka_unit_test(forwarded_tells_a_client_known_otherwise),
        cmocka_unit_test(forwarded_too_long_loses_its_begin),
        cmocka_unit_test(proto_and_host_are_believed_from_trusted_peers),
        cmocka_unit_test(request_ids_are_32_digits_and_differ),
    };
    return cmocka_run_group_tests(tests, trust, NULL);
}
