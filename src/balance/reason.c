#include "balance/reason.h"

struct reason_row {
    const char *code, *sentence;
    bool counts;    /* against the endpoint, in passive health */
    bool transport;
};

/* An end in the middle of a response does not count: the list of behaviour is about what came before or as the answer. A response timeout
 * is no failure of transport: a health check that never touches the database must not veto what real requests met. */
static const struct reason_row rows[] = {
    [REASON_NONE] = { "ok", "nothing went wrong", false, false },
    [REASON_NO_ADDRESS] = { "no_address", "the name does not resolve to an address that can be reached", true, true },
    [REASON_CONNECT_FAILED] = { "connect_failed", "the connection was refused or the host is unreachable", true, true },
    [REASON_CONNECT_TIMEOUT] = { "connect_timeout", "no connection came about in time", true, true },
    [REASON_TLS_FAILED] = { "tls_failed", "the TLS handshake or the verification of the certificate failed", true, true },
    [REASON_REUSE_RACE] = { "reuse_race", "a kept connection had been closed by the endpoint", false, true },
    [REASON_CONNECTION_LOST] = { "connection_lost", "the connector's connection ended", false, true },
    [REASON_RESET] = { "reset", "the connection was closed or reset before a response", true, true },
    [REASON_RESPONSE_TIMEOUT] = { "response_timeout", "no response came in time", true, false },
    [REASON_MALFORMED] = { "malformed", "the response was not valid HTTP", true, false },
    [REASON_STATUS] = { "bad_status", "the answer was a gateway error (502-504, 520-527)", true, false },
    [REASON_ORIGIN_UNREACHABLE] = { "origin_unreachable", "the connector got no answer from the service behind it", true, false },
    [REASON_TUNNEL_INACTIVE] = { "tunnel_inactive", "no connector of the tunnel is connected (530)", true, true },
    [REASON_TRUNCATED] = { "truncated", "the response ended before it was complete", false, true },
    [REASON_RESPONSE_IDLE] = { "response_idle", "the response stopped in the middle", false, false },
    [REASON_CLIENT_GONE] = { "client_gone", "the client closed the connection", false, false },
    [REASON_CLIENT_HEADER_TIMEOUT] = { "client_header_timeout", "the client did not complete its request's head in time", false, false },
    [REASON_CLIENT_BODY_TIMEOUT] = { "client_body_timeout", "the client did not send its request's body in time", false, false },
    [REASON_CLIENT_IDLE] = { "client_idle", "the client's connection was idle for too long", false, false },
    [REASON_CLIENT_BAD_REQUEST] = { "bad_request", "the request was not valid HTTP", false, false },
    [REASON_CLIENT_HANDSHAKE] = { "client_handshake", "the client's TLS handshake failed or took too long", false, false },
    [REASON_BODY_TOO_LARGE] = { "body_too_large", "the request's body is larger than allowed", false, false },
    [REASON_CLIENT_WRITE_TIMEOUT] = { "client_write_timeout", "the client did not take the response in time", false, false },
    [REASON_UPGRADE_IDLE] = { "upgrade_idle", "the upgraded connection was idle for too long", false, false },
    [REASON_NO_LOAD_BALANCER] = { "no_load_balancer", "no load balancer serves this hostname", false, false },
    [REASON_NO_ENDPOINT] = { "no_endpoint", "no endpoint can be used", false, false },
    [REASON_QUEUE_TIMEOUT] = { "queue_timeout", "no endpoint became free in time", false, false },
    [REASON_TOTAL_TIMEOUT] = { "total_timeout", "the request took longer than allowed in all", false, false },
    [REASON_SHUTDOWN] = { "shutdown", "the balancer is stopping", false, false },
    [REASON_LIMIT] = { "limit", "a limit on connections was reached", false, false },
    [REASON_INTERNAL] = { "internal", "the balancer ran out of memory or descriptors", false, false },
};

_Static_assert(sizeof rows / sizeof *rows == REASONS, "a row for each reason");

const char *reason_code(enum reason reason)
{
    return rows[reason].code;
}

const char *reason_sentence(enum reason reason)
{
    return rows[reason].sentence;
}

bool reason_counts_against_endpoint(enum reason reason)
{
    return rows[reason].counts;
}

bool reason_is_transport(enum reason reason)
{
    return rows[reason].transport;
}
