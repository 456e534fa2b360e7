#include "proxy/choose.h"

#include "balance/pool_map.h"
#include "base/log.h"
#include "proxy/affinity.h"
#include "proxy/exchange.h"
#include "proxy/explain.h"
#include "proxy/forward.h"
#include "proxy/locate.h"
#include "proxy/request_hash.h"
#include "proxy/shedding.h"
#include "proxy/upstream.h"
#include "steering/registry.h"

#include <math.h>

enum group_kind { GROUP_POOL, GROUP_LIST };

/* The tables of one policy for one set of candidates at one level of usability. */
struct tables {
    void *state;
    uint64_t epoch;
    struct steering_candidate *candidates; /* stay put: the policy points to them */
    struct candidacy *standings;            /* for explanations */
    uint32_t out[RULED_WEIGHT + 1];        /* how many are out, and why */
    struct step_sheet *sheet;
    bool any;                              /* some candidate has weight */
    void *keyed;                           /* of the policy that leads a key to the same candidate; NULL: not needed so far */
    uint64_t keyed_epoch;
};

/* What a choice asks of an endpoint, densely: with many of them each further place to look at is one that has left the caches. */
struct member {
    struct endpoint_live *live;
    struct upstream_pool *upstreams;
    unsigned max_in_flight; /* 0: no limit */
    bool shares_connections; /* many requests on each: their number says nothing */
};

/* All that one choice among several needs. A level's tables are made when it is first looked at: mostly only the first ever is. */
struct group {
    enum group_kind kind;
    union {
        const struct pool *pool;
        const struct pool_list *list;
    };
    const struct steering_conf *steering;
    struct worker *worker;
    size_t n;
    struct member *members; /* of a pool */
    struct tables levels[USABLE_LEVELS];
    const struct steering_policy *keyed_policy;
    void *keyed_config;                    /* likewise */
    uint64_t *struck_out; /* all clear between choices */
};

static void group_clear(struct group *g)
{
    for (size_t i = 0; i < USABLE_LEVELS; i++) {
        if (g->levels[i].state)
            g->steering->policy->worker_free(g->levels[i].state);
        if (g->levels[i].keyed)
            g->keyed_policy->worker_free(g->levels[i].keyed);
        free(g->levels[i].candidates);
        free(g->levels[i].standings);
        step_sheet_unref(g->levels[i].sheet);
    }
    if (g->keyed_config)
        g->keyed_policy->release(g->keyed_config);
    free(g->members);
    free(g->struck_out);
}

static bool group_init(struct group *g, struct worker *w, const struct steering_conf *steering, size_t n)
{
    g->worker = w;
    g->steering = steering;
    g->keyed_policy = steering_find("hash");
    g->n = n;
    g->struck_out = calloc(n / 64 + 1, sizeof *g->struck_out);
    return g->struck_out != NULL;
}

void choose_clear(struct snapshot *s)
{
    const struct config *config = s->config;
    for (size_t i = 0; s->pools && i < config->n_pools; i++)
        group_clear(&s->pools[i]);
    for (size_t i = 0; s->lists && i < config->n_lists; i++)
        group_clear(&s->lists[i]);
    free(s->pools);
    free(s->lists);
    s->pools = s->lists = NULL;
}

static bool init_lists(struct snapshot *s, const struct load_balancer *lb)
{
    bool made = true;
    for (size_t i = 0; made && i < lb->n_lists; i++) {
        struct group *g = &s->lists[lb->lists[i].index];
        g->kind = GROUP_LIST;
        g->list = &lb->lists[i];
        made = group_init(g, s->worker, &lb->steering, lb->lists[i].n);
    }
    return made;
}

static bool init_members(struct group *g, struct upstream_pool *const *upstreams)
{
    if (!(g->members = calloc(g->n + 1, sizeof *g->members)))
        return false;
    for (size_t i = 0; i < g->n; i++) {
        const struct endpoint *e = &g->pool->endpoints[i];
        g->members[i] = (struct member){ e->live, upstreams[e->index], e->max_in_flight, e->kind == ENDPOINT_EDGE };
    }
    return true;
}

