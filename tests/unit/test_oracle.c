/* A second opinion: what we accept, http_parser accepts too, and it reads the same in it. Where two parsers differ, a request can be
 * smuggled; so every difference that is allowed stands in a table below, with the reason. The other way round we are far stricter. */
#include "base/random.h"
#include "http/rules.h"
#include "http/scan.h"
#include "tests/unit/http_feed.h"
#include "tests/unit/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 2048, MUTATIONS = 300000 };

static const struct http_limits limits = { .size = MESSAGE_MAX, .count = 100 };

struct reading {
    bool request;
    enum http_method method; /* responses: what was asked */
    struct slice input;
    struct http_fed fed;
    struct http_message message;
    struct oracle_head theirs;
};

enum difference { DIFFER_REFUSED, DIFFER_KEEP_ALIVE, DIFFER_UPGRADE, DIFFER_FRAMING };
static const char *const differences[] = { "they refuse it", "keep-alive", "upgrade", "framing" };

static bool they_say(const struct reading *r, const char *error)
{
    return r->theirs.error && strcmp(r->theirs.error, error) == 0;
}

static bool unlisted_method(const struct reading *r)
{
    return r->fed.head.method == METHOD_OTHER && they_say(r, "HPE_INVALID_METHOD");
}

static bool longer_name(const struct reading *r)
{
    for (const struct http_field *f = r->fed.head.fields; f < r->fed.head.fields + r->fed.head.n_fields; f++)
        if (f->id == FIELD_OTHER && slice_starts_nocase(http_field_name(r->input.p, f), SLICE("Transfer-Encoding")))
            return true;
    return false;
}

static bool tab_beside(const struct reading *r, enum http_field_id id)
{
    for (const struct http_field *f = r->fed.head.fields; f < r->fed.head.fields + r->fed.head.n_fields; f++)
        for (const char *p = r->input.p + f->value; f->id == id && *p != '\r'; p++)
            if (*p == '\t')
                return true;
    return false;
}

static bool tab_in_framing(const struct reading *r)
{
    return tab_beside(r, FIELD_TRANSFER_ENCODING) || tab_beside(r, FIELD_CONTENT_LENGTH);
}

static bool tab_in_connection(const struct reading *r)
{
    return tab_beside(r, FIELD_CONNECTION);
}

static bool is_stunted(struct slice option)
{
    static const struct slice known[] = { { "close", 5 }, { "keep-alive", 10 }, { "upgrade", 7 } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (option.n < known[i].n && slice_starts_nocase(known[i], option))
            return true;
    return scan_token(option.p, option.p + option.n) != option.p + option.n;
}

static bool stunted_option(const struct reading *r)
{
    const struct http_field *end = r->fed.head.fields + r->fed.head.n_fields;
    for (const struct http_field *f = r->fed.head.fields; f < end; f++) {
        struct slice options = http_field_value(r->input.p, f), option;
        while (f->id == FIELD_CONNECTION && slice_next_element(&options, &option))
            if (is_stunted(option))
                return true;
    }
    return false;
}

static bool close_and_keep_alive(const struct reading *r)
{
    return r->fed.head.minor == 0 && r->theirs.keep_alive;
}

static bool proxy_connection(const struct reading *r)
{
    return http_head_find(&r->fed.head, FIELD_PROXY_CONNECTION) != NULL;
}

static bool bodyless_with_framing(const struct reading *r)
{
    return !r->request && (r->fed.head.status < 200 || r->fed.head.status == 204) && !r->message.keep_alive;
}

static bool any_protocol(const struct reading *r)
{
    return r->theirs.upgrade && !r->message.upgrade_websocket;
}

static const struct exception {
    enum difference difference;
    bool (*applies)(const struct reading *);
    const char *why;
} exceptions[] = {
    { DIFFER_REFUSED, unlisted_method, "they have a list of methods; we pass on any token (RFC 9110 9.1)" },
    { DIFFER_REFUSED, longer_name, "they take a name that begins with Transfer-Encoding for that field" },
    { DIFFER_FRAMING, longer_name, "they take a name that begins with Transfer-Encoding for that field" },
    { DIFFER_REFUSED, tab_in_framing, "they take only SP for white space after a coding or length" },
    { DIFFER_FRAMING, tab_in_framing, "they take only SP for white space after a coding or length" },
    { DIFFER_KEEP_ALIVE, tab_in_connection, "they take only SP for white space after an option" },
    { DIFFER_UPGRADE, tab_in_connection, "they take only SP for white space after an option" },
    { DIFFER_KEEP_ALIVE, stunted_option, "they overlook an option after an empty element, no token, or the begin of a known option" },
    { DIFFER_UPGRADE, stunted_option, "they overlook an option after an empty element, no token, or the begin of a known option" },
    { DIFFER_KEEP_ALIVE, close_and_keep_alive, "HTTP/1.0 with both: they keep the connection, we close (RFC 9112 9.3: close first)" },
    { DIFFER_KEEP_ALIVE, proxy_connection, "they obey Proxy-Connection, which is no standard; we drop it" },
    { DIFFER_KEEP_ALIVE, bodyless_with_framing, "1xx and 204 that announce a body: we trust the connection no longer; nor after 101" },
    { DIFFER_UPGRADE, any_protocol, "they name every upgrade; ours is only about websocket" },
};

static unsigned allowed[sizeof exceptions / sizeof *exceptions];

static void differ(const struct reading *r, enum difference difference)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (exceptions[i].difference == difference && exceptions[i].applies(r)) {
            allowed[i]++;
            return;
        }
    fail_msg("%s (%s):\n%.*s", differences[difference], r->theirs.error ? r->theirs.error : "accepted", SLICE_ARG(r->input));
}

