#include "control/explanation.h"

#include "base/units.h"
#include "control/status.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WORDS = 512 };

/* Whom a step considers. */
static const struct {
    const char *code, *words;
} levels[] = {
    [USABLE_HEALTHY] = { "healthy", "the healthy ones" },
    [USABLE_EJECTED] = { "ejected", "the healthy ones and those that traffic ejected" },
    [USABLE_UNKNOWN] = { "unknown", "those that are not down" },
    [USABLE_LAST_RESORT] = { "last_resort", "all of them, whatever their health" },
};

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* --- why one is out --- */

static void say_unusable_endpoint(struct control *control, const struct endpoint *e, char *out)
{
    const struct endpoint_record *record = control_find_endpoint(control, e->id);
    if (record && *record->verdict.reason)
        snprintf(out, WORDS, "%s", record->verdict.reason);
    else
        snprintf(out, WORDS, "it is not usable");
}

static void say_unusable_pool(struct control *control, const struct pool *pool, char *out)
{
    struct pool_record *record;
    HASH_FIND_STR(control->pools, pool->name, record);
    unsigned needed = pool->minimum_endpoints ? pool->minimum_endpoints : 1;
    int n = snprintf(out, WORDS, "it lacks its minimum of %u such endpoint%s", needed, needed == 1 ? "" : "s");
    if (record && *record->reason)
        snprintf(out + n, (size_t)(WORDS - n), ": it is %s, %s", pool_state_name(record->state), record->reason);
}

/* "" where nothing keeps it out. */
static void say_ruled_out(struct control *control, const struct explain_candidate *c, char *out)
{
    *out = '\0';
    switch (c->ruled_out) {
    case RULED_IN: break;
    case RULED_USABILITY:
        if (c->endpoint)
            say_unusable_endpoint(control, c->endpoint, out);
        else
            say_unusable_pool(control, c->pool, out);
        break;
    case RULED_DISABLED: snprintf(out, WORDS, "the pool is disabled"); break;
    case RULED_WEIGHT: snprintf(out, WORDS, "its weight is 0"); break;
    case RULED_FULL: snprintf(out, WORDS, "it has its max_in_flight of %u requests", c->endpoint->max_in_flight); break;
    case RULED_SHED: snprintf(out, WORDS, "it sheds this request (load_shedding)"); break;
    case RULED_EMPTY: snprintf(out, WORDS, "none of its endpoints can be used"); break;
    }
}

static json_t *candidate_json(struct control *control, const struct explain_candidate *c, bool chosen)
{
    char why[WORDS];
    say_ruled_out(control, c, why);
    json_t *out = json_pack("{s:s, s:b, s:o, s:f, s:o, s:i, s:o}", "name", c->endpoint ? c->endpoint->id : c->pool->name, "chosen", (int)chosen,
                            "ruled_out", status_text_json(*why ? why : NULL), "weight", c->weight, "score", number(c->score), "in_flight",
                            (int)c->in_flight, "latency_ms", number(c->latency_s * 1000));
    if (c->endpoint)
        json_object_set_new(out, "slow_start", json_real(c->slow_start));
    return out;
}

/* --- steps --- */

static const char *name_of(const struct explain_step *s, size_t i)
{
    if (i >= s->n)
        return NULL;
    return s->candidates[i].endpoint ? s->candidates[i].endpoint->id : s->candidates[i].pool->name;
}

static void say_step(const struct explain_step *s, char *out)
{
    const char *chosen = name_of(s, s->chosen);
    char where[WORDS / 2];
    if (s->pool)
        snprintf(where, sizeof where, "in pool %s, of its endpoints", s->pool->name);
    else
        snprintf(where, sizeof where, "of the pools");
    if (!s->scores_are)
        snprintf(out, WORDS, "%s, %s: there are none", where, levels[s->level].words);
    else if (s->chosen == STEERING_NONE)
        snprintf(out, WORDS, "%s, %s: none is left", where, levels[s->level].words);
    else
        snprintf(out, WORDS, "%s, %s: %s chooses %s", where, levels[s->level].words, s->by_session ? "the session's key" : s->policy,
                 chosen ? chosen : "one");
}

