/* The registry as a whole: its tunnels by id and name, from the state directory and from the configuration. */
#include "control/registry.h"

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <strings.h>

static const double tick_s = 0.1;
enum { SAVES_PER_TICK = 20, TICKS_PER_ROUND = 10 };

/* --- finding --- */

struct tunnel_entry *registry_by_id(const struct tunnels *t, const char *id)
{
    struct tunnel_entry *e;
    HASH_FIND_STR(t->entries, id, e);
    return e;
}

static struct tunnel_entry *by_name(const struct tunnels *t, const char *name)
{
    for (struct tunnel_entry *e = t->entries; e; e = e->hh.next)
        if (!e->deleted && strcmp(e->tunnel->name, name) == 0)
            return e;
    return NULL;
}

struct tunnel_entry *registry_find(const struct tunnels *t, const char *id_or_name)
{
    char id[UUID_TEXT_SIZE];
    if (!uuid_parse(id_or_name, id))
        return by_name(t, id_or_name);
    struct tunnel_entry *e = registry_by_id(t, id);
    return e && !e->deleted ? e : NULL;
}

struct tunnel *tunnels_find(struct tunnels *t, const char *id_or_name)
{
    struct tunnel_entry *e = registry_find(t, id_or_name);
    return e ? e->tunnel : NULL;
}

/* --- one tunnel --- */

static void remember(struct tunnel_entry *e)
{
    const struct tunnels *t = e->tunnels;
    const char *dir = t->control->state_dir;
    if (dir && tunnel_memory_read(dir, e->tunnel->id, &e->memory))
        tunnel_standing_resume(&e->memory.standing, t->monotonic(), t->wall());
    else
        tunnel_standing_init(&e->memory.standing, t->wall());
}

struct tunnel_entry *registry_add(struct tunnels *t, const char *id, const char *name)
{
    struct tunnel_entry *e = mem_zero(sizeof *e);
    e->tunnels = t;
    e->tunnel = tunnel_new(id, name);
    remember(e);
    HASH_ADD_KEYPTR(hh, t->entries, e->tunnel->id, strlen(e->tunnel->id), e);
    registry_recount(e);
    return e;
}

void registry_remove(struct tunnel_entry *e)
{
    struct tunnels *t = e->tunnels;
    if (t->rolling == e)
        t->rolling = NULL;
    registry_forget_all(e);
    HASH_DEL(t->entries, e);
    credentials_clear(&e->credentials);
    tunnel_unref(e->tunnel);
    json_decref(e->effective);
    json_decref(e->pushed);
    free(e->ingress);
    free(e);
}

void registry_delete(struct tunnel_entry *e, const char *why)
{
    e->deleted = true;
    registry_close_all(e, NULL, why);
    if (e->n_lines == 0)
        registry_remove(e);
}

/* --- the state directory's --- */

static void take_kept(void *arg, const struct tunnel_file *file)
{
    struct tunnels *t = arg;
    struct tunnel_entry *e = registry_add(t, file->credentials.tunnel, file->name);
    e->credentials = file->credentials;
    e->created = file->created;
}

bool tunnels_load(struct tunnels *t, char error[256])
{
    const char *dir = t->control->state_dir;
    return !dir || tunnel_file_each(dir, take_kept, t, error);
}

/* --- the configuration's --- */

static void take_secret(struct tunnel_entry *e, const struct edge_tunnel_conf *conf)
{
    credentials_clear(&e->credentials);
    snprintf(e->credentials.tunnel, sizeof e->credentials.tunnel, "%s", e->tunnel->id);
    snprintf(e->credentials.account, sizeof e->credentials.account, "%s", TUNNELS_ACCOUNT);
    e->any_account = true;
    if (!base64_decode(slice_of(conf->secret), BASE64_PADDING_OPTIONAL, e->credentials.secret, sizeof e->credentials.secret,
                       &e->credentials.secret_size))
        e->credentials.secret_size = 0; /* which lets nobody in */
}

