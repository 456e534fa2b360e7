/* One stream: what the edge asks, the service that answers, and the way between them. */
#ifndef PENSTOCK_SIM_REQUEST_H
#define PENSTOCK_SIM_REQUEST_H

#include "tests/sim/connector/connector.h"

/* Where a request says several, the later in this list is what cloudflared takes it for. */
enum request_kind { REQUEST_HTTP, REQUEST_CONTROL, REQUEST_TCP, REQUEST_WEBSOCKET, REQUEST_CONFIGURATION };

enum {
    BODY_HIGH = 64 * 1024, /* bytes kept of a response before its origin is no longer read … */
    BODY_LOW = 16 * 1024,  /* … and when it is again */
    HOLD = 4096,           /* a response of known length is sent in pieces of that many bytes */
};

enum response_state { RESPONSE_NONE, RESPONSE_HELD /* the head is known, but not sent */, RESPONSE_SENT };

struct request {
    struct list node;
    struct session *session;
    int32_t stream;
    enum request_kind kind;
    char *method, *authority, *path;
    struct bytes fields, cookies; /* lines "Name: value CRLF" for the origin; the values of all cookie fields */
    size_t header_list;  /* bytes, as RFC 9113 6.5.2 counts */
    int64_t content_length; /* -1: not given */
    bool has_accept_encoding, has_range, expects_continue, too_large;
    bool waits;          /* for the end of a silence */
    struct ingress *ingress;
    const struct rule *rule;

    struct bytes up;     /* body from the edge */
    bool up_ended;
    struct bytes announced, up_trailers; /* names, as the edge says them before the body; of those the lines that followed it */
    uint32_t unreturned; /* bytes of this stream's window to give back */

    enum response_state response;
    unsigned status;
    struct bytes packed;         /* the origin's fields */
    char length[24];             /* Content-Length, or "" */
    bool of_connector;           /* nobody else answered */
    bool bare;                   /* without packed fields and meta */
    bool flush;                  /* each piece at once */
    struct bytes down, trailers; /* trailers: lines as in `fields` */
    bool down_ended, deferred;
    struct origin *origin;
};

/* Called as the stream's frames come. */
struct request *request_new(struct session *, int32_t stream);
void request_add_field(struct request *, struct slice name, struct slice value);
void request_head_done(struct request *, bool ended);
void request_add_body(struct request *, struct slice);
void request_add_up_trailer(struct request *, struct slice name, struct slice value);
void request_body_done(struct request *);
void request_end(struct request *); /* the stream is closed */
void request_wake(struct request *); /* a silence is over */

/* --- for its origin --- */

/* Takes `n` bytes of the body off, and gives the window back. */
void request_took(struct request *, size_t n);
void request_continue(struct request *); /* the body is wanted now */
/* One field of the response, before request_respond. */
void request_pack(struct request *, struct slice name, struct slice value);
void request_respond(struct request *, unsigned status);
void request_add_response(struct request *, struct slice);
void request_add_trailer(struct request *, struct slice name, struct slice value);
void request_response_done(struct request *);
/* No answer, or not all of it. */
void request_fail(struct request *);

#endif
