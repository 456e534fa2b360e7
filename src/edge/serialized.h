/* What a connector says of a response besides its status: the origin's fields, packed into one value, and who answered. Pure.
 *
 * The packing, cf-cloudflared-response-headers: for each value base64(name) ":" base64(value), joined with ";"; the standard
 * alphabet without padding. A connector is trusted no more than any other origin, so what is unpacked obeys the rules of an
 * HTTP/1 head. */
#ifndef PENSTOCK_EDGE_SERIALIZED_H
#define PENSTOCK_EDGE_SERIALIZED_H

#include "base/bounded.h"
#include "http/head.h"

#include <stdint.h>

/* Appends the fields to `head`, and writes them to `out` as lines "Name: value CRLF", from whose begin (out->p) the head's
 * offsets count. Nothing is left out or judged beyond syntax: hop-by-hop and framing are for http_response_rules(). `fields_max`
 * <= HTTP_FIELDS_MAX: how many the head may have then. NULL, or what is wrong, in words for the log; then head and out are void. */
const char *serialized_read(struct slice packed, struct bounded *out, struct http_head *head, unsigned fields_max);

enum response_source {
    RESPONSE_OF_CONNECTOR, /* it could not get an answer; also where it doesn't say: then its HTTP layer answered */
    RESPONSE_OF_ORIGIN,    /* or of a rule of the connector's that stands for one, like http_status:404 */
};

struct response_meta {
    enum response_source source;
    bool flow_rate_limited; /* a stream refused because the connector has reached its limit */
};

/* Reads cf-cloudflared-response-meta, a flat JSON object; members it doesn't know are skipped. False, with *out void, if it is
 * anything else. */
bool response_meta_read(struct slice json, struct response_meta *out);

#endif
