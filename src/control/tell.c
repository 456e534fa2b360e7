#include "control/tell.h"

#include "base/log.h"
#include "control/bus.h"
#include "control/status.h"
#include "control/ways.h"

#include <stdio.h>

enum { MESSAGES_TOLD = 20 };
static const char configuration_subject[] = "configuration";

static void log_announcement(const struct announcement *what, const char *area, const char *kind, const char *name, const char *state, const char *reason)
{
    enum log_level level = what->severity == SEVERITY_INFO ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING;
    log_write(level, area, "%s %s is %s: %s", kind, name, state, reason);
}

/* "down: 530/1033 …" needs no second "down: " before it. */
static const char *without_state(const char *reason, const char *state)
{
    size_t n = strlen(state);
    return strncmp(reason, state, n) == 0 && reason[n] == ':' && reason[n + 1] == ' ' ? reason + n + 2 : reason;
}

static void publish(struct control *control, const struct announcement *what, const char *subject, json_t *data)
{
    bus_publish(control->bus, what->type, subject, what->severity, what->recovery, data);
}

/* A text may quote what an origin sent or a file holds, or be cut within a character: JSON takes UTF-8 only. */
static json_t *reason_json(const char *reason)
{
    json_t *text = json_string(reason);
    if (text)
        return text;
    char plain[VERDICT_TEXT_SIZE];
    size_t n = 0;
    for (; reason[n] && n < sizeof plain - 1; n++)
        plain[n] = (unsigned char)reason[n] < 0x80 ? reason[n] : '?';
    return json_stringn(plain, n);
}

static json_t *transition(const char *from, const char *to, const char *reason, nsec_t since)
{
    char time[CLOCK_RFC3339_SIZE];
    return json_pack("{s:s, s:s, s:s, s:o, s:s}", "status", to, "from", from, "to", to, "reason", reason_json(reason), "since",
                     clock_rfc3339(since, time));
}

static json_t *tunnel_json(const char *id, const char *name)
{
    return json_pack("{s:s, s:s}", "id", id, "name", name);
}

static void add_tunnel(json_t *data, const struct endpoint_record *record)
{
    const struct tunnel *ours = record->endpoint->edge_tunnel;
    if (record->tunnel)
        json_object_set_new(data, "tunnel", tunnel_json(record->tunnel->id, record->tunnel->name));
    else if (ours)
        json_object_set_new(data, "tunnel", tunnel_json(ours->id, ours->name));
}

void tell_endpoint(struct control *control, const struct endpoint_record *record, enum verdict_state from, const struct announcement *what)
{
    const char *to = verdict_state_name(record->verdict.state);
    json_t *data = transition(verdict_state_name(from), to, record->verdict.reason, record->since);
    json_object_set_new(data, "endpoint", json_string(record->id));
    json_object_set_new(data, "pool", json_string(record->endpoint->pool->name));
    json_object_set_new(data, "diagnosis", json_string(diagnosis_code(record->verdict.diagnosis)));
    add_tunnel(data, record);
    log_announcement(what, "health", "endpoint", record->id, to, without_state(record->verdict.reason, to));
    publish(control, what, record->id, data);
}

void tell_pool(struct control *control, const struct pool_record *record, enum pool_state from, const struct announcement *what)
{
    const char *to = pool_state_name(record->state);
    json_t *data = transition(pool_state_name(from), to, record->reason, record->since);
    json_object_set_new(data, "pool", json_string(record->name));
    log_announcement(what, "health", "pool", record->name, to, record->reason);
    publish(control, what, record->name, data);
}

static json_t *texts_json(const struct texts *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < texts->n; i++)
        json_array_append_new(list, json_string(texts->items[i]));
    return list;
}