static bool secret_is_another(const struct tunnel_entry *e, const struct edge_tunnel_conf *conf)
{
    unsigned char given[TUNNEL_SECRET_MAX];
    size_t n = 0;
    bool decoded = base64_decode(slice_of(conf->secret), BASE64_PADDING_OPTIONAL, given, sizeof given, &n);
    struct slice ours = { (const char *)e->credentials.secret, e->credentials.secret_size };
    bool another = !decoded || !secret_matches(ours, (struct slice){ (const char *)given, n });
    explicit_bzero(given, sizeof given);
    return another;
}

static void say_who_hides(const struct tunnels *t, const struct edge_tunnel_conf *conf)
{
    const struct tunnel_entry *other = by_name(t, conf->name);
    if (other && !other->in_file)
        log_warning(
            "edge",
            "tunnel %s of the configuration has the name of %s, which was created at run time and is left out: delete one of them",
            conf->name, other->tunnel->id);
}

/* A tunnel's name stands in views that are out already: with another name, or another secret, it is another tunnel. */
static struct tunnel_entry *entry_for(struct tunnels *t, const struct edge_tunnel_conf *conf)
{
    struct tunnel_entry *e = registry_by_id(t, conf->id);
    if (e && strcmp(e->tunnel->name, conf->name) == 0 && !e->deleted) {
        if (e->in_file && secret_is_another(e, conf))
            registry_close_all(e, NULL, "the tunnel's secret was changed");
        return e;
    }
    if (e) {
        registry_close_all(e, NULL, "the tunnel was renamed");
        registry_save(e);
        registry_remove(e);
    }
    say_who_hides(t, conf);
    e = registry_add(t, conf->id, conf->name);
    if (e->memory.standing.ever && t->control->config)
        t->republish = true; /* it may join the pools of the configuration that comes */
    return e;
}

/* Nobody made it here: it counts from when we first read of it. */
static void date(struct tunnel_entry *e)
{
    if (e->created)
        return;
    if (!e->memory.first_seen) {
        e->memory.first_seen = e->tunnels->wall();
        e->unsaved = true;
        registry_make_restless(e);
    }
    e->created = e->memory.first_seen;
}

static void take_tunnel_of_file(struct tunnels *t, const struct edge_tunnel_conf *conf)
{
    struct tunnel_entry *e = entry_for(t, conf);
    e->in_file = e->marked = true;
    take_secret(e, conf);
    date(e);
}

static void drop_unmarked(struct tunnels *t)
{
    struct tunnel_entry *e, *next;
    HASH_ITER(hh, t->entries, e, next)
        if (e->in_file && !e->marked && !e->deleted)
            registry_delete(e, "the tunnel was taken out of the configuration");
}

static void follow_tunnels(struct tunnels *t, const struct config *config)
{
    for (struct tunnel_entry *e = t->entries; e; e = e->hh.next)
        e->marked = false;
    for (size_t i = 0; i < config->edge.n_tunnels; i++)
        take_tunnel_of_file(t, &config->edge.tunnels[i]);
    drop_unmarked(t);
}

static void follow_settings(struct tunnels *t, const struct edge_conf *edge)
{
    snprintf(t->location, sizeof t->location, "%s", edge->location ? edge->location : "");
    t->expected = edge->expected_connections ? edge->expected_connections : 1;
    t->connectors_max =
        edge->connectors_max && edge->connectors_max < TUNNEL_CONNECTORS_MAX ? edge->connectors_max : TUNNEL_CONNECTORS_MAX;
    t->connections_max =
        edge->connections_max && edge->connections_max < TUNNEL_CONNECTIONS_MAX ? edge->connections_max : TUNNEL_CONNECTIONS_MAX;
}

/* Nobody dials any more, and who did is told to go. */
static void close_edge(struct tunnels *t)
{
    for (struct tunnel_entry *e = t->entries; e; e = e->hh.next)
        registry_close_all(e, NULL, "the edge was taken out of the configuration");
}

