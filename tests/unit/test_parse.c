/* The tokenizer: what it accepts and how it takes it apart, what it refuses and why, and its limits; each input in every cut. */
#include "tests/unit/http_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct http_limits limits = { .size = 4096, .count = 100 };
static const struct http_limits lenient = { .size = 4096, .count = 100, .allow_bare_lf = true };

/* Inputs may contain NUL: their length is that of the literal. */
#define INPUT(literal) { (literal), sizeof(literal) - 1 }

static void feed(struct http_fed *out, const char *name, http_feed_fn *parse, struct slice input, const struct http_limits *with)
{
    if (!http_feed_every_way(out, parse, input.p, input.n, with))
        fail_msg("%s: where the input is cut changes the outcome", name);
}

/* "Name=value|Name=value" */
static void write_fields(char *out, size_t size, const struct http_head *head, const char *base)
{
    size_t n = 0;
    out[0] = '\0';
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        n += (size_t)snprintf(out + n, size - n, "%s%.*s=%.*s", n ? "|" : "", SLICE_ARG(http_field_name(base, f)),
                              SLICE_ARG(http_field_value(base, f)));
}

static void assert_slice(const char *row, const char *what, const char *base, uint32_t at, uint32_t n, const char *expected)
{
    if (!slice_eq((struct slice){ base + at, n }, slice_of(expected)))
        fail_msg("%s: %s is \"%.*s\", not \"%s\"", row, what, (int)n, base + at, expected);
}

static void assert_accepted(const char *row, const struct http_fed *fed, size_t length)
{
    if (fed->result != HTTP_PARSE_DONE)
        fail_msg("%s: not accepted: %s at %u", row, http_error_text(fed->parser.error), fed->parser.at);
    if (fed->head.length != length)
        fail_msg("%s: the head is %u bytes, not %zu", row, fed->head.length, length);
}

static const struct request_row {
    const char *name;
    struct slice input;
    const char *method, *target, *path, *authority, *fields;
    unsigned minor;
    unsigned rest; /* bytes that don't belong to the head */
    enum http_method id;
} requests[] = {
    { "smallest", INPUT("GET / HTTP/1.0\r\n\r\n"), "GET", "/", "/", "", "", 0, 0, METHOD_GET },
    { "fields", INPUT("POST /a?b=c&d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"), "POST", "/a?b=c&d", "/a?b=c&d", "",
      "Host=x|Content-Length=3", 1, 3, METHOD_POST },
    { "white space around values", INPUT("GET / HTTP/1.1\r\nA:b\r\nC: \t d \t\r\nE:\r\nF: \t \r\nG: h  i\tj\r\n\r\n"), "GET", "/",
      "/", "", "A=b|C=d|E=|F=|G=h  i\tj", 1, 0, METHOD_GET },
    { "8-bit in a value", INPUT("GET / HTTP/1.1\r\nA: \x80\xff\xc3\xa9\r\n\r\n"), "GET", "/", "/", "", "A=\x80\xff\xc3\xa9", 1, 0,
      METHOD_GET },
    { "all token characters", INPUT("!#$%&'*+-.^_`|~0aZ / HTTP/1.1\r\n!#$%&'*+-.^_`|~0aZ: x\r\n\r\n"), "!#$%&'*+-.^_`|~0aZ", "/", "/",
      "", "!#$%&'*+-.^_`|~0aZ=x", 1, 0, METHOD_OTHER },
    { "colons and commas in a value", INPUT("GET / HTTP/1.1\r\nA: :b,:c\r\n\r\n"), "GET", "/", "/", "", "A=:b,:c", 1, 0, METHOD_GET },
    { "all printable characters of a target", INPUT("GET /!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~ HTTP/1.1\r\n\r\n"), "GET",
      "/!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "/!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "", "", 1, 0, METHOD_GET },
    { "one blank line before", INPUT("\r\nGET / HTTP/1.1\r\n\r\n"), "GET", "/", "/", "", "", 1, 0, METHOD_GET },
    { "higher minor version", INPUT("GET / HTTP/1.9\r\n\r\n"), "GET", "/", "/", "", "", 1, 0, METHOD_GET },
    { "absolute form", INPUT("GET http://a.example:80/p?q HTTP/1.1\r\n\r\n"), "GET", "http://a.example:80/p?q", "/p?q",
      "a.example:80", "", 1, 0, METHOD_GET },
    { "absolute form in capitals", INPUT("GET HTTPS://A/ HTTP/1.1\r\n\r\n"), "GET", "HTTPS://A/", "/", "A", "", 1, 0, METHOD_GET },
    { "absolute form without path", INPUT("GET http://a HTTP/1.1\r\n\r\n"), "GET", "http://a", "", "a", "", 1, 0, METHOD_GET },
    { "absolute form with query only", INPUT("GET http://a?q HTTP/1.1\r\n\r\n"), "GET", "http://a?q", "?q", "a", "", 1, 0, METHOD_GET },
    { "@ in the path", INPUT("GET http://a/b@c HTTP/1.1\r\n\r\n"), "GET", "http://a/b@c", "/b@c", "a", "", 1, 0, METHOD_GET },
    { "asterisk", INPUT("OPTIONS * HTTP/1.1\r\n\r\n"), "OPTIONS", "*", "", "", "", 1, 0, METHOD_OPTIONS },
    { "connect", INPUT("CONNECT a:443 HTTP/1.1\r\n\r\n"), "CONNECT", "a:443", "", "", "", 1, 0, METHOD_CONNECT },
    { "two in one", INPUT("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"), "GET", "/1", "/1", "", "", 1, 19, METHOD_GET },
    { "lower-case method", INPUT("get / HTTP/1.1\r\n\r\n"), "get", "/", "/", "", "", 1, 0, METHOD_OTHER },
};

