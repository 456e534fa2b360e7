/* What came of a simulation, in JSON. */
#include "control/simulation.h"

#include "base/mem.h"
#include "control/standing.h"
#include "control/status.h"

#include <stdio.h>
#include <string.h>

static const char *const outcome_names[] = {
    [SIMULATED_SENT] = "sent", [SIMULATED_LOST] = "lost", [SIMULATED_NOBODY] = "nobody", [SIMULATED_WAITED] = "waited_in_vain",
    [SIMULATED_RESPONSE] = "rule_response", [SIMULATED_DISABLED] = "disabled", [SIMULATED_NO_LOAD_BALANCER] = "no_load_balancer",
    [SIMULATED_MALFORMED] = "malformed",
};
_Static_assert(sizeof outcome_names / sizeof *outcome_names == SIMULATED_OUTCOMES, "a name for each");

static const char *const latency_names[] = {
    [LATENCY_OF_TRAFFIC] = "traffic", [LATENCY_OF_PROBES] = "probes", [LATENCY_OF_OTHERS] = "others", [LATENCY_ASSUMED] = "assumed",
};
_Static_assert(sizeof latency_names / sizeof *latency_names == SIMULATED_LATENCIES, "a name for each");

static double share(unsigned n, unsigned of)
{
    return of ? (double)n / of : 0;
}

static json_t *both(double now, double then)
{
    return json_pack("{s:f, s:f}", "now", now, "then", then);
}

static json_t *both_counts(unsigned now, unsigned then)
{
    return json_pack("{s:I, s:I}", "now", (json_int_t)now, "then", (json_int_t)then);
}

/* What only a rate would tell. */
static json_t *both_unknown(void)
{
    return json_pack("{s:n, s:n}", "now", "then");
}

/* --- load balancers, and their rules --- */

/* In the configuration's order: all of these pointers are into its arrays. What no load balancer serves comes first. */
static int compare_counts(const void *a, const void *b)
{
    const struct simulated_count *x = a, *y = b;
    if (x->load_balancer != y->load_balancer)
        return x->load_balancer < y->load_balancer ? -1 : 1;
    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    if (x->outcome != y->outcome)
        return x->outcome < y->outcome ? -1 : 1;
    unsigned i = x->endpoint ? x->endpoint->index : 0, k = y->endpoint ? y->endpoint->index : 0;
    return (i > k) - (i < k);
}

struct standing {
    struct load_balancer_standing now, then;
};

static void stand_with_list(const struct simulation *x, const struct load_balancer *lb, const struct pool_list *list, enum simulated_phase phase,
                            struct load_balancer_standing *out)
{
    struct pool_census *censuses = mem_array(list->n + 1, sizeof *censuses);
    for (size_t i = 0; i < list->n; i++)
        censuses[i] = x->censuses[phase][list->pools[i]->index];
    load_balancer_stand(lb, list, censuses, lb->fallback_pool ? &x->censuses[phase][lb->fallback_pool->index] : NULL, out);
    free(censuses);
}

/* With the list that is off worst. */
static void stand(const struct simulation *x, const struct load_balancer *lb, enum simulated_phase phase, struct load_balancer_standing *out)
{
    *out = (struct load_balancer_standing){ .state = LB_UNKNOWN };
    for (size_t i = 0; i < lb->n_lists; i++) {
        struct load_balancer_standing one;
        stand_with_list(x, lb, &lb->lists[i], phase, &one);
        if (!i || (one.state != out->state && load_balancer_worse(one.state, out->state) == one.state))
            *out = one;
    }
}

static json_t *endpoint_share_json(const struct simulated_count *c, const unsigned all[static SIMULATED_PHASES])
{
    double now = share(c->n[SIMULATED_NOW], all[SIMULATED_NOW]), then = share(c->n[SIMULATED_THEN], all[SIMULATED_THEN]);
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:o}", "endpoint", c->endpoint->id, "pool", c->endpoint->pool->name, "now", now, "then", then, "change",
                     then - now, "last_resort", both(share(c->last_resort[SIMULATED_NOW], all[SIMULATED_NOW]),
                                                     share(c->last_resort[SIMULATED_THEN], all[SIMULATED_THEN])));
}

