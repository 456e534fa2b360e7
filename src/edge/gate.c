#include "edge/gate.h"

#include "balance/decision.h"
#include "edge/connection.h"
#include "edge/guard.h"
#include "edge/relay.h"
#include "edge/stream.h"
#include "steering/registry.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What this worker keeps of one tunnel: who was connected when it last looked, and the policy's tables for them. */
struct gate_tunnel {
    struct tunnel *tunnel;     /* one reference; the key */
    uint64_t version;          /* of the view; 0: none */
    struct tunnel_view *view;
    void *state;               /* the policy's */
    void *keyed;               /* of the policy that leads a key to the same connector; NULL: not needed so far */
    uint64_t keyed_version;
    struct steering_candidate candidates[TUNNEL_CONNECTORS_MAX];
    UT_hash_handle hh;
};

static void tunnel_clear(struct edge_worker *w, struct gate_tunnel *t)
{
    if (t->state)
        w->policy->worker_free(t->state);
    if (t->keyed)
        w->keyed_policy->worker_free(t->keyed);
    tunnel_view_unref(t->view);
    tunnel_unref(t->tunnel);
    free(t);
}

void gate_clear(struct edge_worker *w)
{
    struct gate_tunnel *t, *next;
    HASH_ITER(hh, w->tunnels, t, next)
    {
        HASH_DEL(w->tunnels, t);
        tunnel_clear(w, t);
    }
    if (w->keyed_config)
        w->keyed_policy->release(w->keyed_config);
    w->keyed_config = NULL;
}

void gate_set_policy(struct edge_worker *w, const struct steering_policy *policy, void *config)
{
    gate_clear(w);
    w->policy = policy;
    w->policy_config = config;
}

static struct gate_tunnel *find_or_make(struct edge_worker *w, struct tunnel *tunnel)
{
    struct gate_tunnel *t;
    HASH_FIND_PTR(w->tunnels, &tunnel, t);
    if (t)
        return t;
    t = calloc(1, sizeof *t);
    if (!t || !(t->state = w->policy->worker_new(w->policy_config))) {
        free(t);
        return NULL;
    }
    t->tunnel = tunnel_ref(tunnel);
    HASH_ADD_PTR(w->tunnels, tunnel, t);
    return t;
}

static bool is_drained(const struct tunnel_connector *c)
{
    return atomic_load_explicit(&c->drained_at, memory_order_relaxed) != 0;
}

static void fill(struct gate_tunnel *t)
{
    for (size_t i = 0; i < t->view->n_connectors && i < TUNNEL_CONNECTORS_MAX; i++) {
        const struct tunnel_connector *c = t->view->connectors[i].connector;
        t->candidates[i] = (struct steering_candidate){
            .id = c->hash,
            .weight = is_drained(c) ? 0 : atomic_load_explicit(&c->weight, memory_order_relaxed),
            .latitude = c->latitude,
            .longitude = c->longitude,
            .order = (unsigned)i,
        };
    }
}

static bool look_again(struct edge_worker *w, struct gate_tunnel *t)
{
    uint64_t version = atomic_load_explicit(&t->tunnel->version, memory_order_acquire);
    if (t->view && t->version == version)
        return true;
    struct tunnel_view *old = t->view;
    t->view = tunnel_get_view(t->tunnel);
    t->version = version;
    fill(t);
    bool updated = w->policy->update(t->state, t->candidates, t->view->n_connectors);
    tunnel_view_unref(old);
    return updated;
}

/* --- sessions that are a matter of a key --- */

static bool make_keyed(struct edge_worker *w, struct gate_tunnel *t)
{
    struct steering_error error;
    w->keyed_policy = steering_find("hash");
    if (!w->keyed_config && !w->keyed_policy->configure(&(struct steering_options){ 0 }, &error, &w->keyed_config))
        return false;
    return t->keyed || (t->keyed = w->keyed_policy->worker_new(w->keyed_config));
}

/* NULL: the replica steering has to do. */
static void *keyed_tables(struct edge_worker *w, struct gate_tunnel *t, const struct tunnel_session *session)
{
    if (!session->key || !make_keyed(w, t))
        return NULL;
    if (t->keyed_version != t->version && !w->keyed_policy->update(t->keyed, t->candidates, t->view->n_connectors))
        return NULL;
    t->keyed_version = t->version;
    return t->keyed;
}

/* --- a connection of a connector --- */

static bool was_tried(const struct tunnel_wish *wish, const struct tunnel_line *l)
{
    for (unsigned i = 0; i < wish->n_tried; i++)
        if (wish->tried[i].line == l->id)
            return true;
    return false;
}

