/* The two tables of functions between a client's side and an upstream's, and what an upstream tells the exchange between them.
 *
 * HTTP/1, tunnel streams, the admin API and probes are implementations; nothing else branches on protocol. Rules:
 *  - An operation never calls back into the exchange, but to ask for trailers: what it learns at once it returns, the rest it tells
 *    later from an event of its own. So no operation can free its caller.
 *  - Bytes that a send did not take stay with the giver, who offers them again, from the same byte on, when told that there is room.
 *  - What an upstream calls says whether the exchange still holds it. After EXCHANGE_LET_GO it does not: the upstream must not
 *    mention the exchange again, and closes or reuses itself as it sees fit. The exchange never aborts its caller. */
#ifndef PENSTOCK_BALANCE_OPS_H
#define PENSTOCK_BALANCE_OPS_H

#include "balance/reason.h"
#include "base/slice.h"
#include "http/rules.h"

#include <stdint.h>
#include <sys/types.h>

struct exchange;

struct added_field {
    struct slice name, value;
};

/* A head to be sent: the fields of `head` without FIELD_DROP, then the added ones; framing is the sender's own business. */
struct message_out {
    const char *base;             /* what the head's offsets count from */
    const struct http_head *head;
    struct slice method, path, host; /* requests; host: with the port, where one was sent */
    unsigned status;              /* responses */
    struct slice reason;          /* responses */
    const struct added_field *added;
    size_t n_added;
    enum http_body body;
    uint64_t length;              /* with has_length: what Content-Length says (HEAD and 304 have one without a body) */
    bool has_length;
    bool upgrade;                 /* a websocket handshake, or its 101: raw bytes follow in both directions */
};

/* What a send returns: the bytes of the body taken (0 … all), or this: that side is gone and forgets the exchange. */
enum { SEND_FAILED = -1 };

enum exchange_hold { EXCHANGE_HOLDS, EXCHANGE_LET_GO };

struct client_ops {
    /* 103 and the like. May be ignored. */
    void (*send_interim)(void *client, const struct message_out *);
    /* `end`: nothing follows; with all of the body taken the message is complete. */
    ssize_t (*send_head)(void *client, const struct message_out *, struct slice body, bool end);
    ssize_t (*send_body)(void *client, struct slice body, bool end);
    /* The body is wanted now (an Expect may be answered), or there is room again: read on, from the client's next event. */
    void (*want_body)(void *client);
    /* The exchange is over and forgotten. REASON_NONE: the response was sent whole. Else it can't be completed, or never began: the
     * client must see that it was cut. */
    void (*end)(void *client, enum reason);
    /* A try failed, and why in words. NULL: not interested. */
    void (*try_failed)(void *client, enum reason, const char *detail);
    /* The connection that was asked for, and nothing else, stands. NULL where requests are sent. */
    void (*connected)(void *client);
};

struct upstream_ops {
    ssize_t (*send_head)(void *upstream, const struct message_out *, struct slice body, bool end);
    ssize_t (*send_body)(void *upstream, struct slice body, bool end);
    /* There is room on the client's side again: read on, from the upstream's next event. */
    void (*want_body)(void *upstream);
    /* Not wanted any more: cancel, and forget the exchange. */
    void (*abort)(void *upstream);
    /* For the log line: whom it is connected to, and whether the connection had carried requests before. NULL: nobody. */
    void (*describe)(const void *upstream, char *address, size_t size, bool *reused);
    /* It watches over response_header and response_idle by itself; else the exchange does. */
    bool keeps_time;
};

/* How far the request had come when its upstream failed: what the retry table is about. */
enum upstream_stage {
    STAGE_NOT_CONNECTED,   /* nothing can have been seen: not connected, TLS not finished, stream refused */
    STAGE_REUSED_UNSENT,   /* a kept connection, found closed before one byte of the request was written */
    STAGE_REUSED_SENT,     /* a kept connection, closed or reset without one byte of response */
    STAGE_SENT,            /* a fresh connection, the request sent at least in part, no response */
    STAGE_RESPONSE_TIMEOUT,
    STAGE_RESPONSE         /* the response had begun */
};

/* --- what a client's side tells the exchange, see proxy/exchange.h for how one begins. After each, `end` may have been called. --- */

/* Where the next bytes of the request's body go: at most *room; NULL while there is no room (want_body will tell). */
char *exchange_body_space(struct exchange *, size_t *room);
/* `n` bytes of payload stand there now. `end`: the body is complete. */
void exchange_body_arrived(struct exchange *, size_t n, bool end);
/* Lines of trailers (http/trailers.h), or a part of them: before the body is said to be complete. */
void exchange_add_request_trailers(struct exchange *, struct slice lines);
/* What is to follow the response's body, for the send that ends it. */
struct slice exchange_response_trailers(struct exchange *);
/* Nothing stands there after all: an upgraded connection holds no buffer while it waits. */
void exchange_body_missed(struct exchange *);
/* There is room again for what the client's side did not take. */
void exchange_client_writable(struct exchange *);
/* The client is gone, or broke the rules in the middle of its body. It is not told anything any more. */
void exchange_client_gone(struct exchange *, enum reason);
/* The client has closed its sending side only, its request being complete. */
void exchange_client_half_closed(struct exchange *);

/* --- what an upstream tells it, always from an event of its own --- */

/* The connection is ready: the request is sent by the operations before this returns. */
enum exchange_hold exchange_upstream_ready(struct exchange *);
/* There is room for request body again. */
enum exchange_hold exchange_upstream_writable(struct exchange *);
/* Nothing is heard of it, but it may be alive. EXCHANGE_LET_GO: the request, which may be sent again, has gone elsewhere. */
enum exchange_hold exchange_upstream_suspect(struct exchange *);
/* It is gone, and forgotten by the exchange. */
void exchange_upstream_failed(struct exchange *, enum upstream_stage, enum reason, const char *detail);
/* An interim response (1xx but 101). */
enum exchange_hold exchange_interim(struct exchange *, const struct http_head *, const char *base);
/* The head, with what has come of the body. *taken: how much of the body was; the rest is offered again after want_body. */
enum exchange_hold exchange_response(struct exchange *, struct http_head *, const char *base, const struct http_message *, struct slice body,
                                     bool end, size_t *taken);
/* Lines of trailers, or a part of them: before the call that ends the body. */
void exchange_add_response_trailers(struct exchange *, struct slice lines);
/* What is to follow the request's body, for the send that ends it. */
struct slice exchange_request_trailers(struct exchange *);
enum exchange_hold exchange_response_body(struct exchange *, struct slice body, bool end, size_t *taken);

#endif
