#include "control/admin.h"

#include "base/mem.h"
#include "control/access.h"
#include "control/event_stream.h"
#include "control/handlers.h"
#include "control/query.h"
#include "control/simulator.h"

#include <string.h>

struct admin {
    struct event_streams *streams;
};

struct event_streams *admin_streams(const struct control *c)
{
    return c->api ? c->api->streams : NULL;
}

struct route {
    enum http_method method;
    const char *pattern;    /* "{}" stands for one segment that isn't empty */
    void (*handle)(const struct request *);
    const char *parameters; /* those of the query that it takes, each followed by a blank; NULL: none */
    bool for_probes;        /* says yes or no and nothing else: needs no token */
    enum access_need need;
};

#define CFD_TUNNELS "/client/v4/accounts/{}/cfd_tunnel"
#define CFD_LIST_PARAMETERS "name name_prefix include_prefix exclude_prefix uuid is_deleted existed_at was_active_at was_inactive_at status page per_page "

static const struct route routes[] = {
    { METHOD_GET, "/", .handle = handle_get_page },
    { METHOD_GET, CFD_TUNNELS, .handle = handle_get_cfd_tunnels, .parameters = CFD_LIST_PARAMETERS },
    { METHOD_POST, CFD_TUNNELS, .handle = handle_post_cfd_tunnel },
    { METHOD_GET, CFD_TUNNELS "/{}", .handle = handle_get_cfd_tunnel },
    { METHOD_DELETE, CFD_TUNNELS "/{}", .handle = handle_delete_cfd_tunnel, .parameters = "cascade " },
    { METHOD_GET, CFD_TUNNELS "/{}/configurations", .handle = handle_get_cfd_configurations },
    { METHOD_PUT, CFD_TUNNELS "/{}/configurations", .handle = handle_put_cfd_configurations },
    { METHOD_GET, CFD_TUNNELS "/{}/connections", .handle = handle_get_cfd_connections },
    { METHOD_DELETE, CFD_TUNNELS "/{}/connections", .handle = handle_delete_cfd_connections, .parameters = "client_id " },
    { METHOD_GET, CFD_TUNNELS "/{}/connectors/{}", .handle = handle_get_cfd_connector },
    { METHOD_GET, CFD_TUNNELS "/{}/token", .handle = handle_get_cfd_token, .need = ACCESS_TO_SECRETS },
    { METHOD_GET, "/client/v4/accounts/{}/tunnels", .handle = handle_get_cfd_tunnels, .parameters = CFD_LIST_PARAMETERS },
    { METHOD_GET, "/livez", .handle = handle_get_alive, .for_probes = true },
    { METHOD_GET, "/metrics", .handle = handle_get_metrics },
    { METHOD_GET, "/readyz", .handle = handle_get_ready, .parameters = "host pool ", .for_probes = true },
    { METHOD_GET, "/v1/alerts", .handle = handle_get_alerts },
    { METHOD_POST, "/v1/alerts/{}/test", .handle = handle_post_alert_test },
    { METHOD_GET, "/v1/edge/login", .handle = handle_get_edge_login, .need = ACCESS_TO_SECRETS },
    { METHOD_GET, "/v1/endpoints/{}/{}", .handle = handle_get_endpoint },
    { METHOD_PATCH, "/v1/endpoints/{}/{}", .handle = handle_patch_endpoint },
    { METHOD_GET, "/v1/events", .handle = handle_get_events, .parameters = "after type subject since limit " },
    { METHOD_GET, "/v1/explain", .handle = handle_get_explain, .parameters = "client cookie header host listener method path request " },
    { METHOD_GET, "/v1/load_balancers", .handle = handle_get_load_balancers },
    { METHOD_POST, "/v1/monitors/{}/test", .handle = handle_post_monitor_test, .parameters = "endpoint " },
    { METHOD_GET, "/v1/pools", .handle = handle_get_pools },
    { METHOD_GET, "/v1/requests", .handle = handle_get_requests, .parameters = "failed limit ", .need = ACCESS_TO_SECRETS /* what queries may say */ },
    { METHOD_POST, "/v1/reload", .handle = handle_post_reload },
    { METHOD_POST, "/v1/simulate", .handle = simulator_serve },
    { METHOD_GET, "/v1/status", .handle = handle_get_status },
    { METHOD_GET, "/v1/trace", .handle = handle_get_trace },
    { METHOD_POST, "/v1/trace", .handle = handle_post_trace },
    { METHOD_GET, "/v1/tunnels", .handle = handle_get_tunnels },
    { METHOD_POST, "/v1/tunnels", .handle = handle_post_tunnel },
    { METHOD_GET, "/v1/tunnels/{}", .handle = handle_get_tunnel },
    { METHOD_PATCH, "/v1/tunnels/{}", .handle = handle_patch_tunnel },
    { METHOD_DELETE, "/v1/tunnels/{}", .handle = handle_delete_tunnel, .parameters = "force " },
    { METHOD_DELETE, "/v1/tunnels/{}/connections", .handle = handle_delete_connections, .parameters = "connector " },
    { METHOD_PATCH, "/v1/tunnels/{}/connectors/{}", .handle = handle_patch_connector },
    { METHOD_GET, "/v1/tunnels/{}/credentials", .handle = handle_get_credentials, .need = ACCESS_TO_SECRETS },
};
enum { ROUTES = sizeof routes / sizeof *routes };

