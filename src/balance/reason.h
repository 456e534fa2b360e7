/* Whatever ends has a reason: one row each with its short code (log line, metrics, API) and a sentence (status, events). */
#ifndef PENSTOCK_BALANCE_REASON_H
#define PENSTOCK_BALANCE_REASON_H

#include <stdbool.h>

enum reason {
    REASON_NONE,
    /* of an upstream: what passive health counts, and what the retry table is about */
    REASON_NO_ADDRESS,        /* the name does not resolve */
    REASON_CONNECT_FAILED,    /* refused, unreachable, reset while connecting */
    REASON_CONNECT_TIMEOUT,
    REASON_TLS_FAILED,        /* handshake or verification */
    REASON_REUSE_RACE,        /* a kept connection had been closed: says nothing about the endpoint */
    REASON_CONNECTION_LOST,   /* a connection that many requests share, a connector's, has ended: others of the tunnel may live */
    REASON_RESET,             /* closed or reset before a response */
    REASON_RESPONSE_TIMEOUT,
    REASON_MALFORMED,         /* not HTTP, or a response against its rules */
    REASON_STATUS,            /* 502, 503, 504, 520-527 as an answer */
    REASON_ORIGIN_UNREACHABLE, /* a connector of our edge says that it got no answer from the service behind it */
    REASON_TUNNEL_INACTIVE,   /* 530 from the edge (1033, 1016) */
    REASON_TRUNCATED,         /* ended in the middle of a response */
    REASON_RESPONSE_IDLE,     /* nothing for response_idle in the middle of a response */
    /* of a client */
    REASON_CLIENT_GONE, REASON_CLIENT_HEADER_TIMEOUT, REASON_CLIENT_BODY_TIMEOUT, REASON_CLIENT_IDLE, REASON_CLIENT_BAD_REQUEST,
    REASON_CLIENT_HANDSHAKE, REASON_BODY_TOO_LARGE, REASON_CLIENT_WRITE_TIMEOUT,
    /* ours */
    REASON_UPGRADE_IDLE,      /* an upgraded connection without a byte for upgrade_idle */
    REASON_NO_LOAD_BALANCER, REASON_NO_ENDPOINT, REASON_QUEUE_TIMEOUT, REASON_TOTAL_TIMEOUT, REASON_SHUTDOWN, REASON_LIMIT, REASON_INTERNAL,
    REASONS
};

const char *reason_code(enum reason);     /* "connect_failed" */
const char *reason_sentence(enum reason); /* "the connection was refused or the host is unreachable" */
/* Does passive health count it against the endpoint? (behaviour: connect/TLS error, reset before a response, response timeout, malformed, status) */
bool reason_counts_against_endpoint(enum reason);
/* Is it a failure of transport, which a passed active check can forgive? */
bool reason_is_transport(enum reason);

#endif
