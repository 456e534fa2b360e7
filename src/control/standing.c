#include "control/standing.h"

#include "balance/pool_map.h"

#include <stdio.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

const char *load_balancer_state_name(enum load_balancer_state state)
{
    static const char *const names[] = { "unknown", "healthy", "degraded", "failover", "fallback", "down", "disabled" };
    return names[state];
}

/* --- pools --- */

static unsigned census_usable(const struct pool_census *c)
{
    return c->at[USABLE_HEALTHY];
}

/* Those that file and operator let be used at all. */
static unsigned census_admitted(const struct pool_census *c)
{
    return c->at[USABLE_HEALTHY] + c->at[USABLE_EJECTED] + c->at[USABLE_UNKNOWN] + c->at[USABLE_LAST_RESORT] + c->at[USABLE_ABSENT];
}

static void describe_census(const struct pool *pool, const struct pool_census *c, char out[VERDICT_TEXT_SIZE])
{
    const struct {
        unsigned n;
        const char *word;
    } others[] = { { c->at[USABLE_EJECTED], "ejected" }, { c->at[USABLE_UNKNOWN], "unknown" },
                   { c->at[USABLE_ABSENT] - c->kept_out - c->held_back, "without a connector" }, { c->kept_out, "kept out by \"identical\"" },
                   { c->held_back, "whose connectors are drained or of weight 0" },
                   { c->at[USABLE_NEVER] - c->weightless, "drained or disabled" },
                   { c->weightless, "of weight 0" } };

    int n = snprintf(out, VERDICT_TEXT_SIZE, "%u of %u endpoints usable", census_usable(c), census_admitted(c));
    if (pool->minimum_endpoints > 1)
        n += snprintf(out + n, VERDICT_TEXT_SIZE - (size_t)n, ", %u needed", pool->minimum_endpoints);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].n)
            n += snprintf(out + n, VERDICT_TEXT_SIZE - (size_t)n, ", %u %s", others[i].n, others[i].word);
}

void pool_stand(const struct pool *pool, const struct pool_census *census, struct pool_standing *out)
{
    *out = (struct pool_standing){ .state = pool_state(pool, census) };
    out->settled = out->state != POOL_UNKNOWN;
    if (out->state == POOL_DISABLED)
        snprintf(out->reason, sizeof out->reason, "disabled by the configuration");
    else
        describe_census(pool, census, out->reason);
}

bool announce_pool(enum pool_state told, const struct pool_standing *now, struct announcement *out)
{
    if (!now->settled || now->state == told)
        return false;
    switch (now->state) {
    case POOL_HEALTHY:
        *out = (struct announcement){ "pool.healthy", SEVERITY_INFO, told == POOL_DEGRADED || told == POOL_CRITICAL };
        return true;
    case POOL_DEGRADED:
        *out = (struct announcement){ "pool.degraded", SEVERITY_WARNING, false };
        return true;
    case POOL_CRITICAL:
        *out = (struct announcement){ "pool.critical", SEVERITY_CRITICAL, false };
        return true;
    case POOL_UNKNOWN:
    case POOL_DISABLED:
        break;
    }
    return false;
}

/* --- load balancers --- */

/* The first pool that is usable at this level, or list->n. */
static size_t first_usable(const struct pool_list *list, const struct pool_census *censuses, enum usability level)
{
    size_t i = 0;
    while (i < list->n && (!pool_list_has(list, i) || !pool_is_usable(list->pools[i], &censuses[i], level)))
        i++;
    return i;
}

static size_t first_steered_to(const struct pool_list *list)
{
    size_t i = 0;
    while (i < list->n && !pool_list_has(list, i))
        i++;
    return i;
}

static bool has_anybody(const struct pool *pool, const struct pool_census *census)
{
    return pool->enabled && census_admitted(census) > census->at[USABLE_ABSENT];
}

/* "pool europe is critical (0 of 1 endpoints usable)" for those of the pools before `end` that are not as they should be. */
static size_t describe_pools(const struct pool_list *list, const struct pool_census *censuses, size_t end, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < end && n < size; i++) {
        struct pool_standing standing;
        pool_stand(list->pools[i], &censuses[i], &standing);
        if (!pool_list_has(list, i) || standing.state == POOL_HEALTHY)
            continue;
        int m = snprintf(out + n, size - n, "%spool %s is %s (%s)", n ? ", " : "", list->pools[i]->name, pool_state_name(standing.state),
                         standing.reason);
        n += (size_t)m;
    }
    return n < size ? n : size - 1;
}

