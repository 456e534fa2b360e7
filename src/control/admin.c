#include "control/admin.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "base/units.h"
#include "control/access.h"
#include "control/answer.h"
#include "control/bus.h"
#include "control/event_stream.h"
#include "control/exposition.h"
#include "control/metrics.h"
#include "control/page.h"
#include "control/query.h"
#include "control/status.h"
#include "proxy/route.h"

#include <math.h>
#include <string.h>

enum { SEGMENTS_MAX = 2, SEGMENT_SIZE = 256 };

struct admin {
    struct event_streams *streams;
};

/* What a handler gets: the call, and what its pattern caught. */
struct request {
    struct control *control;
    struct local_call *call;
    const struct local_request *http;
    char segments[SEGMENTS_MAX][SEGMENT_SIZE]; /* decoded */
};

/* --- parts of a request --- */

/* False after a 400. Absent: "". */
static bool take_parameter(const struct request *r, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    if (query_find(r->http->query, name, out, size) != QUERY_MALFORMED)
        return true;
    answer_problem(r->call, 400, "the parameter %s is malformed or too long", name);
    return false;
}

static const char *nearest_member(const char *const *members, const char *name)
{
    struct nearest s = { .word = name };
    for (; *members; members++)
        nearest_offer(&s, *members);
    return s.best;
}

static bool is_member(const char *const *members, const char *name)
{
    while (*members && strcmp(*members, name) != 0)
        members++;
    return *members != NULL;
}

/* False after a 400. */
static bool check_members(const struct request *r, json_t *object, const char *const *members)
{
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value) {
        if (is_member(members, name))
            continue;
        const char *meant = nearest_member(members, name);
        answer_problem(r->call, 400, "unknown member \"%s\"%s%s%s", name, meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "");
        return false;
    }
    return true;
}

/* The body as an object with no members but these; an empty body is an empty object. NULL after a 400. */
static json_t *take_body(const struct request *r, const char *const *members)
{
    json_error_t error;

    if (!slice_trim(r->http->body).n)
        return json_object();
    json_t *body = json_loadb(r->http->body.p, r->http->body.n, JSON_REJECT_DUPLICATES, &error);
    if (!body) {
        answer_problem(r->call, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column, error.text);
        return NULL;
    }
    if (!json_is_object(body))
        answer_problem(r->call, 400, "the body must be a JSON object");
    else if (check_members(r, body, members))
        return body;
    json_decref(body);
    return NULL;
}

/* A call that is answered later; knows whether its client is still there. */
struct pending {
    struct control *control;
    struct local_call *call; /* NULL: gone */
    char name[2 * SEGMENT_SIZE];
};

static void pending_gone(void *arg)
{
    struct pending *p = arg;
    p->call = NULL;
}

static struct pending *pending_new(const struct request *r, const char *name)
{
    struct pending *p = mem_zero(sizeof *p);
    p->control = r->control;
    p->call = r->call;
    snprintf(p->name, sizeof p->name, "%s", name);
    local_call_on_gone(r->call, pending_gone, p);
    return p;
}

/* --- state --- */

static void get_status(const struct request *r)
{
    answer_json(r->call, 200, status_json(r->control));
}

static void get_load_balancers(const struct request *r)
{
    answer_json(r->call, 200, status_load_balancers_json(r->control));
}

static void get_pools(const struct request *r)
{
    answer_json(r->call, 200, status_pools_json(r->control));
}

static void get_tunnels(const struct request *r)
{
    answer_json(r->call, 200, status_tunnels_json(r->control));
}

static bool is_tunnel(const json_t *tunnel, const char *id_or_name)
{
    return strcasecmp(json_string_value(json_object_get(tunnel, "id")), id_or_name) == 0 ||
           strcmp(json_string_value(json_object_get(tunnel, "name")), id_or_name) == 0;
}

static void get_tunnel(const struct request *r)
{
    json_t *tunnels = status_tunnels_json(r->control), *tunnel, *found = NULL;
    size_t i;

    json_array_foreach (tunnels, i, tunnel)
        if (!found && is_tunnel(tunnel, r->segments[0]))
            found = json_incref(tunnel);
    json_decref(tunnels);
    if (found)
        answer_json(r->call, 200, found);
    else
        answer_problem(r->call, 404, "there is no tunnel \"%s\"", r->segments[0]);
}

