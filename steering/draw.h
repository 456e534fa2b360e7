/* Weighted draws in constant time: Walker's alias method with Vose's construction ("A linear algorithm for generating random
 * numbers with a given distribution", IEEE TSE 17, 1991). */
#ifndef PENSTOCK_STEERING_DRAW_H
#define PENSTOCK_STEERING_DRAW_H

#include "base/random.h"
#include "steering/policy.h"

enum { STEERING_FEW = 32 }; /* candidates up to which all are looked at for one choice */

/* One per candidate, all equally likely. */
struct draw_column {
    double threshold; /* the share of it that is its own */
    uint32_t alias;   /* whose the rest is */
};

/* Zero-initialised is empty: every draw is STEERING_NONE. */
struct draw_table {
    size_t n;
    double total;
    double *weights; /* by index */
    struct draw_column *columns; /* no draw leads to one of weight 0 */
};

/* False: memory is out, and the table is what it was. */
bool draw_table_build(struct draw_table *, const struct steering_candidate *, size_t n);
void draw_table_clear(struct draw_table *);
static inline bool draw_is_open(const struct draw_table *t, const struct steering_view *view, size_t index)
{
    return t->weights[index] > 0 && !steering_is_struck_out(view, index);
}
/* By weight, among those not struck out; STEERING_NONE if there is none. */
size_t draw_usable(const struct draw_table *, struct random *, const struct steering_view *);

#endif
