#include "control/records.h"

#include "balance/live.h"
#include "base/mem.h"
#include "control/names.h"
#include "control/override.h"
#include "control/told.h"
#include "control/ways.h"

#include <string.h>

/* --- endpoints --- */

static struct endpoint_record *make_endpoint(struct control *control, const char *id)
{
    struct endpoint_record *record = mem_zero(sizeof *record);
    record->id = mem_copy_text(id);
    record->live = endpoint_live_new(id, (unsigned)control->n_workers);
    record->control = control;
    record->verdict.state = record->told = VERDICT_UNKNOWN;
    record->told_before = told_take_endpoint(control, id);
    HASH_ADD_KEYPTR(hh, control->endpoints, record->id, strlen(record->id), record);
    return record;
}

static void drop_endpoint(struct control *control, struct endpoint_record *record)
{
    HASH_DEL(control->endpoints, record);
    names_unwatch(record);
    endpoint_live_unref(record->live);
    free(record->id);
    free(record);
}

void records_attach(struct control *control, struct config *config)
{
    for (size_t i = 0; i < config->n_endpoints; i++) {
        struct endpoint *endpoint = config->endpoints[i];
        struct endpoint_record *record = control_find_endpoint(control, endpoint->id);
        if (!record)
            record = make_endpoint(control, endpoint->id);
        endpoint->live = endpoint_live_ref(record->live);
    }
}

static void follow_endpoints(struct control *control, const struct config *config)
{
    struct endpoint_record *record, *next;
    HASH_ITER(hh, control->endpoints, record, next) {
        record->endpoint = config_find_endpoint(config, record->id);
        if (!record->endpoint)
            drop_endpoint(control, record);
    }
}

/* --- tunnels --- */

static struct tunnel_record *find_or_make_tunnel(struct control *control, const struct endpoint *endpoint)
{
    struct tunnel_record *tunnel;
    HASH_FIND_STR(control->tunnels, endpoint->tunnel, tunnel);
    if (tunnel)
        return tunnel;
    tunnel = mem_zero(sizeof *tunnel);
    tunnel->id = mem_copy_text(endpoint->tunnel);
    tunnel->since = clock_wall();
    tunnel->told = told_take_tunnel(control, tunnel->id);
    HASH_ADD_KEYPTR(hh, control->tunnels, tunnel->id, strlen(tunnel->id), tunnel);
    return tunnel;
}

static void drop_tunnel(struct control *control, struct tunnel_record *tunnel)
{
    HASH_DEL(control->tunnels, tunnel);
    free(tunnel->id);
    free(tunnel->name);
    free(tunnel);
}

static void name_tunnel(struct tunnel_record *tunnel, const struct config *config, const struct endpoint *endpoint)
{
    if (tunnel->config == config)
        return; /* by an endpoint before this one */
    tunnel->config = config;
    free(tunnel->name);
    tunnel->name = mem_copy_text(endpoint->name);
}

static void follow_tunnels(struct control *control, const struct config *config)
{
    for (size_t i = 0; i < config->n_endpoints; i++) {
        const struct endpoint *endpoint = config->endpoints[i];
        struct endpoint_record *record = control_find_endpoint(control, endpoint->id);
        record->tunnel = endpoint->tunnel && endpoint->kind != ENDPOINT_EDGE ? find_or_make_tunnel(control, endpoint) : NULL;
        if (record->tunnel)
            name_tunnel(record->tunnel, config, endpoint);
    }
    struct tunnel_record *tunnel, *next;
    HASH_ITER(hh, control->tunnels, tunnel, next)
        if (tunnel->config != config)
            drop_tunnel(control, tunnel);
}

/* --- pools --- */

static void drop_pool(struct control *control, struct pool_record *record)
{
    HASH_DEL(control->pools, record);
    free(record->name);
    free(record);
}

static void follow_pool(struct control *control, const struct pool *pool)
{
    struct pool_record *record;
    HASH_FIND_STR(control->pools, pool->name, record);
    if (!record) {
        record = mem_zero(sizeof *record);
        record->name = mem_copy_text(pool->name);
        record->state = POOL_UNKNOWN;
        record->told = told_take_pool(control, record->name);
        HASH_ADD_KEYPTR(hh, control->pools, record->name, strlen(record->name), record);
    }
    record->pool = pool;
}

static void follow_pools(struct control *control, const struct config *config)
{
    struct pool_record *record, *next;
    HASH_ITER(hh, control->pools, record, next)
        if (!config_find_pool(config, record->name))
            drop_pool(control, record);
    for (size_t i = 0; i < config->n_pools; i++)
        follow_pool(control, &config->pools[i]);
}

/* --- load balancers --- */

static void drop_load_balancer(struct control *control, struct load_balancer_record *record)
{
    HASH_DEL(control->load_balancers, record);
    ways_clear(record);
    free(record->name);
    free(record);
}

static void follow_load_balancer(struct control *control, const struct load_balancer *lb)
{
    struct load_balancer_record *record;
    HASH_FIND_STR(control->load_balancers, lb->name, record);
    if (!record) {
        record = mem_zero(sizeof *record);
        record->name = mem_copy_text(lb->name);
        HASH_ADD_KEYPTR(hh, control->load_balancers, record->name, strlen(record->name), record);
    }
    record->load_balancer = lb;
    record->pool = NULL;
    ways_follow(control, record, lb);
}

static void follow_load_balancers(struct control *control, const struct config *config)
{
    struct load_balancer_record *record, *next;
    for (record = control->load_balancers; record; record = record->hh.next)
        record->load_balancer = NULL;
    for (size_t i = 0; i < config->n_load_balancers; i++)
        follow_load_balancer(control, &config->load_balancers[i]);
    HASH_ITER(hh, control->load_balancers, record, next)
        if (!record->load_balancer)
            drop_load_balancer(control, record);
}

/* --- all --- */

void records_follow(struct control *control, const struct config *config)
{
    follow_endpoints(control, config);
    follow_tunnels(control, config);
    follow_pools(control, config);
    follow_load_balancers(control, config);
    for (struct endpoint_record *record = control->endpoints; record; record = record->hh.next) {
        override_apply(control, record);
        names_watch(control, record);
    }
}

void records_clear(struct control *control)
{
    struct endpoint_record *endpoint, *next_endpoint;
    HASH_ITER(hh, control->endpoints, endpoint, next_endpoint)
        drop_endpoint(control, endpoint);
    struct tunnel_record *tunnel, *next_tunnel;
    HASH_ITER(hh, control->tunnels, tunnel, next_tunnel)
        drop_tunnel(control, tunnel);
    struct pool_record *pool, *next_pool;
    HASH_ITER(hh, control->pools, pool, next_pool)
        drop_pool(control, pool);
    struct load_balancer_record *lb, *next_lb;
    HASH_ITER(hh, control->load_balancers, lb, next_lb)
        drop_load_balancer(control, lb);
}