static json_t *step_json(struct control *control, const struct explain_step *s)
{
    char words[WORDS];
    json_t *candidates = json_array();
    say_step(s, words);
    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(candidates, candidate_json(control, &s->candidates[i], i == s->chosen));
    return json_pack("{s:s, s:o, s:s, s:s, s:b, s:o, s:o, s:o, s:o}", "step", s->pool ? "endpoints" : "pools", "text", status_text_json(words), "level",
                     levels[s->level].code, "policy", s->policy, "by_session", (int)s->by_session, "pool",
                     status_text_json(s->pool ? s->pool->name : NULL), "scores", status_text_json(s->scores_are), "chosen",
                     status_text_json(name_of(s, s->chosen)), "candidates", candidates);
}

static void add(json_t *steps, const char *step, const char *words)
{
    json_array_append_new(steps, json_pack("{s:s, s:o}", "step", step, "text", status_text_json(words)));
}

static void add_load_balancer(json_t *steps, const struct explanation *x, const char *host)
{
    char words[WORDS];
    snprintf(words, sizeof words, "the host %s is served by the load balancer %s", host, x->load_balancer->name);
    add(steps, "load_balancer", words);
    if (!x->rule)
        return;
    snprintf(words, sizeof words, "its rule %s%sof line %u holds", x->rule->name ? x->rule->name : "", x->rule->name ? " " : "", x->rule->at.line);
    add(steps, "rule", words);
}

static void add_session(json_t *steps, const struct explanation *x)
{
    char words[WORDS];
    if (!x->session)
        return;
    snprintf(words, sizeof words, "its session is at %s, %s", x->session->id,
             x->session_stays ? "and stays there" : "which can't have it now: the request is steered like any other");
    add(steps, "session", words);
}

static const char *code_of_map(const struct explanation *x, char out[static PLACE_CODE_SIZE])
{
    const struct place *p = &x->place;
    snprintf(out, PLACE_CODE_SIZE, "%s", x->by == MAP_REGION ? region_name((enum region)p->region) : p->country);
    if (x->by == MAP_SUBDIVISION)
        snprintf(out, PLACE_CODE_SIZE, "%s-%s", p->country, p->subdivision);
    return out;
}

static void add_place(json_t *steps, const struct explanation *x)
{
    const struct place *p = &x->place;
    char words[WORDS];
    if (!x->located || !x->config->geoip.databases.n)
        return;
    if (!*p->country && isnan(p->latitude))
        snprintf(words, sizeof words, "nobody knows where the client is");
    else
        snprintf(words, sizeof words, "the client is in %s%s%s, region %s", *p->country ? p->country : "an unknown country", *p->subdivision ? "-" : "",
                 p->subdivision, p->region ? region_name((enum region)p->region) : "unknown");
    add(steps, "place", words);
}

static void add_list(json_t *steps, const struct explanation *x)
{
    char words[WORDS], code[PLACE_CODE_SIZE];
    const char *has = x->by == MAP_CLIENT ? "has its address" : x->by == MAP_NONE ? "count" : "has ";
    if (!x->list)
        return;
    if (x->rule && x->rule->own_pools) {
        add(steps, "list", "the `pools` of the rule count");
        return;
    }
    snprintf(words, sizeof words, "`%s` %s%s%s", pool_map_key(x->by), has, x->by > MAP_CLIENT ? code_of_map(x, code) : "",
             x->by == MAP_NONE && x->load_balancer->n_lists > 1 ? ", no map has the client" : "");
    add(steps, "list", words);
}

static void add_last_resort(json_t *steps, const struct explanation *x)
{
    char words[WORDS];
    if (!x->last_resort)
        return;
    if (x->load_balancer->when_all_down == WHEN_ALL_DOWN_FALLBACK_POOL && x->load_balancer->fallback_pool)
        snprintf(words, sizeof words, "no pool can be used: the fallback pool %s serves, whatever its health", x->load_balancer->fallback_pool->name);
    else
        snprintf(words, sizeof words, "no pool can be used: the least bad endpoint serves");
    add(steps, "last_resort", words);
}

