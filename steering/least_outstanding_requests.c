/* The highest weight per request in flight, the one to come included. All are looked at while they are few; of many, two drawn by weight
 * (Mitzenmacher, "The power of two choices in randomized load balancing"). */
#include "steering/draw.h"

#include <math.h>
#include <stdlib.h>

enum { FULL_SCAN_MAX = 32 };

static void *worker_new(void *config)
{
    (void)config;
    return calloc(1, sizeof(struct draw_table));
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    return draw_table_build(w, candidates, n);
}

static double score(const struct draw_table *t, const struct steering_view *view, size_t i)
{
    return t->weights[i] / ((double)view->in_flight(view, i) + 1);
}

/* Equals are told apart by where the scan begins. */
static size_t scan_all(const struct draw_table *t, uint64_t random, const struct steering_view *view)
{
    size_t best = STEERING_NONE, start = t->n ? (size_t)(random % t->n) : 0;
    double best_score = 0;

    for (size_t i = 0; i < t->n; i++) {
        size_t at = start + i < t->n ? start + i : start + i - t->n;
        if (!draw_is_open(t, view, at))
            continue;
        double its_score = score(t, view, at);
        if (its_score > best_score) {
            best = at;
            best_score = its_score;
        }
    }
    return best;
}

static size_t better_of_two(const struct draw_table *t, uint64_t seed, const struct steering_view *view)
{
    struct random random = { seed };
    size_t first = draw_usable(t, &random, view);
    size_t second = draw_usable(t, &random, view);

    if (first == second)
        return first;
    return score(t, view, second) > score(t, view, first) ? second : first;
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct draw_table *t = w;

    for (size_t i = 0; scores && i < t->n; i++)
        scores[i] = draw_is_open(t, view, i) ? score(t, view, i) : (double)NAN;
    return t->n <= FULL_SCAN_MAX ? scan_all(t, request->random, view) : better_of_two(t, request->random, view);
}

static void worker_free(void *w)
{
    draw_table_clear(w);
    free(w);
}

const struct steering_policy steering_least_outstanding_requests = {
    .name = "least_outstanding_requests",
    .abi = STEERING_ABI,
    .worker_new = worker_new,
    .update = update,
    .choose = choose,
    .worker_free = worker_free,
};