/* Takes "/segment" off. */
static bool next_segment(struct slice *rest, struct slice *segment)
{
    if (!rest->n || *rest->p != '/')
        return false;
    const char *from = rest->p + 1, *end = memchr(from, '/', rest->n - 1);
    size_t n = end ? (size_t)(end - from) : rest->n - 1;
    *segment = (struct slice){ from, n };
    *rest = (struct slice){ from + n, rest->n - 1 - n };
    return true;
}

static bool route_matches(const struct route *route, struct slice path, char segments[SEGMENTS_MAX][SEGMENT_SIZE])
{
    struct slice pattern = slice_of(route->pattern), expected, given;
    size_t caught = 0;

    while (next_segment(&pattern, &expected)) {
        if (!next_segment(&path, &given))
            return false;
        if (slice_eq(expected, SLICE("{}")) ? !given.n || !percent_decode(given, segments[caught++], SEGMENT_SIZE)
                                            : !slice_eq(expected, given))
            return false;
    }
    return !path.n;
}

/* HEAD is GET without the body, which the caller of local_answer sees to. */
static enum http_method method_served_as(enum http_method m)
{
    return m == METHOD_HEAD ? METHOD_GET : m;
}

/* False after a 400. */
static bool check_parameters(const struct request *r, const struct route *route)
{
    struct slice rest = r->http->query, name, value;

    while (query_next(&rest, &name, &value)) {
        const char *known = route->parameters ? memmem(route->parameters, strlen(route->parameters), name.p, name.n) : NULL;
        if (known && name.n && known[name.n] == ' ' && (known == route->parameters || known[-1] == ' '))
            continue;
        request_refuse(r, 400, "unknown parameter \"%.*s\"", SLICE_ARG(name));
        return false;
    }
    return true;
}

/* NULL: none for this path and method; `allowed` gets the methods that there are for the path. */
static const struct route *find_route(struct request *r, struct text *allowed)
{
    for (size_t i = 0; i < ROUTES; i++) {
        const struct route *route = &routes[i];
        if (!route_matches(route, r->http->path, r->segments))
            continue;
        if (route->method == method_served_as(r->http->method))
            return route;
        text_addf(allowed, "%s%s%s", allowed->n ? ", " : "", http_method_name(route->method),
                  route->method == METHOD_GET ? ", HEAD" : "");
    }
    return NULL;
}

static void answer_no_route(const struct request *r, const struct text *allowed)
{
    if (!allowed->n) {
        request_refuse(r, 404, "there is nothing at this path");
        return;
    }
    struct text extra = { 0 };
    text_addf(&extra, "Allow: %s\r\n", allowed->p);
    request_refuse_with(r, 405, extra.p, "this path takes %s", allowed->p);
    text_clear(&extra);
}

static void answer_denied(const struct request *r, enum access access)
{
    static const char challenge[] = "WWW-Authenticate: Bearer realm=\"penstock\"\r\n";
    static const char challenge_again[] = "WWW-Authenticate: Bearer realm=\"penstock\", error=\"invalid_token\"\r\n";

    switch (access) {
    case ACCESS_TOKEN_MISSING:
        request_refuse_with(r, 401, challenge, "the admin token is required: Authorization: Bearer TOKEN");
        break;
    case ACCESS_TOKEN_WRONG:
        request_refuse_with(r, 401, challenge_again, "this is not the admin token");
        break;
    case ACCESS_NOT_LOOPBACK:
        request_refuse(r, 403, "without admin.token only this machine may ask; set one, or use the socket");
        break;
    case ACCESS_FOREIGN_HOST:
        request_refuse(r, 403, "without admin.token the Host must be localhost or a loopback address");
        break;
    case ACCESS_READ_ONLY:
        request_refuse(r, 403, "without admin.token nothing can be changed over TCP; set one, or use the socket");
        break;
    case ACCESS_NO_SECRETS:
        request_refuse(r, 403, "without admin.token no secret is told over TCP; set one, or use the socket");
        break;
    case ACCESS_GRANTED:
        break;
    }
}

static enum answer_shape shape_of(struct slice path)
{
    return slice_starts_nocase(path, SLICE("/client/v4/")) ? ANSWER_ENVELOPE : ANSWER_PROBLEM;
}

void admin_handle(void *control, struct local_call *call)
{
    struct request r = { .control = control, .call = call, .http = local_call_request(call) };
    struct text allowed = { 0 };
    const struct route *route = find_route(&r, &allowed);
    enum access access = access_judge(r.http, r.control->config->admin.token, route ? route->need : ACCESS_TO_STATE);

    r.shape = shape_of(r.http->path);
    if (access == ACCESS_TOKEN_MISSING && route && route->for_probes)
        access = ACCESS_GRANTED;
    if (access != ACCESS_GRANTED)
        answer_denied(&r, access);
    else if (!route)
        answer_no_route(&r, &allowed);
    else if (check_parameters(&r, route))
        route->handle(&r);
    text_clear(&allowed);
}

void admin_start(struct control *c)
{
    c->api = mem_zero(sizeof *c->api);
    c->api->streams = event_streams_new(c->loop, c->bus);
}

void admin_stop(struct control *c)
{
    if (!c->api)
        return;
    event_streams_free(c->api->streams);
    free(c->api);
    c->api = NULL;
}
