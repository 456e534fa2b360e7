/* The two tables of functions between a client's side and an upstream's, and what the sides tell the exchange between them.
 *
 * HTTP/1, HTTP/2, tunnel streams, the admin API and probes are implementations; nothing else branches on protocol. Rules:
 *  - An operation never calls back into the exchange: what it learns at once it returns, the rest it tells later from its own
 *    event. So no function here can free its caller.
 *  - Bytes not accepted stay with the giver, who is paused by that and resumed when there is room again.
 *  - After finish or abort a side forgets the exchange. Exactly one of them ends each side's part. */
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
    struct slice start;           /* requests: method SP path SP-free (see method/path); responses: unused */
    struct slice method, path;    /* requests */
    unsigned status;              /* responses */
    struct slice reason;          /* responses */
    const struct added_field *added;
    size_t n_added;
    enum http_body body;
    uint64_t length;              /* BODY_LENGTH; for HEAD and 304 what is to be said, see has_length */
    bool has_length;
};

/* Accepted bytes (0 <= n <= given), or SEND_FAILED: that side is gone. */
enum { SEND_FAILED = -1 };

struct client_ops {
    /* 103 and the like; 100 only if the client asked. May be ignored. */
    void (*send_interim)(void *client, const struct message_out *);
    /* The head and as much of `body` as fits now; `end`: nothing follows, and all of `body` accepted ends the message. */
    ssize_t (*send_head)(void *client, const struct message_out *, struct slice body, bool end);
    ssize_t (*send_body)(void *client, struct slice body, bool end);
    /* The response can't be completed: the client must see that it was cut. */
    void (*abort)(void *client, enum reason);
    void (*pause)(void *client);  /* stop giving request body */
    void (*resume)(void *client); /* offer again what was not accepted, then go on; from the client's next event */
};

struct upstream_ops {
    ssize_t (*send_head)(void *upstream, const struct message_out *, struct slice body, bool end);
    ssize_t (*send_body)(void *upstream, struct slice body, bool end);
    void (*abort)(void *upstream, enum reason); /* not wanted any more: cancel */
    void (*pause)(void *upstream);
    void (*resume)(void *upstream);
};

#endif
