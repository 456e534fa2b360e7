#include "balance/candidate.h"

#include "balance/outlier.h"
#include "balance/tunnel.h"

#include <math.h>

static const double SLOW_START_FLOOR = 0.1;

static bool takes_new_streams(const struct endpoint *e)
{
    return e->kind != ENDPOINT_EDGE || (e->edge_tunnel && tunnel_is_usable(e->edge_tunnel));
}

static enum condition condition_by_operator(const struct endpoint *e, unsigned assumed)
{
    if (!e->enabled)
        return CONDITION_DISABLED_BY_FILE;
    switch ((enum admin_state)(assumed & ASSUME_ENABLED ? ADMIN_ENABLED : atomic_load_explicit(&e->live->admin, memory_order_relaxed))) {
    case ADMIN_DRAINED: return CONDITION_DRAINED;
    case ADMIN_DISABLED: return CONDITION_DISABLED;
    case ADMIN_ENABLED: break;
    }
    return CONDITION_GOOD;
}

static enum condition condition_assuming(const struct endpoint *e, unsigned assumed, nsec_t now)
{
    const struct endpoint_live *live = e->live;
    bool connected = takes_new_streams(e), dialable = atomic_load_explicit(&live->dialable, memory_order_relaxed);
    enum condition by_operator = condition_by_operator(e, assumed);

    if (by_operator != CONDITION_GOOD)
        return by_operator;
    if (!connected && !(assumed & ASSUME_CONNECTED))
        return CONDITION_NO_CONNECTOR;
    if (!dialable)
        return e->kind == ENDPOINT_EDGE ? CONDITION_KEPT_OUT : CONDITION_NO_ADDRESS;
    bool ejected = outlier_is_ejected(live, now);
    /* Of a tunnel without a connection for new streams health says just that. */
    enum health health = e->pool->n_monitors && connected ? atomic_load_explicit(&live->health, memory_order_relaxed) : HEALTH_UP;
    switch (health) {
    case HEALTH_UP:
        return ejected ? CONDITION_EJECTED : CONDITION_GOOD;
    case HEALTH_UNKNOWN:
        return ejected ? CONDITION_UNKNOWN_EJECTED : CONDITION_UNKNOWN;
    case HEALTH_DOWN:
        break;
    }
    return CONDITION_DOWN;
}

enum condition endpoint_condition(const struct endpoint *e, nsec_t now)
{
    return condition_assuming(e, 0, now);
}

enum usability condition_usability(enum condition condition)
{
    static const enum usability table[] = {
        [CONDITION_DISABLED_BY_FILE] = USABLE_NEVER,
        [CONDITION_DISABLED] = USABLE_NEVER,
        [CONDITION_DRAINED] = USABLE_NEVER,
        [CONDITION_NO_CONNECTOR] = USABLE_ABSENT,
        [CONDITION_KEPT_OUT] = USABLE_ABSENT,
        [CONDITION_NO_ADDRESS] = USABLE_LAST_RESORT,
        [CONDITION_DOWN] = USABLE_LAST_RESORT,
        [CONDITION_UNKNOWN_EJECTED] = USABLE_LAST_RESORT,
        [CONDITION_UNKNOWN] = USABLE_UNKNOWN,
        [CONDITION_EJECTED] = USABLE_EJECTED,
        [CONDITION_GOOD] = USABLE_HEALTHY,
    };
    return table[condition];
}

enum usability endpoint_usability(const struct endpoint *e, nsec_t now)
{
    return condition_usability(endpoint_condition(e, now));
}

enum usability endpoint_usability_assuming(const struct endpoint *e, unsigned assumed, nsec_t now)
{
    return condition_usability(condition_assuming(e, assumed, now));
}

/* 1 when it is not ramping. */
static double slow_start_share(const struct endpoint *e, nsec_t now)
{
    nsec_t from = atomic_load_explicit(&e->live->slow_start_from, memory_order_relaxed);

    if (!from || now - from >= e->pool->slow_start)
        return 1;
    return fmax(SLOW_START_FLOOR, (double)(now - from) / (double)e->pool->slow_start);
}