static bool some_pool_is_bad(const struct pool_list *list, const struct pool_census *censuses)
{
    for (size_t i = 0; i < list->n; i++) {
        enum pool_state state = pool_state(list->pools[i], &censuses[i]);
        if (pool_list_has(list, i) && (state == POOL_DEGRADED || state == POOL_CRITICAL))
            return true;
    }
    return false;
}

/* Could a verdict that is still missing bring one of the pools before `end` into use? */
static bool pools_are_settled(const struct pool_list *list, const struct pool_census *censuses, size_t end)
{
    for (size_t i = 0; i < end; i++)
        if (pool_list_has(list, i) && pool_state(list->pools[i], &censuses[i]) == POOL_UNKNOWN)
            return false;
    return true;
}

static unsigned count_usable(const struct pool_list *list, const struct pool_census *censuses, enum usability level)
{
    unsigned n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += pool_list_has(list, i) && pool_is_usable(list->pools[i], &censuses[i], level);
    return n;
}

/* Of several, which one has the traffic at this moment is the policy's matter: one that is back in its place may wait for failback_delay. */
static void say_where(const struct load_balancer *lb, unsigned usable, const struct pool *first, char *out, size_t size)
{
    const struct steering_policy *policy = lb->steering.policy;
    if (usable == 1)
        snprintf(out, size, ": traffic goes to %s", first->name);
    else if (policy->steadiness == STEERING_STEADY)
        snprintf(out, size, ": %s comes first, by %s", first->name, policy->name);
    else
        snprintf(out, size, ": %s steers between %u pools", policy->name, usable);
}

static void stand_on_pool(const struct load_balancer *lb, const struct pool_list *list, const struct pool_census *censuses, size_t chosen,
                          enum usability level, struct load_balancer_standing *out)
{
    unsigned usable = count_usable(list, censuses, level);
    out->pool = list->pools[chosen];
    if (level == USABLE_UNKNOWN) {
        out->state = LB_UNKNOWN;
        int n = snprintf(out->reason, sizeof out->reason, "no verdict yet");
        say_where(lb, usable, out->pool, out->reason + n, sizeof out->reason - (size_t)n);
        return;
    }
    if (chosen > first_steered_to(list)) {
        out->state = LB_FAILOVER;
        out->settled = pools_are_settled(list, censuses, chosen);
        int n = snprintf(out->reason, sizeof out->reason, "failover: ");
        size_t m = describe_pools(list, censuses, chosen, out->reason + n, sizeof out->reason - (size_t)n);
        say_where(lb, usable, out->pool, out->reason + (size_t)n + m, sizeof out->reason - (size_t)n - m);
        return;
    }
    out->settled = true;
    size_t n = describe_pools(list, censuses, list->n, out->reason, sizeof out->reason);
    out->state = some_pool_is_bad(list, censuses) ? LB_DEGRADED : LB_HEALTHY;
    n += (size_t)snprintf(out->reason + n, sizeof out->reason - n, "%s", n ? "" : "all pools are healthy");
    say_where(lb, usable, out->pool, out->reason + n, sizeof out->reason - n);
}

static bool stand_on_last_resort(const struct load_balancer *lb, const struct pool_list *list, const struct pool_census *censuses, const struct pool_census *fallback,
                                 struct load_balancer_standing *out)
{
    if (lb->when_all_down == WHEN_ALL_DOWN_503)
        return false;
    if (lb->when_all_down == WHEN_ALL_DOWN_FALLBACK_POOL && fallback) {
        out->pool = has_anybody(lb->fallback_pool, fallback) ? lb->fallback_pool : NULL;
        return out->pool;
    }
    for (size_t i = 0; i < list->n; i++) {
        if (!has_anybody(list->pools[i], &censuses[i]))
            continue;
        out->pool = list->pools[i];
        return true;
    }
    return false;
}