static bool is_local(const struct edge_worker *w, const struct tunnel_line *l)
{
    return atomic_load_explicit(&l->worker, memory_order_relaxed) == w->options.index;
}

enum {
    HAND_OVER_COST = 8,    /* about as much as a few requests more on the same connection */
    FULL_WINDOW_COST = 64, /* a body would wait for the uploads that stand there */
};

static uint32_t load_of(const struct edge_worker *w, const struct tunnel_line *l, const struct tunnel_wish *wish)
{
    uint32_t load = atomic_load_explicit(&l->in_flight, memory_order_relaxed) + (is_local(w, l) ? 0 : HAND_OVER_COST);
    if (wish->has_body && atomic_load_explicit(&l->window_is_low, memory_order_relaxed))
        load += FULL_WINDOW_COST;
    return load;
}

/* The doubtful ones too, or only what is known to live. */
enum trust { TRUSTED, DOUBTFUL_TOO };

static struct tunnel_line *choose_line(const struct edge_worker *w, const struct gate_tunnel *t, size_t connector, const struct tunnel_wish *wish,
                                       enum trust trust)
{
    const struct tunnel_view_connector *vc = &t->view->connectors[connector];
    struct tunnel_line *best = NULL;
    uint32_t least = 0;
    uint64_t start = wish->random >> 32; /* by the lower half policies tell connectors apart */
    for (size_t i = 0; i < vc->n_lines; i++) {
        struct tunnel_line *l = t->view->lines[vc->first_line + (i + start) % vc->n_lines];
        if (!tunnel_line_is_usable(l) || was_tried(wish, l) || (trust == TRUSTED && tunnel_line_is_doubtful(vc->connector, l)))
            continue;
        uint32_t load = load_of(w, l, wish);
        if (!best || load < least) {
            best = l;
            least = load;
        }
    }
    return best;
}

/* --- a connector --- */

struct view {
    struct steering_view steering;
    const struct gate_tunnel *tunnel;
};

/* Also for its connections, which its requests share. */
static uint32_t connector_in_flight(const struct steering_view *view, size_t i)
{
    const struct gate_tunnel *t = ((const struct view *)(const void *)view)->tunnel;
    const struct tunnel_view_connector *vc = &t->view->connectors[i];
    uint32_t sum = 0;
    for (size_t k = 0; k < vc->n_lines; k++)
        sum += atomic_load_explicit(&t->view->lines[vc->first_line + k]->in_flight, memory_order_relaxed);
    return sum;
}

static struct steering_latency connector_latency(const struct steering_view *view, size_t i)
{
    const struct gate_tunnel *t = ((const struct view *)(const void *)view)->tunnel;
    const struct tunnel_view_connector *vc = &t->view->connectors[i];
    nsec_t best = 0;
    for (size_t k = 0; k < vc->n_lines; k++) {
        nsec_t rtt = atomic_load_explicit(&t->view->lines[vc->first_line + k]->rtt, memory_order_relaxed);
        if (rtt && (!best || rtt < best))
            best = rtt;
    }
    return (struct steering_latency){ .seconds = (double)NAN, .probe_seconds = best ? nsec_to_seconds(best) : (double)NAN };
}

enum { CONNECTOR_WORDS = TUNNEL_CONNECTORS_MAX / 64 + 1 };

static void strike_out(uint64_t set[CONNECTOR_WORDS], size_t i)
{
    set[i / 64] |= UINT64_C(1) << (i % 64);
}

struct way {
    struct tunnel_line *line; /* NULL: none */
    uint64_t connector;       /* hash of its id */
};

static struct way way_over(const struct gate_tunnel *t, size_t connector, struct tunnel_line *l)
{
    return (struct way){ .line = l, .connector = t->candidates[connector].id };
}

static size_t ask_policy(struct edge_worker *w, struct gate_tunnel *t, const struct tunnel_wish *wish, const uint64_t struck_out[CONNECTOR_WORDS])
{
    struct view view = { .steering = { connector_in_flight, connector_in_flight, connector_latency, struck_out }, .tunnel = t };
    struct steering_request request = { .now = edge_now(w), .random = wish->random, .key = wish->key, .latitude = wish->latitude, .longitude = wish->longitude };
    const void *keyed = keyed_tables(w, t, &wish->session);
    if (keyed) {
        request.key = wish->session.key;
        return w->keyed_policy->choose(keyed, &request, &view.steering, NULL);
    }
    return w->policy->choose(t->state, &request, &view.steering, NULL);
}