bool choose_init(struct snapshot *s)
{
    const struct config *config = s->config;
    bool made = (s->pools = calloc(config->n_pools + 1, sizeof *s->pools))
        && (s->lists = calloc(config->n_lists + 1, sizeof *s->lists));
    for (size_t i = 0; made && i < config->n_pools; i++) {
        struct group *g = &s->pools[i];
        g->kind = GROUP_POOL;
        g->pool = &config->pools[i];
        made = group_init(g, s->worker, &g->pool->steering, g->pool->n_endpoints) && init_members(g, s->upstreams);
    }
    for (size_t i = 0; made && i < config->n_load_balancers; i++) {
        const struct load_balancer *lb = &config->load_balancers[i];
        made = init_lists(s, lb);
        for (size_t k = 0; made && k < lb->n_rules; k++)
            made = init_lists(s, &lb->rules[k].balancer);
    }
    return made;
}

/* --- a level's tables --- */

static void fill_candidates(struct group *g, enum usability level, struct tables *t)
{
    nsec_t now = worker_now(g->worker);
    if (g->kind == GROUP_POOL)
        pool_fill_candidates(g->pool, level, now, t->candidates, t->standings);
    else
        pool_list_fill_candidates(g->list, level, now, t->candidates, t->standings);
    step_sheet_unref(t->sheet);
    t->sheet = NULL;
    memset(t->out, 0, sizeof t->out);
    for (size_t i = 0; i < g->n; i++)
        t->out[t->standings[i].ruled_out]++;
}

static bool has_weight(const struct steering_candidate *candidates, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (candidates[i].weight > 0)
            return true;
    return false;
}

/* The tables as of the newest epoch; NULL when memory is out and there are none. */
static struct tables *tables_at(struct group *g, enum usability level)
{
    struct tables *t = &g->levels[level];
    const struct steering_policy *policy = g->steering->policy;
    uint64_t epoch = balance_epoch_read(g->worker->options.epoch) + 1; /* 0: never made */
    if (t->epoch == epoch)
        return t;
    if (!t->candidates && !(t->candidates = calloc(g->n + 1, sizeof *t->candidates)))
        return NULL;
    if (!t->standings && !(t->standings = calloc(g->n + 1, sizeof *t->standings)))
        return NULL;
    if (!t->state && !(t->state = policy->worker_new(g->steering->config)))
        return NULL;
    fill_candidates(g, level, t);
    t->any = has_weight(t->candidates, g->n);
    if (!policy->update(t->state, t->candidates, g->n))
        return NULL;
    t->epoch = epoch;
    return t;
}

/* --- sessions that are a matter of a key --- */

static bool is_steady(const struct group *g)
{
    switch (g->steering->policy->steadiness) {
    case STEERING_STEADY:
        return true;
    case STEERING_STEADY_BETWEEN_POOLS:
        return g->kind == GROUP_LIST;
    case STEERING_UNSTEADY:
        break;
    }
    return false;
}

static bool make_keyed(struct group *g, struct tables *t)
{
    struct steering_error error;
    if (!g->keyed_config && !g->keyed_policy->configure(&(struct steering_options){ 0 }, &error, &g->keyed_config))
        return false;
    return t->keyed || (t->keyed = g->keyed_policy->worker_new(g->keyed_config));
}

/* NULL: the group's own policy has to do. */
static const void *keyed_tables(const struct exchange *ex, struct group *g, struct tables *t)
{
    if (!ex->session.key || is_steady(g) || !make_keyed(g, t))
        return NULL;
    if (t->keyed_epoch != t->epoch && !g->keyed_policy->update(t->keyed, t->candidates, g->n))
        return NULL;
    t->keyed_epoch = t->epoch;
    return t->keyed;
}

/* --- what a policy sees of the moment --- */

struct view {
    struct steering_view steering;
    const struct group *group;
    struct explain_step *step;
};