static void compare_start_lines(const struct reading *r)
{
    const struct http_head *head = &r->fed.head;
    struct slice method = { r->input.p + head->start, head->method_len }, target = { r->input.p + head->target, head->target_len };
    if (!r->request) {
        assert_int_equal(head->status, r->theirs.status);
        return;
    }
    assert_true(slice_eq(method, slice_of(r->theirs.method)));
    assert_true(slice_eq(target, r->theirs.target));
}

static void compare_fields(const struct reading *r)
{
    assert_int_equal(r->fed.head.n_fields, r->theirs.n_fields);
    for (size_t i = 0; i < r->theirs.n_fields; i++) {
        const struct http_field *f = &r->fed.head.fields[i];
        assert_true(slice_eq(http_field_name(r->input.p, f), r->theirs.fields[i].name));
        assert_true(slice_eq(http_field_value(r->input.p, f), slice_trim(r->theirs.fields[i].value)));
    }
}

/* A higher minor version than 1 counts as 1. */
static bool same_version(const struct reading *r)
{
    return (r->theirs.minor != 0) == r->fed.head.minor;
}

static bool has_framing(const struct reading *r)
{
    return r->request || (r->fed.head.status >= 200 && r->fed.head.status != 204);
}

static bool same_framing(const struct reading *r)
{
    bool takes_body = r->request || (r->method != METHOD_HEAD && r->fed.head.status != 304);
    if (takes_body && r->theirs.chunked != (r->message.body == BODY_CHUNKED))
        return false;
    return r->theirs.has_length == r->message.has_length && r->theirs.length == r->message.length;
}

static void compare(struct reading *r)
{
    oracle_read(&r->theirs, r->request, !r->request && r->method == METHOD_HEAD, (struct slice){ r->input.p, r->fed.head.length });
    if (r->theirs.error) {
        differ(r, DIFFER_REFUSED);
        return;
    }
    compare_start_lines(r);
    compare_fields(r);
    assert_true(same_version(r));
    if (has_framing(r) && !same_framing(r))
        differ(r, DIFFER_FRAMING); /* and so in all that follows from it */
    else if (r->theirs.keep_alive != r->message.keep_alive)
        differ(r, DIFFER_KEEP_ALIVE);
    if (r->request && r->theirs.upgrade != r->message.upgrade_websocket)
        differ(r, DIFFER_UPGRADE);
}

/* Compares if we accept the message; false if we don't. */
static bool accepted_and_the_same(struct reading *r)
{
    http_feed(&r->fed, r->request ? http_parse_request : http_parse_response, r->input.p, r->input.n, r->input.n, 1, &limits);
    if (r->fed.result != HTTP_PARSE_DONE)
        return false;
    enum http_parse_error error = r->request ? http_request_rules(&r->fed.head, r->input.p, &r->message)
                                             : http_response_rules(&r->fed.head, r->input.p, r->method, true, &r->message);
    if (error)
        return false;
    compare(r);
    return true;
}

static const char *const requests[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a/b?c=d&e HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nUser-Agent: x (y; z)\r\nCookie: a=b; c=d\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005 \r\nExpect: 100-continue\r\n\r\nhello",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\nTrailer: x\r\n\r\n0\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\nX: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "GET http://a.example/b?c HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "DELETE /%20 HTTP/1.1\r\nHost: a\r\nA:\r\nB:   \r\nC: \t d \t\r\n\r\n",
    "PATCH / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\nKeep-Alive: 5\r\n\r\n",
};

