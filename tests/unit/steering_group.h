/* A policy with candidates and a view that tests set as they like. Include after nothing: it brings cmocka. */
#ifndef PENSTOCK_UNIT_STEERING_GROUP_H
#define PENSTOCK_UNIT_STEERING_GROUP_H

#include "base/list.h"
#include "base/random.h"
#include "steering/registry.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GROUP_MAX = 1024 };

struct group_under_test {
    const struct steering_policy *policy;
    void *config, *worker;
    size_t n;
    struct steering_candidate candidates[GROUP_MAX];
    struct steering_view view;
    uint32_t in_flight[GROUP_MAX];
    uint32_t connections[GROUP_MAX];
    struct steering_latency latency[GROUP_MAX];
    uint64_t struck_out[GROUP_MAX / 64];
    struct steering_request request;
    struct random random;
};

static inline uint32_t group_in_flight(const struct steering_view *view, size_t i)
{
    return CONTAINER_OF(view, const struct group_under_test, view)->in_flight[i];
}

static inline uint32_t group_connections(const struct steering_view *view, size_t i)
{
    return CONTAINER_OF(view, const struct group_under_test, view)->connections[i];
}

static inline struct steering_latency group_latency(const struct steering_view *view, size_t i)
{
    return CONTAINER_OF(view, const struct group_under_test, view)->latency[i];
}

/* Of `n` candidates with weight 1, nothing in flight, latency unknown. Options as given. */
static inline struct group_under_test *group_new(const char *policy, const struct steering_option *options, size_t n_options, size_t n)
{
    struct group_under_test *g = calloc(1, sizeof *g);
    struct steering_error error = { 0 };

    assert_non_null(g);
    assert_true(n <= GROUP_MAX);
    g->policy = steering_find(policy);
    assert_non_null(g->policy);
    if (g->policy->configure)
        assert_true(g->policy->configure(&(struct steering_options){ options, n_options }, &error, &g->config));
    g->worker = g->policy->worker_new(g->config);
    assert_non_null(g->worker);
    g->view = (struct steering_view){ group_in_flight, group_connections, group_latency, g->struck_out };
    g->request = (struct steering_request){ .now = 1000 * INT64_C(1000000000), .latitude = NAN, .longitude = NAN };
    g->n = n;
    for (size_t i = 0; i < n; i++) {
        g->candidates[i] = (struct steering_candidate){ .id = 7919 * (i + 1), .weight = 1, .latitude = NAN, .longitude = NAN, .order = (unsigned)i };
        g->latency[i] = (struct steering_latency){ .seconds = NAN, .probe_seconds = NAN };
    }
    return g;
}

static inline void group_update(struct group_under_test *g)
{
    assert_true(g->policy->update(g->worker, g->candidates, g->n));
}

static inline void group_strike_out(struct group_under_test *g, size_t i, bool out)
{
    g->struck_out[i / 64] = (g->struck_out[i / 64] & ~(UINT64_C(1) << (i % 64))) | (uint64_t)out << (i % 64);
}

/* A choice of its own draw, not committed. */
static inline size_t group_choose(struct group_under_test *g)
{
    g->request.random = random_u64(&g->random);
    return g->policy->choose(g->worker, &g->request, &g->view, NULL);
}

static inline size_t group_use(struct group_under_test *g)
{
    size_t chosen = group_choose(g);

    if (chosen != STEERING_NONE && g->policy->commit)
        g->policy->commit(g->worker, chosen);
    return chosen;
}

static inline void group_free(struct group_under_test *g)
{
    g->policy->worker_free(g->worker);
    if (g->policy->release && g->config)
        g->policy->release(g->config);
    free(g);
}

/* Pearson's statistic against shares proportional to weight. */
static inline double chi_square(const struct group_under_test *g, const unsigned *counts)
{
    double total_weight = 0, total = 0, sum = 0;

    for (size_t i = 0; i < g->n; i++) {
        total_weight += g->candidates[i].weight;
        total += counts[i];
    }
    for (size_t i = 0; i < g->n; i++) {
        double expected = total * g->candidates[i].weight / total_weight;
        if (expected > 0)
            sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return sum;
}

#endif
