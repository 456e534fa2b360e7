/* Names the parser knows, and how a head is asked for what is in it. */
#include "http/head.h"
#include "http/parse.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *name;
    enum http_field_id id;
} names[] = {
    { "Accept", FIELD_ACCEPT },
    { "Authorization", FIELD_AUTHORIZATION },
    { "CDN-Loop", FIELD_CDN_LOOP },
    { "CF-Connecting-IP", FIELD_CF_CONNECTING_IP },
    { "CF-Ray", FIELD_CF_RAY },
    { "CF-Visitor", FIELD_CF_OTHER },
    { "cf-", FIELD_CF_OTHER },
    { "Connection", FIELD_CONNECTION },
    { "Content-Length", FIELD_CONTENT_LENGTH },
    { "Content-Type", FIELD_CONTENT_TYPE },
    { "Cookie", FIELD_COOKIE },
    { "Date", FIELD_DATE },
    { "Expect", FIELD_EXPECT },
    { "Forwarded", FIELD_FORWARDED },
    { "Host", FIELD_HOST },
    { "Idempotency-Key", FIELD_IDEMPOTENCY_KEY },
    { "Keep-Alive", FIELD_KEEP_ALIVE },
    { "Location", FIELD_LOCATION },
    { "Proxy-Authenticate", FIELD_PROXY_AUTHENTICATE },
    { "Proxy-Authorization", FIELD_PROXY_AUTHORIZATION },
    { "Proxy-Connection", FIELD_PROXY_CONNECTION },
    { "Referer", FIELD_REFERER },
    { "Retry-After", FIELD_RETRY_AFTER },
    { "Server", FIELD_SERVER },
    { "Set-Cookie", FIELD_SET_COOKIE },
    { "TE", FIELD_TE },
    { "Traceparent", FIELD_TRACEPARENT },
    { "Trailer", FIELD_TRAILER },
    { "Transfer-Encoding", FIELD_TRANSFER_ENCODING },
    { "True-Client-IP", FIELD_TRUE_CLIENT_IP },
    { "Upgrade", FIELD_UPGRADE },
    { "User-Agent", FIELD_USER_AGENT },
    { "X-Forwarded-For", FIELD_X_FORWARDED_FOR },
    { "X-Forwarded-Host", FIELD_X_FORWARDED_HOST },
    { "X-Forwarded-Proto", FIELD_X_FORWARDED_PROTO },
    { "X-Real-IP", FIELD_X_REAL_IP },
    { "X-Request-ID", FIELD_X_REQUEST_ID },
};

static enum http_field_id id_of(const char *name)
{
    return http_field_id_of(slice_of(name));
}

static void known_names_have_their_id_in_any_case(void **state)
{
    (void)state;
    bool seen[FIELD_IDS] = { false };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char upper[32] = "", lower[32] = "";
        for (size_t k = 0; names[i].name[k]; k++) {
            upper[k] = (char)toupper((unsigned char)names[i].name[k]);
            lower[k] = (char)tolower((unsigned char)names[i].name[k]);
        }
        assert_int_equal(id_of(names[i].name), names[i].id);
        assert_int_equal(id_of(upper), names[i].id);
        assert_int_equal(id_of(lower), names[i].id);
        seen[names[i].id] = true;
    }
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_IDS; id++)
        assert_true(seen[id]);
}

/* No name is taken for another that differs in one character, is one shorter or longer. */
static void near_misses_have_none(void **state)
{
    (void)state;
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i].name);
        char name[32] = "";
        enum http_field_id other = strncasecmp(names[i].name, "cf-", 3) == 0 ? FIELD_CF_OTHER : FIELD_OTHER;
        if (names[i].id == FIELD_CF_OTHER)
            continue;
        for (size_t k = other == FIELD_CF_OTHER ? 3 : 0; k < n; k++) {
            memcpy(name, names[i].name, n + 1);
            for (const char *t = tokens; *t; t++) {
                if (tolower((unsigned char)names[i].name[k]) == *t)
                    continue;
                name[k] = *t;
                assert_int_equal(id_of(name), other);
            }
        }
        memcpy(name, names[i].name, n + 1);
        name[n] = 's';
        assert_int_equal(id_of(name), other);
        name[n - 1] = '\0';
        assert_int_equal(id_of(name), other);
    }
    assert_int_equal(id_of(""), FIELD_OTHER);
    assert_int_equal(id_of("cf"), FIELD_OTHER);
    assert_int_equal(id_of("c"), FIELD_OTHER);
}