static void stand_without_pool(const struct load_balancer *lb, const struct pool_list *list, const struct pool_census *censuses, const struct pool_census *fallback,
                               struct load_balancer_standing *out)
{
    out->settled = pools_are_settled(list, censuses, list->n);
    out->state = stand_on_last_resort(lb, list, censuses, fallback, out) ? LB_FALLBACK : LB_DOWN;
    if (!out->settled) {
        out->state = LB_UNKNOWN;
        snprintf(out->reason, sizeof out->reason, "no verdict yet: names are being resolved, or connectors are on their way");
        return;
    }
    int n = snprintf(out->reason, sizeof out->reason, "%s: ", load_balancer_state_name(out->state));
    size_t m = describe_pools(list, censuses, list->n, out->reason + n, sizeof out->reason - (size_t)n);
    size_t end = (size_t)n + m;
    if (out->state == LB_DOWN)
        snprintf(out->reason + end, sizeof out->reason - end, ": requests are answered with %u%s", lb->down_page.file ? lb->down_page.status : 503,
                 lb->down_page.file ? " and the page" : "");
    else if (out->pool == lb->fallback_pool)
        snprintf(out->reason + end, sizeof out->reason - end, ": traffic goes to the fallback pool %s, health ignored", out->pool->name);
    else
        snprintf(out->reason + end, sizeof out->reason - end, ": traffic goes to the least bad endpoint");
}

void load_balancer_stand(const struct load_balancer *lb, const struct pool_list *list, const struct pool_census *censuses, const struct pool_census *fallback,
                         struct load_balancer_standing *out)
{
    *out = (struct load_balancer_standing){ .state = LB_UNKNOWN };
    if (!lb->enabled) {
        out->state = LB_DISABLED;
        out->settled = true;
        snprintf(out->reason, sizeof out->reason, "disabled by the configuration");
        return;
    }
    for (enum usability level = USABLE_HEALTHY; level <= USABLE_UNKNOWN; level++) {
        size_t chosen = first_usable(list, censuses, level);
        if (chosen == list->n)
            continue;
        stand_on_pool(lb, list, censuses, chosen, level, out);
        return;
    }
    stand_without_pool(lb, list, censuses, fallback, out);
}

enum load_balancer_state load_balancer_worse(enum load_balancer_state a, enum load_balancer_state b)
{
    static const unsigned ranks[] = {
        [LB_HEALTHY] = 0, [LB_DEGRADED] = 1, [LB_UNKNOWN] = 2, [LB_FAILOVER] = 3, [LB_FALLBACK] = 4, [LB_DOWN] = 5, [LB_DISABLED] = 6,
    };
    return ranks[b] > ranks[a] ? b : a;
}

bool load_balancer_is_ready(enum load_balancer_state state)
{
    return state == LB_HEALTHY || state == LB_DEGRADED || state == LB_FAILOVER;
}

bool announce_load_balancer(enum load_balancer_state told, const struct load_balancer_standing *now, struct announcement *out)
{
    if (!now->settled || now->state == told)
        return false;
    switch (now->state) {
    case LB_FAILOVER:
        *out = (struct announcement){ "load_balancer.failover", SEVERITY_WARNING, false };
        return true;
    case LB_FALLBACK:
        *out = (struct announcement){ "load_balancer.fallback", SEVERITY_CRITICAL, false };
        return true;
    case LB_DOWN:
        *out = (struct announcement){ "load_balancer.down", SEVERITY_CRITICAL, false };
        return true;
    case LB_HEALTHY:
    case LB_DEGRADED: /* what is wrong with a pool, the pool's own events say */
        *out = (struct announcement){ "load_balancer.recovered", SEVERITY_INFO, true };
        return told == LB_FAILOVER || told == LB_FALLBACK || told == LB_DOWN;
    case LB_UNKNOWN:
    case LB_DISABLED:
        break;
    }
    return false;
}

/* --- endpoints --- */

bool announce_endpoint(enum verdict_state told, enum verdict_state now, struct announcement *out)
{
    if (told == now)
        return false;
    switch (now) {
    case VERDICT_HEALTHY:
        *out = (struct announcement){ "endpoint.healthy", SEVERITY_INFO, told == VERDICT_EJECTED || told == VERDICT_DOWN };
        return true;
    case VERDICT_EJECTED:
        *out = (struct announcement){ "endpoint.unhealthy", SEVERITY_WARNING, false };
        return told != VERDICT_DOWN; /* still unhealthy, and less so */
    case VERDICT_DOWN:
        *out = (struct announcement){ "endpoint.unhealthy", SEVERITY_WARNING, false };
        return true;
    case VERDICT_DRAINED:
    case VERDICT_DISABLED:
        /* Whoever takes a failed endpoint out of use knows of it: that is over. */
        *out = (struct announcement){ "endpoint.drained", SEVERITY_INFO, told == VERDICT_EJECTED || told == VERDICT_DOWN };
        return true;
    case VERDICT_UNKNOWN:
        break;
    }
    return false;
}

