/* The registry as people and programs see it. */
#include "control/registry.h"

#include "base/uuid.h"
#include "control/status.h"

#include <stdio.h>

static json_t *host_json(const struct address *a)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format_host(a, text);
    return json_string(text);
}

/* --- connections --- */

static const char *line_status(const struct line_entry *l)
{
    if (l->close_at)
        return "closing";
    if (l->draining)
        return "draining";
    if (l->sick)
        return "sick";
    return atomic_load_explicit(&l->line->state, memory_order_relaxed) == LINE_USABLE ? "usable" : "suspect";
}

static json_t *probe_json(const struct line_probe *p)
{
    if (!p->at)
        return json_null();
    return json_pack("{s:o, s:b, s:o, s:o}", "at", status_time_json(p->at), "pass", p->pass, "monitor",
                     status_text_json(p->monitor), "detail", status_text_json(p->detail));
}

static json_t *rtt_json(const struct tunnel_line *line)
{
    nsec_t rtt = atomic_load_explicit(&line->rtt, memory_order_relaxed);
    return rtt ? json_real((double)rtt / NSEC_PER_MSEC) : json_null();
}

static json_t *line_json(const struct tunnels *t, const struct line_entry *l)
{
    const struct tunnel_line *line = l->line;
    char id[UUID_TEXT_SIZE];
    json_t *out = json_pack("{s:s, s:i, s:o, s:o, s:o, s:s}", "id", uuid_format(line->uuid, id), "index", (int)line->index,
                            "location", status_text_json(t->location), "opened_at", status_time_json(line->opened_wall),
                            "origin_ip", host_json(&line->peer), "status", line_status(l));
    json_object_set_new(out, "reason", l->sick ? status_text_json(l->sick_detail) : json_null());
    json_object_set_new(out, "in_flight", json_integer(atomic_load_explicit(&line->in_flight, memory_order_relaxed)));
    json_object_set_new(out, "rtt_ms", rtt_json(line));
    json_object_set_new(out, "worker", json_integer(atomic_load_explicit(&line->worker, memory_order_relaxed)));
    json_object_set_new(out, "last_probe", probe_json(&l->probe));
    return out;
}

/* --- connectors --- */

static json_t *lines_json(const struct tunnel_entry *e, const struct connector_entry *c)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < e->n_lines; i++)
        if (e->lines[i]->connector == c)
            json_array_append_new(list, line_json(e->tunnels, e->lines[i]));
    return list;
}

static json_t *features_json(const struct connector_entry *c)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < c->n_features; i++)
        json_array_append_new(list, status_text_json(c->features[i]));
    return list;
}

static const char *push_state_name(enum push_state state)
{
    static const char *const names[] = { "none", "sent", "sent", "applied", "refused", "unanswered" };
    return names[state];
}

static json_t *configuration_json(const struct tunnel_entry *e, const struct connector_entry *c)
{
    json_t *out = json_pack("{s:s, s:s}", "source", e->ingress ? "pushed" : "local", "state", push_state_name(c->push.state));
    json_object_set_new(out, "version", c->push.state == PUSH_NONE ? json_null() : json_integer(c->push.version));
    json_object_set_new(out, "answer", status_text_json(c->push.answer[0] ? c->push.answer : NULL));
    json_object_set_new(out, "local", c->local ? json_incref(c->local) : json_null());
    return out;
}

static json_t *address_of(const struct tunnel_entry *e, const struct connector_entry *c)
{
    for (unsigned i = 0; i < e->n_lines; i++)
        if (e->lines[i]->connector == c)
            return host_json(&e->lines[i]->line->peer);
    return json_null();
}

static json_t *connector_json(const struct tunnel_entry *e, const struct connector_entry *c)
{
    const struct tunnel_connector *s = c->shared;
    json_t *out = json_pack("{s:s, s:o, s:o, s:o, s:o}", "id", s->id, "version", status_text_json(s->version), "arch",
                            status_text_json(s->arch), "origin_ip", address_of(e, c), "run_at", status_time_json(s->run_at_wall));
    json_object_set_new(out, "features", features_json(c));
    json_object_set_new(out, "drained", json_boolean(atomic_load_explicit(&c->shared->drained_at, memory_order_relaxed) != 0));
    json_object_set_new(out, "weight", json_real(atomic_load_explicit(&c->shared->weight, memory_order_relaxed)));
    json_object_set_new(out, "configuration", configuration_json(e, c));
    json_object_set_new(out, "connections", lines_json(e, c));
    return out;
}

static json_t *connectors_json(const struct tunnel_entry *e)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < e->n_connectors; i++)
        if (e->connectors[i]->n_lines)
            json_array_append_new(list, connector_json(e, e->connectors[i]));
    return list;
}

/* --- tunnels --- */

static json_t *endpoints_json(const struct tunnel_entry *e)
{
    const struct config *config = e->tunnels->control->config;
    json_t *list = json_array();
    for (size_t i = 0; config && i < config->n_endpoints; i++)
        if (config->endpoints[i]->edge_tunnel == e->tunnel)
            json_array_append_new(list, json_string(config->endpoints[i]->id));
    return list;
}

static json_t *drift_json(const struct drift *d)
{
    return json_pack("{s:s, s:s, s:o, s:b}", "subject", d->subject, "compared_with", d->other, "difference",
                     status_text_json(d->words), "told", d->told);
}

static json_t *drifts_json(const struct tunnel_entry *e)
{
    json_t *list = json_array();
    for (const struct drift *d = e->tunnels->drifts; d; d = d->hh.next)
        if (strcmp(d->tunnel, e->tunnel->id) == 0)
            json_array_append_new(list, drift_json(d));
    return list;
}

static void add_rules(json_t *out, const struct tunnel_entry *e)
{
    json_object_set_new(out, "config_source", json_string(e->ingress ? "pushed" : "local"));
    json_object_set_new(out, "config_version", e->ingress && e->memory.version ? json_integer(e->memory.version) : json_null());
    json_object_set_new(out, "config", e->effective ? json_incref(e->effective) : json_null());
    json_object_set_new(out, "drift", drifts_json(e));
}

static json_t *tunnel_json(const struct tunnel_entry *e)
{
    const struct tunnel_standing *s = &e->memory.standing;
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", e->tunnel->id, "name", e->tunnel->name, "status",
                  tunnel_status_name(s->status), "since", status_time_json(s->since), "reason", status_text_json(s->reason));
    json_object_set_new(out, "edge", json_true());
    json_object_set_new(out, "source", json_string(e->in_file ? "file" : "state"));
    json_object_set_new(out, "account", json_string(e->credentials.account));
    json_object_set_new(out, "created_at", status_time_json(e->created));
    json_object_set_new(out, "conns_active_at", status_time_json(s->connected_at));
    json_object_set_new(out, "conns_inactive_at", status_time_json(s->lost_at));
    json_object_set_new(out, "connections", json_integer(registry_count_lines(e, NULL)));
    json_object_set_new(out, "drained", json_boolean(e->memory.drained));
    json_object_set_new(out, "endpoints", endpoints_json(e));
    add_rules(out, e);
    json_object_set_new(out, "connectors", connectors_json(e));
    return out;
}

json_t *tunnels_json(struct tunnels *t)
{
    json_t *list = json_array();
    for (const struct tunnel_entry *e = t->entries; e; e = e->hh.next)
        if (!e->deleted)
            json_array_append_new(list, tunnel_json(e));
    return list;
}

json_t *tunnels_one_json(struct tunnels *t, const char *id_or_name)
{
    const struct tunnel_entry *e = registry_find(t, id_or_name);
    return e ? tunnel_json(e) : NULL;
}
