/* The part of a request that a policy is keyed by, as a configuration names it. */
#ifndef PENSTOCK_BALANCE_REQUEST_KEY_H
#define PENSTOCK_BALANCE_REQUEST_KEY_H

#include <stdbool.h>

enum request_key_kind {
    REQUEST_KEY_NONE,
    REQUEST_KEY_CLIENT_IP, /* as the trusted proxies have it */
    REQUEST_KEY_HEADER,    /* the first field of that name */
    REQUEST_KEY_COOKIE,
    REQUEST_KEY_PATH,      /* without the query */
    REQUEST_KEY_QUERY      /* the first argument of that name, undecoded */
};
struct request_key {
    enum request_key_kind kind;
    const char *name; /* of the field, cookie or argument */
};

/* "client_ip", "header:NAME", "cookie:NAME", "path", "query:NAME"; the name stays part of `text`. False if it is none of these. */
bool request_key_parse(const char *text, struct request_key *out);

#endif
