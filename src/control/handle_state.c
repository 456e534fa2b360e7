#include "control/handlers.h"

#include "control/answer.h"
#include "control/exposition.h"
#include "control/metrics.h"
#include "control/page.h"
#include "control/standing.h"
#include "control/status.h"
#include "control/ways.h"
#include "proxy/route.h"

#include <string.h>

/* --- state --- */

void handle_get_status(const struct request *r)
{
    answer_json(r->call, 200, status_json(r->control));
}

void handle_get_load_balancers(const struct request *r)
{
    answer_json(r->call, 200, status_load_balancers_json(r->control));
}

void handle_get_pools(const struct request *r)
{
    answer_json(r->call, 200, status_pools_json(r->control));
}

void handle_get_tunnels(const struct request *r)
{
    answer_json(r->call, 200, status_tunnels_json(r->control));
}

static bool is_tunnel(const json_t *tunnel, const char *id_or_name)
{
    return strcasecmp(json_string_value(json_object_get(tunnel, "id")), id_or_name) == 0 ||
           strcmp(json_string_value(json_object_get(tunnel, "name")), id_or_name) == 0;
}

void handle_get_tunnel(const struct request *r)
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

void handle_get_alerts(const struct request *r)
{
    answer_json(r->call, 200, status_channels_json(r->control));
}

void handle_get_metrics(const struct request *r)
{
    struct text body = { 0 };
    struct slice accept = r->http->accept;
    bool openmetrics =
        accept.n && memmem(accept.p, accept.n, "application/openmetrics-text", strlen("application/openmetrics-text"));

    metrics_write(r->control, openmetrics, &body);
    answer_text(r->call, 200, openmetrics ? EXPOSITION_OPENMETRICS_TYPE : EXPOSITION_PROMETHEUS_TYPE, &body);
}

void handle_get_page(const struct request *r)
{
    struct text body = { 0 };
    json_t *status = status_json(r->control);

    page_write(status, &body);
    json_decref(status);
    answer_text_with(r->call, 200, "text/html; charset=utf-8", PAGE_HEADERS, &body);
}

/* --- is this node of use? --- */

void handle_get_alive(const struct request *r)
{
    struct text body = { 0 };
    text_add(&body, "ok\n");
    answer_text(r->call, 200, "text/plain; charset=utf-8", &body);
}

static void answer_readiness(const struct request *r, bool ready, const char *kind, const char *name, const char *state,
                             const char *reason)
{
    if (ready)
        handle_get_alive(r);
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

/* NULL: there is none. */
static const struct way *find_unready(const struct load_balancer_record *record)
{
    for (size_t i = 0; i < record->n_ways; i++)
        if (!load_balancer_is_ready(record->ways[i].state))
            return &record->ways[i];
    return NULL;
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
    const struct way *unready = find_unready(found);
    answer_readiness(r, !unready, "load balancer", unready ? unready->subject : found->name, load_balancer_state_name(unready ? unready->state : found->state),
                     unready ? unready->reason : found->reason);
}

void handle_get_ready(const struct request *r)
{
    char host[SEGMENT_SIZE], pool[SEGMENT_SIZE];

    if (!request_parameter(r, "host", host, sizeof host) || !request_parameter(r, "pool", pool, sizeof pool))
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
        handle_get_alive(r);
}
