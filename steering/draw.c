#include "steering/draw.h"

#include <stdlib.h>

/* Draws that meet one struck out before all are looked at: with half the weight struck out, one choice in 256 comes to that. */
enum { DRAW_TRIES = 8 };

static bool allocate(struct draw_table *t, size_t n)
{
    *t = (struct draw_table){ .n = n };
    t->weights = calloc(n + 1, sizeof *t->weights);
    t->columns = calloc(n + 1, sizeof *t->columns);
    return t->weights && t->columns;
}

/* Columns of mean height: each too low one is filled up from one too high, which may thereby become too low. `work` holds the low
 * ones from its start and the high ones from its end. */
static void level_columns(struct draw_table *t, uint32_t *work)
{
    size_t low = 0, high = t->n;

    for (size_t i = 0; i < t->n; i++) {
        t->columns[i] = (struct draw_column){ t->weights[i] * (double)t->n / t->total, (uint32_t)i };
        work[t->columns[i].threshold < 1 ? low++ : --high] = (uint32_t)i;
    }
    while (low > 0 && high < t->n) {
        struct draw_column *poor = &t->columns[work[--low]], *rich = &t->columns[work[high]];
        poor->alias = work[high];
        rich->threshold -= 1 - poor->threshold;
        if (rich->threshold < 1)
            work[low++] = work[high++];
    }
    /* What is left is full but for rounding. None of weight 0 is among it: until one is filled, others have a whole column too much. */
    while (high < t->n)
        t->columns[work[high++]].threshold = 1;
    while (low > 0)
        t->columns[work[--low]].threshold = 1;
}

bool draw_table_build(struct draw_table *table, const struct steering_candidate *candidates, size_t n)
{
    struct draw_table fresh;
    uint32_t *work = calloc(n + 1, sizeof *work);

    if (!allocate(&fresh, n) || !work) {
        draw_table_clear(&fresh);
        free(work);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (candidates[i].weight > 0)
            fresh.total += fresh.weights[i] = candidates[i].weight;
    if (fresh.total > 0)
        level_columns(&fresh, work);
    free(work);
    draw_table_clear(table);
    *table = fresh;
    return true;
}

void draw_table_clear(struct draw_table *t)
{
    free(t->weights);
    free(t->columns);
    *t = (struct draw_table){ 0 };
}

static size_t draw(const struct draw_table *t, uint64_t random)
{
    size_t at = (size_t)((random >> 32) * t->n >> 32);
    const struct draw_column *column = &t->columns[at];
    double height = (double)(uint32_t)random * 0x1p-32;

    return height < column->threshold ? at : column->alias;
}

static size_t draw_from_all(const struct draw_table *t, double unit, const struct steering_view *view)
{
    double total = 0;
    size_t last = STEERING_NONE;

    for (size_t i = 0; i < t->n; i++)
        if (draw_is_open(t, view, i))
            total += t->weights[i];
    for (size_t i = 0; i < t->n; i++) {
        if (!draw_is_open(t, view, i))
            continue;
        last = i;
        if ((unit -= t->weights[i] / total) < 0)
            break;
    }
    return last;
}

size_t draw_usable(const struct draw_table *t, struct random *random, const struct steering_view *view)
{
    if (!(t->total > 0))
        return STEERING_NONE;
    for (unsigned i = 0; i < DRAW_TRIES; i++) {
        size_t drawn = draw(t, random_u64(random));
        if (!steering_is_struck_out(view, drawn))
            return drawn;
    }
    return draw_from_all(t, random_unit(random), view);
}
