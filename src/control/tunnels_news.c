/* What a tunnel's status is, who is told of it, and what is remembered. */
#include "control/registry.h"

#include "base/log.h"
#include "control/health.h"
#include "control/tell.h"
#include "monitors/scheduler.h"

#define ARRIVAL NSEC_PER_SEC
#define ENDING (250 * NSEC_PER_MSEC)

/* --- endpoints --- */

static bool is_over(const struct endpoint_record *r, const struct tunnel_entry *e)
{
    return r->endpoint && r->endpoint->edge_tunnel == e->tunnel;
}

/* What probes found ends with the connections that carried them. */
static void tell_scheduler(struct control *control, const struct endpoint_record *r, bool lost, bool came)
{
    if (lost)
        scheduler_forget(control->scheduler, r->id);
    else if (came)
        scheduler_hurry(control->scheduler, r->id);
}

/* Several workers tell of one connector's end, each of its own connections: the last to tell has the reason. */
static bool is_ending(struct tunnel_entry *e, bool connected, bool usable)
{
    nsec_t now = e->tunnels->monotonic();
    if (!connected || usable || !e->was_usable) {
        e->unusable_since = 0;
        return false;
    }
    if (!e->unusable_since)
        e->unusable_since = now;
    return now - e->unusable_since < ENDING;
}

void registry_judge_endpoints(struct tunnel_entry *e)
{
    struct control *control = e->tunnels->control;
    bool connected = registry_count_lines(e, NULL) > 0, usable = tunnel_is_usable(e->tunnel);
    if (is_ending(e, connected, usable))
        return;
    bool lost = e->was_connected && !connected, came = usable && !e->was_usable;
    e->was_connected = connected;
    e->was_usable = usable;
    for (struct endpoint_record *r = control->endpoints; r; r = r->hh.next) {
        if (!is_over(r, e))
            continue;
        tell_scheduler(control, r, lost, came);
        health_judge(control, r);
    }
    health_settle(control);
}

/* --- the status --- */

/* The first connection is registered, and on its way to the worker that owns it. */
static bool is_arriving(const struct tunnel_entry *e, nsec_t now)
{
    return e->first_connected && now - e->first_connected < ARRIVAL && !tunnel_is_usable(e->tunnel);
}

/* True if it is another than was shown. */
static bool show_status(struct tunnel_entry *e)
{
    const struct tunnel_standing *s = &e->memory.standing;
    nsec_t now = e->tunnels->monotonic();
    bool unknown = tunnel_standing_is_expected(s, now) || is_arriving(e, now) || registry_awaits_rules(e);
    enum tunnel_status shown = unknown ? TUNNEL_UNKNOWN : s->status;
    return atomic_exchange_explicit(&e->tunnel->status, (uint8_t)shown, memory_order_relaxed) != (uint8_t)shown;
}

void registry_look(struct tunnel_entry *e)
{
    bool shown = show_status(e);
    if (shown || tunnel_is_usable(e->tunnel) != e->was_usable)
        registry_judge_endpoints(e);
}

static struct tunnel_count count(const struct tunnel_entry *e)
{
    struct tunnel_count n = { .expected = e->tunnels->expected, .last_end = e->last_end[0] ? e->last_end : NULL };
    for (unsigned i = 0; i < e->n_connectors; i++)
        n.connectors += registry_count_lines(e, e->connectors[i]) > 0;
    for (unsigned i = 0; i < e->n_lines; i++) {
        bool counts = registry_line_counts(e->lines[i]);
        n.connections += counts;
        n.sick += counts && e->lines[i]->sick;
    }
    return n;
}

static void log_status(const struct tunnel_entry *e)
{
    const struct tunnel_standing *s = &e->memory.standing;
    trace(TRACE_EDGE, "tunnel %s (%s) is %s: %s", e->tunnel->name, e->tunnel->id, tunnel_status_name(s->status), s->reason);
}

/* When we stop, connections end because we do: what was known before is what is remembered. */
void registry_recount(struct tunnel_entry *e)
{
    struct tunnels *t = e->tunnels;
    if (t->control->stopping || e->deleted)
        return;
    struct tunnel_count n = count(e);
    registry_make_restless(e);
    if (tunnel_standing_count(&e->memory.standing, &n, t->monotonic(), t->wall())) {
        log_status(e);
        e->unsaved = true;
    }
    if (n.connections == 0)
        e->first_connected = 0;
    show_status(e);
    registry_tell_due(e);
    registry_judge_endpoints(e);
}

void registry_tell_due(struct tunnel_entry *e)
{
    struct tunnels *t = e->tunnels;
    enum tunnel_status from;
    struct announcement what;
    if (e->deleted || !tunnel_standing_tell(&e->memory.standing, t->monotonic(), &from, &what))
        return;
    e->unsaved = true;
    struct tunnel_count n = count(e);
    tell_edge_tunnel(t->control, e->tunnel, &e->memory.standing, &n, from, &what);
}

/* --- what is remembered --- */

void registry_save(struct tunnel_entry *e)
{
    const char *dir = e->tunnels->control->state_dir;
    char error[STATE_FILE_ERROR_SIZE];
    e->unsaved = false;
    if (dir && !e->deleted && !tunnel_memory_write(dir, e->tunnel->id, &e->memory, error))
        log_warning("edge", "tunnel %s: %s", e->tunnel->name, error);
}
