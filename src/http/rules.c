#include "http/rules.h"

#include "http/scan.h"

#include <arpa/inet.h>

/* Naming a field in Connection costs a comparison with each field of the head; nobody sane names more. */
enum { NOMINATIONS_MAX = 32 };

/* What the fields say, before anything is concluded from them together. */
struct survey {
    enum http_parse_error error; /* the first one met */
    struct http_field *host, *length, *coding;
    uint64_t length_value;
    bool coding_unknown;
    unsigned nominations; /* names in Connection that aren't hop-by-hop anyway */
    bool close, keep_alive, upgrade; /* options of Connection */
    bool websocket;       /* in Upgrade */
    bool expect_continue, expect_other;
};

static void note_error(struct survey *s, enum http_parse_error error)
{
    if (s->error == HTTP_ERROR_NONE)
        s->error = error;
}

/* RFC 9110 8.6: digits only. A list of equal lengths is refused like any other: who sends one is confused or an attacker. */
static bool read_length(struct slice value, uint64_t *length)
{
    if (value.n == 0)
        return false;
    uint64_t n = 0;
    for (const char *p = value.p; p < value.p + value.n; p++) {
        if (!http_char_is(*p, CHAR_DIGIT))
            return false;
        unsigned digit = (unsigned)(*p - '0');
        if (n > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *length = n;
    return true;
}

/* The only coding we know is chunked, alone. */
static void read_coding(struct survey *s, struct slice value)
{
    struct slice coding;
    unsigned chunked = 0;
    s->coding_unknown = !slice_eq_nocase(value, SLICE("chunked"));
    while (slice_next_element(&value, &coding))
        chunked += slice_eq_nocase(coding, SLICE("chunked"));
    if (s->coding || chunked > 1)
        note_error(s, HTTP_ERROR_CODING_REPEATED);
}

static bool is_hop_by_hop(enum http_field_id id)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

static void read_connection(struct survey *s, struct slice value)
{
    struct slice option;
    while (slice_next_element(&value, &option)) {
        if (slice_eq_nocase(option, SLICE("keep-alive")))
            s->keep_alive = true;
        else if (slice_eq_nocase(option, SLICE("close")))
            s->close = true;
        else if (slice_eq_nocase(option, SLICE("upgrade")))
            s->upgrade = true;
        else if (option.n && !is_hop_by_hop(http_field_id_of(option)))
            s->nominations++;
    }
    if (s->nominations > NOMINATIONS_MAX)
        note_error(s, HTTP_ERROR_TOO_MANY);
}

static void read_upgrade(struct survey *s, struct slice value)
{
    struct slice protocol;
    while (slice_next_element(&value, &protocol))
        s->websocket |= slice_eq_nocase(protocol, SLICE("websocket"));
}

static void read_expect(struct survey *s, struct slice value)
{
    struct slice expectation;
    while (slice_next_element(&value, &expectation)) {
        if (slice_eq_nocase(expectation, SLICE("100-continue")))
            s->expect_continue = true;
        else if (expectation.n)
            s->expect_other = true;
    }
}

/* What means the same in both directions. */
static void survey_field(struct survey *s, struct http_field *f, const char *base)
{
    struct slice value = http_field_value(base, f);
    switch ((enum http_field_id)f->id) {
    case FIELD_CONTENT_LENGTH:
        f->flags |= FIELD_DROP;
        if (s->length)
            note_error(s, HTTP_ERROR_LENGTH_REPEATED);
        else if (!read_length(value, &s->length_value))
            note_error(s, HTTP_ERROR_LENGTH_SYNTAX);
        s->length = f;
        break;
    case FIELD_TRANSFER_ENCODING:
        f->flags |= FIELD_DROP;
        read_coding(s, value);
        s->coding = f;
        break;
    case FIELD_CONNECTION:
        f->flags |= FIELD_DROP;
        read_connection(s, value);
        break;
    case FIELD_UPGRADE:
        f->flags |= FIELD_DROP;
        read_upgrade(s, value);
        break;
    default:
        if (is_hop_by_hop(f->id))
            f->flags |= FIELD_DROP;
    }
}

static void survey_request_field(struct survey *s, struct http_field *f, const char *base)
{
    switch ((enum http_field_id)f->id) {
    case FIELD_HOST:
        f->flags |= FIELD_DROP;
        if (s->host)
            note_error(s, HTTP_ERROR_HOST_REPEATED);
        s->host = f;
        break;
    case FIELD_EXPECT:
        f->flags |= FIELD_DROP;
        read_expect(s, http_field_value(base, f));
        break;
    default:
        survey_field(s, f, base);
    }
}

/* A sender must not nominate fields meant for all recipients (RFC 9110 7.6.1), and we don't let it: the framing and Host are ours
 * to write in any case; what a trusted hop before us says of the client and of the path must not vanish at the client's own wish,
 * for a backend may take its absence for "comes from inside". Cookie and Authorization are not here: who nominates them disowns
 * nothing but his own credentials. Content-Length stands here for the responses to HEAD, where it is forwarded. */
static bool is_protected(const struct http_field *f, const char *base)
{
    switch ((enum http_field_id)f->id) {
    case FIELD_CDN_LOOP:
    case FIELD_CF_CONNECTING_IP:
    case FIELD_CF_OTHER:
    case FIELD_CF_RAY:
    case FIELD_CONTENT_LENGTH:
    case FIELD_FORWARDED:
    case FIELD_HOST:
    case FIELD_TRACEPARENT:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_TRUE_CLIENT_IP:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_REAL_IP:
    case FIELD_X_REQUEST_ID:
        return true;
    case FIELD_OTHER:
        return slice_starts_nocase(http_field_name(base, f), SLICE("x-forwarded-"));
    default:
        return false;
    }
}

static void drop_named(struct http_head *head, const char *base, struct slice name)
{
    for (struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        if (slice_eq_nocase(http_field_name(base, f), name) && !is_protected(f, base))
            f->flags |= FIELD_DROP;
}

static void drop_nominated(struct http_head *head, const char *base)
{
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++) {
        if (f->id != FIELD_CONNECTION)
            continue;
        struct slice names = http_field_value(base, f), name;
        while (slice_next_element(&names, &name))
            if (name.n && !is_hop_by_hop(http_field_id_of(name)))
                drop_named(head, base, name);
    }
}

static bool keeps_alive(const struct http_head *head, const struct survey *s)
{
    return !s->close && (head->minor >= 1 || s->keep_alive);
}

static enum http_parse_error judge_framing(const struct http_head *head, const struct survey *s)
{
    if (s->error)
        return s->error;
    if (s->coding && head->minor == 0)
        return HTTP_ERROR_CODING_HTTP10;
    if (s->coding && s->length)
        return HTTP_ERROR_LENGTH_AND_CODING;
    return s->coding_unknown ? HTTP_ERROR_CODING_UNKNOWN : HTTP_ERROR_NONE;
}

/* "[v6]", without zone: that means nothing to anybody but its sender. Returns what follows, or NULL. */
static const char *skip_ip_literal(const char *p, const char *end)
{
    const char *bracket = memchr(p, ']', (size_t)(end - p));
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t n = bracket ? (size_t)(bracket - p - 1) : sizeof text;
    if (n >= sizeof text)
        return NULL;
    memcpy(text, p + 1, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 ? bracket + 1 : NULL;
}

/* A reg-name (RFC 3986 3.2.2), which an IPv4 address is too. Returns what follows, or NULL for a broken percent-encoding. */
static const char *skip_reg_name(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (http_char_is(*p, CHAR_REG_NAME))
            continue;
        if (*p != '%')
            return p;
        if (end - p < 3 || !http_char_is(p[1], CHAR_HEX) || !http_char_is(p[2], CHAR_HEX))
            return NULL;
        p += 2;
    }
    return p;
}

static bool is_port(const char *p, const char *end)
{
    unsigned port = 0;
    if (end - p > 5)
        return false;
    for (; p < end; p++) {
        if (!http_char_is(*p, CHAR_DIGIT))
            return false;
        port = port * 10 + (unsigned)(*p - '0');
    }
    return port <= UINT16_MAX;
}

bool http_host_split(struct slice value, struct slice *host, struct slice *host_port)
{
    const char *end = value.p + value.n;
    const char *p = value.n && *value.p == '[' ? skip_ip_literal(value.p, end) : skip_reg_name(value.p, end);
    if (!p || p == value.p)
        return false;
    *host = *host_port = (struct slice){ value.p, (size_t)(p - value.p) };
    if (p == end)
        return true;
    if (*p != ':' || !is_port(p + 1, end))
        return false;
    if (p + 1 < end)
        *host_port = value;
    return true;
}

/* RFC 9112 3.2, 3.2.2. We don't let the target override a different Host, as it says: two opinions on the host are an attack. */
static enum http_parse_error judge_host(const struct http_head *head, const char *base, const struct survey *s,
                                        struct http_message *out)
{
    struct slice authority = { base + head->authority, head->authority_len };
    struct slice field = s->host ? http_field_value(base, s->host) : (struct slice){ NULL, 0 };
    if (!s->host && head->minor >= 1)
        return HTTP_ERROR_HOST_MISSING;
    if (s->host && authority.n && !slice_eq_nocase(authority, field))
        return HTTP_ERROR_HOST_MISMATCH;
    struct slice host = authority.n ? authority : field;
    if (host.n == 0 && head->minor == 0)
        return HTTP_ERROR_NONE;
    return http_host_split(host, &out->host, &out->host_port) ? HTTP_ERROR_NONE : HTTP_ERROR_HOST_SYNTAX;
}

enum http_parse_error http_request_rules(struct http_head *head, const char *base, struct http_message *out)
{
    struct survey s = { 0 };
    *out = (struct http_message){ 0 };
    for (struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        survey_request_field(&s, f, base);

    enum http_parse_error error = judge_framing(head, &s);
    if (error)
        return error;
    if (head->method == METHOD_CONNECT || head->method == METHOD_TRACE)
        return HTTP_ERROR_METHOD_REFUSED;
    error = judge_host(head, base, &s, out);
    if (error)
        return error;
    /* HTTP/1.0 knows neither Expect nor Upgrade: such a field was passed on by somebody who didn't (RFC 9110 7.8, 10.1.1). */
    if (s.expect_other && head->minor >= 1)
        return HTTP_ERROR_EXPECT;
    if (s.nominations)
        drop_nominated(head, base);

    out->has_length = s.length != NULL;
    out->length = s.length_value;
    out->body = s.coding ? BODY_CHUNKED : s.length_value ? BODY_LENGTH : BODY_NONE;
    out->keep_alive = keeps_alive(head, &s);
    out->upgrade_websocket = s.websocket && s.upgrade && head->minor >= 1;
    out->expect_continue = s.expect_continue && head->minor >= 1 && out->body != BODY_NONE;
    return HTTP_ERROR_NONE;
}

/* Statuses without a body and without framing fields (RFC 9112 6.3). */
static bool is_bodyless(unsigned status)
{
    return status < 200 || status == 204;
}

static void frame_response(const struct http_head *head, const struct survey *s, enum http_method method, struct http_message *out)
{
    out->keep_alive = keeps_alive(head, s);
    if (is_bodyless(head->status)) {
        /* If one is announced all the same, nobody knows whether it comes: take no second response from this connection. */
        if (s->coding || s->length_value)
            out->keep_alive = false;
        return;
    }
    out->has_length = s->length != NULL;
    out->length = s->length_value;
    if (method == METHOD_HEAD || head->status == 304)
        return;
    out->body = s->coding ? BODY_CHUNKED : s->length ? BODY_LENGTH : BODY_UNTIL_CLOSE;
    if (out->body == BODY_UNTIL_CLOSE)
        out->keep_alive = false;
}

enum http_parse_error http_response_rules(struct http_head *head, const char *base, enum http_method method, bool upgrade_requested,
                                          struct http_message *out)
{
    struct survey s = { 0 };
    *out = (struct http_message){ 0 };
    for (struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        survey_field(&s, f, base);

    enum http_parse_error error = judge_framing(head, &s);
    if (error)
        return error;
    out->upgrade_websocket = head->status == 101 && s.websocket && s.upgrade && head->minor >= 1;
    if (head->status == 101 && !(upgrade_requested && out->upgrade_websocket))
        return HTTP_ERROR_UNEXPECTED_UPGRADE;
    if (s.nominations)
        drop_nominated(head, base);
    frame_response(head, &s, method, out);
    if (out->upgrade_websocket)
        out->keep_alive = false; /* it no longer carries messages */
    if (out->has_length && out->body == BODY_NONE)
        s.length->flags &= (uint8_t)~FIELD_DROP; /* HEAD, 304: nothing follows that could contradict it */
    return HTTP_ERROR_NONE;
}
