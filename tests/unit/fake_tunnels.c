#include "fake_tunnels.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { TUNNELS_MAX = 8, CONNECTORS_MAX = 4 };

struct fake_connector {
    char id[UUID_TEXT_SIZE];
    bool connected, drained;
    double weight;
};

struct fake_tunnel {
    struct tunnel *tunnel; /* NULL: the place is free */
    struct credentials credentials;
    bool in_file, drained;
    struct fake_connector connectors[CONNECTORS_MAX];
    unsigned n_connectors;
};

struct tunnels {
    struct fake_tunnel all[TUNNELS_MAX];
};

struct tunnels *fake_tunnels_new(void)
{
    return mem_zero(sizeof(struct tunnels));
}

void fake_tunnels_free(struct tunnels *t)
{
    for (unsigned i = 0; t && i < TUNNELS_MAX; i++)
        tunnel_unref(t->all[i].tunnel);
    free(t);
}

static struct fake_tunnel *find(struct tunnels *t, const char *id_or_name)
{
    for (unsigned i = 0; i < TUNNELS_MAX; i++)
        if (t->all[i].tunnel &&
            (strcasecmp(t->all[i].tunnel->id, id_or_name) == 0 || strcmp(t->all[i].tunnel->name, id_or_name) == 0))
            return &t->all[i];
    return NULL;
}

static struct fake_connector *find_connector(struct fake_tunnel *e, const char *id)
{
    for (unsigned i = 0; i < e->n_connectors; i++)
        if (strcasecmp(e->connectors[i].id, id) == 0)
            return &e->connectors[i];
    return NULL;
}

static struct fake_tunnel *add(struct tunnels *t, const char *id, const char *name)
{
    unsigned i = 0;
    while (t->all[i].tunnel)
        i++;
    t->all[i] = (struct fake_tunnel){ .tunnel = tunnel_new(id, name) };
    snprintf(t->all[i].credentials.tunnel, UUID_TEXT_SIZE, "%s", id);
    snprintf(t->all[i].credentials.account, TUNNEL_ACCOUNT_SIZE, "%s", TUNNELS_ACCOUNT);
    t->all[i].credentials.secret_size = TUNNEL_SECRET_MIN;
    return &t->all[i];
}

void fake_tunnels_add_of_file(struct tunnels *t, const char *id, const char *name)
{
    add(t, id, name)->in_file = true;
}

void fake_tunnels_connect(struct tunnels *t, const char *name, const char *connector)
{
    struct fake_tunnel *e = find(t, name);
    struct fake_connector *c = &e->connectors[e->n_connectors++];
    *c = (struct fake_connector){ .connected = true, .weight = 1 };
    snprintf(c->id, sizeof c->id, "%s", connector);
}

/* --- what tunnels.h promises --- */

struct tunnel *tunnels_find(struct tunnels *t, const char *id_or_name)
{
    struct fake_tunnel *e = find(t, id_or_name);
    return e ? e->tunnel : NULL;
}

enum tunnels_result tunnels_create(struct tunnels *t, const char *name, const char *account, struct slice secret,
                                   struct credentials *out, char error[256])
{
    char id[UUID_TEXT_SIZE];

    error[0] = '\0';
    if (!tunnel_name_is_valid(name))
        return TUNNELS_BAD_NAME;
    if (find(t, name))
        return TUNNELS_EXISTS;
    if (account && !account_tag_is_valid(slice_of(account))) {
        snprintf(error, 256, "an account can't be that");
        return TUNNELS_FAILED;
    }
    struct credentials *c = &add(t, uuid_make(id), name)->credentials;
    snprintf(c->account, sizeof c->account, "%s", account ? account : TUNNELS_ACCOUNT);
    if (secret.n) {
        memcpy(c->secret, secret.p, secret.n);
        c->secret_size = secret.n;
    }
    *out = *c;
    return TUNNELS_DONE;
}

enum tunnels_result tunnels_credentials(struct tunnels *t, const char *id_or_name, struct credentials *out, char path[4096])
{
    struct fake_tunnel *e = find(t, id_or_name);
    if (!e)
        return TUNNELS_NOT_FOUND;
    *out = e->credentials;
    snprintf(path, 4096, "/state/tunnels/%s.json", e->tunnel->id);
    return TUNNELS_DONE;
}

static bool is_connected(const struct fake_tunnel *e)
{
    for (unsigned i = 0; i < e->n_connectors; i++)
        if (e->connectors[i].connected)
            return true;
    return false;
}