bool endpoint_is_ramping(const struct endpoint *e, nsec_t now)
{
    return slow_start_share(e, now) < 1;
}

static double connections_share(const struct endpoint *e)
{
    uint32_t usable = e->pool->connection_scaling && e->edge_tunnel ? atomic_load_explicit(&e->edge_tunnel->usable, memory_order_acquire) : 0;

    return usable ? (double)usable / e->pool->connection_scaling : 1;
}

struct weight endpoint_weigh(const struct endpoint *e, nsec_t now, bool ramp)
{
    return (struct weight){
        .configured = e->weight,
        .given = atomic_load_explicit(&e->live->weight_override, memory_order_relaxed),
        .slow_start = ramp ? slow_start_share(e, now) : 1,
        .connections = connections_share(e),
    };
}

double endpoint_weight(const struct endpoint *e, nsec_t now, bool ramp)
{
    struct weight weight = endpoint_weigh(e, now, ramp);

    return weight_total(&weight);
}

static bool is_awaited(const struct endpoint *e, enum usability level)
{
    if (level == USABLE_LAST_RESORT)
        return atomic_load_explicit(&e->live->resolving, memory_order_relaxed);
    return level == USABLE_ABSENT && e->edge_tunnel &&
           atomic_load_explicit(&e->edge_tunnel->status, memory_order_relaxed) == TUNNEL_UNKNOWN;
}

static bool is_kept_out(const struct endpoint *e, enum usability level)
{
    return level == USABLE_ABSENT && atomic_load_explicit(&e->live->kept_out, memory_order_relaxed) && takes_new_streams(e);
}

static bool is_held_back(const struct endpoint *e, enum usability level)
{
    return level == USABLE_ABSENT && e->edge_tunnel && tunnel_is_held_back(e->edge_tunnel);
}

static enum usability census_level(const struct endpoint *e, nsec_t now)
{
    return endpoint_weight(e, now, false) > 0 ? endpoint_usability(e, now) : USABLE_NEVER;
}

void pool_take_census(const struct pool *pool, nsec_t now, struct pool_census *census)
{
    *census = (struct pool_census){ 0 };
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        enum usability level = census_level(&pool->endpoints[i], now);
        census->at[level]++;
        census->weightless += level == USABLE_NEVER && endpoint_usability(&pool->endpoints[i], now) != USABLE_NEVER;
        census->awaited += is_awaited(&pool->endpoints[i], level);
        census->kept_out += is_kept_out(&pool->endpoints[i], level);
        census->held_back += is_held_back(&pool->endpoints[i], level);
    }
}

static unsigned usable_at(const struct pool_census *census, enum usability level)
{
    unsigned n = 0;

    for (unsigned i = 0; i <= level && i < USABLE_LEVELS; i++)
        n += census->at[i];
    return n;
}

static unsigned needed(const struct pool *pool)
{
    return pool->minimum_endpoints ? pool->minimum_endpoints : 1;
}

bool pool_is_usable(const struct pool *pool, const struct pool_census *census, enum usability level)
{
    return pool->enabled && usable_at(census, level) >= needed(pool);
}

const char *pool_state_name(enum pool_state state)
{
    static const char *const names[] = {
        [POOL_HEALTHY] = "healthy", [POOL_DEGRADED] = "degraded", [POOL_CRITICAL] = "critical",
        [POOL_UNKNOWN] = "unknown", [POOL_DISABLED] = "disabled",
    };
    return names[state];
}

enum pool_state pool_state(const struct pool *pool, const struct pool_census *census)
{
    unsigned healthy = census->at[USABLE_HEALTHY], unknown = census->at[USABLE_UNKNOWN] + census->awaited;
    unsigned bad = census->at[USABLE_EJECTED] + census->at[USABLE_LAST_RESORT] + census->at[USABLE_ABSENT] - census->awaited;

