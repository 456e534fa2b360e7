/* Lines of the access log: well-formed whatever a request holds, and cut inside their fields. */
#include "proxy/access_log.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct address client;

static struct access_record plain_record(void)
{
    return (struct access_record){
        .wall = INT64_C(1764057600) * NSEC_PER_SEC + 123 * NSEC_PER_MSEC, /* 2025-11-25T08:00:00.123Z */
        .client = &client,
        .method = SLICE("GET"),
        .target = SLICE("/path?query=1"),
        .host = SLICE("app.test:8080"),
        .referer = SLICE("http://from.test/"),
        .user_agent = SLICE("agent/1.0"),
        .request_id = SLICE("id-1"),
        .minor = 1,
        .tls = true,
        .status = 200,
        .bytes_in = 10,
        .bytes_out = INT64_MAX,
        .load_balancer = "app.test",
        .endpoint = "pool/endpoint",
        .upstream_address = "10.0.0.1:80",
        .upstream_reused = true,
        .retries = 2,
        .reason = REASON_NONE,
        .choose = 0,
        .connect = 1500000,
        .send = -1,
        .first_byte = 2 * NSEC_PER_SEC,
        .total = 3 * NSEC_PER_SEC,
    };
}

/* The line, with a NUL in place of its newline. */
static const char *format(const struct access_record *r, enum access_log_format how)
{
    static char line[LOG_LINE_MAX];
    size_t n = access_record_format(r, how, line);

    assert_in_range(n, 1, LOG_LINE_MAX);
    assert_int_equal(line[n - 1], '\n');
    assert_null(memchr(line, '\n', n - 1));
    line[n - 1] = '\0';
    assert_int_equal(strlen(line), n - 1);
    return line;
}

static json_t *format_json(const struct access_record *r)
{
    json_error_t error;
    const char *line = format(r, ACCESS_LOG_JSON);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    if (!json_is_object(object))
        fail_msg("%s: %s", error.text, line);
    return object;
}

