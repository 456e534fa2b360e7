#include "control/status.h"

#include "alerts/dispatcher.h"
#include "base/mem.h"
#include "base/version.h"
#include "control/store.h"
#include "control/totals.h"
#include "control/tunnels.h"
#include "control/ways.h"
#include "monitors/monitor.h"

#include <math.h>
#include <string.h>

/* One look at both clocks, so that all of a status is of the same moment. */
struct moment {
    nsec_t wall, monotonic;
};

static struct moment now(void)
{
    return (struct moment){ clock_wall(), clock_monotonic() };
}

json_t *status_time_json(nsec_t wall)
{
    char time[CLOCK_RFC3339_SIZE];
    return wall ? json_string(clock_rfc3339(wall, time)) : json_null();
}

/* An instant of the monotonic clock, as people read it. */
static json_t *monotonic_json(nsec_t at, const struct moment *m)
{
    return status_time_json(at ? m->wall + (at - m->monotonic) : 0);
}

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *status_text_json(const char *s)
{
    json_t *string = s ? json_string(s) : json_null();
    if (string)
        return string;
    char *masked = mem_copy_text(s);
    for (char *p = masked; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    string = json_string(masked);
    free(masked);
    return string;
}

static json_t *text_unless_empty(const char *s)
{
    return status_text_json(*s ? s : NULL);
}

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *texts_json(const struct texts *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->n; i++)
        json_array_append_new(list, status_text_json(t->items[i]));
    return list;
}

/* --- endpoints --- */

static const char *admin_state_name(enum admin_state s)
{
    static const char *const names[] = { "enabled", "drained", "disabled" };
    return names[s];
}

static const char *health_name(enum health h)
{
    static const char *const names[] = { "unknown", "up", "down" };
    return names[h];
}

static json_t *monitors_json(const struct evidence *e, const struct moment *now)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < e->n_monitors; i++) {
        const struct monitor_evidence *m = &e->monitors[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:s, s:o, s:o}", "name", m->name, "health",
                                              health_name(m->health), "passes", (int)m->passes, "failures", (int)m->failures,
                                              "diagnosis", diagnosis_code(m->diagnosis), "detail", status_text_json(m->detail),
                                              "at", monotonic_json(m->at, now)));
    }
    return list;
}