/* One of them, or one of its rules: `counts` are all that is known of it. */
static json_t *balancer_json(const struct simulation *x, const struct simulated_count *counts, size_t n)
{
    unsigned all[SIMULATED_PHASES] = { 0 }, of_traffic[SIMULATED_PHASES] = { 0 }, by_outcome[SIMULATED_OUTCOMES][SIMULATED_PHASES] = { 0 };
    const struct load_balancer *lb = counts->rule && !counts->rule->response.status ? &counts->rule->balancer : counts->load_balancer;
    struct standing standing;
    json_t *endpoints = json_array(), *outcomes = json_object();
    for (size_t i = 0; i < n; i++)
        for (unsigned phase = 0; phase < SIMULATED_PHASES; phase++) {
            all[phase] += counts[i].n[phase];
            of_traffic[phase] += counts[i].of_traffic[phase];
            by_outcome[counts[i].outcome][phase] += counts[i].n[phase];
        }
    for (size_t i = 0; i < n; i++)
        if (counts[i].outcome == SIMULATED_SENT)
            json_array_append_new(endpoints, endpoint_share_json(&counts[i], all));
    for (unsigned o = 0; o < SIMULATED_OUTCOMES; o++)
        json_object_set_new(outcomes, outcome_names[o],
                            both(share(by_outcome[o][SIMULATED_NOW], all[SIMULATED_NOW]), share(by_outcome[o][SIMULATED_THEN], all[SIMULATED_THEN])));
    stand(x, lb, SIMULATED_NOW, &standing.now);
    stand(x, lb, SIMULATED_THEN, &standing.then);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o}", "load_balancer", counts->load_balancer->name, "rule",
                     status_text_json(counts->rule ? counts->rule->name : NULL), "rule_line",
                     counts->rule ? json_integer(counts->rule->at.line) : json_null(), "requests", both_counts(all[SIMULATED_NOW], all[SIMULATED_THEN]), "share",
                     both(share(of_traffic[SIMULATED_NOW], x->of_traffic[SIMULATED_NOW]), share(of_traffic[SIMULATED_THEN], x->of_traffic[SIMULATED_THEN])), "state_now",
                     load_balancer_state_name(standing.now.state), "state_then", load_balancer_state_name(standing.then.state), "reason_then",
                     status_text_json(standing.then.reason), "endpoints", endpoints, "outcomes", outcomes);
}

static bool is_of_same(const struct simulated_count *a, const struct simulated_count *b)
{
    return a->load_balancer == b->load_balancer && a->rule == b->rule;
}

static json_t *balancers_json(const struct simulation *x)
{
    json_t *out = json_array();
    for (size_t i = 0, n; i < x->n_counts; i += n) {
        for (n = 1; i + n < x->n_counts && is_of_same(&x->counts[i], &x->counts[i + n]); n++)
            ;
        if (x->counts[i].load_balancer)
            json_array_append_new(out, balancer_json(x, &x->counts[i], n));
    }
    return out;
}

static unsigned sum_of(const struct simulation *x, enum simulated_outcome outcome, enum simulated_phase phase)
{
    unsigned n = 0;
    for (size_t i = 0; i < x->n_counts; i++)
        n += x->counts[i].outcome == outcome ? x->counts[i].n[phase] : 0;
    return n;
}

static json_t *outcomes_json(const struct simulation *x)
{
    json_t *out = json_object();
    for (enum simulated_outcome o = 0; o < SIMULATED_OUTCOMES; o++)
        json_object_set_new(out, outcome_names[o], both(share(sum_of(x, o, SIMULATED_NOW), x->made[SIMULATED_NOW]),
                                                        share(sum_of(x, o, SIMULATED_THEN), x->made[SIMULATED_THEN])));
    return out;
}

static double unanswered(const struct simulation *x, enum simulated_phase phase)
{
    return share(sum_of(x, SIMULATED_LOST, phase) + sum_of(x, SIMULATED_NOBODY, phase) + sum_of(x, SIMULATED_WAITED, phase), x->made[phase]);
}

/* --- endpoints --- */

static const char *assumed(const struct simulated_endpoint *e)
{
    return e->down ? "down" : e->drained ? "drained" : NULL;
}