static void commit(struct edge_worker *w, struct gate_tunnel *t, const struct tunnel_wish *wish, size_t i)
{
    if (w->policy->commit && !wish->asks_only && !keyed_tables(w, t, &wish->session))
        w->policy->commit(t->state, i);
}

static struct way choose_among(struct edge_worker *w, struct gate_tunnel *t, const struct tunnel_wish *wish, enum trust trust,
                               uint64_t struck_out[CONNECTOR_WORDS])
{
    size_t i;
    while ((i = ask_policy(w, t, wish, struck_out)) != STEERING_NONE) {
        struct tunnel_line *l = choose_line(w, t, i, wish, trust);
        if (l) {
            commit(w, t, wish, i);
            return way_over(t, i, l);
        }
        strike_out(struck_out, i);
    }
    return (struct way){ 0 };
}

static unsigned times_tried(const struct tunnel_wish *wish, uint64_t connector)
{
    unsigned n = 0;
    for (unsigned i = 0; i < wish->n_tried; i++)
        n += wish->tried[i].connector == connector;
    return n;
}

/* Another connection of the connector that just failed, if that was the first of it. */
static struct way choose_beside(const struct edge_worker *w, const struct gate_tunnel *t, const struct tunnel_wish *wish)
{
    uint64_t last = wish->n_tried ? wish->tried[wish->n_tried - 1].connector : 0;
    if (!wish->n_tried || wish->other_connector || times_tried(wish, last) > 1)
        return (struct way){ 0 };
    for (size_t i = 0; i < t->view->n_connectors; i++)
        if (t->candidates[i].id == last && t->candidates[i].weight > 0)
            return way_over(t, i, choose_line(w, t, i, wish, TRUSTED));
    return (struct way){ 0 };
}

/* The connector that the session has, or would by its key. */
static size_t find_home(struct edge_worker *w, struct gate_tunnel *t, const struct tunnel_wish *wish)
{
    const uint64_t none[CONNECTOR_WORDS] = { 0 };
    if (!wish->session.connector)
        return keyed_tables(w, t, &wish->session) ? ask_policy(w, t, wish, none) : STEERING_NONE;
    for (size_t i = 0; i < t->view->n_connectors; i++)
        if (t->candidates[i].id == wish->session.connector)
            return i;
    return STEERING_NONE;
}

/* Whatever its weight, and for a while though it is drained. */
static bool keeps_sessions(const struct edge_worker *w, const struct tunnel_connector *c, nsec_t drain_duration)
{
    return !is_drained(c) || edge_now(w) - atomic_load_explicit(&c->drained_at, memory_order_relaxed) < drain_duration;
}

static bool is_silent(const struct gate_tunnel *t, size_t connector)
{
    const struct tunnel_view_connector *vc = &t->view->connectors[connector];
    for (size_t i = 0; i < vc->n_lines; i++)
        if (atomic_load_explicit(&t->view->lines[vc->first_line + i]->state, memory_order_relaxed) == LINE_SUSPECT)
            return true;
    return false;
}

/* A session isn't moved because a connection was lost: others of its connector are tried, once more at the most, though they are doubtful too;
 * but not where one is silent, for that takes long to find out. */
static struct way choose_at_home(struct edge_worker *w, struct gate_tunnel *t, const struct tunnel_wish *wish)
{
    size_t home = find_home(w, t, wish);
    if (home == STEERING_NONE || !keeps_sessions(w, t->view->connectors[home].connector, wish->session.drain_duration))
        return (struct way){ 0 };
    unsigned times = times_tried(wish, t->candidates[home].id);
    if (times > 1 || (times && wish->other_connector))
        return (struct way){ 0 };
    struct way way = way_over(t, home, choose_line(w, t, home, wish, TRUSTED));
    bool settled = way.line || wish->no_doubtful || is_silent(t, home);
    return settled ? way : way_over(t, home, choose_line(w, t, home, wish, DOUBTFUL_TOO));
}

/* Where the session is. Beside the one that failed, then at another connector; what is doubtful, or failed twice, only where there is nothing else. */
static struct way choose(struct edge_worker *w, struct gate_tunnel *t, const struct tunnel_wish *wish)
{
    uint64_t unwanted[CONNECTOR_WORDS] = { 0 }, forbidden[CONNECTOR_WORDS] = { 0 };
    struct way way = choose_at_home(w, t, wish);
    if (way.line || (wish->session.no_other && wish->n_tried))
        return way;
    way = choose_beside(w, t, wish);
    if (way.line)
        return way;
    for (size_t i = 0; wish->n_tried && i < t->view->n_connectors; i++) {
        unsigned times = times_tried(wish, t->candidates[i].id);
        if (times && wish->other_connector)
            strike_out(forbidden, i);
        if (times > 1 || (times && wish->other_connector))
            strike_out(unwanted, i);
    }
    way = choose_among(w, t, wish, TRUSTED, unwanted);
    return way.line || wish->no_doubtful ? way : choose_among(w, t, wish, DOUBTFUL_TOO, forbidden);
}

