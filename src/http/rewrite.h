/* An endpoint that is addressed by a name of its own speaks of itself by that name. Where its answer names it, the client must see the
 * host it asked for. Pure. */
#ifndef PENSTOCK_HTTP_REWRITE_H
#define PENSTOCK_HTTP_REWRITE_H

#include "base/slice.h"

#include <stdint.h>

struct rewrite {
    struct slice from;      /* the endpoint's hostname, as it is sent in Host; without port */
    uint16_t from_port;     /* where it is dialled */
    struct slice host;      /* the request's, without port; if empty nothing is rewritten */
    struct slice host_port; /* the request's, as it was sent */
    bool secure;            /* the client uses https */
};

/* Each writes the new value and returns its length; 0: the value stays as it is (or what it would become doesn't fit: then it is
 * better off unchanged). */

/* "http://from/…", "https://from:port/…", "//from/…": with the default port of their scheme, or the one we dial. The scheme becomes
 * the request's. Another port is another server, and user information is nobody's business: both stay. */
size_t rewrite_location(const struct rewrite *, struct slice value, char *out, size_t size);
/* "…; Domain=from" and "Domain=.from"; the attribute goes if the request's host is an IPv6 address, which no Domain can name. A parent
 * of `from` stays: browsers see for themselves whether it suits. */
size_t rewrite_set_cookie(const struct rewrite *, struct slice value, char *out, size_t size);

#endif