static void get_alerts(const struct request *r)
{
    answer_json(r->call, 200, status_channels_json(r->control));
}

static void get_metrics(const struct request *r)
{
    struct text body = { 0 };
    struct slice accept = r->http->accept;
    bool openmetrics = accept.n && memmem(accept.p, accept.n, "application/openmetrics-text", strlen("application/openmetrics-text"));

    metrics_write(r->control, openmetrics, &body);
    answer_text(r->call, 200, openmetrics ? EXPOSITION_OPENMETRICS_TYPE : EXPOSITION_PROMETHEUS_TYPE, &body);
}

static void get_page(const struct request *r)
{
    struct text body = { 0 };
    json_t *status = status_json(r->control);

    page_write(status, &body);
    json_decref(status);
    answer_text_with(r->call, 200, "text/html; charset=utf-8", PAGE_HEADERS, &body);
}

/* --- is this node of use? --- */

static void answer_ok(const struct request *r)
{
    struct text body = { 0 };
    text_add(&body, "ok\n");
    answer_text(r->call, 200, "text/plain; charset=utf-8", &body);
}

static void answer_readiness(const struct request *r, bool ready, const char *kind, const char *name, const char *state, const char *reason)
{
    if (ready)
        answer_ok(r);
    else
        answer_problem(r->call, 503, "the %s %s is %s%s%s", kind, name, state, *reason ? ": " : "", reason);
}

static void answer_pool_readiness(const struct request *r, const char *name)
{
    struct pool_census census;
    struct pool_record *p;

    HASH_FIND_STR(r->control->pools, name, p);
    if (!p) {
        answer_problem(r->call, 404, "there is no pool \"%s\"", name);
        return;
    }
    pool_take_census(p->pool, clock_monotonic(), &census);
    answer_readiness(r, pool_is_usable(p->pool, &census, USABLE_HEALTHY), "pool", name, pool_state_name(p->state), p->reason);
}

static void answer_host_readiness(const struct request *r, const char *host)
{
    struct route_table *table = route_table_new(r->control->config);
    const struct load_balancer *lb = route_find(table, slice_of(host));
    struct load_balancer_record *found = NULL;

    route_table_free(table);
    if (lb)
        HASH_FIND_STR(r->control->load_balancers, lb->name, found);
    if (!found) {
        answer_problem(r->call, 404, "no load balancer serves the host \"%s\"", host);
        return;
    }
    bool ready = found->state == LB_HEALTHY || found->state == LB_DEGRADED || found->state == LB_FAILOVER;
    answer_readiness(r, ready, "load balancer", found->name, load_balancer_state_name(found->state), found->reason);
}

static void get_ready(const struct request *r)
{
    char host[SEGMENT_SIZE], pool[SEGMENT_SIZE];

    if (!take_parameter(r, "host", host, sizeof host) || !take_parameter(r, "pool", pool, sizeof pool))
        return;
    if (r->control->stopping || !r->control->listening)
        answer_problem(r->call, 503, r->control->stopping ? "penstock is stopping" : "penstock is starting");
    else if (*host && *pool)
        answer_problem(r->call, 400, "ask for a host or for a pool");
    else if (*host)
        answer_host_readiness(r, host);
    else if (*pool)
        answer_pool_readiness(r, pool);
    else
        answer_ok(r);
}

/* --- endpoints --- */

/* NULL after a 404. */
static const struct endpoint_record *find_endpoint(const struct request *r)
{
    char *id = mem_printf("%s/%s", r->segments[0], r->segments[1]);
    const struct endpoint_record *record = control_find_endpoint(r->control, id);

    if (!record || !record->endpoint) {
        answer_problem(r->call, 404, "there is no endpoint \"%s\"", id);
        record = NULL;
    }
    free(id);
    return record;
}