static json_t *addresses_json(struct endpoint_live *live)
{
    struct address_set set;
    json_t *list = json_array();

    endpoint_get_addresses(live, &set);
    for (unsigned i = 0; i < set.n; i++) {
        char text[ADDRESS_TEXT_SIZE];
        address_format(&set.items[i], text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *dialled_json(const struct endpoint *e)
{
    if (!e->dial_host && !e->unix_path)
        return json_null();
    char *text = e->unix_path ? mem_printf("unix:%s", e->unix_path)
                              : mem_printf(strchr(e->dial_host, ':') ? "[%s]:%u" : "%s:%u", e->dial_host, e->dial_port);
    json_t *string = status_text_json(text);
    free(text);
    return string;
}

/* Milliseconds of traffic, or of probes where no traffic came by. */
static json_t *latency_json(const struct endpoint_live *live)
{
    double traffic = atomic_load_explicit(&live->latency_s, memory_order_relaxed);
    double probes = atomic_load_explicit(&live->probe_latency_s, memory_order_relaxed);
    return number_or_null((isnan(traffic) ? probes : traffic) * 1000);
}

static void add_weights(json_t *out, const struct endpoint *e, const struct moment *m)
{
    double override = atomic_load_explicit(&e->live->weight_override, memory_order_relaxed);

    json_object_set_new(out, "weight", json_real(isnan(override) ? e->weight : override));
    json_object_set_new(out, "weight_configured", json_real(e->weight));
    json_object_set_new(out, "weight_override", number_or_null(override));
    json_object_set_new(out, "slow_start", json_boolean(endpoint_is_ramping(e, m->monotonic)));
}

static void add_operators_word(json_t *out, const struct endpoint *e)
{
    enum admin_state admin = atomic_load_explicit(&e->live->admin, memory_order_relaxed);
    json_object_set_new(out, "enabled", json_boolean(e->enabled));
    json_object_set_new(out, "override", admin == ADMIN_ENABLED ? json_null() : json_string(admin_state_name(admin)));
}

static void add_passive_health(json_t *out, struct endpoint_live *live, const struct moment *m)
{
    nsec_t until = atomic_load_explicit(&live->ejected_until, memory_order_relaxed);
    bool ejected = until > m->monotonic;
    enum reason why = atomic_load_explicit(&live->ejected_for, memory_order_relaxed);

    json_object_set_new(out, "ejected_until", monotonic_json(ejected ? until : 0, m));
    json_object_set_new(out, "ejected_for", ejected ? json_string(reason_code(why)) : json_null());
    json_object_set_new(out, "consecutive_failures",
                        json_integer(atomic_load_explicit(&live->consecutive_failures, memory_order_relaxed)));
}

static void add_counts(json_t *out, const struct endpoint_live *live)
{
    struct endpoint_totals n;

    totals_endpoint(live, &n);
    json_object_set_new(out, "in_flight", count(n.in_flight));
    json_object_set_new(out, "connections", count(n.connections));
    json_object_set_new(out, "requests", count(n.requests));
    json_object_set_new(out, "failures", count(n.failures));
    json_object_set_new(out, "retries", count(n.retries));
    json_object_set_new(out, "reuse_races", count(n.reuse_races));
    json_object_set_new(out, "bytes_sent", count(n.bytes_sent));
    json_object_set_new(out, "bytes_received", count(n.bytes_received));
}

static json_t *endpoint_json(const struct endpoint_record *r, const struct moment *m)
{
    const struct endpoint *e = r->endpoint;
    json_t *out = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "name", e->name, "id", e->id, "state",
                            verdict_state_name(r->verdict.state), "reason", status_text_json(r->verdict.reason), "since",
                            status_time_json(r->since), "tunnel", status_text_json(e->edge_tunnel ? e->edge_tunnel->id : e->tunnel));

    add_weights(out, e, m);
    add_operators_word(out, e);
    json_object_set_new(out, "latency_ms", latency_json(r->live));
    add_counts(out, r->live);
    json_object_set_new(out, "max_in_flight", e->max_in_flight ? count(e->max_in_flight) : json_null());
    add_passive_health(out, r->live, m);
    json_object_set_new(out, "address", dialled_json(e));
    json_object_set_new(out, "addresses", addresses_json(r->live));
    json_object_set_new(out, "dialable", json_boolean(atomic_load_explicit(&r->live->dialable, memory_order_relaxed)));
    json_object_set_new(out, "monitors", monitors_json(&r->evidence, m));
    return out;
}

json_t *status_endpoint_json(struct control *c, const struct endpoint_record *r)
{
    struct moment m = now();
    (void)c;
    return endpoint_json(r, &m);
}

/* --- pools --- */

/* Only endpoints that the monitors call down are left, and they are used all the same. */
static bool in_panic(const struct pool_census *census)
{
    return !census->at[USABLE_HEALTHY] && !census->at[USABLE_EJECTED] && !census->at[USABLE_UNKNOWN] &&
           census->at[USABLE_LAST_RESORT];
}

static json_t *pool_endpoints_json(struct control *c, const struct pool *p, const struct moment *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_endpoints; i++) {
        const struct endpoint_record *r = control_find_endpoint(c, p->endpoints[i].id);
        if (r && r->endpoint)
            json_array_append_new(list, endpoint_json(r, m));
    }
    return list;
}

static json_t *pool_monitors_json(const struct pool *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_monitors; i++)
        json_array_append_new(list, json_string(p->monitors[i]->name));
    return list;
}

static const struct pool_record *find_pool_record(const struct control *c, const char *name)
{
    struct pool_record *r;
    HASH_FIND_STR(c->pools, name, r);
    return r;
}

static json_t *pool_json(struct control *c, const struct pool *p, const struct moment *m)
{
    const struct pool_record *r = find_pool_record(c, p->name);
    struct pool_census census;

    pool_take_census(p, m->monotonic, &census);
    json_t *out = json_pack("{s:s, s:s, s:o, s:o}", "name", p->name, "state", pool_state_name(r ? r->state : POOL_UNKNOWN),
                            "reason", status_text_json(r ? r->reason : ""), "since", status_time_json(r ? r->since : 0));
    json_object_set_new(out, "enabled", json_boolean(p->enabled));
    json_object_set_new(out, "minimum_endpoints", count(p->minimum_endpoints));
    json_object_set_new(out, "healthy_endpoints", count(census.at[USABLE_HEALTHY]));
    json_object_set_new(out, "panic", json_boolean(in_panic(&census)));
    json_object_set_new(out, "endpoint_steering", json_string(p->steering.policy->name));
    json_object_set_new(out, "monitors", pool_monitors_json(p));
    json_object_set_new(out, "endpoints", pool_endpoints_json(c, p, m));
    return out;
}

