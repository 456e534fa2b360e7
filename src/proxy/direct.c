#include "proxy/direct.h"

#include "proxy/affinity.h"
#include "proxy/exchange.h"
#include "proxy/rules.h"
#include "proxy/shedding.h"

enum direction direct_to_load_balancer(struct exchange *ex, const struct rule **rule)
{
    *rule = NULL;
    ex->load_balancer = route_find(ex->snapshot->routes, ex->host);
    if (!ex->load_balancer)
        return DIRECT_NO_LOAD_BALANCER;
    ex->timeouts = &ex->load_balancer->timeouts;
    if (!ex->load_balancer->enabled)
        return DIRECT_DISABLED;
    *rule = ex->load_balancer->n_rules ? rules_find(ex, ex->load_balancer) : NULL;
    if (!*rule)
        return DIRECT_TO_ENDPOINTS;
    if ((*rule)->response.status)
        return DIRECT_RESPONSE;
    ex->load_balancer = &(*rule)->balancer;
    return DIRECT_TO_ENDPOINTS;
}

void direct_to_session(struct exchange *ex)
{
    if (ex->load_balancer->affinity.type != AFFINITY_NONE)
        affinity_begin(ex);
    if (ex->load_balancer->sheds)
        shedding_begin(ex);
}
