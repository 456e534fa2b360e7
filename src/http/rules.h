/* What a head means: how its body is framed, whether the connection lives on, which fields end here (RFC 9110, 9112). Pure. */
#ifndef PENSTOCK_HTTP_RULES_H
#define PENSTOCK_HTTP_RULES_H

#include "http/head.h"
#include "http/parse.h"

enum http_body { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE /* responses only */ };

struct http_message {
    enum http_body body;
    uint64_t length;        /* BODY_LENGTH: > 0 for requests; may be 0 in responses (and stands for the header of HEAD and 304) */
    bool has_length;        /* a Content-Length was given, also where no body follows (HEAD, 304, requests); not with 1xx, 204 */
    bool keep_alive;        /* the sender keeps the connection open afterwards */
    bool upgrade_websocket; /* requests: Connection: upgrade and Upgrade: websocket, HTTP/1.1; 101 responses: the same */
    bool expect_continue;   /* requests with a body, HTTP/1.1: the client may wait for a 100 before it sends it */
    struct slice host;      /* requests: of the target if absolute, else of Host; without port; empty only in HTTP/1.0 */
    struct slice host_port; /* the same with the port as it was sent */
};

/* Judges a parsed request by the table of hard cases and marks with FIELD_DROP: framing (Content-Length, Transfer-Encoding),
 * hop-by-hop (Connection and all it names except a protected few, Keep-Alive, Proxy-Authenticate, Proxy-Authorization,
 * Proxy-Connection, TE, Trailer, Upgrade), Host and Expect. HTTP_ERROR_NONE, or what is wrong: then *out is void, nobody knows
 * where the message ends, and the connection has to close. `base` is where the head's offsets count from. */
enum http_parse_error http_request_rules(struct http_head *, const char *base, struct http_message *out);
/* The same for a response to `method`; `upgrade_requested`: the request asked for websocket (else a 101 is an error, as is one
 * without both Connection: upgrade and Upgrade: websocket). Errors become 502. Marks framing and hop-by-hop fields; Content-Length
 * stays for HEAD and 304 (unmarked), where it says what a GET would have had. */
enum http_parse_error http_response_rules(struct http_head *, const char *base, enum http_method method, bool upgrade_requested,
                                          struct http_message *out);
/* Takes "host", "host:port" or "host:" (the same as "host") apart (RFC 3986 3.2.2, 3.2.3); *host_port is the whole without an empty port.
 * False, with both void, for anything else: user information, a zone, a port above 65535. */
bool http_host_split(struct slice value, struct slice *host, struct slice *host_port);
/* May a request with this method be sent again though it may have been processed? (RFC 9110 9.2.1, 9.2.2) */
static inline bool http_method_is_safe(enum http_method m)
{
    return m == METHOD_GET || m == METHOD_HEAD || m == METHOD_OPTIONS || m == METHOD_TRACE;
}
static inline bool http_method_is_idempotent(enum http_method m)
{
    return http_method_is_safe(m) || m == METHOD_PUT || m == METHOD_DELETE;
}

#endif
