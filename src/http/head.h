/* A message's head as the parser leaves it: offsets into the bytes it was read from, which may move but not change. */
#ifndef PENSTOCK_HTTP_HEAD_H
#define PENSTOCK_HTTP_HEAD_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { HTTP_FIELDS_MAX = 256 }; /* limits.header_count can't be larger */

/* Fields that the rules or the proxy look at; found by the parser as it meets them. */
enum http_field_id {
    FIELD_OTHER,
    FIELD_ACCEPT, FIELD_AUTHORIZATION, FIELD_CDN_LOOP, FIELD_CF_OTHER /* any name that begins with "cf-" */, FIELD_CF_CONNECTING_IP,
    FIELD_CF_RAY, FIELD_CONNECTION, FIELD_CONTENT_LENGTH, FIELD_CONTENT_TYPE, FIELD_COOKIE, FIELD_DATE, FIELD_EXPECT,
    FIELD_FORWARDED, FIELD_HOST, FIELD_IDEMPOTENCY_KEY, FIELD_KEEP_ALIVE, FIELD_LOCATION,
    FIELD_PROXY_AUTHENTICATE, FIELD_PROXY_AUTHORIZATION, FIELD_PROXY_CONNECTION, FIELD_REFERER, FIELD_RETRY_AFTER, FIELD_SERVER, FIELD_SET_COOKIE, FIELD_TE, FIELD_TRACEPARENT,
    FIELD_TRAILER, FIELD_TRANSFER_ENCODING, FIELD_TRUE_CLIENT_IP, FIELD_UPGRADE, FIELD_USER_AGENT,
    FIELD_X_FORWARDED_FOR, FIELD_X_FORWARDED_HOST, FIELD_X_FORWARDED_PROTO, FIELD_X_REAL_IP, FIELD_X_REQUEST_ID,
    FIELD_IDS
};

enum { FIELD_DROP = 1 }; /* not forwarded: hop-by-hop, framing, or replaced by ours */

struct http_field {
    uint32_t name;      /* offset of the name; the line begins here */
    uint32_t value;     /* offset of the value, white space trimmed */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id;         /* enum http_field_id */
    uint8_t flags;
};

enum http_method {
    METHOD_OTHER,
    METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_TRACE, METHOD_PUT, METHOD_DELETE, METHOD_POST, METHOD_PATCH, METHOD_CONNECT
};

struct http_head {
    uint32_t length;    /* bytes of the head, its final CRLF and a skipped blank line included */
    uint8_t minor;      /* HTTP/1.minor: 0 or 1 */
    uint8_t method;     /* requests: enum http_method */
    uint16_t status;    /* responses: 100-599 */
    uint32_t method_len;            /* requests; the method stands at offset `start` */
    uint32_t start;                 /* offset of the start line (blank lines before a request line are skipped) */
    uint32_t target, target_len;    /* requests, as received */
    uint32_t path, path_len;        /* requests: path and query to forward, after http_path_prefix() */
    uint32_t authority, authority_len; /* requests: of an absolute-form target; len 0 otherwise */
    uint32_t reason, reason_len;    /* responses */
    uint32_t fields_start;          /* offset of the first field line */
    uint16_t n_fields;
    struct http_field fields[HTTP_FIELDS_MAX];
};

static inline struct slice http_field_name(const char *base, const struct http_field *f)
{
    return (struct slice){ base + f->name, f->name_len };
}

static inline struct slice http_field_value(const char *base, const struct http_field *f)
{
    return (struct slice){ base + f->value, f->value_len };
}

/* What to write before the path to get the origin form: an absolute-form target may lack the path, and "*" isn't one. */
static inline const char *http_path_prefix(const struct http_head *head, const char *base)
{
    if (head->path_len)
        return base[head->path] == '?' ? "/" : "";
    return head->method == METHOD_OPTIONS ? "*" : "/";
}

/* The first field of that id, or NULL. */
const struct http_field *http_head_find(const struct http_head *, enum http_field_id);
/* The first field of that name (any case), or NULL: for names the parser has no id for. */
const struct http_field *http_head_find_name(const struct http_head *, const char *base, struct slice name);
/* `name` is made of token characters. */
enum http_field_id http_field_id_of(struct slice name);
enum http_method http_method_of(struct slice name); /* methods are case-sensitive */
const char *http_method_name(enum http_method); /* "" for METHOD_OTHER */
/* "Not Found"; "", as RFC 9112 4 allows it, for a status without a registered phrase, such as 418. */
const char *http_status_phrase(unsigned status);

#endif