void tunnels_set_config(struct tunnels *t, const struct config *config)
{
    follow_settings(t, &config->edge);
    follow_tunnels(t, config);
    for (struct tunnel_entry *e = t->entries; e; e = e->hh.next) {
        registry_set_ingress(e, config_find_ingress(config, e->tunnel->id, e->tunnel->name));
        registry_recount(e);
    }
    t->drift_dirty = true;
    if (config->edge.addresses.n == 0)
        close_edge(t);
    else
        ev_timer_start(t->control->loop, &t->tick); /* goes on when the edge is gone: connections may still have to end */
}

void tunnels_attach(struct tunnels *t, struct config *config)
{
    for (size_t i = 0; i < config->n_endpoints; i++) {
        struct endpoint *endpoint = config->endpoints[i];
        struct tunnel *tunnel = endpoint->kind == ENDPOINT_EDGE ? tunnels_find(t, endpoint->tunnel) : NULL;
        endpoint->edge_tunnel = tunnel ? tunnel_ref(tunnel) : NULL;
        if (tunnel && endpoint->pool->connection_scaling)
            atomic_store_explicit(&tunnel->scales, true, memory_order_relaxed);
    }
}

/* --- time --- */

static bool is_restless(const struct tunnel_entry *e)
{
    const struct tunnel_standing *s = &e->memory.standing;
    return e->deleted || e->unsaved || s->tell_at || s->grace_until || e->unusable_since || registry_lines_are_closing(e) ||
           registry_push_is_under_way(e) || atomic_load_explicit(&e->tunnel->status, memory_order_relaxed) == TUNNEL_UNKNOWN;
}

static void tick(struct tunnel_entry *e, unsigned *saves)
{
    registry_lines_tick(e);
    if (e->deleted && e->n_lines == 0) {
        registry_remove(e);
        return;
    }
    registry_look(e);
    registry_tell_due(e);
    registry_push_tick(e);
    if (e->unsaved && *saves) {
        registry_save(e);
        --*saves;
    }
    e->restless = is_restless(e);
    e->tunnels->any_restless |= e->restless;
}

/* All, or those that are restless. */
static void tick_entries(struct tunnels *t, bool all)
{
    struct tunnel_entry *e, *next;
    unsigned saves = SAVES_PER_TICK;
    if (!all && !t->any_restless)
        return;
    t->any_restless = false;
    HASH_ITER(hh, t->entries, e, next)
        if (all || e->restless)
            tick(e, &saves);
}

void registry_tick(struct tunnels *t)
{
    uint64_t epoch = balance_epoch_read(&t->control->epoch);
    bool all = ++t->ticks % TICKS_PER_ROUND == 0 || epoch != t->epoch;
    t->epoch = epoch;
    registry_end_refusals(t);
    registry_roll(t);
    tick_entries(t, all);
    registry_drift_tick(t);
    registry_join_tick(t);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct tunnels *t = timer->data;
    (void)loop, (void)events;
    if (!t->control->stopping)
        registry_tick(t);
}

/* --- life --- */

struct tunnels *tunnels_new(struct control *control)
{
    struct tunnels *t = mem_zero(sizeof *t);
    t->control = control;
    t->monotonic = clock_monotonic;
    t->wall = clock_wall;
    t->expected = 1;
    t->connectors_max = TUNNEL_CONNECTORS_MAX;
    t->connections_max = TUNNEL_CONNECTIONS_MAX;
    ev_timer_init(&t->tick, on_tick, tick_s, tick_s);
    t->tick.data = t;
    return t;
}

void tunnels_free(struct tunnels *t)
{
    struct tunnel_entry *e, *next;
    if (!t)
        return;
    ev_timer_stop(t->control->loop, &t->tick);
    HASH_ITER(hh, t->entries, e, next) {
        if (e->unsaved)
            registry_save(e);
        registry_remove(e);
    }
    registry_forget_drifts(t);
    free(t);
}