enum tunnels_result tunnels_delete(struct tunnels *t, const char *id_or_name, bool force, char error[256])
{
    struct fake_tunnel *e = find(t, id_or_name);

    error[0] = '\0';
    if (!e)
        return TUNNELS_NOT_FOUND;
    if (e->in_file)
        return TUNNELS_IN_FILE;
    if (is_connected(e) && !force)
        return TUNNELS_CONNECTED;
    tunnel_unref(e->tunnel);
    *e = (struct fake_tunnel){ 0 };
    return TUNNELS_DONE;
}

/* Does it to the one that is named, or to all. */
static enum tunnels_result each(struct tunnels *t, const char *id_or_name, const char *connector,
                                void (*change)(struct fake_connector *, double), double arg)
{
    struct fake_tunnel *e = find(t, id_or_name);
    if (!e || (connector && !find_connector(e, connector)))
        return TUNNELS_NOT_FOUND;
    for (unsigned i = 0; i < e->n_connectors; i++)
        if (!connector || &e->connectors[i] == find_connector(e, connector))
            change(&e->connectors[i], arg);
    return TUNNELS_DONE;
}

static void disconnect(struct fake_connector *c, double arg)
{
    (void)arg;
    c->connected = false;
}

static void drain(struct fake_connector *c, double arg)
{
    c->drained = arg != 0;
}

static void weigh(struct fake_connector *c, double arg)
{
    c->weight = arg;
}

enum tunnels_result tunnels_cleanup(struct tunnels *t, const char *id_or_name, const char *connector)
{
    return each(t, id_or_name, connector, disconnect, 0);
}

enum tunnels_result tunnels_drain(struct tunnels *t, const char *id_or_name, const char *connector, bool drained)
{
    struct fake_tunnel *e = find(t, id_or_name);
    if (e && !connector)
        e->drained = drained;
    return each(t, id_or_name, connector, drain, drained);
}

enum tunnels_result tunnels_weigh(struct tunnels *t, const char *id_or_name, const char *connector, double weight)
{
    return each(t, id_or_name, connector, weigh, weight);
}

/* --- for show --- */

static json_t *connection_json(int index)
{
    static const char *const ids[] = { "a722ad9e-9970-4c8c-a9dd-f9b5cbe17610", "b722ad9e-9970-4c8c-a9dd-f9b5cbe17610" };
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:n, s:n}", "id", ids[index], "index", index, "location", "ams01",
                     "opened_at", "2026-11-24T16:00:00.000Z", "origin_ip", "192.0.2.7", "status", index ? "suspect" : "usable",
                     "in_flight", 1, "rtt_ms", "last_probe");
}

static json_t *connectors_json(const struct fake_tunnel *e)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < e->n_connectors; i++) {
        const struct fake_connector *c = &e->connectors[i];
        if (c->connected)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:[s], s:b, s:f, s:[o, o]}", "id", c->id, "version",
                                                  "2026.8.2", "arch", "linux_amd64", "origin_ip", "192.0.2.7", "run_at",
                                                  "2026-11-24T15:59:00.000Z", "features", "serialized_headers", "drained",
                                                  (int)(c->drained || e->drained), "weight", c->weight, "connections",
                                                  connection_json(0), connection_json(1)));
    }
    return list;
}

static json_t *tunnel_json(const struct fake_tunnel *e)
{
    json_t *out = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", e->tunnel->id, "name", e->tunnel->name, "status",
                            is_connected(e) ? "degraded" : "inactive", "since", "2026-11-24T16:00:00.000Z", "reason", "");
    json_object_set_new(out, "edge", json_true());
    json_object_set_new(out, "account", json_string(e->credentials.account));
    json_object_set_new(out, "created_at", e->in_file ? json_null() : json_string("2026-11-20T08:00:00.000Z"));
    json_object_set_new(out, "drained", json_boolean(e->drained));
    json_object_set_new(out, "config_source", json_string("local"));
    json_object_set_new(out, "endpoints", json_array());
    json_object_set_new(out, "connectors", connectors_json(e));
    return out;
}

json_t *tunnels_json(struct tunnels *t)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < TUNNELS_MAX; i++)
        if (t->all[i].tunnel)
            json_array_append_new(list, tunnel_json(&t->all[i]));
    return list;
}

json_t *tunnels_one_json(struct tunnels *t, const char *id_or_name)
{
    struct fake_tunnel *e = find(t, id_or_name);
    return e ? tunnel_json(e) : NULL;
}
