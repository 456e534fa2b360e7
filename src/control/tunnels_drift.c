/* Do the tunnels of one pool, and the connectors of one tunnel, follow the same rules? */
#include "control/registry.h"

#include "base/mem.h"
#include "control/health.h"
#include "control/tell.h"

#include <stdio.h>

/* Connectors are restarted one after the other, and a change is rolled from tunnel to tunnel: differences that pass are not
 * told. */
#define DRIFT_SETTLING (10 * NSEC_PER_SEC)
/* A connector reports its rules right after it has registered (cloudflared gives up after 5 s). */
#define RULES_WAIT (5 * NSEC_PER_SEC)

/* After a comparison that took long the next waits so many times as long: thousands of tunnels may come at once. */
enum { LOCAL_MAX = 1024 * 1024, PAUSE_SHARE = 20 };

/* --- what a tunnel follows --- */

/* Until a push is answered, what the connector follows is not known. */
static json_t *rules_of(const struct tunnel_entry *e, const struct connector_entry *c)
{
    if (!e->ingress)
        return json_incref(c->local);
    bool applied = c->push.state == PUSH_APPLIED && c->push.hash == e->ingress_hash;
    return applied ? json_incref(e->pushed) : NULL;
}

static struct drift *find(const struct tunnels *t, const char *subject)
{
    struct drift *d;
    HASH_FIND_STR(t->drifts, subject, d);
    return d;
}

const struct drift *registry_drift(const struct tunnels *t, const char *subject)
{
    return find(t, subject);
}

static struct drift *find_or_make(struct tunnels *t, const char *subject)
{
    struct drift *d = find(t, subject);
    if (d)
        return d;
    d = mem_zero(sizeof *d);
    d->subject = mem_copy_text(subject);
    d->since = t->monotonic();
    HASH_ADD_KEYPTR(hh, t->drifts, d->subject, strlen(d->subject), d);
    return d;
}

static void note(struct tunnels *t, const char *subject, const struct tunnel_entry *e, const char *other, const char *words)
{
    struct drift *d = find_or_make(t, subject);
    d->seen = true;
    snprintf(d->tunnel, sizeof d->tunnel, "%s", e->tunnel->id);
    snprintf(d->other, sizeof d->other, "%s", other);
    snprintf(d->words, sizeof d->words, "%s", words);
}

/* The first connector's rules are the tunnel's, and another's that differ are drift. */
static void compare_connectors(struct tunnel_entry *e)
{
    const struct connector_entry *first = NULL;
    json_t *followed = NULL;
    char words[INGRESS_DIFFERENCE_SIZE];
    for (unsigned i = 0; i < e->n_connectors; i++) {
        const struct connector_entry *c = e->connectors[i];
        json_t *rules = registry_count_lines(e, c) ? rules_of(e, c) : NULL;
        if (rules && !followed) {
            followed = json_incref(rules);
            first = c;
        } else if (rules && ingress_difference(rules, followed, words)) {
            note(e->tunnels, e->tunnel->id, e, first->shared->id, words);
        }
        json_decref(rules);
    }
    if (!followed)
        return; /* as before */
    json_decref(e->effective);
    e->effective = followed;
    e->effective_hash = ingress_hash(followed);
}

void registry_configuration_changed(struct tunnel_entry *e)
{
    e->tunnels->drift_dirty = true;
}

void tunnels_on_local_configuration(void *arg, const char *tunnel, const char *connector, const char *json, size_t n)
{
    struct control *control = arg;
    struct tunnel_entry *e = registry_by_id(control->registry, tunnel);
    struct connector_entry *c = e ? registry_connector(e, connector) : NULL;
    if (!c || n > LOCAL_MAX)
        return;
    json_decref(c->local);
    c->local = ingress_read(json, n);
    registry_configuration_changed(e);
}

/* --- the tunnels of a pool --- */

static struct tunnel_entry *entry_of(const struct tunnels *t, const struct endpoint *endpoint)
{
    return endpoint->edge_tunnel ? registry_by_id(t, endpoint->edge_tunnel->id) : NULL;
}

static const struct tunnel_entry *known_entry_of(const struct tunnels *t, const struct endpoint *endpoint)
{
    const struct tunnel_entry *e = entry_of(t, endpoint);
    return e && e->effective ? e : NULL;
}

static unsigned count_alike(const struct tunnels *t, const struct pool *pool, uint64_t hash)
{
    unsigned n = 0;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        const struct tunnel_entry *e = known_entry_of(t, &pool->endpoints[i]);
        n += e && e->effective_hash == hash;
    }
    return n;
}

