/* A pool of endpoints with live state, healthy and in service, whose settings tests change as they like. Brings cmocka. */
#ifndef PENSTOCK_UNIT_POOL_UNDER_TEST_H
#define PENSTOCK_UNIT_POOL_UNDER_TEST_H

#include "balance/candidate.h"
#include "balance/outlier.h"
#include "balance/tunnel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { POOL_MAX = 32, POOL_WORKERS = 4 };
#define SECOND NSEC_PER_SEC
/* When the tests begin: the monotonic clock is far from 0 by then. */
#define START (1000 * NSEC_PER_SEC)

struct pool_under_test {
    struct pool pool;
    struct endpoint endpoints[POOL_MAX];
    struct monitor monitor;
    struct monitor *monitors[1];
};

static inline struct endpoint_live *live_of(struct pool_under_test *p, size_t i)
{
    return p->endpoints[i].live;
}

/* With one monitor, which passes everywhere; the defaults of passive health and slow start. */
static inline struct pool_under_test *pool_new(size_t n)
{
    struct pool_under_test *p = calloc(1, sizeof *p);

    assert_non_null(p);
    assert_true(n <= POOL_MAX);
    p->monitors[0] = &p->monitor;
    p->pool = (struct pool){
        .name = "pool", .hash = 1, .enabled = true, .minimum_endpoints = 1, .endpoints = p->endpoints, .n_endpoints = n,
        .monitors = p->monitors, .n_monitors = 1, .slow_start = 30 * SECOND, .latitude = 52, .longitude = 5,
        .passive = { .consecutive = 5, .min_requests = 20, .ratio = 0.5, .window = 10 * SECOND, .ejection = 10 * SECOND,
                     .ejection_max = 300 * SECOND },
    };
    for (size_t i = 0; i < n; i++) {
        char id[32];
        snprintf(id, sizeof id, "pool/%zu", i);
        p->endpoints[i] = (struct endpoint){
            .hash = 100 + i, .index = (unsigned)i, .order = (unsigned)i, .pool = &p->pool, .weight = 1, .enabled = true,
            .latitude = 52, .longitude = 5, .live = endpoint_live_new(id, POOL_WORKERS),
        };
        endpoint_set_health(p->endpoints[i].live, HEALTH_UP, START);
    }
    return p;
}

static inline void pool_free(struct pool_under_test *p)
{
    for (size_t i = 0; i < p->pool.n_endpoints; i++) {
        endpoint_live_unref(p->endpoints[i].live);
        tunnel_unref(p->endpoints[i].edge_tunnel);
    }
    free(p);
}

/* Ejected by five failures in a row; `random` in the middle: no jitter. */
static inline void pool_eject(struct pool_under_test *p, size_t i, enum reason reason, nsec_t now)
{
    bool ejected = false;

    for (unsigned n = 0; n < 5; n++)
        ejected = outlier_record(live_of(p, i), &p->pool.passive, reason, now, UINT64_C(1) << 63, true);
    assert_true(ejected);
}

#endif