static struct way find_line(const struct gate_tunnel *t, uint64_t id)
{
    for (size_t i = 0; i < t->view->n_connectors; i++) {
        const struct tunnel_view_connector *vc = &t->view->connectors[i];
        for (size_t k = vc->first_line; k < vc->first_line + vc->n_lines; k++)
            if (t->view->lines[k]->id == id && atomic_load_explicit(&t->view->lines[k]->state, memory_order_acquire) == LINE_USABLE)
                return way_over(t, i, t->view->lines[k]);
    }
    return (struct way){ 0 };
}

/* --- what is told of a choice --- */

static enum ruled_out line_ruled_out(const struct tunnel_connector *c, const struct tunnel_line *l, const struct tunnel_wish *wish)
{
    if (was_tried(wish, l))
        return RULED_TRIED;
    switch ((enum line_state)atomic_load_explicit(&l->state, memory_order_relaxed)) {
    case LINE_SUSPECT: return RULED_SUSPECT;
    case LINE_DRAINING:
    case LINE_CLOSED: return RULED_GOING;
    case LINE_USABLE: break;
    }
    if (atomic_load_explicit(&l->sick, memory_order_relaxed))
        return RULED_SICK;
    return tunnel_line_is_doubtful(c, l) ? RULED_DOUBTFUL : RULED_IN;
}

static enum ruled_out connector_ruled_out(const struct gate_tunnel *t, size_t i, const struct tunnel_wish *wish)
{
    const struct tunnel_view_connector *vc = &t->view->connectors[i];
    if (is_drained(vc->connector))
        return RULED_DRAINED;
    if (!(t->candidates[i].weight > 0))
        return RULED_WEIGHT;
    for (size_t k = 0; k < vc->n_lines; k++)
        if (line_ruled_out(vc->connector, t->view->lines[vc->first_line + k], wish) == RULED_IN)
            return RULED_IN;
    return RULED_EMPTY;
}

static void list_connector(const struct gate_tunnel *t, struct note_step *s, size_t i, const struct tunnel_wish *wish)
{
    const struct view view = { .tunnel = t };
    bool fresh = false;
    struct note_candidate *c = decision_list(wish->decision, s, i, &fresh);
    if (!fresh)
        return;
    c->name = decision_add_name(wish->decision, t->view->connectors[i].connector->id);
    c->ruled_out = (uint8_t)connector_ruled_out(t, i, wish);
    c->weight = (float)t->candidates[i].weight;
    c->configured = (float)atomic_load_explicit(&t->view->connectors[i].connector->weight, memory_order_relaxed);
    c->in_flight = connector_in_flight(&view.steering, i);
    c->latency_s = (float)connector_latency(&view.steering, i).probe_seconds;
}

static void list_line(const struct edge_worker *w, struct note_step *s, size_t i, const struct tunnel_connector *connector, const struct tunnel_line *l,
                      const struct tunnel_wish *wish)
{
    char name[32];
    bool fresh = false;
    struct note_candidate *c = decision_list(wish->decision, s, i, &fresh);
    if (!fresh)
        return;
    snprintf(name, sizeof name, "%u%s", l->index, is_local(w, l) ? "" : " (another worker's)");
    c->name = decision_add_name(wish->decision, name);
    c->ruled_out = (uint8_t)line_ruled_out(connector, l, wish);
    c->weight = c->configured = 1;
    c->in_flight = atomic_load_explicit(&l->in_flight, memory_order_relaxed);
    nsec_t rtt = atomic_load_explicit(&l->rtt, memory_order_relaxed);
    c->latency_s = rtt ? (float)nsec_to_seconds(rtt) : NAN; /* 0: not measured so far */
    c->score = (float)load_of(w, l, wish);
}

static size_t index_of(const struct gate_tunnel *t, uint64_t connector)
{
    size_t i = 0;
    while (i < t->view->n_connectors && t->candidates[i].id != connector)
        i++;
    return i;
}

