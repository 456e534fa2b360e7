#include "http/head.h"

struct field_row {
    char name[22]; /* lower case */
    uint8_t length;
    uint8_t id;
};

/* A name's slot follows from its length and its first and last letter, which together tell all known names apart; two rows in one
 * slot would be initialised twice, which the compiler refuses. */
enum { FIELD_SLOTS = 128 };
#define FIELD_SLOT(length, first, last) (((length) + (first) * 3u + (last) * 5u) % FIELD_SLOTS)
#define FIELD_ROW(first, last, spelled, field_id) \
    [FIELD_SLOT(sizeof(spelled) - 1, first, last)] = { spelled, sizeof(spelled) - 1, field_id }

static const struct field_row field_rows[FIELD_SLOTS] = {
    FIELD_ROW('a', 't', "accept", FIELD_ACCEPT),
    FIELD_ROW('a', 'n', "authorization", FIELD_AUTHORIZATION),
    FIELD_ROW('c', 'p', "cdn-loop", FIELD_CDN_LOOP),
    FIELD_ROW('c', 'p', "cf-connecting-ip", FIELD_CF_CONNECTING_IP),
    FIELD_ROW('c', 'y', "cf-ray", FIELD_CF_RAY),
    FIELD_ROW('c', 'n', "connection", FIELD_CONNECTION),
    FIELD_ROW('c', 'h', "content-length", FIELD_CONTENT_LENGTH),
    FIELD_ROW('c', 'e', "content-type", FIELD_CONTENT_TYPE),
    FIELD_ROW('c', 'e', "cookie", FIELD_COOKIE),
    FIELD_ROW('d', 'e', "date", FIELD_DATE),
    FIELD_ROW('e', 't', "expect", FIELD_EXPECT),
    FIELD_ROW('f', 'd', "forwarded", FIELD_FORWARDED),
    FIELD_ROW('h', 't', "host", FIELD_HOST),
    FIELD_ROW('i', 'y', "idempotency-key", FIELD_IDEMPOTENCY_KEY),
    FIELD_ROW('k', 'e', "keep-alive", FIELD_KEEP_ALIVE),
    FIELD_ROW('l', 'n', "location", FIELD_LOCATION),
    FIELD_ROW('p', 'e', "proxy-authenticate", FIELD_PROXY_AUTHENTICATE),
    FIELD_ROW('p', 'n', "proxy-authorization", FIELD_PROXY_AUTHORIZATION),
    FIELD_ROW('p', 'n', "proxy-connection", FIELD_PROXY_CONNECTION),
    FIELD_ROW('r', 'r', "referer", FIELD_REFERER),
    FIELD_ROW('r', 'r', "retry-after", FIELD_RETRY_AFTER),
    FIELD_ROW('s', 'r', "server", FIELD_SERVER),
    FIELD_ROW('s', 'e', "set-cookie", FIELD_SET_COOKIE),
    FIELD_ROW('t', 'e', "te", FIELD_TE),
    FIELD_ROW('t', 't', "traceparent", FIELD_TRACEPARENT),
    FIELD_ROW('t', 'r', "trailer", FIELD_TRAILER),
    FIELD_ROW('t', 'g', "transfer-encoding", FIELD_TRANSFER_ENCODING),
    FIELD_ROW('t', 'p', "true-client-ip", FIELD_TRUE_CLIENT_IP),
    FIELD_ROW('u', 'e', "upgrade", FIELD_UPGRADE),
    FIELD_ROW('u', 't', "user-agent", FIELD_USER_AGENT),
    FIELD_ROW('x', 'r', "x-forwarded-for", FIELD_X_FORWARDED_FOR),
    FIELD_ROW('x', 't', "x-forwarded-host", FIELD_X_FORWARDED_HOST),
    FIELD_ROW('x', 'o', "x-forwarded-proto", FIELD_X_FORWARDED_PROTO),
    FIELD_ROW('x', 'p', "x-real-ip", FIELD_X_REAL_IP),
    FIELD_ROW('x', 'd', "x-request-id", FIELD_X_REQUEST_ID),
};