static void get_endpoint(const struct request *r)
{
    const struct endpoint_record *record = find_endpoint(r);
    if (record)
        answer_json(r->call, 200, status_endpoint_json(r->control, record));
}

struct endpoint_patch {
    bool has_state, has_weight;
    enum admin_state state;
    double weight; /* NaN: the file's */
};

static bool parse_state(const json_t *value, enum admin_state *out)
{
    static const struct {
        const char *name;
        enum admin_state state;
    } states[] = { { "enabled", ADMIN_ENABLED }, { "drained", ADMIN_DRAINED }, { "disabled", ADMIN_DISABLED } };
    const char *name = json_string_value(value);

    for (size_t i = 0; name && i < sizeof states / sizeof *states; i++) {
        if (strcmp(states[i].name, name) != 0)
            continue;
        *out = states[i].state;
        return true;
    }
    return false;
}

static bool parse_weight(const json_t *value, double *out)
{
    *out = json_is_null(value) ? NAN : json_number_value(value);
    return json_is_null(value) || (json_is_number(value) && *out >= 0 && *out <= ADMIN_WEIGHT_MAX);
}

/* False after a 400. */
static bool parse_patch(const struct request *r, const json_t *body, struct endpoint_patch *out)
{
    const json_t *state = json_object_get(body, "state"), *weight = json_object_get(body, "weight");

    *out = (struct endpoint_patch){ .has_state = state, .has_weight = weight };
    if (!state && !weight)
        answer_problem(r->call, 400, "nothing to change: give \"state\" or \"weight\"");
    else if (state && !parse_state(state, &out->state))
        answer_problem(r->call, 400, "\"state\" must be \"enabled\", \"drained\" or \"disabled\"");
    else if (weight && !parse_weight(weight, &out->weight))
        answer_problem(r->call, 400, "\"weight\" must be a number from 0 to %d, or null for the configuration's", ADMIN_WEIGHT_MAX);
    else
        return true;
    return false;
}

/* An operator's word that was confirmed outlives a crash. */
static void patch_written(void *arg, bool durable)
{
    struct pending *p = arg;
    const struct endpoint_record *record = control_find_endpoint(p->control, p->name);

    (void)durable; /* it is in force; that the disk fails, the status says */
    if (p->call && record)
        answer_json(p->call, 200, status_endpoint_json(p->control, record));
    else if (p->call)
        answer_problem(p->call, 404, "endpoint \"%s\" is gone: the configuration was reloaded", p->name);
    free(p);
}

static void patch_endpoint(const struct request *r)
{
    static const char *const members[] = { "state", "weight", NULL };
    const struct endpoint_record *record = find_endpoint(r);
    json_t *body = record ? take_body(r, members) : NULL;
    struct endpoint_patch patch;

    if (body && parse_patch(r, body, &patch)) {
        if (patch.has_state)
            control_set_admin(r->control, record->id, patch.state);
        if (patch.has_weight)
            control_set_weight(r->control, record->id, patch.weight);
        store_when_written(r->control->store, patch_written, pending_new(r, record->id));
    }
    json_decref(body);
}

/* --- tests --- */

static void monitors_tested(void *arg, json_t *results)
{
    struct pending *p = arg;

    if (p->call)
        answer_json(p->call, 200, json_incref(results));
    free(p);
}

static void post_monitor_test(const struct request *r)
{
    static const char *const members[] = { "endpoint", NULL };
    char endpoint[SEGMENT_SIZE];
    json_t *body = take_body(r, members);

    if (!body || !take_parameter(r, "endpoint", endpoint, sizeof endpoint)) {
        json_decref(body);
        return;
    }
    const json_t *member = json_object_get(body, "endpoint");
    const char *name = member ? json_string_value(member) : *endpoint ? endpoint : NULL;
    if (member && !name) {
        answer_problem(r->call, 400, "\"endpoint\" must be a string");
    } else {
        struct pending *p = pending_new(r, r->segments[0]);
        if (!control_monitor_test(r->control, r->segments[0], name, monitors_tested, p)) {
            answer_problem(r->call, 404, name ? "there is no endpoint \"%s/%s\"" : "there is no pool \"%s\"", r->segments[0], name);
            free(p);
        }
    }
    json_decref(body);
}

