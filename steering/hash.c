/* The same key, the same candidate, for as long as it can have it. Few candidates: weighted rendezvous (Schindelhauer, Schomaker,
 * "Weighted distributed hash tables", SPAA 2005), for each key the shortest of exponential times with the weights as rates. Many:
 * see ring.h. Which of the two depends on how many are configured, not on how many are healthy.
 *
 * bounded_load (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018): who has more than that
 * many times its part of what is in flight is passed over. */
#include "base/random.h"
#include "steering/draw.h"
#include "steering/ring.h"

#define XXH_INLINE_ALL
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct settings {
    double bounded_load; /* 0: off */
};

struct group {
    const struct settings *settings;
    size_t n;
    uint64_t *ids;
    double *weights;
    double total_weight;
    struct rings rings; /* of more than STEERING_FEW */
};

static bool configure(const struct steering_options *options, struct steering_error *error, void **config)
{
    struct settings *s = calloc(1, sizeof *s);

    if (!s) {
        *error = (struct steering_error){ .message = "out of memory" };
        return false;
    }
    *config = s;
    for (size_t i = 0; i < options->n; i++)
        if (strcmp(options->items[i].name, "bounded_load") == 0)
            s->bounded_load = options->items[i].number;
    if (s->bounded_load > 0 && s->bounded_load < 1) {
        *error = (struct steering_error){ "bounded_load",
                                          "must be 0 (off) or at least 1: nobody can have less than the mean if all do" };
        free(s);
        *config = NULL;
        return false;
    }
    return true;
}

static void *worker_new(void *config)
{
    struct group *g = calloc(1, sizeof *g);

    if (g)
        g->settings = config;
    return g;
}

static void clear_tables(struct group *g)
{
    free(g->ids);
    free(g->weights);
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    struct group *g = w, fresh = *g;

    fresh.n = n;
    fresh.total_weight = 0;
    fresh.ids = calloc(n + 1, sizeof *fresh.ids);
    fresh.weights = calloc(n + 1, sizeof *fresh.weights);
    if (!fresh.ids || !fresh.weights || !rings_build(&fresh.rings, candidates, n > STEERING_FEW ? n : 0)) {
        clear_tables(&fresh);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        fresh.ids[i] = candidates[i].id;
        if (candidates[i].weight > 0)
            fresh.total_weight += fresh.weights[i] = candidates[i].weight;
    }
    clear_tables(g);
    *g = fresh;
    return true;
}

/* --- who may have it --- */

struct bounds {
    const struct group *group;
    const struct steering_view *view;
    double per_weight; /* what one may have in flight, this request included; 0: no bound */
};

static bool is_open(const struct group *g, const struct steering_view *view, size_t i)
{
    return g->weights[i] > 0 && !steering_is_struck_out(view, i);
}

/* Of one that has weight. */
static bool may_have_it(const void *arg, size_t i)
{
    const struct bounds *b = arg;

    if (steering_is_struck_out(b->view, i))
        return false;
    return !(b->per_weight > 0) || (double)b->view->in_flight(b->view, i) + 1 <= ceil(b->per_weight * b->group->weights[i]);
}

/* The sum of many is estimated from some. */
static struct bounds bounds_of(const struct group *g, const struct steering_request *request, const struct steering_view *view)
{
    struct random random = { request->random };
    size_t n = g->n < STEERING_FEW ? g->n : STEERING_FEW;
    double in_flight = 0, weight = 0;

    if (!(g->settings->bounded_load > 0))
        return (struct bounds){ g, view, 0 };
    for (size_t k = 0; k < n; k++) {
        size_t i = g->n <= STEERING_FEW ? k : (size_t)(random_u64(&random) % g->n);
        if (!is_open(g, view, i))
            continue;
        in_flight += view->in_flight(view, i);
        weight += g->weights[i];
    }
    double mean = weight > 0 ? in_flight / weight : 0;
    double own = g->n <= STEERING_FEW ? weight : g->total_weight;
    return (struct bounds){ g, view, own > 0 ? g->settings->bounded_load * (mean + 1 / own) : 0 };
}

/* --- rendezvous --- */

static double meeting_time(const struct group *g, uint64_t key, size_t i)
{
    const uint64_t both[2] = { key, g->ids[i] };
    double unit = ((double)(XXH3_64bits(both, sizeof both) >> 11) + 0.5) * 0x1p-53;

    return -log(unit) / g->weights[i];
}

static size_t meet(const struct group *g, uint64_t key, const struct bounds *bounds)
{
    size_t best = STEERING_NONE;
    double least = INFINITY;

    for (size_t i = 0; i < g->n; i++) {
        if (!(g->weights[i] > 0) || !may_have_it(bounds, i))
            continue;
        double time = meeting_time(g, key, i);
        if (time < least) {
            best = i;
            least = time;
        }
    }
    return best;
}

/* --- a choice --- */

static size_t find(const struct group *g, uint64_t key, const struct bounds *bounds)
{
    return g->n <= STEERING_FEW ? meet(g, key, bounds) : rings_find(&g->rings, key, may_have_it, bounds);
}

static void write_scores(const struct group *g, uint64_t key, const struct steering_view *view, double *scores)
{
    for (size_t i = 0; i < g->n; i++)
        scores[i] = g->n <= STEERING_FEW && g->weights[i] > 0 ? meeting_time(g, key, i) : (double)NAN;
    rings_distances(&g->rings, key, scores);
    for (size_t i = 0; i < g->n; i++)
        if (!is_open(g, view, i))
            scores[i] = (double)NAN;
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct group *g = w;
    uint64_t key = request->key ? request->key : request->random; /* without a key anybody will do, by weight */
    struct bounds bounds = bounds_of(g, request, view);

    if (scores)
        write_scores(g, key, view, scores);
    size_t chosen = find(g, key, &bounds);
    if (chosen == STEERING_NONE && bounds.per_weight > 0) { /* an estimate may be too low for everybody */
        bounds.per_weight = 0;
        chosen = find(g, key, &bounds);
    }
    return chosen;
}

static void worker_free(void *w)
{
    struct group *g = w;

    rings_clear(&g->rings);
    clear_tables(g);
    free(g);
}

const struct steering_policy steering_hash = {
    .name = "hash",
    .abi = STEERING_ABI,
    .scores_are = "the key's distance over weight: the lowest wins, if bounded_load lets it",
    .configure = configure,
    .worker_new = worker_new,
    .update = update,
    .choose = choose,
    .worker_free = worker_free,
    .release = free,
};
