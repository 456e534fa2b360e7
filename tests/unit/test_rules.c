/* The table of hard cases: what request and response parsers disagree about, and what we do; then what the rules conclude from
 * heads that are fine. Each input goes through tokenizer and rules in every cut. */
#include "http/rules.h"
#include "tests/unit/http_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct http_limits limits = { .size = 4096, .count = 100 };

#define INPUT(literal) { (literal), sizeof(literal) - 1 }
#define GET(fields) INPUT("GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n")
#define GET10(fields) INPUT("GET / HTTP/1.0\r\nHost: a\r\n" fields "\r\n")
#define POST(fields) INPUT("POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n")
#define OK(fields) INPUT("HTTP/1.1 200 OK\r\n" fields "\r\n")

/* What the message's sender asked for before, where a response is judged. */
struct asked {
    enum http_method method;
    bool upgrade;
};

static enum http_parse_error judge(struct http_fed *fed, const char *name, struct slice input, const struct asked *asked,
                                   struct http_message *message)
{
    if (!http_feed_every_way(fed, asked ? http_parse_response : http_parse_request, input.p, input.n, &limits))
        fail_msg("%s: where the input is cut changes the outcome", name);
    if (fed->result == HTTP_PARSE_MORE)
        fail_msg("%s: not a whole head", name);
    if (fed->result == HTTP_PARSE_ERROR)
        return fed->parser.error;
    return asked ? http_response_rules(&fed->head, input.p, asked->method, asked->upgrade, message)
                 : http_request_rules(&fed->head, input.p, message);
}

struct refusal {
    const char *name;
    struct slice input;
    enum http_parse_error error;
};

