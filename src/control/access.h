/* Who may use the admin API. Pure. */
#ifndef PENSTOCK_CONTROL_ACCESS_H
#define PENSTOCK_CONTROL_ACCESS_H

#include "proxy/local.h"

enum access {
    ACCESS_GRANTED,
    ACCESS_TOKEN_MISSING,
    ACCESS_TOKEN_WRONG,
    ACCESS_NOT_LOOPBACK, /* without a token, only this machine may ask over TCP */
    ACCESS_FOREIGN_HOST, /* a Host that isn't this machine's: a web page whose name was made to resolve to us (DNS rebinding) */
    ACCESS_READ_ONLY,    /* without a token, nothing may be changed over TCP */
    ACCESS_NO_SECRETS    /* without a token, no secret is told over TCP */
};

/* What a route gives away or changes. */
enum access_need { ACCESS_TO_STATE, ACCESS_TO_SECRETS };

/* Everything over the unix socket: its file's mode says who. `token` NULL: none is configured. */
enum access access_judge(const struct local_request *, const char *token, enum access_need);

#endif
