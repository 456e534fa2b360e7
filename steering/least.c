#include "steering/least.h"

#include <math.h>
#include <stdlib.h>

void *least_worker_new(void *config)
{
    (void)config;
    return calloc(1, sizeof(struct draw_table));
}

bool least_update(void *w, const struct steering_candidate *candidates, size_t n)
{
    return draw_table_build(w, candidates, n);
}

void least_worker_free(void *w)
{
    draw_table_clear(w);
    free(w);
}

static double score(const struct draw_table *t, const struct steering_view *view, least_load *load, size_t i)
{
    return t->weights[i] / ((double)load(view, i) + 1);
}

/* Equals are told apart by where the scan begins. */
static size_t scan_all(const struct draw_table *t, uint64_t random, const struct steering_view *view, least_load *load)
{
    size_t best = STEERING_NONE, start = t->n ? (size_t)(random % t->n) : 0;
    double best_score = 0;

    for (size_t i = 0; i < t->n; i++) {
        size_t at = start + i < t->n ? start + i : start + i - t->n;
        if (!draw_is_open(t, view, at))
            continue;
        double its_score = score(t, view, load, at);
        if (its_score > best_score) {
            best = at;
            best_score = its_score;
        }
    }
    return best;
}

static size_t better_of_two(const struct draw_table *t, uint64_t seed, const struct steering_view *view, least_load *load)
{
    struct random random = { seed };
    size_t first = draw_usable(t, &random, view);
    size_t second = draw_usable(t, &random, view);

    if (first == second)
        return first;
    return score(t, view, load, second) > score(t, view, load, first) ? second : first;
}

size_t least_choose(const struct draw_table *t, const struct steering_request *request, const struct steering_view *view,
                    least_load *load, double *scores)
{
    for (size_t i = 0; scores && i < t->n; i++)
        scores[i] = draw_is_open(t, view, i) ? score(t, view, load, i) : (double)NAN;
    return t->n <= STEERING_FEW ? scan_all(t, request->random, view, load) : better_of_two(t, request->random, view, load);
}