static void channel_tested(void *arg, bool delivered, const char *detail)
{
    struct pending *p = arg;

    if (p->call)
        answer_json(p->call, 200, json_pack("{s:s, s:b, s:o}", "channel", p->name, "delivered", (int)delivered, "detail", status_text_json(detail)));
    free(p);
}

static void post_alert_test(const struct request *r)
{
    struct pending *p = pending_new(r, r->segments[0]);

    if (bus_test_channel(r->control->bus, r->segments[0], channel_tested, p))
        return;
    answer_problem(r->call, 404, "there is no alert channel \"%s\"", r->segments[0]);
    free(p);
}

/* --- the process --- */

static json_t *messages_json(const struct conf_messages *messages)
{
    json_t *list = json_array();
    for (size_t i = 0; i < messages->n; i++) {
        const struct conf_message *m = &messages->items[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:i, s:o}", "severity", m->severity == CONF_ERROR ? "error" : "warning", "file",
                                              status_text_json(m->file), "line", (int)m->line, "text", status_text_json(m->text)));
    }
    return list;
}

static void post_reload(const struct request *r)
{
    struct conf_messages messages = { 0 };

    if (control_reload(r->control, &messages))
        answer_json(r->call, 200, json_pack("{s:I, s:o}", "generation", (json_int_t)r->control->config->generation, "messages",
                                            messages_json(&messages)));
    else
        answer_problem_with(r->call, 422, "", json_pack("{s:o}", "messages", messages_json(&messages)),
                            "the configuration was refused: %zu error%s; the one before serves on", messages.errors,
                            messages.errors == 1 ? "" : "s");
    conf_messages_clear(&messages);
}

static void get_trace(const struct request *r)
{
    json_t *list = json_array();
    for (enum trace_subject s = 0; s < TRACE_SUBJECTS; s++)
        json_array_append_new(list, json_pack("{s:s, s:b}", "subject", trace_subject_name(s), "on", (int)trace_is_on(s)));
    answer_json(r->call, 200, list);
}

static void answer_unknown_subject(const struct request *r, const char *subject)
{
    struct text known = { 0 };
    for (enum trace_subject s = 0; s < TRACE_SUBJECTS; s++)
        text_addf(&known, "%s%s", s ? ", " : "", trace_subject_name(s));
    answer_problem(r->call, 404, "nothing is traced by the name \"%s\"; there is %s", subject, known.p);
    text_clear(&known);
}

static void post_trace(const struct request *r)
{
    static const char *const members[] = { "subject", "on", NULL };
    json_t *body = take_body(r, members);

    if (!body)
        return;
    const char *subject = json_string_value(json_object_get(body, "subject"));
    const json_t *on = json_object_get(body, "on");
    if (!subject || !json_is_boolean(on))
        answer_problem(r->call, 400, "give \"subject\", a string, and \"on\", true or false");
    else if (!trace_switch(subject, json_is_true(on)))
        answer_unknown_subject(r, subject);
    else
        answer_json(r->call, 200, json_incref(body));
    json_decref(body);
}

/* --- events --- */

/* Sorts as the times do; NULL: malformed. RFC 3339 with any offset, or a duration back from now. */
static bool parse_since(const char *text, nsec_t *out)
{
    struct tm t = { 0 };
    nsec_t back;

    if (duration_parse(text, &back)) {
        *out = clock_wall() - back;
        return *out > 0;
    }
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);
    if (!rest)
        return false;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    long offset_s = 0;
    char sign;
    unsigned hours, minutes;
    int length = 0;
    if (sscanf(rest, "%c%2u:%2u%n", &sign, &hours, &minutes, &length) == 3 && (sign == '+' || sign == '-') && !rest[length])
        offset_s = (long)(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    else if (strcasecmp(rest, "Z") != 0)
        return false;
    *out = (nsec_t)(timegm(&t) - offset_s) * NSEC_PER_SEC;
    return *out > 0;
}

