/* What connectors say of a response: fields as cloudflared packed them, and what no connector may get through. */
#include "edge/serialized.h"
#include "tests/unit/http_feed.h"
#include "tests/unit/serialize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static char room[4096];
static struct http_head head;

/* From and into memory of exactly the given sizes. */
static const char *read_into(struct slice packed, size_t size, unsigned fields_max, size_t *n)
{
    char *copy = malloc(packed.n ? packed.n : 1), *out = malloc(size ? size : 1);
    struct bounded lines = { .p = out, .size = size };
    assert_true(copy && out && size <= sizeof room);
    memcpy(copy, packed.p, packed.n);
    head.n_fields = 0;
    const char *wrong = serialized_read((struct slice){ copy, packed.n }, &lines, &head, fields_max);
    *n = lines.n;
    memcpy(room, out, lines.n);
    free(out);
    free(copy);
    return wrong;
}

static void what_cloudflared_packs_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *packed, *lines;
        unsigned n_fields;
    } rows[] = {
        { "", "", 0 },
        { "RGF0ZQ:TW9uLCAyMyBOb3YgMjAyNiAxMjozMjo1NSBHTVQ;Q29ubmVjdGlvbg:a2VlcC1hbGl2ZQ;S2VlcC1BbGl2ZQ:dGltZW91dD01;"
          "Q29udGVudC1UeXBl:YXBwbGljYXRpb24vanNvbg;Q29udGVudC1MZW5ndGg:Mzcy;WC1PcmlnaW4:b3JpZ2luLUE",
          "Date: Mon, 23 Nov 2026 12:32:55 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Type: application/json\r\n"
          "Content-Length: 372\r\nX-Origin: origin-A\r\n", 6 },
        { "Q29udGVudC1MZW5ndGg:NQ;U2V0LUNvb2tpZQ:YT0xOyBQYXRoPS8;U2V0LUNvb2tpZQ:Yj0yOyBIdHRwT25seQ;WC1XZWlyZC1DYXNl:djsxOjIsICJxIg;"
          "WC1VdGY:w4PCqQ;RGF0ZQ:TW9uLCAyMyBOb3YgMjAyNiAxMjozMjo1NSBHTVQ",
          "Content-Length: 5\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; HttpOnly\r\nX-Weird-Case: v;1:2, \"q\"\r\n"
          "X-Utf: \xc3\x83\xc2\xa9\r\nDate: Mon, 23 Nov 2026 12:32:55 GMT\r\n", 6 },
        { "U2VjLVdlYnNvY2tldC1BY2NlcHQ:czNwUExNQmlUeGFROWtZR3p6aFpSYksreE9vPQ",
          "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 1 },
        { "WA:", "X: \r\n", 1 },
        { "WA:IA", "X:  \r\n", 1 },
        { "WA:CQlhCQ", "X: \t\ta\t\r\n", 1 },
        { "WA:/w", "X: \xff\r\n", 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n, size = strlen(rows[i].lines);
        const char *wrong = read_into(slice_of(rows[i].packed), size, rows[i].n_fields, &n);
        if (wrong)
            fail_msg("row %zu: %s", i, wrong);
        assert_int_equal(n, size);
        assert_memory_equal(room, rows[i].lines, n);
        assert_int_equal(head.n_fields, rows[i].n_fields);
        for (size_t less = 0; less < size; less++)
            if (!read_into(slice_of(rows[i].packed), less, rows[i].n_fields, &n))
                fail_msg("row %zu fits %zu bytes", i, less);
    }
}

/* The same head as if the lines had come over HTTP/1. */
static void the_head_is_as_the_parser_would_make_it(void **state)
{
    (void)state;
    static char packed_room[1024];
    static struct http_fed fed;
    static const struct http_limits limits = { .size = sizeof room, .count = 10 };
    struct bounded packed = { .p = packed_room, .size = sizeof packed_room }, out = { .p = room, .size = sizeof room };
    serialize_field(&packed, SLICE("Content-Type"), SLICE("text/plain"));
    serialize_field(&packed, SLICE("Connection"), SLICE("  close\t"));
    serialize_field(&packed, SLICE("X-Empty"), SLICE(""));
    serialize_field(&packed, SLICE("CF-Ray"), SLICE("1"));
    serialize_field(&packed, SLICE("Transfer-Encoding"), SLICE("chunked"));
    bounded_add(&out, SLICE("HTTP/1.1 200 OK\r\n"));
    head.n_fields = 0;
    assert_null(serialized_read((struct slice){ packed.p, packed.n }, &out, &head, 5));
    bounded_add(&out, SLICE("\r\n"));
    http_feed(&fed, http_parse_response, room, out.n, out.n, out.n, &limits);
    assert_int_equal(fed.result, HTTP_PARSE_DONE);
    assert_int_equal(fed.head.n_fields, head.n_fields);
    assert_memory_equal(fed.head.fields, head.fields, head.n_fields * sizeof *head.fields);
}

#define NAME "the name of a packed field is not base64"
#define VALUE "the value of a packed field is not base64"
#define COLON "a packed field without a colon"
#define CHARACTER "invalid character in the name of a packed field"
#define CONTROL "control character in the value of a packed field"

static void what_is_unsound_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *packed, *wrong;
    } rows[] = {
        { "WA", COLON },
        { ";", COLON },
        { "WA:YQ;", COLON },
        { ";WA:YQ", COLON },
        { "WA:YQ;;WA:YQ", COLON },
        { "WA:YQ:YQ", VALUE },
        { "WA::YQ", VALUE },
        { "WA:YQ==", VALUE },
        { "WA:Y", VALUE },
        { "WA:Y Q", VALUE },
        { "WA:-_", VALUE },
        { "WA==:YQ", NAME },
        { "W:YQ", NAME },
        { "W\n:YQ", NAME },
        { "WA: YQ", VALUE },
        { ":YQ", CHARACTER },     /* no name */
        { ":", CHARACTER },
        { "WCA:YQ", CHARACTER },  /* "X " */
        { "IFg:YQ", CHARACTER },  /* " X" */
        { "WDpZ:YQ", CHARACTER }, /* "X:Y" */
        { "WA0KWQ:YQ", CHARACTER },
        { "WAA:YQ", CHARACTER },  /* "X\0" */
        { "w6k:YQ", CHARACTER },  /* "é" */
        { "OnN0YXR1cw:MjAw", CHARACTER }, /* ":status" */
        { "WA:YQ0KU2V0LUNvb2tpZTogYT0x", CONTROL }, /* "a\r\nSet-Cookie: a=1" */
        { "WA:YQo", CONTROL },
        { "WA:YQ0", CONTROL },
        { "WA:CmE", CONTROL },
        { "WA:YQBi", CONTROL },   /* "a\0b" */
        { "WA:AQ", CONTROL },
        { "WA:fw", CONTROL },
        { "WA:YQ;WA:YQo", CONTROL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n;
        const char *wrong = read_into(slice_of(rows[i].packed), sizeof room, 100, &n);
        if (!wrong)
            fail_msg("'%s' was taken", rows[i].packed);
        assert_string_equal(wrong, rows[i].wrong);
    }
}

