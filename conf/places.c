/* Where pools and endpoints are, each from what says it most closely. */
#include "conf/parts.h"

#include <math.h>

void check_coordinates(struct loader *l, const struct members *m, float latitude, float longitude)
{
    if (isnan(latitude) != isnan(longitude))
        conf_error(l, m->at, "`latitude` and `longitude` go together");
}

static void place_endpoint(const struct config *c, const struct pool *p, struct endpoint *e)
{
    if (!isnan(e->latitude)) {
        e->placed = PLACED_BY_FILE;
    } else if (!isnan(p->latitude)) {
        e->latitude = p->latitude;
        e->longitude = p->longitude;
        e->placed = PLACED_BY_POOL;
    } else if (e->kind == ENDPOINT_EDGE && !isnan(c->edge.latitude)) {
        e->latitude = c->edge.latitude;
        e->longitude = c->edge.longitude;
        e->placed = PLACED_BY_EDGE;
    }
}

static void place_pool(struct pool *p)
{
    if (!isnan(p->latitude)) {
        p->placed = PLACED_BY_FILE;
        return;
    }
    for (size_t i = 0; i < p->n_endpoints && p->placed == PLACED_NOWHERE; i++)
        if (p->endpoints[i].placed != PLACED_NOWHERE) {
            p->latitude = p->endpoints[i].latitude;
            p->longitude = p->endpoints[i].longitude;
            p->placed = PLACED_BY_ENDPOINT;
        }
}

void settle_places(struct config *c)
{
    for (size_t i = 0; i < c->n_pools; i++) {
        struct pool *p = &c->pools[i];
        for (size_t j = 0; j < p->n_endpoints; j++)
            place_endpoint(c, p, &p->endpoints[j]);
        place_pool(p);
    }
}