static const struct group *group_of(const struct steering_view *view)
{
    return ((const struct view *)(const void *)view)->group;
}

static struct explain_step *step_of(const struct steering_view *view)
{
    return ((const struct view *)(const void *)view)->step;
}

static const struct pool *pool_at(const struct group *g, size_t i)
{
    return g->list->pools[i];
}

static uint32_t endpoint_view_in_flight(const struct steering_view *view, size_t i)
{
    uint32_t n = endpoint_in_flight(group_of(view)->members[i].live);
    explain_in_flight(step_of(view), i, n);
    return n;
}

static uint32_t connections_of(const struct endpoint_live *live, bool shared)
{
    return shared ? endpoint_in_flight(live) : endpoint_open_connections(live);
}

static uint32_t endpoint_view_connections(const struct steering_view *view, size_t i)
{
    const struct member *m = &group_of(view)->members[i];
    uint32_t n = connections_of(m->live, m->shares_connections);
    explain_connections(step_of(view), i, n);
    return n;
}

static struct steering_latency latency_of(const struct endpoint_live *live)
{
    return (struct steering_latency){
        .seconds = atomic_load_explicit(&live->latency_s, memory_order_relaxed),
        .at = atomic_load_explicit(&live->latency_at, memory_order_relaxed),
        .probe_seconds = atomic_load_explicit(&live->probe_latency_s, memory_order_relaxed),
    };
}

static struct steering_latency endpoint_view_latency(const struct steering_view *view, size_t i)
{
    struct steering_latency latency = latency_of(group_of(view)->members[i].live);
    explain_latency(step_of(view), i, &latency);
    return latency;
}

static uint32_t pool_view_in_flight(const struct steering_view *view, size_t i)
{
    const struct pool *pool = pool_at(group_of(view), i);
    uint32_t sum = 0;
    for (size_t e = 0; e < pool->n_endpoints; e++)
        sum += endpoint_in_flight(pool->endpoints[e].live);
    explain_in_flight(step_of(view), i, sum);
    return sum;
}

static uint32_t pool_view_connections(const struct steering_view *view, size_t i)
{
    const struct pool *pool = pool_at(group_of(view), i);
    uint32_t sum = 0;
    for (size_t e = 0; e < pool->n_endpoints; e++)
        sum += connections_of(pool->endpoints[e].live, pool->endpoints[e].kind == ENDPOINT_EDGE);
    explain_connections(step_of(view), i, sum);
    return sum;
}

/* A pool is as fast as the fastest of its endpoints that are in service: that is where its steering can send. */
static struct steering_latency pool_view_latency(const struct steering_view *view, size_t i)
{
    const struct group *g = group_of(view);
    const struct pool *pool = pool_at(g, i);
    struct steering_latency best = { .seconds = NAN, .probe_seconds = NAN };
    for (size_t e = 0; e < pool->n_endpoints; e++) {
        struct steering_latency its = latency_of(pool->endpoints[e].live);
        if (!pool->endpoints[e].enabled || !endpoint_in_service(pool->endpoints[e].live, worker_now(g->worker)))
            continue;
        if (!isnan(its.seconds) && !(best.seconds <= its.seconds)) {
            best.seconds = its.seconds;
            best.at = its.at;
        }
        best.probe_seconds = fmin(best.probe_seconds, its.probe_seconds); /* of a NaN and a number, the number */
    }
    explain_latency(step_of(view), i, &best);
    return best;
}

static struct view view_of(const struct group *g, struct explain_step *step)
{
    struct view view = { .group = g, .step = step };
    view.steering.struck_out = g->struck_out;
    view.steering.in_flight = g->kind == GROUP_POOL ? endpoint_view_in_flight : pool_view_in_flight;
    view.steering.connections = g->kind == GROUP_POOL ? endpoint_view_connections : pool_view_connections;
    view.steering.latency = g->kind == GROUP_POOL ? endpoint_view_latency : pool_view_latency;
    return view;
}