/* --- tunnels --- */

static bool was_carried_by_a_connection(enum diagnosis d)
{
    return d == DIAGNOSIS_OK || d == DIAGNOSIS_ORIGIN_DOWN || d == DIAGNOSIS_NO_INGRESS_RULE || d == DIAGNOSIS_WRONG_STATUS || d == DIAGNOSIS_WRONG_BODY;
}

static enum tunnel_opinion opinion_of_monitor(const struct monitor_evidence *m)
{
    if (m->at == 0 || m->health == HEALTH_UNKNOWN)
        return OPINION_NONE;
    if (m->diagnosis == DIAGNOSIS_TUNNEL_INACTIVE)
        return m->health == HEALTH_DOWN ? OPINION_INACTIVE : OPINION_NONE;
    if (m->diagnosis == DIAGNOSIS_OK && m->health == HEALTH_DOWN)
        return OPINION_NONE; /* on its way up */
    return was_carried_by_a_connection(m->diagnosis) ? OPINION_ALIVE : OPINION_NONE;
}

enum tunnel_opinion tunnel_opinion_of(const struct evidence *evidence, bool traffic_failed, bool traffic_passed)
{
    enum tunnel_opinion opinion = OPINION_NONE;
    for (unsigned i = 0; i < evidence->n_monitors; i++) {
        enum tunnel_opinion one = opinion_of_monitor(&evidence->monitors[i]);
        if (one == OPINION_INACTIVE)
            return OPINION_INACTIVE;
        if (one != OPINION_NONE)
            opinion = one;
    }
    if (traffic_failed)
        return OPINION_INACTIVE;
    if (opinion == OPINION_NONE && evidence->n_monitors == 0 && traffic_passed)
        return OPINION_ALIVE;
    return opinion;
}

enum tunnel_status tunnel_stand(enum tunnel_status before, struct tunnel_tally tally)
{
    if (tally.alive && tally.inactive)
        return TUNNEL_DEGRADED;
    if (tally.alive)
        return TUNNEL_HEALTHY;
    return tally.inactive ? TUNNEL_DOWN : before;
}

bool announce_tunnel(enum tunnel_status told, enum tunnel_status now, struct announcement *out)
{
    if (told == now)
        return false;
    switch (now) {
    case TUNNEL_HEALTHY:
        *out = (struct announcement){ "tunnel.healthy", SEVERITY_INFO, told != TUNNEL_UNKNOWN };
        return true;
    case TUNNEL_DEGRADED:
        *out = (struct announcement){ "tunnel.degraded", SEVERITY_WARNING, false };
        return true;
    case TUNNEL_DOWN:
    case TUNNEL_INACTIVE:
        *out = (struct announcement){ "tunnel.inactive", SEVERITY_CRITICAL, false };
        return true;
    case TUNNEL_UNKNOWN:
        break;
    }
    return false;
}

/* --- certificates --- */

enum certificate_standing certificate_stand(nsec_t not_after, nsec_t wall)
{
    nsec_t left = (not_after - wall) / NSEC_PER_SEC;
    if (left <= 0)
        return CERTIFICATE_EXPIRED;
    if (left <= (nsec_t)CERTIFICATE_VERY_SOON_DAYS * DAY_SECONDS)
        return CERTIFICATE_VERY_SOON;
    return left <= (nsec_t)CERTIFICATE_SOON_DAYS * DAY_SECONDS ? CERTIFICATE_SOON : CERTIFICATE_FINE;
}

bool announce_certificate(enum certificate_standing told, enum certificate_standing now, struct announcement *out)
{
    if (told == now)
        return false;
    if (now == CERTIFICATE_FINE)
        *out = (struct announcement){ "certificate.renewed", SEVERITY_INFO, true };
    else
        *out = (struct announcement){ "certificate.expiring", now == CERTIFICATE_SOON ? SEVERITY_WARNING : SEVERITY_CRITICAL, false };
    return true;
}
