/* Cookies (RFC 6265): those a request brings, and one that a response sets. */
#ifndef PENSTOCK_HTTP_COOKIES_H
#define PENSTOCK_HTTP_COOKIES_H

#include "base/clock.h"
#include "http/head.h"

/* Takes the next "name=value" off a Cookie field's value; what has no "=" or no name is skipped. False at its end. Quotes around a
 * value are part of it. */
bool cookie_next(struct slice *rest, struct slice *name, struct slice *value);
/* Cookies of one name (names are case-sensitive) in a request, one after the other. */
struct cookie_search {
    const struct http_head *head;
    const char *base;
    struct slice name;
    unsigned n_fields; /* looked into */
    struct slice rest; /* of the last of them */
};
void cookie_search_init(struct cookie_search *, const struct http_head *, const char *base, struct slice name);
/* False when there are no more. */
bool cookie_search_next(struct cookie_search *, struct slice *value);
/* The value of the first; .p is NULL if there is none. */
struct slice cookie_find(const struct http_head *, const char *base, struct slice name);

enum cookie_same_site { SAME_SITE_NOT_GIVEN, SAME_SITE_LAX, SAME_SITE_STRICT, SAME_SITE_NONE };

struct cookie {
    struct slice name, value; /* token; cookie-octets: the caller's duty */
    nsec_t max_age;           /* whole seconds count; < 0: of the session, 0: delete it */
    enum cookie_same_site same_site;
    bool secure;
};

/* The value of a Set-Cookie field, for all paths and not for scripts: "name=value; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax".
 * Returns its length, or 0 if it doesn't fit. */
size_t cookie_write(const struct cookie *, char *out, size_t size);

#endif
