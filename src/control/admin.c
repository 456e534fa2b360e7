#include "control/admin.h"

#include "base/mem.h"
#include "control/access.h"
#include "control/answer.h"
#include "control/event_stream.h"
#include "control/handlers.h"
#include "control/query.h"

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
};

static const struct route routes[] = {
    { METHOD_GET, "/", .handle = handle_get_page },
    { METHOD_GET, "/livez", .handle = handle_get_alive, .for_probes = true },
    { METHOD_GET, "/metrics", .handle = handle_get_metrics },
    { METHOD_GET, "/readyz", .handle = handle_get_ready, .parameters = "host pool ", .for_probes = true },
    { METHOD_GET, "/v1/alerts", .handle = handle_get_alerts },
    { METHOD_POST, "/v1/alerts/{}/test", .handle = handle_post_alert_test },
    { METHOD_GET, "/v1/endpoints/{}/{}", .handle = handle_get_endpoint },
    { METHOD_PATCH, "/v1/endpoints/{}/{}", .handle = handle_patch_endpoint },
    { METHOD_GET, "/v1/events", .handle = handle_get_events, .parameters = "after type subject since limit " },
    { METHOD_GET, "/v1/load_balancers", .handle = handle_get_load_balancers },
    { METHOD_POST, "/v1/monitors/{}/test", .handle = handle_post_monitor_test, .parameters = "endpoint " },
    { METHOD_GET, "/v1/pools", .handle = handle_get_pools },
    { METHOD_POST, "/v1/reload", .handle = handle_post_reload },
    { METHOD_GET, "/v1/status", .handle = handle_get_status },
    { METHOD_GET, "/v1/trace", .handle = handle_get_trace },
    { METHOD_POST, "/v1/trace", .handle = handle_post_trace },
    { METHOD_GET, "/v1/tunnels", .handle = handle_get_tunnels },
    { METHOD_GET, "/v1/tunnels/{}", .handle = handle_get_tunnel },
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
        answer_problem(r->call, 400, "unknown parameter \"%.*s\"", SLICE_ARG(name));
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
        answer_problem(r->call, 404, "there is nothing at this path");
        return;
    }
    struct text extra = { 0 };
    text_addf(&extra, "Allow: %s\r\n", allowed->p);
    answer_problem_with(r->call, 405, extra.p, NULL, "this path takes %s", allowed->p);
    text_clear(&extra);
}

static void answer_denied(struct local_call *call, enum access access)
{
    static const char challenge[] = "WWW-Authenticate: Bearer realm=\"penstock\"\r\n";
    static const char challenge_again[] = "WWW-Authenticate: Bearer realm=\"penstock\", error=\"invalid_token\"\r\n";

    switch (access) {
    case ACCESS_TOKEN_MISSING:
        answer_problem_with(call, 401, challenge, NULL, "the admin token is required: Authorization: Bearer TOKEN");
        break;
    case ACCESS_TOKEN_WRONG:
        answer_problem_with(call, 401, challenge_again, NULL, "this is not the admin token");
        break;
    case ACCESS_NOT_LOOPBACK:
        answer_problem(call, 403, "without admin.token only this machine may ask; set one, or use the socket");
        break;
    case ACCESS_FOREIGN_HOST:
        answer_problem(call, 403, "without admin.token the Host must be localhost or a loopback address");
        break;
    case ACCESS_READ_ONLY:
        answer_problem(call, 403, "without admin.token nothing can be changed over TCP; set one, or use the socket");
        break;
    case ACCESS_GRANTED:
        break;
    }
}

void admin_handle(void *control, struct local_call *call)
{
    struct request r = { .control = control, .call = call, .http = local_call_request(call) };
    enum access access = access_judge(r.http, r.control->config->admin.token);
    struct text allowed = { 0 };
    const struct route *route = find_route(&r, &allowed);

    if (access == ACCESS_TOKEN_MISSING && route && route->for_probes)
        access = ACCESS_GRANTED;
    if (access != ACCESS_GRANTED)
        answer_denied(call, access);
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