static void methods_are_case_sensitive(void **state)
{
    (void)state;
    static const char *const methods[] = { "", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "CONNECT" };
    for (unsigned m = METHOD_OTHER; m <= METHOD_CONNECT; m++) {
        assert_string_equal(http_method_name(m), methods[m]);
        assert_int_equal(http_method_of(slice_of(methods[m])), m);
    }
    static const char *const others[] = { "get", "Get", "GE", "GETS", "PROPFIND", "PAT", "POSTS", "G", "PATC", "CONNECTED" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(http_method_of(slice_of(others[i])), METHOD_OTHER);
}

static void statuses_have_phrases(void **state)
{
    (void)state;
    assert_string_equal(http_status_phrase(200), "OK");
    assert_string_equal(http_status_phrase(100), "Continue");
    assert_string_equal(http_status_phrase(404), "Not Found");
    assert_string_equal(http_status_phrase(431), "Request Header Fields Too Large");
    assert_string_equal(http_status_phrase(511), "Network Authentication Required");
    static const unsigned unknown[] = { 0, 99, 199, 299, 306, 418, 499, 512, 530, 599, 600, 1000000 };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_string_equal(http_status_phrase(unknown[i]), "");
}

static void errors_have_status_and_text(void **state)
{
    (void)state;
    for (unsigned e = HTTP_ERROR_NONE + 1; e < HTTP_ERRORS; e++) {
        assert_in_range(http_error_status(e), 400, 505);
        assert_true(http_error_text(e)[0]);
    }
    static const struct {
        enum http_parse_error error;
        unsigned status;
    } rows[] = {
        { HTTP_ERROR_VERSION, 505 }, { HTTP_ERROR_TOO_LARGE, 431 }, { HTTP_ERROR_TOO_MANY, 431 },
        { HTTP_ERROR_TARGET_TOO_LONG, 414 }, { HTTP_ERROR_CODING_UNKNOWN, 501 }, { HTTP_ERROR_METHOD_REFUSED, 405 },
        { HTTP_ERROR_EXPECT, 417 }, { HTTP_ERROR_HOST_MISSING, 400 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(http_error_status(rows[i].error), rows[i].status);
}

static enum http_parse_result parse(struct http_head *head, struct slice input)
{
    struct http_parser parser;
    const struct http_limits limits = { .size = 1024, .count = 10 };
    http_parser_start(&parser, head);
    return http_parse_request(&parser, head, input.p, input.n, &limits);
}

static void fields_are_found(void **state)
{
    (void)state;
    struct http_head head;
    struct slice input = SLICE("GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nhost: b\r\nx-ONE: 2\r\n\r\n");
    assert_int_equal(parse(&head, input), HTTP_PARSE_DONE);
    const struct http_field *host = http_head_find(&head, FIELD_HOST);
    assert_ptr_equal(host, &head.fields[0]);
    assert_true(slice_eq(http_field_value(input.p, host), SLICE("a")));
    assert_null(http_head_find(&head, FIELD_COOKIE));
    assert_ptr_equal(http_head_find_name(&head, input.p, SLICE("x-one")), &head.fields[1]);
    assert_ptr_equal(http_head_find_name(&head, input.p, SLICE("HOST")), host);
    assert_null(http_head_find_name(&head, input.p, SLICE("X-On")));
}

static void paths_have_an_origin_form(void **state)
{
    (void)state;
    static const struct {
        const char *line, *path;
    } rows[] = {
        { "GET /a?b", "/a?b" },          { "GET http://h/a", "/a" },    { "GET http://h", "/" },
        { "GET http://h?q", "/?q" },     { "OPTIONS *", "*" },          { "OPTIONS http://h", "*" },
        { "OPTIONS http://h/", "/" },    { "OPTIONS http://h?q", "/?q" }, { "OPTIONS /", "/" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_head head;
        char input[64], path[64];
        snprintf(input, sizeof input, "%s HTTP/1.1\r\n\r\n", rows[i].line);
        assert_int_equal(parse(&head, slice_of(input)), HTTP_PARSE_DONE);
        snprintf(path, sizeof path, "%s%.*s", http_path_prefix(&head, input), (int)head.path_len, input + head.path);
        assert_string_equal(path, rows[i].path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_names_have_their_id_in_any_case),
        cmocka_unit_test(near_misses_have_none),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(statuses_have_phrases),
        cmocka_unit_test(errors_have_status_and_text),
        cmocka_unit_test(fields_are_found),
        cmocka_unit_test(paths_have_an_origin_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
