/* Weighted consistent hashing of many candidates: whoever stands nearest after the key on a circle, the distance taken over
 * weight, has it. Where a candidate's points stand follows from its id and weight alone, so one that leaves gives away its own
 * keys and moves no others.
 *
 * The weights of one octave [2^k, 2^(k+1)) share a circle, on which a candidate has points in proportion to its weight; between
 * circles the distance over 2^k decides. Thus the number of points is bounded whatever the weights are. */
#ifndef PENSTOCK_STEERING_RING_H
#define PENSTOCK_STEERING_RING_H

#include "steering/policy.h"

enum { RING_OCTAVES_MAX = 24 }; /* a weight below 2^-24 of the heaviest counts as that much */

struct ring_point {
    uint32_t at;
    uint32_t index;        /* of the candidate */
};

/* The points that come next from where a part of the circle begins, on one line of memory: with more points than the nearer caches hold, a
 * look-up waits for memory once. */
enum { RING_CELL_POINTS = 7 };
struct ring_cell {
    _Alignas(64) struct ring_point points[RING_CELL_POINTS];
    uint32_t first;        /* the first of them among all: its index */
    uint32_t n;            /* how many of them stand before the end of the circle */
};

struct ring {
    int octave;
    uint64_t signature;    /* of who stands on it and how often */
    uint32_t n;
    unsigned shift;        /* a position's cell: its high bits */
    struct ring_point *points; /* sorted */
    struct ring_cell *cells;
};

/* Zero-initialised is empty. */
struct rings {
    size_t n;
    struct ring items[RING_OCTAVES_MAX];
};

/* Circles on which nothing changed are kept. False: memory is out, and the rings are what they were. */
bool rings_build(struct rings *, const struct steering_candidate *, size_t n);
void rings_clear(struct rings *);

typedef bool ring_accepts(const void *arg, size_t index);
/* The nearest that is accepted; STEERING_NONE if none is. */
size_t rings_find(const struct rings *, uint64_t key, ring_accepts *, const void *arg);
/* By candidate: its distance over weight; those without a point are left alone. For `explain`: looks at every point. */
void rings_distances(const struct rings *, uint64_t key, double *out);

#endif