static json_t *pools_json(struct control *c, const struct moment *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->config->n_pools; i++)
        json_array_append_new(list, pool_json(c, &c->config->pools[i], m));
    return list;
}

json_t *status_pools_json(struct control *c)
{
    struct moment m = now();
    return pools_json(c, &m);
}

/* --- load balancers --- */

static const struct load_balancer_record *find_load_balancer_record(const struct control *c, const char *name)
{
    struct load_balancer_record *r;
    HASH_FIND_STR(c->load_balancers, name, r);
    return r;
}

json_t *status_pool_names_json(const struct pool_list *pools)
{
    json_t *list = json_array();
    for (size_t i = 0; i < pools->n; i++)
        json_array_append_new(list, json_string(pools->pools[i]->name));
    return list;
}

static json_t *ways_json(const struct load_balancer_record *r)
{
    json_t *list = json_array();
    for (size_t i = 0; r && i < r->n_ways; i++) {
        const struct way *w = &r->ways[i];
        json_array_append_new(list, json_pack("{s:s, s:i, s:o, s:s, s:o, s:o, s:o}", "for", w->label, "others", (int)w->others, "pools",
                                              status_pool_names_json(w->list), "state", load_balancer_state_name(w->state), "pool",
                                              status_text_json(w->pool ? w->pool->name : NULL), "reason", status_text_json(w->reason), "since",
                                              status_time_json(w->since)));
    }
    return list;
}

static json_t *load_balancer_json(const struct control *c, const struct load_balancer *lb)
{
    const struct load_balancer_record *r = find_load_balancer_record(c, lb->name);
    json_t *out = json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "hostnames", texts_json(&lb->hostnames), "name", lb->name, "state",
                            load_balancer_state_name(r ? r->state : LB_UNKNOWN), "pool",
                            status_text_json(r && r->pool ? r->pool->name : NULL), "reason", status_text_json(r ? r->reason : ""),
                            "since", status_time_json(r ? r->since : 0));

    json_object_set_new(out, "enabled", json_boolean(lb->enabled));
    json_object_set_new(out, "steering", json_string(lb->steering.policy->name));
    json_object_set_new(out, "default_pools", status_pool_names_json(&lb->lists[0]));
    json_object_set_new(out, "fallback_pool", status_text_json(lb->fallback_pool ? lb->fallback_pool->name : NULL));
    json_object_set_new(out, "fallback_in_use", json_boolean(r && r->state == LB_FALLBACK));
    json_object_set_new(out, "lists", ways_json(r));
    return out;
}

json_t *status_load_balancers_json(struct control *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->config->n_load_balancers; i++)
        json_array_append_new(list, load_balancer_json(c, &c->config->load_balancers[i]));
    return list;
}

/* --- tunnels --- */

static bool same_tunnel(const struct endpoint *a, const struct endpoint *b)
{
    return a->tunnel && b->tunnel && strcmp(a->tunnel, b->tunnel) == 0;
}

static json_t *tunnel_endpoints_json(const struct config *config, const struct endpoint *first)
{
    json_t *ids = json_array();
    for (size_t i = first->index; i < config->n_endpoints; i++)
        if (same_tunnel(config->endpoints[i], first))
            json_array_append_new(ids, json_string(config->endpoints[i]->id));
    return ids;
}

/* Its connectors are seen only by the edge that they dial, which is not ours. */
static json_t *tunnel_json(const struct control *c, const struct endpoint *first)
{
    struct tunnel_record *r;

    HASH_FIND_STR(c->tunnels, first->tunnel, r);
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:[]}", "id", first->tunnel, "name", r ? r->name : first->name, "status",
                     tunnel_status_name(r ? r->status : TUNNEL_UNKNOWN), "since", status_time_json(r ? r->since : 0), "reason",
                     status_text_json(r ? r->reason : ""), "endpoints", tunnel_endpoints_json(c->config, first), "connectors");
}

static bool is_first_of_its_tunnel(const struct config *config, const struct endpoint *e)
{
    for (size_t i = 0; i < e->index; i++)
        if (same_tunnel(config->endpoints[i], e))
            return false;
    return true;
}

