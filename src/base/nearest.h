/* "Did you mean …?": the known word that a mistyped one is nearest to. */
#ifndef PENSTOCK_BASE_NEAREST_H
#define PENSTOCK_BASE_NEAREST_H

#include <stddef.h>

/* Begin with `best` NULL and offer every known word; after the last, best is the nearest or NULL when none is near. */
struct nearest {
    const char *word; /* as typed; only its first NEAREST_WORD_MAX bytes count */
    const char *best;
    unsigned distance;
};
enum { NEAREST_WORD_MAX = 64 };

void nearest_offer(struct nearest *, const char *known);

#endif
