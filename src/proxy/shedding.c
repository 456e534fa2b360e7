#include "proxy/shedding.h"

#include "balance/tally.h"
#include "proxy/core.h"
#include "proxy/exchange.h"
#include "proxy/request_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

bool shedding_takes(double percent, uint64_t seed, uint64_t pool)
{
    const uint64_t both[2] = { seed, pool };
    double unit = (double)(XXH3_64bits(both, sizeof both) >> 11) * 0x1p-53;

    return unit * 100 < percent;
}

void shedding_begin(struct exchange *ex)
{
    static const struct request_key client = { .kind = REQUEST_KEY_CLIENT_IP };
    uint64_t key = ex->load_balancer->affinity.type == AFFINITY_HEADER ? ex->session.key : 0;
    ex->lot = random_u64(&ex->worker->random);
    ex->lot_of_client = key ? key : request_hash(ex, &client);
}

static bool has_session_in(const struct exchange *ex, const struct pool *pool)
{
    if (ex->load_balancer->affinity.type == AFFINITY_HEADER)
        return ex->session.key != 0;
    return ex->session.endpoint && ex->session.endpoint->pool == pool;
}

bool shedding_sheds(const struct exchange *ex, const struct pool *pool)
{
    const struct load_shedding *s = &pool->shedding;
    bool session = has_session_in(ex, pool);
    enum shed_policy policy = session ? s->session_policy : s->policy;
    return shedding_takes(session ? s->session_percent : s->percent, policy == SHED_HASH && ex->lot_of_client ? ex->lot_of_client : ex->lot, pool->hash);
}

bool shedding_sends_away(struct exchange *ex, const struct pool *pool)
{
    uint64_t bit = UINT64_C(1) << pool->index % 64;
    if (!ex->load_balancer->sheds || !shedding_sheds(ex, pool))
        return false;
    if (!(ex->shed_by & bit) && !ex->explanation)
        tally_add(pool->shed, ex->worker->options.index);
    ex->shed_by |= bit;
    return true;
}

bool shedding_has_shed(const struct exchange *ex)
{
    for (size_t i = 0; ex->load_balancer->sheds && i < ex->pools->n; i++)
        if (ex->pools->pools[i]->enabled && shedding_sheds(ex, ex->pools->pools[i]))
            return true;
    return false;
}
