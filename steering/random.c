/* By weight, without memory. */
#include "steering/draw.h"

#include <math.h>
#include <stdlib.h>

static void *worker_new(void *config)
{
    (void)config;
    return calloc(1, sizeof(struct draw_table));
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    return draw_table_build(w, candidates, n);
}

/* The chance of each. */
static void write_scores(const struct draw_table *t, const struct steering_view *view, double *scores)
{
    double total = 0;

    for (size_t i = 0; i < t->n; i++) {
        scores[i] = draw_is_open(t, view, i) ? t->weights[i] : (double)NAN;
        total += isnan(scores[i]) ? 0 : scores[i];
    }
    for (size_t i = 0; i < t->n; i++)
        scores[i] /= total;
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct draw_table *t = w;
    struct random random = { request->random };

    if (scores)
        write_scores(t, view, scores);
    return draw_usable(t, &random, view);
}

static void worker_free(void *w)
{
    draw_table_clear(w);
    free(w);
}

const struct steering_policy steering_random = {
    .name = "random",
    .abi = STEERING_ABI,
    .scores_are = "the chance of each",
    .worker_new = worker_new,
    .update = update,
    .choose = choose,
    .worker_free = worker_free,
};
