/* Rules that we push: to each connector when it registers, and, where a reload changed them, to one tunnel after the other. */
#include "control/registry.h"

#include "base/log.h"
#include "base/mem.h"
#include "control/tell.h"

#include <stdio.h>

/* --- one connector --- */

static bool is_under_way(const struct connector_entry *c)
{
    return c->push.state == PUSH_SENT || c->push.state == PUSH_AGAIN;
}

static bool needs_push(const struct tunnel_entry *e, const struct connector_entry *c)
{
    bool has_it = c->push.hash == e->ingress_hash && c->push.state != PUSH_NONE && c->push.state != PUSH_UNANSWERED;
    return e->ingress && c->n_lines && !has_it;
}

/* Versions of a connector must grow, over our own restarts too, and the same rules have the same one. */
static int version_of(struct tunnel_entry *e)
{
    struct tunnel_memory *m = &e->memory;
    if (m->version == 0 || m->version_hash != e->ingress_hash) {
        m->version++;
        m->version_hash = e->ingress_hash;
        registry_save(e);
    }
    return m->version;
}

/* One that its owner has taken over; suspect ones are asked only where no other is left. */
static struct tunnel_line *line_for(const struct tunnel_entry *e, const struct connector_entry *c)
{
    for (unsigned i = 0; i < e->n_lines; i++)
        if (e->lines[i]->connector == c && registry_line_counts(e->lines[i]) &&
            atomic_load_explicit(&e->lines[i]->line->state, memory_order_acquire) == LINE_USABLE)
            return e->lines[i]->line;
    return NULL;
}

static void set_state(struct connector_entry *c, enum push_state state, nsec_t at)
{
    c->push.state = state;
    c->push.at = at;
}

static void send_rules(struct tunnel_entry *e, struct connector_entry *c, const struct tunnel_line *line, nsec_t now)
{
    int version = version_of(e);
    char *json = mem_printf("{\"version\":%d,\"config\":%s}", version, e->ingress);
    c->push.version = version;
    c->push.tries++;
    c->push.deadline = now + PUSH_ANSWER_WAIT;
    set_state(c, PUSH_SENT, c->push.deadline);
    trace(TRACE_EDGE, "tunnel %s: version %d of its configuration goes to connector %s", e->tunnel->name, version, c->shared->id);
    edge_worker_post_push(registry_worker(e->tunnels, atomic_load_explicit(&line->worker, memory_order_relaxed)), line->id, version,
                          json, strlen(json));
    free(json);
}

static void begin(struct tunnel_entry *e, struct connector_entry *c, nsec_t now)
{
    c->push.hash = e->ingress_hash;
    c->push.tries = 0;
    c->push.answer[0] = '\0';
    c->push.deadline = now + PUSH_ANSWER_WAIT;
    registry_make_restless(e);
    set_state(c, PUSH_AGAIN, now);
}

static void give_up(const struct tunnel_entry *e, struct connector_entry *c)
{
    set_state(c, PUSH_UNANSWERED, 0);
    log_warning("edge", "tunnel %s: connector %s did not answer the configuration that was pushed to it", e->tunnel->name,
                c->shared->id);
}

static void go_on(struct tunnel_entry *e, struct connector_entry *c, nsec_t now)
{
    if (!is_under_way(c) || now < c->push.at)
        return;
    const struct tunnel_line *line = line_for(e, c);
    if (c->n_lines == 0)
        set_state(c, PUSH_NONE, 0); /* it gets it when it is back */
    else if (now >= c->push.deadline)
        give_up(e, c);
    else if (line)
        send_rules(e, c, line, now);
}

/* Old connections of the same connector may have gone with the push on them. */
void registry_push_line_closed(struct tunnel_entry *e, struct connector_entry *c)
{
    if (c->push.state == PUSH_SENT)
        set_state(c, PUSH_AGAIN, e->tunnels->monotonic() + PUSH_AGAIN_AFTER);
}

void registry_push_on_registration(struct tunnel_entry *e, struct connector_entry *c)
{
    struct tunnels *t = e->tunnels;
    bool waits = e->rolling && t->rolling != e;
    t->change_waits |= waits;
    if (needs_push(e, c) && !is_under_way(c) && !waits)
        begin(e, c, t->monotonic());
}

/* --- the answer --- */

/* -1: none that can be read. */
static int applied_version(const char *answer)
{
    json_t *json = json_loads(answer, 0, NULL);
    const json_t *version = json_object_get(json, "lastAppliedVersion");
    json_int_t v = json_is_integer(version) ? json_integer_value(version) : -1;
    json_decref(json);
    return v < 0 || v >= INT32_MAX ? -1 : (int)v;
}

static void take_applied(struct tunnel_entry *e, struct connector_entry *c)
{
    set_state(c, PUSH_APPLIED, 0);
    log_info("edge", "tunnel %s: connector %s follows version %d of its configuration", e->tunnel->name, c->shared->id,
             c->push.version);
    registry_configuration_changed(e);
}

static void stop_rolling(struct tunnels *t)
{
    for (struct tunnel_entry *e = t->entries; e; e = e->hh.next)
        e->rolling = false;
    t->rolling = NULL;
}

/* The other tunnels keep what works. */
static void take_refused(struct tunnel_entry *e, struct connector_entry *c)
{
    bool was_rolling = e->tunnels->rolling == e;
    set_state(c, PUSH_REFUSED, 0);
    log_warning("edge", "tunnel %s: connector %s refuses its configuration (its own log says why)%s", e->tunnel->name,
                c->shared->id, was_rolling ? ": the change goes no further" : "");
    tell_push_refused(e->tunnels->control, e->tunnel, c->shared->id, c->push.version, c->push.answer, was_rolling);
    if (was_rolling)
        stop_rolling(e->tunnels);
}