static void check_request(const struct request_row *row, const struct http_fed *fed)
{
    const char *base = row->input.p;
    const struct http_head *head = &fed->head;
    char fields[1024];
    assert_accepted(row->name, fed, row->input.n - row->rest);
    assert_slice(row->name, "method", base, head->start, head->method_len, row->method);
    assert_slice(row->name, "target", base, head->target, head->target_len, row->target);
    assert_slice(row->name, "path", base, head->path, head->path_len, row->path);
    assert_slice(row->name, "authority", base, head->authority, head->authority_len, row->authority);
    write_fields(fields, sizeof fields, head, base);
    assert_string_equal(fields, row->fields);
    assert_int_equal(head->minor, row->minor);
    assert_int_equal(head->method, row->id);
}

static void requests_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct http_fed fed;
        feed(&fed, requests[i].name, http_parse_request, requests[i].input, &limits);
        check_request(&requests[i], &fed);
    }
}

static const struct response_row {
    const char *name;
    struct slice input;
    unsigned status;
    const char *reason, *fields;
    unsigned minor, rest;
} responses[] = {
    { "ordinary", INPUT("HTTP/1.1 200 OK\r\nServer: x\r\nDate: y\r\n\r\nbody"), 200, "OK", "Server=x|Date=y", 1, 4 },
    { "empty reason", INPUT("HTTP/1.1 204 \r\n\r\n"), 204, "", "", 1, 0 },
    { "no reason, no space", INPUT("HTTP/1.1 204\r\n\r\n"), 204, "", "", 1, 0 },
    { "long reason with tab and 8-bit", INPUT("HTTP/1.0 599 a b\tc\xe9 \r\n\r\n"), 599, "a b\tc\xe9 ", "", 0, 0 },
    { "interim", INPUT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), 100, "Continue", "", 1, 19 },
    { "higher minor version", INPUT("HTTP/1.7 200 OK\r\n\r\n"), 200, "OK", "", 1, 0 },
};

static void responses_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
        const struct response_row *row = &responses[i];
        struct http_fed fed;
        char fields[1024];
        feed(&fed, row->name, http_parse_response, row->input, &limits);
        assert_accepted(row->name, &fed, row->input.n - row->rest);
        assert_int_equal(fed.head.status, row->status);
        assert_slice(row->name, "reason", row->input.p, fed.head.reason, fed.head.reason_len, row->reason);
        write_fields(fields, sizeof fields, &fed.head, row->input.p);
        assert_string_equal(fields, row->fields);
        assert_int_equal(fed.head.minor, row->minor);
    }
}

struct refusal_row {
    const char *name;
    struct slice input;
    enum http_parse_error error;
    unsigned at; /* the offending byte */
};