static json_t *endpoint_json(const struct simulation *x, const struct simulation_terms *terms, const struct endpoint *e)
{
    const struct simulated_endpoint *s = &x->endpoints[e->index];
    double now = x->rate * share(s->sent[SIMULATED_NOW], x->of_traffic[SIMULATED_NOW]);
    double then = x->rate * share(s->sent[SIMULATED_THEN], x->of_traffic[SIMULATED_THEN]);
    bool known = x->rate > 0;
    json_t *rate = known ? both(now, then) : both_unknown();
    json_object_set_new(rate, "measured", terms->traffic ? json_real(terms->traffic[e->index]) : json_null());
    return json_pack("{s:s, s:o, s:b, s:o, s:f, s:s, s:o, s:o, s:o, s:b}", "endpoint", e->id, "assumed", status_text_json(assumed(s)), "out_already",
                     (int)s->was_out, "requests_per_second", rate,
                     "latency_ms", s->latency_s * 1000, "latency_from", latency_names[s->latency_from], "in_flight",
                     known ? both(now * s->latency_s, then * s->latency_s) : both_unknown(), "most_in_flight",
                     known ? both_counts(s->most_in_flight[SIMULATED_NOW], s->most_in_flight[SIMULATED_THEN]) : both_unknown(), "max_in_flight",
                     e->max_in_flight ? json_integer(e->max_in_flight) : json_null(), "full_then",
                     (int)(known && e->max_in_flight && s->most_in_flight[SIMULATED_THEN] >= e->max_in_flight));
}

static json_t *endpoints_json(const struct simulation *x, const struct simulation_terms *terms)
{
    json_t *out = json_array();
    for (size_t i = 0; i < x->config->n_endpoints; i++) {
        const struct simulated_endpoint *s = &x->endpoints[i];
        if (assumed(s) || s->sent[SIMULATED_NOW] || s->sent[SIMULATED_THEN])
            json_array_append_new(out, endpoint_json(x, terms, x->config->endpoints[i]));
    }
    return out;
}

/* --- pools --- */

static unsigned usable(const struct pool_census *c)
{
    return c->at[USABLE_HEALTHY] + c->at[USABLE_EJECTED] + c->at[USABLE_UNKNOWN];
}

static bool is_concerned(const struct simulation *x, const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_endpoints; i++)
        if (assumed(&x->endpoints[pool->endpoints[i].index]))
            return true;
    return false;
}

static json_t *pool_json(const struct simulation *x, const struct pool *pool)
{
    const struct pool_census *now = &x->censuses[SIMULATED_NOW][pool->index], *then = &x->censuses[SIMULATED_THEN][pool->index];
    struct pool_standing standing_now, standing_then;
    unsigned needed = pool->minimum_endpoints ? pool->minimum_endpoints : 1;
    pool_stand(pool, now, &standing_now);
    pool_stand(pool, then, &standing_then);
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:i, s:b}", "pool", pool->name, "state_now", pool_state_name(standing_now.state), "state_then",
                     pool_state_name(standing_then.state), "reason_then", status_text_json(standing_then.reason), "usable_endpoints",
                     json_pack("{s:i, s:i}", "now", (int)usable(now), "then", (int)usable(then)), "minimum_endpoints", (int)needed, "falls_below_minimum",
                     (int)(usable(now) >= needed && usable(then) < needed));
}

static json_t *pools_json(const struct simulation *x)
{
    json_t *out = json_array();
    for (size_t i = 0; i < x->config->n_pools; i++)
        if (is_concerned(x, &x->config->pools[i]))
            json_array_append_new(out, pool_json(x, &x->config->pools[i]));
    return out;
}

/* --- the whole --- */

static json_t *names_json(const struct simulation *x, bool drained)
{
    json_t *out = json_array();
    for (size_t i = 0; i < x->config->n_endpoints; i++)
        if (drained ? x->endpoints[i].drained && !x->endpoints[i].down : x->endpoints[i].down)
            json_array_append_new(out, json_string(x->config->endpoints[i]->id));
    return out;
}

json_t *simulation_json(const struct simulation *x, const struct simulation_terms *terms)
{
    qsort(x->counts, x->n_counts, sizeof *x->counts, compare_counts);
    return json_pack("{s:o, s:o, s:b, s:{s:s, s:i, s:o}, s:{s:o, s:o}, s:o, s:o, s:o, s:o, s:o}", "down", names_json(x, false), "drained", names_json(x, true),
                     "complete", (int)x->complete, "sample", "source", terms->sample_given ? "given" : "uniform", "clients", (int)terms->n_clients,
                     "requests", both_counts(x->made[SIMULATED_NOW], x->made[SIMULATED_THEN]), "rate", "requests_per_second",
                     x->rate > 0 ? json_real(x->rate) : json_null(), "measured_over_s", terms->traffic ? json_real(terms->window_s) : json_null(),
                     "load_balancers", balancers_json(x), "endpoints", endpoints_json(x, terms), "pools", pools_json(x), "outcomes", outcomes_json(x),
                     "unanswered", both(unanswered(x, SIMULATED_NOW), unanswered(x, SIMULATED_THEN)));
}