/* It has a higher one, of a state of ours that was lost: ours begin above it. */
static bool is_outrun(struct tunnel_entry *e, const struct connector_entry *c, int has)
{
    if (has < c->push.version || c->push.tries >= PUSH_TRIES)
        return false;
    e->memory.version = has + 1;
    registry_save(e);
    return true;
}

static void take_answer(struct tunnel_entry *e, struct connector_entry *c, bool applied, const char *answer)
{
    nsec_t now = e->tunnels->monotonic();
    snprintf(c->push.answer, sizeof c->push.answer, "%s", answer);
    if (c->push.hash != e->ingress_hash) /* a reload overtook it */
        begin(e, c, now);
    else if (applied)
        take_applied(e, c);
    else if (!*answer)
        set_state(c, PUSH_AGAIN, now + PUSH_AGAIN_AFTER);
    else if (is_outrun(e, c, applied_version(answer)))
        set_state(c, PUSH_AGAIN, now);
    else
        take_refused(e, c);
}

void tunnels_on_pushed(void *arg, const char *tunnel, const char *connector, int version, bool applied, const char *answer)
{
    struct control *control = arg;
    struct tunnel_entry *e = registry_by_id(control->registry, tunnel);
    struct connector_entry *c = e ? registry_connector(e, connector) : NULL;
    if (c && c->push.state == PUSH_SENT && c->push.version == version)
        take_answer(e, c, applied, answer ? answer : "");
}

/* --- a change, rolled from tunnel to tunnel --- */

void registry_set_ingress(struct tunnel_entry *e, const struct edge_ingress *ingress)
{
    uint64_t hash = ingress ? ingress->hash : 0;
    bool changed = hash != e->ingress_hash || !ingress != !e->ingress;
    if (!changed)
        return;
    free(e->ingress);
    json_decref(e->pushed);
    e->ingress = ingress ? mem_copy_text(ingress->json) : NULL;
    e->pushed = ingress ? ingress_read(ingress->json, strlen(ingress->json)) : NULL;
    e->ingress_hash = hash;
    e->rolling = ingress && e->n_lines;
    if (e->tunnels->rolling == e) /* what it has its turn for is no longer true */
        e->tunnels->rolling = NULL;
    e->tunnels->change_waits |= e->rolling;
    if (!ingress)
        log_notice("edge", "tunnel %s has no rules in the configuration any more: its connectors keep those they have",
                   e->tunnel->name);
}

void tunnels_push_again(struct tunnels *t)
{
    for (struct tunnel_entry *e = t->entries; e; e = e->hh.next)
        for (unsigned i = 0; i < e->n_connectors; i++) {
            struct connector_entry *c = e->connectors[i];
            if (c->push.state == PUSH_REFUSED)
                set_state(c, PUSH_NONE, 0);
            e->rolling |= needs_push(e, c) && !is_under_way(c);
            t->change_waits |= e->rolling;
        }
}

static void begin_turn(struct tunnel_entry *e, nsec_t now)
{
    e->tunnels->rolling = e;
    e->tunnels->rolling_lost_at = 0;
    for (unsigned i = 0; i < e->n_connectors; i++)
        if (needs_push(e, e->connectors[i]) && e->connectors[i]->push.state != PUSH_SENT)
            begin(e, e->connectors[i], now);
}

static bool turn_is_over(const struct tunnel_entry *e)
{
    for (unsigned i = 0; i < e->n_connectors; i++)
        if (e->connectors[i]->n_lines && is_under_way(e->connectors[i]))
            return false;
    return true;
}

/* Those without a connector have their turn when one is back. */
static struct tunnel_entry *next_in_turn(const struct tunnels *t)
{
    struct tunnel_entry *e = t->entries;
    while (e && !(e->rolling && registry_count_lines(e, NULL)))
        e = e->hh.next;
    return e;
}

/* Perhaps the rules did it. */
static void halt_for_lost(struct tunnel_entry *e)
{
    static const char why[] = "its connectors left when they got it, and none came back";
    log_warning("edge", "tunnel %s: version %d of its configuration: %s: the change goes no further", e->tunnel->name, e->memory.version, why);
    tell_push_refused(e->tunnels->control, e->tunnel, NULL, e->memory.version, why, true);
    stop_rolling(e->tunnels);
}

/* While one has lost its connectors no other is touched. */
static bool is_over(struct tunnels *t, nsec_t now)
{
    struct tunnel_entry *e = t->rolling;
    if (e->deleted || !e->rolling || registry_count_lines(e, NULL)) {
        t->rolling_lost_at = 0;
        return turn_is_over(e);
    }
    if (!t->rolling_lost_at)
        t->rolling_lost_at = now;
    if (now - t->rolling_lost_at >= PUSH_LOST_WAIT)
        halt_for_lost(e);
    return false;
}

void registry_roll(struct tunnels *t)
{
    if (t->rolling && !is_over(t, t->monotonic()))
        return;
    if (t->rolling)
        t->rolling->rolling = false;
    t->rolling = NULL;
    struct tunnel_entry *next = t->change_waits ? next_in_turn(t) : NULL;
    t->change_waits = next != NULL;
    if (next)
        begin_turn(next, t->monotonic());
}

void registry_push_tick(struct tunnel_entry *e)
{
    for (unsigned i = 0; i < e->n_connectors; i++)
        go_on(e, e->connectors[i], e->tunnels->monotonic());
}

bool registry_push_is_under_way(const struct tunnel_entry *e)
{
    return !turn_is_over(e);
}