static const struct refusal_row refused_requests[] = {
    { "leading space", INPUT(" GET / HTTP/1.1\r\n\r\n"), HTTP_ERROR_START_LINE, 0 },
    { "two spaces before the target", INPUT("GET  / HTTP/1.1\r\n\r\n"), HTTP_ERROR_START_LINE, 4 },
    { "two spaces after the target", INPUT("GET /  HTTP/1.1\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 6 },
    { "space after the version", INPUT("GET / HTTP/1.1 \r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 14 },
    { "tab after the method", INPUT("GET\t/ HTTP/1.1\r\n\r\n"), HTTP_ERROR_START_LINE, 3 },
    { "tab after the target", INPUT("GET /\tHTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 5 },
    { "method not a token", INPUT("G@T / HTTP/1.1\r\n\r\n"), HTTP_ERROR_METHOD, 1 },
    { "8-bit method", INPUT("G\xc3T / HTTP/1.1\r\n\r\n"), HTTP_ERROR_METHOD, 1 },
    { "method alone", INPUT("GET\r\n\r\n"), HTTP_ERROR_START_LINE, 3 },
    { "TLS on the plain port", INPUT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), HTTP_ERROR_START_LINE, 0 },
    { "two blank lines before", INPUT("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), HTTP_ERROR_START_LINE, 2 },
    { "CR before the method", INPUT("\rGET / HTTP/1.1\r\n\r\n"), HTTP_ERROR_BARE_CR, 1 },
    { "LF before the method", INPUT("\nGET / HTTP/1.1\r\n\r\n"), HTTP_ERROR_START_LINE, 0 },
    { "fragment", INPUT("GET /a#b HTTP/1.1\r\n\r\n"), HTTP_ERROR_FRAGMENT, 6 },
    { "8-bit in the target", INPUT("GET /\xc3\xa9 HTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 5 },
    { "NUL in the target", INPUT("GET /\0 HTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 5 },
    { "DEL in the target", INPUT("GET /\x7f HTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 5 },
    { "relative target", INPUT("GET a HTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 5 },
    { "unknown scheme", INPUT("GET ftp://a/ HTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 12 },
    { "no authority", INPUT("GET http:///a HTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 13 },
    { "userinfo", INPUT("GET http://u:p@a/ HTTP/1.1\r\n\r\n"), HTTP_ERROR_USERINFO, 17 },
    { "empty userinfo", INPUT("GET http://@a/ HTTP/1.1\r\n\r\n"), HTTP_ERROR_USERINFO, 14 },
    { "asterisk without OPTIONS", INPUT("GET * HTTP/1.1\r\n\r\n"), HTTP_ERROR_TARGET, 5 },
    { "HTTP/0.9", INPUT("GET /\r\n"), HTTP_ERROR_SIMPLE_REQUEST, 6 },
    { "HTTP/0.9 with LF", INPUT("GET /\n"), HTTP_ERROR_SIMPLE_REQUEST, 5 },
    { "CR in the target", INPUT("GET /\rb HTTP/1.1\r\n\r\n"), HTTP_ERROR_BARE_CR, 6 },
    { "HTTP/1.10", INPUT("GET / HTTP/1.10\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 14 },
    { "HTTP/1", INPUT("GET / HTTP/1\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 12 },
    { "http/1.1", INPUT("GET / http/1.1\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 6 },
    { "HTTP/1,1", INPUT("GET / HTTP/1,1\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 12 },
    { "HTTP/2.0", INPUT("GET / HTTP/2.0\r\n\r\n"), HTTP_ERROR_VERSION, 14 },
    { "HTTP/0.9 in words", INPUT("GET / HTTP/0.9\r\n\r\n"), HTTP_ERROR_VERSION, 14 },
    { "preface of HTTP/2", INPUT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HTTP_ERROR_TARGET, 5 },
    { "LF after the request line", INPUT("GET / HTTP/1.1\nHost: a\r\n\r\n"), HTTP_ERROR_BARE_LF, 14 },
    { "CR in the request line", INPUT("GET / HTTP/1.1\rHost: a\r\n\r\n"), HTTP_ERROR_BARE_CR, 15 },
    { "two CRs after the request line", INPUT("GET / HTTP/1.1\r\r\n\r\n"), HTTP_ERROR_BARE_CR, 15 },
};

/* After either start line the same holds; 16 bytes stand before. */
static const struct refusal_row refused_fields[] = {
    { "no colon", INPUT("garbage\r\n\r\n"), HTTP_ERROR_FIELD_COLON, 7 },
    { "no name", INPUT(": x\r\n\r\n"), HTTP_ERROR_FIELD_NAME, 0 },
    { "space before the colon", INPUT("A : b\r\n\r\n"), HTTP_ERROR_FIELD_COLON, 1 },
    { "tab before the colon", INPUT("A\t: b\r\n\r\n"), HTTP_ERROR_FIELD_COLON, 1 },
    { "space in a name", INPUT("A B: c\r\n\r\n"), HTTP_ERROR_FIELD_COLON, 1 },
    { "separator in a name", INPUT("A(B: c\r\n\r\n"), HTTP_ERROR_FIELD_NAME, 1 },
    { "8-bit in a name", INPUT("A\xe9: c\r\n\r\n"), HTTP_ERROR_FIELD_NAME, 1 },
    { "NUL in a name", INPUT("A\0: c\r\n\r\n"), HTTP_ERROR_FIELD_NAME, 1 },
    { "fold", INPUT("A: b\r\n c\r\n\r\n"), HTTP_ERROR_FOLD, 6 },
    { "fold with a tab", INPUT("A: b\r\n\tc\r\n\r\n"), HTTP_ERROR_FOLD, 6 },
    { "space before the first field", INPUT(" A: b\r\n\r\n"), HTTP_ERROR_FOLD, 0 },
    { "NUL in a value", INPUT("A: b\0c\r\n\r\n"), HTTP_ERROR_FIELD_VALUE, 4 },
    { "control in a value", INPUT("A: b\x01\r\n\r\n"), HTTP_ERROR_FIELD_VALUE, 4 },
    { "DEL in a value", INPUT("A: b\x7f\r\n\r\n"), HTTP_ERROR_FIELD_VALUE, 4 },
    { "control first in a value", INPUT("A: \x1f\r\n\r\n"), HTTP_ERROR_FIELD_VALUE, 3 },
    { "control in a long value", INPUT("A: 0123456789abcdef0123456789\x02 0123456789abcdef\r\n\r\n"), HTTP_ERROR_FIELD_VALUE, 29 },
    { "LF after a field", INPUT("A: b\nC: d\r\n\r\n"), HTTP_ERROR_BARE_LF, 4 },
    { "LF after the fields", INPUT("A: b\r\n\n"), HTTP_ERROR_BARE_LF, 6 },
    { "LF in a name", INPUT("A\n: b\r\n\r\n"), HTTP_ERROR_FIELD_COLON, 1 },
    { "CR in a value", INPUT("A: b\rc\r\n\r\n"), HTTP_ERROR_BARE_CR, 5 },
    { "two CRs after a field", INPUT("A: b\r\r\n\r\n"), HTTP_ERROR_BARE_CR, 5 },
    { "CR alone as empty line", INPUT("A: b\r\n\rx"), HTTP_ERROR_BARE_CR, 7 },
};

static const struct refusal_row refused_responses[] = {
    { "not HTTP", INPUT("SSH-2.0-OpenSSH_9.2\r\n"), HTTP_ERROR_VERSION_SYNTAX, 0 },
    { "blank line before", INPUT("\r\nHTTP/1.1 200 OK\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 0 },
    { "body of the last response", INPUT("xHTTP/1.1 200 OK\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 0 },
    { "ICY", INPUT("ICY 200 OK\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 0 },
    { "HTTP/2.0", INPUT("HTTP/2.0 200 OK\r\n\r\n"), HTTP_ERROR_VERSION, 8 },
    { "HTTP/1.10", INPUT("HTTP/1.10 200 OK\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 8 },
    { "tab after the version", INPUT("HTTP/1.1\t200 OK\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX, 8 },
    { "two spaces after the version", INPUT("HTTP/1.1  200 OK\r\n\r\n"), HTTP_ERROR_STATUS, 9 },
    { "status 20", INPUT("HTTP/1.1 20 OK\r\n\r\n"), HTTP_ERROR_STATUS, 11 },
    { "status 2000", INPUT("HTTP/1.1 2000 OK\r\n\r\n"), HTTP_ERROR_STATUS, 12 },
    { "status 000", INPUT("HTTP/1.1 000 OK\r\n\r\n"), HTTP_ERROR_STATUS, 12 },
    { "status 099", INPUT("HTTP/1.1 099 OK\r\n\r\n"), HTTP_ERROR_STATUS, 12 },
    { "status 600", INPUT("HTTP/1.1 600 OK\r\n\r\n"), HTTP_ERROR_STATUS, 12 },
    { "status +20", INPUT("HTTP/1.1 +20 OK\r\n\r\n"), HTTP_ERROR_STATUS, 9 },
    { "status 0x2", INPUT("HTTP/1.1 0x2 OK\r\n\r\n"), HTTP_ERROR_STATUS, 10 },
    { "control in the reason", INPUT("HTTP/1.1 200 O\x01K\r\n\r\n"), HTTP_ERROR_START_LINE, 14 },
    { "NUL in the reason", INPUT("HTTP/1.1 200 O\0K\r\n\r\n"), HTTP_ERROR_START_LINE, 14 },
    { "LF after the status line", INPUT("HTTP/1.1 200 OK\n\r\n"), HTTP_ERROR_BARE_LF, 15 },
    { "LF after the status", INPUT("HTTP/1.1 200\n\r\n"), HTTP_ERROR_BARE_LF, 12 },
    { "CR in the reason", INPUT("HTTP/1.1 200 O\rK\r\n\r\n"), HTTP_ERROR_BARE_CR, 15 },
};

static void assert_refused(const struct refusal_row *row, const struct http_fed *fed, unsigned before)
{
    if (fed->result != HTTP_PARSE_ERROR)
        fail_msg("%s: not refused", row->name);
    if (fed->parser.error != row->error)
        fail_msg("%s: refused for \"%s\", not \"%s\"", row->name, http_error_text(fed->parser.error), http_error_text(row->error));
    if (fed->parser.at != row->at + before)
        fail_msg("%s: refused at %u, not %u", row->name, fed->parser.at, row->at + before);
}

static void start_lines_are_refused(void **state)
{
    (void)state;
    struct http_fed fed;
    for (size_t i = 0; i < sizeof refused_requests / sizeof *refused_requests; i++) {
        feed(&fed, refused_requests[i].name, http_parse_request, refused_requests[i].input, &limits);
        assert_refused(&refused_requests[i], &fed, 0);
    }
    for (size_t i = 0; i < sizeof refused_responses / sizeof *refused_responses; i++) {
        feed(&fed, refused_responses[i].name, http_parse_response, refused_responses[i].input, &limits);
        assert_refused(&refused_responses[i], &fed, 0);
    }
}

static void check_refused_field(const struct refusal_row *row, http_feed_fn *parse, struct slice start)
{
    char input[256];
    struct http_fed fed;
    memcpy(input, start.p, start.n);
    memcpy(input + start.n, row->input.p, row->input.n);
    feed(&fed, row->name, parse, (struct slice){ input, start.n + row->input.n }, &limits);
    assert_refused(row, &fed, (unsigned)start.n);
}

static void fields_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused_fields / sizeof *refused_fields; i++) {
        check_refused_field(&refused_fields[i], http_parse_request, SLICE("GET / HTTP/1.1\r\n"));
        check_refused_field(&refused_fields[i], http_parse_response, SLICE("HTTP/1.1 200 OK\r\n"));
    }
}

/* Each byte that isn't allowed, at each place. */
static void every_byte_is_judged(void **state)
{
    (void)state;
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (unsigned c = 0; c < 256; c++) {
        char input[64];
        struct http_fed fed;
        bool token = c && strchr(tokens, (int)c);
        size_t n = (size_t)snprintf(input, sizeof input, "GET / HTTP/1.1\r\nab%ccd: e\r\n\r\n", (int)c);
        http_feed(&fed, http_parse_request, input, n, n, n, &limits);
        assert_int_equal(fed.result, token || c == ':' ? HTTP_PARSE_DONE : HTTP_PARSE_ERROR);

        n = (size_t)snprintf(input, sizeof input, "GET / HTTP/1.1\r\nab: e%cf\r\n\r\n", (int)c);
        http_feed(&fed, http_parse_request, input, n, n, n, &limits);
        assert_int_equal(fed.result, c == '\t' || (c >= 0x20 && c != 0x7f) ? HTTP_PARSE_DONE : HTTP_PARSE_ERROR);

        n = (size_t)snprintf(input, sizeof input, "GET /a%cb HTTP/1.1\r\n\r\n", (int)c);
        http_feed(&fed, http_parse_request, input, n, n, n, &limits);
        assert_int_equal(fed.result, c > 0x20 && c < 0x7f && c != '#' ? HTTP_PARSE_DONE : HTTP_PARSE_ERROR);
    }
}

static void bare_lf_is_accepted_where_allowed(void **state)
{
    (void)state;
    static const struct slice inputs[] = {
        INPUT("GET / HTTP/1.1\nA: b\nC: d\n\n"),
        INPUT("GET / HTTP/1.1\r\nA: b\nC: d\r\n\n"),
        INPUT("\nGET / HTTP/1.1\nA: b\r\nC: d\n\r\n"),
    };
    struct http_fed fed;
    char fields[64];
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        feed(&fed, "bare LF", http_parse_request, inputs[i], &lenient);
        assert_accepted("bare LF", &fed, inputs[i].n);
        write_fields(fields, sizeof fields, &fed.head, inputs[i].p);
        assert_string_equal(fields, "A=b|C=d");
    }
    feed(&fed, "bare LF", http_parse_response, SLICE("HTTP/1.1 200\nA: b\n\n"), &lenient);
    assert_accepted("bare LF", &fed, 19);
    feed(&fed, "HTTP/0.9", http_parse_request, SLICE("GET /\n\n"), &lenient);
    assert_int_equal(fed.parser.error, HTTP_ERROR_SIMPLE_REQUEST);
    feed(&fed, "CR CR LF", http_parse_request, SLICE("GET / HTTP/1.1\nA: b\r\r\n\n"), &lenient);
    assert_int_equal(fed.parser.error, HTTP_ERROR_BARE_CR);
}

/* A message of exactly `total` bytes, filled up inside the target or the value. */
static struct slice filled(char *out, size_t total, const char *before, const char *after)
{
    size_t n = strlen(before), m = strlen(after);
    memcpy(out, before, n);
    memset(out + n, 'a', total - n - m);
    memcpy(out + total - m, after, m);
    return (struct slice){ out, total };
}

static void heads_are_limited(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        enum http_parse_error error;
        unsigned status;
    } rows[] = {
        { "GET /", " HTTP/1.1\r\n\r\n", HTTP_ERROR_NONE, 0 }, /* exactly as large as allowed */
        { "GET / HTTP/1.1\r\nA: ", "\r\n\r\n", HTTP_ERROR_NONE, 0 },
        { "GET /", "", HTTP_ERROR_TARGET_TOO_LONG, 414 },
        { "GET / HTTP/1.1\r\nA: ", "", HTTP_ERROR_TOO_LARGE, 431 },
        { "GET / HTTP/1.1\r\n", "", HTTP_ERROR_TOO_LARGE, 431 },
        { "", "", HTTP_ERROR_TOO_LARGE, 431 },
        { "GET /", " ", HTTP_ERROR_TOO_LARGE, 431 }, /* the target ended in time */
        { "GET / HTTP/1.1\r\nA: ", "\r\n\r", HTTP_ERROR_TOO_LARGE, 431 },
    };
    char input[400];
    struct http_fed fed;
    const struct http_limits small = { .size = 200, .count = 10 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        filled(input, small.size, rows[i].before, rows[i].after);
        memset(input + small.size, 'b', sizeof input - small.size); /* what follows must not matter */
        feed(&fed, rows[i].before, http_parse_request, (struct slice){ input, sizeof input }, &small);
        assert_int_equal(fed.parser.error, rows[i].error);
        if (rows[i].error)
            assert_int_equal(http_error_status(rows[i].error), rows[i].status);
        else
            assert_accepted(rows[i].before, &fed, small.size);
    }
    feed(&fed, "response", http_parse_response, filled(input, 300, "HTTP/1.1 200 ", "\r\n\r\n"), &small);
    assert_int_equal(fed.parser.error, HTTP_ERROR_TOO_LARGE);
}

static void fields_are_counted(void **state)
{
    (void)state;
    static char input[HTTP_FIELDS_MAX * 8 + 64];
    for (unsigned n = 0; n <= HTTP_FIELDS_MAX + 1; n += n < 8 ? 1 : 124) {
        size_t length = (size_t)sprintf(input, "GET / HTTP/1.1\r\n");
        for (unsigned i = 0; i < n; i++)
            length += (size_t)sprintf(input + length, "A: b\r\n");
        length += (size_t)sprintf(input + length, "\r\n");
        for (uint16_t limit = 0; limit < 6; limit++) {
            struct http_fed fed;
            /* The last is more than the head has room for. */
            const struct http_limits counted = { .size = sizeof input, .count = limit < 5 ? limit : UINT16_MAX };
            unsigned most = limit < 5 ? limit : HTTP_FIELDS_MAX;
            http_feed(&fed, http_parse_request, input, length, length, length, &counted);
            assert_int_equal(fed.result, n <= most ? HTTP_PARSE_DONE : HTTP_PARSE_ERROR);
            assert_int_equal(fed.parser.error, n <= most ? HTTP_ERROR_NONE : HTTP_ERROR_TOO_MANY);
            assert_int_equal(fed.head.n_fields, n <= most ? n : most);
        }
    }
    assert_int_equal(http_error_status(HTTP_ERROR_TOO_MANY), 431);
}

/* A name that its length field can't hold is refused, not cut. */
static void a_name_of_64k_is_too_large(void **state)
{
    (void)state;
    enum { SIZE = 70000 };
    const struct http_limits large = { .size = SIZE + 100, .count = 10 };
    char *input = malloc(SIZE + 100);
    struct http_fed fed;
    assert_non_null(input);
    struct slice s = filled(input, SIZE, "GET / HTTP/1.1\r\n", ": x\r\n\r\n");
    http_feed(&fed, http_parse_request, s.p, s.n, s.n / 2, s.n, &large);
    assert_int_equal(fed.parser.error, HTTP_ERROR_TOO_LARGE);
    s = filled(input, 16 + UINT16_MAX + 7, "GET / HTTP/1.1\r\n", ": x\r\n\r\n");
    http_feed(&fed, http_parse_request, s.p, s.n, s.n / 2, s.n, &large);
    assert_accepted("65535 bytes", &fed, s.n);
    assert_int_equal(fed.head.fields[0].name_len, UINT16_MAX);
    free(input);
}

/* Neither outcome changes when more bytes come. */
static void outcomes_are_final(void **state)
{
    (void)state;
    struct http_fed fed;
    struct slice good = SLICE("GET / HTTP/1.1\r\n\r\nmore"), bad = SLICE("GET /# HTTP/1.1\r\n\r\nmore");
    http_feed(&fed, http_parse_request, good.p, good.n, good.n, 1, &limits);
    assert_int_equal(http_parse_request(&fed.parser, &fed.head, good.p, good.n, &limits), HTTP_PARSE_DONE);
    assert_int_equal(fed.parser.at, 18);
    http_feed(&fed, http_parse_request, bad.p, bad.n, bad.n, 1, &limits);
    assert_int_equal(http_parse_request(&fed.parser, &fed.head, bad.p, bad.n, &limits), HTTP_PARSE_ERROR);
    assert_int_equal(fed.parser.error, HTTP_ERROR_FRAGMENT);
}

static void prefixes_are_unfinished(void **state)
{
    (void)state;
    struct slice whole = SLICE("\r\nGET http://a/b HTTP/1.1\r\nA: b\r\nC:\r\n\r\n");
    struct http_fed fed;
    for (size_t n = 0; n < whole.n; n++) {
        http_feed(&fed, http_parse_request, whole.p, n, n, n, &limits);
        assert_int_equal(fed.result, HTTP_PARSE_MORE);
        assert_int_equal(fed.parser.at, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_taken_apart),
        cmocka_unit_test(responses_are_taken_apart),
        cmocka_unit_test(start_lines_are_refused),
        cmocka_unit_test(fields_are_refused),
        cmocka_unit_test(every_byte_is_judged),
        cmocka_unit_test(bare_lf_is_accepted_where_allowed),
        cmocka_unit_test(heads_are_limited),
        cmocka_unit_test(fields_are_counted),
        cmocka_unit_test(a_name_of_64k_is_too_large),
        cmocka_unit_test(outcomes_are_final),
        cmocka_unit_test(prefixes_are_unfinished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