static const char *text_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static double number_at(const json_t *object, const char *key)
{
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

static void test_json_tells_all(void **state)
{
    struct access_record r = plain_record();
    json_t *o = format_json(&r);

    assert_string_equal(text_at(o, "time"), "2025-11-25T08:00:00.123Z");
    assert_string_equal(text_at(o, "client"), "192.0.2.7");
    assert_string_equal(text_at(o, "method"), "GET");
    assert_string_equal(text_at(o, "host"), "app.test:8080");
    assert_string_equal(text_at(o, "target"), "/path?query=1");
    assert_string_equal(text_at(o, "protocol"), "HTTP/1.1");
    assert_true(json_is_true(json_object_get(o, "tls")));
    assert_int_equal(number_at(o, "status"), 200);
    assert_int_equal(number_at(o, "bytes_in"), 10);
    assert_string_equal(text_at(o, "load_balancer"), "app.test");
    assert_string_equal(text_at(o, "endpoint"), "pool/endpoint");
    assert_string_equal(text_at(o, "upstream"), "10.0.0.1:80");
    assert_true(json_is_true(json_object_get(o, "reused")));
    assert_int_equal(number_at(o, "retries"), 2);
    assert_string_equal(text_at(o, "reason"), "ok");
    assert_true(number_at(o, "choose_ms") == 0);
    assert_true(number_at(o, "connect_ms") == 1.5);
    assert_null(json_object_get(o, "send_ms"));
    assert_true(number_at(o, "first_byte_ms") == 2000);
    assert_true(number_at(o, "total_ms") == 3000);
    assert_string_equal(text_at(o, "request_id"), "id-1");
    assert_string_equal(text_at(o, "referer"), "http://from.test/");
    assert_string_equal(text_at(o, "user_agent"), "agent/1.0");
    json_decref(o);
    (void)state;
}

static void test_json_of_nothing_known(void **state)
{
    struct access_record r = { .choose = -1, .connect = -1, .send = -1, .first_byte = -1, .total = -1, .reason = REASON_CLIENT_BAD_REQUEST };
    json_t *o = format_json(&r);

    assert_string_equal(text_at(o, "client"), "unix");
    assert_int_equal(number_at(o, "status"), 0);
    assert_string_equal(text_at(o, "reason"), "bad_request");
    const char *const absent[] = { "method", "host", "target", "load_balancer", "endpoint", "upstream", "request_id", "total_ms" };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_null(json_object_get(o, absent[i]));
    json_decref(o);
    (void)state;
}

static void test_combined(void **state)
{
    struct access_record r = plain_record();

    assert_string_equal(format(&r, ACCESS_LOG_COMBINED),
                        "192.0.2.7 - - [25/Nov/2025:08:00:00 +0000] \"GET /path?query=1 HTTP/1.1\" 200 9223372036854775807 "
                        "\"http://from.test/\" \"agent/1.0\"");
    r = (struct access_record){ .minor = 1, .status = 400 };
    assert_string_equal(format(&r, ACCESS_LOG_COMBINED), "unix - - [01/Jan/1970:00:00:00 +0000] \"- - HTTP/1.1\" 400 0 \"-\" \"-\"");
    (void)state;
}

/* Each byte as a field of one, and all of them in one. */
static void test_every_byte_is_escaped(void **state)
{
    char all[256];

    for (unsigned c = 0; c < 256; c++)
        all[c] = (char)c;
    for (unsigned c = 0; c <= 256; c++) {
        struct access_record r = plain_record();
        r.target = r.referer = r.user_agent = r.request_id = c < 256 ? (struct slice){ all + c, 1 } : (struct slice){ all, 256 };
        json_decref(format_json(&r));

        const char *line = format(&r, ACCESS_LOG_COMBINED);
        unsigned quotes = 0;
        for (const char *p = line; *p; p++) {
            assert_in_range((unsigned char)*p, 0x20, 0x7e);
            quotes += *p == '"';
        }
        assert_int_equal(quotes, 6);
    }
    (void)state;
}

static void test_escapes_as_they_are_written(void **state)
{
    struct access_record r = plain_record();

    r.user_agent = SLICE("a\"b\\c\x01\x7f\xe9");
    assert_non_null(strstr(format(&r, ACCESS_LOG_COMBINED), "\"a\\x22b\\x5Cc\\x01\\x7F\\xE9\""));
    json_t *o = format_json(&r);
    assert_string_equal(text_at(o, "user_agent"), "a\"b\\c\x01\x7f\xc3\xa9"); /* as Latin-1 */
    json_decref(o);
    (void)state;
}

/* The worst that can come: all fields at once, each longer than a line, of bytes that take six to write. */
static void test_long_fields_are_cut(void **state)
{
    static char bytes[4 * LOG_LINE_MAX];
    static const char kinds[] = { 'x', '"', '\xff', '\x01' };
    static char name[2 * LOG_LINE_MAX];

    for (size_t k = 0; k < sizeof kinds; k++) {
        memset(bytes, kinds[k], sizeof bytes);
        memset(name, kinds[k], sizeof name - 1);
        for (size_t length = 500; length <= sizeof bytes; length += length / 7) {
            struct access_record r = plain_record();
            struct slice s = { bytes, length };
            r.method = r.target = r.host = r.referer = r.user_agent = r.request_id = s;
            r.load_balancer = r.endpoint = r.upstream_address = name;
            json_t *o = format_json(&r);
            assert_in_range(json_string_length(json_object_get(o, "target")), 500, 4096);
            assert_true(json_object_size(o) == 23); /* none was left out */
            json_decref(o);
            format(&r, ACCESS_LOG_COMBINED);
        }
    }
    (void)state;
}

int main(void)
{
    address_parse("192.0.2.7", 1234, &client);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_tells_all),        cmocka_unit_test(test_json_of_nothing_known),
        cmocka_unit_test(test_combined),              cmocka_unit_test(test_every_byte_is_escaped),
        cmocka_unit_test(test_escapes_as_they_are_written), cmocka_unit_test(test_long_fields_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