void tell_load_balancer(struct control *control, const struct load_balancer_record *record, const struct way *way, enum load_balancer_state from,
                        const struct announcement *what)
{
    static const char *const phrases[] = { "unknown", "healthy", "degraded", "in failover", "in fallback", "down", "disabled" };
    const char *to = load_balancer_state_name(way->state);
    json_t *data = transition(load_balancer_state_name(from), to, way->reason, way->since);
    json_object_set_new(data, "load_balancer", json_string(record->name));
    json_object_set_new(data, "hostnames", texts_json(&record->load_balancer->hostnames));
    json_object_set_new(data, "for", json_string(way->label));
    json_object_set_new(data, "pools", status_pool_names_json(way->list));
    json_object_set_new(data, "pool", way->pool ? json_string(way->pool->name) : json_null());
    log_announcement(what, "health", "load balancer", way->subject, phrases[way->state], without_state(way->reason, to));
    publish(control, what, way->subject, data);
}

static json_t *endpoints_of_tunnel(const struct control *control, const struct tunnel_record *tunnel)
{
    json_t *list = json_array();
    for (const struct endpoint_record *e = control->endpoints; e; e = e->hh.next)
        if (e->tunnel == tunnel)
            json_array_append_new(list, json_string(e->id));
    return list;
}

void tell_tunnel(struct control *control, const struct tunnel_record *tunnel, enum tunnel_status from, const struct announcement *what)
{
    const char *to = tunnel_status_name(tunnel->status);
    json_t *data = transition(tunnel_status_name(from), to, tunnel->reason, tunnel->since);
    json_object_set_new(data, "tunnel", tunnel_json(tunnel->id, tunnel->name));
    json_object_set_new(data, "endpoints", endpoints_of_tunnel(control, tunnel));
    char name[128];
    snprintf(name, sizeof name, "%s (%s)", tunnel->name, tunnel->id);
    log_announcement(what, "health", "tunnel", name, to, tunnel->reason);
    publish(control, what, tunnel->id, data);
}

static json_t *endpoints_over(const struct control *control, const struct tunnel *tunnel)
{
    json_t *list = json_array();
    for (const struct endpoint_record *e = control->endpoints; e; e = e->hh.next)
        if (e->endpoint && e->endpoint->edge_tunnel == tunnel)
            json_array_append_new(list, json_string(e->id));
    return list;
}

void tell_edge_tunnel(struct control *control, const struct tunnel *tunnel, const struct tunnel_standing *standing, const struct tunnel_count *count,
                      enum tunnel_status from, const struct announcement *what)
{
    const char *to = tunnel_status_name(standing->status);
    json_t *data = transition(tunnel_status_name(from), to, standing->reason, standing->since);
    json_object_set_new(data, "tunnel", tunnel_json(tunnel->id, tunnel->name));
    json_object_set_new(data, "endpoints", endpoints_over(control, tunnel));
    json_object_set_new(data, "connectors", json_integer(count->connectors));
    json_object_set_new(data, "connections", json_integer(count->connections));
    char name[128];
    snprintf(name, sizeof name, "%s (%s)", tunnel->name, tunnel->id);
    log_announcement(what, "edge", "tunnel", name, to, standing->reason);
    publish(control, what, tunnel->id, data);
}

void tell_drift(struct control *control, const struct tunnel *tunnel, const char *subject, const char *other, const char *words, bool over)
{
    char of[VERDICT_TEXT_SIZE];
    json_t *data = json_pack("{s:o, s:s, s:s, s:o}", "tunnel", tunnel_json(tunnel->id, tunnel->name), "subject", subject, "compared_with", other,
                             "difference", reason_json(words));
    snprintf(of, sizeof of, "rules:%s", subject); /* a subject of its own, as for names */
    if (over) {
        log_notice("edge", "tunnel %s: its rules are those of %s again", tunnel->name, other);
        bus_publish(control->bus, "tunnel.config_identical", of, SEVERITY_INFO, true, data);
    } else {
        log_warning("edge", "tunnel %s: its rules differ from those of %s: %s", tunnel->name, other, words);
        bus_publish(control->bus, "tunnel.config_drift", of, SEVERITY_WARNING, false, data);
    }
}

void tell_push_refused(struct control *control, const struct tunnel *tunnel, const char *connector, int version, const char *answer, bool halted)
{
    char of[VERDICT_TEXT_SIZE];
    snprintf(of, sizeof of, "push:%s", tunnel->id);
    bus_publish(control->bus, "tunnel.config_refused", of, SEVERITY_WARNING, false,
                json_pack("{s:o, s:s?, s:i, s:o, s:b}", "tunnel", tunnel_json(tunnel->id, tunnel->name), "connector", connector, "version", version,
                          "answer", reason_json(answer), "halted", halted));
}