static const struct slice methods[] = {
    [METHOD_OTHER] = SLICE(""), [METHOD_GET] = SLICE("GET"), [METHOD_HEAD] = SLICE("HEAD"), [METHOD_OPTIONS] = SLICE("OPTIONS"),
    [METHOD_TRACE] = SLICE("TRACE"), [METHOD_PUT] = SLICE("PUT"), [METHOD_DELETE] = SLICE("DELETE"), [METHOD_POST] = SLICE("POST"),
    [METHOD_PATCH] = SLICE("PATCH"), [METHOD_CONNECT] = SLICE("CONNECT"),
};

/* The IANA registry of status codes, whole. */
static const char *const phrases[] = {
    [100] = "Continue", [101] = "Switching Protocols", [102] = "Processing", [103] = "Early Hints",
    [104] = "Upload Resumption Supported",
    [200] = "OK", [201] = "Created", [202] = "Accepted", [203] = "Non-Authoritative Information", [204] = "No Content",
    [205] = "Reset Content", [206] = "Partial Content", [207] = "Multi-Status", [208] = "Already Reported", [226] = "IM Used",
    [300] = "Multiple Choices", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other", [304] = "Not Modified",
    [305] = "Use Proxy", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
    [400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required", [403] = "Forbidden", [404] = "Not Found",
    [405] = "Method Not Allowed", [406] = "Not Acceptable", [407] = "Proxy Authentication Required", [408] = "Request Timeout",
    [409] = "Conflict", [410] = "Gone", [411] = "Length Required", [412] = "Precondition Failed", [413] = "Content Too Large",
    [414] = "URI Too Long", [415] = "Unsupported Media Type", [416] = "Range Not Satisfiable", [417] = "Expectation Failed",
    [421] = "Misdirected Request", [422] = "Unprocessable Content", [423] = "Locked", [424] = "Failed Dependency",
    [425] = "Too Early", [426] = "Upgrade Required", [428] = "Precondition Required", [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large", [451] = "Unavailable For Legal Reasons",
    [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable",
    [504] = "Gateway Timeout", [505] = "HTTP Version Not Supported", [506] = "Variant Also Negotiates",
    [507] = "Insufficient Storage", [508] = "Loop Detected", [510] = "Not Extended", [511] = "Network Authentication Required",
};

/* Setting bit 5 folds letters to lower case and leaves '-' as it is; no other token character becomes one of these. */
static bool same_folded(const char *name, const char *lower, size_t n)
{
    const uint64_t bit5 = 0x2020202020202020;
    if (n < sizeof bit5) {
        for (size_t i = 0; i < n; i++)
            if ((name[i] | 0x20) != lower[i])
                return false;
        return true;
    }
    for (size_t i = 0;; i += sizeof bit5) {
        if (i + sizeof bit5 > n)
            i = n - sizeof bit5; /* the last word overlaps the one before */
        uint64_t a, b;
        memcpy(&a, name + i, sizeof a);
        memcpy(&b, lower + i, sizeof b);
        if ((a | bit5) != b)
            return false;
        if (i + sizeof bit5 == n)
            return true;
    }
}

enum http_field_id http_field_id_of(struct slice name)
{
    if (name.n == 0)
        return FIELD_OTHER;
    unsigned first = (unsigned char)name.p[0] | 0x20u, last = (unsigned char)name.p[name.n - 1] | 0x20u;
    const struct field_row *row = &field_rows[FIELD_SLOT(name.n, first, last)];
    if (row->length == name.n && same_folded(name.p, row->name, name.n))
        return row->id;
    return first == 'c' && slice_starts_nocase(name, SLICE("cf-")) ? FIELD_CF_OTHER : FIELD_OTHER;
}

const struct http_field *http_head_find(const struct http_head *head, enum http_field_id id)
{
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        if (f->id == id)
            return f;
    return NULL;
}

const struct http_field *http_head_find_name(const struct http_head *head, const char *base, struct slice name)
{
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        if (slice_eq_nocase(http_field_name(base, f), name))
            return f;
    return NULL;
}

enum http_method http_method_of(struct slice name)
{
    for (enum http_method m = METHOD_GET; m <= METHOD_CONNECT; m++)
        if (slice_eq(methods[m], name))
            return m;
    return METHOD_OTHER;
}

const char *http_method_name(enum http_method method)
{
    return methods[method].p;
}

const char *http_status_phrase(unsigned status)
{
    const char *phrase = status < sizeof phrases / sizeof *phrases ? phrases[status] : NULL;
    return phrase ? phrase : "";
}
