/* Tunnels that come and go at run time, and the configuration that has to learn of it. */
#include "control/registry.h"

#include "base/log.h"
#include "base/mem.h"
#include "control/publish.h"

#include <stdio.h>

struct joining {
    struct conf_joined *items;
    size_t n;
};

static void add(struct joining *j, const struct pool *pool, const struct tunnel *tunnel)
{
    j->items = mem_resize(j->items, j->n + 1, sizeof *j->items);
    j->items[j->n++] = (struct conf_joined){ .pool = pool->name, .tunnel = tunnel->id, .name = tunnel->name };
}

static void find_for_pool(struct joining *j, const struct tunnels *t, const struct pool *pool)
{
    for (const struct tunnel_entry *e = t->entries; pool->n_patterns && e; e = e->hh.next)
        if (!e->deleted && e->memory.standing.ever && config_find_pattern(pool, e->tunnel->name))
            add(j, pool, e->tunnel);
}

static bool has_joined(const struct config *config)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (config->endpoints[i]->joined)
            return true;
    return false;
}

struct config *tunnels_join(struct tunnels *t, struct config *config, struct conf_messages *messages)
{
    struct joining j = { .n = 0 };
    for (size_t i = 0; i < config->n_pools; i++)
        find_for_pool(&j, t, &config->pools[i]);
    if (j.n == 0 && !has_joined(config))
        return config;
    struct config *joined = conf_join(config, j.items, j.n, messages);
    free(j.items);
    config_unref(config);
    return joined;
}

/* By id or by name, and it did not exist. */
static bool lacks(const struct endpoint *endpoint, const struct tunnel *tunnel)
{
    return endpoint->kind == ENDPOINT_EDGE && !endpoint->edge_tunnel &&
           (strcmp(endpoint->tunnel, tunnel->id) == 0 || strcmp(endpoint->tunnel, tunnel->name) == 0);
}

static bool is_awaited(const struct config *config, const struct tunnel_entry *e)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (lacks(config->endpoints[i], e->tunnel))
            return true;
    for (size_t i = 0; i < config->n_pools; i++)
        if (e->memory.standing.ever && config_find_pattern(&config->pools[i], e->tunnel->name))
            return true;
    return false;
}

static bool is_used(const struct config *config, const struct tunnel *tunnel)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (config->endpoints[i]->edge_tunnel == tunnel)
            return true;
    return false;
}

void registry_came(struct tunnel_entry *e)
{
    const struct config *config = e->tunnels->control->config;
    if (config && is_awaited(config, e))
        e->tunnels->republish = true;
}

void registry_went(struct tunnel_entry *e)
{
    const struct config *config = e->tunnels->control->config;
    if (config && is_used(config, e->tunnel))
        e->tunnels->republish = true;
}

static void log_failure(const struct conf_messages *messages)
{
    struct text text = { 0 };
    conf_messages_print(messages, &text);
    log_error("edge", "a tunnel can't be taken into its pool before the configuration is put right: %s", text.p ? text.p : "");
    text_clear(&text);
}

/* Many that come at once are taken in together. */
void registry_join_tick(struct tunnels *t)
{
    struct conf_messages messages = { 0 };
    if (!t->republish || t->control->stopping)
        return;
    t->republish = false;
    if (!control_rejoin(t->control, &messages))
        log_failure(&messages);
    conf_messages_clear(&messages);
}
