/* Heads as they go on: what is dropped and what is added on the way to an endpoint, and on the way back. */
#ifndef PENSTOCK_PROXY_FORWARD_H
#define PENSTOCK_PROXY_FORWARD_H

#include "balance/ops.h"
#include "proxy/core.h"

struct exchange;

enum { FORWARD_FIELDS_MAX = 64, FORWARD_TEXT_MAX = 16 * 1024 };
/* The fields that were added, and their text where it was made for this message. On the stack of whoever sends it. */
struct forward_notes {
    struct added_field fields[FORWARD_FIELDS_MAX];
    size_t n, used;
    char text[FORWARD_TEXT_MAX];
    char path[BUFFER_LARGE + 1]; /* in origin form, where the target has no path of its own: it takes nothing of the room for fields */
};

/* For the exchange's current endpoint; marks fields of the request for this try only. */
void forward_request(struct exchange *, struct message_out *, struct forward_notes *);
/* For the client. May mark fields of the response. */
void forward_response(const struct exchange *, struct http_head *, const char *base, const struct http_message *, struct message_out *,
                      struct forward_notes *);
/* Is the connection's peer one of the trusted proxies? */
bool forward_trusts_peer(const struct exchange *);
/* The client's address as the trusted proxies have it: of the connection, or what they say. NULL over a unix socket. */
const struct address *forward_client(const struct exchange *, struct address *room);

#endif
