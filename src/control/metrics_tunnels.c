#include "control/metrics_tunnels.h"

#include "control/tunnels.h"

#include <string.h>

enum { TUNNEL_LABELS = 2 };

static void labels_of(const json_t *tunnel, struct label out[TUNNEL_LABELS])
{
    out[0] = (struct label){ "tunnel", json_string_value(json_object_get(tunnel, "id")) };
    out[1] = (struct label){ "name", json_string_value(json_object_get(tunnel, "name")) };
}

/* --- states --- */

/* One sample per status: 1 for the one it has. */
static void write_state(struct exposition *out, const char *id, const char *name, const char *status)
{
    struct label labels[TUNNEL_LABELS + 1] = { { "tunnel", id }, { "name", name } };

    for (enum tunnel_status s = TUNNEL_UNKNOWN; s <= TUNNEL_INACTIVE; s++) {
        labels[TUNNEL_LABELS] = (struct label){ "state", tunnel_status_name(s) };
        exposition_sample(out, labels, TUNNEL_LABELS + 1, strcmp(tunnel_status_name(s), status) == 0);
    }
}

static void write_states(const struct control *c, struct exposition *out, const json_t *ours)
{
    const struct tunnel_record *r, *next;
    const json_t *t;
    size_t i;

    exposition_family(out, "penstock_tunnel_state", METRIC_GAUGE, "1 for the state that a tunnel is in.");
    HASH_ITER (hh, c->tunnels, r, next)
        if (r->config == c->config)
            write_state(out, r->id, r->name, tunnel_status_name(r->status));
    json_array_foreach (ours, i, t) {
        struct label labels[TUNNEL_LABELS];
        labels_of(t, labels);
        write_state(out, labels[0].value, labels[1].value, json_string_value(json_object_get(t, "status")));
    }
}

/* --- who is connected, of our edge alone --- */

enum { LINE_STATES = 6 };

struct tunnel_figures {
    unsigned connectors, drained, connections[LINE_STATES];
    json_int_t streams;
};

static const char *const line_states[LINE_STATES] = { "usable", "suspect", "sick", "draining", "drained", "closing" };

static void count_connection(struct tunnel_figures *f, const json_t *connection, bool drained)
{
    const char *state = json_string_value(json_object_get(connection, "status"));

    if (drained && state && strcmp(state, "usable") == 0)
        state = "drained";
    for (size_t i = 0; state && i < LINE_STATES; i++)
        f->connections[i] += strcmp(line_states[i], state) == 0;
    f->streams += json_integer_value(json_object_get(connection, "in_flight"));
}

static struct tunnel_figures figures_of(const json_t *tunnel)
{
    struct tunnel_figures f = { 0 };
    const json_t *connector, *connection;
    size_t i, k;

    json_array_foreach (json_object_get(tunnel, "connectors"), i, connector) {
        bool drained = json_is_true(json_object_get(connector, "drained"));
        f.connectors++;
        f.drained += drained;
        json_array_foreach (json_object_get(connector, "connections"), k, connection)
            count_connection(&f, connection, drained);
    }
    return f;
}

static void write_connectors(struct exposition *out, const json_t *tunnels)
{
    const json_t *t;
    size_t i;

    exposition_family(out, "penstock_tunnel_connectors", METRIC_GAUGE,
                      "Connectors of a tunnel of our edge, by what the operator said.");
    json_array_foreach (tunnels, i, t) {
        struct tunnel_figures f = figures_of(t);
        struct label labels[TUNNEL_LABELS + 1];
        labels_of(t, labels);
        labels[TUNNEL_LABELS] = (struct label){ "state", "used" };
        exposition_sample(out, labels, TUNNEL_LABELS + 1, f.connectors - f.drained);
        labels[TUNNEL_LABELS] = (struct label){ "state", "drained" };
        exposition_sample(out, labels, TUNNEL_LABELS + 1, f.drained);
    }
}

static void write_connections(struct exposition *out, const json_t *tunnels)
{
    const json_t *t;
    size_t i;

    exposition_family(out, "penstock_tunnel_connections", METRIC_GAUGE, "Connections of a tunnel of our edge, by their state.");
    json_array_foreach (tunnels, i, t) {
        struct tunnel_figures f = figures_of(t);
        struct label labels[TUNNEL_LABELS + 1];
        labels_of(t, labels);
        for (size_t k = 0; k < LINE_STATES; k++) {
            labels[TUNNEL_LABELS] = (struct label){ "state", line_states[k] };
            exposition_sample(out, labels, TUNNEL_LABELS + 1, f.connections[k]);
        }
    }
}

static void write_streams(struct exposition *out, const json_t *tunnels)
{
    const json_t *t;
    size_t i;

    exposition_family(out, "penstock_tunnel_streams", METRIC_GAUGE,
                      "Requests under way over the connections of a tunnel of our edge.");
    json_array_foreach (tunnels, i, t) {
        struct label labels[TUNNEL_LABELS];
        labels_of(t, labels);
        exposition_sample(out, labels, TUNNEL_LABELS, (double)figures_of(t).streams);
    }
}

void metrics_write_tunnels(const struct control *c, struct exposition *out)
{
    json_t *ours = c->registry ? tunnels_json(c->registry) : json_array();

    write_states(c, out, ours);
    if (json_array_size(ours)) {
        write_connectors(out, ours);
        write_connections(out, ours);
        write_streams(out, ours);
    }
    json_decref(ours);
}
