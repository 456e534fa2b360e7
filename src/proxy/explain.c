#include "proxy/explain.h"

#include "base/mem.h"
#include "proxy/exchange.h"

#include <math.h>

/* --- what is told --- */

void explain_list(struct explanation *x, const struct pool_list *list, enum pool_map_kind by)
{
    if (!x)
        return;
    x->list = list;
    x->by = by;
}

void explain_session(struct explanation *x, const struct endpoint *e, bool stays)
{
    if (!x)
        return;
    x->session = e;
    x->session_stays = stays;
}

void explain_last_resort(struct explanation *x)
{
    if (x)
        x->last_resort = true;
}

static double latency_of(const struct endpoint_live *live)
{
    double traffic = atomic_load_explicit(&live->latency_s, memory_order_relaxed);
    return isnan(traffic) ? atomic_load_explicit(&live->probe_latency_s, memory_order_relaxed) : traffic;
}

static void describe_endpoint(struct explain_candidate *c, const struct endpoint *e, enum usability level, nsec_t now)
{
    double unramped = endpoint_weight(e, now, false);
    c->endpoint = e;
    c->usability = endpoint_usability(e, now);
    c->in_flight = endpoint_in_flight(e->live);
    c->latency_s = latency_of(e->live);
    c->slow_start = c->weight > 0 && unramped > 0 ? c->weight / unramped : 1;
    if (c->usability > level)
        c->ruled_out = RULED_USABILITY;
    else if (!(c->weight > 0))
        c->ruled_out = RULED_WEIGHT;
}

static void describe_pool(struct explain_candidate *c, const struct pool *pool, enum usability level, nsec_t now)
{
    struct pool_census census;
    pool_take_census(pool, now, &census);
    c->pool = pool;
    c->latency_s = (double)NAN;
    for (size_t i = 0; i < pool->n_endpoints; i++)
        c->in_flight += endpoint_in_flight(pool->endpoints[i].live);
    if (!pool->enabled)
        c->ruled_out = RULED_DISABLED;
    else if (!pool_is_usable(pool, &census, level))
        c->ruled_out = RULED_USABILITY;
    else if (!(c->weight > 0))
        c->ruled_out = RULED_WEIGHT;
}

static struct explain_step *new_step(struct explanation *x)
{
    if (!x->steps)
        x->steps = arena_array(&x->arena, EXPLAIN_STEPS_MAX, sizeof *x->steps);
    /* One more than that says the same again. */
    return &x->steps[x->n_steps < EXPLAIN_STEPS_MAX ? x->n_steps++ : EXPLAIN_STEPS_MAX - 1];
}

struct explain_step *explain_step(struct explanation *x, const struct exchange *ex, const struct pool *pool, enum usability level, const char *policy,
                                  const struct steering_candidate *candidates, size_t n)
{
    if (!x)
        return NULL;
    struct explain_step *step = new_step(x);
    nsec_t now = worker_now(ex->worker);
    *step = (struct explain_step){ .pool = pool, .level = level, .policy = policy, .chosen = STEERING_NONE };
    if (x->n_candidates + n > EXPLAIN_CANDIDATES_MAX)
        return step;
    step->n = n;
    x->n_candidates += n;
    step->candidates = arena_array(&x->arena, n, sizeof *step->candidates);
    for (size_t i = 0; i < n; i++) {
        step->candidates[i] = (struct explain_candidate){ .weight = candidates[i].weight, .slow_start = 1, .score = (double)NAN };
        if (pool)
            describe_endpoint(&step->candidates[i], &pool->endpoints[i], level, now);
        else
            describe_pool(&step->candidates[i], ex->pools->pools[i], level, now);
    }
    return step;
}

/* Asked again, since whoever was chosen could not be had, it says what it says then. */
void explain_asked(struct explain_step *step, const struct steering_policy *policy, bool by_session, const double *scores, size_t chosen)
{
    if (!step)
        return;
    step->policy = policy->name;
    step->scores_are = policy->scores_are;
    step->by_session = by_session;
    step->chosen = chosen;
    for (size_t i = 0; i < step->n; i++)
        if (!isnan(scores[i]))
            step->candidates[i].score = scores[i];
}

void explain_ruled_out(struct explain_step *step, size_t index, enum ruled_out why)
{
    if (step && index < step->n)
        step->candidates[index].ruled_out = why;
}

/* --- a request that nobody sent --- */

static size_t largest_group(const struct config *config)
{
    size_t most = 0;
    for (size_t i = 0; i < config->n_pools; i++)
        most = config->pools[i].n_endpoints > most ? config->pools[i].n_endpoints : most;
    return config->n_pools > most ? config->n_pools : most;
}

static void choose_for(struct explanation *x, struct exchange *ex)
{
    direct_to_session(ex);
    x->scores = mem_array(largest_group(x->config) + 1, sizeof *x->scores);
    ex->explanation = x;
    x->result = choose(ex);
    x->endpoint = ex->endpoint;
}

static void lead(struct explanation *x, struct exchange *ex)
{
    x->direction = direct_to_load_balancer(ex, &x->rule);
    x->load_balancer = ex->load_balancer;
    if (x->direction == DIRECT_TO_ENDPOINTS)
        choose_for(x, ex);
    x->located = ex->located;
    x->place = ex->place;
}

void explain(struct worker *w, struct explanation *x)
{
    struct exchange *ex = exchange_new(w, NULL, NULL);
    if (!ex)
        return;
    x->config = config_ref(ex->snapshot->config);
    ex->peer = x->client.sa.sa_family ? &x->client : NULL;
    ex->started_wall = clock_wall();
    x->malformed = !exchange_read_head(ex, (struct slice){ x->head, x->head_length });
    ex->host = ex->message.host;
    if (!x->malformed)
        lead(x, ex);
    exchange_discard(ex);
}