json_t *status_tunnels_json(struct control *c)
{
    json_t *list = c->registry ? tunnels_json(c->registry) : json_array();

    for (size_t i = 0; i < c->config->n_endpoints; i++) {
        const struct endpoint *e = c->config->endpoints[i];
        if (e->tunnel && e->kind != ENDPOINT_EDGE && is_first_of_its_tunnel(c->config, e))
            json_array_append_new(list, tunnel_json(c, e));
    }
    return list;
}

/* --- alert channels --- */

static void append_channel(void *arg, const struct channel_status *s)
{
    json_t *list = arg;
    json_t *out = json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", s->name, "type", s->type, "backlog", count(s->backlog),
                            "last_success", status_time_json(s->last_success), "last_error", text_unless_empty(s->last_error));

    json_object_set_new(out, "last_error_at", status_time_json(s->last_error_at));
    json_object_set_new(out, "closed", json_boolean(s->closed));
    json_object_set_new(out, "delivered", count(s->delivered));
    json_object_set_new(out, "attempts", count(s->attempts));
    json_object_set_new(out, "failures", count(s->failures));
    json_object_set_new(out, "dropped", count(s->dropped));
    json_array_append_new(list, out);
}

json_t *status_channels_json(struct control *c)
{
    json_t *list = json_array();
    dispatcher_each_channel(c->dispatcher, append_channel, list);
    return list;
}

/* --- the whole --- */

static json_t *traffic_json(const struct control *c)
{
    json_t *out = json_object();

    json_object_set_new(out, "connections", json_integer(TOTALS_GAUGE(c, connections)));
    json_object_set_new(out, "in_flight", json_integer(TOTALS_GAUGE(c, exchanges)));
    json_object_set_new(out, "upgraded", json_integer(TOTALS_GAUGE(c, upgraded)));
    json_object_set_new(out, "upstream_connections", json_integer(TOTALS_GAUGE(c, upstreams)));
    json_object_set_new(out, "requests", count(TOTALS_COUNTER(c, requests)));
    json_object_set_new(out, "responses_2xx", count(TOTALS_COUNTER(c, responses_2xx)));
    json_object_set_new(out, "responses_3xx", count(TOTALS_COUNTER(c, responses_3xx)));
    json_object_set_new(out, "responses_4xx", count(TOTALS_COUNTER(c, responses_4xx)));
    json_object_set_new(out, "responses_5xx", count(TOTALS_COUNTER(c, responses_5xx)));
    json_object_set_new(out, "retries", count(TOTALS_COUNTER(c, retries)));
    json_object_set_new(out, "panic_choices", count(TOTALS_COUNTER(c, panic_choices)));
    json_object_set_new(out, "fallback_choices", count(TOTALS_COUNTER(c, fallback_choices)));
    json_object_set_new(out, "bytes_from_clients", count(TOTALS_COUNTER(c, bytes_from_clients)));
    json_object_set_new(out, "bytes_to_clients", count(TOTALS_COUNTER(c, bytes_to_clients)));
    return out;
}

static json_t *store_json(const struct control *c)
{
    struct store_status s;

    store_get_status(c->store, &s);
    return json_pack("{s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "durable", s.durable, "failing", s.failing, "failing_since",
                     status_time_json(s.failing ? s.failing_since : 0), "error", text_unless_empty(s.error), "queued",
                     count(s.queued), "lost", count(s.lost), "events", count(s.events));
}

json_t *status_json(struct control *c)
{
    struct moment m = now();
    json_t *out = json_pack("{s:s, s:o, s:o, s:f, s:o, s:o, s:b, s:i}", "version", PENSTOCK_VERSION, "time",
                            status_time_json(m.wall), "started", status_time_json(c->started), "uptime_s",
                            nsec_to_seconds(m.wall - c->started), "generation", count(c->config->generation), "config",
                            status_text_json(c->config->file), "stopping", (int)c->stopping, "workers", (int)c->n_workers);

    json_object_set_new(out, "last_rejection", text_unless_empty(c->last_rejection));
    json_object_set_new(out, "traffic", traffic_json(c));
    json_object_set_new(out, "load_balancers", status_load_balancers_json(c));
    json_object_set_new(out, "pools", pools_json(c, &m));
    json_object_set_new(out, "tunnels", status_tunnels_json(c));
    json_object_set_new(out, "alerts", status_channels_json(c));
    json_object_set_new(out, "store", store_json(c));
    return out;
}