static const struct {
    unsigned status;
    struct refusal r;
} refused_requests[] = {
    /* framing */
    { 400, { "CL + TE: chunked", POST("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), HTTP_ERROR_LENGTH_AND_CODING } },
    { 400, { "TE: chunked + CL", POST("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), HTTP_ERROR_LENGTH_AND_CODING } },
    { 400, { "CL + TE: identity", POST("Content-Length: 4\r\nTransfer-Encoding: identity\r\n"), HTTP_ERROR_LENGTH_AND_CODING } },
    { 501, { "TE: gzip, chunked", POST("Transfer-Encoding: gzip, chunked\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 501, { "TE: chunked, gzip", POST("Transfer-Encoding: chunked, gzip\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 501, { "TE: identity", POST("Transfer-Encoding: identity\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 501, { "TE: xchunked", POST("Transfer-Encoding: xchunked\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 501, { "TE: chunked;q=1", POST("Transfer-Encoding: chunked;q=1\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 501, { "TE: \"chunked\"", POST("Transfer-Encoding: \"chunked\"\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 501, { "TE: ,chunked", POST("Transfer-Encoding: ,chunked\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 501, { "TE empty", POST("Transfer-Encoding:\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { 400, { "TE: chunked in HTTP/1.0", GET10("Transfer-Encoding: chunked\r\n"), HTTP_ERROR_CODING_HTTP10 } },
    { 400, { "TE: gzip in HTTP/1.0", GET10("Transfer-Encoding: gzip\r\n"), HTTP_ERROR_CODING_HTTP10 } },
    { 400, { "TE repeated", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), HTTP_ERROR_CODING_REPEATED } },
    { 400, { "TE repeated, other", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), HTTP_ERROR_CODING_REPEATED } },
    { 400, { "TE: chunked, chunked", POST("Transfer-Encoding: chunked, chunked\r\n"), HTTP_ERROR_CODING_REPEATED } },
    { 400, { "CL equal duplicates", POST("Content-Length: 2\r\nContent-Length: 2\r\n"), HTTP_ERROR_LENGTH_REPEATED } },
    { 400, { "CL different duplicates", POST("Content-Length: 2\r\nContent-Length: 3\r\n"), HTTP_ERROR_LENGTH_REPEATED } },
    { 400, { "CL duplicates of 0", POST("Content-Length: 0\r\nContent-Length: 0\r\n"), HTTP_ERROR_LENGTH_REPEATED } },
    { 400, { "CL: 2, 2", POST("Content-Length: 2, 2\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL: +2", POST("Content-Length: +2\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL: -2", POST("Content-Length: -2\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL: 0x2", POST("Content-Length: 0x2\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL: 2.0", POST("Content-Length: 2.0\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL: 1 2", POST("Content-Length: 1 2\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL empty", POST("Content-Length:\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL with NUL", POST("Content-Length: 2\0\r\n"), HTTP_ERROR_FIELD_VALUE } },
    { 400, { "CL: 2^63", POST("Content-Length: 9223372036854775808\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL: 2^64", POST("Content-Length: 18446744073709551616\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { 400, { "CL: 2^64 + 2", POST("Content-Length: 18446744073709551618\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    /* lines */
    { 400, { "bare LF as line end", INPUT("GET / HTTP/1.1\nHost: a\n\n"), HTTP_ERROR_BARE_LF } },
    { 400, { "bare CR in the request line", INPUT("GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_BARE_CR } },
    { 400, { "bare CR in a header", GET("X: a\rb\r\n"), HTTP_ERROR_BARE_CR } },
    { 400, { "bare CR that hides a header", GET("X: a\rContent-Length: 5\r\n"), HTTP_ERROR_BARE_CR } },
    { 400, { "obs-fold", GET("X: a\r\n b\r\n"), HTTP_ERROR_FOLD } },
    { 400, { "obs-fold of TE", POST("Transfer-Encoding:\r\n chunked\r\n"), HTTP_ERROR_FOLD } },
    { 400, { "space before colon", POST("Transfer-Encoding : chunked\r\n"), HTTP_ERROR_FIELD_COLON } },
    { 400, { "line without colon", GET("garbage\r\n"), HTTP_ERROR_FIELD_COLON } },
    { 400, { "NUL in value", GET("X: a\0b\r\n"), HTTP_ERROR_FIELD_VALUE } },
    { 400, { "CTL in value", GET("X: a\x01" "b\r\n"), HTTP_ERROR_FIELD_VALUE } },
    { 400, { "DEL in value", GET("X: a\x7f" "b\r\n"), HTTP_ERROR_FIELD_VALUE } },
    { 400, { "invalid char in name", GET("X(: a\r\n"), HTTP_ERROR_FIELD_NAME } },
    /* host */
    { 400, { "no Host on 1.1", INPUT("GET / HTTP/1.1\r\n\r\n"), HTTP_ERROR_HOST_MISSING } },
    { 400, { "absolute form, no Host on 1.1", INPUT("GET http://a/ HTTP/1.1\r\n\r\n"), HTTP_ERROR_HOST_MISSING } },
    { 400, { "two equal Hosts", GET("Host: a\r\n"), HTTP_ERROR_HOST_REPEATED } },
    { 400, { "two Hosts", GET("Host: b\r\n"), HTTP_ERROR_HOST_REPEATED } },
    { 400, { "absolute-form differs from Host", INPUT("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_HOST_MISMATCH } },
    { 400, { "absolute-form and empty Host", INPUT("GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n"), HTTP_ERROR_HOST_MISMATCH } },
    { 400, { "userinfo in absolute-form", INPUT("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_USERINFO } },
    { 400, { "userinfo in Host", INPUT("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "empty Host", INPUT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with a path", INPUT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with a space", INPUT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host of a port alone", INPUT("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with port 65536", INPUT("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with port x", INPUT("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with two ports", INPUT("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with a broken escape", INPUT("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with an open bracket", INPUT("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host with a zone", INPUT("GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host of bare IPv6", INPUT("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host after brackets", INPUT("GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    { 400, { "Host in empty brackets", INPUT("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), HTTP_ERROR_HOST_SYNTAX } },
    /* versions and methods */
    { 400, { "HTTP/0.9", INPUT("GET /\r\n"), HTTP_ERROR_SIMPLE_REQUEST } },
    { 400, { "HTTP/1.10", INPUT("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), HTTP_ERROR_VERSION_SYNTAX } },
    { 505, { "HTTP/2.0 line", INPUT("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), HTTP_ERROR_VERSION } },
    { 405, { "CONNECT", INPUT("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_METHOD_REFUSED } },
    { 405, { "TRACE", INPUT("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_METHOD_REFUSED } },
    { 400, { "fragment in target", INPUT("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_FRAGMENT } },
    { 400, { "8-bit in target", INPUT("GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_TARGET } },
    { 400, { "leading space", INPUT(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_START_LINE } },
    { 400, { "two spaces", INPUT("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_START_LINE } },
    { 400, { "tab", INPUT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_ERROR_START_LINE } },
    { 417, { "unknown expectation", POST("Expect: 200-ok\r\n"), HTTP_ERROR_EXPECT } },
    { 417, { "unknown expectation beside the known", POST("Expect: 100-continue, x\r\n"), HTTP_ERROR_EXPECT } },
};

static const struct asked asked_get = { METHOD_GET, false }, asked_head = { METHOD_HEAD, false }, asked_upgrade = { METHOD_GET, true };

#define SWITCH(fields) INPUT("HTTP/1.1 101 Switching Protocols\r\n" fields "\r\n")
#define ACCEPTED "Connection: Upgrade\r\nUpgrade: websocket\r\n"

/* Each is a 502. */
static const struct {
    const struct asked *asked;
    struct refusal r;
} refused_responses[] = {
    { &asked_get, { "CL + TE in a response", OK("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), HTTP_ERROR_LENGTH_AND_CODING } },
    { &asked_head, { "CL + TE to HEAD", OK("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), HTTP_ERROR_LENGTH_AND_CODING } },
    { &asked_get, { "CL equal duplicates", OK("Content-Length: 2\r\nContent-Length: 2\r\n"), HTTP_ERROR_LENGTH_REPEATED } },
    { &asked_get, { "CL: +2", OK("Content-Length: +2\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { &asked_get, { "CL empty", OK("Content-Length:\r\n"), HTTP_ERROR_LENGTH_SYNTAX } },
    { &asked_get, { "TE: gzip, chunked", OK("Transfer-Encoding: gzip, chunked\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { &asked_get, { "TE: identity", OK("Transfer-Encoding: identity\r\n"), HTTP_ERROR_CODING_UNKNOWN } },
    { &asked_get, { "TE repeated", OK("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), HTTP_ERROR_CODING_REPEATED } },
    { &asked_get, { "TE in HTTP/1.0", INPUT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_CODING_HTTP10 } },
    { &asked_get, { "non-HTTP", INPUT("220 mail ESMTP\r\n"), HTTP_ERROR_VERSION_SYNTAX } },
    { &asked_get, { "HTTP/0.9", INPUT("<html>"), HTTP_ERROR_VERSION_SYNTAX } },
    { &asked_get, { "status 20", INPUT("HTTP/1.1 20 OK\r\n\r\n"), HTTP_ERROR_STATUS } },
    { &asked_get, { "status 2000", INPUT("HTTP/1.1 2000 OK\r\n\r\n"), HTTP_ERROR_STATUS } },
    { &asked_get, { "status 000", INPUT("HTTP/1.1 000 OK\r\n\r\n"), HTTP_ERROR_STATUS } },
    { &asked_get, { "HTTP/2.0", INPUT("HTTP/2.0 200 OK\r\n\r\n"), HTTP_ERROR_VERSION } },
    { &asked_get, { "bare LF", INPUT("HTTP/1.1 200 OK\n\n"), HTTP_ERROR_BARE_LF } },
    { &asked_get, { "obs-fold", OK("X: a\r\n b\r\n"), HTTP_ERROR_FOLD } },
    { &asked_get, { "space before colon", OK("Content-Length : 2\r\n"), HTTP_ERROR_FIELD_COLON } },
    { &asked_get, { "line without colon", OK("garbage\r\n"), HTTP_ERROR_FIELD_COLON } },
    { &asked_get, { "NUL in value", OK("X: \0\r\n"), HTTP_ERROR_FIELD_VALUE } },
    { &asked_get, { "CTL in value", OK("X: \x1b[2J\r\n"), HTTP_ERROR_FIELD_VALUE } },
    { &asked_get, { "101 to a request without Upgrade", SWITCH(ACCEPTED), HTTP_ERROR_UNEXPECTED_UPGRADE } },
    { &asked_upgrade, { "101 without Upgrade", SWITCH("Connection: Upgrade\r\n"), HTTP_ERROR_UNEXPECTED_UPGRADE } },
    { &asked_upgrade, { "101 without Connection", SWITCH("Upgrade: websocket\r\n"), HTTP_ERROR_UNEXPECTED_UPGRADE } },
    { &asked_upgrade, { "101 to h2c", SWITCH("Connection: Upgrade\r\nUpgrade: h2c\r\n"), HTTP_ERROR_UNEXPECTED_UPGRADE } },
    { &asked_upgrade, { "101 in HTTP/1.0", INPUT("HTTP/1.0 101 x\r\n" ACCEPTED "\r\n"), HTTP_ERROR_UNEXPECTED_UPGRADE } },
    { &asked_upgrade, { "101 with CL and TE", SWITCH(ACCEPTED "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
                        HTTP_ERROR_LENGTH_AND_CODING } },
};

static void assert_error(const struct refusal *row, enum http_parse_error error)
{
    if (error != row->error)
        fail_msg("%s: \"%s\", not \"%s\"", row->name, http_error_text(error), http_error_text(row->error));
}

static void hard_requests_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused_requests / sizeof *refused_requests; i++) {
        struct http_fed fed;
        struct http_message message;
        const struct refusal *row = &refused_requests[i].r;
        enum http_parse_error error = judge(&fed, row->name, row->input, NULL, &message);
        assert_error(row, error);
        assert_int_equal(http_error_status(error), refused_requests[i].status);
    }
}

static void hard_responses_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused_responses / sizeof *refused_responses; i++) {
        struct http_fed fed;
        struct http_message message;
        const struct refusal *row = &refused_responses[i].r;
        assert_error(row, judge(&fed, row->name, row->input, refused_responses[i].asked, &message));
    }
}

/* "body flags host|the names that are forwarded", as the tables below have it. */
static void describe(char *out, size_t size, const struct http_fed *fed, const char *base, const struct http_message *m)
{
    static const char *const bodies[] = { "none", "length", "chunked", "until-close" };
    size_t n = (size_t)snprintf(out, size, "%s", bodies[m->body]);
    if (m->has_length)
        n += (size_t)snprintf(out + n, size - n, "=%llu", (unsigned long long)m->length);
    n += (size_t)snprintf(out + n, size - n, "%s%s%s", m->keep_alive ? "" : " close", m->upgrade_websocket ? " websocket" : "",
                          m->expect_continue ? " expect" : "");
    if (m->host_port.p)
        n += (size_t)snprintf(out + n, size - n, " %.*s %.*s", SLICE_ARG(m->host), SLICE_ARG(m->host_port));
    n += (size_t)snprintf(out + n, size - n, "|");
    for (const struct http_field *f = fed->head.fields; f < fed->head.fields + fed->head.n_fields; f++)
        if (!(f->flags & FIELD_DROP))
            n += (size_t)snprintf(out + n, size - n, "%s%.*s", out[n - 1] == '|' ? "" : ",", SLICE_ARG(http_field_name(base, f)));
}

struct verdict {
    const char *name;
    struct slice input;
    const char *expected;
};

static void check_verdict(const struct verdict *row, const struct asked *asked)
{
    struct http_fed fed;
    struct http_message message;
    char description[1024];
    enum http_parse_error error = judge(&fed, row->name, row->input, asked, &message);
    if (error)
        fail_msg("%s: refused: %s", row->name, http_error_text(error));
    describe(description, sizeof description, &fed, row->input.p, &message);
    if (strcmp(description, row->expected) != 0)
        fail_msg("%s: is\n%s, not\n%s", row->name, description, row->expected);
}

static const struct verdict requests[] = {
    /* framing */
    { "no body", GET("X: 1\r\n"), "none a a|X" },
    { "CL: 2", POST("Content-Length: 2\r\nX: 1\r\n"), "length=2 a a|X" },
    { "CL: 0002", POST("Content-Length: 0002\r\n"), "length=2 a a|" },
    { "CL: 0", POST("Content-Length: 0\r\n"), "none=0 a a|" },
    { "CL: 2^63 - 1", POST("Content-Length: 9223372036854775807\r\n"), "length=9223372036854775807 a a|" },
    { "CL on GET", GET("Content-Length: 3\r\n"), "length=3 a a|" },
    { "TE: chunked", POST("Transfer-Encoding: chunked\r\nTrailer: X\r\n"), "chunked a a|" },
    { "TE: Chunked", POST("transfer-encoding:\tChunked \r\n"), "chunked a a|" },
    /* the connection */
    { "close", GET("Connection: close\r\n"), "none close a a|" },
    { "close in a list", GET("Connection: x, Close ,y\r\n"), "none close a a|" },
    { "close in a second field", GET("Connection: keep-alive\r\nConnection: close\r\n"), "none close a a|" },
    { "close wins", GET("Connection: close, keep-alive\r\n"), "none close a a|" },
    { "not close", GET("Connection: closed\r\n"), "none a a|" },
    { "1.0", GET10(""), "none close a a|" },
    { "1.0 keep-alive", GET10("Connection: Keep-Alive\r\nKeep-Alive: 5\r\n"), "none a a|" },
    { "1.0 close", GET10("Connection: keep-alive, close\r\n"), "none close a a|" },
    /* hop-by-hop */
    { "Connection: X-Hop", GET("Connection: X-Hop\r\nX-Hop: 1\r\nX-Other: 2\r\n"), "none a a|X-Other" },
    { "nominated in another case, before, twice", GET("X-HOP: 0\r\nconnection: , x-hop ,\r\nX-Hop: 1\r\n"), "none a a|" },
    { "nominated in HTTP/1.0", GET10("Connection: X-Hop\r\nX-Hop: 1\r\n"), "none close a a|" },
    { "nominated credentials", GET("Connection: Cookie, Authorization\r\nCookie: 1\r\nAuthorization: 2\r\n"), "none a a|" },
    { "protected: framing and Host", POST("Connection: Content-Length, Host\r\nContent-Length: 2\r\n"), "length=2 a a|" },
    { "protected: TE", POST("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"), "chunked a a|" },
    { "protected: who the client is",
      GET("Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Real-IP, Forwarded\r\n"
          "X-Forwarded-For: 1\r\nX-Forwarded-Proto: 1\r\nX-Forwarded-Host: 1\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 1\r\nForwarded: 1\r\n"),
      "none a a|X-Forwarded-For,X-Forwarded-Proto,X-Forwarded-Host,X-Forwarded-Port,X-Real-IP,Forwarded" },
    { "protected: the path through Cloudflare",
      GET("Connection: CF-Connecting-IP, CF-Ray, CF-Visitor, CDN-Loop, True-Client-IP, X-Request-ID, traceparent\r\n"
          "CF-Connecting-IP: 1\r\nCF-Ray: 1\r\nCF-Visitor: 1\r\nCDN-Loop: 1\r\nTrue-Client-IP: 1\r\nX-Request-ID: 1\r\ntraceparent: 1\r\n"),
      "none a a|CF-Connecting-IP,CF-Ray,CF-Visitor,CDN-Loop,True-Client-IP,X-Request-ID,traceparent" },
    { "hop-by-hop of old", GET("Keep-Alive: 5\r\nProxy-Connection: close\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\n"
                               "TE: trailers\r\nTrailer: X\r\nUpgrade: x\r\nX: 1\r\n"), "none a a|X" },
    /* upgrade */
    { "websocket", GET("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"), "none websocket a a|Sec-WebSocket-Key" },
    { "websocket in a list", GET("Connection: keep-alive, upgrade\r\nUpgrade: h2c, WebSocket\r\n"), "none websocket a a|" },
    { "websocket with a body", POST("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n"), "length=3 websocket a a|" },
    { "Upgrade without Connection", GET("Upgrade: websocket\r\n"), "none a a|" },
    { "Connection without Upgrade", GET("Connection: upgrade\r\n"), "none a a|" },
    { "h2c", GET("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"), "none a a|" },
    { "Upgrade in HTTP/1.0", GET10("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "none close a a|" },
    /* expect */
    { "expect", POST("Expect: 100-Continue\r\nContent-Length: 2\r\n"), "length=2 expect a a|" },
    { "expect without body", GET("Expect: 100-continue\r\n"), "none a a|" },
    { "expect in HTTP/1.0", INPUT("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
      "length=2 close a a|" },
    { "other expectation in HTTP/1.0", GET10("Expect: x\r\n"), "none close a a|" },
    /* host */
    { "no Host in HTTP/1.0", INPUT("GET / HTTP/1.0\r\n\r\n"), "none close|" },
    { "empty Host in HTTP/1.0", INPUT("GET / HTTP/1.0\r\nHost:\r\n\r\n"), "none close|" },
    { "port", INPUT("GET / HTTP/1.1\r\nHost: A.example:8080\r\n\r\n"), "none A.example A.example:8080|" },
    { "empty port", INPUT("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), "none a a|" },
    { "highest port", INPUT("GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n"), "none a a:65535|" },
    { "IPv4", INPUT("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), "none 127.0.0.1 127.0.0.1|" },
    { "IPv6", INPUT("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"), "none [::1] [::1]|" },
    { "IPv6 and port", INPUT("GET / HTTP/1.1\r\nHost: [2001:db8::A]:80\r\n\r\n"), "none [2001:db8::A] [2001:db8::A]:80|" },
    { "escaped", INPUT("GET / HTTP/1.1\r\nHost: %C3%A9.example\r\n\r\n"), "none %C3%A9.example %C3%A9.example|" },
    { "absolute form", INPUT("GET http://A:80/p HTTP/1.1\r\nHost: a:80\r\nX: 1\r\n\r\n"), "none A A:80|X" },
    { "absolute form, HTTP/1.0, no Host", INPUT("GET http://a/ HTTP/1.0\r\n\r\n"), "none close a a|" },
};

static void requests_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        check_verdict(&requests[i], NULL);
}

static const struct {
    struct asked asked;
    struct verdict v;
} responses[] = {
    { { METHOD_GET, 0 }, { "CL", OK("Content-Length: 2\r\nX: 1\r\n"), "length=2|X" } },
    { { METHOD_GET, 0 }, { "CL: 0", OK("Content-Length: 0\r\n"), "length=0|" } },
    { { METHOD_GET, 0 }, { "CL: 0002", OK("Content-Length: 0002\r\n"), "length=2|" } },
    { { METHOD_GET, 0 }, { "TE: chunked", OK("Transfer-Encoding: chunked\r\nTrailer: x\r\n"), "chunked|" } },
    { { METHOD_GET, 0 }, { "neither", OK(""), "until-close close|" } },
    { { METHOD_GET, 0 }, { "neither, keep-alive", OK("Connection: keep-alive\r\n"), "until-close close|" } },
    { { METHOD_GET, 0 }, { "close", OK("Content-Length: 2\r\nConnection: close\r\n"), "length=2 close|" } },
    { { METHOD_GET, 0 }, { "1.0", INPUT("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n"), "length=2 close|" } },
    { { METHOD_GET, 0 }, { "1.0 keep-alive", INPUT("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n"), "length=2|" } },
    { { METHOD_HEAD, 0 }, { "HEAD", OK("Content-Length: 2\r\n"), "none=2|Content-Length" } },
    { { METHOD_HEAD, 0 }, { "HEAD, nominated CL", OK("Connection: Content-Length\r\nContent-Length: 2\r\n"), "none=2|Content-Length" } },
    { { METHOD_HEAD, 0 }, { "HEAD, chunked", OK("Transfer-Encoding: chunked\r\n"), "none|" } },
    { { METHOD_HEAD, 0 }, { "HEAD, nothing said", OK(""), "none|" } },
    { { METHOD_GET, 0 }, { "304", INPUT("HTTP/1.1 304 x\r\nContent-Length: 2\r\nETag: x\r\n\r\n"), "none=2|Content-Length,ETag" } },
    { { METHOD_GET, 0 }, { "204", INPUT("HTTP/1.1 204 x\r\n\r\n"), "none|" } },
    { { METHOD_GET, 0 }, { "204 with CL: 0", INPUT("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"), "none|" } },
    { { METHOD_GET, 0 }, { "204 with CL", INPUT("HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\n"), "none close|" } },
    { { METHOD_GET, 0 }, { "204 with TE", INPUT("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"), "none close|" } },
    { { METHOD_GET, 0 }, { "205", INPUT("HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n"), "length=0|" } },
    { { METHOD_GET, 0 }, { "100", INPUT("HTTP/1.1 100 Continue\r\n\r\n"), "none|" } },
    { { METHOD_GET, 0 }, { "103", INPUT("HTTP/1.1 103 x\r\nLink: x\r\nConnection: y\r\nY: 1\r\n\r\n"), "none|Link" } },
    { { METHOD_GET, 0 }, { "100 with CL", INPUT("HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\n"), "none close|" } },
    { { METHOD_GET, 1 }, { "101", SWITCH(ACCEPTED "Sec-WebSocket-Accept: x\r\n"), "none close websocket|Sec-WebSocket-Accept" } },
    { { METHOD_GET, 1 }, { "101 in lists", SWITCH("Connection: x, UPGRADE\r\nupgrade: WebSocket\r\n"), "none close websocket|" } },
    { { METHOD_GET, 1 }, { "refused upgrade", OK("Content-Length: 2\r\n" ACCEPTED), "length=2|" } },
    { { METHOD_GET, 0 }, { "Connection: X-Hop", OK("Content-Length: 0\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Other: 2\r\n"), "length=0|X-Other" } },
    { { METHOD_GET, 0 }, { "hop-by-hop of old", OK("Content-Length: 0\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n"
                                                   "Proxy-Authenticate: x\r\nTE: x\r\nTrailer: x\r\nUpgrade: h2\r\nDate: x\r\n"), "length=0|Date" } },
    { { METHOD_GET, 0 }, { "what is only a request's business", OK("Content-Length: 0\r\nHost: x\r\nHost: y\r\nExpect: z\r\n"),
                           "length=0|Host,Host,Expect" } },
};

static void responses_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++)
        check_verdict(&responses[i].v, &responses[i].asked);
}

static void nominations_are_limited(void **state)
{
    (void)state;
    for (unsigned names = 32; names <= 33; names++) {
        char input[1024];
        struct http_fed fed;
        struct http_message message;
        size_t n = (size_t)sprintf(input, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close");
        for (unsigned i = 0; i < names; i++)
            n += (size_t)sprintf(input + n, ", x%u", i);
        n += (size_t)sprintf(input + n, "\r\nx31: 1\r\n\r\n");
        enum http_parse_error error = judge(&fed, "nominations", (struct slice){ input, n }, NULL, &message);
        assert_int_equal(error, names == 32 ? HTTP_ERROR_NONE : HTTP_ERROR_TOO_MANY);
        if (!error)
            assert_true(fed.head.fields[2].flags & FIELD_DROP);
    }
}

static void methods_have_their_properties(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        bool safe, idempotent;
    } rows[] = {
        { METHOD_OTHER, false, false }, { METHOD_GET, true, true },     { METHOD_HEAD, true, true },   { METHOD_OPTIONS, true, true },
        { METHOD_TRACE, true, true },   { METHOD_PUT, false, true },    { METHOD_DELETE, false, true }, { METHOD_POST, false, false },
        { METHOD_PATCH, false, false }, { METHOD_CONNECT, false, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(http_method_is_safe(rows[i].method), rows[i].safe);
        assert_int_equal(http_method_is_idempotent(rows[i].method), rows[i].idempotent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hard_requests_are_refused),
        cmocka_unit_test(hard_responses_are_refused),
        cmocka_unit_test(requests_are_understood),
        cmocka_unit_test(responses_are_understood),
        cmocka_unit_test(nominations_are_limited),
        cmocka_unit_test(methods_have_their_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
