#include "balance/pool_map.h"

#include <stdio.h>
#include <string.h>

const char *pool_map_key(enum pool_map_kind kind)
{
    static const char *const keys[] = {
        [MAP_NONE] = "default_pools",          [MAP_CLIENT] = "client_pools",   [MAP_SUBDIVISION] = "subdivision_pools",
        [MAP_COUNTRY] = "country_pools", [MAP_REGION] = "region_pools",
    };
    return keys[kind];
}

static bool has_pool(struct pool *const *pools, size_t n, const struct pool *pool)
{
    for (size_t i = 0; i < n; i++)
        if (pools[i] == pool)
            return true;
    return false;
}

bool load_balancer_steers_to(const struct load_balancer *lb, const struct pool *pool)
{
    bool found = has_pool(lb->default_pools, lb->n_default_pools, pool);
    for (size_t i = 1; i < lb->n_lists && !found; i++)
        found = has_pool(lb->lists[i].pools, lb->lists[i].n, pool);
    return found;
}

bool load_balancer_uses_pool(const struct load_balancer *lb, const struct pool *pool)
{
    bool used = lb->fallback_pool == pool || load_balancer_steers_to(lb, pool);
    for (size_t i = 0; i < lb->n_rules && !used; i++)
        used = load_balancer_uses_pool(&lb->rules[i].balancer, pool);
    return used;
}

bool load_balancer_asks_for_place(const struct load_balancer *lb)
{
    return lb->n_subdivision_maps || lb->n_country_maps || lb->n_region_maps;
}

/* The narrowest network that has it; of equal ones the first. */
static const struct client_map *find_client(const struct load_balancer *lb, const struct address *client)
{
    const struct client_map *best = NULL;
    int narrowest = -1;
    for (size_t i = 0; i < lb->n_client_maps; i++) {
        const struct cidr_set *clients = &lb->client_maps[i].clients;
        for (size_t k = 0; k < clients->n; k++)
            if (clients->items[k].bits > narrowest && cidr_set_contains(&(struct cidr_set){ &clients->items[k], 1 }, client)) {
                best = &lb->client_maps[i];
                narrowest = clients->items[k].bits;
            }
    }
    return best;
}

static const struct place_map *find_place(const struct place_map *maps, size_t n, const char *code)
{
    for (size_t low = 0, high = n; low < high && *code;) {
        size_t middle = (low + high) / 2;
        int order = strcmp(code, maps[middle].code);
        if (order == 0)
            return &maps[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static const struct place_map *find_map(const struct load_balancer *lb, const struct place *place, enum pool_map_kind *by)
{
    char subdivision[PLACE_CODE_SIZE] = "";
    const struct place_map *found;
    if (*place->subdivision)
        snprintf(subdivision, sizeof subdivision, "%s-%s", place->country, place->subdivision);
    if ((found = find_place(lb->subdivision_maps, lb->n_subdivision_maps, subdivision)))
        *by = MAP_SUBDIVISION;
    else if ((found = find_place(lb->country_maps, lb->n_country_maps, place->country)))
        *by = MAP_COUNTRY;
    else if ((found = find_place(lb->region_maps, lb->n_region_maps, region_name((enum region)place->region))))
        *by = MAP_REGION;
    return found;
}

const struct pool_list *load_balancer_pools_for(const struct load_balancer *lb, const struct address *client, const struct place *place,
                                                enum pool_map_kind *by)
{
    const struct client_map *of_client = client ? find_client(lb, client) : NULL;
    *by = of_client ? MAP_CLIENT : MAP_NONE;
    if (of_client)
        return &lb->lists[of_client->list];
    const struct place_map *of_place = find_map(lb, place, by);
    return &lb->lists[of_place ? of_place->list : 0];
}
