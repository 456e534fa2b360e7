/* Who is connected: connectors and their connections, and the view of them that workers choose from. */
#include "control/registry.h"

#include "base/log.h"
#include "base/mem.h"
#include "control/places.h"
#include "monitors/scheduler.h"

#include <stdio.h>

/* A connector that left is remembered so long: it comes back under the same id, with the configuration that was pushed to it. */
#define CONNECTOR_MEMORY (600 * NSEC_PER_SEC)
/* An order may reach a worker before the connection that it is to own: it is given again. */
#define CLOSE_AGAIN_AFTER NSEC_PER_SEC

/* --- connectors --- */

struct connector_entry *registry_connector(const struct tunnel_entry *e, const char *id)
{
    for (unsigned i = 0; i < e->n_connectors; i++)
        if (strcmp(e->connectors[i]->shared->id, id) == 0)
            return e->connectors[i];
    return NULL;
}

static void forget_connector(struct tunnel_entry *e, unsigned i)
{
    struct connector_entry *c = e->connectors[i];
    memmove(&e->connectors[i], &e->connectors[i + 1], (e->n_connectors - i - 1) * sizeof(struct connector_entry *));
    e->n_connectors--;
    tunnel_connector_unref(c->shared);
    json_decref(c->local);
    free(c);
}

/* Of those without a connection the one that left first; there is always one, for fewer may be connected than are remembered. */
static void make_room(struct tunnel_entry *e)
{
    unsigned oldest = 0;
    if (e->n_connectors < CONNECTORS_REMEMBERED)
        return;
    for (unsigned i = 0; i < e->n_connectors; i++) {
        const struct connector_entry *c = e->connectors[i], *o = e->connectors[oldest];
        if (c->n_lines == 0 && (o->n_lines || c->gone_at < o->gone_at))
            oldest = i;
    }
    forget_connector(e, oldest);
}

void registry_connector_apply_word(struct tunnel_entry *e, struct connector_entry *c)
{
    const struct connector_word *word = tunnel_memory_find(&e->memory, c->shared->id);
    nsec_t since = atomic_load_explicit(&c->shared->drained_at, memory_order_relaxed);
    bool drained = e->memory.drained || (word && word->drained);
    atomic_store_explicit(&c->shared->drained_at, !drained ? 0 : since ? since : e->tunnels->monotonic(), memory_order_relaxed);
    atomic_store_explicit(&c->shared->weight, word ? word->weight : 1, memory_order_relaxed);
}

static void locate(const struct tunnels *t, const struct address *peer, struct tunnel_connector *s)
{
    struct place place = place_unknown;
    if (t->control->places)
        places_find(t->control->places, peer, &place);
    s->latitude = place.latitude;
    s->longitude = place.longitude;
}

static struct tunnel_connector *share(const struct tunnels *t, const struct edge_registration *r)
{
    struct tunnel_connector *s = mem_zero(sizeof *s);
    atomic_init(&s->refs, 1);
    snprintf(s->id, sizeof s->id, "%s", r->connector);
    snprintf(s->version, sizeof s->version, "%s", r->version);
    snprintf(s->arch, sizeof s->arch, "%s", r->arch);
    s->run_at_wall = t->wall();
    s->hash = config_hash(s->id);
    locate(t, &r->peer, s);
    return s;
}

struct connector_entry *registry_connector_make(struct tunnel_entry *e, const struct edge_registration *r)
{
    struct connector_entry *c = registry_connector(e, r->connector);
    if (c)
        return c;
    make_room(e);
    c = mem_zero(sizeof *c);
    c->shared = share(e->tunnels, r);
    c->n_features = r->n_features < 8 ? r->n_features : 8;
    memcpy(c->features, r->features, c->n_features * sizeof *c->features);
    e->connectors[e->n_connectors++] = c;
    registry_connector_apply_word(e, c);
    return c;
}

/* --- lines --- */

struct line_entry *registry_line(const struct tunnel_entry *e, uint64_t id)
{
    for (unsigned i = 0; i < e->n_lines; i++)
        if (e->lines[i]->line->id == id)
            return e->lines[i];
    return NULL;
}