static void fields_are_counted(void **state)
{
    (void)state;
    size_t n;
    assert_null(read_into(SLICE("WA:YQ;WA:YQ"), sizeof room, 2, &n));
    assert_string_equal(read_into(SLICE("WA:YQ;WA:YQ"), sizeof room, 1, &n), "the response has too many fields");
    assert_string_equal(read_into(SLICE("WA:YQ"), sizeof room, 0, &n), "the response has too many fields");
    assert_string_equal(read_into(SLICE("WA:YQ"), 5, 1, &n), "the response's fields are too large");
    assert_string_equal(read_into(SLICE("WA:YWFhYWFh"), 8, 1, &n), "the response's fields are too large");
}

static void the_meta_field_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool sound;
        struct response_meta meta;
    } rows[] = {
        { "{\"src\":\"origin\"}", true, { RESPONSE_OF_ORIGIN, false } },
        { "{\"src\":\"cloudflared\"}", true, { RESPONSE_OF_CONNECTOR, false } },
        { "{\"src\":\"cloudflared\",\"flow_rate_limited\":true}", true, { RESPONSE_OF_CONNECTOR, true } },
        { "{\"flow_rate_limited\":false,\"src\":\"origin\"}", true, { RESPONSE_OF_ORIGIN, false } },
        { " {\t\"src\" : \"origin\" , \"new\" : -1.5e3 , \"n2\":null,\"n3\":\"a\\\"b}\" }\r\n", true, { RESPONSE_OF_ORIGIN, false } },
        { "", false, { 0 } },
        { "{}", false, { 0 } },
        { "null", false, { 0 } },
        { "\"origin\"", false, { 0 } },
        { "{\"src\":\"origin\"", false, { 0 } },
        { "{\"src\":\"origin\"}}", false, { 0 } },
        { "{\"src\":\"origin\"},", false, { 0 } },
        { "{\"src\":\"origin\",}", false, { 0 } },
        { "{,\"src\":\"origin\"}", false, { 0 } },
        { "{\"src\":\"origin}", false, { 0 } },
        { "{\"src\":\"orig\nin\"}", false, { 0 } },
        { "{\"src\":\"Origin\"}", false, { 0 } },
        { "{\"src\":\"\"}", false, { 0 } },
        { "{\"src\":origin}", false, { 0 } },
        { "{\"src\":true}", false, { 0 } },
        { "{\"src\":[\"origin\"]}", false, { 0 } },
        { "{\"src\":\"cloudflared\",\"src\":\"origin\"}", false, { 0 } },
        { "{\"Src\":\"origin\"}", false, { 0 } },
        { "{src:\"origin\"}", false, { 0 } },
        { "{\"src\"=\"origin\"}", false, { 0 } },
        { "{\"flow_rate_limited\":true}", false, { 0 } },
        { "{\"src\":\"origin\",\"flow_rate_limited\":\"true\"}", false, { 0 } },
        { "{\"src\":\"origin\",\"flow_rate_limited\":1}", false, { 0 } },
        { "{\"src\":\"origin\",\"flow_rate_limited\":}", false, { 0 } },
        { "{\"src\":\"origin\",\"new\":{}}", false, { 0 } },
        { "{\"src\":\"origin\",\"new\":\"\\", false, { 0 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct response_meta meta;
        size_t n = strlen(rows[i].json);
        char *copy = malloc(n + 1);
        memcpy(copy, rows[i].json, n);
        bool sound = response_meta_read((struct slice){ copy, n }, &meta);
        free(copy);
        if (sound != rows[i].sound)
            fail_msg("'%s' was %s", rows[i].json, sound ? "taken" : "refused");
        if (sound) {
            assert_int_equal(meta.source, rows[i].meta.source);
            assert_int_equal(meta.flow_rate_limited, rows[i].meta.flow_rate_limited);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cloudflared_packs_is_read),
        cmocka_unit_test(the_head_is_as_the_parser_would_make_it),
        cmocka_unit_test(what_is_unsound_is_refused),
        cmocka_unit_test(fields_are_counted),
        cmocka_unit_test(the_meta_field_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
