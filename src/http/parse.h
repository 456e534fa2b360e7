/* The HTTP/1 tokenizer (RFC 9112): strict, one pass over the bytes, resumable at any byte. It knows syntax only; what the
 * fields mean together is for rules.h. No I/O, no allocation. */
#ifndef PENSTOCK_HTTP_PARSE_H
#define PENSTOCK_HTTP_PARSE_H

#include "http/head.h"

#include <stddef.h>

enum http_parse_result { HTTP_PARSE_DONE, HTTP_PARSE_MORE, HTTP_PARSE_ERROR };

/* One row each in a table: the status a request gets for it (400, 405, 414, 417, 431, 501, 505), and words for the log. */
enum http_parse_error {
    HTTP_ERROR_NONE,
    HTTP_ERROR_METHOD, HTTP_ERROR_TARGET, HTTP_ERROR_FRAGMENT, HTTP_ERROR_USERINFO, HTTP_ERROR_VERSION_SYNTAX, HTTP_ERROR_VERSION,
    HTTP_ERROR_SIMPLE_REQUEST /* HTTP/0.9 */, HTTP_ERROR_START_LINE, HTTP_ERROR_STATUS,
    HTTP_ERROR_FIELD_NAME, HTTP_ERROR_FIELD_COLON, HTTP_ERROR_FIELD_VALUE, HTTP_ERROR_FOLD, HTTP_ERROR_BARE_LF,
    HTTP_ERROR_BARE_CR, HTTP_ERROR_TOO_LARGE, HTTP_ERROR_TOO_MANY,
    HTTP_ERROR_TARGET_TOO_LONG /* the head outgrew its limit inside the target */,
    /* found by rules.h */
    HTTP_ERROR_HOST_MISSING, HTTP_ERROR_HOST_REPEATED, HTTP_ERROR_HOST_SYNTAX, HTTP_ERROR_HOST_MISMATCH, HTTP_ERROR_LENGTH_SYNTAX,
    HTTP_ERROR_LENGTH_REPEATED, HTTP_ERROR_LENGTH_AND_CODING,
    HTTP_ERROR_CODING_UNKNOWN, HTTP_ERROR_CODING_REPEATED, HTTP_ERROR_CODING_HTTP10,
    HTTP_ERROR_METHOD_REFUSED /* CONNECT, TRACE */, HTTP_ERROR_EXPECT, HTTP_ERROR_UNEXPECTED_UPGRADE /* 101 nobody asked for */,
    /* found by chunked.h */
    HTTP_ERROR_CHUNK_SIZE, HTTP_ERROR_CHUNK_EXTENSION, HTTP_ERROR_CHUNK_END, HTTP_ERROR_TRAILER,
    HTTP_ERRORS
};
unsigned http_error_status(enum http_parse_error); /* for a request; any error in a response is a 502 */
const char *http_error_text(enum http_parse_error);

struct http_limits {
    uint32_t size;  /* bytes of the whole head */
    uint16_t count; /* fields; <= HTTP_FIELDS_MAX */
    bool allow_bare_lf;
};

/* Zero-initialised before the first byte. */
struct http_parser {
    uint32_t at;      /* bytes looked at so far */
    uint8_t state;    /* private */
    uint8_t error;    /* enum http_parse_error, after HTTP_PARSE_ERROR */
    uint32_t mark;    /* private: where the token under way began */
};

/* `data` holds all bytes of the message so far, from its first; only those from parser->at on are looked at. The head is valid
 * after HTTP_PARSE_DONE. Before it, `data` may move between calls. n_fields must be 0 at the first call (http_parser_start). */
void http_parser_start(struct http_parser *, struct http_head *);
enum http_parse_result http_parse_request(struct http_parser *, struct http_head *, const char *data, size_t n,
                                          const struct http_limits *);
enum http_parse_result http_parse_response(struct http_parser *, struct http_head *, const char *data, size_t n,
                                           const struct http_limits *);

#endif