bool registry_line_counts(const struct line_entry *l)
{
    return !l->draining && !l->close_at;
}

unsigned registry_count_lines(const struct tunnel_entry *e, const struct connector_entry *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->n_lines; i++)
        n += registry_line_counts(e->lines[i]) && (!c || e->lines[i]->connector == c);
    return n;
}

struct line_entry *registry_line_add(struct tunnel_entry *e, struct connector_entry *c, struct tunnel_line *line)
{
    struct line_entry *l = mem_zero(sizeof *l);
    l->line = line;
    l->connector = c;
    c->n_lines++;
    c->gone_at = 0;
    e->lines[e->n_lines++] = l;
    return l;
}

static void forget_line(struct tunnel_entry *e, struct line_entry *l)
{
    unsigned i = 0;
    while (e->lines[i] != l)
        i++;
    memmove(&e->lines[i], &e->lines[i + 1], (e->n_lines - i - 1) * sizeof(struct line_entry *));
    e->n_lines--;
    if (--l->connector->n_lines == 0)
        l->connector->gone_at = e->tunnels->monotonic();
    tunnel_line_unref(l->line);
    free(l);
}

void registry_line_close(struct tunnel_entry *e, struct line_entry *l, const char *why)
{
    l->close_at = e->tunnels->monotonic() + CLOSE_AGAIN_AFTER;
    if (why != l->why_closed)
        snprintf(l->why_closed, sizeof l->why_closed, "%s", why);
    struct edge_worker *worker = registry_worker(e->tunnels, atomic_load_explicit(&l->line->worker, memory_order_relaxed));
    if (worker)
        edge_worker_post_close(worker, l->line->id, REASON_CONNECTION_LOST, why);
}

void registry_close_all(struct tunnel_entry *e, const char *connector, const char *why)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->n_lines; i++) {
        struct line_entry *l = e->lines[i];
        if (l->close_at || (connector && strcmp(l->connector->shared->id, connector) != 0))
            continue;
        registry_line_close(e, l, why);
        n++;
    }
    if (n == 0)
        return;
    snprintf(e->last_end, sizeof e->last_end, "%s", why);
    registry_lines_changed(e);
}

void registry_lines_tick(struct tunnel_entry *e)
{
    nsec_t now = e->tunnels->monotonic();
    for (unsigned i = 0; i < e->n_lines; i++)
        if (e->lines[i]->close_at && now >= e->lines[i]->close_at)
            registry_line_close(e, e->lines[i], e->lines[i]->why_closed);
    for (unsigned i = e->n_connectors; i-- > 0;)
        if (e->connectors[i]->n_lines == 0 && now - e->connectors[i]->gone_at > CONNECTOR_MEMORY)
            forget_connector(e, i);
}

bool registry_lines_are_closing(const struct tunnel_entry *e)
{
    for (unsigned i = 0; i < e->n_lines; i++)
        if (e->lines[i]->close_at)
            return true;
    return false;
}

void registry_forget_all(struct tunnel_entry *e)
{
    while (e->n_lines)
        forget_line(e, e->lines[e->n_lines - 1]);
    while (e->n_connectors)
        forget_connector(e, e->n_connectors - 1);
}

/* --- the view --- */

static void show_connector(const struct tunnel_entry *e, const struct connector_entry *c, struct tunnel_view *v)
{
    struct tunnel_view_connector *shown = &v->connectors[v->n_connectors];
    shown->first_line = v->n_lines;
    for (unsigned i = 0; i < e->n_lines; i++)
        if (e->lines[i]->connector == c && !e->lines[i]->close_at)
            v->lines[v->n_lines++] = tunnel_line_ref(e->lines[i]->line);
    shown->n_lines = v->n_lines - shown->first_line;
    if (shown->n_lines == 0)
        return;
    shown->connector = tunnel_connector_ref(c->shared);
    v->n_connectors++;
}

static struct tunnel_view *view_of(const struct tunnel_entry *e)
{
    struct tunnel_view *v = mem_zero(sizeof *v);
    atomic_init(&v->refs, 1);
    v->connectors = mem_array(e->n_connectors + 1, sizeof *v->connectors);
    v->lines = mem_array(e->n_lines + 1, sizeof(struct tunnel_line *));
    for (unsigned i = 0; i < e->n_connectors; i++)
        show_connector(e, e->connectors[i], v);
    return v;
}