static void tell_line(const struct edge_worker *w, const struct gate_tunnel *t, const struct tunnel_wish *wish, size_t connector, const struct tunnel_line *chosen)
{
    const struct tunnel_view_connector *vc = &t->view->connectors[connector];
    struct note_step *s = decision_add_step(wish->decision, AMONG_LINES, vc->connector->id, "least_busy", vc->n_lines);
    if (!s)
        return;
    s->asked = true;
    /* The chosen one first, where not all have room. */
    for (size_t k = 0; k < vc->n_lines; k++)
        if (t->view->lines[vc->first_line + k] == chosen)
            s->chosen = (uint32_t)k;
    if (s->room < s->n)
        list_line(w, s, s->chosen, vc->connector, chosen, wish);
    for (size_t k = 0; k < vc->n_lines; k++)
        list_line(w, s, k, vc->connector, t->view->lines[vc->first_line + k], wish);
}

/* In the moment of the choice, before the request itself counts. */
static void tell(const struct edge_worker *w, const struct gate_tunnel *t, const struct tunnel_wish *wish, struct way way)
{
    size_t n = t->view->n_connectors, chosen = way.line ? index_of(t, way.connector) : n;
    struct note_step *s = wish->decision ? decision_add_step(wish->decision, AMONG_CONNECTORS, t->tunnel->name, w->policy->name, n) : NULL;
    if (!s)
        return;
    s->asked = n > 0;
    s->by_session = chosen < n && (way.connector == wish->session.connector || wish->session.key);
    s->chosen = chosen < n ? (uint32_t)chosen : NOT_ASKED;
    if (chosen < n && s->room < s->n)
        list_connector(t, s, chosen, wish);
    for (size_t i = 0; i < n; i++)
        list_connector(t, s, i, wish);
    if (chosen < n)
        tell_line(w, t, wish, chosen, way.line);
}

/* --- the stream --- */

static struct tunnel_opened open_way(struct edge_worker *w, struct way way, struct exchange *ex)
{
    struct tunnel_line *l = way.line;
    struct tunnel_opened opened = { .over = { l->id, way.connector }, .reason = REASON_CONNECTION_LOST };
    if (is_local(w, l)) {
        struct edge_connection *c = NULL;
        HASH_FIND(by_line, w->by_line, &l->id, sizeof l->id, c);
        opened.ops = &edge_stream_ops;
        opened.upstream = c ? edge_stream_new(c, &exchange_stream_user, ex, &opened.reason) : NULL;
    } else {
        opened.ops = &relay_front_ops;
        opened.upstream = relay_front_new(w, ex, l);
        opened.reason = REASON_INTERNAL;
    }
    return opened;
}

struct tunnel_opened gate_open(void *edge_worker, struct tunnel *tunnel, struct exchange *ex, const struct tunnel_wish *given)
{
    struct edge_worker *w = edge_worker;
    struct tunnel_opened none = { .reason = REASON_TUNNEL_INACTIVE };
    struct tunnel_wish wish = *given;
    struct gate_tunnel *t = find_or_make(w, tunnel);
    struct tunnel_try tried[TUNNEL_TRIES_MAX + TUNNEL_CONNECTIONS_MAX];
    if (guard_refuses_host(wish.host)) {
        none.reason = REASON_NO_LOAD_BALANCER;
        return none;
    }
    if (!t || !look_again(w, t))
        return none;
    if (wish.line) {
        struct way way = find_line(t, wish.line);
        return way.line ? open_way(w, way, ex) : none;
    }
    /* A connection may refuse at once, being full or on its way out: then the next. */
    for (wish.n_tried = 0; wish.n_tried < given->n_tried && wish.n_tried < TUNNEL_TRIES_MAX; wish.n_tried++)
        tried[wish.n_tried] = given->tried[wish.n_tried];
    wish.tried = tried;
    while (wish.n_tried < sizeof tried / sizeof *tried) {
        struct way way = choose(w, t, &wish);
        tell(w, t, &wish, way);
        if (!way.line || wish.asks_only)
            break;
        struct tunnel_opened opened = open_way(w, way, ex);
        if (opened.upstream)
            return opened;
        tried[wish.n_tried++] = opened.over;
    }
    return none;
}

struct tunnel_home gate_home(void *edge_worker, struct tunnel *tunnel, const struct tunnel_session *session)
{
    struct edge_worker *w = edge_worker;
    struct gate_tunnel *t = find_or_make(w, tunnel);
    struct tunnel_wish wish = { .session = *session, .latitude = NAN, .longitude = NAN };
    struct tunnel_home home = { 0 };
    size_t i = t && look_again(w, t) ? find_home(w, t, &wish) : STEERING_NONE;
    if (i == STEERING_NONE)
        return home;
    home.takes_it = choose_at_home(w, t, &wish).line;
    memcpy(home.id, t->view->connectors[i].connector->id, sizeof home.id);
    return home;
}
