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

static size_t scan_all(const struct draw_table *t, struct random *random, const struct steering_view *view, least_load *load)
{
    size_t equals[STEERING_FEW], n = 0;
    double best = 0;

    for (size_t i = 0; i < t->n; i++) {
        double its_score = draw_is_open(t, view, i) ? score(t, view, load, i) : 0;
        if (its_score > best) {
            best = its_score;
            n = 0;
        }
        if (n < STEERING_FEW && its_score > 0 && !(its_score < best))
            equals[n++] = i;
    }
    return n ? equals[n > 1 ? random_u64(random) % n : 0] : STEERING_NONE;
}

static size_t better_of_two(const struct draw_table *t, size_t first, struct random *random, const struct steering_view *view, least_load *load)
{
    size_t second = draw_usable(t, random, view);

    if (first == second)
        return first;
    return score(t, view, load, second) > score(t, view, load, first) ? second : first;
}

size_t least_choose(const struct draw_table *t, const struct steering_request *request, const struct steering_view *view,
                    least_load *load, double *scores)
{
    struct random random = { request->random };
    size_t drawn = draw_usable(t, &random, view);

    for (size_t i = 0; scores && i < t->n; i++)
        scores[i] = draw_is_open(t, view, i) ? score(t, view, load, i) : (double)NAN;
    if (drawn == STEERING_NONE || load(view, drawn) == 0)
        return drawn;
    return t->n <= STEERING_FEW ? scan_all(t, &random, view, load) : better_of_two(t, drawn, &random, view, load);
}