void registry_lines_changed(struct tunnel_entry *e)
{
    if (tunnel_set_view(e->tunnel, view_of(e)))
        balance_epoch_move(&e->tunnels->control->epoch);
    registry_recount(e);
}

void registry_usability_changed(struct tunnel_entry *e)
{
    tunnel_recount(e->tunnel);
    balance_epoch_move(&e->tunnels->control->epoch); /* weights too */
    registry_recount(e);
}

/* --- what the workers say --- */

static void log_end(const struct tunnel_entry *e, const struct line_entry *l, const char *detail)
{
    log_info("edge", "tunnel %s: connection %u of connector %s ended: %s", e->tunnel->name, l->line->index,
             l->connector->shared->id, detail);
    if (l->connector->n_lines == 1)
        log_notice("edge", "tunnel %s: connector %s is gone: %s", e->tunnel->name, l->connector->shared->id, detail);
}

static void end_line(struct tunnel_entry *e, struct line_entry *l, enum reason reason, const char *detail)
{
    struct connector_entry *c = l->connector;
    const char *why = detail && *detail ? detail : reason_sentence(reason);
    log_end(e, l, why);
    if (!l->close_at)
        snprintf(e->last_end, sizeof e->last_end, "%s", why);
    forget_line(e, l);
    registry_push_line_closed(e, c);
    registry_lines_changed(e);
}

void tunnels_on_line_changed(void *arg, const char *tunnel, uint64_t line, enum line_state state, enum reason reason,
                             const char *detail)
{
    struct control *control = arg;
    struct tunnel_entry *e = registry_by_id(control->registry, tunnel);
    struct line_entry *l = e ? registry_line(e, line) : NULL;
    if (!l)
        return;
    if (state == LINE_CLOSED) {
        end_line(e, l, reason, detail);
    } else if (state == LINE_DRAINING && !l->draining) {
        l->draining = true;
        log_info("edge", "tunnel %s: connection %u of connector %s is going", e->tunnel->name, l->line->index,
                 l->connector->shared->id);
        snprintf(e->last_end, sizeof e->last_end, "%s", detail && *detail ? detail : "the connector stopped");
        registry_recount(e);
    }
}

/* --- what the monitors say --- */

static void log_sickness(const struct tunnel_entry *e, const struct line_entry *l, bool sick, const char *detail)
{
    if (sick)
        log_warning("edge", "tunnel %s: connection %u of connector %s carries no requests and is not used: %s", e->tunnel->name,
                    l->line->index, l->connector->shared->id, detail);
    else
        log_notice("edge", "tunnel %s: connection %u of connector %s carries requests again", e->tunnel->name, l->line->index,
                   l->connector->shared->id);
}

void tunnels_set_sick(struct tunnels *t, const char *id, uint64_t line, bool sick, const char *detail)
{
    struct tunnel_entry *e = registry_by_id(t, id);
    struct line_entry *l = e ? registry_line(e, line) : NULL;
    if (!l || (!sick && l->sick == 0))
        return;
    bool before = l->sick > 0;
    l->sick = sick ? l->sick + 1 : l->sick - 1;
    if (sick)
        snprintf(l->sick_detail, sizeof l->sick_detail, "%s", detail);
    if ((l->sick > 0) == before)
        return;
    log_sickness(e, l, sick, detail);
    atomic_store_explicit(&l->line->sick, l->sick > 0, memory_order_relaxed);
    registry_usability_changed(e);
}

void tunnels_note_probe(struct tunnels *t, const char *id, uint64_t line, const char *monitor, bool pass, const char *detail)
{
    struct tunnel_entry *e = registry_by_id(t, id);
    struct line_entry *l = e ? registry_line(e, line) : NULL;
    if (!l)
        return;
    l->probe = (struct line_probe){ .at = t->wall(), .pass = pass };
    snprintf(l->probe.monitor, sizeof l->probe.monitor, "%s", monitor);
    snprintf(l->probe.detail, sizeof l->probe.detail, "%s", detail);
}