static void add_failover(json_t *steps, const struct explanation *x)
{
    const struct failover *f = &x->load_balancer->failover;
    char words[WORDS];
    if (!x->endpoint || !f->retries)
        return;
    snprintf(words, sizeof words, "should it fail there, up to %u other%s of %s may be tried", f->retries, f->retries == 1 ? "" : "s",
             f->across_pools ? "all these pools" : "the same pool");
    add(steps, "failover", words);
}

static json_t *steps_json(struct control *control, const struct explanation *x, const char *host)
{
    json_t *steps = json_array();
    add_load_balancer(steps, x, host);
    add_session(steps, x);
    add_place(steps, x);
    add_list(steps, x);
    for (size_t i = 0; i < x->n_steps; i++)
        json_array_append_new(steps, step_json(control, &x->steps[i]));
    add_last_resort(steps, x);
    add_failover(steps, x);
    return steps;
}

/* --- the outcome --- */

/* The last that chose: in the pool, or between the pools. */
static const struct explain_step *last_choice(const struct explanation *x, const struct pool *pool)
{
    for (size_t i = x->n_steps; i-- > 0;)
        if (x->steps[i].pool == pool && x->steps[i].chosen != STEERING_NONE)
            return &x->steps[i];
    return NULL;
}

static const char *chooser(const struct explain_step *s)
{
    return s->by_session ? "the session's key" : s->policy;
}

static void say_choice(const struct explanation *x, char *out)
{
    const struct explain_step *pools = last_choice(x, NULL), *endpoints = last_choice(x, x->endpoint->pool);
    if (x->session_stays)
        snprintf(out, WORDS, "its session is there");
    else if (x->last_resort)
        snprintf(out, WORDS, "no pool can be used, so health is ignored; in pool %s, %s chose it", x->endpoint->pool->name,
                 endpoints ? chooser(endpoints) : "its policy");
    else if (pools && endpoints)
        snprintf(out, WORDS, "between the pools, %s chose %s; within it, %s chose this endpoint%s%s", chooser(pools), x->endpoint->pool->name,
                 chooser(endpoints), endpoints->level > USABLE_HEALTHY ? ", none being healthy, of " : "",
                 endpoints->level > USABLE_HEALTHY ? levels[endpoints->level].words : "");
    else
        snprintf(out, WORDS, "it was chosen");
}

static void say_nobody(const struct load_balancer *lb, const char *why, char *out)
{
    snprintf(out, WORDS, "%s: %u%s", why, lb->down_page.file ? lb->down_page.status : 503, lb->down_page.file ? ", and the page" : "");
}

static void say_reason(const struct explanation *x, char *out)
{
    switch (x->direction) {
    case DIRECT_NO_LOAD_BALANCER: snprintf(out, WORDS, "no load balancer serves this host: 404"); return;
    case DIRECT_DISABLED: say_nobody(x->load_balancer, "the load balancer is disabled", out); return;
    case DIRECT_RESPONSE: snprintf(out, WORDS, "the rule answers by itself, with status %u", x->rule->response.status); return;
    case DIRECT_TO_ENDPOINTS: break;
    }
    switch (x->result) {
    case CHOICE_MADE: say_choice(x, out); break;
    case CHOICE_FULL:
        snprintf(out, WORDS, "those that could be used have all the requests they may have: it waits, up to %g s, then 503",
                 nsec_to_seconds(x->load_balancer->timeouts.queue));
        break;
    case CHOICE_NONE: say_nobody(x->load_balancer, "there is nobody to send to", out); break;
    }
}

json_t *explanation_json(struct control *control, const struct explanation *x, const char *host)
{
    char reason[WORDS];
    say_reason(x, reason);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "load_balancer", x->load_balancer->name, "rule",
                     status_text_json(x->rule ? x->rule->name : NULL), "pool", status_text_json(x->endpoint ? x->endpoint->pool->name : NULL), "endpoint",
                     status_text_json(x->endpoint ? x->endpoint->id : NULL), "reason", status_text_json(reason), "steps", steps_json(control, x, host));
}