/* Of a request that nobody sent also what the policy would not look at is told. */
static void look_at_all(const struct group *g, struct explain_step *step)
{
    struct view view = view_of(g, step);
    for (size_t i = 0; i < g->n; i++) {
        view.steering.in_flight(&view.steering, i);
        view.steering.latency(&view.steering, i);
    }
}

static struct explain_step begin_step(const struct exchange *ex, const struct group *g, struct tables *t, enum usability level)
{
    struct explain_step step = { .decision = ex->decision, .candidates = t->candidates, .standings = t->standings, .sheet = &t->sheet };
    if (!ex->decision)
        return step;
    if (g->kind == GROUP_POOL)
        step.pool = g->pool;
    else
        step.list = g->list;
    explain_step(&step, ex, level, g->steering->policy->name, g->n, t->out);
    if (ex->explanation)
        look_at_all(g, &step);
    return step;
}

static void strike(struct group *g, size_t i)
{
    g->struck_out[i / 64] |= UINT64_C(1) << (i % 64);
}

static void unstrike(struct group *g, size_t i)
{
    g->struck_out[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* What comes next looks at the endpoint from all sides: of many, all of it at once. */
static void prefetch(const struct group *g, const struct tables *t, size_t i)
{
    const struct member *m = &g->members[i];
    endpoint_prefetch(m->live, g->worker->options.index);
    upstream_pool_prefetch(m->upstreams);
    __builtin_prefetch(&g->pool->endpoints[i]);
    __builtin_prefetch(&t->candidates[i]);
    __builtin_prefetch(&t->standings[i]);
}

static size_t ask_policy(struct exchange *ex, struct group *g, struct tables *t, struct explain_step *step)
{
    const struct place *place = locate(ex);
    struct view view = view_of(g, step);
    struct steering_request request = {
        .now = worker_now(g->worker),
        .random = random_u64(&g->worker->random),
        .key = request_hash(ex, &g->steering->key),
        .latitude = place->latitude,
        .longitude = place->longitude,
    };
    const void *keyed = keyed_tables(ex, g, t);
    const struct steering_policy *policy = keyed ? g->keyed_policy : g->steering->policy;
    double few[EXPLAIN_LISTED], *scores = explain_scores(step, ex, few);
    if (keyed)
        request.key = ex->session.key;
    size_t chosen = policy->choose(keyed ? keyed : t->state, &request, &view.steering, scores);
    if (g->kind == GROUP_POOL && chosen != STEERING_NONE)
        prefetch(g, t, chosen);
    explain_asked(step, policy, keyed != NULL, scores, chosen);
    return chosen;
}

static void commit(const struct exchange *ex, struct group *g, struct tables *t, size_t i)
{
    if (g->steering->policy->commit && !ex->explanation && !keyed_tables(ex, g, t))
        g->steering->policy->commit(t->state, i);
}

/* --- an endpoint of a pool --- */

static bool is_full(const struct endpoint_live *live, unsigned max_in_flight)
{
    return max_in_flight && endpoint_in_flight(live) >= max_in_flight;
}

static bool was_tried(const struct exchange *ex, const struct endpoint *e)
{
    for (unsigned i = 0; i < ex->n_tried; i++)
        if (ex->tried[i] == e)
            return true;
    return false;
}

/* Leaves `*full` set if an endpoint was passed over only because it is at its max_in_flight. */
static const struct endpoint *choose_endpoint(struct exchange *ex, const struct pool *pool, enum usability level, bool *full)
{
    struct group *g = &ex->snapshot->pools[pool->index];
    struct tables *t = tables_at(g, level);
    if (!t)
        return NULL;
    struct explain_step step = begin_step(ex, g, t, level);
    if (!t->any)
        return NULL;
    for (unsigned i = 0; i < ex->n_tried; i++)
        if (ex->tried[i]->pool == pool)
            strike(g, ex->tried[i]->order);

    const struct endpoint *chosen = NULL;
    size_t passed_over = 0, i;
    while (!chosen && (i = ask_policy(ex, g, t, &step)) != STEERING_NONE) {
        if (is_full(g->members[i].live, g->members[i].max_in_flight)) {
            explain_in_flight(&step, i, endpoint_in_flight(g->members[i].live));
            explain_ruled_out(&step, i, RULED_FULL);
            strike(g, i);
            passed_over++;
        } else {
            chosen = &pool->endpoints[i];
            commit(ex, g, t, i);
        }
    }
    for (unsigned k = 0; k < ex->n_tried; k++)
        if (ex->tried[k]->pool == pool)
            unstrike(g, ex->tried[k]->order);
    for (size_t k = 0; passed_over && k < pool->n_endpoints; k++)
        unstrike(g, k);
    *full |= passed_over > 0;
    return chosen;
}

/* --- a pool of a load balancer --- */

static const struct endpoint *choose_at_level(struct exchange *ex, enum usability level, bool *full)
{
    struct group *g = &ex->snapshot->lists[ex->pools->index];
    struct tables *t = tables_at(g, level);
    if (!t)
        return NULL;
    struct explain_step step = begin_step(ex, g, t, level);
    if (!t->any)
        return NULL;
    const struct endpoint *chosen = NULL;
    bool struck = false;
    size_t i;
    while (!chosen && (i = ask_policy(ex, g, t, &step)) != STEERING_NONE) {
        bool shed = shedding_sends_away(ex, pool_at(g, i));
        chosen = shed ? NULL : choose_endpoint(ex, pool_at(g, i), level, full);
        if (chosen) {
            commit(ex, g, t, i);
        } else {
            explain_ruled_out(&step, i, shed ? RULED_SHED : RULED_EMPTY);
            strike(g, i);
            struck = true;
        }
    }
    for (size_t k = 0; struck && k < g->n; k++)
        unstrike(g, k);
    return chosen;
}

/* The best of one pool, whether or not the pool has its minimum of such. */
static const struct endpoint *choose_in_pool(struct exchange *ex, const struct pool *pool, enum usability worst, bool *full)
{
    const struct endpoint *chosen = NULL;
    for (enum usability level = USABLE_HEALTHY; !chosen && !*full && level <= worst; level++)
        chosen = choose_endpoint(ex, pool, level, full);
    return chosen;
}

static bool falls_back_on(const struct load_balancer *lb, const struct pool *pool)
{
    return lb->when_all_down == WHEN_ALL_DOWN_FALLBACK_POOL && lb->fallback_pool == pool;
}

/* Where it failed, when it may not leave that pool. */
static const struct pool *confined_to(const struct exchange *ex)
{
    return ex->n_tried && !ex->load_balancer->failover.across_pools ? ex->tried[0]->pool : NULL;
}

static const struct endpoint *choose_confined(struct exchange *ex, const struct pool *pool, bool *full)
{
    bool health_is_ignored = ex->all_down || falls_back_on(ex->load_balancer, pool);
    return choose_in_pool(ex, pool, health_is_ignored ? USABLE_LAST_RESORT : USABLE_UNKNOWN, full);
}

static const struct endpoint *choose_least_bad(struct exchange *ex, bool *full)
{
    const struct pool_list *list = ex->pools;
    for (enum usability level = USABLE_HEALTHY; level <= USABLE_LAST_RESORT; level++)
        for (size_t i = 0; i < list->n; i++) {
            if (!list->pools[i]->enabled)
                continue;
            const struct endpoint *chosen = choose_endpoint(ex, list->pools[i], level, full);
            if (chosen)
                return chosen;
        }
    return NULL;
}

static void note_last_resort(struct exchange *ex, const struct pool *fallback, _Atomic uint64_t *counter)
{
    ex->all_down = true;
    explain_last_resort(ex, fallback);
    if (!ex->explanation)
        counter_add(counter, 1);
}

static const struct endpoint *choose_when_all_down(struct exchange *ex, bool *full)
{
    const struct load_balancer *lb = ex->load_balancer;
    if (lb->when_all_down != WHEN_ALL_DOWN_FALLBACK_POOL && shedding_has_shed(ex)) /* what an overloaded pool sheds is not sent to it after all */
        return NULL;
    const struct endpoint *chosen = NULL;
    if (lb->when_all_down == WHEN_ALL_DOWN_503)
        return NULL;
    if (lb->when_all_down == WHEN_ALL_DOWN_FALLBACK_POOL && lb->fallback_pool) {
        if (!lb->fallback_pool->enabled)
            return NULL;
        chosen = choose_in_pool(ex, lb->fallback_pool, USABLE_LAST_RESORT, full);
        if (chosen)
            note_last_resort(ex, lb->fallback_pool, &ex->worker->counters.fallback_choices);
        return chosen;
    }
    chosen = choose_least_bad(ex, full);
    if (chosen)
        note_last_resort(ex, NULL, &ex->worker->counters.panic_choices);
    return chosen;
}

/* What failed where somebody was well is not sent on to what is known to be down: it would only fail later. Where nobody was, the
 * others are no worse than the one that was tried. */
static bool may_resort(const struct exchange *ex)
{
    return !ex->n_tried || ex->all_down || ex->load_balancer->fallback_pool;
}

static enum ruled_out session_ruled_out(struct exchange *ex, const struct endpoint *e)
{
    if (shedding_sends_away(ex, e->pool))
        return RULED_SHED;
    if (was_tried(ex, e))
        return RULED_TRIED;
    return session_may_stay(&ex->load_balancer->affinity, e, affinity_is_held(ex, e), worker_now(ex->worker)) ? RULED_IN : RULED_USABILITY;
}

/* Where the request's session is, if it can stay there: a full endpoint is waited for. */
static const struct endpoint *choose_pinned(struct exchange *ex, bool *full)
{
    const struct endpoint *e = ex->session.endpoint;
    if (!e)
        return NULL;
    enum ruled_out why_not = session_ruled_out(ex, e);
    explain_session(ex, why_not);
    if (why_not)
        return NULL;
    *full = is_full(e->live, e->max_in_flight);
    return *full ? NULL : e;
}

/* For as long as the exchange lasts: what was tried is of that list. */
static void choose_list(struct exchange *ex)
{
    struct address room;
    enum pool_map_kind by;
    const struct load_balancer *lb = ex->load_balancer;
    const struct address *client = lb->n_client_maps ? forward_client(ex, &room) : NULL;
    const struct place *place = load_balancer_asks_for_place(lb) ? locate(ex) : &place_unknown;
    ex->pools = load_balancer_pools_for(lb, client, place, &by);
    explain_list(ex, by);
}

static const struct endpoint *choose_anywhere(struct exchange *ex, bool *full)
{
    const struct endpoint *chosen = choose_pinned(ex, full);
    if (!chosen && !*full && !ex->pools)
        choose_list(ex);
    /* Full is no reason to send to what is worse: it queues. */
    for (enum usability level = USABLE_HEALTHY; !chosen && !*full && level < USABLE_LAST_RESORT; level++)
        chosen = choose_at_level(ex, level, full);
    if (!chosen && !*full && may_resort(ex))
        chosen = choose_when_all_down(ex, full);
    return chosen;
}

enum choice_result choose(struct exchange *ex)
{
    bool full = false;
    const struct pool *confined = ex->only ? NULL : confined_to(ex);
    const struct endpoint *chosen;
    if (ex->only)
        chosen = was_tried(ex, ex->only) ? NULL : ex->only;
    else if (confined)
        chosen = choose_confined(ex, confined, &full);
    else
        chosen = choose_anywhere(ex, &full);
    ex->endpoint = chosen;
    if (chosen && *ex->request_id) /* nobody sends those without one */
        trace(TRACE_EXCHANGE, "%s: goes to %s", ex->request_id, chosen->id);
    return chosen ? CHOICE_MADE : full ? CHOICE_FULL : CHOICE_NONE;
}