static bool parse_limit(const char *text, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '1' || *text > '9' || *end || n > STORE_READ_MAX)
        return false;
    *out = (unsigned)n;
    return true;
}

/* False after a 400. */
static bool take_filter(const struct request *r, struct event_filter *out)
{
    char since[64], limit[16];

    *out = (struct event_filter){ 0 };
    if (!take_parameter(r, "after", out->after, sizeof out->after) || !take_parameter(r, "type", out->type, sizeof out->type) ||
        !take_parameter(r, "subject", out->subject, sizeof out->subject) || !take_parameter(r, "since", since, sizeof since) ||
        !take_parameter(r, "limit", limit, sizeof limit))
        return false;
    if (*since && !parse_since(since, &out->since))
        answer_problem(r->call, 400, "since must be a time (2026-11-24T16:00:00Z) or a duration back from now (1h)");
    else if (*limit && !parse_limit(limit, &out->limit))
        answer_problem(r->call, 400, "limit must be a number from 1 to %d", STORE_READ_MAX);
    else
        return true;
    return false;
}

static bool wants_stream(struct slice accept)
{
    struct slice element;
    while (slice_next_element(&accept, &element))
        if (slice_starts_nocase(element, SLICE("text/event-stream")))
            return true;
    return false;
}

static void get_events(const struct request *r)
{
    struct event_filter filter;
    struct slice last = r->http->last_event_id;

    if (!take_filter(r, &filter))
        return;
    if (!r->control->api) {
        answer_problem(r->call, 503, "penstock is stopping");
        return;
    }
    if (!wants_stream(r->http->accept)) {
        event_streams_list(r->control->api->streams, r->call, &filter);
        return;
    }
    if (last.n && last.n < sizeof filter.after)
        snprintf(filter.after, sizeof filter.after, "%.*s", SLICE_ARG(last));
    event_streams_follow(r->control->api->streams, r->call, &filter);
}

/* --- routing --- */

struct route {
    enum http_method method;
    const char *pattern;    /* "{}" stands for one segment that isn't empty */
    void (*handle)(const struct request *);
    const char *parameters; /* those of the query that it takes, each followed by a blank; NULL: none */
    bool for_probes;        /* says yes or no and nothing else: needs no token */
};

static const struct route routes[] = {
    { METHOD_GET, "/", .handle = get_page },
    { METHOD_GET, "/livez", .handle = answer_ok, .for_probes = true },
    { METHOD_GET, "/metrics", .handle = get_metrics },
    { METHOD_GET, "/readyz", .handle = get_ready, .parameters = "host pool ", .for_probes = true },
    { METHOD_GET, "/v1/alerts", .handle = get_alerts },
    { METHOD_POST, "/v1/alerts/{}/test", .handle = post_alert_test },
    { METHOD_GET, "/v1/endpoints/{}/{}", .handle = get_endpoint },
    { METHOD_PATCH, "/v1/endpoints/{}/{}", .handle = patch_endpoint },
    { METHOD_GET, "/v1/events", .handle = get_events, .parameters = "after type subject since limit " },
    { METHOD_GET, "/v1/load_balancers", .handle = get_load_balancers },
    { METHOD_POST, "/v1/monitors/{}/test", .handle = post_monitor_test, .parameters = "endpoint " },
    { METHOD_GET, "/v1/pools", .handle = get_pools },
    { METHOD_POST, "/v1/reload", .handle = post_reload },
    { METHOD_GET, "/v1/status", .handle = get_status },
    { METHOD_GET, "/v1/trace", .handle = get_trace },
    { METHOD_POST, "/v1/trace", .handle = post_trace },
    { METHOD_GET, "/v1/tunnels", .handle = get_tunnels },
    { METHOD_GET, "/v1/tunnels/{}", .handle = get_tunnel },
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
        if (slice_eq(expected, SLICE("{}")) ? !given.n || !percent_decode(given, segments[caught++], SEGMENT_SIZE) : !slice_eq(expected, given))
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
        text_addf(allowed, "%s%s%s", allowed->n ? ", " : "", http_method_name(route->method), route->method == METHOD_GET ? ", HEAD" : "");
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
