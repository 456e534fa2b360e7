/* What an endpoint is told of the client, and what we believe of what we are told: RFC 7239 and the X- fields before it. Pure; these are
 * the fields' values, written by whoever sends the head. */
#ifndef PENSTOCK_HTTP_FORWARDED_H
#define PENSTOCK_HTTP_FORWARDED_H

#include "base/random.h"
#include "http/head.h"
#include "net/address.h"

enum { FORWARDED_HOPS_MAX = 32 }; /* proxies of a chain that are looked at */

/* Who the client is (port 0, or the peer's own port): `peer`; if that is a trusted proxy, what its CF-Connecting-IP says, else the last
 * address of X-Forwarded-For that is not a trusted proxy's own. A chain of trusted proxies alone, or one that is broken, leads back
 * as far as it can be followed. A trusted proxy has to set or remove CF-Connecting-IP itself: that is what being trusted means. */
struct address forwarded_client(const struct http_head *, const char *base, const struct address *peer, const struct cidr_set *trusted);

/* X-Forwarded-For: the chain that came, if `keep_chain` (the peer is trusted), and the peer as address_format_host writes it (empty: none,
 * a unix socket). What doesn't fit of the chain is dropped from its begin, where the least trustworthy stands. Returns the length; 0 if
 * there is nothing to say. */
size_t forwarded_for(const struct http_head *, const char *base, bool keep_chain, struct slice peer, char *out, size_t size);

struct forwarded_hop {
    struct slice peer;          /* likewise */
    struct slice client;        /* behind a trusted peer; empty or the peer's: nothing beyond it is known */
    struct slice host_port;     /* of the request; may be empty */
    bool secure;                /* the client uses https */
};

/* Forwarded: the same, as "for=192.0.2.1;host=a.example;proto=https" or "for="[2001:db8::1]";host="a.example:8443";proto=http". A chain
 * that came in other fields only is told by its client: "for=203.0.113.7, for=192.0.2.1;…" (RFC 7239 7.4). */
size_t forwarded_write(const struct http_head *, const char *base, bool keep_chain, const struct forwarded_hop *, char *out, size_t size);

/* X-Forwarded-Proto and -Host: what the peer says, if it is trusted and says it once and soundly; else what we see ourselves. */
struct slice forwarded_proto(const struct http_head *, const char *base, bool trusted, bool secure);
struct slice forwarded_host(const struct http_head *, const char *base, bool trusted, struct slice host_port);

#define REQUEST_ID_SIZE 33
/* A new X-Request-Id: 32 hexadecimal digits. Unique, but not a secret. */
char *request_id_make(struct random *, char out[static REQUEST_ID_SIZE]);

#endif