    if (!pool->enabled)
        return POOL_DISABLED;
    if (healthy < needed(pool))
        return healthy + unknown >= needed(pool) ? POOL_UNKNOWN : POOL_CRITICAL;
    if (bad)
        return POOL_DEGRADED;
    return unknown ? POOL_UNKNOWN : POOL_HEALTHY;
}

static struct candidacy standing_of(const struct endpoint *e, enum usability level, nsec_t now, bool ramp)
{
    struct candidacy s = {
        .condition = (uint8_t)endpoint_condition(e, now),
        .ejected_for = atomic_load_explicit(&e->live->ejected_for, memory_order_relaxed),
        .placed = (uint8_t)e->placed,
        .weight = endpoint_weigh(e, now, ramp),
    };
    enum usability usability = condition_usability((enum condition)s.condition);

    if (usability > level || (unsigned)usability >= USABLE_LEVELS)
        s.ruled_out = RULED_USABILITY;
    else if (!(weight_total(&s.weight) > 0))
        s.ruled_out = RULED_WEIGHT;
    return s;
}

void pool_fill_candidates(const struct pool *pool, enum usability level, nsec_t now, struct steering_candidate *out, struct candidacy *standings)
{
    struct pool_census census;
    pool_take_census(pool, now, &census);
    bool ramp = usable_at(&census, level) >= 2;

    for (size_t i = 0; i < pool->n_endpoints; i++) {
        const struct endpoint *e = &pool->endpoints[i];
        struct candidacy standing = standing_of(e, level, now, ramp);
        out[i] = (struct steering_candidate){
            .id = e->hash,
            .weight = standing.ruled_out ? 0 : weight_total(&standing.weight),
            .latitude = e->latitude,
            .longitude = e->longitude,
            .order = e->order,
            .usable_since = endpoint_usable_since(e->live),
        };
        if (standings)
            standings[i] = standing;
    }
}

static bool had_its_minimum_before(const struct pool *pool, nsec_t instant, nsec_t now)
{
    unsigned n = 0;

    for (size_t i = 0; i < pool->n_endpoints && n < needed(pool); i++) {
        const struct endpoint *e = &pool->endpoints[i];
        n += e->enabled && endpoint_weight(e, now, false) > 0 && endpoint_was_in_service(e->live, instant);
    }
    return n >= needed(pool);
}

/* The latest instant before which the pool lacked its minimum. That can only be one at which an endpoint returned. */
static nsec_t pool_usable_since(const struct pool *pool, nsec_t now)
{
    nsec_t latest = 0;

    for (size_t i = 0; i < pool->n_endpoints; i++)
        for (unsigned j = 0; j < STRETCHES_KEPT; j++) {
            nsec_t since = atomic_load_explicit(&pool->endpoints[i].live->stretches[j].since, memory_order_relaxed);
            if (since > latest && !had_its_minimum_before(pool, since, now))
                latest = since;
        }
    return latest;
}

static enum ruled_out pool_ruled_out(const struct pool *pool, bool usable, double weight)
{
    if (!pool->enabled)
        return RULED_DISABLED;
    if (!usable)
        return RULED_USABILITY;
    return weight > 0 ? RULED_IN : RULED_WEIGHT;
}

void pool_list_fill_candidates(const struct pool_list *list, enum usability level, nsec_t now, struct steering_candidate *out,
                               struct candidacy *standings)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct pool *pool = list->pools[i];
        struct pool_census census;
        pool_take_census(pool, now, &census);
        bool usable = pool_is_usable(pool, &census, level);
        double weight = list->weights ? list->weights[i] : 1;
        out[i] = (struct steering_candidate){
            .id = pool->hash,
            .weight = usable ? weight : 0,
            .latitude = pool->latitude,
            .longitude = pool->longitude,
            .order = (unsigned)i,
            .usable_since = usable ? pool_usable_since(pool, now) : 0,
        };
        if (standings)
            standings[i] = (struct candidacy){
                .ruled_out = (uint8_t)pool_ruled_out(pool, usable, weight),
                .placed = (uint8_t)pool->placed,
                .weight = { .configured = weight, .given = (double)NAN, .slow_start = 1, .connections = 1 },
            };
    }
}