void tell_name(struct control *control, const struct endpoint_record *record, const char *problem)
{
    /* A subject of its own: that a name resolves again must not end what was told of the endpoint's health. */
    char subject[VERDICT_TEXT_SIZE];
    snprintf(subject, sizeof subject, "name:%s", record->id);
    json_t *data = json_pack("{s:s, s:s, s:s*}", "endpoint", record->id, "name", record->watched_host, "reason", problem);
    if (problem) {
        log_warning("dns", "%s of endpoint %s: %s; the addresses known before are used on", record->watched_host, record->id, problem);
        bus_publish(control->bus, "endpoint.name_failed", subject, SEVERITY_WARNING, false, data);
    } else {
        log_notice("dns", "%s of endpoint %s resolves again", record->watched_host, record->id);
        bus_publish(control->bus, "endpoint.name_resolved", subject, SEVERITY_INFO, true, data);
    }
}

void tell_certificate(struct control *control, const char *listener, nsec_t not_after, enum certificate_standing standing,
                      const struct announcement *what)
{
    static const char *const words[] = { "fine", "ending within two weeks", "ending within three days", "expired" };
    char time[CLOCK_RFC3339_SIZE], reason[VERDICT_TEXT_SIZE], subject[VERDICT_TEXT_SIZE];
    snprintf(reason, sizeof reason, "valid until %s", clock_rfc3339(not_after, time));
    snprintf(subject, sizeof subject, "certificate:%s", listener);
    log_announcement(what, "tls", "the certificate of listener", listener, words[standing], reason);
    publish(control, what, subject, json_pack("{s:s, s:s, s:s}", "listener", listener, "status", words[standing], "not_after", time));
}

void tell_places(struct control *control, const char *problem, bool kept)
{
    struct announcement what = { problem ? "geoip.unavailable" : "geoip.available", problem ? SEVERITY_WARNING : SEVERITY_INFO, !problem };
    const char *now = !problem ? "clients' places are known again" : kept ? "the former database stays in use" : "default pools are used for all clients";
    log_write(problem ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, "geoip", "%s%s%s", problem ? problem : "", problem ? ": " : "", now);
    publish(control, &what, "geoip", json_pack("{s:s, s:o}", "status", now, "reason", problem ? reason_json(problem) : json_null()));
}

/* --- the configuration --- */

static json_t *messages_json(const struct conf_messages *messages, enum conf_severity severity)
{
    json_t *list = json_array();
    for (size_t i = 0; i < messages->n && json_array_size(list) < MESSAGES_TOLD; i++) {
        struct text text = { 0 };
        if (messages->items[i].severity != severity)
            continue;
        conf_message_print(&messages->items[i], &text);
        json_array_append_new(list, reason_json(text.p));
        text_clear(&text);
    }
    return list;
}

void tell_reloaded(struct control *control, const struct conf_messages *messages)
{
    bool recovery = control->last_rejection[0];
    const struct config *config = control->config;
    log_notice("reload", "%s is in force (generation %llu): %zu load balancers, %zu pools, %zu endpoints", config->file,
               (unsigned long long)config->generation, config->n_load_balancers, config->n_pools, config->n_endpoints);
    bus_publish(control->bus, "config.reloaded", configuration_subject, SEVERITY_INFO, recovery,
                json_pack("{s:s, s:I, s:o}", "file", config->file, "generation", (json_int_t)config->generation, "warnings",
                          messages_json(messages, CONF_WARNING)));
}

void tell_rejected(struct control *control, const struct conf_messages *messages)
{
    log_error("reload", "%s is refused, the running configuration stays in force: %zu error%s, the first: %s", control->config_path,
              messages->errors, messages->errors == 1 ? "" : "s", control->last_rejection);
    bus_publish(control->bus, "config.rejected", configuration_subject, SEVERITY_WARNING, false,
                json_pack("{s:s, s:I, s:o}", "file", control->config_path, "generation_in_force", (json_int_t)control->config->generation, "errors",
                          messages_json(messages, CONF_ERROR)));
}