/* What most of them follow; of equals the first in the pool's order. */
static const struct tunnel_entry *reference_of(const struct tunnels *t, const struct pool *pool)
{
    const struct tunnel_entry *best = NULL;
    unsigned most = 0;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        const struct tunnel_entry *e = known_entry_of(t, &pool->endpoints[i]);
        if (!e || (best && e->effective_hash == best->effective_hash))
            continue;
        unsigned n = count_alike(t, pool, e->effective_hash);
        if (n > most) {
            best = e;
            most = n;
        }
    }
    return best;
}

static void compare_pool(struct tunnels *t, const struct pool *pool)
{
    const struct tunnel_entry *reference = reference_of(t, pool);
    char words[INGRESS_DIFFERENCE_SIZE];
    for (size_t i = 0; reference && i < pool->n_endpoints; i++) {
        const struct tunnel_entry *e = known_entry_of(t, &pool->endpoints[i]);
        if (e && e->effective_hash != reference->effective_hash && ingress_difference(e->effective, reference->effective, words))
            note(t, pool->endpoints[i].id, e, reference->tunnel->name, words);
    }
}

static void tell(struct tunnels *t, const struct drift *d, bool over)
{
    const struct tunnel_entry *e = registry_by_id(t, d->tunnel);
    if (e)
        tell_drift(t->control, e->tunnel, d->subject, d->other, d->words, over);
}

static void drop(struct tunnels *t, struct drift *d)
{
    HASH_DEL(t->drifts, d);
    free(d->subject);
    free(d);
}

static void drop_unseen(struct tunnels *t)
{
    struct drift *d, *next;
    HASH_ITER(hh, t->drifts, d, next) {
        if (d->seen)
            continue;
        if (d->told)
            tell(t, d, true);
        drop(t, d);
    }
}

void registry_forget_drifts(struct tunnels *t)
{
    struct drift *d, *next;
    HASH_ITER(hh, t->drifts, d, next)
        drop(t, d);
}

/* Whom the comparison is decisive for. */
static void judge_joined(struct control *control)
{
    for (struct endpoint_record *r = control->endpoints; r; r = r->hh.next)
        if (r->endpoint && r->endpoint->joined)
            health_judge(control, r);
    health_settle(control);
}

static void compare_all(struct tunnels *t)
{
    const struct config *config = t->control->config;
    t->drift_dirty = false;
    for (struct drift *d = t->drifts; d; d = d->hh.next)
        d->seen = false;
    for (struct tunnel_entry *e = t->entries; e; e = e->hh.next)
        compare_connectors(e);
    for (size_t i = 0; config && i < config->n_pools; i++)
        compare_pool(t, &config->pools[i]);
    drop_unseen(t);
    judge_joined(t->control);
}

static bool must_be_identical(const struct endpoint *endpoint)
{
    const struct edge_pattern *pattern = endpoint->joined ? config_find_pattern(endpoint->pool, endpoint->name) : NULL;
    return pattern && pattern->identical;
}

static bool matters_to_some_pool(const struct tunnel_entry *e)
{
    for (const struct endpoint_record *r = e->tunnels->control->endpoints; r; r = r->hh.next)
        if (r->endpoint && r->endpoint->edge_tunnel == e->tunnel && must_be_identical(r->endpoint))
            return true;
    return false;
}

static bool are_awaited(const struct tunnel_entry *e)
{
    return !e->effective && e->first_connected && e->tunnels->monotonic() - e->first_connected < RULES_WAIT;
}

bool registry_awaits_rules(const struct tunnel_entry *e)
{
    return are_awaited(e) && matters_to_some_pool(e);
}

/* During a rolling change tunnels differ because we make them. */
void registry_drift_tick(struct tunnels *t)
{
    nsec_t now = t->monotonic();
    if (t->rolling)
        return;
    if (t->drift_dirty && now >= t->compare_at) {
        compare_all(t);
        t->compare_at = now + PAUSE_SHARE * (t->monotonic() - now);
    }
    for (struct drift *d = t->drifts; d; d = d->hh.next)
        if (!d->told && now - d->since >= DRIFT_SETTLING) {
            d->told = true;
            tell(t, d, false);
        }
}

enum tunnels_refusal tunnels_refuse(struct tunnels *t, const struct endpoint *endpoint, char why[VERDICT_TEXT_SIZE])
{
    const struct tunnel_entry *e = must_be_identical(endpoint) ? entry_of(t, endpoint) : NULL;
    const struct drift *d = e ? find(t, endpoint->id) : NULL;
    if (d) {
        snprintf(why, VERDICT_TEXT_SIZE, "its rules differ from those of %s: %.*s", d->other, VERDICT_TEXT_SIZE / 2, d->words);
        return TUNNELS_REFUSE;
    }
    if (!e || !are_awaited(e))
        return TUNNELS_USE;
    snprintf(why, VERDICT_TEXT_SIZE, "its rules are not known yet");
    return TUNNELS_WAIT;
}
