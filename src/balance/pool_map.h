/* Which list of pools is for a client: by its address, else by its place, the most specific first. */
#ifndef PENSTOCK_BALANCE_POOL_MAP_H
#define PENSTOCK_BALANCE_POOL_MAP_H

#include "balance/config.h"
#include "balance/place.h"

enum pool_map_kind { MAP_NONE /* the default pools */, MAP_CLIENT, MAP_SUBDIVISION, MAP_COUNTRY, MAP_REGION };
const char *pool_map_key(enum pool_map_kind); /* "client_pools" …; "default_pools" */

/* Is the list's pool one that its requests are steered to? */
static inline bool pool_list_has(const struct pool_list *list, size_t i)
{
    return list->pools[i]->enabled && (!list->weights || list->weights[i] > 0);
}

/* By default or by a map. */
bool load_balancer_steers_to(const struct load_balancer *, const struct pool *);
/* Or as the fallback pool, or by a rule. */
bool load_balancer_uses_pool(const struct load_balancer *, const struct pool *);
/* Does any map of it ask for a place? */
bool load_balancer_asks_for_place(const struct load_balancer *);
/* `client`: NULL over a unix socket. `by`: which map it was. */
const struct pool_list *load_balancer_pools_for(const struct load_balancer *, const struct address *client, const struct place *,
                                                enum pool_map_kind *by);

#endif