static const char *const responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\nDate: y\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b; Path=/\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nhello",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 404\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://a/\r\nContent-Length: 0\r\nProxy-Connection: keep-alive\r\n\r\n",
};

static const enum http_method asked[] = { METHOD_GET, METHOD_HEAD };

static void both_read_the_table_alike(void **state)
{
    (void)state;
    static struct reading r;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        r = (struct reading){ .request = true, .input = slice_of(requests[i]) };
        assert_true(accepted_and_the_same(&r));
    }
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++)
        for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
            r = (struct reading){ .method = asked[k], .input = slice_of(responses[i]) };
            assert_true(accepted_and_the_same(&r));
        }
}

/* What parsers stumble over. */
static const char *const snippets[] = {
    " ", "\t", "\r", "\n", "\r\n", ":", ",", ";", "\"", "#", "?", "/", "@", "[", "]", "%", "0", "+", "-", "x", "\x7f", "\x01", "\x80", "\xff",
    "chunked", "close", "keep-alive", "upgrade", "websocket", "identity", "18446744073709551615", "9223372036854775807",
    "Content-Length: 5\r\n", "Content-Length: 6\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
    "Upgrade: websocket\r\n", "Host: b\r\n", "HTTP/1.0", "HTTP/1.1", "HTTP/1.9", "http://", " HTTP/1.1\r\n", "\r\n\r\n", "Proxy-Connection: close\r\n",
};

struct mutant {
    char data[MESSAGE_MAX];
    size_t n;
};

static size_t pick(struct random *r, size_t n)
{
    return (size_t)(random_u64(r) % n);
}

/* Replaces `old` bytes at `at`. */
static void splice(struct mutant *m, size_t at, size_t old, const char *with, size_t n)
{
    if (m->n - old + n > sizeof m->data)
        return;
    memmove(m->data + at + n, m->data + at + old, m->n - at - old);
    memcpy(m->data + at, with, n);
    m->n += n - old;
}

static void mutate(struct mutant *m, struct random *r)
{
    size_t at = pick(r, m->n);
    const char *snippet = snippets[pick(r, sizeof snippets / sizeof *snippets)], byte = (char)random_u64(r);
    switch (pick(r, 5)) {
    case 0:
        m->data[at] = byte;
        break;
    case 1:
        splice(m, at, 1, "", 0);
        break;
    case 2:
        splice(m, at, 0, snippet, strlen(snippet));
        break;
    case 3:
        splice(m, at, m->n - at < strlen(snippet) ? 0 : strlen(snippet), snippet, strlen(snippet));
        break;
    default: { /* at the begin of a line, where whole fields fit */
        char *lf = memchr(m->data + at, '\n', m->n - at);
        if (lf)
            splice(m, (size_t)(lf + 1 - m->data), 0, snippet, strlen(snippet));
    }
    }
    if (m->n == 0)
        splice(m, 0, 0, " ", 1);
}

static unsigned count_accepted(bool request, const char *const *messages, size_t n, uint64_t seed)
{
    static struct reading r;
    struct random random = { seed };
    unsigned accepted = 0;
    for (unsigned i = 0; i < MUTATIONS; i++) {
        const char *message = messages[pick(&random, n)];
        struct mutant m = { .n = strlen(message) };
        memcpy(m.data, message, m.n);
        for (size_t k = pick(&random, 4); k <= 3; k++)
            mutate(&m, &random);
        r.request = request;
        r.method = asked[pick(&random, 2)];
        r.input = (struct slice){ m.data, m.n };
        accepted += accepted_and_the_same(&r);
    }
    return accepted;
}

/* Only accepted mutants prove anything: some tenth of them must be. */
static void both_read_mutants_alike(void **state)
{
    (void)state;
    assert_true(count_accepted(true, requests, sizeof requests / sizeof *requests, 1) > MUTATIONS / 10);
    assert_true(count_accepted(false, responses, sizeof responses / sizeof *responses, 2) > MUTATIONS / 10);
}

/* A reason that is never used is a reason that was not understood. */
static void every_exception_is_needed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (!allowed[i])
            fail_msg("never used: %s", exceptions[i].why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_read_the_table_alike),
        cmocka_unit_test(both_read_mutants_alike),
        cmocka_unit_test(every_exception_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
